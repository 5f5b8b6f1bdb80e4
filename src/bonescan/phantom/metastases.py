"""Metastases: where they sit, how large and how hot they are.

Distribution over the skeleton near that of solid tumours; number, size and contrast as in planar scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.random import Generator

from bonescan.phantom.anatomy import Anatomy, Structure
from bonescan.phantom.bones import Bone, Tissue
from bonescan.phantom.foci import Focus, Images, bone_axes, in_bone, is_part_of, make_blob, peak_ratio
from bonescan.phantom.shapes import Cloud, Points
from bonescan.study import Region, Side

SITES: tuple[tuple[float, tuple[Region, ...]], ...] = (
    (0.265, (Region.THORACIC_SPINE, Region.LUMBAR_SPINE, Region.CERVICAL_SPINE)),
    (0.20, (Region.RIBS,)),
    (0.065, (Region.STERNUM,)),
    (0.15, (Region.ILIUM, Region.ISCHIUM, Region.PUBIS)),
    (0.08, (Region.SACRUM,)),
    (0.07, (Region.FEMUR,)),
    (0.07, (Region.HUMERUS,)),
    (0.07, (Region.SCAPULA,)),
    (0.03, (Region.CLAVICLE,)),
    (0.045, (Region.SKULL, Region.FACE, Region.MANDIBLE)),
    (0.02, (Region.LOWER_LEG,)),
)
"""Relative frequencies. Published distributions lie close for spine, ribs and pelvis; shoulders, hips, sternum and
sacrum are raised above them. Benign uptake is common there; otherwise a network would learn that lesions never lie
beside a joint. Skull, scapula, clavicle and lower leg are raised, too: lesions there are hard to tell from uneven
uptake."""
_NEVER = {
    Tissue.CARTILAGE, Tissue.WRIST, Tissue.HAND, Tissue.FOOT, Tissue.PATELLA, Tissue.NOSE, Tissue.SUTURE,
}  # fmt: skip
_FAR_ENDS = {"humeral condyles": 0.1, "femoral condyles": 0.35}
"""Metastases keep to the red marrow: far from the trunk they are rare. At the knee they are rarer than stated here, but
hard to tell from a worn joint."""
_SHAFTS = {Tissue.LEG_SHAFT, Tissue.ARM_SHAFT}
_ENDS = {Tissue.SHOULDER, Tissue.HIP}
"""The ends of long bones at shoulder and hip: small beside their shafts, yet where most lesions of these bones sit."""
_LONG = {Region.RIBS, Region.CLAVICLE}


class Kind(StrEnum):
    """What a lesion looks like.

    DIFFUSE: large, hottest at its middle. WHOLE: all of a bone that lies within a radius, with a sharp end. ACROSS: a
    band of the sacrum, from one side towards the other, and often over both joints.
    """

    FOCUS = "focus"
    BAND = "band"
    DIFFUSE = "diffuse"
    WHOLE = "whole"
    ACROSS = "across"


_DRAWN = (Kind.FOCUS, Kind.BAND, Kind.DIFFUSE, Kind.WHOLE)
_KINDS = {Region.SACRUM: [0.35, 0.35, 0.15, 0.15], Region.RIBS: [0.87, 0.0, 0.08, 0.05]}
"""Probabilities of each drawn kind where they differ from those of other bones."""
_LARGE_MM = 16.0


@dataclass(frozen=True, slots=True)
class Metastasis:
    """One lesion, projected (a negative factor of the focus: a cold lesion).

    radius_mm: of the place that it lies in. contrast: peak over what lies under it, in its better view. volume_cm3:
    inside bone. bone_cm3: of the whole bone.
    """

    bone: str
    region: Region
    side: Side
    radius_mm: float
    contrast: float
    focus: Focus
    volume_cm3: float
    bone_cm3: float


@dataclass(frozen=True, slots=True)
class Shape:
    """Size and form of a lesion.

    radius_mm: of the place that it lies in; the bone may be smaller. radii: (3,) mm along the bone, across it and
    through it; of a band across the sacrum from left to right, from head to foot, and through it. irregular: by how
    much its parts are moved and sized.
    """

    kind: Kind
    radius_mm: float
    radii: Points
    irregular: float

    @property
    def flat(self) -> bool:
        """Whether its uptake ends at its edge, and does not fall off towards it."""
        return self.kind in (Kind.ACROSS, Kind.WHOLE)


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


def sample_shape(region: Region, long_bone: bool, rng: Generator) -> Shape:
    """Draw a lesion's form: mostly a small focus, sometimes a band, a long one, a large one or a whole bone."""
    radius = float(np.clip(np.exp(rng.normal(np.log(7.5), 0.55)), 3.0, 30.0))
    chances = _KINDS.get(region, [0.5, 0.0, 0.35, 0.15] if long_bone else [0.6, 0.07, 0.2, 0.13])
    kind = _DRAWN[int(rng.choice(len(_DRAWN), p=chances))]
    round_one = rng.random() < 0.45
    if kind is Kind.DIFFUSE:  # a whole vertebra, the end of a long bone, half of the sacrum, much of a wing
        radius = float(rng.uniform(16, 55))
        return Shape(kind, radius, radius * np.array([1.0, rng.uniform(0.7, 1.0), rng.uniform(0.7, 1.0)]), 0.35)
    if kind is Kind.WHOLE:
        # The skull is one bone here. Evenly hot all over, it would look like a normal one with high uptake.
        radius = float(rng.uniform(30, 60 if region is Region.SKULL else 130))
        return Shape(kind, radius, radius * np.array([1.0, rng.uniform(0.6, 1.0), rng.uniform(0.6, 1.0)]), 0.2)
    if kind is Kind.BAND and region is Region.SACRUM:
        radius = float(rng.uniform(22, 65))
        return Shape(Kind.ACROSS, radius, np.array([radius, rng.uniform(4, 11), 60.0]), 0.15)
    if kind is Kind.BAND and region not in _LONG and not long_bone:
        radius = max(radius, 6.0)
        return Shape(kind, radius, radius * np.array([rng.uniform(2.0, 4.0), 1.0, rng.uniform(0.5, 0.9)]), 0.3)
    # In ribs and shafts, too, many lesions are round. Otherwise a round hot focus there would always be benign.
    stretch = rng.uniform(1.2, 4.0) if (region in _LONG or long_bone) and not round_one else rng.uniform(1.0, 1.7)
    return Shape(Kind.FOCUS, radius, radius * np.array([stretch, 1.0, rng.uniform(0.7, 1.0)]), 0.5)


