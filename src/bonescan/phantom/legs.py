"""The legs of an adult of 1.65 m (image height): femora, knees, lower legs and feet.

Legs are stated as they lie, turned a little outwards from the hip; posture turns and bends them further.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bonescan.phantom.bones import ANKLE, BOTH, HIP, KNEE, Bone, Landmark, Maker, Segment, Tissue, place
from bonescan.phantom.posture import turn
from bonescan.phantom.shapes import Cloud, Points, TubeSection, curve, ellipsoid, tube
from bonescan.study import Region

_OUTWARD = 24.0
"""How far knees and feet of a patient on the back are turned outwards, degrees; posture adds to it."""


def legs() -> Iterator[Bone]:
    """Femur, patella, tibia, fibula and foot of both sides."""
    yield from _hips()
    yield from _thighs()
    yield from _lower_legs()
    yield from _feet()


def _hips() -> Iterator[Bone]:
    make = Maker(Region.FEMUR, Segment.THIGH)
    hx, hy, hz = HIP
    ball = ellipsoid((hx, hy, hz), (23, 23, 23))
    head = Cloud(ball.points, 0.8 * ball.weights)
    # The neck points backwards from the head, as the legs are turned outwards.
    neck = tube(np.array([[hx, hy, hz], [hx + 27, hy - 6, hz + 26]]), TubeSection((17, 14, 17)))
    yield from make.pair("femoral head and neck", Tissue.HIP, Cloud.joined([head, neck]), bone="femur")
    greater = Cloud.joined(
        [
            ellipsoid((hx + 34, hy - 4, hz + 32), (21, 20, 28)),
            tube(
                curve([(hx + 27, hy - 4, hz + 34), (hx + 28, hy - 2, hz + 80)]),
                TubeSection((17, 15), profile=(1.2, 0.7)),
            ),
        ]
    )
    lesser = ellipsoid((hx + 14, hy - 20, hz + 66), (8, 8, 13))
    yield from make.pair("trochanters", Tissue.HIP, Cloud.joined([greater, lesser]), bone="femur")


def _thighs() -> Iterator[Bone]:
    make = Maker(Region.FEMUR, Segment.THIGH)
    hx, hy, hz = HIP
    kx, ky, kz = KNEE
    line = curve(
        [
            (hx + 27, hy + 2, hz + 46),
            (hx + 20, hy + 28, hz + 150),
            (kx + 7, ky + 30, kz - 130),
            (kx + 1, ky + 4, kz - 46),
        ]
    )
    radii = (19, 16, 15, 15, 16, 22)
    shaft = tube(line, TubeSection(radii, hollow=0.55, profile=(0.55, 0.85, 1.0, 1.0, 0.8, 0.3)))
    yield from make.pair("femoral shaft", Tissue.LEG_SHAFT, shaft, bone="femur")
    flare = curve([(kx + 2, ky + 6, kz - 92), (kx, ky + 2, kz - 56), (kx, ky, kz - 30)])
    condyles = Cloud.joined(
        [
            *(ellipsoid((kx + s * 17, ky - 5, kz - 19), (21, 27, 22.5)) for s in (1, -1)),
            tube(flare, TubeSection((16, 26, 33), flat=0.75, profile=(0.4, 0.65, 0.75))),
        ]
    )
    yield from make.pair("femoral condyles", Tissue.KNEE, _turned(condyles), bone="femur")
    patella = ellipsoid((kx - 5, ky + 42, kz - 30), (22, 10, 22))
    yield from make.pair("patella", Tissue.PATELLA, _turned(patella))


def _turned(cloud: Cloud) -> Cloud:
    """A left knee, lower leg or foot, stated with its front ahead, as it lies: turned outwards about the leg's axis."""
    return Cloud(turned_out(cloud.points), cloud.weights)


def turned_out(points: Points) -> Points:
    """Points of a left knee, lower leg or foot, stated with its front ahead, as they lie."""
    knee, ankle = np.array(KNEE), np.array(ANKLE)
    share = np.clip((points[:, 2:] - knee[2]) / (ankle[2] - knee[2]), 0, 1)
    axis = (knee + share * (ankle - knee)) * [1, 1, 0]
    return np.asarray(turn(points - axis, np.zeros(3), 2, -_OUTWARD) + axis)


