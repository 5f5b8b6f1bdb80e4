"""Check whether a scan is fit for reading: a body, counts, field of view, position, length, tracer, saturation, motion.

Each check has one figure and a threshold. A figure beyond its threshold becomes a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.lesions.measure import midline_columns
from bonescan.prediction import Prediction, RegionMap
from bonescan.prepare.aggregate import binned_pair, binning_of, mirror
from bonescan.prepare.body import LEAST_HEAD_SCORE, MOST_AT_SIDES, Body, find_body, head_score, side_share
from bonescan.prepare.crop import USUAL_MM
from bonescan.study import REGIONS, FloatImage, QualityCheck, Region, Spacing, Study, View

LEAST_COUNTS = 0.35e6
"""Fewer than in any of six scans of adults that were measured (0.36 to 3.1 million a view)."""
WANTED_COUNTS = "guidelines ask for more than 1.5 million a view (SNMMI 2003, EANM 2016)"
EDGE_ROWS = 3
"""A body this close to the first or last counted row may extend beyond it."""
MOST_AT_END = 0.4
"""Counts of the body's outermost rows over those of the busiest rows in its outermost `_END_MM`, where it reaches the
first or last counted row. Heads and feet that are whole fade out: 0.08 to 0.27 in 14 simulated patients whose frames
began at the vertex, 0.15 to 0.32 in 37 whose frames ended at the toes, 0.14 in a person. Without the topmost 10 mm of
the head it is more than 0.55, cut at the ankles more than 0.7."""
ADULT_M = (1.35, 2.1)
"""Length from the vertex to the tips of the toes. Simulated adults have 1.41 to 1.97 m by their build; of forty those
whose ends were seen measured 1.44 to 1.79 m, and nine people 1.59 to 1.72 m."""
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
_END_ROWS, _END_MM, _HAND_MM = 4, 80.0, 80.0
_PELVIS = (Region.PELVIS, Region.ILIUM, Region.ISCHIUM, Region.PUBIS, Region.SACRUM)
_ARM = (Region.ARM, Region.HUMERUS, Region.FOREARM, Region.HAND)
_SKULL = (Region.SKULL, Region.FACE)
_SPINE = (Region.THORACIC_SPINE, Region.LUMBAR_SPINE)
_LEAST_SPINE_ROWS = 40


@dataclass(frozen=True, slots=True, eq=False)
class _Both:
    """Both views over one another, as seen from the front, at the network's pixel size.

    counts: their sum. body: where it lies, None without one. row_mm: None where no spacing is known.
    """

    counts: FloatImage
    body: Body | None
    row_mm: float | None

    def upside_down(self) -> _Both:
        """The same with its last row first."""
        body = self.body and Body(
            slice(len(self.counts) - self.body.rows.stop, len(self.counts) - self.body.rows.start), self.body.warm[::-1]
        )
        return replace(self, counts=self.counts[::-1], body=body)


def check_quality(study: Study, prediction: Prediction, region: str = "whole-body") -> tuple[QualityCheck, ...]:
    """Return all checks that can be made of these views; a thorax is not checked for field of view and bladder.

    Without a body, or with its head at the bottom, the checks that rely on where bones are would mislead: they are left
    out.
    """
    regions = prediction.region
    found = [_counts(study), _saturation(study), _body(study)]
    if found[-1].poor:
        return tuple(found)
    both = _both_views(study)
    upright = _upright(both)
    if upright is not None:
        found.append(upright)
        if upright.poor:
            return tuple(found)
    checks: tuple[Callable[[Study, Mapping[View, RegionMap]], QualityCheck | None], ...]
    checks = (_tilt, _other_tracer, _motion)
    if region == "whole-body":
        found += _field_of_view(study, regions, both)
        checks += (_bladder,)
    made = (check(study, regions) for check in checks)
    return (*found, *(check for check in made if check is not None))


def _both_views(study: Study) -> _Both:
    binning, counts = binning_of(study), binned_pair(study).sum(axis=0)
    return _Both(counts, find_body(counts), None if study.spacing is None else study.spacing.row_mm * binning)


def _body(study: Study) -> QualityCheck:
    """The view whose sides are least empty: a body has air beside it."""
    shares = {view: side_share(scan.counts) for view, scan in study.scans.items()}
    worst = max(shares, key=lambda view: shares[view])
    said = (
        f"no body is seen: the sides of the {worst} view have {shares[worst]:.0%} of the counts of its middle, as in "
        "noise or a negative picture; give a whole-body bone scan as it was counted"
    )
    return QualityCheck("body", shares[worst], MOST_AT_SIDES, shares[worst] > MOST_AT_SIDES, said)


def _upright(both: _Both) -> QualityCheck | None:
    score = head_score(both.counts, both.body)
    if score is None:
        return None
    said = (
        "the head seems to be at the bottom: bones, sides and lesions cannot be trusted; export the scan with the head "
        "at the top"
    )
    return QualityCheck("upright", score, LEAST_HEAD_SCORE, score < LEAST_HEAD_SCORE, said)


def _counts(study: Study) -> QualityCheck:
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


def _saturation(study: Study) -> QualityCheck:
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


def _field_of_view(study: Study, regions: Mapping[View, RegionMap], both: _Both) -> Iterator[QualityCheck]:
    """Whether head and feet are in the frame, and where both are, the length of the body."""
    vertex, feet = _vertex(both), _feet(both)
    yield from (vertex, feet)
    if both.body is None or study.spacing is None or both.row_mm is None or vertex.poor or feet.poor:
        return
    first = round(both.body.rows.start * binning_of(study))
    if not _arms_raised(regions, first, round(_HAND_MM / study.spacing.row_mm)):
        yield _length(both.body.height * both.row_mm / 1000, study.spacing)


def _vertex(both: _Both) -> QualityCheck:
    share = _at_last_rows(both.upside_down())
    said = "the body begins at the first row that was counted: the top of the skull, or more, is missing"
    return QualityCheck("vertex", share, MOST_AT_END, share > MOST_AT_END, said)


def _feet(both: _Both) -> QualityCheck:
    share = _at_last_rows(both)
    said = "the body goes on at the last row that was counted: the feet, or more, are missing"
    return QualityCheck("feet", share, MOST_AT_END, share > MOST_AT_END, said)


def _at_last_rows(both: _Both) -> float:
    """Counts of the last rows over those of the busiest rows above; 0 where the body ends before them.

    That the body reaches the last row is not enough: toes may end right there.
    """
    counted = np.flatnonzero(both.counts.any(axis=1))
    if both.body is None or counted.size <= _END_ROWS:
        return 0.0
    end = int(counted[-1]) + 1
    last = min(both.body.rows.stop, end)
    if end - last >= EDGE_ROWS:
        return 0.0
    first = max(last - max(2 * _END_ROWS, round(_END_MM / (both.row_mm or USUAL_MM))), 0)
    profile = both.counts[first:end, both.body.warm[first:last].any(axis=0)].sum(axis=1, dtype=np.float64)
    sums = np.convolve(profile, np.ones(_END_ROWS), mode="valid")
    return float(sums[-1] / max(float(sums.max()), 1.0))


def _length(metres: float, spacing: Spacing) -> QualityCheck:
    least, most = ADULT_M
    said = (
        f"the body is {metres:.2f} m long, and adults are {least} to {most} m: the patient is a child, for whom no "
        f"model was made, or the pixel spacing of {spacing.row_mm:.3g} mm is wrong, and with it all areas in mm"
    )
    nearer = least if metres < sum(ADULT_M) / 2 else most
    return QualityCheck("length", metres, nearer, not least <= metres <= most, said)


def _arms_raised(regions: Mapping[View, RegionMap], first: int, rows: int) -> bool:
    """Whether the uppermost rows of a body show arms and no skull. first, rows: the body's first row, and how many."""
    top = [region_map[first : first + rows] for region_map in regions.values()]
    return any(_is(part, _ARM).any() for part in top) and not any(_is(part, _SKULL).any() for part in top)


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
