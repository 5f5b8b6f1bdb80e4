"""Foci of uptake per scan, by contrast and region, on people and on phantoms without lesions.

They are found in two ways. By the model: a focus is a piece of at least 4 pixels where its probabilities of lesion and
of benign uptake together reach 0.4. Its contrast is its hottest pixel over the upper quartile of a ring 4 to 7 pixels
outside it, less 1, on counts that a Gaussian of 1 pixel has smoothed.

By counts alone, which also finds what the model misses, and normal joints: a hot spot is a local maximum of these
smoothed counts on bone, compared with the median of the same bone's pixels 5 to 12 pixels away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.pipeline import DEFAULT_MODEL, load_model
from bonescan.prediction import Prediction
from bonescan.study import IS_BONE, REGIONS, FloatImage, Study, View
from quality import predicted

BINS = (0.5, 1.0, 2.0, 3.0)
LEAST_PROBABILITY, LEAST_PX = 0.4, 4
_INNER, _OUTER = 3, 7
"""Dilations between which the ring lies."""
SMOOTHED = 1.0
"""Standard deviation, pixels."""
APART, NEAR, FAR = 3, 5, 12
"""Pixels: within the first a hot spot is the hottest; between the others its surroundings lie."""
LEAST_AROUND = 20
"""Pixels of the same bone around a hot spot."""
LEAST_SIGMAS = 7.0
"""The least excess of a hot spot over the noise of its smoothed surroundings."""


@dataclass(frozen=True, slots=True)
class HotSpot:
    """A local maximum of the smoothed counts.

    region: value of REGIONS. contrast: over its surroundings, less 1. width: full width at half maximum in pixels, the
    diameter of a disc of as many pixels. sharpness: slope at that outline, in shares of the excess per pixel.
    """

    region: int
    contrast: float
    width: float
    sharpness: float


def foci_figures(people: Sequence[Study], phantoms: Sequence[Study]) -> dict[str, Any]:
    """Both kinds of scans alike, per scan."""
    model = load_model(DEFAULT_MODEL)
    report = {}
    for name, studies in (("people", people), ("phantoms", phantoms)):
        predictions = [predicted(study, model)[0] for study in studies]
        found = [focus for study, known in zip(studies, predictions, strict=True) for focus in _foci(study, known)]
        numbers = Counter(int(np.searchsorted(BINS, contrast, side="right")) for contrast, _ in found)
        hot = Counter(region for contrast, region in found if contrast >= 1)
        spots = [
            [spot for view in View for spot in hot_spots(study.counts(view), known.region[view])]
            for study, known in zip(studies, predictions, strict=True)
        ]
        report[name] = {
            "by_contrast": {_bin(place): numbers[place] / len(studies) for place in range(len(BINS) + 1)},
            "from_contrast_1_by_region": {region: number / len(studies) for region, number in hot.most_common()},
            "by_counts_alone": {f"from_contrast_{least}": _summary(spots, least) for least in (1, 2)},
        }
        print(f"{name}: foci per scan by contrast:", report[name]["by_contrast"])
        print(f"{name}: hot spots by counts alone:", report[name]["by_counts_alone"])
    return report


def hot_spots(counts: FloatImage, regions: NDArray[np.uint8]) -> list[HotSpot]:
    """The hot spots of one view with a contrast of at least 1. counts, regions: (rows, cols), values of REGIONS."""
    smooth = ndimage.gaussian_filter(counts.astype(np.float64), SMOOTHED)
    slope = np.hypot(*np.gradient(smooth))
    peaks = (smooth == ndimage.maximum_filter(smooth, 2 * APART + 1)) & IS_BONE[regions]
    found = []
    for row, col in np.argwhere(peaks):
        top, left = max(0, int(row) - FAR), max(0, int(col) - FAR)
        around = np.s_[top : row + FAR + 1, left : col + FAR + 1]
        own, (rows, cols) = smooth[around], np.indices(smooth[around].shape)
        distance = np.hypot(rows + top - row, cols + left - col)
        ring = (regions[around] == regions[row, col]) & (distance >= NEAR) & (distance <= FAR)
        if ring.sum() < LEAST_AROUND:
            continue
        ground = float(np.median(own[ring]))
        excess = float(smooth[row, col]) - ground
        # The variance of Poisson counts after a Gaussian is their mean over 4 pi sigma^2.
        noise = np.sqrt(ground / (4 * np.pi * SMOOTHED**2))
        if ground > 0 and excess >= max(ground, LEAST_SIGMAS * noise):
            pieces, _ = ndimage.label(own - ground >= excess / 2)
            inside = pieces == pieces[row - top, col - left]
            edge = inside & ~ndimage.binary_erosion(inside, border_value=1)
            width = 2 * np.sqrt(inside.sum() / np.pi)
            sharpness = float(np.median(slope[around][edge])) / excess
            found.append(HotSpot(int(regions[row, col]), excess / ground, float(width), sharpness))
    return found


def _summary(spots: Sequence[Sequence[HotSpot]], least: float) -> dict[str, Any]:
    """Of hot spots of at least a contrast: the number in the median scan, means per scan, median width, sharpness."""
    chosen = [[spot for spot in scan if spot.contrast >= least] for scan in spots]
    every = [spot for scan in chosen for spot in scan]
    where = Counter(REGIONS[spot.region].value for spot in every)
    return {
        "median_per_scan": float(np.median([len(scan) for scan in chosen])),
        "per_scan": round(len(every) / len(chosen), 2),
        "by_region": {region: round(number / len(chosen), 2) for region, number in where.most_common()},
        "width_px": round(float(np.median([spot.width for spot in every])), 2) if every else None,
        "sharpness": round(float(np.median([spot.sharpness for spot in every])), 3) if every else None,
    }


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