def _lower_legs() -> Iterator[Bone]:
    make = Maker(Region.LOWER_LEG, Segment.LOWER_LEG)
    kx, ky, kz = KNEE
    ax, ay, az = ANKLE
    head = curve([(kx, ky - 4, kz - 2), (kx, ky - 3, kz + 30), (kx + 1, ky + 4, kz + 82)])
    plateau = Cloud.joined(
        [
            tube(head, TubeSection((36, 36, 25, 16), flat=0.7, profile=(0.95, 0.9, 0.7, 0.5))),
            ellipsoid((kx + 4, ky + 22, kz + 40), (10, 7, 15)),
        ]
    )
    yield from make.pair("tibial plateau", Tissue.KNEE, _turned(plateau), bone="tibia")
    line = curve([(kx + 1, ky + 4, kz + 26), (kx, ky + 12, kz + 130), (ax - 2, ay + 8, az - 90), (ax - 3, ay, az - 12)])
    section = TubeSection(
        (28, 16, 14, 13, 13, 13, 15, 22), hollow=0.4, profile=(0.3, 0.6, 0.7, 0.7, 0.7, 0.65, 0.5, 0.35)
    )
    # The front border is thickest; turned outwards, it lies along the outer side of the shaft.
    border = TubeSection((6, 6, 5, 4, 3), profile=(0.6, 1.1, 1.0, 0.6, 0.2))
    shaft = Cloud.joined([tube(line, section), tube(line + np.array([3.0, 10.0, 0.0]), border)])
    yield from make.pair("tibial shaft", Tissue.LEG_SHAFT, _turned(shaft), bone="tibia")
    course = curve(
        [
            (kx + 34, ky - 14, kz + 30),
            (kx + 28, ky - 16, kz + 150),
            (ax + 21, ay - 10, az - 40),
            (ax + 23, ay - 8, az + 14),
        ]
    )
    fibula = tube(course, TubeSection((10, 6, 5.5, 7, 12), hollow=0.3, profile=(0.8, 0.5, 0.45, 0.5, 0.5)))
    yield from make.pair("fibula", Tissue.LEG_SHAFT, _turned(fibula))
    flare = curve([(ax - 3, ay + 2, az - 60), (ax - 4, ay, az - 25), (ax - 4, ay, az)])
    malleoli = Cloud.joined(
        [
            tube(flare, TubeSection((17, 23, 28), flat=0.8, profile=(0.4, 0.7, 0.8))),
            ellipsoid((ax - 22, ay + 4, az + 4), (8, 12, 13)),
        ]
    )
    yield from make.pair("tibial malleolus", Tissue.FOOT, _turned(malleoli), bone="tibia")


def _feet() -> Iterator[Bone]:
    """Feet as they sink: toes down and a little inwards of the heel's line; uptake is even, the hindfoot's higher."""
    make = Maker(Region.FOOT, Segment.FOOT)
    ax, ay, az = ANKLE
    talus = ellipsoid((ax, ay + 6, az + 18), (26, 26, 25))
    yield from make.pair("hindfoot", Tissue.FOOT, _turned(Cloud(talus.points, 0.85 * talus.weights)), bone="foot")
    course = curve([(ax + 2, ay + 8, az + 30), (ax + 1, ay - 18, az + 27), (ax, ay - 48, az + 26)])
    heel = tube(course, TubeSection((20, 22, 25), profile=(0.3, 0.6, 0.6)))
    yield from make.pair("heel", Tissue.FOOT, _turned(heel), bone="foot")
    for name, centre, radii, density in (
        ("midfoot", (ax - 3, ay + 23, az + 50), (28, 21, 32), 1.0),
        ("cuneiforms", (ax - 6, ay + 33, az + 84), (31, 18, 32), 0.75),
    ):
        solid = ellipsoid(centre, radii)
        yield from make.pair(name, Tissue.FOOT, _turned(Cloud(solid.points, density * solid.weights)), bone="foot")
    # Wide enough to touch each other: single metatarsals are not told apart.
    knots = (0.35, 0.6, 0.65, 0.65, 0.75, 0.55, 0.45, 0.3)
    rays = []
    for k, (radius, length) in enumerate(((9.0, 88), (7.5, 86), (7.0, 79), (7.0, 70), (7.0, 60))):
        base = np.array([ax - 27 + 9 * k, ay + 35, az + 92])
        line = np.linspace(base, base + np.array([(k - 2) * 3.0 - 10, 6, length]), 10)
        rays.append(_turned(tube(line, TubeSection((radius, radius, 0.9 * radius), profile=knots))))
    yield from make.pair("great toe", Tissue.FOOT, rays[0], bone="foot")
    yield from make.pair("forefoot", Tissue.FOOT, Cloud.joined(rays[1:]), bone="foot")


_LANDMARKS: dict[Segment, dict[str, tuple[float, float, float]]] = {
    Segment.THIGH: {
        "hip joint": (92, 4, 748), "greater trochanter": (121, -4, 798), "lesser trochanter": (103, -18, 830),
        "mid thigh": (112, 34, 950), "medial femoral condyle": (71, 0, 1122), "lateral femoral condyle": (113, 0, 1122),
        "patella": (87, 42, 1112),
    },
    Segment.LOWER_LEG: {
        "medial tibial plateau": (72, 0, 1154), "lateral tibial plateau": (112, 0, 1154),
        "tibial tuberosity": (96, 24, 1182), "fibular head": (126, -14, 1174), "shin": (94, 22, 1320), "ankle": ANKLE,
    },
    Segment.FOOT: {"heel": (92, -56, 1546), "midfoot": (88, 15, 1574), "great toe joint": (56, 28, 1662)},
}  # fmt: skip

_STRAIGHT = {"hip joint", "greater trochanter", "lesser trochanter", "mid thigh", "ankle"}
"""Landmarks stated as they lie; the others are turned outwards with their bones."""


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the legs sits."""
    for segment, points in _LANDMARKS.items():
        for name, point in points.items():
            turned = name not in _STRAIGHT
            x, y, z = turned_out(np.array([point], dtype=float))[0] if turned else point
            for side in BOTH:
                yield Landmark(name, side, segment, place(side, (float(x), float(y), float(z))))
