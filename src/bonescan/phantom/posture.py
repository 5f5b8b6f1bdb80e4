"""How one patient's body differs from another's, and how it lies under the camera.

A `Build` is sampled once for an anatomy; `Posture.apply` carries points of the standard skeleton into the
patient's own body. The ranges are wider than in real patients, so that a trained network also handles
unusual bodies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from bonescan.phantom import bones
from bonescan.phantom.bones import SIGN, Segment
from bonescan.phantom.shapes import Points
from bonescan.study import Side

NECK = np.array([0.0, -14.0, 146.0])


@dataclass(frozen=True, slots=True)
class Arm:
    """How an arm is held, in degrees.

    abduction: away from the body, over 90 = raised. elbow, hand: outwards (negative: across the body).
    forward: of the forearm. turned: inward turn of the wrist, 0 = palm in front, 90 = towards the thigh, 180 = down.
    """

    abduction: float
    elbow: float
    forward: float
    hand: float
    turned: float = 0.0


@dataclass(frozen=True, slots=True)
class Leg:
    """abduction, outward turn of the foot and knee bend in degrees."""

    abduction: float
    outward: float
    foot: float


@dataclass(frozen=True, slots=True)
class Build:
    """One patient's shape. Factors are relative to the standard skeleton; angles in degrees; lengths in mm.

    pelvic_tilt: of the pelvis about the hips, positive = its front towards the feet. hips, belly: soft tissue beyond
    what `fat` gives at the outer side of hips and thighs, and in front of the abdomen (mm). breasts: their size, 0 =
    flat, 1 = usual. limbs: soft tissue of arms and calves, as a factor.
    """

    female: bool
    young: bool
    height: float
    girth: float
    fat: float
    chest: float
    pelvis: float
    depth: float
    leg_length: float
    shoulders: float
    head: tuple[float, float, float]
    scoliosis: tuple[float, float, float]
    kyphosis: float
    arms: dict[Side, Arm]
    legs: dict[Side, Leg]
    tilt: float
    bone_mass: float
    pelvic_tilt: float = 0.0
    hips: float = 0.0
    belly: float = 0.0
    breasts: float = 0.0
    limbs: float = 1.0


def sample_build(rng: Generator) -> Build:
    """Draw a patient."""
    female = bool(rng.random() < 0.5)
    fat = float(np.clip(rng.gamma(2.4, 0.40), 0.0, 2.7))
    turned = rng.random() < 0.15
    bent = rng.random() < 0.22
    return Build(
        female=female,
        young=bool(rng.random() < 0.05),
        height=float(np.clip(rng.normal(0.925 if female else 0.98, 0.043), 0.84, 1.18)),
        girth=float(rng.normal(0.97 if female else 1.03, 0.035)),
        fat=fat,
        chest=float(rng.normal(0.90 if female else 0.97, 0.045)),
        pelvis=float(rng.normal(1.04 if female else 0.98, 0.04)),
        depth=float(rng.normal(1.0, 0.07) + 0.05 * fat),
        leg_length=float(rng.normal(1.0, 0.025)),
        shoulders=float(rng.normal(0.91 if female else 0.98, 0.04)),
        head=(
            float(rng.normal(-4, 8)),
            float(rng.uniform(-50, 50) if turned else rng.normal(0, 5)),
            float(rng.normal(0, 3.5)),
        ),
        scoliosis=(
            float(rng.normal(0, 18 if bent else 3)),
            float(rng.uniform(0, 2 * np.pi)),
            float(rng.uniform(0.7, 1.7)),
        ),
        kyphosis=float(rng.normal(20, 14) if rng.random() < 0.15 else rng.normal(0, 6)),
        arms=_arms(rng, fat),
        legs={
            side: Leg(float(rng.normal(0.6, 1.8)), float(rng.normal(14, 9)), float(rng.normal(0, 9)))
            for side in (Side.LEFT, Side.RIGHT)
        },
        tilt=float(rng.normal(0, 1.2)),
        bone_mass=float(rng.normal(1.0, 0.06)),
        pelvic_tilt=float(rng.normal(0, 4.5)),
        hips=float(rng.normal(7 if female else 0, 8)),
        belly=float(rng.normal(0, 14)),
        breasts=float(np.clip(rng.normal(0.9, 0.45), 0, 2)) if female else 0.0,
        limbs=float(rng.normal(1.0, 0.07)),
    )


def _arms(rng: Generator, fat: float) -> dict[Side, Arm]:
    kind = rng.choice(["down", "up", "folded", "mixed"], p=[0.92, 0.03, 0.04, 0.01])
    arms = {}
    for side in (Side.LEFT, Side.RIGHT):
        this = rng.choice(["down", "up", "folded"]) if kind == "mixed" else kind
        if this == "up":
            arms[side] = Arm(
                float(rng.uniform(125, 172)),
                float(rng.uniform(-60, 30)),
                float(rng.uniform(-10, 20)),
                float(rng.normal(0, 15)),
            )
        elif this == "folded":
            arms[side] = Arm(
                float(rng.uniform(6, 16) + 3 * fat),
                float(rng.uniform(-62, -18)),
                float(rng.uniform(5, 25)),
                float(rng.normal(0, 15)),
            )
        else:
            arms[side] = Arm(
                float(rng.normal(8.5, 3.2) + 2.8 * fat),
                float(rng.normal(-5, 5) - 2 * fat),
                float(rng.normal(0, 4)),
                float(rng.normal(-17, 8)),
            )
    supine = rng.random() < 0.06
    turned = float(rng.uniform(10, 45) if supine else rng.normal(122, 20))
    for side, arm in arms.items():
        arms[side] = replace(arm, turned=turned + float(rng.normal(0, 14)))
    return arms


def turn(points: Points, pivot: Points, axis: int, degrees: float) -> Points:
    """Rotate about an axis (0 x, 1 y, 2 z) through a pivot."""
    a = np.radians(degrees)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    moved = points - pivot
    out = moved.copy()
    out[:, i] = np.cos(a) * moved[:, i] - np.sin(a) * moved[:, j]
    out[:, j] = np.sin(a) * moved[:, i] + np.cos(a) * moved[:, j]
    return np.asarray(out + pivot)


def _joint(point: tuple[float, float, float], side: Side) -> Points:
    return np.array([point[0] * SIGN[side], point[1], point[2]])


ELBOW_SHARE = 0.16
"""How much of the wrist's inward turn the humerus makes; the rest comes from radius and ulna crossing."""


