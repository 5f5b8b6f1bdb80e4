"""Whether the picture itself says that the two views were given the wrong way round.

From the front one sees the face, the sternum and the bladder; from behind the spine and the kidneys. The logarithms of
posterior over anterior counts, band by band along the midline and beside it, are weighed by a linear discriminant that
was fitted on simulated patients (`benchmarks/view_order.py`). An exchange of the views turns the sign of each.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from bonescan.prepare.body import MOST_AT_SIDES, head_at_bottom, side_share
from bonescan.prepare.normalise import body_mask
from bonescan.study import FloatImage

BANDS = (0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60)
"""Edges of the bands, per cent of the body's height from the vertex."""
STRIPS = ((0.0, 0.009), (0.022, 0.058))
"""Distances from the midline, as shares of the body's height: the spine and sternum, and what lies beside them."""
WEIGHTS = np.array([
    -1.004, -1.697, 0.185, -0.637, -0.536, 1.624, 2.375, 1.566, 0.804, -0.812, -0.32,
    -0.549, -0.532, -0.405, -0.523, 0.485, -0.091, 0.528, 0.638, 1.024, 0.229, -0.534,
])  # fmt: skip
"""Of each feature: the midline from the vertex down, then beside it."""
LEAST_SCORE = -0.5
"""Scores below this say that the views are exchanged; those of simulated patients have a standard deviation of 1."""
EXCHANGED = (
    "the views look exchanged: the one named anterior looks like a view from behind; look at the scan, and if they are "
    "exchanged, state them the other way round with --views"
)
_LEAST_ELONGATION = 2.2
"""Height over width of the body; the bands are those of a whole body."""
_FLOOR = 0.05


def order_features(pair: FloatImage) -> NDArray[np.float64] | None:
    """The features of a pair (2, rows, cols), the posterior view mirrored; None where it shows no whole body."""
    body = body_mask(pair.sum(axis=0))
    rows, cols = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    if rows.size == 0 or not all(view.any() for view in pair):
        return None
    top, height = int(rows[0]), int(rows[-1] - rows[0] + 1)
    if height < _LEAST_ELONGATION * (cols[-1] - cols[0] + 1):
        return None
    trunk = body[top + int(0.15 * height) : top + int(0.45 * height)]
    off = np.abs(np.arange(pair.shape[2]) - np.median(np.nonzero(trunk)[1])) / height
    edges = [top + round(share / 100 * height) for share in BANDS]
    typical = [float(np.median(view[body])) + _FLOOR for view in pair]
    features = []
    for near, far in STRIPS:
        strip = pair[:, :, (off >= near) & (off <= far)]
        for first, after in itertools.pairwise(edges):
            front, back = (
                float(strip[channel, first:after].mean()) / typical[channel] + _FLOOR for channel in range(2)
            )
            features.append(np.log(back / front))
    return np.array(features)


def order_score(pair: FloatImage) -> float | None:
    """How much more the views look as stated than exchanged, 0 = alike; None where that cannot be told."""
    features = order_features(pair)
    return None if features is None else float(features @ WEIGHTS)


def looks_exchanged(pair: FloatImage) -> bool:
    """Whether a pair (2, rows, cols), the posterior view mirrored, looks as if the views were exchanged.

    False where no body is seen or its head is at the bottom: the bands are then not those of a body, and the checks of
    quality say so.
    """
    score = order_score(pair)
    if score is None or score >= LEAST_SCORE:
        return False
    return max(side_share(view) for view in pair) <= MOST_AT_SIDES and not head_at_bottom(pair.sum(axis=0))
