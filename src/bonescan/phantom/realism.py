"""How a scan's counts compare with real adult scans: the table of six measured scans, and the same figures of any scan.

The ranges are those of six real adult whole-body scans (four GE, two Siemens). Everything is relative to the
median body pixel, so that dose cancels. Used by `benchmarks/realism.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bonescan.study import FloatImage, Mask, Study, View

Range = tuple[float, float]

BANDS: tuple[tuple[int, int], ...] = (
    (0, 5), (5, 10), (10, 15), (15, 20), (20, 25), (25, 30), (30, 35), (35, 40), (40, 45), (45, 50), (50, 55),
    (55, 65), (65, 75), (75, 90), (90, 100),
)  # fmt: skip
"""Heights in per cent of the body from the vertex."""

PROFILES: dict[tuple[View, str], tuple[Range, ...]] = {
    (View.ANTERIOR, "midline"): (
        (2.2, 4.4), (3.0, 5.6), (3.0, 5.7), (3.8, 7.5), (4.3, 6.1), (2.4, 3.8), (2.0, 3.6), (2.9, 4.4), (2.1, 3.4),
        (2.9, 15.4), (0.4, 2.0), (0.0, 0.5), (0.0, 0.5), (0.0, 0.6), (0.0, 0.8),
    ),
    (View.ANTERIOR, "paramedian"): (
        (1.3, 1.9), (1.5, 2.2), (0.6, 0.9), (1.4, 2.3), (1.5, 2.2), (1.1, 1.9), (1.1, 1.9), (0.9, 1.5), (1.9, 2.8),
        (1.9, 3.2), (0.5, 1.2), (0.4, 0.8), (0.6, 1.6), (0.3, 1.2), (0.1, 1.7),
    ),
    (View.POSTERIOR, "midline"): (
        (2.1, 3.5), (2.3, 3.6), (2.5, 4.9), (3.1, 5.3), (4.1, 6.2), (4.0, 6.6), (4.7, 6.6), (4.1, 5.7), (3.6, 4.7),
        (1.9, 8.0), (0.5, 1.3), (0.1, 0.5), (0.0, 0.5), (0.0, 0.6), (0.0, 0.9),
    ),
    (View.POSTERIOR, "paramedian"): (
        (1.2, 1.8), (1.4, 2.5), (0.5, 0.9), (1.4, 2.1), (1.6, 2.3), (1.3, 2.0), (1.6, 2.5), (1.0, 1.9), (2.4, 3.3),
        (1.8, 2.8), (0.6, 1.4), (0.4, 0.7), (0.6, 1.2), (0.3, 1.3), (0.1, 1.5),
    ),
}  # fmt: skip
"""Mean counts over the median body pixel by height: midline = central 11 columns, paramedian = 15 to 38 columns off."""

SCALARS: dict[str, Range] = {
    "counts (million)": (0.36, 3.1),
    "median body pixel (counts)": (3, 24),
    "99th percentile (counts)": (21, 159),
    "maximum (counts)": (38, 582),
    "25th percentile / median": (0.33, 0.67),
    "75th percentile / median": (1.6, 2.0),
    "90th percentile / median": (2.8, 3.3),
    "97th percentile / median": (4.2, 5.7),
    "99th percentile / median": (5.6, 7.7),
    "99.7th percentile / median": (6, 18),
    "air (counts)": (0.1, 0.5),
    "body height (rows)": (653, 723),
    "body width (columns)": (189, 225),
    "body pixels": (67_000, 88_000),
    "first body row": (19, 161),
}
"""Whole-frame figures of one view."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the comparison: its name and the range of the real scans."""

    name: str
    real: Range


def cells() -> list[Cell]:
    """All cells, in the order of `figures`."""
    out = [Cell(f"{view}: {name}", real) for view in (View.ANTERIOR, View.POSTERIOR) for name, real in SCALARS.items()]
    for (view, place), ranges in PROFILES.items():
        out += [Cell(f"{view} {place} {lo}-{hi} %", real) for (lo, hi), real in zip(BANDS, ranges, strict=True)]
    return out


def body_of(counts: FloatImage) -> Mask:
    """The body: smoothed counts above two thirds of the frame's (clipped) mean, small islands dropped."""
    smooth = ndimage.gaussian_filter(counts, 2.0)
    mask = smooth > 0.65 * np.minimum(smooth, np.percentile(smooth, 98)).mean()
    labels, n = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    keep = sizes >= 400
    keep[0] = False
    return np.asarray(keep[labels])


def figures(study: Study) -> list[float]:
    """All figures of one two-view study, in the order of `cells`."""
    scalars, profiles = [], []
    for view in (View.ANTERIOR, View.POSTERIOR):
        counts = study.counts(view)
        body = body_of(counts)
        scalars += _scalars(counts, body)
        profiles += _profiles(counts, body)
    return scalars + profiles


def _scalars(counts: FloatImage, body: Mask) -> list[float]:
    values = counts[body]
    median = max(float(np.median(values)), 1e-6)
    rows, cols = np.nonzero(body.any(axis=1))[0], np.nonzero(body.any(axis=0))[0]
    near = ndimage.binary_dilation(body, iterations=6)
    height = int(rows[-1] - rows[0] + 1)
    return [
        float(counts.sum()) / 1e6,
        median,
        float(np.percentile(values, 99)),
        float(values.max()),
        *(float(np.percentile(values, q)) / median for q in (25, 75, 90, 97, 99, 99.7)),
        float(counts[~near].mean()),
        height,
        int(cols[-1] - cols[0] + 1),
        int(body.sum()),
        int(rows[0]),
    ]


def _profiles(counts: FloatImage, body: Mask) -> list[float]:
    rows = np.nonzero(body.any(axis=1))[0]
    top, height = rows[0], rows[-1] - rows[0] + 1
    median = max(float(np.median(counts[body])), 1e-6)
    trunk = body[top + int(0.15 * height) : top + int(0.45 * height)]
    centre = round(float(np.median(np.nonzero(trunk)[1])))
    offset = np.abs(np.arange(counts.shape[1]) - centre)
    out = []
    for columns in (offset <= 5, (offset >= 15) & (offset <= 38)):
        for low, high in BANDS:
            band = counts[top + int(low / 100 * height) : top + int(high / 100 * height)]
            out.append(float(band[:, columns].mean()) / median)
    return out
