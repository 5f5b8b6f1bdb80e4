"""Which vertebra or rib a lesion lies on, and which part of the rib, from the maps under its outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.lesions.measure import midline_columns
from bonescan.prediction import Prediction, RegionMap
from bonescan.study import LEVELS, LEVELS_OF_REGION, REGIONS, Lesion, Level, Region, RibPart, Side, Study, View

LAST_VERTEBRA = LEVELS.index("L5")
SMOOTHED_ROWS = 15
"""About a vertebra and a half: a median over them keeps a steady rise, and removes errors in few rows."""
LEAST_SPINE_PX = 3
"""Rows with fewer labels of vertebrae are not used."""

LEAST_PLUS_MINUS = 1
"""No level is stated as certain: on phantoms, the level map itself is often one off (`benchmarks/reading.py`)."""
VAGUE_FROM = 3
"""From this uncertainty on, words do not state the number: it is one of seven or more."""
CENTRAL_SHARE = 0.8
"""The uncertainty covers at least the middle 80 % of the labels under the outline."""
REACH_PX = 6
"""If no pixel under the outline has a label, labels within this distance are used. The scatter of vertebra labels is
taken from this many rows above and below the lesion, too."""
LATERAL_FROM = 0.78
"""A rib lesion farther from the midline than this share of the chest's half width lies on its side. There the ribs run
parallel to the rays, so neither view shows whether the lesion is anterior or posterior."""

_RIBS = REGIONS.index(Region.RIBS)
_VAGUE = {
    Region.CERVICAL_SPINE: "a cervical vertebra",
    Region.THORACIC_SPINE: "a thoracic vertebra",
    Region.LUMBAR_SPINE: "a lumbar vertebra",
    Region.RIBS: "a rib",
}


def with_levels(lesions: tuple[Lesion, ...], study: Study, prediction: Prediction) -> tuple[Lesion, ...]:
    """Return the lesions with their levels; `level` stays None if the model or the bone has no levels."""
    if prediction.level is None:
        return lesions
    spine = spine_levels(list(prediction.level.values()))
    midlines = {view: midline_columns(prediction.region[view], study.counts(view)) for view in study.scans}
    placed = []
    for lesion in lesions:
        levels, regions = prediction.level[lesion.view], prediction.region[lesion.view]
        part = None
        if lesion.region is Region.RIBS:
            found, part = rib_under(lesion, levels), rib_part(lesion, regions, midlines[lesion.view])
        elif lesion.region in LEVELS_OF_REGION:
            found = vertebra_at(lesion, spine, levels)
        else:
            found = None
        placed.append(lesion if found is None else replace(lesion, level=Level(LEVELS[found[0]], found[1], part)))
    return tuple(placed)


def spine_levels(levels: Sequence[RegionMap]) -> NDArray[np.float64]:
    """Return the vertebra in each row, (rows,), as a fractional index into LEVELS; NaN above and below the spine.

    levels: the level maps of the present views. Vertebrae follow one another, so the labels of both views are smoothed
    by a running median, then fitted by the nearest sequence that never falls (isotonic regression).
    """
    height = levels[0].shape[0]
    rows, labels = (np.concatenate(part) for part in zip(*(_spine_pixels(one) for one in levels), strict=True))
    number = np.bincount(rows, minlength=height)
    fitted = np.full(height, np.nan)
    there = np.flatnonzero(number >= LEAST_SPINE_PX)
    if not there.size:
        return fitted
    order = np.argsort(rows, kind="stable")
    by_row = np.split(labels[order], np.cumsum(number)[:-1])
    medians = np.array([np.median(by_row[row]) for row in there])
    medians = ndimage.median_filter(medians, size=min(SMOOTHED_ROWS, there.size), mode="nearest")
    steps = _rising(medians, number[there].astype(np.float64))
    fitted[there[0] : there[-1] + 1] = np.interp(np.arange(there[0], there[-1] + 1), there, steps)
    return fitted


def _rising(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest sequence that never falls, by weighted least squares: neighbours that fall are pooled.

    scipy.optimize has the same function, but importing it takes 0.2 s in every call of the program.
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            before, its_weight, length = pools.pop()
            total = its_weight + pool[1]
            pool = ((before * its_weight + pool[0] * pool[1]) / total, total, length + pool[2])
        pools.append(pool)
    return np.repeat([pool[0] for pool in pools], [pool[2] for pool in pools])


def vertebra_at(lesion: Lesion, spine: NDArray[np.float64], levels: RegionMap) -> tuple[int, int] | None:
    """Return the vertebra at the lesion's rows, an index into LEVELS, and by how many it may be off.

    spine: of `spine_levels`. levels: of the lesion's view. The uncertainty is the scatter of its labels about the fit.
    None if no row of the lesion shows the spine.
    """
    fit = spine[lesion.window[0]]
    weight = lesion.mask.sum(axis=1) * np.isfinite(fit)
    if not weight.sum():
        return None
    middle = float(np.average(np.nan_to_num(fit), weights=weight))
    number = int(np.clip(round(middle), 1, LAST_VERTEBRA))
    around = slice(max(lesion.window[0].start - REACH_PX, 0), lesion.window[0].stop + REACH_PX)
    rows, labels = _spine_pixels(levels[around])
    scatter = np.abs(labels - spine[around][rows])
    scatter = scatter[np.isfinite(scatter)]
    spread = float(np.quantile(scatter, CENTRAL_SHARE)) if scatter.size else 0.0
    half = float(np.nanmax(fit) - np.nanmin(fit)) / 2
    return number, max(LEAST_PLUS_MINUS, round(max(spread, half)))


def rib_under(lesion: Lesion, levels: RegionMap) -> tuple[int, int] | None:
    """Return the median rib under the outline, an index into LEVELS, and by how many it may be off.

    levels: (rows, cols) of the lesion's view. None if there is no label of a rib nearby.
    """
    first, last = LEVELS_OF_REGION[Region.RIBS]
    window = _widened(lesion.window, levels.shape)
    around = levels[window]
    mask = np.zeros(around.shape, dtype=np.bool_)
    row, col = lesion.origin[0] - window[0].start, lesion.origin[1] - window[1].start
    mask[row : row + lesion.mask.shape[0], col : col + lesion.mask.shape[1]] = lesion.mask
    own = (around >= first) & (around <= last)
    under = around[mask & own]
    if not under.size and own.any():
        distance = ndimage.distance_transform_edt(~mask)
        nearest = float(distance[own].min())
        under = around[own & (distance <= nearest + 1.0)] if nearest <= REACH_PX else under
    if not under.size:
        return None
    low, middle, high = np.quantile(under, [(1 - CENTRAL_SHARE) / 2, 0.5, (1 + CENTRAL_SHARE) / 2], method="nearest")
    return int(middle), max(LEAST_PLUS_MINUS, int(high - middle), int(middle - low))


def _spine_pixels(levels: RegionMap) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Row and label of each pixel that shows a vertebra."""
    rows, cols = np.nonzero((levels >= 1) & (levels <= LAST_VERTEBRA))
    return rows, levels[rows, cols].astype(np.float64)


