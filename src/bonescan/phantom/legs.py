"""The legs of an adult of 1.65 m (image height): femora, knees, lower legs and feet.

Legs are stated as they lie, turned a little outwards from the hip; posture turns and bends them further.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bonescan.phantom.appendicular import ANKLE, HIP, KNEE
from bonescan.phantom.bones import BOTH, Bone, Landmark, Maker, Segment, Tissue, place
from bonescan.phantom.shapes import Cloud, TubeSection, curve, ellipsoid, tube
from bonescan.study import Region


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
    head = Cloud(ball.points, 0.65 * ball.weights)
    # The neck points backwards from the head, as the legs are turned outwards.
    neck = tube(np.array([[hx, hy, hz], [hx + 30, hy - 8, hz + 26]]), TubeSection((17, 14, 17)))
    yield from make.pair("femoral head and neck", Tissue.HIP, Cloud.joined([head, neck]), bone="femur")
    greater = Cloud.joined(
        [
            ellipsoid((hx + 36, hy - 4, hz + 34), (17, 20, 27)),
            tube(
                curve([(hx + 32, hy - 4, hz + 34), (hx + 33, hy - 2, hz + 80)]),
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
        [(hx + 32, hy - 8, hz + 44), (hx + 29, hy + 6, hz + 150), (kx + 8, ky + 6, kz - 120), (kx + 1, ky, kz - 46)]
    )
    shaft = tube(line, TubeSection((20, 15, 14, 14, 15, 25), hollow=0.55, profile=(1.0, 1.05, 1.0, 0.95, 0.8, 0.6)))
    yield from make.pair("femoral shaft", Tissue.LEG_SHAFT, shaft, bone="femur")
    condyles = Cloud.joined(
        [
            *(ellipsoid((kx + s * 19, ky - 6, kz - 22), (20, 27, 20)) for s in (1, -1)),
            ellipsoid((kx, ky + 2, kz - 36), (33, 22, 22)),
        ]
    )
    yield from make.pair("femoral condyles", Tissue.KNEE, condyles, bone="femur")
    yield from make.pair("patella", Tissue.PATELLA, ellipsoid((kx + 5, ky + 42, kz - 26), (21, 9, 21)))


def _lower_legs() -> Iterator[Bone]:
    make = Maker(Region.LOWER_LEG, Segment.LOWER_LEG)
    kx, ky, kz = KNEE
    ax, ay, az = ANKLE
    plateau = Cloud.joined(
        [
            ellipsoid((kx, ky - 4, kz + 13), (37, 25, 14)),
            tube(curve([(kx, ky - 2, kz + 16), (kx + 1, ky, kz + 62)]), TubeSection((32, 17), flat=0.75)),
            ellipsoid((kx + 6, ky + 20, kz + 40), (9, 7, 13)),
        ]
    )
    yield from make.pair("tibial plateau", Tissue.KNEE, plateau, bone="tibia")
    line = curve([(kx + 1, ky + 2, kz + 46), (kx, ky + 6, kz + 120), (ax - 2, ay, az - 90), (ax - 3, ay, az - 12)])
    section = TubeSection((19, 14, 12, 11.5, 12, 19), hollow=0.5, profile=(0.9, 1.0, 1.0, 0.95, 0.9, 0.9))
    # The front cortex is thickest; turned outwards, it lies along the outer side of the shaft.
    ridge = tube(line + np.array([6.0, 8.0, 0.0]), TubeSection((6, 6, 5, 4, 3), profile=(1.5, 1.6, 1.4, 1.0, 0.6)))
    yield from make.pair("tibial shaft", Tissue.LEG_SHAFT, Cloud.joined([tube(line, section), ridge]), bone="tibia")
    fibula = tube(
        curve(
            [
                (kx + 34, ky - 18, kz + 30),
                (kx + 29, ky - 18, kz + 150),
                (ax + 22, ay - 10, az - 40),
                (ax + 23, ay - 8, az + 12),
            ]
        ),
        TubeSection((10, 5.5, 5, 5.5, 9), hollow=0.3, profile=(1.0, 0.7, 0.7, 0.7, 1.0)),
    )
    yield from make.pair("fibula", Tissue.LEG_SHAFT, fibula)
    malleoli = Cloud.joined(
        [ellipsoid((ax - 4, ay, az - 10), (23, 18, 14)), ellipsoid((ax - 22, ay + 4, az + 2), (8, 12, 13))]
    )
    yield from make.pair("tibial malleolus", Tissue.FOOT, malleoli, bone="tibia")


def _feet() -> Iterator[Bone]:
    make = Maker(Region.FOOT, Segment.FOOT)
    ax, ay, az = ANKLE
    talus = ellipsoid((ax, ay + 10, az + 15), (19, 27, 15))
    heel = tube(
        curve([(ax + 2, ay + 8, az + 28), (ax, ay - 24, az + 36), (ax, ay - 48, az + 40)]), TubeSection((13, 15, 17))
    )
    yield from make.pair("hindfoot", Tissue.FOOT, Cloud.joined([talus, heel]), bone="foot")
    mid = Cloud.joined(
        [ellipsoid((ax, ay + 36, az + 36), (24, 13, 17)), ellipsoid((ax + 2, ay + 48, az + 58), (28, 13, 17))]
    )
    yield from make.pair("midfoot", Tissue.FOOT, mid, bone="foot")
    rays = []
    for k in range(5):
        base = np.array([ax - 18 + 10 * k, ay + 54, az + 66])
        tip = base + np.array([(k - 1) * 5.0, 34, 84 - 7 * k])
        radius = (8.0, 5.5, 5.0, 5.0, 5.0)[k]
        rays.append(
            tube(np.linspace(base, tip, 10), TubeSection(radius, profile=(1, 0.7, 0.7, 0.9, 1.5, 0.6, 0.7, 0.4)))
        )
    yield from make.pair("forefoot", Tissue.FOOT, Cloud.joined(rays), bone="foot")


_LANDMARKS: dict[Segment, dict[str, tuple[float, float, float]]] = {
    Segment.THIGH: {
        "hip joint": (92, 4, 748), "greater trochanter": (127, -8, 798), "lesser trochanter": (104, -20, 830),
        "mid thigh": (116, 30, 950), "medial femoral condyle": (71, 0, 1122), "lateral femoral condyle": (113, 0, 1122),
        "patella": (97, 42, 1116),
    },
    Segment.LOWER_LEG: {
        "medial tibial plateau": (72, 0, 1154), "lateral tibial plateau": (112, 0, 1154),
        "tibial tuberosity": (98, 22, 1182), "fibular head": (126, -18, 1174), "shin": (94, 18, 1320), "ankle": ANKLE,
    },
    Segment.FOOT: {"heel": (92, -52, 1560), "midfoot": (94, 36, 1572), "great toe joint": (71, 60, 1634)},
}  # fmt: skip


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the legs sits."""
    for segment, points in _LANDMARKS.items():
        for name, point in points.items():
            for side in BOTH:
                yield Landmark(name, side, segment, place(side, point))
