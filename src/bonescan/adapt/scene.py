"""What inserting lesions needs to know of a scan: its bones, the thickness of the body, the counts under a lesion.

Everything is estimated from the counts and a region map, so any scan can be used. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.phantom.body import NOWHERE, Body, Grid, Map
from bonescan.phantom.camera import VIEWS
from bonescan.phantom.metastases import SITES
from bonescan.prediction import Prediction
from bonescan.prepare import body_mask, to_pair
from bonescan.prepare.aggregate import mirror
from bonescan.study import IS_BONE, REGIONS, FloatImage, Mask, Region, Spacing, Study, View

USUAL_SPACING = Spacing(2.4, 2.4)
"""Typical spacing of a whole-body camera. Only sizes lesions where a scan states no spacing; it is never reported."""

_UNDER_SMOOTHING_PX = 1.5
"""Smoothing of the scan that a lesion is compared with: removes the noise, keeps the bones."""
_SILHOUETTE_SMOOTHING_PX = 0.8
_BESIDE_A_RIB_MM = 10.0
_RIB_STANDS_OUT = 1.05
"""The map shows the ribs as one area. A rib is where the scan is hotter than its surroundings, by this factor."""
_LEAST_PIXELS = 12
_LEAST_SHARE_OF_MEDIAN = 0.4
_MOST_HEAT = 4.0
_ALSO = {Region.ILIUM: Region.PELVIS, Region.HUMERUS: Region.ARM}
"""The names of these bones in a region map of the first format."""
_NEAR_THE_TRUNK = {Region.HUMERUS, Region.FEMUR, Region.LOWER_LEG}
_WIDTHS_MM = (0.0, 150.0, 250.0, 330.0, 500.0)
_DEPTH_OVER_WIDTH = (1.0, 1.0, 0.85, 0.65, 0.6)
"""Depth over width of the body's cross-section, at these widths: limbs are round, the trunk is flat."""
_MOST_DEPTH_MM, _LEAST_DEPTH_MM = 270.0, 20.0

