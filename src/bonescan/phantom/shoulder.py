"""The shoulder girdle: clavicles, scapulae and the upper ends of the humeri of an adult of 1.65 m (image height)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bonescan.phantom.bones import BOTH, SHOULDER, Bone, Landmark, Maker, Segment, Tissue, place
from bonescan.phantom.shapes import Cloud, TubeSection, curve, ellipsoid, sheet, tube
from bonescan.study import Region

_ROOT = (74, -98, 292)
"""Where the spine of the scapula leaves the medial border."""
_TIP = (96, -98, 384)
_ACROMION = (158, -12, 247)


def clavicles() -> Iterator[Bone]:
    """Both clavicles, from the sternum to the acromion; hotter towards both joints."""
    line = curve([(24, 52, 268), (52, 60, 265), (78, 50, 257), (112, 28, 247), (150, 6, 245)])
    shaft = tube(line, TubeSection((9, 7, 6.5, 6.5, 7.5), profile=(1.25, 1.0, 0.85, 0.8, 1.0, 1.3)))
    yield from Maker(Region.CLAVICLE, Segment.TRUNK).pair("clavicle", Tissue.CLAVICLE, shaft)


def scapulae() -> Iterator[Bone]:
    """Both scapulae: a thin blade between stout borders, the spine with the acromion, coracoid and glenoid."""
    make = Maker(Region.SCAPULA, Segment.TRUNK)
    medial = np.array([(74, -84, 258), _ROOT, (78, -102, 340), _TIP])
    middle = np.array([(102, -64, 266), (98, -76, 305), (96, -90, 345), (96, -97, 382)])
    lateral = np.array([(130, -30, 274), (127, -46, 300), (114, -74, 345), (99, -95, 380)])
    blade = sheet([medial, middle, lateral], thickness=4)
    yield from make.pair("scapula blade", Tissue.SCAPULA_BLADE, blade, bone="scapula")
    pillar = tube(curve(lateral), TubeSection((6, 5, 4.5, 5), profile=(0.7, 0.9, 1.25, 1.6)))
    edge = tube(curve(medial), TubeSection((3.5, 3.8, 3.5, 4.5), profile=(1.0, 1.1, 0.9, 1.4)))
    tip = ellipsoid(_TIP, (9.5, 7, 12))
    borders = Cloud.joined([pillar, edge, tip])
    yield from make.pair("scapula borders", Tissue.SCAPULA, borders, bone="scapula")
    crest = curve([_ROOT, (112, -82, 276), (142, -52, 256), _ACROMION])
    ridge = tube(crest, TubeSection((4.5, 5, 5.5, 6.5), flat=0.9, profile=(1.5, 1.3, 1.0, 0.7)))
    acromion = tube(
        curve([(150, -32, 250), _ACROMION, (153, 6, 247)]),
        TubeSection((9, 12, 8), flat=0.5, normal=(0, 0, 1), profile=(0.8,)),
    )
    yield from make.pair("scapular spine", Tissue.SCAPULA, Cloud.joined([ridge, acromion]), bone="scapula")
    coracoid = tube(
        curve([(126, -18, 264), (127, 10, 260), (135, 28, 268)]), TubeSection((7, 6, 7), profile=(1, 1.1, 1.6))
    )
    yield from make.pair("coracoid", Tissue.SCAPULA, coracoid, bone="scapula")
    socket = tube(
        curve([(135, -16, 262), (133, -14, 276), (136, -16, 291)]), TubeSection((6, 6.5, 6), flat=1.4, profile=(0.75,))
    )
    yield from make.pair("glenoid", Tissue.SCAPULA, socket, bone="scapula")


def humeral_heads() -> Iterator[Bone]:
    """The upper ends of both humeri: the rim of the head is hotter than its middle, as are the tubercles.

    Below, the head narrows to the shaft.
    """
    x, y, z = SHOULDER
    head = Cloud.joined(
        [
            ellipsoid((x - 1, y + 12, z + 2), (27, 25, 26), hollow=0.75),
            ellipsoid((x - 1, y + 12, z + 2), (21, 20, 20)),
            ellipsoid((x + 17, y + 14, z), (9, 13, 18)),
            tube(
                curve([(x + 1, y + 10, z + 10), (x + 4, y + 4, z + 34), (x + 7, y + 1, z + 66)]),
                TubeSection((22, 17, 12), profile=(0.6, 0.6, 0.25)),
            ),
        ]
    )
    yield from Maker(Region.HUMERUS, Segment.UPPER_ARM).pair("humeral head", Tissue.SHOULDER, head, bone="humerus")


_LANDMARKS: dict[Segment, dict[str, tuple[float, float, float]]] = {
    Segment.TRUNK: {
        "acromion": _ACROMION, "acromioclavicular joint": (152, 0, 247), "scapular tip": _TIP,
        "coracoid": (133, 22, 265), "glenohumeral joint": (140, -10, 274), "scapular spine": _ROOT,
        "scapular border": (116, -70, 340), "scapular upper angle": (76, -86, 262),
    },
    Segment.UPPER_ARM: {"humeral head": SHOULDER, "greater tubercle": (170, -8, 268)},
}  # fmt: skip


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the shoulder girdle sits."""
    for segment, points in _LANDMARKS.items():
        for name, point in points.items():
            for side in BOTH:
                yield Landmark(name, side, segment, place(side, point))
