"""Choose the place of each lesion's number: beside the lesion, on a bright and free place, not on a lesion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonescan.study import Lesion, Mask

_GAPS_PX = (3.0, 6.0, 10.0, 16.0, 24.0, 36.0)
"""Distances tried between a lesion's bounding box and its number; pixels of the frame."""
_DIRECTIONS = np.array([(0, 1), (-1, 1), (1, 1), (-1, 0), (1, 0), (0, -1), (-1, -1), (1, -1)], dtype=np.float64)
"""(row, col) directions, the preferred first for a lesion on the right of the picture: outwards."""
_ON_LESION, _ON_NUMBER, _FAR, _INWARDS, _ON_DARK = 100.0, 100.0, 0.08, 0.12, 2.0
"""Costs of a place: of the share that covers lesions, per covered number, per pixel of distance, per step of preference
of direction, and of the mean darkness."""


@dataclass(frozen=True, slots=True)
class Field:
    """Where numbers may be placed; all in pixels of the frame.

    darkness: (rows, cols), 0 white to 1 black. lesions: pixels that no number may cover. rows: those that are shown.
    middle: the column from which numbers prefer to move away.
    """

    darkness: NDArray[np.float32]
    lesions: Mask
    rows: slice
    middle: float


def place_numbers(
    field: Field, lesions: Sequence[Lesion], sizes: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Choose the centre (row, col) of each lesion's number; sizes: (height, width) of each number.

    Large lesions are placed first, as they have fewer free places.
    """
    darkness, covered = _summed(field.darkness), _summed(field.lesions)
    taken = np.empty((0, 4))
    centres: dict[int, tuple[float, float]] = {}
    for index in sorted(range(len(lesions)), key=lambda index: -lesions[index].measures.area_px):
        places, preference = _candidates(lesions[index], sizes[index], field.middle)
        boxes = np.concatenate([places - np.array(sizes[index]) / 2, places + np.array(sizes[index]) / 2], axis=1)
        cost = (
            preference
            + _ON_LESION * _mean_in(covered, boxes)
            + _ON_DARK * _mean_in(darkness, boxes)
            + _ON_NUMBER * _overlaps(boxes, taken)
            + _ON_NUMBER * _outside(boxes, field)
        )
        best = int(cost.argmin())
        centres[index] = (float(places[best, 0]), float(places[best, 1]))
        taken = np.concatenate([taken, boxes[best : best + 1]])
    return [centres[index] for index in range(len(lesions))]


def _candidates(
    lesion: Lesion, size: tuple[float, float], middle: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (n, 2) around the lesion's bounding box, and what their distance and direction cost."""
    half = np.array(lesion.mask.shape) / 2
    centre = np.array(lesion.origin) + half - 0.5
    directions = _DIRECTIONS * (1.0, 1.0 if centre[1] >= middle else -1.0)
    gaps = np.repeat(_GAPS_PX, len(directions))
    towards = np.tile(directions, (len(_GAPS_PX), 1))
    # A diagonal number may be closer, as the lesion does not fill the corner of its box.
    reach = half + np.array(size) / 2 + gaps[:, None] * np.where(np.abs(towards).sum(axis=1) > 1, 0.4, 1.0)[:, None]
    cost = _FAR * gaps + _INWARDS * np.tile(np.arange(len(directions)), len(_GAPS_PX))
    return centre + towards * reach, cost


def _summed(picture: NDArray[np.float32] | Mask) -> NDArray[np.float64]:
    """Integral image, with a row and a column of zeros in front."""
    return np.pad(picture.astype(np.float64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)


def _mean_in(summed: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of a picture in each box (top, left, bottom, right), as far as it lies within the picture."""
    limits = np.array(summed.shape) - 1
    top, left = np.clip(np.floor(boxes[:, :2] + 0.5), 0, limits).astype(int).T
    bottom, right = np.clip(np.ceil(boxes[:, 2:] + 0.5), 0, limits).astype(int).T
    total = summed[bottom, right] - summed[top, right] - summed[bottom, left] + summed[top, left]
    return np.asarray(total / np.maximum((bottom - top) * (right - left), 1), dtype=np.float64)


def _overlaps(boxes: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many of the boxes in `taken` each box overlaps."""
    apart = (boxes[:, None, :2] >= taken[None, :, 2:]) | (taken[None, :, :2] >= boxes[:, None, 2:])
    return np.asarray((~apart.any(axis=2)).sum(axis=1), dtype=np.float64)


def _outside(boxes: NDArray[np.float64], field: Field) -> NDArray[np.bool_]:
    first = np.array([field.rows.start, 0])
    last = np.array([field.rows.stop, field.darkness.shape[1]]) - 1
    return np.asarray((boxes[:, :2] < first).any(axis=1) | (boxes[:, 2:] > last).any(axis=1), dtype=np.bool_)
