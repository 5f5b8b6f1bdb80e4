"""The arms below the shoulder joint: humerus, elbow, forearm, wrist and hand of an adult of 1.65 m (image height).

Stated straight, as they hang beside the body with the palm towards the thigh turned a little forward; posture bends
them. Both cortices of a shaft show: its wall is denser than its middle.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bonescan.phantom.bones import BOTH, ELBOW, SHOULDER, WRIST, Bone, Landmark, Maker, Segment, Tissue, place
from bonescan.phantom.shapes import Cloud, TubeSection, curve, ellipsoid, tube
from bonescan.study import Region


def bones() -> Iterator[Bone]:
    """Humerus without its head, radius, ulna and hand of both sides."""
    yield from _humeri()
    yield from _forearms()
    yield from _hands()


def _humeri() -> Iterator[Bone]:
    make = Maker(Region.HUMERUS, Segment.UPPER_ARM)
    x, y, z = SHOULDER
    ex, ey, ez = ELBOW
    shaft = tube(
        curve([(x + 4, y, z + 22), (x + 8, y, z + 60), (x + 9, y - 2, z + 150), (ex, ey, ez - 28)]),
        TubeSection((19, 12.5, 11.5, 11, 11.5), hollow=0.62, profile=(0.55, 0.8, 1.0, 0.85, 0.95)),
    )
    yield from make.pair("humeral shaft", Tissue.ARM_SHAFT, shaft, bone="humerus")
    flare = tube(np.array([[ex, ey, ez - 34], [ex, ey, ez - 8]]), TubeSection((11, 23), flat=0.45, profile=(0.6, 0.9)))
    trochlea = tube(np.array([[ex - 23, ey, ez - 5], [ex + 22, ey + 2, ez - 4]]), TubeSection((9, 11, 10)))
    epicondyles = [ellipsoid((ex + s, ey - 2, ez - 16), (6, 7, 8)) for s in (-27, 25)]
    yield from make.pair(
        "humeral condyles", Tissue.ELBOW, Cloud.joined([flare, trochlea, *epicondyles]), bone="humerus"
    )


def _forearms() -> Iterator[Bone]:
    make = Maker(Region.FOREARM, Segment.FOREARM)
    ex, ey, ez = ELBOW
    wx, wy, wz = WRIST
    olecranon = Cloud.joined(
        [ellipsoid((ex - 8, ey - 12, ez), (11, 11, 15)), ellipsoid((ex - 8, ey, ez + 12), (11, 9, 9))]
    )
    yield from make.pair("olecranon", Tissue.ELBOW, olecranon, bone="ulna")
    head = tube(np.array([[ex + 15, ey + 4, ez + 8], [ex + 15, ey + 4, ez + 26]]), TubeSection((11, 8)))
    yield from make.pair("radial head", Tissue.ELBOW, head, bone="radius")
    ulna = tube(
        curve([(ex - 8, ey - 6, ez + 14), (ex - 13, ey - 4, ez + 110), (wx - 15, wy - 2, wz - 6)]),
        TubeSection((10, 7, 6, 6.5), hollow=0.5, profile=(1.2, 1, 0.9, 1.1)),
    )
    yield from make.pair("ulna", Tissue.ARM_SHAFT, ulna)
    radius = tube(
        curve([(ex + 15, ey + 4, ez + 20), (ex + 16, ey + 6, ez + 110), (wx + 9, wy, wz - 10)]),
        TubeSection((7, 7, 7.5, 11), hollow=0.5, profile=(0.9, 0.9, 0.95, 1.1)),
    )
    yield from make.pair("radius", Tissue.ARM_SHAFT, radius)
    distal = Cloud.joined(
        [ellipsoid((wx + 8, wy, wz - 6), (17, 10, 10)), ellipsoid((wx - 16, wy - 2, wz - 4), (8, 8, 8))]
    )
    yield from make.pair("distal forearm", Tissue.WRIST, distal, bone="radius")


_RAY_X = (-17.0, -8.5, 1.0, 10.0)
_METACARPAL = (50.0, 55.0, 61.0, 62.0)
_FINGER = (62.0, 78.0, 84.0, 76.0)
_BONE_ENDS = (1.3, 0.65, 0.6, 1.5, 1.0, 0.7, 1.3, 0.75, 1.1, 0.8, 0.7)


def _hands() -> Iterator[Bone]:
    """Carpus and five rays; the palm is turned a quarter towards the thigh, so that the rays overlap."""
    make = Maker(Region.HAND, Segment.HAND)
    wx, wy, wz = WRIST
    carpus = Cloud.joined(
        [ellipsoid((wx - 2, wy, wz + 14), (22, 10, 14)), ellipsoid((wx + 17, wy + 4, wz + 24), (9, 9, 9))]
    )
    yield from make.pair("carpus", Tissue.WRIST, carpus, bone="hand")
    rays = []
    for x, palm, finger in zip(_RAY_X, _METACARPAL, _FINGER, strict=True):
        fan = x * 0.3
        line = curve(
            [
                (wx + x, wy - 0.7 * x, wz + 27),
                (wx + x + fan * 0.5, wy - 0.7 * x + 3, wz + 27 + palm),
                (wx + x + fan, wy + 16, wz + 27 + palm + finger * 0.55),
                (wx + x + fan, wy + 38, wz + 27 + palm + finger * 0.75),
            ]
        )
        rays.append(tube(line, TubeSection((6, 5, 4.5, 4), profile=_BONE_ENDS)))
    thumb = curve([(wx + 20, wy + 8, wz + 28), (wx + 27, wy + 24, wz + 66), (wx + 26, wy + 38, wz + 110)])
    rays.append(tube(thumb, TubeSection((7, 5.5, 4.5), profile=(1.5, 0.8, 0.7, 1.4, 0.8, 1.0, 0.7))))
    yield from make.pair("fingers", Tissue.HAND, Cloud.joined(rays), bone="hand")


_LANDMARKS: dict[Segment, dict[str, tuple[float, float, float]]] = {
    Segment.UPPER_ARM: {"deltoid tuberosity": (170, -10, 390), "medial epicondyle": (143, -20, 558)},
    Segment.FOREARM: {
        "elbow": ELBOW, "olecranon": (162, -30, 574), "radial head": (185, -14, 588),
        "antecubital fossa": (170, 20, 580), "forearm": (172, 8, 690), "wrist": (172, -8, 800),
    },
    Segment.HAND: {
        "thumb base": (191, -2, 830), "back of hand": (172, -10, 862), "knuckles": (174, -4, 894),
        "finger joints": (176, 6, 936),
    },
}  # fmt: skip


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the arms sits."""
    for segment, points in _LANDMARKS.items():
        for name, point in points.items():
            for side in BOTH:
                yield Landmark(name, side, segment, place(side, point))
