"""Shoulder girdle and arms of an adult of 1.65 m (image height), and the joints of all limbs.

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


def humeral_heads() -> Iterator[Bone]:
    """Head and greater tubercle of both humeri."""
    x, y, z = SHOULDER
    head = Cloud.joined([ellipsoid((x, y, z), (22, 22, 23)), ellipsoid((x + 14, y + 2, z + 2), (12, 14, 18))])
    make = Maker(Region.HUMERUS, Segment.UPPER_ARM)
    yield from make.pair("humeral head", Tissue.SHOULDER, head, bone="humerus")


_LANDMARKS: dict[Segment, dict[str, tuple[float, float, float]]] = {
    Segment.TRUNK: {
        "acromion": (158, -14, 246), "acromioclavicular joint": (152, 0, 249), "scapular tip": (95, -94, 397),
        "coracoid": (134, 14, 260), "glenohumeral joint": (146, -14, 272),
        "scapular spine": (112, -84, 272), "scapular border": (114, -74, 350),
    },
    Segment.UPPER_ARM: {"humeral head": SHOULDER},
}  # fmt: skip


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the shoulder girdle sits."""
    for segment, points in _LANDMARKS.items():
        for name, point in points.items():
            for side in BOTH:
                yield Landmark(name, side, segment, place(side, point))
