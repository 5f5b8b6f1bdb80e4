"""Metastases: where they sit, how large and how hot they are, and what of them a physician would outline.

Distribution over the skeleton as published for lung cancer; number, size and contrast as in planar scans. The truth of a
view is the lesion's own noise-free projection above a share of its maximum, in each view in which it stands out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from bonescan.phantom.anatomy import Anatomy, Structure
from bonescan.phantom.bones import Tissue
from bonescan.phantom.camera import VIEWS, Projection
from bonescan.phantom.foci import Images, bone_axes, in_bone, make_blob, peak_ratio
from bonescan.study import LabelImage, Region, Side, View

OUTLINE = 0.45
"""Physicians outline about what lies above 40-50 % of the maximum."""
MIN_CONTRAST = 0.25
"""A lesion's own peak over what lies under it, below which nobody would see it."""
MIN_SIGMAS = 5.0
"""Excess counts of the outline over their counting noise, below which nobody could tell it from noise."""
MIN_AREA = 4

SITES: tuple[tuple[float, tuple[Region, ...]], ...] = (
    (0.37, (Region.THORACIC_SPINE, Region.LUMBAR_SPINE, Region.CERVICAL_SPINE)),
    (0.25, (Region.RIBS,)),
    (0.055, (Region.STERNUM,)),
    (0.145, (Region.PELVIS,)),
    (0.045, (Region.SACRUM,)),
    (0.055, (Region.FEMUR,)),
    (0.025, (Region.ARM,)),
    (0.045, (Region.SCAPULA,)),
    (0.02, (Region.CLAVICLE,)),
    (0.035, (Region.SKULL,)),
    (0.005, (Region.LOWER_LEG,)),
)
_NEVER = {Tissue.CARTILAGE, Tissue.SMALL_BONES, Tissue.PATELLA, Tissue.JOINT, Tissue.RIB_END}


@dataclass(frozen=True, slots=True)
class Metastasis:
    """One lesion, projected; excess in the images' units = projection times factor (negative: a cold lesion)."""

    bone: str
    region: Region
    side: Side
    radius_mm: float
    contrast: float
    projection: Projection
    factor: float


@dataclass(frozen=True, slots=True)
class LesionRecord:
    """One row of the truth's table. contrast: peak over what lies under it, in its better view. Areas are 0 where it does not stand out."""

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


def sample_number(rng: Generator) -> tuple[int, bool]:
    """(how many lesions, superscan or not): a third of patients have none, a third of the others one or two, some over twenty."""
    if rng.random() < 1 / 3:
        return 0, False
    kind = rng.choice(4, p=[0.36, 0.40, 0.20, 0.04])
    if kind == 0:
        return int(rng.integers(1, 3)), False
    if kind == 1:
        return int(rng.integers(3, 10)), False
    if kind == 2:
        return int(rng.integers(10, 32)), False
    return int(rng.integers(30, 70)), True


def make_metastases(anatomy: Anatomy, number: int, base: Images, rng: Generator) -> list[Metastasis]:
    """Draw `number` lesions in the bones of an anatomy, against the noise-free images without lesions."""
    chances = np.array([chance for chance, _ in SITES])
    by_region: dict[Region, list[Structure]] = {}
    for structure in anatomy.structures:
        if structure.bone.tissue not in _NEVER:
            by_region.setdefault(structure.bone.region, []).append(structure)
    lesions = []
    for _ in range(number):
        regions = SITES[int(rng.choice(len(SITES), p=chances / chances.sum()))][1]
        structures = [s for region in regions for s in by_region[region]]
        volume = np.array([s.bone.cloud.weights.sum() for s in structures])
        structure = structures[int(rng.choice(len(structures), p=volume / volume.sum()))]
        lesion = _make(anatomy, structure, base, rng)
        if lesion is not None:
            lesions.append(lesion)
    return lesions


