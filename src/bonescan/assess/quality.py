"""Check whether a scan is fit for reading: counts, field of view, position, tracer over bone, saturation, motion.

Each check has one figure and a threshold. A figure beyond its threshold becomes a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.lesions.measure import midline_columns
from bonescan.prediction import Prediction, RegionMap
from bonescan.prepare.aggregate import mirror
from bonescan.prepare.normalise import body_mask
from bonescan.study import REGIONS, FloatImage, QualityCheck, Region, Study, View

LEAST_COUNTS = 0.35e6
"""Fewer than in any of six scans of adults that were measured (0.36 to 3.1 million a view)."""
WANTED_COUNTS = "guidelines ask for more than 1.5 million a view (SNMMI 2003, EANM 2016)"
EDGE_ROWS = 3
"""A body this close to the first or last counted row is taken to extend beyond it."""
MOST_TILT = 6.0
"""Degrees between the spine and the frame's columns. Simulated patients stay below 3, except with severe scoliosis."""
MOST_BLADDER = 0.45
"""Bladder over bladder and pelvic bones, by area in the anterior view. Above it the bladder covers sacrum and pubis."""
MOST_OTHER_TRACER = 0.03
"""Share of the counts that lies in one place outside bones and urinary tract."""
MOST_AT_MAXIMUM = 6
"""Pixels that hold the maximum, if that is at least `LEAST_MAXIMUM`. With counting noise there are one or two."""
LEAST_MAXIMUM = 60.0
MOST_JUMP_PX = 4
"""Columns by which the body jumps from one row to the next, equally in both views: about 9 mm."""

LEAST_GAIN = 0.5
"""The squared difference of the rows above and below must fall to this share of what it is without a shift."""

_BAND, _MOST_LAG = 4, 12
_PELVIS = (Region.PELVIS, Region.ILIUM, Region.ISCHIUM, Region.PUBIS, Region.SACRUM)
_ARM = (Region.ARM, Region.HUMERUS, Region.FOREARM, Region.HAND)
_SPINE = (Region.THORACIC_SPINE, Region.LUMBAR_SPINE)
_LEAST_SPINE_ROWS = 40


def check_quality(study: Study, prediction: Prediction, region: str = "whole-body") -> tuple[QualityCheck, ...]:
    """Return all checks that can be made of these views; a thorax is not checked for field of view and bladder."""
    checks: tuple[Callable[[Study, Mapping[View, RegionMap]], QualityCheck | None], ...] = (
        _counts, _tilt, _other_tracer, _saturation, _motion,
    )  # fmt: skip
    if region == "whole-body":
        checks += (_vertex, _feet, _bladder)
    found = (check(study, prediction.region) for check in checks)
    return tuple(check for check in found if check is not None)


def _counts(study: Study, regions: Mapping[View, RegionMap]) -> QualityCheck:
    fewest = min(float(scan.counts.sum(dtype=np.float64)) for scan in study.scans.values())
    said = f"a view has {fewest / 1e6:.2f} million counts, few for a whole body: {WANTED_COUNTS}"
    return QualityCheck("counts", fewest, LEAST_COUNTS, fewest < LEAST_COUNTS, said)


def _tilt(study: Study, regions: Mapping[View, RegionMap]) -> QualityCheck | None:
    view = next(iter(study.scans))
    rows = np.flatnonzero(_is(regions[view], _SPINE).sum(axis=1) >= 3)
    if rows.size < _LEAST_SPINE_ROWS:
        return None
    slope = float(np.polyfit(rows, midline_columns(regions[view], study.counts(view))[rows], 1)[0])
    aspect = 1.0 if study.spacing is None else study.spacing.col_mm / study.spacing.row_mm
    degrees = abs(float(np.degrees(np.arctan(slope * aspect))))
    said = f"the spine stands {degrees:.0f} degrees askew: left and right may not compare"
    return QualityCheck("tilt", degrees, MOST_TILT, degrees > MOST_TILT, said)


def _other_tracer(study: Study, regions: Mapping[View, RegionMap]) -> QualityCheck:
    """The hottest single place outside bones and urinary tract. Beside an arm it is probably the injection site."""
    worst, arm = 0.0, False
    for view, scan in study.scans.items():
        labels, number = ndimage.label(_is(regions[view], (Region.OTHER_TRACER,)))
        if not number:
            continue
        sums = ndimage.sum_labels(scan.counts, labels, np.arange(1, number + 1))
        share = float(sums.max() / max(float(scan.counts.sum(dtype=np.float64)), 1.0))
        if share > worst:
            here = ndimage.binary_dilation(labels == int(np.argmax(sums)) + 1, iterations=8)
            worst, arm = share, bool(_is(regions[view], _ARM)[here].any())
    what = "at an arm, as after extravasation" if arm else "outside bones and urinary tract, as by contamination"
    said = f"{worst:.0%} of the counts lie in one place {what}: bone under it and near it cannot be judged"
    return QualityCheck("other tracer", worst, MOST_OTHER_TRACER, worst > MOST_OTHER_TRACER, said)


