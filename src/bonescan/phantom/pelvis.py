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
    plate = sheet(edges, thickness=(17, 21, 24, 21, 17), density=(1.55, 1.55, 1.35, 1.55, 1.55))
    # Below the joints its sides are thin, and only the middle shows.
    aside = np.clip(np.abs(plate.points[:, 0]) / 25, 0, 1) * np.interp(plate.points[:, 2], [725, 765], [0.0, 0.75])
    fading = np.interp(plate.points[:, 2], [702, 725, 750, 800], [1.25, 1.0, 0.9, 0.6]) * (1 - aside)
    yield make.bone("sacrum body", Tissue.SACRUM, Cloud(plate.points, plate.weights * fading), bone="sacrum")
    # The fused arches behind the bodies: the spine's column goes on in them as two faint lines and fades downwards.
    rows = [curve([(s * 13, -58, 700), (s * 11, -78, 735), (s * 9, -88, 765), (s * 6, -84, 792)]) for s in (1, -1)]
    section = TubeSection((14, 9, 7, 5), flat=0.7, profile=(2.4, 2.1, 1.6, 0.6))
    crest = Cloud.joined([tube(row, section) for row in rows])
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
    wing = sheet([crest[::6], middle[::6], low[::6]], thickness=(6, 5, 6, 7, 8), density=(1.0, 0.75, 0.65, 0.8, 0.85))
    yield from make.pair("iliac wing", Tissue.ILIUM, wing, bone="ilium")
    rim = tube(crest, TubeSection((6, 6.5, 6.5, 7, 7.5, 8.5), profile=(0.5, 0.4, 0.4, 0.45, 0.8, 0.75)))
    yield from make.pair("iliac crest", Tissue.ILIUM, rim, bone="ilium")
    front = curve([(124, 38, 686), (118, 56, 702), (106, 50, 724), (96, 42, 742)])
    border = tube(front, TubeSection((9, 11, 10, 9), profile=(0.8, 1.1, 1.15, 1.0)))
    yield from make.pair("anterior iliac border", Tissue.ILIUM, border, bone="ilium")
    yield from make.pair("posterior ilium", Tissue.POSTERIOR_ILIUM, _posterior_ilium(), bone="ilium")
    inner = curve([(54, -70, 692), (51, -66, 714), (46, -64, 738)])
    outer = curve([(60, -42, 694), (58, -44, 716), (52, -50, 738)])
    yield from make.pair("sacroiliac joint", Tissue.JOINT, sheet([inner, outer], 17), bone="sacroiliac joint")


def _posterior_ilium() -> Cloud:
    """The tuberosity and the joint surface of the ilium: a wedge, its tip far out at the crest, fading outwards."""
    lateral = curve([(76, -70, 667), (83, -64, 690), (84, -58, 712), (78, -52, 740)])
    medial = curve([(62, -82, 669), (50, -84, 690), (38, -78, 714), (29, -70, 742)])
    sections = [lateral, lateral * 0.6 + medial * 0.4, medial * 0.75 + lateral * 0.25, medial]
    wedge = sheet(sections, thickness=(10, 19, 18, 14), density=(0.15, 0.8, 1.0, 0.85))
    fading = np.interp(wedge.points[:, 2], [664, 684, 708, 725, 745], [0.35, 0.85, 1.2, 1.0, 0.45])
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
        curve([(68, -54, 728), (77, -48, 758), (73, -42, 790), (68, -38, 812), (61, -33, 827), (49, -28, 834)]),
        TubeSection((14, 17, 14, 14, 13, 10), profile=(0.3, 0.5, 0.75, 0.95, 1.05, 0.7)),
    )
    yield from ischia.pair("ischium", Tissue.ISCHIUM, column, bone="ischium")
    floor = ellipsoid((70, -2, 785), (11, 31, 24))
    yield from ischia.pair("ischial body", Tissue.ACETABULUM, floor, bone="ischium")


def _pubic_bones() -> Iterator[Bone]:
    make = Maker(Region.PUBIS, Segment.TRUNK)
    upper = tube(
        curve([(62, 33, 771), (42, 46, 777), (14, 51, 787)]), TubeSection((10, 7, 9), profile=(1.15, 1.0, 1.2))
    )
    body = ellipsoid((13, 50, 798), (9, 9, 14))
    line = curve([(13, 48, 806), (20, 38, 817), (33, 14, 827), (48, -20, 831)])
    lower = tube(line, TubeSection((9, 8, 7), profile=(0.75, 0.4, 0.1)))
    yield from make.pair("pubic rami", Tissue.ISCHIUM, Cloud.joined([upper, body, lower]), bone="pubis")
    yield make.bone("symphysis", Tissue.ISCHIUM, ellipsoid((0, 50, 797), (8, 9, 17)), bone="pubis")


_LANDMARKS: dict[str, tuple[float, float, float]] = {
    "anterior iliac spine": (118, 56, 702), "iliac crest top": (98, -42, 656), "iliac crest front": (125, 28, 678),
    "iliac crest side": (114, -12, 660), "posterior iliac spine": (46, -86, 712), "sacroiliac joint": (54, -60, 718),
    "sacroiliac joint below": (50, -60, 738), "acetabular roof": (92, 6, 734), "acetabular edge": (114, -2, 742),
    "pubic bone": (16, 50, 793), "ischial tuberosity": (62, -33, 830), "ischium": (73, -40, 800),
}  # fmt: skip


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the pelvis sits."""
    for name, point in _LANDMARKS.items():
        for side in BOTH:
            yield Landmark(name, side, Segment.TRUNK, place(side, point))
    coccyx: Points = np.array([0, -64.0, 814])
    yield Landmark("coccyx", Side.MIDLINE, Segment.TRUNK, coccyx)