def sample_contrast(shape: Shape, rng: Generator) -> float:
    """Peak over what lies under it, 1 = no more than that: from hardly seen to twenty times.

    Large lesions are hotter: on scans of people those of a whole bone end are ten times as hot as what is beside them.
    """
    if shape.radius_mm > _LARGE_MM:
        return float(np.exp(rng.uniform(np.log(1.5), np.log(14.0))))
    return float(np.clip(1.25 + rng.lognormal(0.2, 0.95), 1.3, 20.0))


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
        volume = np.array([s.bone.cloud.weights.sum() * _preference(s.bone) for s in structures])
        structure = structures[int(rng.choice(len(structures), p=volume / volume.sum()))]
        lesion = _make(anatomy, structure, base, rng)
        if lesion is not None:
            lesions.append(lesion)
    return lesions


def _preference(bone: Bone) -> float:
    """How often a bone has lesions, for its volume, against the others of its region."""
    if bone.name in _FAR_ENDS:
        return _FAR_ENDS[bone.name]
    if bone.region is Region.PUBIS:
        return 2.0  # a small part of the pelvis, where lesions are hard to tell from the bladder
    return 3.0 if bone.tissue in _ENDS else 1.0


def _make(anatomy: Anatomy, structure: Structure, base: Images, rng: Generator) -> Metastasis | None:
    bone = structure.bone
    long_bone = bone.tissue in _SHAFTS
    centre = _centre(anatomy, bone, rng)
    shape = sample_shape(bone.region, long_bone or bone.tissue in _ENDS, rng)
    axes = bone_axes(bone.cloud.points, centre)
    if shape.kind is Kind.ACROSS:
        centre, axes = centre * np.array([rng.uniform(0, 1), 1, 1]), np.eye(3)[:, [0, 2, 1]]
    blob = make_blob(centre, shape.radii, axes, rng, irregular=shape.irregular, flat=shape.flat)
    inside = in_bone(anatomy, blob, bone if shape.kind is Kind.WHOLE else None)
    volume = float(inside.weights.sum())
    if shape.flat:
        inside = _with_patches(inside, rng)
    projection = anatomy.camera.project(inside)
    unit, _ = peak_ratio(projection, base)
    if unit <= 0:
        return None
    cold = rng.random() < 0.03 and 9 < shape.radius_mm < 20
    contrast = float(rng.uniform(0.25, 0.6)) if cold else sample_contrast(shape, rng)
    whole = sum(s.bone.cloud.weights.sum() for s in anatomy.structures if is_part_of(s.bone, bone))
    return Metastasis(
        bone.bone,
        bone.region,
        bone.side,
        shape.radius_mm,
        contrast,
        Focus(projection, (contrast - 1) / unit, shape.flat),
        volume,
        float(whole),
    )


def _with_patches(cloud: Cloud, rng: Generator) -> Cloud:
    """A cloud with hotter and colder patches of 15 to 60 mm; most of it within half and half as much again."""
    waves = rng.normal(size=(6, 3))
    waves *= 2 * np.pi / (rng.uniform(30, 120, (6, 1)) * np.linalg.norm(waves, axis=1, keepdims=True))
    height = np.sin(cloud.points @ waves.T + rng.uniform(0, 2 * np.pi, 6)).sum(axis=1) / 3**0.5
    return Cloud(cloud.points, cloud.weights * np.exp(rng.uniform(0.1, 0.5) * height))


def _centre(anatomy: Anatomy, bone: Bone, rng: Generator) -> Points:
    """A place in a bone; in a long bone rather near the trunk."""
    weights = bone.cloud.weights.copy()
    if bone.tissue in _SHAFTS:
        joint = anatomy.landmarks[("glenohumeral joint" if bone.region is Region.HUMERUS else "hip joint", bone.side)]
        away = np.linalg.norm(bone.cloud.points - joint, axis=1)
        weights *= np.interp(away, [away.min(), (away.min() + away.max()) / 2, away.max()], [1.0, 0.4, 0.08])
    place: Points = bone.cloud.points[int(rng.choice(len(weights), p=weights / weights.sum()))]
    return place
