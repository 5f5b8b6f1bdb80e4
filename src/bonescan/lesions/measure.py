"""What is measured of each lesion and of each view, on masks and in counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.lesions.delineate import Outline
from bonescan.prediction import Prediction, RegionMap
from bonescan.prepare.aggregate import binning_of
from bonescan.study import (
    IS_BONE,
    REGIONS,
    Burden,
    FloatImage,
    Lesion,
    Mask,
    Measures,
    Region,
    Side,
    Spacing,
    Study,
    View,
)

RING_PX = (2.0, 10.0)
"""The surrounding bone lies farther than the first from the lesion's pixels (its blur) and at most the second; pixels
of about 2.3 mm between centres, so about 5 and 23 mm; in a finer matrix as many more pixels."""
MIN_RING_PX = 8
"""Fewer bone pixels than this around a lesion give no contrast."""
MIN_MIRROR_SHARE = 0.25
"""The mirrored place counts when at least this share of the lesion's pixels falls on bone there."""
MIDLINE_BAND_MM = 10.0
"""A lesion whose mean column is at most this far from the body's midline is a midline lesion; without spacing:
`MIDLINE_BAND_PX`, likewise."""
MIDLINE_BAND_PX = 4.0

MIDLINE_REGIONS = (
    Region.SKULL,
    Region.FACE,
    Region.MANDIBLE,
    Region.CERVICAL_SPINE,
    Region.THORACIC_SPINE,
    Region.LUMBAR_SPINE,
    Region.SACRUM,
    Region.STERNUM,
)
_MIN_MIDLINE_PX = 3
_MIN_MIDLINE_ROWS = 20
_MIDLINE_REACH_ROWS = 20
_MIDLINE_GAP = 0.06
"""Share of a frame's rows: what a map calls spine or skull this far from the rest, as at a knee, is a mistake."""
_IS_MIDLINE = np.array([region in MIDLINE_REGIONS for region in REGIONS])


@dataclass(frozen=True, slots=True, eq=False)
class _Surroundings:
    """One view with everything that a lesion is compared with.

    bone: skeleton pixels that are in no lesion. midline: column of the body's midline in each row, (rows,).
    binning: pixels of this frame along each edge of one of about 2.3 mm.
    """

    counts: FloatImage
    bone: Mask
    midline: NDArray[np.float64]
    spacing: Spacing | None
    binning: float


def measure(
    study: Study, outlines: Sequence[Outline], prediction: Prediction
) -> tuple[tuple[Lesion, ...], dict[View, Burden]]:
    """Measure the lesions, numbered from 1 in the order of `outlines`, and what they come to in each view of the study.

    A view without lesions has a burden of 0 lesions. Millimetres are None where the study has no spacing.
    """
    surroundings: dict[View, _Surroundings] = {}
    burden: dict[View, Burden] = {}
    for view in study.scans:
        own = [outline for outline in outlines if outline.view is view]
        in_lesion = np.zeros(study.shape, dtype=np.bool_)
        for outline in own:
            in_lesion[outline.window] |= outline.mask
        regions = prediction.region[view]
        on_bone = IS_BONE[regions]
        surroundings[view] = _Surroundings(
            counts=study.counts(view),
            bone=on_bone & ~in_lesion,
            midline=midline_columns(regions, study.counts(view)),
            spacing=study.spacing,
            binning=binning_of(study),
        )
        burden[view] = _burden(len(own), in_lesion, on_bone, study.spacing)
    lesions = tuple(_lesion(number, outline, surroundings) for number, outline in enumerate(outlines, start=1))
    return lesions, burden


def _burden(lesions: int, in_lesion: Mask, on_bone: Mask, spacing: Spacing | None) -> Burden:
    area_px = int(in_lesion.sum())
    # A lesion is bone, also where the region map misses it: the share stays within 1.
    skeleton_px = int((on_bone | in_lesion).sum()) if on_bone.any() else 0
    return Burden(
        lesions=lesions,
        area_px=area_px,
        area_mm2=None if spacing is None else area_px * spacing.pixel_area_mm2,
        skeleton_px=skeleton_px,
        skeleton_share=area_px / skeleton_px if skeleton_px else None,
    )


def _lesion(number: int, outline: Outline, surroundings: Mapping[View, _Surroundings]) -> Lesion:
    around = surroundings[outline.view]
    counts = around.counts[outline.window][outline.mask].astype(np.float64)
    area_px = counts.size
    measures = Measures(
        area_px=area_px,
        area_mm2=None if around.spacing is None else area_px * around.spacing.pixel_area_mm2,
        counts_total=float(counts.sum()),
        counts_mean=float(counts.mean()),
        counts_max=float(counts.max()),
        contrast=_ratio(counts, _counts_around(outline, around)),
        contrast_mirror=_ratio(counts, _counts_mirrored(outline, around)),
    )
    return Lesion(
        id=number,
        view=outline.view,
        contour=outline.contour,
        origin=outline.origin,
        mask=outline.mask,
        probability=outline.probability,
        region=outline.region,
        side=_side(outline, around),
        measures=measures,
    )


