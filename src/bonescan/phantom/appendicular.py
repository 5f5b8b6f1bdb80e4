"""The appendicular skeleton: arms, pelvis and legs of an adult of 1.65 m (image height).

Limbs are stated straight, as they hang beside the body; posture bends them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bonescan.phantom.bones import BOTH, Bone, Landmark, Maker, Segment, Tissue, place
from bonescan.phantom.shapes import Cloud, TubeSection, curve, ellipsoid, sheet, tube
from bonescan.study import Region

# Joints of the left side (mm), about which posture turns the limbs.
SHOULDER = (160.0, -12.0, 272.0)
ELBOW = (170.0, -18.0, 574.0)
WRIST = (172.0, -8.0, 806.0)
HIP = (90.0, 0.0, 764.0)
KNEE = (92.0, 0.0, 1142.0)
ANKLE = (92.0, -10.0, 1520.0)


def arms() -> Iterator[Bone]:
    """Shaft and lower end of the humerus, radius, ulna and hand of both sides."""
    upper = Maker(Region.HUMERUS, Segment.UPPER_ARM)
    fore = Maker(Region.FOREARM, Segment.FOREARM)
    hand = Maker(Region.HAND, Segment.HAND)
    x, y, z = SHOULDER
    ex, ey, ez = ELBOW
    shaft = tube(
        curve([(x + 3, y, z + 20), (x + 7, y - 2, z + 100), (ex, ey, ez - 25)]),
        TubeSection((17, 11.5, 10.5, 12), hollow=0.45, profile=(1.3, 1, 0.9, 1)),
    )
    yield from upper.pair("humeral shaft", Tissue.SHAFT, shaft, bone="humerus")
    distal = tube(np.array([[ex - 28, ey, ez - 10], [ex + 26, ey, ez - 10]]), TubeSection((9, 11, 10)))
    yield from upper.pair("humeral condyles", Tissue.LONG_BONE_END, distal, bone="humerus")
    wx, wy, wz = WRIST
    olecranon = ellipsoid((ex - 8, ey - 10, ez + 4), (10, 11, 15))
    yield from fore.pair("olecranon", Tissue.LONG_BONE_END, olecranon, bone="ulna")
    ulna = tube(
        curve([(ex - 8, ey - 6, ez + 10), (ex - 12, ey, ez + 110), (wx - 16, wy, wz - 6)]),
        TubeSection((9, 7, 6, 7), hollow=0.4),
    )
    yield from fore.pair("ulna", Tissue.SHAFT, ulna)
    radius = tube(
        curve([(ex + 14, ey + 4, ez + 8), (ex + 17, ey + 6, ez + 110), (wx + 10, wy, wz - 8)]),
        TubeSection((9, 7, 7, 12), hollow=0.4, profile=(1.2, 0.9, 0.9, 1.4)),
    )
    yield from fore.pair("radius", Tissue.SHAFT, radius)
    carpus = ellipsoid((wx, wy, wz + 12), (24, 10, 15))
    yield from hand.pair("carpus", Tissue.SMALL_BONES, carpus, bone="hand")
    rays = []
    for k in range(5):
        spread = (k - 2) * 0.9
        base = np.array([wx + spread * 9, wy, wz + 26])
        length = (86, 152, 162, 152, 128)[::-1][k]
        tip = base + np.array([spread * 11, 4, length])
        rays.append(tube(np.linspace(base, tip, 12), TubeSection(5, profile=(1, 0.7, 1.5, 0.7, 1.3, 0.7, 1.2, 0.6))))
    yield from hand.pair("fingers", Tissue.SMALL_BONES, Cloud.joined(rays), bone="hand")


def pelvis() -> Iterator[Bone]:
    """Iliac wings, sacroiliac joints, acetabula, pubic rami and ischia of both sides."""
    make = Maker(Region.ILIUM, Segment.TRUNK)
    ischia = Maker(Region.ISCHIUM, Segment.TRUNK)
    pubis = Maker(Region.PUBIS, Segment.TRUNK)
    crest = curve([(42, -82, 716), (62, -78, 674), (98, -50, 654), (126, -4, 664), (132, 34, 690), (122, 56, 712)])
    low = curve([(50, -66, 752), (62, -50, 752), (76, -30, 750), (92, -4, 744), (104, 18, 740), (112, 40, 738)])
    middle = (crest + low) / 2 + np.array([6.0, -3.0, 0.0])
    wing = sheet([crest[::6], middle[::6], low[::6]], thickness=(9, 5, 13), density=(1.15, 0.85, 1.1))
    rim = tube(crest, TubeSection((8, 6, 6, 8, 8, 7), profile=(1.1, 1.0, 1.0, 1.1, 1.1, 1.3)))
    yield from make.pair("iliac wing", Tissue.ILIUM, wing, bone="ilium")
    yield from make.pair("iliac crest", Tissue.ILIUM, rim, bone="ilium")
    joint = sheet(
        [
            curve([(44, -78, 706), (49, -66, 728), (46, -72, 752)]),
            curve([(52, -48, 708), (56, -50, 728), (50, -58, 750)]),
        ],
        7,
    )
    yield from make.pair("sacroiliac joint", Tissue.JOINT, joint, bone="sacroiliac joint")
    hx, hy, hz = HIP
    socket = ellipsoid((hx - 3, hy, hz), (36, 34, 36), hollow=0.76)
    open_side = (socket.points - [hx, hy, hz]) @ np.array([0.72, 0.2, 0.62]) < 14
    yield from make.pair(
        "acetabulum", Tissue.ISCHIUM, Cloud(socket.points[open_side], socket.weights[open_side]), bone="acetabulum"
    )
    upper = tube(curve([(74, 26, 770), (48, 46, 778), (14, 50, 788)]), TubeSection((10, 8, 11)))
    lower = tube(curve([(10, 48, 800), (30, 24, 822), (54, -18, 838)]), TubeSection((9, 6, 8)))
    yield from pubis.pair("pubic rami", Tissue.ISCHIUM, Cloud.joined([upper, lower]), bone="pubis")
    ischium = tube(curve([(78, -22, 778), (70, -34, 808), (60, -34, 836)]), TubeSection((17, 14, 15)))
    yield from ischia.pair("ischium", Tissue.ISCHIUM, ischium, bone="ischium")
    yield pubis.bone("symphysis", Tissue.ISCHIUM, ellipsoid((0, 50, 796), (6, 10, 18)), bone="pubis")


def legs() -> Iterator[Bone]:
    """Femur, patella, tibia, fibula and foot of both sides."""
    yield from _femora()
    yield from _lower_legs()
    yield from _feet()


def _femora() -> Iterator[Bone]:
    make = Maker(Region.FEMUR, Segment.THIGH)
    hx, hy, hz = HIP
    kx, ky, kz = KNEE
    head = Cloud.joined(
        [
            ellipsoid((hx, hy, hz), (23, 23, 23)),
            tube(np.array([[hx, hy, hz], [hx + 38, hy - 4, hz + 30]]), TubeSection((18, 15, 19))),
        ]
    )
    yield from make.pair("femoral head and neck", Tissue.LONG_BONE_END, head, bone="femur")
    trochanters = Cloud.joined(
        [ellipsoid((hx + 50, hy - 8, hz + 24), (17, 20, 26)), ellipsoid((hx + 24, hy - 16, hz + 66), (9, 9, 12))]
    )
    yield from make.pair("trochanters", Tissue.LONG_BONE_END, trochanters, bone="femur")
    line = curve(
        [(hx + 42, hy - 4, hz + 40), (hx + 36, hy + 6, hz + 150), (kx + 8, ky + 6, kz - 110), (kx, ky, kz - 45)]
    )
    shaft = tube(line, TubeSection((22, 15, 13.5, 13.5, 20), hollow=0.45, profile=(1.5, 1.05, 0.9, 0.9, 1.0)))
    yield from make.pair("femoral shaft", Tissue.SHAFT, shaft, bone="femur")
    condyles = Cloud.joined(
        [
            *(ellipsoid((kx + s * 19, ky - 4, kz - 21), (20, 27, 20)) for s in (1, -1)),
            ellipsoid((kx, ky + 2, kz - 34), (31, 22, 24)),
        ]
    )
    yield from make.pair("femoral condyles", Tissue.LONG_BONE_END, condyles, bone="femur")
    yield from make.pair("patella", Tissue.PATELLA, ellipsoid((kx, ky + 42, kz - 22), (21, 9, 22)))


def _lower_legs() -> Iterator[Bone]:
    make = Maker(Region.LOWER_LEG, Segment.LOWER_LEG)
    kx, ky, kz = KNEE
    ax, ay, az = ANKLE
    plateau = Cloud.joined([ellipsoid((kx, ky - 4, kz + 13), (37, 25, 14)), ellipsoid((kx, ky, kz + 30), (27, 21, 20))])
    yield from make.pair("tibial plateau", Tissue.LONG_BONE_END, plateau, bone="tibia")
    line = curve([(kx, ky + 2, kz + 24), (kx - 4, ky + 6, kz + 110), (ax - 6, ay, az - 90), (ax - 5, ay, az - 14)])
    shaft = tube(line, TubeSection((25, 14, 11.5, 11, 17), hollow=0.45, profile=(1.1, 1, 0.95, 0.9, 1.2)))
    yield from make.pair("tibial shaft", Tissue.SHAFT, shaft, bone="tibia")
    fibula = tube(
        curve([(kx + 34, ky - 18, kz + 32), (kx + 29, ky - 16, kz + 150), (ax + 23, ay - 8, az + 6)]),
        TubeSection((9, 5.5, 5.5, 9), hollow=0.3),
    )
    yield from make.pair("fibula", Tissue.SHAFT, fibula)


def _feet() -> Iterator[Bone]:
    make = Maker(Region.FOOT, Segment.FOOT)
    ax, ay, az = ANKLE
    hind = Cloud.joined(
        [ellipsoid((ax, ay + 8, az + 14), (18, 26, 13)), ellipsoid((ax, ay - 26, az + 30), (16, 30, 18))]
    )
    yield from make.pair("hindfoot", Tissue.SMALL_BONES, hind, bone="foot")
    mid = ellipsoid((ax + 2, ay + 42, az + 46), (27, 16, 22))
    yield from make.pair("midfoot", Tissue.SMALL_BONES, mid, bone="foot")
    rays = []
    for k in range(5):
        base = np.array([ax - 18 + 10 * k, ay + 50, az + 60])
        tip = base + np.array([(k - 1) * 5.0, 38, 70 - 6 * k])
        radius = 8.0 if k == 0 else 5.0
        rays.append(tube(np.linspace(base, tip, 10), TubeSection(radius, profile=(1, 0.7, 0.8, 1.5, 0.7, 0.9))))
    yield from make.pair("forefoot", Tissue.SMALL_BONES, Cloud.joined(rays), bone="foot")


_LANDMARKS: dict[Segment, dict[str, tuple[float, float, float]]] = {
    Segment.TRUNK: {
        "anterior iliac spine": (122, 56, 712), "iliac crest top": (98, -50, 654), "iliac crest front": (130, 20, 680),
        "iliac crest side": (116, -22, 658), "posterior iliac spine": (44, -82, 716),
        "sacroiliac joint": (48, -64, 728), "acetabular roof": (94, 4, 734),
        "pubic bone": (18, 48, 788), "ischial tuberosity": (60, -34, 836),
    },
    Segment.UPPER_ARM: {
        "deltoid tuberosity": (170, -10, 390), "medial epicondyle": (144, -18, 562),
    },
    Segment.FOREARM: {
        "elbow": ELBOW, "olecranon": (162, -30, 578), "antecubital fossa": (170, 20, 580),
        "forearm": (172, 8, 690), "wrist": (172, -8, 800),
    },
    Segment.HAND: {"thumb base": (192, -8, 824), "back of hand": (172, 4, 850), "knuckles": (172, -2, 905)},
    Segment.THIGH: {
        "hip joint": (92, 4, 748), "greater trochanter": (142, -8, 786), "mid thigh": (120, 30, 950),
        "medial femoral condyle": (71, 0, 1122), "lateral femoral condyle": (113, 0, 1122), "patella": (92, 42, 1120),
    },
    Segment.LOWER_LEG: {
        "medial tibial plateau": (72, 0, 1152), "lateral tibial plateau": (112, 0, 1152),
        "tibial tuberosity": (92, 26, 1185), "shin": (88, 16, 1320), "ankle": ANKLE,
    },
    Segment.FOOT: {"heel": (92, -40, 1556), "midfoot": (94, 34, 1570), "great toe joint": (72, 64, 1620)},
}  # fmt: skip


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the limbs and girdles sits."""
    for segment, points in _LANDMARKS.items():
        for name, point in points.items():
            for side in BOTH:
                yield Landmark(name, side, segment, place(side, point))
