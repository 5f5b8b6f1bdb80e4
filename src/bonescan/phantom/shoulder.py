"""The shoulder girdle: clavicles, scapulae and the upper ends of the humeri of an adult of 1.65 m (image height)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bonescan.phantom.bones import BOTH, SHOULDER, Bone, Landmark, Maker, Segment, Tissue, place
from bonescan.phantom.shapes import Cloud, TubeSection, curve, ellipsoid, sheet, tube
from bonescan.study import Region

_ROOT = (77, -97, 274)
"""Where the spine of the scapula leaves the medial border."""
_TIP = (98, -98, 374)
_ACROMION = (160, -14, 244)


_HEAD = (SHOULDER[0] - 1, SHOULDER[1] + 12, SHOULDER[2] + 6)
"""Middle of the head of the humerus; a gap below the acromion stays free."""


def clavicles() -> Iterator[Bone]:
    """Both clavicles, from the sternum up to the acromion; a little hotter towards both joints."""
    line = curve([(22, 53, 274), (46, 60, 267), (78, 50, 254), (112, 28, 244), (148, 4, 243)])
    shaft = tube(line, TubeSection((10, 8, 7.5, 7.5, 8), profile=(1.3, 1.0, 0.8, 0.6, 0.6, 0.85)))
    yield from Maker(Region.CLAVICLE, Segment.TRUNK).pair("clavicle", Tissue.CLAVICLE, shaft)


def scapulae() -> Iterator[Bone]:
    """Both scapulae: a thin blade between faint borders, the spine with the acromion, coracoid and glenoid."""
    make = Maker(Region.SCAPULA, Segment.TRUNK)
    medial = np.array([(71, -84, 252), _ROOT, (86, -102, 322), _TIP])
    middle = np.array([(100, -64, 262), (99, -76, 295), (98, -90, 330), (98, -97, 371)])
    lateral = np.array([(130, -30, 282), (126, -46, 302), (114, -74, 336), (100, -95, 371)])
    blade = sheet([medial, middle, lateral], thickness=4)
    yield from make.pair("scapula blade", Tissue.SCAPULA_BLADE, blade, bone="scapula")
    pillar = tube(curve(lateral), TubeSection((6, 5, 4.5, 4.5), profile=(0.6, 0.65, 0.7, 0.6)))
    edge = tube(curve(medial), TubeSection((4.2, 4.5, 4.2, 4.5), profile=(0.4, 0.5, 0.4, 0.4)))
    # The lower angle is a flat wedge without an edge above.
    wedge = np.array([(97, -90, _TIP[2] - 44), (98, -95, _TIP[2] - 18), _TIP])
    tip = tube(curve(wedge), TubeSection((13, 11, 7), flat=0.4, profile=(0.15, 0.45, 0.55)))
    borders = Cloud.joined([pillar, edge, tip])
    yield from make.pair("scapula borders", Tissue.SCAPULA, borders, bone="scapula")
    # From behind, the spine is one band that widens towards the acromion.
    crest = curve([_ROOT, (108, -84, 264), (140, -54, 252), _ACROMION])
    ridge = tube(crest, TubeSection((7, 8, 10, 10), flat=0.6, profile=(1.0, 0.95, 0.85, 0.7)))
    acromion = tube(
        curve([(148, 2, 245), _ACROMION, (178, -12, 256)]),
        TubeSection((8, 10, 10), flat=0.8, profile=(0.75, 0.8, 0.8)),
    )
    yield from make.pair("scapular spine", Tissue.SCAPULA, Cloud.joined([ridge, acromion]), bone="scapula")
    coracoid = tube(
        curve([(129, -14, 262), (130, 10, 262), (137, 26, 273)]), TubeSection((7, 7, 8), profile=(0.5, 0.55, 0.65))
    )
    yield from make.pair("coracoid", Tissue.SCAPULA, coracoid, bone="scapula")
    socket = tube(
        curve([(136, -16, 262), (134, -14, 276), (138, -16, 292)]), TubeSection((8, 9, 8), flat=1.4, profile=(0.6,))
    )
    yield from make.pair("glenoid", Tissue.SCAPULA, socket, bone="scapula")


def humeral_heads() -> Iterator[Bone]:
    """The upper ends of both humeri: the lower rim of the head and the tubercles are hotter than its middle.

    Below, the head narrows to the shaft.
    """
    x, y, z = _HEAD
    head = Cloud.joined(
        [
            ellipsoid(_HEAD, (26, 25, 25), hollow=0.7),
            ellipsoid(_HEAD, (16, 15, 15)),
            tube(
                curve([(x - 19, y, z), (x - 11, y, z + 14), (x + 6, y, z + 18)]), TubeSection((7, 8, 7), profile=(0.7,))
            ),
            ellipsoid((x + 19, y, z - 5), (9, 12, 17)),
            tube(
                curve([(x + 2, y - 2, z + 10), (x + 5, y - 8, z + 32), (x + 9, y - 11, z + 74)]),
                TubeSection((21, 14, 10), profile=(0.6, 0.4, 0.15)),
            ),
        ]
    )
    yield from Maker(Region.HUMERUS, Segment.UPPER_ARM).pair("humeral head", Tissue.SHOULDER, head, bone="humerus")


_LANDMARKS: dict[Segment, dict[str, tuple[float, float, float]]] = {
    Segment.TRUNK: {
        "acromion": _ACROMION, "acromioclavicular joint": (150, 2, 243), "scapular tip": _TIP,
        "coracoid": (136, 22, 271), "glenohumeral joint": (140, -10, 277), "scapular spine": _ROOT,
        "scapular border": (114, -74, 336), "scapular upper angle": (73, -86, 256),
    },
    Segment.UPPER_ARM: {"humeral head": _HEAD, "greater tubercle": (175, 0, 274)},
}  # fmt: skip


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the shoulder girdle sits."""
    for segment, points in _LANDMARKS.items():
        for name, point in points.items():
            for side in BOTH:
                yield Landmark(name, side, segment, place(side, point))
