"""Choose the place of each lesion's number: a bright and free one that is nearer to its own curve than to any other.

A line, the leader, joins the number to its curve. Where a lesion has no place that is clearly its own, the best one is
taken, and the place says that it is doubtful.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
_FIRST_POINTS = 8
"""Every how many points of other curves are looked at first."""


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
    ones = [chosen[index] for index in range(len(chosen))]
    doubtful = np.array([one.doubtful[0] for one in ones], dtype=np.bool_)
    if not doubtful.any():
        return
    boxes = np.concatenate([one.boxes for one in ones])
    centres = np.concatenate([one.centres for one in ones])
    # [n, m]: from the place of number m to curve n. Where two change places, their columns do.
    lengths = np.stack([judge.lengths(index, centres) for index in range(len(ones))])
    is_changed = True
    while is_changed:
        is_changed = False
        for first in range(len(chosen)):
            second = first
            while (second := _next_shorter(lengths, doubtful, first, second + 1)) < len(chosen):
                before = chosen[first], chosen[second]
                after = judge.judged(first, before[1].centres), judge.judged(second, before[0].centres)
                others = np.delete(boxes, (first, second), axis=0)
                if _total(after, others) <= _total(before, others):
                    chosen[first], chosen[second] = after
                    both = [first, second]
                    lengths[:, both] = lengths[:, both[::-1]]
                    boxes[both] = np.concatenate([one.boxes for one in after])
                    doubtful[both] = [one.doubtful[0] for one in after]
                    is_changed = True


def _next_shorter(lengths: NDArray[np.float64], doubtful: NDArray[np.bool_], first: int, start: int) -> int:
    """Return the next number, from `start` on, that has shorter leaders with `first` after changing places; else n.

    One of the two is doubtful. lengths: (n, n), as in `_exchange`. doubtful: (n,).
    """
    swapped = lengths[first, start:] + lengths[start:, first]
    shorter = swapped < lengths[first, first] + lengths.diagonal()[start:]
    found = np.flatnonzero(shorter & (doubtful[first] | doubtful[start:]))
    return start + int(found[0]) if found.size else len(lengths)


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
        points = np.concatenate([np.empty((0, 2)), *self._curves])
        owners = np.repeat(np.arange(len(lesions)), np.array([len(curve) for curve in self._curves], dtype=np.intp))
        by_row = points[:, 0].argsort(kind="stable")
        self._points, self._point_owners = points[by_row], owners[by_row]
        """The points of all curves from the top down, (n, 2), and the index of the lesion of each."""
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
        top, left, bottom, right = boxes.T[:, :, None]
        rows, cols = points.T
        down = np.maximum(np.maximum(top - rows, rows - bottom), 0)
        across = np.maximum(np.maximum(left - cols, cols - right), 0)
        return np.asarray(np.hypot(down * self._field.aspect, across), dtype=np.float64)

    def _is_near_another(
        self, index: int, boxes: NDArray[np.float64], lengths: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Whether each box is about as near to another curve as to its own; lengths: the distances to its own."""
        near = np.zeros(len(boxes), dtype=np.bool_)
        # Among many curves, a few points of each tell of most boxes that they are near one.
        for step in (_FIRST_POINTS, 1):
            left = np.flatnonzero(~near)
            if left.size:
                points = self._points_around(index, boxes[left], float(lengths[left].max()) + _CLEARANCE_PX, step)
                nearest = self._distances(boxes[left], points).min(axis=1, initial=np.inf)
                near[left] = nearest < lengths[left] + _CLEARANCE_PX
        return near

    def _points_around(self, index: int, boxes: NDArray[np.float64], reach: float, step: int) -> NDArray[np.float64]:
        """Every `step`-th point of the other curves, (n, 2), as far as one of the boxes may be within `reach` of it."""
        margin = reach * np.array([1 / self._field.aspect, 1.0])
        first, last = boxes[:, :2].min(axis=0) - margin, boxes[:, 2:].max(axis=0) + margin
        start = np.searchsorted(self._points[:, 0], first[0], side="left")
        stop = np.searchsorted(self._points[:, 0], last[0], side="right")
        points, owners = self._points[start:stop:step], self._point_owners[start:stop:step]
        inside = (points[:, 1] >= first[1]) & (points[:, 1] <= last[1]) & (owners != index)
        return np.asarray(points[inside], dtype=np.float64)

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
    top, left, bottom, right = boxes.T[:, :, None]
    is_level = (top < taken[:, 2]) & (taken[:, 0] < bottom)
    return np.asarray((is_level & (left < taken[:, 3]) & (taken[:, 1] < right)).sum(axis=1), dtype=np.float64)


def _outside(boxes: NDArray[np.float64], field: Field) -> NDArray[np.bool_]:
    first = np.array([field.rows.start, 0])
    last = np.array([field.rows.stop, field.darkness.shape[1]]) - 1
    return np.asarray((boxes[:, :2] < first).any(axis=1) | (boxes[:, 2:] > last).any(axis=1), dtype=np.bool_)
