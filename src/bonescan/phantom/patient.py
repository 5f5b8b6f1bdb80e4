"""A patient of a given anatomy: uptake, findings, lesions, organs, exposure, and the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bonescan.phantom.anatomy import SHAPE, Anatomy, RegionMap
from bonescan.phantom.camera import VIEWS, Exposure, count, sample_exposure, scattered
from bonescan.phantom.findings import add_findings
from bonescan.phantom.foci import Images, add
from bonescan.phantom.metastases import Metastasis, make_metastases, sample_number
from bonescan.phantom.tracer import Organ, add_tracer, metal
from bonescan.phantom.truth import Backdrop, LesionRecord, draw_benign, draw_truth, name_bones
from bonescan.phantom.uptake import sample_uptake
from bonescan.study import REGIONS, FloatImage, LabelImage, Mask, Scan, Side, Study, View

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A simulated patient: the study and its truth, each view as acquired (posterior seen from behind).

    lesions: lesion number per pixel, 0 = none. faint: pixels of lesions that do not stand out in this view: neither
    lesion nor background. regions: values of REGIONS. table: one row a lesion, seen or not.
    expected: expected counts per pixel, before counting noise. benign: number of the benign finding per pixel, 0 =
    none. levels: values of LEVELS.
    """

    key: str
    study: Study
    lesions: Mapping[View, LabelImage]
    faint: Mapping[View, Mask]
    regions: Mapping[View, RegionMap]
    table: tuple[LesionRecord, ...]
    expected: Mapping[View, FloatImage]
    benign: Mapping[View, LabelImage]
    levels: Mapping[View, RegionMap]


def make_patient(anatomy: Anatomy, seed: int) -> Phantom:
    """Draw one patient of an anatomy. Deterministic from the anatomy's seed and this one; a fraction of a second."""
    family = anatomy.family
    rng = np.random.default_rng([0x9A7, anatomy.seed, seed, *family.key])
    number, superscan = sample_number(rng)
    images = skeleton_and_haze(anatomy, superscan, rng)
    findings = add_findings(anatomy, images, rng)
    # Contrast is relative to bone, so a full bladder hides a lesion and does not make it hotter.
    lesions = make_metastases(anatomy, number, images, rng)
    organs = add_tracer(anatomy, images, superscan, rng)
    exposure = sample_exposure(rng, family.counts, family.scatter)
    backdrop = expose(anatomy, images, lesions, organs, exposure, rng)
    truth = draw_truth(lesions, backdrop)
    benign = draw_benign(findings, backdrop)
    expected, scans = {}, {}
    for view in VIEWS:
        seen = backdrop.over[view]
        air = exposure.background * float(np.median(seen[anatomy.camera.body.inside]))
        expected[view] = as_acquired(backdrop.sensitivity * (seen + np.float32(air)), view)
        scans[view] = Scan(view, count(expected[view], exposure, rng))
    levels = {view: np.where(backdrop.sensitivity > 0, anatomy.levels[view], 0).astype(np.uint8) for view in VIEWS}
    name_bones(anatomy, lesions, truth, backdrop.regions, levels)
    key = f"phantom-{anatomy.seed:06d}-{seed:04d}" + (f"-{family.name}" if family.key else "")
    study = Study(key, scans, spacing=anatomy.spacing, view_source="simulated", acquired=None, sources=())
    return Phantom(
        key,
        study,
        lesions=_all_as_acquired(truth.lesions),
        faint=_all_as_acquired(truth.faint),
        regions=_all_as_acquired(backdrop.regions),
        table=truth.table,
        expected=expected,
        benign=_all_as_acquired(benign),
        levels=_all_as_acquired(levels),
    )


def expose(
    anatomy: Anatomy,
    images: Images,
    lesions: Sequence[Metastasis],
    organs: list[Organ],
    exposure: Exposure,
    rng: np.random.Generator,
) -> Backdrop:
    """Add the lesions to the images, lay metal over all of it, scatter, and scale to counts."""
    passed = metal(anatomy, rng)
    regions = {view: _regions(anatomy, organs, images, view) for view in VIEWS}
    under = {view: image.copy() for view, image in images.items()}
    for lesion in lesions:
        add(lesion.focus.projection, images, lesion.focus.factor)
    spacing = anatomy.spacing
    for group in (under, images):
        for view, image in group.items():
            group[view] = scattered(np.maximum(image, 0) * passed[view], exposure, spacing.row_mm)
    scale = exposure.counts / max(float(image.sum()) for image in images.values())
    rows = np.linspace(-1, 1, SHAPE[0])[:, None]
    sensitivity = (scale * (1 + exposure.drift * rows) * np.ones(SHAPE)).astype(np.float32)
    last = _last_row(anatomy, exposure)
    sensitivity[last:] = 0
    for region_map in regions.values():
        region_map[last:] = 0
    return Backdrop(under, images, sensitivity, regions, passed)


def _all_as_acquired(pictures: Mapping[View, NDArray[T]]) -> dict[View, NDArray[T]]:
    return {view: as_acquired(picture, view) for view, picture in pictures.items()}


def as_acquired(picture: NDArray[T], view: View) -> NDArray[T]:
    """A picture seen from the front, as the camera of a view stores it: the posterior is seen from behind."""
    return np.ascontiguousarray(picture[:, ::-1] if view is View.POSTERIOR else picture)


def _last_row(anatomy: Anatomy, exposure: Exposure) -> int:
    """The row at which the scan ended; a short scan leaves out the feet, or the legs."""
    if exposure.length >= 1:
        return SHAPE[0]
    toes = anatomy.landmarks[("great toe joint", Side.LEFT)]
    return int(anatomy.camera.grid.row0 + exposure.length * toes[2] / anatomy.spacing.row_mm)


def skeleton_and_haze(anatomy: Anatomy, superscan: bool, rng: np.random.Generator) -> Images:
    """Normal uptake of bones and soft tissue, noise-free, seen from the front, per view (rows, cols)."""
    uptake = sample_uptake(anatomy, superscan, rng)
    images: Images = {}
    for view in VIEWS:
        image = np.zeros(SHAPE, dtype=np.float32)
        for part, concentration in uptake.soft.items():
            image += anatomy.haze[part][view] * np.float32(concentration)
        for structure, density in zip(anatomy.structures, uptake.bones, strict=True):
            structure.projection[view].add_to(image, float(density))
        images[view] = image
    return images


def _regions(anatomy: Anatomy, organs: list[Organ], images: Images, view: View) -> RegionMap:
    """The bones' map, overwritten where an organ or an artefact makes up most of what is seen."""
    regions = anatomy.regions[view].copy()
    for organ in organs:
        patch = organ.projection[view]
        rows, cols, prows, pcols = patch.window(SHAPE)
        own = patch.image[prows, pcols] * organ.factor
        if own.size and organ.factor > 0:
            shows = (own > 0.35 * images[view][rows, cols]) & (own > 0.25 * own.max())
            regions[rows, cols][shows] = REGIONS.index(organ.region)
    return regions
