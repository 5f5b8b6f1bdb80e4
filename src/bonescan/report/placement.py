"""Choose the place of each lesion's number: a bright and free one that is nearer to its own curve than to any other.

A line, the leader, joins the number to its curve. Where a lesion has no place that is clearly its own, the best one is
taken, and the place says that it is doubtful.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bonescan.study import Lesion, Mask

_GAPS_PX = (3.0, 6.0, 10.0, 16.0, 24.0, 36.0, 50.0)
"""Distances tried between a lesion's bounding box and its number; pixels of the frame."""
_DIRECTIONS = np.array(
    [
        (0, 1), (-0.5, 1), (0.5, 1), (-1, 1), (1, 1), (-1, 0.5), (1, 0.5), (-1, 0),
        (1, 0), (0, -1), (-0.5, -1), (0.5, -1), (-1, -0.5), (1, -0.5), (-1, -1), (1, -1),
    ],
)  # fmt: skip
"""(row, col) directions, the preferred first for a lesion on the right of the picture: outwards."""
_FAR, _INWARDS, _ON_DARK, _ON_LESION = 0.08, 0.06, 2.0, 100.0
"""Costs of a place: per pixel of distance, per step of preference of direction, of the mean darkness, and of the share
that covers lesions."""
_DOUBTFUL, _ON_NUMBER, _OUTSIDE = 100.0, 300.0, 400.0
"""Costs of a doubtful place, per covered number, and of a place outside the picture: each exceeds all before it."""
_CLEARANCE_PX = 2.0
"""A number is this much nearer to its own curve than to any other, or its place is doubtful."""
_LEADER_STEPS = 64
_TO_MIDDLE = 0.2


