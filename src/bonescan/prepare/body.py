"""Whether a picture shows a body, where it lies, and whether its head is at the top; from counts alone.

The model's maps are not used: on noise, or on a body upside down, they show bones all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonescan.study import FloatImage, Mask

MOST_AT_SIDES = 0.5
"""Counts at the sides of a frame over those in its middle. Scans of bodies stay below 0.06, noise is above 0.6 from
0.03 counts per pixel on, and negative pictures are above 1."""
LEAST_HEAD_SCORE = -0.13
"""Scores below this say that the head is at the bottom. Whole bodies have more than 0.2, the lowest with raised arms;
upside down less than -0.2. Cut off at the knees they have more than -0.06."""
_LEAST_ELONGATION = 3.0
"""Height over width; a shorter part of a body cannot be told from one upside down."""
_BANDS = 32
_HALF_STRIP = 0.008
"""Half width of the strip along the midline, as a share of the body's height: the width of the spine."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """Where a body lies in a frame. rows: from its first to its last. warm: the pixels above the level of air."""

    rows: slice
    warm: Mask

    @property
    def height(self) -> int:
        """How many rows it spans."""
        return int(self.rows.stop - self.rows.start)


def find_body(counts: FloatImage, window: int = 9, least_px: int = 6) -> Body | None:
    """Return where the body lies, from counts smoothed by a box of `window` pixels; None where nothing is warm.

    Rows belong together when the gap between them is at most 2 % of the frame; the longest run is the
    body, so that a catheter bag or a marker beyond the feet does not count.
    """
    smooth = _box_mean(counts, window)
    # The 90th percentile of a frame is about 1.5 times the median of the body, and air is below a tenth of it.
    warm = smooth > 0.15 * float(np.percentile(smooth, 90))
    rows = np.flatnonzero(warm.sum(axis=1) >= min(least_px, counts.shape[1]))
    if rows.size == 0:
        return None
    gap = max(1, counts.shape[0] // 50)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > gap) + 1)
    longest = max(runs, key=lambda run: int(run[-1] - run[0]))
    return Body(slice(int(longest[0]), int(longest[-1]) + 1), warm)


def side_share(counts: FloatImage) -> float:
    """Return the counts at the sides of one view over those in its middle, per pixel; 0 where nothing was counted.

    Of the sides the emptier one counts, and of the heights the emptiest quarter: arms and hips may touch the sides,
    head and legs do not. Rows and columns without any count are left out: cameras leave a margin.
    """
    counted = counts[counts.any(axis=1)][:, counts.any(axis=0)]
    if counted.size == 0:
        return 0.0
    width, third = max(1, counted.shape[1] // 32), counted.shape[1] // 3
    bands = [band for band in np.array_split(counted, _BANDS) if band.size]
    sides = [min(float(band[:, :width].mean()), float(band[:, -width:].mean())) for band in bands]
    middle = float(counted[:, third : counted.shape[1] - third].mean())
    return min(float(np.percentile(sides, 25)) / max(middle, 1e-6), 100.0)


def head_score(counts: FloatImage, body: Body | None) -> float | None:
    """Return how much more the head is at the top than at the bottom, in -1..1; None without a whole body.

    counts: one view, or the sum of both, the posterior mirrored; body: where it lies in them. Along the midline a body
    is full from head to pelvis, and empty between the legs: the score is 1 - 2 m, m the mean height of the counts
    there, 0 = top, 1 = bottom.
    """
    if body is None:
        return None
    warm, inside = body.warm[body.rows], counts[body.rows]
    cols = np.nonzero(warm)[1]
    if body.height < _LEAST_ELONGATION * float(np.percentile(cols, 95) - np.percentile(cols, 5) + 1):
        return None
    off = np.abs(np.arange(counts.shape[1]) - np.median(cols))
    middle = inside[:, off <= max(1.0, _HALF_STRIP * body.height)].mean(axis=1, dtype=np.float64)
    # Limited, so that no hot place decides alone: a bladder, a lesion, a bag between the legs.
    middle = np.minimum(middle, 2.0 * float(inside[warm].mean(dtype=np.float64)))
    heights = (np.arange(body.height) + 0.5) / body.height
    return float(1.0 - 2.0 * (middle @ heights) / middle.sum()) if middle.any() else None


def head_at_bottom(counts: FloatImage) -> bool:
    """Tell whether a body is upside down; False where that cannot be told. counts: as in `head_score`."""
    score = head_score(counts, find_body(counts))
    return score is not None and score < LEAST_HEAD_SCORE


def _box_mean(counts: FloatImage, window: int) -> NDArray[np.float64]:
    """Mean over a window x window box around each pixel, edges repeated; as sums of sums, so fast."""
    half = window // 2
    padded = np.pad(counts.astype(np.float64), ((half + 1, half), (half + 1, half)), mode="edge")
    sums = padded.cumsum(axis=0).cumsum(axis=1)
    box = sums[window:, window:] - sums[:-window, window:] - sums[window:, :-window] + sums[:-window, :-window]
    return np.asarray(box / window**2)
