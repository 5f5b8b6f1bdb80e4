"""A patient of a given anatomy: uptake, findings, lesions, organs, exposure, and the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bonescan.phantom.anatomy import SHAPE, Anatomy, RegionMap
from bonescan.phantom.camera import VIEWS, Exposure, count, sample_exposure, scattered
from bonescan.phantom.findings import add_findings
from bonescan.phantom.foci import Images, add
from bonescan.phantom.metastases import make_metastases, sample_number
from bonescan.phantom.tracer import Organ, add_tracer, apply_cold
from bonescan.phantom.truth import Backdrop, LesionRecord, draw_truth
from bonescan.phantom.uptake import sample_uptake
from bonescan.study import REGIONS, LabelImage, Mask, Scan, Side, Study, View

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A simulated patient: the study and its truth, each view as acquired (posterior seen from behind).

    lesions: lesion number per pixel, 0 = none. faint: pixels of lesions that do not stand out in this view: neither
    lesion nor background. regions: values of REGIONS. table: one row a lesion, seen or not.
    """

    key: str
    study: Study
    lesions: Mapping[View, LabelImage]
    faint: Mapping[View, Mask]
    regions: Mapping[View, RegionMap]
    table: tuple[LesionRecord, ...]


def make_patient(anatomy: Anatomy, seed: int) -> Phantom:
    """Draw one patient of an anatomy. Deterministic from the anatomy's seed and this one; a fraction of a second."""
    rng = np.random.default_rng([0x9A7, anatomy.seed, seed])
    number, superscan = sample_number(rng)
    images = _skeleton_and_haze(anatomy, superscan, rng)
    add_findings(anatomy, images, rng)
    # Contrast is to bone: under a full bladder a lesion is hidden, not hotter.
    lesions = make_metastases(anatomy, number, images, rng)
    organs = add_tracer(anatomy, images, superscan, rng)
    apply_cold(anatomy, images, rng)
    under = {view: image.copy() for view, image in images.items()}
    for lesion in lesions:
        add(lesion.projection, images, lesion.factor)
    for image in images.values():
        np.maximum(image, 0, out=image)
    exposure = sample_exposure(rng)
    spacing = anatomy.spacing
    seen = {view: scattered(image, exposure, spacing.row_mm) for view, image in images.items()}
    scale = exposure.counts / max(float(image.sum()) for image in seen.values())
    rows = np.linspace(-1, 1, SHAPE[0])[:, None]
    sensitivity = (scale * (1 + exposure.drift * rows) * np.ones(SHAPE)).astype(np.float32)
    sensitivity[_last_row(anatomy, exposure) :] = 0
    scatter = {view: seen[view] - images[view] for view in VIEWS}
    regions = {view: _regions(anatomy, organs, images, view) for view in VIEWS}
    for region_map in regions.values():
        region_map[_last_row(anatomy, exposure) :] = 0
    truth = draw_truth(
        lesions, Backdrop({view: under[view] + scatter[view] for view in VIEWS}, seen, sensitivity, regions)
    )
    scans = {}
    for view in VIEWS:
        air = exposure.background * float(np.median(seen[view][anatomy.camera.body.inside]))
        counts = count(sensitivity * (seen[view] + np.float32(air)), exposure, rng)
        scans[view] = Scan(view, as_acquired(counts, view))
    key = f"phantom-{anatomy.seed:06d}-{seed:04d}"
    study = Study(key, scans, spacing=spacing, view_source="simulated", acquired=None, sources=())
    return Phantom(
        key,
        study,
        lesions={view: as_acquired(picture, view) for view, picture in truth.lesions.items()},
        faint={view: as_acquired(picture, view) for view, picture in truth.faint.items()},
        regions={view: as_acquired(picture, view) for view, picture in regions.items()},
        table=truth.table,
    )


def as_acquired(picture: NDArray[T], view: View) -> NDArray[T]:
    """A picture seen from the front, as the camera of a view stores it: the posterior is seen from behind."""
    return np.ascontiguousarray(picture[:, ::-1] if view is View.POSTERIOR else picture)


def _last_row(anatomy: Anatomy, exposure: Exposure) -> int:
    """The row at which the scan ended; a short scan leaves out the feet, or the legs."""
    if exposure.length >= 1:
        return SHAPE[0]
    toes = anatomy.landmarks[("great toe joint", Side.LEFT)]
    return int(anatomy.camera.grid.row0 + exposure.length * toes[2] / anatomy.spacing.row_mm)


def _skeleton_and_haze(anatomy: Anatomy, superscan: bool, rng: np.random.Generator) -> Images:
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
