"""The axial skeleton below the skull: spine, ribs and sternum of an adult of 1.65 m (image height).

Sizes are typical adult sizes of anatomy textbooks, rounded; the anatomy sampler stretches them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from bonescan.phantom.bones import BOTH, Bone, Landmark, Maker, Segment, Tissue, place
from bonescan.phantom.shapes import Cloud, Points, TubeSection, curve, drum, ellipsoid, sheet, tube
from bonescan.study import Region, Side

VERTEBRAE: tuple[str, ...] = (
    *(f"C{i}" for i in range(1, 8)),
    *(f"T{i}" for i in range(1, 13)),
    *(f"L{i}" for i in range(1, 6)),
)

# Heights (mm from the vertex) of the lower edge of C2, C7, T12 and L5; pitches grow downwards.
_SPINE_TOP, _C7_END, _T12_END, _L5_END = 146.0, 244.0, 540.0, 702.0


@cache
def vertebra_levels() -> dict[str, tuple[float, float, float]]:
    """Name -> (z of the centre, height with its disc, y of the centre)."""
    levels: dict[str, tuple[float, float, float]] = {}
    blocks = (
        (VERTEBRAE[:7], _SPINE_TOP, _C7_END, 0.1),
        (VERTEBRAE[7:19], _C7_END, _T12_END, 0.5),
        (VERTEBRAE[19:], _T12_END, _L5_END, 0.12),
    )
    curve_z = [140, 195, 245, 300, 350, 400, 460, 540, 600, 650, 700, 760]
    curve_y = [-12, -12, -26, -48, -60, -63, -58, -46, -36, -33, -42, -66]
    for names, start, end, growth in blocks:
        shares = 1 + growth * np.linspace(0, 1, len(names))
        edges = start + np.concatenate([[0], np.cumsum(shares / shares.sum())]) * (end - start)
        for name, top, bottom in zip(names, edges[:-1], edges[1:], strict=True):
            middle = (top + bottom) / 2
            levels[name] = (float(middle), float(bottom - top), float(np.interp(middle, curve_z, curve_y)))
    return levels


def _half_sizes(index: int) -> tuple[float, float]:
    """Half width and half depth of a vertebral body."""
    places = [0, 6, 7, 12, 18, 19, 23]
    return (
        float(np.interp(index, places, [16, 18, 18.5, 18, 22, 23.5, 27])),
        float(np.interp(index, places, [9, 10.5, 11.5, 14, 16, 16.5, 18])),
    )


def spine() -> Iterator[Bone]:
    """C1 to L5, each with its body and its posterior elements."""
    regions = {"C": Region.CERVICAL_SPINE, "T": Region.THORACIC_SPINE, "L": Region.LUMBAR_SPINE}
    for index, name in enumerate(VERTEBRAE):
        make = Maker(regions[name[0]], Segment.TRUNK)
        z, pitch, y = vertebra_levels()[name]
        wide, deep = _half_sizes(index)
        body = drum((0, y, z), (wide, deep, pitch * 0.44), rim=0.35)
        in_neck = name[0] == "C"
        tissues = (Tissue.CERVICAL,) * 2 if in_neck else (Tissue.VERTEBRAL_BODY, Tissue.VERTEBRAL_ARCH)
        yield make.bone(f"{name} body", tissues[0], body, bone=name)
        yield make.bone(f"{name} arch", tissues[1], _arch(name[0], (y, z), (wide, deep, pitch)), bone=name)


def _arch(part: str, centre: tuple[float, float], sizes: tuple[float, float, float]) -> Cloud:
    """Pedicles, articular and transverse processes, laminae and the spinous process.

    Seen from behind these cover the discs, so that the spine is one column with a serrated edge.
    """
    (y, z), (wide, deep, pitch) = centre, sizes
    back = y - deep
    reach = {"C": 1.75, "T": 1.95, "L": 1.75}[part]
    spinous, droop = {"C": (22, 6), "T": (28, 18), "L": (28, 6)}[part]
    # Cervical articular pillars stand beside the bodies; lumbar facets stand behind their edge.
    facet = {"C": 1.35, "T": 0.8, "L": 0.82}[part]
    pieces = []
    for s in (1.0, -1.0):
        pedicle = np.array([[s * wide * 0.62, back + 3, z - 2], [s * wide * 0.66, back - 9, z - 1]])
        pieces.append(tube(pedicle, TubeSection(pitch * 0.19, profile=(1.2,))))
        behind = back + deep * 0.6 if part == "C" else back - 14
        pieces.append(ellipsoid((s * wide * facet, behind, z + pitch * 0.42), (wide * 0.34, 7, pitch * 0.42)))
        process = np.array(
            [[s * wide * 0.7, back - 11, z], [s * wide * reach, back - 15, z - (2 if part == "T" else 0)]]
        )
        pieces.append(tube(process, TubeSection((pitch * 0.2, pitch * 0.14))))
        lamina = np.array([[s * wide * 0.75, back - 12, z + 1], [0, back - 21, z + 4]])
        pieces.append(tube(lamina, TubeSection(pitch * 0.42, flat=0.4, normal=(0, 1, 0))))
    tip = np.array([[0, back - 20, z + 3], [0, back - 20 - spinous * 0.8, z + 4 + droop]])
    pieces.append(tube(tip, TubeSection(pitch * 0.34, flat=0.5, normal=(1, 0, 0))))
    return Cloud.joined(pieces)


# Half width and half depth of the rib cage at each rib, drop from head to front end, angle of the front end.
_RIB_WIDTH = (52, 80, 99, 111, 119, 125, 129, 131, 130, 125, 116, 104)
_RIB_DEPTH = (40, 57, 68, 77, 84, 89, 92, 94, 93, 90, 85, 78)
_RIB_DROP = (36, 62, 84, 100, 112, 120, 126, 128, 124, 116, 100, 72)
_RIB_END = (158, 160, 158, 156, 154, 152, 149, 144, 138, 130, 98, 66)
_NOTCHES = (276, 302, 322, 342, 360, 376, 390)


def rib_line(number: int) -> Points:
    """The course of a left rib from its head to the costochondral junction, (60, 3) mm."""
    i = number - 1
    z, _, y = vertebra_levels()[f"T{number}"]
    wide, deep = _RIB_WIDTH[i], _RIB_DEPTH[i]
    angle = np.radians(np.linspace(9, _RIB_END[i], 60))
    middle = y - 6 + deep * 0.98
    share = (angle - angle[0]) / np.radians(150)
    drop = _RIB_DROP[i] * share**0.95
    bulge = 13 * np.clip(np.sin(2 * angle), 0, None)
    return np.stack([wide * np.sin(angle) ** 0.9, middle - deep * np.cos(angle) - bulge, z - 8 + drop], axis=1)


def ribs() -> Iterator[Bone]:
    """Twelve pairs, with their front ends and cartilages."""
    make = Maker(Region.RIBS, Segment.TRUNK)
    for number in range(1, 13):
        line = rib_line(number)
        bone = f"rib {number}"
        # Denser behind, where the shaft is thick, than in front.
        upright = TubeSection(
            (5.0, 4.8, 4.4, 4.2, 4.2), flat=1.45, normal=(0, 0, 1), profile=(1.3, 1.25, 1.05, 0.85, 0.65, 0.5)
        )
        yield from make.pair(bone, Tissue.RIB, tube(line, upright), bone)
        if number <= 10:
            end = line[-1]
            yield from make.pair(f"{bone} front end", Tissue.RIB_END, tube(line[-5:], TubeSection(6.0)), bone)
            notch = np.array([17.0 if number > 1 else 24.0, _sternum_y(_NOTCHES[min(i_notch(number), 6)]), 0])
            notch[2] = _NOTCHES[min(i_notch(number), 6)]
            middle = (end + notch) / 2 + np.array([0, 6, 8 if number > 3 else 0])
            path = curve(np.stack([end, middle, notch]))
            yield from make.pair(f"{bone} cartilage", Tissue.CARTILAGE, tube(path, TubeSection(5.5)), bone)


def i_notch(number: int) -> int:
    """Index of the sternal notch that the cartilage of a rib reaches (ribs 8 to 10 join the seventh)."""
    return min(number, 7) - 1


def _sternum_y(z: float) -> float:
    return float(np.interp(z, [262, 310, 400, 430], [52, 70, 86, 84]))


def sternum() -> Iterator[Bone]:
    """Manubrium, body and xiphoid."""
    make = Maker(Region.STERNUM, Segment.TRUNK)
    for name, heights, widths in (
        ("manubrium", (262, 278, 300), (22, 29, 17)),
        ("sternal body", (304, 330, 370, 398), (15, 16, 20, 15)),
        ("xiphoid", (400, 415, 428), (9, 8, 4)),
    ):
        edges = [
            np.array([[w * u, _sternum_y(z) - 2 * abs(u), z] for z, w in zip(heights, widths, strict=True)])
            for u in (-1.0, 0.0, 1.0)
        ]
        plate = sheet(edges, thickness=(11, 15, 11), density=(1.15, 0.9, 1.15))
        yield make.bone(name, Tissue.STERNUM, plate, bone="sternum")


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the axial skeleton sits."""
    yield Landmark("larynx", Side.MIDLINE, Segment.TRUNK, place(Side.MIDLINE, (0, 20, 222)))
    for side in BOTH:
        yield from _thorax_landmarks(side)
        for index, name in enumerate(VERTEBRAE):
            z, pitch, y = vertebra_levels()[name]
            wide, deep = _half_sizes(index)
            yield Landmark(
                f"{name} facet", side, Segment.TRUNK, place(side, (wide * 0.8, y - deep - 12, z + pitch * 0.4))
            )
            yield Landmark(
                f"{name} osteophyte", side, Segment.TRUNK, place(side, (wide * 1.15, y + 2, z + pitch * 0.45))
            )
    yield Landmark("sternal angle", Side.MIDLINE, Segment.TRUNK, np.array([0, 70.0, 302]))
    yield Landmark("xiphoid", Side.MIDLINE, Segment.TRUNK, np.array([0, 86.0, 412]))


def _thorax_landmarks(side: Side) -> Iterator[Landmark]:
    yield Landmark("sternoclavicular joint", side, Segment.TRUNK, place(side, (25, 54, 264)))
    yield Landmark("first rib junction", side, Segment.TRUNK, place(side, (30, 56, 276)))
    for number in range(1, 13):
        line = rib_line(number)
        for name, at in (("head", 3), ("angle", 14), ("lateral", 30), ("anterolateral", 42), ("junction", 59)):
            x, y, z = line[at]
            yield Landmark(f"rib {number} {name}", side, Segment.TRUNK, place(side, (x, y, z)))
