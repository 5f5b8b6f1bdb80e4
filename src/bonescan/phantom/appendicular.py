"""The appendicular skeleton: shoulder girdle, arms, pelvis and legs of an adult of 1.65 m (image height).

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


def clavicles() -> Iterator[Bone]:
    """Both clavicles, from the sternum to the acromion."""
    line = curve([(26, 52, 262), (62, 56, 258), (105, 26, 250), (150, 2, 250)])
    shaft = tube(line, TubeSection((9, 6, 5.5, 7), profile=(1.4, 0.85, 0.85, 1.3)))
    yield from Maker(Region.CLAVICLE, Segment.TRUNK).pair("clavicle", Tissue.CLAVICLE, shaft)


def scapulae() -> Iterator[Bone]:
    """Both scapulae: blade with its borders, spine, acromion, coracoid, glenoid."""
    make = Maker(Region.SCAPULA, Segment.TRUNK)
    medial = np.array([(72, -86, 262), (66, -98, 310), (74, -100, 362), (92, -94, 402)])
    middle = np.array([(102, -68, 262), (98, -80, 310), (98, -88, 355), (97, -93, 398)])
    lateral = np.array([(134, -30, 262), (128, -46, 300), (114, -74, 350), (100, -92, 400)])
    blade = sheet([medial, middle, lateral], thickness=(5, 2.5, 5))
    border = tube(curve(lateral), TubeSection((8, 6, 5, 6)))
    edge = tube(curve(medial), TubeSection((4, 4, 4, 5.5)))
    tip = ellipsoid((95, -94, 397), (9, 6, 11))
    yield from make.pair("scapula blade", Tissue.SCAPULA, Cloud.joined([blade, border, edge, tip]), bone="scapula")
    ridge = tube(
        curve([(70, -98, 292), (112, -84, 272), (148, -50, 250), (162, -18, 246)]), TubeSection((4, 6, 8, 9), flat=0.7)
    )
    yield from make.pair("scapular spine", Tissue.SCAPULA, ridge, bone="scapula")
    acromion = Cloud.joined([ellipsoid((152, -14, 249), (17, 14, 6)), ellipsoid((148, 2, 250), (8, 8, 6))])
    yield from make.pair("acromion", Tissue.SHOULDER, acromion, bone="scapula")
    coracoid = tube(curve([(128, -20, 262), (130, 8, 258), (138, 20, 266)]), TubeSection((8, 6, 5)))
    yield from make.pair("coracoid", Tissue.SHOULDER, coracoid, bone="scapula")
    yield from make.pair("glenoid", Tissue.SHOULDER, ellipsoid((138, -20, 274), (9, 13, 18)), bone="scapula")


def arms() -> Iterator[Bone]:
    """Humerus, radius, ulna and hand of both sides."""
    upper = Maker(Region.HUMERUS, Segment.UPPER_ARM)
    fore = Maker(Region.FOREARM, Segment.FOREARM)
    hand = Maker(Region.HAND, Segment.HAND)
    x, y, z = SHOULDER
    head = Cloud.joined([ellipsoid((x, y, z), (22, 22, 23)), ellipsoid((x + 14, y + 2, z + 2), (12, 14, 18))])
    yield from upper.pair("humeral head", Tissue.SHOULDER, head, bone="humerus")
    ex, ey, ez = ELBOW
    shaft = tube(
        curve([(x + 3, y, z + 20), (x + 7, y - 2, z + 100), (ex, ey, ez - 25)]),
        TubeSection((17, 11.5, 10.5, 12), hollow=0.45, profile=(1.3, 1, 0.9, 1)),
    )
    yield from upper.pair("humeral shaft", Tissue.HUMERUS, shaft, bone="humerus")
    distal = Cloud.joined(
        [
            tube(np.array([[ex - 27, ey, ez - 10], [ex + 25, ey, ez - 10]]), TubeSection((10, 12, 11))),
            ellipsoid((ex, ey, ez - 24), (18, 10, 16), hollow=0.4),
        ]
    )
    yield from upper.pair("humeral condyles", Tissue.ELBOW, distal, bone="humerus")
    wx, wy, wz = WRIST
    olecranon = Cloud.joined(
        [ellipsoid((ex - 8, ey - 8, ez + 6), (13, 13, 17)), ellipsoid((ex + 14, ey + 4, ez + 10), (11, 11, 11))]
    )
    yield from fore.pair("olecranon", Tissue.ELBOW, olecranon, bone="ulna")
    ulna = tube(
        curve([(ex - 8, ey - 6, ez + 10), (ex - 7, ey, ez + 110), (wx - 10, wy, wz - 2)]),
        TubeSection((9, 6.5, 5.5, 7), hollow=0.4, profile=(1.2, 1.0, 0.9, 1.3)),
    )
    yield from fore.pair("ulna", Tissue.FOREARM, ulna)
    radius = tube(
        curve([(ex + 12, ey + 4, ez + 8), (ex + 9, ey + 6, ez + 110), (wx + 7, wy, wz - 4)]),
        TubeSection((9, 6.5, 6.5, 12), hollow=0.4, profile=(1.2, 0.9, 0.9, 1.5)),
    )
    yield from fore.pair("radius", Tissue.FOREARM, radius)
    carpus = Cloud.joined(
        [ellipsoid((wx + x, wy, wz + z), (9, 8, 9)) for x, z in ((-12, 8), (4, 6), (16, 12), (-8, 22), (8, 22))]
    )
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
    """Iliac wings, posterior ilia, sacroiliac joints, acetabula, pubic rami and ischia of both sides."""
    yield from _ilia()
    yield from _lower_pelvis()


def _ilia() -> Iterator[Bone]:
    make = Maker(Region.ILIUM, Segment.TRUNK)
    crest = curve([(46, -84, 706), (60, -80, 676), (94, -54, 656), (124, -8, 664), (132, 32, 690), (124, 58, 714)])
    low = curve([(52, -66, 752), (62, -52, 752), (76, -32, 750), (92, -6, 744), (104, 18, 740), (112, 42, 738)])
    middle = (crest + low) / 2 + np.array([6.0, -3.0, 0.0])
    wing = sheet([crest[::6], middle[::6], low[::6]], thickness=(5, 3.5, 6), density=(0.6, 0.55, 0.5))
    yield from make.pair("iliac wing", Tissue.ILIUM, wing, bone="ilium")
    rim = tube(crest, TubeSection((6, 5, 4, 4.5, 6, 7.5), profile=(1.3, 0.9, 0.65, 0.7, 1.4, 2.2)))
    yield from make.pair("iliac crest", Tissue.ILIUM, rim, bone="ilium")
    # The thick bone behind and above the sacroiliac joint: a wedge beside the sacrum, seen from behind.
    lateral = curve([(70, -76, 664), (70, -72, 700), (66, -64, 730), (60, -58, 756)])
    medial = curve([(62, -84, 668), (46, -84, 702), (36, -76, 730), (28, -68, 756)])
    between = (lateral + medial) / 2
    wedge = sheet([lateral, between, medial], thickness=(10, 20, 16), density=(0.45, 1.0, 1.0))
    yield from make.pair("posterior ilium", Tissue.POSTERIOR_ILIUM, wedge, bone="ilium")
    joint = sheet(
        [
            curve([(50, -72, 704), (48, -64, 728), (42, -66, 752)]),
            curve([(54, -48, 708), (54, -50, 728), (48, -56, 750)]),
        ],
        7,
    )
    yield from make.pair("sacroiliac joint", Tissue.JOINT, joint, bone="sacroiliac joint")


def _lower_pelvis() -> Iterator[Bone]:
    make = Maker(Region.ILIUM, Segment.TRUNK)
    ischia = Maker(Region.ISCHIUM, Segment.TRUNK)
    pubis = Maker(Region.PUBIS, Segment.TRUNK)
    # From the anterior spine to the hip joint: a dark oblique band, seen from the front.
    column = tube(
        curve([(122, 58, 716), (112, 46, 736), (100, 32, 750)]), TubeSection((8, 9, 12), profile=(1.6, 1.0, 0.8))
    )
    yield from make.pair("anterior column", Tissue.ILIUM, column, bone="ilium")
    hx, hy, hz = HIP
    socket = ellipsoid((hx - 3, hy, hz), (34, 32, 34), hollow=0.8)
    open_side = (socket.points - [hx, hy, hz]) @ np.array([0.72, 0.2, 0.62]) < 10
    cup = Cloud(socket.points[open_side], socket.weights[open_side])
    yield from make.pair("acetabulum", Tissue.ISCHIUM, cup, bone="acetabulum")
    roof = ellipsoid((hx + 4, hy - 2, hz - 30), (20, 22, 8), hollow=0.5)
    yield from make.pair("acetabular roof", Tissue.ISCHIUM, roof, bone="acetabulum")
    upper = tube(curve([(78, 24, 768), (58, 40, 772), (34, 50, 780), (12, 52, 790)]), TubeSection((12, 9, 8, 10)))
    lower = tube(curve([(10, 48, 800), (28, 28, 822), (50, -12, 838)]), TubeSection((8, 5.5, 7)))
    yield from pubis.pair("pubic rami", Tissue.ISCHIUM, Cloud.joined([upper, lower]), bone="pubis")
    body = curve([(82, -24, 768), (76, -36, 792), (68, -38, 816), (60, -32, 838)])
    ischium = tube(body, TubeSection((16, 13, 12, 13), profile=(1.2, 1.3, 1.2, 1.35)))
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
            ellipsoid((hx, hy, hz), (22, 22, 22)),
            tube(np.array([[hx, hy, hz], [hx + 36, hy - 4, hz + 28]]), TubeSection((17, 14, 17))),
        ]
    )
    yield from make.pair("femoral head and neck", Tissue.HIP, head, bone="femur")
    trochanters = Cloud.joined(
        [ellipsoid((hx + 46, hy - 8, hz + 22), (15, 18, 23)), ellipsoid((hx + 22, hy - 16, hz + 64), (8, 8, 11))]
    )
    yield from make.pair("trochanters", Tissue.HIP, trochanters, bone="femur")
    line = curve(
        [(hx + 38, hy - 4, hz + 40), (hx + 34, hy + 6, hz + 150), (kx + 8, ky + 6, kz - 110), (kx, ky, kz - 45)]
    )
    shaft = tube(line, TubeSection((21, 14, 12.5, 13, 20), hollow=0.5, profile=(1.3, 1.1, 1.0, 0.95, 0.9)))
    yield from make.pair("femoral shaft", Tissue.SHAFT, shaft, bone="femur")
    condyles = Cloud.joined(
        [
            *(ellipsoid((kx + s * 18, ky - 4, kz - 14), (20, 27, 22), hollow=0.3) for s in (1, -1)),
            ellipsoid((kx, ky + 2, kz - 32), (30, 22, 22), hollow=0.7),
        ]
    )
    yield from make.pair("femoral condyles", Tissue.LONG_BONE_END, condyles, bone="femur")
    yield from make.pair("patella", Tissue.PATELLA, ellipsoid((kx, ky + 42, kz - 22), (21, 9, 22)))


def _lower_legs() -> Iterator[Bone]:
    make = Maker(Region.LOWER_LEG, Segment.LOWER_LEG)
    kx, ky, kz = KNEE
    ax, ay, az = ANKLE
    plateau = Cloud.joined(
        [
            ellipsoid((kx, ky - 4, kz + 12), (36, 25, 14), hollow=0.3),
            ellipsoid((kx, ky, kz + 30), (26, 21, 22), hollow=0.75),
            ellipsoid((kx, ky + 22, kz + 42), (9, 7, 14)),
        ]
    )
    yield from make.pair("tibial plateau", Tissue.LONG_BONE_END, plateau, bone="tibia")
    line = curve([(kx, ky + 2, kz + 24), (kx - 4, ky + 6, kz + 110), (ax - 6, ay, az - 90), (ax - 5, ay, az - 14)])
    shaft = tube(line, TubeSection((22, 14, 11.5, 11, 16), hollow=0.55, profile=(0.5, 1.1, 1.05, 1.0, 1.0)))
    yield from make.pair("tibial shaft", Tissue.SHAFT, shaft, bone="tibia")
    malleolus = ellipsoid((ax - 20, ay, az + 2), (8, 10, 12))
    yield from make.pair("medial malleolus", Tissue.SMALL_BONES, malleolus, bone="tibia")
    fibula = tube(
        curve([(kx + 32, ky - 18, kz + 32), (kx + 27, ky - 16, kz + 150), (ax + 21, ay - 8, az + 10)]),
        TubeSection((8, 4.5, 4.5, 8), hollow=0.3, profile=(1.0, 0.6, 0.6, 1.4)),
    )
    yield from make.pair("fibula", Tissue.SHAFT, fibula)


def _feet() -> Iterator[Bone]:
    make = Maker(Region.FOOT, Segment.FOOT)
    ax, ay, az = ANKLE
    hind = Cloud.joined(
        [
            ellipsoid((ax, ay + 8, az + 12), (19, 26, 14), hollow=0.4),
            ellipsoid((ax, ay - 26, az + 28), (16, 30, 18), hollow=0.4),
        ]
    )
    yield from make.pair("hindfoot", Tissue.SMALL_BONES, hind, bone="foot")
    bones = ((-12, 38, 40, 9), (4, 36, 40, 9), (16, 40, 44, 8), (-14, 52, 56, 7), (0, 52, 56, 7), (12, 52, 58, 7))
    mid = Cloud.joined([ellipsoid((ax + x, ay + y, az + z), (r, r, r)) for x, y, z, r in bones])
    yield from make.pair("midfoot", Tissue.SMALL_BONES, mid, bone="foot")
    rays = []
    for k in range(5):
        base = np.array([ax - 18 + 10 * k, ay + 56, az + 62])
        tip = base + np.array([(k - 1) * 5.0, 38, 70 - 6 * k])
        radius = 7.0 if k == 0 else 4.5
        rays.append(tube(np.linspace(base, tip, 10), TubeSection(radius, profile=(1.2, 0.7, 0.8, 1.5, 0.7, 0.9))))
    yield from make.pair("forefoot", Tissue.SMALL_BONES, Cloud.joined(rays), bone="foot")


_LANDMARKS: dict[Segment, dict[str, tuple[float, float, float]]] = {
    Segment.TRUNK: {
        "acromion": (158, -14, 246), "acromioclavicular joint": (152, 0, 249), "scapular tip": (95, -94, 397),
        "coracoid": (134, 14, 260), "glenohumeral joint": (146, -14, 272),
        "anterior iliac spine": (122, 56, 712), "iliac crest top": (98, -50, 654), "iliac crest front": (130, 20, 680),
        "iliac crest side": (116, -22, 658), "posterior iliac spine": (44, -82, 716),
        "sacroiliac joint": (48, -64, 728), "acetabular roof": (94, 4, 734),
        "pubic bone": (18, 48, 788), "ischial tuberosity": (60, -34, 836), "ischium": (72, -36, 806), "lower acetabulum": (86, -18, 786),
        "lower end of the sacroiliac joint": (40, -66, 752), "scapular spine": (112, -84, 272),
        "scapular border": (114, -74, 350),
    },
    Segment.UPPER_ARM: {
        "humeral head": SHOULDER, "deltoid tuberosity": (170, -10, 390), "medial epicondyle": (144, -18, 562),
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
