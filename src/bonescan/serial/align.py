"""Where a place of one scan lies in another scan of the same patient, view by view.

First the bones: the middle of each region, left and right apart, gives an affine map by weighted least squares. Then
the counts: the map is refined until the smoothed square roots of both scans agree best (`scipy.optimize`). The
remaining difference at each bone (for example of moved arms) is added around that bone. What still remains at one
lesion is found from the counts around it (`Surroundings`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import least_squares

from bonescan.lesions.measure import MIDLINE_REGIONS, midline_columns
from bonescan.prediction import RegionMap
from bonescan.study import BONE_REGIONS, REGIONS, FloatImage, Lesion, Region

LEAST_PX = 30
"""A region of fewer pixels in either scan is no landmark."""
REACH_PX = 60.0
"""Distance at which the correction at a landmark has fallen to 14 % (two standard deviations of a Gaussian)."""
COARSE = 4
"""Counts are compared on blocks of so many pixels along each edge."""
MOST_NUDGE_PX = 6
"""How far a lesion's surroundings may lie beside where the alignment of the whole view expects them."""
SURROUNDINGS_PX = 16
"""How far around a lesion counts are compared."""
MOST_PLACES = 4000
"""Around a large lesion, so many evenly chosen places are compared and no more."""
OWN_PX = 3
"""The blur of the camera carries a lesion's counts this far beyond its outline: they are not compared."""
NUDGE_COST = 0.02
"""Relative rise of the residual at a distance of one pixel, and with its square: where little tells, do not move."""
CHANGED = 0.5
"""A difference counts up to this share of the usual level: more is a change, such as an emptied bladder."""
BRIGHTEST = 1.3
"""Roots are capped at this multiple of the body's 80th percentile, so that no hot bladder dominates."""
SMOOTHING_PX = 1.5
_STEPS = np.array([20.0, 20.0, 0.05, 0.05, 0.05, 0.05])
"""Typical sizes of the parameters: shifts in pixels, the rest as parts of 1; they scale the search."""
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One view of one scan: counts and region map, (rows, cols) as acquired. window: the rows and columns of it that
    were looked at; None: all."""

    counts: FloatImage
    regions: RegionMap
    window: tuple[slice, slice] | None = None

    def bounds(self) -> tuple[Points, Points]:
        """The first and the last (row, col) that the scan shows: in its window, from the first to the last counts.

        Without any counts the last lies before the first.
        """
        counted = np.zeros(self.counts.shape, dtype=np.bool_)
        window = self.window or (slice(None), slice(None))
        counted[window] = self.counts[window] > 0
        places = np.argwhere(counted).astype(np.float64)
        if not len(places):
            return np.zeros(2), np.full(2, -1.0)
        return places.min(axis=0), places.max(axis=0)

    def shows(self, places: Points) -> NDArray[np.bool_]:
        """Which of (n, 2) places the scan shows."""
        first, last = self.bounds()
        return np.asarray(((places > first - 0.5) & (places < last + 0.5)).all(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """From places (row, col) in the new view to those in the old one.

    matrix: (2, 2) and shift: (2,) of the affine part. places, left_over: (n, 2) landmarks of the new view and what the
    affine part leaves at each, in pixels.
    """

    matrix: Points
    shift: Points
    places: Points
    left_over: Points

    def to_old(self, points: Points) -> Points:
        """Map (n, 2) places of the new view into the old one."""
        mapped = points @ self.matrix.T + self.shift
        if not len(self.places):
            return mapped
        distance = np.linalg.norm(points[:, None] - self.places[None], axis=2)
        weight = np.exp(-0.5 * (distance / (REACH_PX / 2)) ** 2)
        total = np.maximum(weight.sum(axis=1), 1.0)[:, None]
        return np.asarray(mapped + weight @ self.left_over / total)

    def to_new(self, points: Points) -> Points:
        """Map (n, 2) places of the old view into the new one: the inverse of `to_old`, by iteration."""
        back = np.linalg.inv(self.matrix).T
        found = (points - self.shift) @ back
        for _ in range(5):
            found = found + (points - self.to_old(found)) @ back
        return np.asarray(found)


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """Finds the pixels of a lesion of one scan in the other, by the counts around the lesion.

    The alignment of a whole view is off by a pixel or two in places, which changes the counts under a small outline by
    a third. own, other: smoothed square roots of the counts of the lesion's view in its own scan and in the other
    (`smoothed`). mapping: from places of the one to places of the other.
    """

    own: Points
    other: Points
    mapping: Callable[[Points], Points]

    def places(self, lesion: Lesion) -> Points:
        """Return the (n, 2) places of the lesion's pixels in the other scan."""
        rows, cols = (
            slice(max(part.start - SURROUNDINGS_PX, 0), part.stop + SURROUNDINGS_PX) for part in lesion.window
        )
        inside = np.zeros(self.own.shape, dtype=np.bool_)
        inside[lesion.window] = lesion.mask
        inside = inside[rows, cols]
        corner = np.array([rows.start, cols.start], dtype=np.float64)
        around = np.argwhere(~ndimage.binary_dilation(inside, iterations=OWN_PX))
        around = around[:: len(around) // MOST_PLACES + 1]
        expected = self.mapping(around + corner)
        within = ((expected >= 0) & (expected < self.other.shape)).all(axis=1)
        wanted = self.own[rows, cols][tuple(around.T)]
        return self.mapping(np.argwhere(inside) + corner) + self._nudge(expected[within], wanted[within])

    def _nudge(self, expected: Points, wanted: Points) -> Points:
        """The shift of the expected places at which the other scan agrees best with what is wanted."""
        steps = np.arange(-MOST_NUDGE_PX, MOST_NUDGE_PX + 1)
        shifts = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        far = (shifts**2).sum(axis=1)
        # Of shifts that agree equally well, as where nothing was counted, the first is taken: that must be none.
        order = np.argsort(far, kind="stable")[: np.count_nonzero(far <= MOST_NUDGE_PX**2)]
        shifts, far = shifts[order], far[order]
        places = (expected + shifts[:, None]).reshape(-1, 2)
        there = ndimage.map_coordinates(self.other, places.T, order=1, mode="nearest").reshape(len(shifts), -1)
        level, other_level = (float(np.median(values)) if values.size else 0.0 for values in (wanted, there[0]))
        if level <= 0 or other_level <= 0:
            return np.zeros(2)
        difference = np.minimum(np.abs(there * (level / other_level) - wanted), CHANGED * level)
        return np.asarray(shifts[int(np.argmin((difference**2).sum(axis=1) * (1 + NUDGE_COST * far)))])


def smoothed(counts: FloatImage) -> Points:
    """Square roots of counts, whose noise is the same everywhere, smoothed and capped."""
    return _capped(ndimage.gaussian_filter(np.sqrt(counts.astype(np.float64)), SMOOTHING_PX))


def align(old: Seen, new: Seen) -> Alignment:
    """Return the map from the new view to the old one. Without common bones it comes from the counts alone."""
    before, after = _landmarks(old), _landmarks(new)
    names = [name for name in after if name in before]
    target = np.array([before[name][0] for name in names]).reshape(-1, 2)
    source = np.array([after[name][0] for name in names]).reshape(-1, 2)
    weight = np.array([min(before[name][1], after[name][1]) for name in names], dtype=np.float64) ** 0.5
    matrix, shift = _fit(source, target, weight)
    matrix, shift = _refine(old, new, matrix, shift)
    left_over = target - (source @ matrix.T + shift)
    # A middle moves by what the field of view cuts off, too: only what is more than a pixel or two is followed.
    far = np.linalg.norm(left_over, axis=1) > 4.0
    return Alignment(matrix, shift, source[far], left_over[far])


def _landmarks(seen: Seen) -> dict[tuple[Region, int], tuple[Points, int]]:
    """The middle (row, col) of each region and side, and its pixels; not of a region that the scan's end cuts off."""
    middle = midline_columns(seen.regions, seen.counts)
    (first, _), (last, _) = seen.bounds()
    found = {}
    for region in BONE_REGIONS:
        rows, cols = np.nonzero(seen.regions == REGIONS.index(region))
        if rows.size and (rows.min() < first + 2 or rows.max() > last - 2):
            continue
        sides = (
            np.zeros(rows.size, dtype=np.int64)
            if region in MIDLINE_REGIONS
            else np.sign(cols - middle[rows]).astype(int)
        )
        for side in np.unique(sides):
            own = sides == side
            if own.sum() >= LEAST_PX:
                found[region, int(side)] = (np.array([rows[own].mean(), cols[own].mean()]), int(own.sum()))
    return found


def _fit(source: Points, target: Points, weight: Points) -> tuple[Points, Points]:
    """Affine least squares; a shift alone where there are too few landmarks, no move where there are none."""
    if len(source) < 4:
        shift = np.zeros(2) if not len(source) else np.average(target - source, axis=0, weights=weight)
        return np.eye(2), np.asarray(shift)
    kept = weight.copy()
    for _ in range(3):
        design = np.concatenate([source, np.ones((len(source), 1))], axis=1) * kept[:, None]
        solved, *_ = np.linalg.lstsq(design, target * kept[:, None], rcond=None)
        error = np.linalg.norm(target - (source @ solved[:2] + solved[2]), axis=1)
        kept = weight / np.maximum(error / max(float(np.median(error)), 1.0), 1.0)
    return np.asarray(solved[:2].T), np.asarray(solved[2])


def _refine(old: Seen, new: Seen, matrix: Points, shift: Points) -> tuple[Points, Points]:
    """Move the affine map until the counts agree; they are compared as smoothed square roots over their own scale."""
    (first, _), (last, _) = old.bounds()
    moving = _coarse(new.counts)
    grid = np.indices(moving.shape).reshape(2, -1).T * COARSE + (COARSE - 1) / 2
    body = moving.ravel() > 0.15
    grid, wanted = grid[body], moving.ravel()[body]
    centre = grid.mean(axis=0) if len(grid) else np.zeros(2)
    anchor = matrix @ centre + shift

    def residual(parameters: Points) -> Points:
        turned = matrix + (parameters[2:] * _STEPS[2:]).reshape(2, 2)
        places = (grid - centre) @ turned.T + anchor + parameters[:2] * _STEPS[:2]
        places = (places - (first, 0) - (COARSE - 1) / 2) / COARSE
        return np.asarray(ndimage.map_coordinates(target, places.T, order=1, mode="nearest") - wanted)

    if len(grid) < 100 or last - first < COARSE:
        return matrix, shift
    # Without the empty rows where a scan ends early: the body is not to be drawn away from them.
    target = _coarse(old.counts[int(first) : int(last) + 1])
    step = np.full(6, 0.01)
    solved = least_squares(residual, np.zeros(6), diff_step=step, loss="soft_l1", f_scale=0.1, max_nfev=40).x
    turned = matrix + (solved[2:] * _STEPS[2:]).reshape(2, 2)
    return turned, anchor + solved[:2] * _STEPS[:2] - turned @ centre


def _coarse(counts: FloatImage) -> Points:
    """Block means, square root, smoothed and capped."""
    rows, cols = (size // COARSE * COARSE for size in counts.shape)
    blocks = counts[:rows, :cols].reshape(rows // COARSE, COARSE, cols // COARSE, COARSE).mean(axis=(1, 3))
    return _capped(ndimage.gaussian_filter(np.sqrt(blocks.astype(np.float64)), 1.0))


def _capped(root: Points) -> Points:
    """Over the body's 80th percentile, at most `BRIGHTEST`."""
    scale = float(np.percentile(root[root > 0.2 * root.max()], 80)) if root.max() > 0 else 1.0
    return np.asarray(np.minimum(root / scale, BRIGHTEST))