def _twist(points: Points, joints: Points, degrees: float) -> Points:
    """Turn an arm inwards about its own axis: by nothing at the shoulder, all of the angle from the wrist on.

    joints: shoulder, elbow and wrist (3, 3).
    """
    z = points[:, 2]
    x, y = (np.interp(z, joints[:, 2], joints[:, k]) for k in (0, 1))
    a = np.radians(degrees) * np.interp(z, joints[:, 2], [0.0, ELBOW_SHARE, 1.0])
    dx, dy = points[:, 0] - x, points[:, 1] - y
    return np.stack([x + np.cos(a) * dx - np.sin(a) * dy, y + np.sin(a) * dx + np.cos(a) * dy, z], axis=1)


@dataclass(frozen=True, slots=True)
class Posture:
    """Carries points of the standard skeleton into one patient's body (mm, vertex near z = 0)."""

    build: Build

    def apply(self, points: Points, segment: Segment, side: Side = Side.MIDLINE) -> Points:
        """Points (n, 3) of one segment of the standard body -> (n, 3) in the patient's body."""
        points = np.atleast_2d(np.asarray(points, dtype=float))
        if segment is Segment.HEAD:
            points = self._rigid(self._head(points), NECK)
        elif segment in (Segment.UPPER_ARM, Segment.FOREARM, Segment.HAND):
            points = self._arm(points, segment, side)
        elif segment in (Segment.THIGH, Segment.LOWER_LEG, Segment.FOOT):
            points = self._leg(points, segment, side)
        else:
            points = self._trunk(points)
        b = self.build
        points = points * np.array([b.girth * b.height**0.6, b.girth * b.height**0.5, b.height])
        return turn(points, np.array([0.0, 0.0, 700.0]), 1, b.tilt)

    def _head(self, points: Points) -> Points:
        nod, yaw, lean = self.build.head
        points = turn(points, NECK, 0, nod)
        points = turn(points, NECK, 2, yaw)
        return turn(points, NECK, 1, lean)

    def _rigid(self, points: Points, anchor: Points) -> Points:
        """Move a rigid part with the place where it hangs on the trunk."""
        return np.asarray(points + (self._trunk(anchor[None]) - anchor))

    def _arm(self, points: Points, segment: Segment, side: Side) -> Points:
        arm, sign = self.build.arms[side], SIGN[side]
        shoulder, elbow, wrist = (_joint(p, side) for p in (bones.SHOULDER, bones.ELBOW, bones.WRIST))
        points = _twist(points, np.stack([shoulder, elbow, wrist]), sign * arm.turned)
        if segment is Segment.HAND:
            points = turn(points, wrist, 1, sign * arm.hand)
        if segment is not Segment.UPPER_ARM:
            points = turn(points, elbow, 1, sign * arm.elbow)
            points = turn(points, elbow, 0, -arm.forward)
        points = turn(points, shoulder, 1, sign * arm.abduction)
        return self._rigid(points, shoulder)

    def _leg(self, points: Points, segment: Segment, side: Side) -> Points:
        leg, sign = self.build.legs[side], SIGN[side]
        hip, knee, ankle = (_joint(p, side) for p in (bones.HIP, bones.KNEE, bones.ANKLE))
        if segment is Segment.FOOT:
            points = turn(points, ankle, 0, leg.foot)
            points = turn(points, ankle, 2, -sign * leg.outward)
        elif segment is Segment.LOWER_LEG:
            points = turn(points, knee, 2, -sign * leg.outward * 0.4)
        points = turn(points, hip, 1, sign * leg.abduction)
        below = np.clip(points[:, 2:] - hip[2], 0, None) * (self.build.leg_length - 1)
        return self._rigid(points + below * np.array([0.0, 0.0, 1.0]), hip)

    def _trunk(self, points: Points) -> Points:
        b = self.build
        x, y, z = points.T
        width = np.interp(
            z, [150, 230, 275, 330, 480, 600, 690, 800], [1, 1, b.shoulders, b.chest, b.chest, 1, b.pelvis, b.pelvis]
        )
        size, phase, waves = b.scoliosis
        weight = np.interp(z, [100, 260, 450, 640, 720, 800], [0.4, 0.7, 1.0, 0.7, 0.15, 0.0])
        sway = size * weight * np.sin(phase + waves * 2 * np.pi * (z - 260) / 480)
        hunch = -b.kyphosis * np.exp(-(((z - 330) / 130) ** 2)) + 0.5 * b.kyphosis * np.exp(-(((z - 120) / 90) ** 2))
        depth = np.interp(z, [180, 260, 480, 620], [1, b.depth, b.depth, 1.0])
        # The spine leaves the midline; the rib cage follows it, the skin follows less.
        # The pelvis tilts about the hips: its front sinks as its back rises.
        dip = np.tan(np.radians(b.pelvic_tilt)) * np.interp(z, [630, 730], [0.0, 1.0]) * y
        return np.stack([x * width + sway, y * depth + hunch, z + dip], axis=1)
