"""How much tracer each bone and each soft part takes up in one patient.

Densities are relative to soft tissue of the torso (1). They were set so that the median of many phantoms lies
in the range of real scans (`benchmarks/realism.py`), and are varied well beyond that from patient to patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bonescan.phantom.anatomy import Anatomy
from bonescan.phantom.bones import Bone, Segment, Tissue
from bonescan.study import Region, Side

TISSUE_UPTAKE: dict[Tissue, float] = {
    Tissue.VAULT: 13.6,
    Tissue.SKULL_BASE: 4.0,
    Tissue.FACE: 16.5,
    Tissue.MANDIBLE: 31.0,
    Tissue.VERTEBRAL_BODY: 30.5,
    Tissue.VERTEBRAL_ARCH: 22.0,
    Tissue.SACRUM: 10.2,
    Tissue.RIB: 19.5,
    Tissue.RIB_END: 5.0,
    Tissue.RIB_FRONT: 14.6,
    Tissue.CARTILAGE: 2.6,
    Tissue.STERNUM: 24.0,
    Tissue.CLAVICLE: 13.4,
    Tissue.SCAPULA: 16.8,
    Tissue.SCAPULA_BLADE: 5.6,
    Tissue.SHOULDER: 8.2,
    Tissue.CERVICAL: 25.0,
    Tissue.HIP: 8.2,
    Tissue.ILIUM: 15.4,
    Tissue.POSTERIOR_ILIUM: 27.0,
    Tissue.ISCHIUM: 14.2,
    Tissue.PATELLA: 8.5,
    Tissue.JOINT: 13.4,
    Tissue.ACETABULUM: 11.2,
    Tissue.KNEE: 5.0,
    Tissue.LEG_SHAFT: 8.8,
    Tissue.FOOT: 4.6,
    Tissue.SUTURE: 3.2,
    Tissue.OCCIPUT: 4.8,
    Tissue.SPHENOID: 13.0,
    Tissue.NOSE: 18.0,
    Tissue.ORBIT: 6.7,
    Tissue.ARM_SHAFT: 8.2,
    Tissue.ELBOW: 8.4,
    Tissue.WRIST: 7.0,
    Tissue.HAND: 5.2,
}

_SPREADS: dict[Tissue, float] = {
    Tissue.CERVICAL: 0.2,
    Tissue.SPHENOID: 0.4,
    Tissue.ORBIT: 0.28,
    Tissue.OCCIPUT: 0.35,
    Tissue.RIB_FRONT: 0.22,
    Tissue.STERNUM: 0.18,
    Tissue.CLAVICLE: 0.24,
    Tissue.SCAPULA: 0.2,
    Tissue.SHOULDER: 0.2,
}
"""Standard deviation of the logarithm from patient to patient, where it differs from the rest (_SPREAD)."""
_SPREAD = 0.17

_SIDES: dict[Segment | Region, float] = {
    Segment.UPPER_ARM: 0.12, Segment.FOREARM: 0.04, Segment.HAND: 0.04, Region.RIBS: 0.12, Region.SCAPULA: 0.08,
}  # fmt: skip
"""Standard deviation of the logarithm of left against right, beyond that of the family for each segment."""

SOFT_UPTAKE: dict[str, float] = {"torso": 1.3, "head": 1.0, "arm": 0.92, "leg": 0.70}

_AXIAL = {
    Region.CERVICAL_SPINE, Region.THORACIC_SPINE, Region.LUMBAR_SPINE, Region.SACRUM, Region.ILIUM, Region.ISCHIUM,
    Region.PUBIS, Region.RIBS, Region.STERNUM, Region.SCAPULA, Region.CLAVICLE,
}  # fmt: skip

_UNEVEN = {
    Tissue.RIB_END, Tissue.CARTILAGE, Tissue.JOINT, Tissue.FOOT, Tissue.KNEE, Tissue.ELBOW, Tissue.WRIST, Tissue.HAND,
}  # fmt: skip
_GROWING = {Tissue.SHOULDER, Tissue.ELBOW, Tissue.HIP, Tissue.KNEE, Tissue.WRIST}


@dataclass(frozen=True, slots=True)
class Uptake:
    """bones: density per structure of the anatomy. soft: concentration per soft part."""

    bones: NDArray[np.float64]
    soft: dict[str, float]


def sample_uptake(anatomy: Anatomy, superscan: bool, rng: Generator) -> Uptake:
    """Draw one patient's normal (and diffusely abnormal) uptake."""
    family = anatomy.family
    tissue = {
        kind: value * family.uptake.get(kind, 1.0) * float(np.exp(rng.normal(0, _SPREADS.get(kind, _SPREAD))))
        for kind, value in TISSUE_UPTAKE.items()
    }
    sides = {(s, side): float(np.exp(rng.normal(0, family.sides))) for s in Segment for side in Side}
    own_sides = {(part, side): float(np.exp(rng.normal(0, spread))) for part, spread in _SIDES.items() for side in Side}
    gradient = rng.normal(0, 0.12)
    bones = np.empty(len(anatomy.structures))
    for i, structure in enumerate(anatomy.structures):
        bone = structure.bone
        own = np.exp(rng.normal(0, 0.18 if bone.tissue in _UNEVEN else 0.08))
        bones[i] = tissue[bone.tissue] * sides[(bone.segment, bone.side)] * own
        for part in (bone.segment, bone.region):
            bones[i] *= own_sides.get((part, bone.side), 1.0)
        if superscan and bone.region in _AXIAL:
            bones[i] *= 1.6 + rng.gamma(2.0, 0.5)
    bones *= np.exp(gradient * _relative_height(anatomy))
    if anatomy.build.young:
        bones *= np.array([1.6 if s.bone.tissue in _GROWING else 1.0 for s in anatomy.structures])
    _diffuse_change(anatomy, bones, rng)
    haze = family.soft * float(np.exp(rng.normal(0, 0.22))) * (0.55 if superscan else 1.0)
    soft = {part: value * haze * float(np.exp(rng.normal(0, 0.12))) for part, value in SOFT_UPTAKE.items()}
    return Uptake(bones, soft)


