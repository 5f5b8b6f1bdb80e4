"""A plain classifier on patches, phantom against person. Used by `realism.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from bonescan.phantom.realism import body_of
from bonescan.study import REGIONS, FloatImage, Region
from realism_regions import Registered

SIZE = 64
PATCHES = 120
"""Patches of each scan."""
COUNTS = 400_000
"""Counts a view to which every scan is thinned, so that dose does not tell them apart."""
LEAST_SHARE = 0.08
"""A patch counts for a region that covers at least this share of it."""


def patch_figures(scans: Sequence[Registered]) -> dict[str, Any]:
    """Area under the ROC curve over all patches and by region; 0.5 = cannot be told apart."""
    rng = np.random.default_rng(17)
    features, labels, groups, shown = [], [], [], []
    for number, scan in enumerate(scans):
        for patch, regions in _patches(scan, rng):
            features.append(_features(patch))
            labels.append(scan.person)
            groups.append(number)
            shown.append(regions)
    x, y, g = np.array(features), np.array(labels), np.array(groups)
    scores = np.zeros(len(y))
    folds = StratifiedGroupKFold(
        n_splits=min(5, int(min(len(set(g[y])), len(set(g[~y]))))), shuffle=True, random_state=1
    )
    for train, test in folds.split(x, y, g):
        forest = ExtraTreesClassifier(400, min_samples_leaf=3, class_weight="balanced", random_state=1)
        scores[test] = forest.fit(x[train], y[train]).predict_proba(x[test])[:, 1]
    by_region = {}
    for value, region in enumerate(REGIONS):
        here = np.array([regions[value] >= LEAST_SHARE for regions in shown])
        if region is not Region.BACKGROUND and here.sum() >= 60 and len(set(y[here])) == 2:
            by_region[str(region)] = round(float(roc_auc_score(y[here], scores[here])), 3)
    return {"auc": round(float(roc_auc_score(y, scores)), 4), "patches": len(y), "by_region": by_region}


def _patches(scan: Registered, rng: np.random.Generator) -> list[tuple[FloatImage, NDArray[np.float64]]]:
    """Patches at random places of the body, in the scan's own pixels, with the share of each region."""
    out = []
    for channel in (0, 1):
        counts = scan.native[channel]
        share = min(1.0, COUNTS / max(float(counts.sum()), 1.0))
        thinned = rng.binomial(np.rint(counts).astype(np.int64), share).astype(np.float32)
        rows, cols = np.nonzero(body_of(counts))
        half = SIZE // 2
        padded = np.pad(thinned, half)
        padded_regions = np.pad(scan.native_regions[channel], half)
        for pick in rng.integers(len(rows), size=PATCHES // 2):
            window = (slice(rows[pick], rows[pick] + SIZE), slice(cols[pick], cols[pick] + SIZE))
            regions = np.bincount(padded_regions[window].ravel(), minlength=len(REGIONS)) / SIZE**2
            out.append((padded[window], regions))
    return out


def _features(patch: FloatImage) -> NDArray[np.float64]:
    """Coarse picture, gradients by direction and scale, and contrast by scale, of the patch's smoothed square root."""
    root = np.sqrt(ndimage.gaussian_filter(patch, 1.2))
    coarse = root.reshape(8, 8, 8, 8).mean(axis=(1, 3))
    out = [coarse.ravel(), np.percentile(root, (5, 25, 50, 75, 95, 99))]
    for sigma in (1.0, 2.0, 4.0):
        down, across = (ndimage.gaussian_filter(root, sigma, order=order) for order in ((1, 0), (0, 1)))
        angle, size = np.arctan2(down, across) % np.pi, np.hypot(down, across)
        histogram, _ = np.histogram(angle, bins=8, range=(0, np.pi), weights=size)
        band = ndimage.gaussian_filter(root, sigma) - ndimage.gaussian_filter(root, 2 * sigma)
        out += [histogram / 64, [size.mean(), size.std(), band.std(), np.abs(band).max()]]
    return np.concatenate([np.ravel(part) for part in out])
