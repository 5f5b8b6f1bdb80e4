"""Where a place of one scan lies in another scan of the same patient, view by view.

First the bones: the middle of each region, left and right apart, gives an affine map by weighted least squares. Then
the counts: the map is refined until the smoothed square roots of both scans agree best (`scipy.optimize`). The
remaining difference at each bone (for example of moved arms) is added around that bone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import least_squares

from bonescan.lesions.measure import MIDLINE_REGIONS, midline_columns
from bonescan.prediction import RegionMap
from bonescan.study import BONE_REGIONS, REGIONS, FloatImage, Region

LEAST_PX = 30
"""A region of fewer pixels in either scan is no landmark."""
REACH_PX = 60.0
"""Distance at which the correction at a landmark has fallen to 14 % (two standard deviations of a Gaussian)."""
COARSE = 4
"""Counts are compared on blocks of so many pixels along each edge."""
_STEPS = np.array([20.0, 20.0, 0.05, 0.05, 0.05, 0.05])
"""Typical sizes of the parameters: shifts in pixels, the rest as parts of 1; they scale the search."""
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One view of one scan: counts and region map, (rows, cols) as acquired."""

    counts: FloatImage
    regions: RegionMap


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
    """The middle (row, col) of each region and side, and its pixels; not of a region that the frame cuts off."""
    middle = midline_columns(seen.regions, seen.counts)
    found = {}
    for region in BONE_REGIONS:
        rows, cols = np.nonzero(seen.regions == REGIONS.index(region))
        if rows.size and (rows.min() < 2 or rows.max() > seen.regions.shape[0] - 3):
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
    target, moving = _coarse(old.counts), _coarse(new.counts)
    grid = np.indices(moving.shape).reshape(2, -1).T * COARSE + (COARSE - 1) / 2
    body = moving.ravel() > 0.15
    grid, wanted = grid[body], moving.ravel()[body]
    centre = grid.mean(axis=0) if len(grid) else np.zeros(2)
    anchor = matrix @ centre + shift

    def residual(parameters: Points) -> Points:
        turned = matrix + (parameters[2:] * _STEPS[2:]).reshape(2, 2)
        places = (grid - centre) @ turned.T + anchor + parameters[:2] * _STEPS[:2]
        there = ndimage.map_coordinates(target, ((places - (COARSE - 1) / 2) / COARSE).T, order=1, mode="nearest")
        return np.asarray(there - wanted)

    if len(grid) < 100:
        return matrix, shift
    step = np.full(6, 0.01)
    solved = least_squares(residual, np.zeros(6), diff_step=step, loss="soft_l1", f_scale=0.1, max_nfev=40).x
    turned = matrix + (solved[2:] * _STEPS[2:]).reshape(2, 2)
    return turned, anchor + solved[:2] * _STEPS[:2] - turned @ centre


def _coarse(counts: FloatImage) -> Points:
    """Block means, square root, smoothed, over the body's 80th percentile; capped, so that no hot bladder dominates."""
    rows, cols = (size // COARSE * COARSE for size in counts.shape)
    blocks = counts[:rows, :cols].reshape(rows // COARSE, COARSE, cols // COARSE, COARSE).mean(axis=(1, 3))
    root = ndimage.gaussian_filter(np.sqrt(blocks.astype(np.float64)), 1.0)
    scale = float(np.percentile(root[root > 0.2 * root.max()], 80)) if root.max() > 0 else 1.0
    return np.asarray(np.minimum(root / scale, 1.3))