@dataclass(frozen=True, slots=True)
class Field:
    """Where numbers may be placed; all in pixels of the frame.

    darkness: (rows, cols), 0 white to 1 black. lesions: pixels that no number may cover. rows: those that are shown.
    middle: the column from which numbers prefer to move away. aspect: height of a pixel over its width.
    """

    darkness: NDArray[np.float32]
    lesions: Mask
    rows: slice
    middle: float
    aspect: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where one number stands; all in pixels of the frame, (row, col).

    centre: of the number. leader: (2, 2), a short line from the lesion's curve to the edge of the number.
    is_doubtful: another curve is about as near as its own, or the leader crosses another lesion.
    """

    centre: tuple[float, float]
    leader: NDArray[np.float64]
    is_doubtful: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """n places of one number. centres: (n, 2). boxes: (n, 4), top, left, bottom, right. leaders: (n, 2, 2).

    lengths: from the number to its own curve, in widths of a pixel. doubtful: as of a place. cost: whatever the other
    numbers are.
    """

    centres: NDArray[np.float64]
    boxes: NDArray[np.float64]
    leaders: NDArray[np.float64]
    lengths: NDArray[np.float64]
    doubtful: NDArray[np.bool_]
    cost: NDArray[np.float64]

    def one(self, index: int) -> _Judged:
        """Return one of the places, alone."""
        only = slice(index, index + 1)
        return _Judged(
            self.centres[only],
            self.boxes[only],
            self.leaders[only],
            self.lengths[only],
            self.doubtful[only],
            self.cost[only],
        )


def place_numbers(field: Field, lesions: Sequence[Lesion], sizes: Sequence[tuple[float, float]]) -> list[Place]:
    """Choose a place for each lesion's number; sizes: (height, width) of each number, in pixels of the frame.

    Large lesions are placed first, as they have fewer free places. Then two numbers change places where one of them is
    doubtful and this shortens their leaders.
    """
    judge = _Judge(field, lesions, sizes)
    chosen: dict[int, _Judged] = {}
    for index in sorted(range(len(lesions)), key=lambda index: -lesions[index].measures.area_px):
        places, preference = _candidates(lesions[index], sizes[index], field.middle)
        judged = judge.judged(index, places)
        taken = np.concatenate([np.empty((0, 4)), *(other.boxes for other in chosen.values())])
        cost = preference + judged.cost + _ON_NUMBER * _overlaps(judged.boxes, taken)
        chosen[index] = judged.one(int(cost.argmin()))
    _exchange(judge, chosen)
    return [
        Place((float(one.centres[0, 0]), float(one.centres[0, 1])), one.leaders[0], bool(one.doubtful[0]))
        for one in (chosen[index] for index in range(len(lesions)))
    ]


def _exchange(judge: _Judge, chosen: dict[int, _Judged]) -> None:
    """Let numbers change places in pairs while that shortens leaders and costs nothing else.

    Of two numbers that are both nearer to their own curves, none gains by it.
    """
    is_changed = True
    while is_changed:
        is_changed = False
        for first, second in combinations(sorted(chosen), 2):
            before = chosen[first], chosen[second]
            if not any(one.doubtful[0] for one in before):
                continue
            swapped = judge.lengths(first, before[1].centres) + judge.lengths(second, before[0].centres)
            if swapped[0] >= before[0].lengths[0] + before[1].lengths[0]:
                continue
            after = judge.judged(first, before[1].centres), judge.judged(second, before[0].centres)
            others = np.concatenate(
                [np.empty((0, 4)), *(one.boxes for index, one in chosen.items() if index not in (first, second))]
            )
            if _total(after, others) <= _total(before, others):
                chosen[first], chosen[second] = after
                is_changed = True


def _total(pair: tuple[_Judged, _Judged], others: NDArray[np.float64]) -> float:
    """The cost of both places; others: boxes of all other numbers."""
    covered = sum(float(_overlaps(one.boxes, others)[0]) for one in pair)
    covered += float(_overlaps(pair[0].boxes, pair[1].boxes)[0])
    return sum(float(one.cost[0]) for one in pair) + _ON_NUMBER * covered


class _Judge:
    """Says of places of numbers how good they are, whatever the other numbers are."""

    def __init__(self, field: Field, lesions: Sequence[Lesion], sizes: Sequence[tuple[float, float]]) -> None:
        self._field, self._sizes = field, np.array(sizes, dtype=np.float64).reshape(-1, 2)
        self._darkness, self._covered = _summed(field.darkness), _summed(field.lesions)
        self._curves = [_dense(lesion.contour) for lesion in lesions]
        self._owners = np.zeros(field.darkness.shape, dtype=np.intp)
        """The index of the lesion of each pixel, from 1; 0 = none."""
        for number, lesion in enumerate(lesions, start=1):
            self._owners[lesion.window][lesion.mask] = number

    def judged(self, index: int, centres: NDArray[np.float64]) -> _Judged:
        """Judge places of one lesion's number; centres: (n, 2)."""
        half = self._sizes[index] / 2
        boxes = np.concatenate([centres - half, centres + half], axis=1)
        distances = self._distances(boxes, self._curves[index])
        # Of points that are about as near to the edge, one opposite the middle of the number looks best.
        to_middle = self._distances(np.concatenate([centres, centres], axis=1), self._curves[index])
        nearest = self._curves[index][(distances + _TO_MIDDLE * to_middle).argmin(axis=1)]
        leaders = np.stack([nearest, np.clip(nearest, boxes[:, :2], boxes[:, 2:])], axis=1)
        lengths = distances.min(axis=1)
        doubtful = self._is_near_another(index, boxes, lengths) | self._crosses_another(index, leaders)
        cost = (
            _ON_LESION * _mean_in(self._covered, boxes)
            + _ON_DARK * _mean_in(self._darkness, boxes)
            + _DOUBTFUL * doubtful
            + _OUTSIDE * _outside(boxes, self._field)
        )
        return _Judged(centres, boxes, leaders, lengths, doubtful, cost)

    def lengths(self, index: int, centres: NDArray[np.float64]) -> NDArray[np.float64]:
        """From places of a number to its own curve, (n,), in widths of a pixel; centres: (n, 2)."""
        half = self._sizes[index] / 2
        boxes = np.concatenate([centres - half, centres + half], axis=1)
        return np.asarray(self._distances(boxes, self._curves[index]).min(axis=1), dtype=np.float64)

    def _distances(self, boxes: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
        """From each box to each point, (n, m), in widths of a pixel."""
        towards = np.clip(points, boxes[:, None, :2], boxes[:, None, 2:]) - points
        return np.asarray(np.hypot(towards[..., 0] * self._field.aspect, towards[..., 1]), dtype=np.float64)

    def _is_near_another(
        self, index: int, boxes: NDArray[np.float64], lengths: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Whether each box is about as near to another curve as to its own; lengths: the distances to its own."""
        others = [curve for number, curve in enumerate(self._curves) if number != index]
        if not others:
            return np.zeros(len(boxes), dtype=np.bool_)
        points = np.concatenate(others)
        # Only points that are this near can be nearer than the own curve.
        reach = (float(lengths.max()) + _CLEARANCE_PX) * np.array([1 / self._field.aspect, 1.0])
        first, last = boxes[:, :2].min(axis=0) - reach, boxes[:, 2:].max(axis=0) + reach
        points = points[((points >= first) & (points <= last)).all(axis=1)]
        nearest = self._distances(boxes, points).min(axis=1, initial=np.inf)
        return np.asarray(nearest < lengths + _CLEARANCE_PX, dtype=np.bool_)

    def _crosses_another(self, index: int, leaders: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each leader runs over a pixel of another lesion."""
        steps = np.linspace(0, 1, _LEADER_STEPS)[None, :, None]
        along = leaders[:, None, 0] + steps * (leaders[:, None, 1] - leaders[:, None, 0])
        pixels = np.clip(np.rint(along).astype(np.intp), 0, np.array(self._owners.shape) - 1)
        owners = self._owners[pixels[..., 0], pixels[..., 1]]
        return np.asarray(((owners != 0) & (owners != index + 1)).any(axis=1), dtype=np.bool_)


def _dense(contour: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed curve as points that are at most a pixel apart, (n, 2)."""
    start, step = contour[:-1], np.diff(contour, axis=0)
    pieces = np.maximum(np.ceil(np.abs(step).max(axis=1)), 1).astype(np.intp)
    which = np.repeat(np.arange(len(start)), pieces)
    share = np.concatenate([np.arange(count) / count for count in pieces])
    return np.asarray(start[which] + share[:, None] * step[which], dtype=np.float64)


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
    is_diagonal = np.abs(towards).min(axis=1) == 1
    reach = half + np.array(size) / 2 + gaps[:, None] * np.where(is_diagonal, 0.4, 1.0)[:, None]
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