def rib_part(lesion: Lesion, regions: RegionMap, midline: NDArray[np.float64]) -> RibPart:
    """Return the part of the rib: lateral by place, else the side of the chest that faces the detector.

    A view shows the ribs of both sides of the chest, those near the detector far better. A lesion in both views gets
    the part from the view in which it is hotter against its surroundings (`pairing`).
    """
    rows, cols = np.nonzero(lesion.mask)
    rows, cols = rows + lesion.origin[0], cols + lesion.origin[1]
    away = float(np.abs(cols - midline[rows]).mean())
    band = slice(max(int(rows.mean()) - 8, 0), int(rows.mean()) + 9)
    at = np.nonzero(regions[band] == _RIBS)
    reach = np.abs(at[1] - midline[band][at[0]])
    half_width = float(np.percentile(reach, 98)) if reach.size else 0.0
    if half_width > 0 and away > LATERAL_FROM * half_width:
        return RibPart.LATERAL
    return RibPart.ANTERIOR if lesion.view is View.ANTERIOR else RibPart.POSTERIOR


def site_words(lesion: Lesion) -> str:
    """Return bone, number with its uncertainty, and side: "T8 ±1", "rib 7 ±1 lateral, left", "ilium, right"."""
    if lesion.region is Region.BACKGROUND:
        return "site not known"
    words = bone_words(lesion)
    return words if lesion.side is Side.MIDLINE else f"{words}, {lesion.side.value}"


def bone_words(lesion: Lesion) -> str:
    """Return the number with its uncertainty, and the part of a rib: "T8 ±1", "rib 7 ±1 lateral"; else the bone.

    From an uncertainty of `VAGUE_FROM` on, the number is left out: "a rib, lateral", "a thoracic vertebra".
    """
    level = lesion.level
    if level is None:
        return lesion.region.value
    if level.plus_minus >= VAGUE_FROM:
        words = _VAGUE.get(lesion.region, lesion.region.value)
        return words if level.part is None else f"{words}, {level.part.value}"
    words = f"{level.name} \u00b1{level.plus_minus}"
    return words if level.part is None else f"{words} {level.part.value}"


def _widened(window: tuple[slice, slice], shape: tuple[int, ...]) -> tuple[slice, slice]:
    rows, cols = (
        slice(max(part.start - REACH_PX, 0), min(part.stop + REACH_PX, size))
        for part, size in zip(window, shape, strict=True)
    )
    return rows, cols