RegionPair = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the lesions of one group of regions may lie.

    chance: of the group. index: flat indices into (2, rows, cols). area, heat: cumulative probabilities of the same
    length, by area and by counts.
    """

    chance: float
    index: NDArray[np.int32]
    area: NDArray[np.float32]
    heat: NDArray[np.float32]

    def draw(self, by_heat: bool, rng: np.random.Generator) -> int:
        """One of `index`."""
        cumulative = self.heat if by_heat else self.area
        place = int(np.searchsorted(cumulative, np.float32(rng.random()), side="right"))
        return int(self.index[min(place, self.index.size - 1)])


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One scan, seen from the front in both views.

    counts: (2, rows, cols) uint16, zeros where a view is absent. regions: uint8 into `REGIONS`, the same shape.
    grid, body: its pixels and its skin, estimated. under: noise-free estimate of the counts. passed: 1 where
    counts were taken, else 0. places: by group of regions.
    """

    counts: NDArray[np.uint16]
    regions: RegionPair
    grid: Grid
    body: Body
    under: Mapping[View, Map]
    passed: Mapping[View, Map]
    places: tuple[Places, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of a view."""
        return self.grid.shape

    def anywhere(self) -> Places:
        """The whole body as one group."""
        body = (self.body.front > self.body.back) & np.stack([self.passed[view] > 0 for view in VIEWS])
        return _weighed(1.0, np.flatnonzero(body), np.stack([self.under[view] for view in VIEWS]), None)

    def silhouette(self, channel: int, region: Region) -> FloatImage:
        """How far each pixel (rows, cols) shows this bone in one view, 0..1; other bone counts a third."""
        own = self.regions[channel] == REGIONS.index(region)
        bone = np.maximum(own, 0.35 * IS_BONE[self.regions[channel]]).astype(np.float32)
        return ndimage.gaussian_filter(bone, _SILHOUETTE_SMOOTHING_PX, mode="nearest")


def make_scene(counts: NDArray[np.uint16], regions: RegionPair, spacing: Spacing | None) -> Scene:
    """Estimate a scene. counts, regions: (2, rows, cols), the posterior mirrored. spacing: None = `USUAL_SPACING`."""
    spacing = spacing or USUAL_SPACING
    rows, cols = counts.shape[1:]
    body = body_mask(counts.sum(axis=0, dtype=np.float32))
    smooth = np.stack([ndimage.gaussian_filter(view.astype(np.float32), _UNDER_SMOOTHING_PX) for view in counts])
    passed = [np.broadcast_to(_counted_rows(view), (rows, cols)) for view in counts]
    return Scene(
        counts=counts,
        regions=regions,
        grid=Grid((rows, cols), spacing, 0.0, 0.0),
        body=estimate_body(body, spacing),
        under={view: smooth[channel] for channel, view in enumerate(VIEWS)},
        passed={view: passed[channel] for channel, view in enumerate(VIEWS)},
        places=_places(regions, smooth * np.stack(passed), spacing),
    )


def _counted_rows(view: NDArray[np.uint16]) -> Map:
    """1 from the first to the last row (rows, 1) in which anything was counted, else 0."""
    passed = np.zeros((view.shape[0], 1), dtype=np.float32)
    counted = np.flatnonzero(view.any(axis=1))
    if counted.size:
        passed[counted[0] : counted[-1] + 1] = 1
    return passed


def scene_of(study: Study, prediction: Prediction) -> Scene:
    """The scene of a study in its own frames, with the region maps of a prediction."""
    pair = np.clip(np.rint(to_pair(study).counts), 0, np.iinfo(np.uint16).max).astype(np.uint16)
    regions = np.zeros(pair.shape, dtype=np.uint8)
    for channel, view in enumerate(VIEWS):
        if view in prediction.region:
            frame = prediction.region[view]
            regions[channel] = frame if view is View.ANTERIOR else mirror(frame)
    return make_scene(pair, regions, study.spacing)


def estimate_body(inside: Mask, spacing: Spacing) -> Body:
    """Estimate the skin from a silhouette (rows, cols): each piece of a row is an ellipse. There are no lungs."""
    runs, number = ndimage.label(inside, structure=np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]]))
    shape = inside.shape
    cols = np.broadcast_to(np.arange(shape[1]), shape)
    pixels = np.bincount(runs.ravel(), minlength=number + 1)
    centre = np.bincount(runs.ravel(), cols.ravel(), minlength=number + 1) / np.maximum(pixels, 1)
    width = pixels * spacing.col_mm
    depth = np.minimum(width * np.interp(width, _WIDTHS_MM, _DEPTH_OVER_WIDTH), _MOST_DEPTH_MM)
    away = (cols - centre[runs]) / np.maximum(pixels[runs] / 2, 0.5)
    chord = np.maximum(depth[runs] * np.sqrt(np.clip(1 - away**2, 0, 1)), _LEAST_DEPTH_MM)
    nowhere = np.broadcast_to(np.float32(NOWHERE), shape)
    front = np.where(inside, chord / 2, NOWHERE).astype(np.float32)
    back = np.where(inside, -chord / 2, NOWHERE).astype(np.float32)
    return Body(front=front, back=back, lung_front=nowhere, lung_back=nowhere, parts=())


def _places(regions: RegionPair, smooth: FloatImage, spacing: Spacing) -> tuple[Places, ...]:
    found = []
    around = (0.0, _BESIDE_A_RIB_MM / spacing.row_mm, _BESIDE_A_RIB_MM / spacing.col_mm)
    between_ribs = (regions == REGIONS.index(Region.RIBS)) & (
        smooth < _RIB_STANDS_OUT * ndimage.gaussian_filter(smooth, around)
    )
    for chance, group in SITES:
        names = {*group, *(_ALSO[region] for region in group if region in _ALSO)}
        here = np.isin(regions, [REGIONS.index(region) for region in names]) & (smooth > 0) & ~between_ribs
        if here.sum() < _LEAST_PIXELS:
            continue
        # Where the map says bone but the scan shows hardly any uptake, the map is wrong.
        index = np.flatnonzero(here & (smooth > _LEAST_SHARE_OF_MEDIAN * np.median(smooth[here])))
        nearness = _nearness(index, regions.shape[1:]) if _NEAR_THE_TRUNK.intersection(group) else None
        found.append(_weighed(chance, index, smooth, nearness))
    return tuple(found)


def _weighed(
    chance: float, index: NDArray[np.int64], smooth: FloatImage, nearness: NDArray[np.float64] | None
) -> Places:
    area = np.ones(index.size) if nearness is None else nearness
    counts = smooth.ravel()[index]
    # Clipped: an injection site that the map takes for bone would otherwise get all lesions placed by counts.
    heat = area * np.clip(counts, 1e-3, _MOST_HEAT * np.median(counts)) if index.size else area
    cumulative = [(np.cumsum(weights) / max(weights.sum(), 1e-9)).astype(np.float32) for weights in (area, heat)]
    return Places(chance, index.astype(np.int32), *cumulative)


def _nearness(index: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Weights of long bones' pixels, 1 at the upper end: their metastases lie near the trunk, as in the phantom."""
    rows = index // shape[1] % shape[0]
    first, last = rows.min(), rows.max()
    return np.interp(rows, [first, (first + last) / 2, last], [1.0, 0.4, 0.08])
