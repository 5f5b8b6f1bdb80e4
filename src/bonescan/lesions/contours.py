"""Masks and closed curves: each gives back the other exactly.

Coordinates are (row, col); a pixel's centre is at integer coordinates. The curve of a mask is its half-level curve:
its vertices lie halfway between the centres of an inside pixel and an outside 4-neighbour. A mask with holes has no
such curve until it is cut open.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from bonescan.study import Mask

_MOST_CROSSINGS = 2**16
"""Of edges and rows in memory at once."""


def contour_of(mask: Mask) -> NDArray[np.float64]:
    """Trace the half-level curve around `mask`, clockwise as displayed, from its first pixel's upper side.

    mask: boolean (rows, cols), one 8-connected piece without holes (background 4-connected); may touch the border.
    Returns (n, 2) float64 of (row, col), closed: first point = last. The curve crosses itself nowhere, also at
    diagonal necks, and `mask_of` of it is `mask`.
    Raises ValueError for an empty mask, several pieces or a hole.
    """
    inside = np.pad(np.asarray(mask, dtype=np.bool_), 1)
    width = inside.shape[1]
    filled = inside.tobytes()
    start = filled.find(1)
    if start < 0:
        raise ValueError("an empty mask has no contour")
    outward = (-width, 1, width, -1)  # up, right, down, left: clockwise
    sides: list[tuple[int, int]] = []
    pixel, side = start, 0
    while True:
        sides.append((pixel, side))
        ahead = pixel + outward[(side + 1) % 4]
        beyond = ahead + outward[side]
        if filled[beyond]:  # also when `ahead` is outside: the foreground is 8-connected
            pixel, side = beyond, (side - 1) % 4
        elif filled[ahead]:
            pixel = ahead
        else:
            side = (side + 1) % 4
        if (pixel, side) == (start, 0):
            break
    if len(sides) != _count_sides(inside):
        raise ValueError("a contour goes around one 8-connected piece without holes; this mask has several or a hole")
    pixels, which = np.array(sides).T
    half = np.array([(-0.5, 0.0), (0.0, 0.5), (0.5, 0.0), (0.0, -0.5)])
    curve = np.stack(np.divmod(pixels, width), axis=1) - 1.0 + half[which]
    return np.concatenate([curve, curve[:1]])


def _count_sides(padded: Mask) -> int:
    """How many sides of pixels lie between inside and outside: all are on one curve exactly if there is only one."""
    return int((padded[1:] != padded[:-1]).sum() + (padded[:, 1:] != padded[:, :-1]).sum())


def mask_of(contour: ArrayLike, shape: tuple[int, int]) -> Mask:
    """Return which pixel centres lie inside a closed curve (even-odd rule).

    contour: (n, 2) of (row, col), closed or to be closed; parts beyond the frame are allowed.
    shape: (rows, cols) of the returned boolean mask.
    A centre on the curve itself counts as inside on the upper and left edges only, so that polygons that share an
    edge share no pixel. Raises ValueError for another shape of `contour` or values that are not finite.
    """
    points = np.asarray(contour, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"a contour is (n, 2) finite numbers, not an array of shape {points.shape}")
    rows, cols = shape
    mask = np.zeros((rows, cols + 1), dtype=np.bool_)
    if len(points) >= 3:
        _toggle_right_of(mask, points, np.roll(points, -1, axis=0))
    return np.logical_xor.accumulate(mask[:, :cols], axis=1)


def reaches_beyond(contour: NDArray[np.float64], shape: tuple[int, int]) -> bool:
    """Tell whether a curve, (n, 2) of (row, col), may enclose pixel centres beyond a frame of (rows, cols)."""
    return bool((contour < -1.0).any() or (contour > np.array(shape, dtype=np.float64)).any())


def _toggle_right_of(mask: Mask, start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
    """Toggle, in every row that an edge crosses, the first column at or right of the crossing."""
    first = np.clip(np.ceil(np.minimum(start[:, 0], end[:, 0])), 0, len(mask)).astype(np.int64)
    stop = np.clip(np.ceil(np.maximum(start[:, 0], end[:, 0])), 0, len(mask)).astype(np.int64)
    until = np.cumsum(stop - first)
    # By blocks of edges: thousands of long ones cross each row thousands of times.
    begin = 0
    while begin < len(start):
        most = (until[begin - 1] if begin else 0) + _MOST_CROSSINGS
        after = max(int(np.searchsorted(until, most, side="right")), begin + 1)
        block = slice(begin, after)
        _toggle_block(mask, start[block], end[block], first[block], stop[block])
        begin = after


def _toggle_block(
    mask: Mask,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    first: NDArray[np.int64],
    stop: NDArray[np.int64],
) -> None:
    """The same for edges whose rows, from `first` to before `stop`, are few enough to be listed at once."""
    crossed = stop - first
    edge = np.repeat(np.arange(len(start)), crossed)
    row = np.arange(crossed.sum()) - np.repeat(np.cumsum(crossed) - crossed, crossed) + first[edge]
    along = (row - start[edge, 0]) / (end[edge, 0] - start[edge, 0])
    col = start[edge, 1] + along * (end[edge, 1] - start[edge, 1])
    first_right = np.clip(np.ceil(col), 0, mask.shape[1] - 1).astype(np.int64)
    np.logical_xor.at(mask, (row, first_right), True)


def holes(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Number the holes of `mask` from 1; returns the picture of numbers and each hole's pixels (0 is no hole)."""
    background, count = ndimage.label(~np.pad(mask, 1))
    sizes = np.bincount(background.ravel(), minlength=count + 1)
    # The padding makes the outside one piece, and the first that is numbered.
    numbers = np.maximum(background[1:-1, 1:-1] - 1, 0).astype(np.int32)
    sizes[1] = 0
    return numbers, sizes[1:]


def open_holes(mask: Mask) -> Mask:
    """Cut a way of single pixels from each hole to the next background, where the wall is thinnest."""
    numbers, sizes = holes(mask)
    mask = mask.copy()
    for number in range(1, len(sizes)):
        hole = np.argwhere(numbers == number)
        way, end = _thinnest_wall(mask, hole)
        mask[tuple(np.array(way).T)] = False
        # The hole is now one with the background that was reached: the outside, or a hole that comes later.
        reached = numbers[end] if _is_in(mask, end) else 0
        numbers[tuple(np.concatenate([hole, way]).T)] = reached
    return mask


def _is_in(mask: Mask, place: tuple[int, int]) -> bool:
    rows, cols = mask.shape
    return bool(0 <= place[0] < rows and 0 <= place[1] < cols)


def _thinnest_wall(mask: Mask, hole: NDArray[np.intp]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """The shortest 4-connected way through `mask` from `hole` to other background, and the place that it ends at."""
    came_from: dict[tuple[int, int], tuple[int, int] | None] = dict.fromkeys((row, col) for row, col in hole.tolist())
    frontier = list(came_from)
    for place in frontier:
        for row_step, col_step in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            there = (place[0] + row_step, place[1] + col_step)
            if there in came_from:
                continue
            if not (_is_in(mask, there) and mask[there]):
                return _way_back(came_from, place), there
            came_from[there] = place
            frontier.append(there)
    raise AssertionError("a hole is surrounded by its mask, and the mask by background")


def _way_back(
    came_from: dict[tuple[int, int], tuple[int, int] | None], place: tuple[int, int]
) -> list[tuple[int, int]]:
    way = []
    previous = came_from[place]
    while previous is not None:
        way.append(place)
        place, previous = previous, came_from[previous]
    return way
