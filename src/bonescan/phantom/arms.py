"""The arms below the shoulder joint: humerus, elbow, forearm, wrist and hand of an adult of 1.65 m (image height).

Stated straight, as they hang beside the body with the palm in front and radius beside ulna; posture turns the palm
towards the thigh and bends the joints. The wall of a shaft is denser than its middle.
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
        TubeSection((16, 10.5, 9, 8.5, 9), hollow=0.4, profile=(0.45, 0.75, 0.88, 0.8, 0.75)),
    )
    yield from make.pair("humeral shaft", Tissue.ARM_SHAFT, shaft, bone="humerus")
    flare = tube(
        np.array([[ex, ey, ez - 52], [ex, ey, ez - 10]]),
        TubeSection((9, 12, 18, 24), flat=0.5, profile=(0.1, 0.45, 0.45)),
    )
    trochlea = ellipsoid((ex, ey + 1, ez - 5), (25, 11, 17))
    yield from make.pair("humeral condyles", Tissue.ELBOW, Cloud.joined([flare, trochlea]), bone="humerus")


def _forearms() -> Iterator[Bone]:
    make = Maker(Region.FOREARM, Segment.FOREARM)
    ex, ey, ez = ELBOW
    wx, wy, wz = WRIST
    olecranon = tube(
        np.array([[ex - 5, ey - 10, ez - 16], [ex - 6, ey - 6, ez + 36]]),
        TubeSection((7, 12, 11, 9), profile=(0.5, 0.8, 0.75, 0.25)),
    )
    yield from make.pair("olecranon", Tissue.ELBOW, olecranon, bone="ulna")
    head = tube(
        np.array([[ex + 12, ey + 4, ez + 3], [ex + 12, ey + 4, ez + 34]]), TubeSection((11, 9), profile=(0.8, 0.3))
    )
    yield from make.pair("radial head", Tissue.ELBOW, head, bone="radius")
    ulna = tube(
        curve([(ex - 7, ey - 6, ez + 14), (ex - 11, ey - 4, ez + 110), (wx - 12, wy - 2, wz - 6)]),
        TubeSection((11, 9, 7.5, 7), hollow=0.4, profile=(0.7, 0.8, 0.75, 0.7)),
    )
    yield from make.pair("ulna", Tissue.ARM_SHAFT, ulna)
    radius = tube(
        curve([(ex + 13, ey + 4, ez + 20), (ex + 14, ey + 6, ez + 110), (wx + 7, wy, wz - 12)]),
        TubeSection((8, 9, 9, 10), hollow=0.4, profile=(0.7, 0.75, 0.75, 0.75)),
    )
    yield from make.pair("radius", Tissue.ARM_SHAFT, radius)
    distal = Cloud.joined(
        [
            tube(
                np.array([[wx + 7, wy, wz - 44], [wx + 4, wy, wz + 6]]),
                TubeSection((9, 12, 15, 13), 0.85, profile=(0.1, 0.4, 0.6, 0.5)),
            ),
            tube(
                np.array([[wx - 13, wy - 2, wz - 30], [wx - 13, wy - 2, wz]]), TubeSection((6, 8), profile=(0.1, 0.5))
            ),
        ]
    )
    yield from make.pair("distal forearm", Tissue.WRIST, distal, bone="radius")


_RAY_X = (-15.0, -6.0, 4.0, 13.0)
_METACARPAL = (50.0, 55.0, 61.0, 62.0)
_FINGER = (62.0, 78.0, 84.0, 76.0)
_BONE_ENDS = (1.5, 1.1, 0.75, 1.1, 1.3, 0.75, 0.65, 0.7, 0.5, 0.45, 0.4)


def _hands() -> Iterator[Bone]:
    """Carpus and five rays, the palm in front and the fingers half closed over it."""
    make = Maker(Region.HAND, Segment.HAND)
    wx, wy, wz = WRIST
    carpus = Cloud.joined(
        [ellipsoid((wx - 1, wy, wz + 13), (21, 14, 22)), ellipsoid((wx + 15, wy + 5, wz + 22), (9, 9, 11))]
    )
    yield from make.pair("carpus", Tissue.WRIST, carpus, bone="hand")
    rays = []
    for x, palm, finger in zip(_RAY_X, _METACARPAL, _FINGER, strict=True):
        fan = x * 0.8
        arch = wy - 0.012 * x * x
        line = curve(
            [
                (wx + x, arch, wz + 25),
                (wx + x + fan * 0.75, arch + 2, wz + 27 + palm),
                (wx + x + fan, arch + 11, wz + 27 + palm + finger * 0.5),
                (wx + x + fan, arch + 32, wz + 27 + palm + finger * 0.66),
            ]
        )
        rays.append(tube(line, TubeSection((8, 7, 6, 5), profile=_BONE_ENDS)))
    thumb = curve([(wx + 19, wy + 7, wz + 26), (wx + 27, wy + 20, wz + 60), (wx + 25, wy + 28, wz + 98)])
    rays.append(tube(thumb, TubeSection((8, 6, 5), profile=(1.3, 0.9, 0.75, 1.0, 0.7, 0.7, 0.5))))
    yield from make.pair("fingers", Tissue.HAND, Cloud.joined(rays), bone="hand")


_LANDMARKS: dict[Segment, dict[str, tuple[float, float, float]]] = {
    Segment.UPPER_ARM: {"deltoid tuberosity": (170, -10, 390), "medial epicondyle": (147, -20, 562)},
    Segment.FOREARM: {
        "elbow": ELBOW, "olecranon": (165, -28, 574), "radial head": (182, -14, 588),
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
