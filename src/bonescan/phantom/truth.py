"""What a physician would outline of the lesions: the truth of a view.

A lesion's outline is its own noise-free projection above a share of its maximum, in each view in which it stands
out: against what lies under it, against counting noise, and not hidden in bladder, kidney or spilt tracer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bonescan.phantom.anatomy import RegionMap
from bonescan.phantom.body import Map
from bonescan.phantom.camera import VIEWS
from bonescan.phantom.foci import Images
from bonescan.phantom.metastases import Metastasis
from bonescan.study import BONE_REGIONS, REGIONS, LabelImage, Region, Side, View  # noqa: F401 - goes with the next change here

OUTLINE = 0.45
"""Physicians outline about what lies above 40-50 % of the maximum."""
MIN_CONTRAST = 0.35
"""A lesion's own peak over what lies under it, below which nobody would see it."""
MIN_SIGMAS = 6.0
"""Excess counts of the outline over their counting noise, below which nobody could tell it from noise."""
MIN_AREA = 4
"""Pixels."""
MOST_HIDDEN = 0.5
"""Share of an outline that may lie on tracer outside bone."""

_FIRST_ORGAN = len(BONE_REGIONS) + 1


@dataclass(frozen=True, slots=True)
class LesionRecord:
    """One row of the truth's table.

    contrast: peak over what lies under it, in its better view. area_px: 0 in a view where it does not stand out.
    """

    number: int
    bone: str
    region: Region
    side: Side
    radius_mm: float
    contrast: float
    area_px: dict[View, int]

    @property
    def visible(self) -> tuple[View, ...]:
        """The views in which it stands out."""
        return tuple(view for view in VIEWS if self.area_px[view])


@dataclass(frozen=True, slots=True)
class Backdrop:
    """What lesions are seen against, from the front in both views.

    under: noise-free images without lesions. sensitivity: counts per pixel per unit of image. regions: the region maps.
    """

    under: Images
    sensitivity: Map
    regions: Mapping[View, RegionMap]


def outline(lesion: Metastasis, view: View, backdrop: Backdrop) -> tuple[tuple[slice, slice], Map] | None:
    """Where a lesion would be drawn in one view, or None where it does not stand out.

    Returns (window, the lesion's own image with 0 outside the outline).
    """
    patch = lesion.projection[view]
    rows, cols, prows, pcols = patch.window(backdrop.sensitivity.shape)
    excess = patch.image[prows, pcols] * abs(lesion.factor)
    if not excess.size or excess.max() <= 0:
        return None
    inside = excess > OUTLINE * excess.max()
    under, sensitivity = backdrop.under[view][rows, cols], backdrop.sensitivity[rows, cols]
    place = np.unravel_index(int(excess.argmax()), excess.shape)
    if inside.sum() < MIN_AREA or excess[place] < MIN_CONTRAST * under[place]:
        return None
    counts = float((sensitivity * excess)[inside].sum())
    noise = np.sqrt(float((sensitivity * (under + excess))[inside].sum()))
    hidden = (backdrop.regions[view][rows, cols][inside] >= _FIRST_ORGAN).mean()
    if counts < MIN_SIGMAS * noise or hidden > MOST_HIDDEN:
        return None
    return (rows, cols), np.where(inside, excess, np.float32(0))


def draw_truth(
    lesions: list[Metastasis], backdrop: Backdrop
) -> tuple[dict[View, LabelImage], tuple[LesionRecord, ...]]:
    """Label pictures (seen from the front) and the table; where lesions overlap the brighter one owns the pixel."""
    labels = {view: _labels(lesions, view, backdrop) for view in VIEWS}
    records = []
    for number, lesion in enumerate(lesions, 1):
        areas = {view: int((labels[view] == number).sum()) for view in VIEWS}
        records.append(
            LesionRecord(number, lesion.bone, lesion.region, lesion.side, lesion.radius_mm, lesion.contrast, areas)
        )
    return labels, tuple(records)


def _labels(lesions: list[Metastasis], view: View, backdrop: Backdrop) -> LabelImage:
    shape = backdrop.sensitivity.shape
    labels = np.zeros(shape, dtype=np.uint16)
    brightest = np.zeros(shape, dtype=np.float32)
    for number, lesion in enumerate(lesions, 1):
        found = outline(lesion, view, backdrop)
        if found is not None:
            window, excess = found
            wins = excess > brightest[window]
            brightest[window][wins] = excess[wins]
            labels[window][wins] = number
    # What a brighter neighbour left of a lesion may be too little to draw.
    areas = np.bincount(labels.ravel())
    labels[(areas < MIN_AREA)[labels]] = 0
    return labels
