"""Metastases: where they sit, how large and how hot they are.

Distribution over the skeleton as published for lung cancer; number, size and contrast as in planar scans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from bonescan.phantom.anatomy import Anatomy, Structure
from bonescan.phantom.bones import Tissue
from bonescan.phantom.camera import Projection
from bonescan.phantom.foci import Images, bone_axes, in_bone, make_blob, peak_ratio
from bonescan.study import Region, Side

SITES: tuple[tuple[float, tuple[Region, ...]], ...] = (
    (0.37, (Region.THORACIC_SPINE, Region.LUMBAR_SPINE, Region.CERVICAL_SPINE)),
    (0.25, (Region.RIBS,)),
    (0.055, (Region.STERNUM,)),
    (0.145, (Region.ILIUM, Region.ISCHIUM, Region.PUBIS)),
    (0.045, (Region.SACRUM,)),
    (0.055, (Region.FEMUR,)),
    (0.025, (Region.HUMERUS,)),
    (0.045, (Region.SCAPULA,)),
    (0.02, (Region.CLAVICLE,)),
    (0.035, (Region.SKULL, Region.FACE, Region.MANDIBLE)),
    (0.005, (Region.LOWER_LEG,)),
)
_NEVER = {
    Tissue.CARTILAGE, Tissue.WRIST, Tissue.HAND, Tissue.FOOT, Tissue.PATELLA, Tissue.JOINT, Tissue.RIB_END, Tissue.NOSE,
    Tissue.SUTURE,
}  # fmt: skip
_SHAFTS = {Tissue.ARM_SHAFT, Tissue.LEG_SHAFT}
_FAR_ENDS = {"femoral condyles", "humeral condyles", "olecranon", "radial head", "ulna", "radius"}
"""Metastases keep to the red marrow: far from the trunk they are rare."""


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


def sample_number(rng: Generator) -> tuple[int, bool]:
    """Return (how many lesions, superscan or not).

    A third have none, a third of the others one or two, some over twenty.
    """
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
        volume = np.array([s.bone.cloud.weights.sum() * (0.1 if s.bone.name in _FAR_ENDS else 1.0) for s in structures])
        structure = structures[int(rng.choice(len(structures), p=volume / volume.sum()))]
        lesion = _make(anatomy, structure, base, rng)
        if lesion is not None:
            lesions.append(lesion)
    return lesions


def _make(anatomy: Anatomy, structure: Structure, base: Images, rng: Generator) -> Metastasis | None:
    bone = structure.bone
    cloud = bone.cloud
    weights = cloud.weights.copy()
    if bone.tissue in _SHAFTS:  # metastases of long bones sit near the trunk
        joint = anatomy.landmarks[("glenohumeral joint" if bone.region is Region.HUMERUS else "hip joint", bone.side)]
        away = np.linalg.norm(cloud.points - joint, axis=1)
        weights *= np.interp(away, [away.min(), (away.min() + away.max()) / 2, away.max()], [1.0, 0.4, 0.08])
    centre = cloud.points[int(rng.choice(len(weights), p=weights / weights.sum()))]
    radius = float(np.clip(np.exp(rng.normal(np.log(8.0), 0.5)), 3.0, 30.0))
    stretch = (
        rng.uniform(1.2, 3.2)
        if bone.region in (Region.RIBS, Region.CLAVICLE) or bone.tissue in _SHAFTS
        else rng.uniform(1.0, 1.6)
    )
    radii = radius * np.array([stretch, 1.0, rng.uniform(0.7, 1.0)])
    blob = make_blob(centre, radii, bone_axes(cloud.points, centre), rng, irregular=0.5)
    projection = anatomy.camera.project(in_bone(anatomy, blob))
    unit, _ = peak_ratio(projection, base)
    if unit <= 0:
        return None
    cold = rng.random() < 0.03 and radius > 9
    contrast = float(rng.uniform(0.25, 0.6)) if cold else float(np.clip(1.3 + rng.lognormal(0.25, 0.85), 1.3, 15.0))
    return Metastasis(bone.bone, bone.region, bone.side, radius, contrast, projection, (contrast - 1) / unit)
