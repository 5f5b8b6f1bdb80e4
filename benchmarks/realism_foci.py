"""Foci of uptake per scan, by contrast and region, on people and on phantoms without lesions.

A focus is a piece of at least 4 pixels where the model's probabilities of lesion and of benign uptake together reach
0.4. Its contrast is its hottest pixel over the upper quartile of a ring 4 to 7 pixels outside it, less 1, on counts
that a Gaussian of 1 pixel has smoothed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from bonescan.pipeline import DEFAULT_MODEL, load_model
from bonescan.prediction import Prediction
from bonescan.study import REGIONS, Study
from quality import predicted

BINS = (0.5, 1.0, 2.0, 3.0)
LEAST_PROBABILITY, LEAST_PX = 0.4, 4
_INNER, _OUTER = 3, 7
"""Dilations between which the ring lies."""


def foci_figures(people: Sequence[Study], phantoms: Sequence[Study]) -> dict[str, Any]:
    """Both kinds of scans alike, per scan."""
    model = load_model(DEFAULT_MODEL)
    report = {}
    for name, studies in (("people", people), ("phantoms", phantoms)):
        found = [focus for study in studies for focus in _foci(study, predicted(study, model)[0])]
        numbers = Counter(int(np.searchsorted(BINS, contrast, side="right")) for contrast, _ in found)
        hot = Counter(region for contrast, region in found if contrast >= 1)
        report[name] = {
            "by_contrast": {_bin(place): numbers[place] / len(studies) for place in range(len(BINS) + 1)},
            "from_contrast_1_by_region": {region: number / len(studies) for region, number in hot.most_common()},
        }
        print(f"{name}: foci per scan by contrast:", report[name]["by_contrast"])
    return report


def _bin(place: int) -> str:
    """The name of a bin of contrast."""
    edges = [str(edge) for edge in ("0", *BINS)]
    return f"{edges[place]} to {edges[place + 1]}" if place < len(BINS) else f"{edges[place]} and more"


def _foci(study: Study, prediction: Prediction) -> list[tuple[float, str]]:
    """Contrast and region of each focus of both views."""
    found = []
    for view in study.scans:
        benign = 0 if prediction.benign is None else prediction.benign[view]
        labels, number = ndimage.label(prediction.lesion[view] + benign >= LEAST_PROBABILITY, np.ones((3, 3)))
        counts = ndimage.gaussian_filter(study.counts(view).astype(np.float64), 1.0)
        for focus, window in enumerate(ndimage.find_objects(labels, number), 1):
            around = tuple(slice(max(0, side.start - _OUTER - 1), side.stop + _OUTER + 1) for side in window)
            mask = labels[around] == focus
            inner, outer = (ndimage.binary_dilation(mask, iterations=steps) for steps in (_INNER, _OUTER))
            ring = outer & ~inner & (labels[around] == 0)
            if mask.sum() < LEAST_PX or not ring.any():
                continue
            own = counts[around]
            contrast = own[mask].max() / max(float(np.percentile(own[ring], 75)), 1e-3) - 1
            found.append((contrast, REGIONS[np.bincount(prediction.region[view][around][mask]).argmax()].value))
    return found