def _relative_height(anatomy: Anatomy) -> NDArray[np.float64]:
    z = np.array([s.bone.cloud.points[:, 2].mean() for s in anatomy.structures])
    return np.asarray((z - 700.0) / 700.0)


def _diffuse_change(anatomy: Anatomy, bones: NDArray[np.float64], rng: Generator) -> None:
    """Whole bones or regions that are hot or faint without being a metastasis."""
    structures = anatomy.structures
    if rng.random() < 0.025:  # Paget: one whole bone
        names = [(s.bone.bone, s.bone.side) for s in structures if s.bone.tissue is not Tissue.CARTILAGE]
        bone, side = names[rng.integers(len(names))]
        factor = rng.uniform(2.5, 8.0)
        for i, s in enumerate(structures):
            if s.bone.bone == bone and s.bone.side is side:
                bones[i] *= factor
    for change in CHANGES:
        if rng.random() < change.chance:
            factor = rng.uniform(*change.factor)
            bones *= np.array([factor if change.concerns(s.bone) else 1.0 for s in structures])


@dataclass(frozen=True, slots=True)
class Change:
    """A kind of bone, or a limb, that may be hotter or fainter as a whole: its chance and the range of the factor."""

    chance: float
    factor: tuple[float, float]
    tissue: Tissue | None = None
    regions: tuple[Region, ...] = ()
    side: Side | None = None

    def concerns(self, bone: Bone) -> bool:
        """Whether a bone is of this kind; what is None or empty does not matter."""
        wanted = ((self.tissue, bone.tissue), (self.side, bone.side))
        if self.regions and bone.region not in self.regions:
            return False
        return all(want is None or want is have for want, have in wanted)


ARM = (Region.HUMERUS, Region.FOREARM, Region.HAND)

CHANGES: tuple[Change, ...] = (
    Change(0.10, (1.3, 2.4), regions=(Region.SKULL, Region.FACE)),
    Change(0.06, (1.4, 3.0), tissue=Tissue.MANDIBLE),
    Change(0.30, (0.5, 0.8), regions=(Region.SKULL,)),
    Change(0.25, (1.3, 2.0), regions=(Region.SKULL,)),
    Change(0.15, (3.0, 10.0), tissue=Tissue.SUTURE),
    Change(0.15, (1.2, 1.7), tissue=Tissue.NOSE),
    Change(0.10, (1.2, 1.8), tissue=Tissue.STERNUM),
    Change(0.12, (2.0, 5.0), tissue=Tissue.CARTILAGE),
    Change(0.08, (1.2, 1.7), tissue=Tissue.ILIUM),
    Change(0.16, (0.55, 0.8), tissue=Tissue.POSTERIOR_ILIUM),
    Change(0.16, (1.2, 1.5), tissue=Tissue.POSTERIOR_ILIUM),
    Change(0.12, (1.3, 2.2), tissue=Tissue.HIP),
    Change(0.12, (1.3, 2.2), tissue=Tissue.KNEE),
    Change(0.10, (1.3, 1.8), tissue=Tissue.LEG_SHAFT),
    Change(0.15, (1.4, 4.0), tissue=Tissue.FOOT),
    Change(0.12, (1.3, 2.4), tissue=Tissue.ELBOW),
    Change(0.12, (1.4, 2.6), tissue=Tissue.WRIST),
    Change(0.12, (1.3, 2.0), tissue=Tissue.HAND),
    Change(0.12, (1.3, 1.8), tissue=Tissue.ARM_SHAFT),
    Change(0.04, (1.3, 2.2), regions=ARM, side=Side.LEFT),
    Change(0.06, (1.3, 2.2), regions=ARM, side=Side.RIGHT),
    Change(0.04, (0.4, 0.7), regions=(Region.LUMBAR_SPINE,)),
)