def _ratio(counts: NDArray[np.float64], reference: NDArray[np.float64] | None) -> float | None:
    if reference is None or not reference.any():
        return None
    return float(counts.mean() / reference.mean())


def _counts_around(outline: Outline, around: _Surroundings) -> NDArray[np.float64] | None:
    """Counts of the bone in a ring around the lesion, other lesions left out; None where there is too little."""
    inner, outer = (distance * around.binning for distance in RING_PX)
    margin = int(np.ceil(outer))
    rows, cols = outline.window
    wide = (
        slice(max(rows.start - margin, 0), min(rows.stop + margin, around.bone.shape[0])),
        slice(max(cols.start - margin, 0), min(cols.stop + margin, around.bone.shape[1])),
    )
    outside = np.ones((wide[0].stop - wide[0].start, wide[1].stop - wide[1].start), dtype=np.bool_)
    row, col = rows.start - wide[0].start, cols.start - wide[1].start
    outside[row : row + outline.mask.shape[0], col : col + outline.mask.shape[1]] = ~outline.mask
    distance = ndimage.distance_transform_edt(outside)
    ring = (distance > inner) & (distance <= outer) & around.bone[wide]
    return around.counts[wide][ring].astype(np.float64) if ring.sum() >= MIN_RING_PX else None


def _counts_mirrored(outline: Outline, around: _Surroundings) -> NDArray[np.float64] | None:
    """Counts of the bone, free of lesions, at the place mirrored about the midline; None where there is too little."""
    rows, cols = _pixels(outline)
    mirrored = np.rint(2.0 * around.midline[rows] - cols).astype(np.int64)
    there = (mirrored >= 0) & (mirrored < around.bone.shape[1])
    rows, mirrored = rows[there], mirrored[there]
    healthy = around.bone[rows, mirrored]
    if healthy.sum() < MIN_MIRROR_SHARE * outline.mask.sum():
        return None
    return np.asarray(around.counts[rows, mirrored][healthy], dtype=np.float64)


def _pixels(outline: Outline) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows, cols = np.nonzero(outline.mask)
    return rows + outline.origin[0], cols + outline.origin[1]


def _side(outline: Outline, around: _Surroundings) -> Side:
    """The patient's side: the anterior view shows the right on the image's left, the posterior view the left."""
    rows, cols = _pixels(outline)
    offset = float((cols - around.midline[rows]).mean())
    band = MIDLINE_BAND_PX * around.binning if around.spacing is None else MIDLINE_BAND_MM / around.spacing.col_mm
    if abs(offset) <= band:
        return Side.MIDLINE
    return Side.RIGHT if (offset < 0) == (outline.view is View.ANTERIOR) else Side.LEFT


def midline_columns(regions: RegionMap, counts: FloatImage) -> NDArray[np.float64]:
    """The column of the body's midline in each row, (rows,) float64.

    In the rows of skull, spine, sacrum and sternum it is the running median of their middle column, so that it follows
    a scoliosis; elsewhere it is the straight line through them. Where too few rows show any of these it is the
    middle of the whole skeleton, and without a skeleton the median column of the counts.
    """
    for bones in (_IS_MIDLINE, IS_BONE):
        rows, middle = _middle_columns(bones[regions])
        if rows.size >= _MIN_MIDLINE_ROWS:
            return _follow(rows, middle, regions.shape[0])
    by_column = np.cumsum(counts.sum(axis=0, dtype=np.float64))
    column = np.searchsorted(by_column, by_column[-1] / 2) if by_column[-1] > 0 else (counts.shape[1] - 1) / 2
    return np.full(regions.shape[0], float(column))


def _middle_columns(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The rows that hold enough of `mask`, of the longest run of them, and the mean column in each."""
    per_row = mask.sum(axis=1)
    rows = np.flatnonzero(per_row >= _MIN_MIDLINE_PX)
    rows = max(np.split(rows, np.flatnonzero(np.diff(rows) > _MIDLINE_GAP * len(mask)) + 1), key=len)
    return rows, (mask[rows] @ np.arange(mask.shape[1], dtype=np.float64)) / per_row[rows]


def _follow(rows: NDArray[np.intp], middle: NDArray[np.float64], height: int) -> NDArray[np.float64]:
    """Running median over the rows, a robust line beyond them."""
    kept = np.ones(rows.size, dtype=np.bool_)
    line = np.zeros(2)
    for _ in range(3):
        line = np.polyfit(rows[kept], middle[kept], 1)
        error = np.abs(middle - np.polyval(line, rows))
        kept = error <= max(2.0 * float(np.median(error)), 1.0)
    columns = np.polyval(line, np.arange(height))
    smooth = ndimage.median_filter(middle, size=min(2 * _MIDLINE_REACH_ROWS + 1, rows.size), mode="nearest")
    columns[rows[0] : rows[-1] + 1] = np.interp(np.arange(rows[0], rows[-1] + 1), rows, smooth)
    return np.asarray(columns, dtype=np.float64)
