"""What a bone of the phantom is, how its two sides are named, and where the joints of the limbs are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from bonescan.phantom.shapes import Cloud, Points
from bonescan.study import Region, Side


class Segment(StrEnum):
    """The rigid parts of the body that move against one another."""

    HEAD = "head"
    TRUNK = "trunk"
    UPPER_ARM = "upper arm"
    FOREARM = "forearm"
    HAND = "hand"
    THIGH = "thigh"
    LOWER_LEG = "lower leg"
    FOOT = "foot"


class Tissue(StrEnum):
    """Kinds of bone that take up tracer alike; the keys of the uptake table."""

    VAULT = "skull vault"
    SKULL_BASE = "skull base"
    FACE = "face"
    MANDIBLE = "mandible"
    VERTEBRAL_BODY = "vertebral body"
    VERTEBRAL_ARCH = "vertebral arch"
    SACRUM = "sacrum"
    RIB = "rib"
    RIB_END = "rib end"
    RIB_FRONT = "front half of a rib"
    CARTILAGE = "costal cartilage"
    STERNUM = "sternum"
    CLAVICLE = "clavicle"
    SCAPULA = "scapula"
    SCAPULA_BLADE = "blade of the scapula"
    SHOULDER = "shoulder joint"
    CERVICAL = "cervical vertebra"
    HIP = "upper end of the femur"
    ILIUM = "ilium"
    POSTERIOR_ILIUM = "posterior ilium"
    ISCHIUM = "ischium"
    PATELLA = "patella"
    JOINT = "joint"
    ACETABULUM = "acetabulum"
    KNEE = "knee"
    LEG_SHAFT = "shaft of the leg"
    FOOT = "foot"
    SUTURE = "suture"
    OCCIPUT = "occiput"
    SPHENOID = "sphenoid"
    NOSE = "nose"
    ORBIT = "orbit and cheek"
    ARM_SHAFT = "shaft of the arm"
    ELBOW = "elbow"
    WRIST = "wrist"
    HAND = "hand"


@dataclass(frozen=True, slots=True)
class Bone:
    """One bone, or a part of one with uptake of its own.

    name: anatomical, without the side ("rib 5", "T7 body"). bone: the bone it belongs to ("rib 5", "T7").
    """

    name: str
    bone: str
    region: Region
    side: Side
    tissue: Tissue
    segment: Segment
    cloud: Cloud


@dataclass(frozen=True, slots=True)
class Landmark:
    """A place with a name, where normal or benign uptake sits."""

    name: str
    side: Side
    segment: Segment
    point: Points


# Joints of the left side of the standard skeleton (mm), about which posture turns the limbs.
SHOULDER = (160.0, -12.0, 272.0)
ELBOW = (170.0, -18.0, 574.0)
WRIST = (172.0, -8.0, 806.0)
HIP = (90.0, 0.0, 764.0)
KNEE = (92.0, 0.0, 1142.0)
ANKLE = (92.0, -10.0, 1520.0)

SIGN = {Side.LEFT: 1.0, Side.RIGHT: -1.0, Side.MIDLINE: 0.0}
BOTH = (Side.LEFT, Side.RIGHT)


def on(side: Side, cloud: Cloud) -> Cloud:
    """A cloud that was made for the left side, on the given side."""
    if side is Side.RIGHT:
        return Cloud(cloud.points * np.array([-1.0, 1.0, 1.0]), cloud.weights)
    return cloud


def place(side: Side, point: tuple[float, float, float]) -> Points:
    """A point that was stated for the left side, on the given side."""
    x, y, z = point
    return np.array([x * (SIGN[side] if side is not Side.MIDLINE else 1.0), y, z])


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the bones of one region with less to write."""

    region: Region
    segment: Segment

    def bone(self, name: str, tissue: Tissue, cloud: Cloud, side: Side = Side.MIDLINE, bone: str | None = None) -> Bone:
        """One bone; a cloud for a paired bone is stated for the left side."""
        return Bone(name, bone or name, self.region, side, tissue, self.segment, on(side, cloud))

    def pair(self, name: str, tissue: Tissue, cloud: Cloud, bone: str | None = None) -> Iterator[Bone]:
        """The left and the right bone; the cloud is stated for the left."""
        for side in BOTH:
            yield self.bone(name, tissue, cloud, side, bone)
