"""The bony pelvis: hip bones, sacrum and coccyx of an adult of 1.65 m (image height), lying on the back.

Seen from behind, the thick posterior ilium beside the sacrum takes up most; seen from the front, the border from the
tubercle of the crest over both anterior spines to the acetabulum does. The wing between them is thin and pale.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bonescan.phantom.bones import BOTH, HIP, Bone, Landmark, Maker, Segment, Tissue, place
from bonescan.phantom.shapes import Cloud, Points, TubeSection, curve, ellipsoid, sheet, tube
from bonescan.study import Region, Side

# The left iliac crest from the posterior to the anterior superior spine, and the lower edge of the wing under it.
_CREST = (
    (46, -86, 712),
    (57, -86, 684),
    (78, -68, 663),
    (98, -42, 656),
    (116, -8, 661),
    (125, 28, 678),
    (118, 56, 702),
)
_WING_EDGE = (
    (56, -66, 742), (66, -54, 756), (76, -34, 760), (88, -6, 756), (96, 14, 748), (99, 30, 742), (98, 44, 738),
)  # fmt: skip


def sacrum() -> Iterator[Bone]:
    """Sacrum with its wings, and the coccyx."""
    make = Maker(Region.SACRUM, Segment.TRUNK)
    heights = [703, 722, 742, 764, 786, 800]
    widths = [52, 50, 40, 27, 17, 10]
    depths = [-42, -56, -70, -80, -78, -72]
    edges = [
        np.array([[w * u, y - 4 * u * u, z] for w, y, z in zip(widths, depths, heights, strict=True)])
        for u in (-1.0, -0.5, 0.0, 0.5, 1.0)
    ]
    plate = sheet(edges, thickness=(17, 21, 24, 21, 17), density=(2.2, 2.8, 0.9, 2.8, 2.2))
    # Below the joints its sides are thin, and only the middle shows.
    aside = np.clip(np.abs(plate.points[:, 0]) / 25, 0, 1) * np.interp(plate.points[:, 2], [725, 765], [0.0, 0.75])
    fading = np.interp(plate.points[:, 2], [720, 750, 800], [1.0, 0.9, 0.6]) * (1 - aside)
    yield make.bone("sacrum body", Tissue.SACRUM, Cloud(plate.points, plate.weights * fading), bone="sacrum")
    # The fused arches and the median crest behind the bodies: the spine's column goes on in them and fades downwards.
    course = curve([(0, -62, 706), (0, -82, 735), (0, -92, 765), (0, -86, 792)])
    crest = tube(course, TubeSection((17, 15, 12, 7), flat=0.55, profile=(1.3, 1.5, 1.2, 0.5)))
    yield make.bone("sacral crest", Tissue.SACRUM, crest, bone="sacrum")
    coccyx = tube(curve([(0, -74, 798), (0, -64, 814), (0, -52, 826)]), TubeSection((9, 4), profile=(0.8, 0.6)))
    yield make.bone("coccyx", Tissue.SACRUM, coccyx, bone="coccyx")


def pelvis() -> Iterator[Bone]:
    """Ilia, sacroiliac joints, acetabula, ischia, pubic bones of both sides, and the symphysis."""
    yield from _ilia()
    yield from _acetabula()
    yield from _pubic_bones()


def _ilia() -> Iterator[Bone]:
    make = Maker(Region.ILIUM, Segment.TRUNK)
    crest, low = curve(_CREST), curve(_WING_EDGE)
    middle = (crest + low) / 2 + np.array([6.0, -3.0, 0.0])
    wing = sheet([crest[::6], middle[::6], low[::6]], thickness=(6, 5, 6, 7, 8), density=(1.2, 1.3, 1.3, 1.2, 0.7))
    yield from make.pair("iliac wing", Tissue.ILIUM, wing, bone="ilium")
    rim = tube(crest, TubeSection((6, 5, 4.5, 5, 6.5, 7.5), profile=(1.0, 1.0, 0.8, 0.9, 1.7, 1.5)))
    yield from make.pair("iliac crest", Tissue.ILIUM, rim, bone="ilium")
    front = curve([(124, 38, 686), (118, 56, 702), (106, 50, 724), (96, 42, 742)])
    border = tube(front, TubeSection((8, 9.5, 8.5, 8), profile=(1.2, 1.8, 1.8, 1.2)))
    yield from make.pair("anterior iliac border", Tissue.ILIUM, border, bone="ilium")
    yield from make.pair("posterior ilium", Tissue.POSTERIOR_ILIUM, _posterior_ilium(), bone="ilium")
    inner = curve([(54, -70, 692), (51, -66, 714), (46, -64, 738)])
    outer = curve([(60, -42, 694), (58, -44, 716), (52, -50, 738)])
    yield from make.pair("sacroiliac joint", Tissue.JOINT, sheet([inner, outer], 17), bone="sacroiliac joint")


def _posterior_ilium() -> Cloud:
    """The tuberosity and the joint surface of the ilium: a wedge with an upright outer edge, wide below."""
    lateral = curve([(65, -76, 662), (68, -72, 688), (70, -64, 712), (69, -58, 736)])
    medial = curve([(49, -86, 664), (44, -84, 688), (38, -78, 711), (33, -70, 732)])
    wedge = sheet([lateral, (lateral + medial) / 2, medial], thickness=(24, 20, 14))
    fading = np.interp(wedge.points[:, 2], [660, 680, 710, 740], [1.1, 1.15, 1.0, 0.6])
    return Cloud(wedge.points, wedge.weights * fading)


def _acetabula() -> Iterator[Bone]:
    make = Maker(Region.ILIUM, Segment.TRUNK)
    hx, hy, hz = HIP
    socket = ellipsoid((hx - 3, hy, hz), (34, 33, 34), hollow=0.85)
    towards = (socket.points - [hx, hy, hz]) @ np.array([0.72, 0.1, 0.62])
    closed = towards < 12  # open downwards and outwards
    # The anterior column carries the border of the ilium on to the root of the pubic bone.
    column = tube(
        curve([(97, 40, 738), (86, 36, 758), (70, 30, 780)]), TubeSection((11, 15, 15), profile=(0.8, 1.2, 1.3))
    )
    cup = Cloud.joined([Cloud(socket.points[closed], socket.weights[closed]), column])
    yield from make.pair("acetabulum", Tissue.ACETABULUM, cup, bone="acetabulum")
    ischia = Maker(Region.ISCHIUM, Segment.TRUNK)
    # The posterior column, from the sciatic notch behind the hip joint down to the tuberosity.
    column = tube(
        curve([(70, -54, 734), (80, -46, 762), (76, -42, 798), (67, -36, 828)]),
        TubeSection((9, 13, 15, 15), profile=(0.7, 0.7, 0.95, 1.15)),
    )
    yield from ischia.pair("ischium", Tissue.ISCHIUM, column, bone="ischium")
    floor = ellipsoid((70, -2, 785), (11, 31, 24))
    yield from ischia.pair("ischial body", Tissue.ACETABULUM, floor, bone="ischium")


def _pubic_bones() -> Iterator[Bone]:
    make = Maker(Region.PUBIS, Segment.TRUNK)
    upper = tube(curve([(62, 33, 771), (42, 46, 777), (14, 51, 787)]), TubeSection((10, 7, 9), profile=(1.2, 1.2, 1.2)))
    body = ellipsoid((13, 50, 798), (9, 9, 14))
    line = curve([(13, 48, 806), (26, 36, 813), (44, 10, 818), (64, -20, 819)])
    lower = tube(line, TubeSection((9, 8, 7), profile=(0.9, 0.9, 0.3)))
    yield from make.pair("pubic rami", Tissue.ISCHIUM, Cloud.joined([upper, body, lower]), bone="pubis")
    yield make.bone("symphysis", Tissue.ISCHIUM, ellipsoid((0, 50, 797), (8, 9, 17)), bone="pubis")


_LANDMARKS: dict[str, tuple[float, float, float]] = {
    "anterior iliac spine": (118, 56, 702), "iliac crest top": (98, -42, 656), "iliac crest front": (125, 28, 678),
    "iliac crest side": (114, -12, 660), "posterior iliac spine": (46, -86, 712), "sacroiliac joint": (54, -60, 718),
    "sacroiliac joint below": (50, -60, 738), "acetabular roof": (92, 6, 734), "acetabular edge": (114, -2, 742),
    "pubic bone": (16, 50, 793), "ischial tuberosity": (68, -36, 834), "ischium": (76, -42, 800),
}  # fmt: skip


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the pelvis sits."""
    for name, point in _LANDMARKS.items():
        for side in BOTH:
            yield Landmark(name, side, Segment.TRUNK, place(side, point))
    coccyx: Points = np.array([0, -64.0, 814])
    yield Landmark("coccyx", Side.MIDLINE, Segment.TRUNK, coccyx)