def _saturation(study: Study, regions: Mapping[View, RegionMap]) -> QualityCheck:
    most = 0
    for scan in study.scans.values():
        highest = float(scan.counts.max())
        if highest >= LEAST_MAXIMUM:
            most = max(most, int((scan.counts == highest).sum()))
    said = f"{most} pixels hold the very maximum, as where counts are cut off: uptake there is higher than it says"
    return QualityCheck("saturation", float(most), float(MOST_AT_MAXIMUM), most > MOST_AT_MAXIMUM, said)


def _motion(study: Study, regions: Mapping[View, RegionMap]) -> QualityCheck | None:
    """The largest sideways jump of the body that both views show at one row."""
    if len(study.scans) < len(View):
        return None
    jumps = [
        _jumps(mirror(scan.counts) if view is View.POSTERIOR else scan.counts) for view, scan in study.scans.items()
    ]
    same = np.sign(jumps[0]) == np.sign(jumps[1])
    both = np.where(same, np.minimum(np.abs(jumps[0]), np.abs(jumps[1])), 0)
    # A jump shows in two neighbouring rows; a single row is an outlier.
    jump = float(ndimage.minimum_filter1d(both, 2).max()) if both.size else 0.0
    said = f"the body jumps by {jump:.0f} pixels from one row to the next: the patient moved while it was scanned"
    return QualityCheck("motion", jump, float(MOST_JUMP_PX), jump >= MOST_JUMP_PX, said)


def _jumps(counts: FloatImage) -> NDArray[np.float64]:
    """The shift in columns between the few rows above and the few rows below each row, by the best correlation.

    0 where there are too few counts, or no shift fits clearly better than none.
    """
    root = ndimage.gaussian_filter1d(np.sqrt(counts), 1.0, axis=1)
    sums = np.pad(root.cumsum(axis=0, dtype=np.float64), ((1, 0), (0, 0))).astype(np.float32)
    above = sums[_BAND:-_BAND] - sums[: -2 * _BAND]
    below = sums[2 * _BAND :] - sums[_BAND:-_BAND]
    seen = np.minimum(above.sum(axis=1), below.sum(axis=1)) > 0.25 * _BAND * counts.shape[1]
    wide = np.pad(below, ((0, 0), (_MOST_LAG, _MOST_LAG)))
    lags = np.arange(-_MOST_LAG, _MOST_LAG + 1)
    fit = np.stack(
        [np.einsum("rc,rc->r", above, wide[:, first : first + above.shape[1]]) for first in lags + _MOST_LAG]
    )
    best = fit.argmax(axis=0)
    # Squared differences of the bands, at the same place and at the best one.
    squares = (above**2).sum(axis=1) + (below**2).sum(axis=1)
    clear = squares - 2 * fit.max(axis=0) < LEAST_GAIN * (squares - 2 * fit[_MOST_LAG])
    return np.where(seen & clear, lags[best], 0).astype(np.float64)


def _body_rows(study: Study) -> tuple[int, int, int]:
    """The body's first and last row, and the last row in which anything was counted."""
    body = np.zeros(study.shape[0], dtype=np.bool_)
    counted = np.zeros(study.shape[0], dtype=np.bool_)
    for scan in study.scans.values():
        body |= body_mask(scan.counts).any(axis=1)
        counted |= scan.counts.any(axis=1)
    rows = np.flatnonzero(body)
    return (int(rows[0]), int(rows[-1]), int(np.flatnonzero(counted)[-1])) if rows.size else (0, 0, 0)


def _vertex(study: Study, regions: Mapping[View, RegionMap]) -> QualityCheck:
    first, _, _ = _body_rows(study)
    said = "the body begins at the frame's first rows: the top of the skull is missing"
    return QualityCheck("vertex", float(first), float(EDGE_ROWS), first < EDGE_ROWS, said)


def _feet(study: Study, regions: Mapping[View, RegionMap]) -> QualityCheck:
    _, last, counted = _body_rows(study)
    left = max(counted - last, 0)
    said = "the body reaches the last row that was counted: the feet, or more, are missing"
    return QualityCheck("feet", float(left), float(EDGE_ROWS), left < EDGE_ROWS, said)


def _bladder(study: Study, regions: Mapping[View, RegionMap]) -> QualityCheck | None:
    view = View.ANTERIOR if View.ANTERIOR in study.scans else View.POSTERIOR
    bladder, bones = (float(_is(regions[view], wanted).sum()) for wanted in ((Region.BLADDER,), _PELVIS))
    if bladder + bones == 0:
        return None
    share = bladder / (bladder + bones)
    said = (
        f"the bladder covers {share:.0%} of the pelvis: sacrum and pubis cannot be judged; scan again when it is empty"
    )
    return QualityCheck("bladder", share, MOST_BLADDER, share > MOST_BLADDER, said)


def _is(regions: RegionMap, wanted: tuple[Region, ...]) -> NDArray[np.bool_]:
    return np.isin(regions, [REGIONS.index(region) for region in wanted])