def _make(anatomy: Anatomy, structure: Structure, base: Images, rng: Generator) -> Metastasis | None:
    bone = structure.bone
    cloud = bone.cloud
    weights = cloud.weights.copy()
    if bone.tissue is Tissue.SHAFT:  # metastases of long bones sit near the trunk
        z = cloud.points[:, 2]
        weights *= np.interp(z, [z.min(), (z.min() + z.max()) / 2, z.max()], [1.0, 0.4, 0.08])
    centre = cloud.points[int(rng.choice(len(weights), p=weights / weights.sum()))]
    radius = float(np.clip(np.exp(rng.normal(np.log(8.0), 0.5)), 3.0, 30.0))
    stretch = rng.uniform(1.2, 3.2) if bone.region in (Region.RIBS, Region.CLAVICLE) or bone.tissue is Tissue.SHAFT else rng.uniform(1.0, 1.6)
    radii = radius * np.array([stretch, 1.0, rng.uniform(0.7, 1.0)])
    blob = make_blob(centre, radii, bone_axes(cloud.points, centre), rng, irregular=0.5)
    projection = anatomy.camera.project(in_bone(anatomy, blob))
    unit, _ = peak_ratio(projection, base)
    if unit <= 0:
        return None
    cold = rng.random() < 0.012 and radius > 9
    contrast = float(rng.uniform(0.25, 0.6)) if cold else float(np.clip(1.3 + rng.lognormal(0.25, 0.85), 1.3, 15.0))
    return Metastasis(bone.bone, bone.region, bone.side, radius, contrast, projection, (contrast - 1) / unit)


def outline(lesion: Metastasis, view: View, under: Images, expected: Images) -> tuple[tuple[slice, slice], np.ndarray] | None:  # type: ignore[type-arg]
    """Where a lesion would be drawn in one view: (window, excess image with 0 outside the outline), or None where it does not stand out.

    under: noise-free images without lesions. expected: counts per pixel per unit of image, so that noise can be told.
    """
    patch = lesion.projection[view]
    rows, cols, prows, pcols = patch.window(under[view].shape)
    excess = patch.image[prows, pcols] * abs(lesion.factor)
    if not excess.size or excess.max() <= 0:
        return None
    inside = excess > OUTLINE * excess.max()
    place = np.unravel_index(int(excess.argmax()), excess.shape)
    if inside.sum() < MIN_AREA or excess[place] < MIN_CONTRAST * under[view][rows, cols][place]:
        return None
    counts = float((expected[view][rows, cols] * excess)[inside].sum())
    noise = np.sqrt(float((expected[view][rows, cols] * (under[view][rows, cols] + excess))[inside].sum()))
    if counts < MIN_SIGMAS * noise:
        return None
    return (rows, cols), np.where(inside, excess, 0)


def draw_truth(lesions: list[Metastasis], under: Images, expected: Images) -> tuple[dict[View, LabelImage], tuple[LesionRecord, ...]]:
    """Label pictures (seen from the front) and the table; where lesions overlap the brighter one owns the pixel."""
    shape = under[View.ANTERIOR].shape
    labels = {view: np.zeros(shape, dtype=np.uint16) for view in VIEWS}
    for view in VIEWS:
        brightest = np.zeros(shape, dtype=np.float32)
        for number, lesion in enumerate(lesions, 1):
            found = outline(lesion, view, under, expected)
            if found is None:
                continue
            window, excess = found
            wins = excess > brightest[window]
            brightest[window][wins] = excess[wins]
            labels[view][window][wins] = number
    records = []
    for number, lesion in enumerate(lesions, 1):
        areas = {view: int((labels[view] == number).sum()) for view in VIEWS}
        for view in VIEWS:
            if 0 < areas[view] < MIN_AREA:
                labels[view][labels[view] == number] = 0
                areas[view] = 0
        records.append(LesionRecord(number, lesion.bone, lesion.region, lesion.side, lesion.radius_mm, lesion.contrast, areas))
    return labels, tuple(records)
