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
    curve_y = [-11, -6, -20, -40, -50, -53, -48, -37, -27, -25, -38, -66]
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
        float(np.interp(index, places, [12.5, 15, 17, 17.5, 19.5, 20.5, 23])),
        float(np.interp(index, places, [9, 10.5, 11.5, 14, 16, 16.5, 18])),
    )


def spine() -> Iterator[Bone]:
    """C1 to L5, each with its body and its posterior elements."""
    regions = {"C": Region.CERVICAL_SPINE, "T": Region.THORACIC_SPINE, "L": Region.LUMBAR_SPINE}
    for index, name in enumerate(VERTEBRAE):
        make = Maker(regions[name[0]], Segment.TRUNK)
        z, pitch, y = vertebra_levels()[name]
        wide, deep = _half_sizes(index)
        body = drum((0, y, z), (wide, deep, pitch * 0.48))
        tissue = Tissue.CERVICAL if name[0] == "C" else Tissue.VERTEBRAL_BODY
        yield make.bone(f"{name} body", tissue, body, bone=name)
        tissue = Tissue.CERVICAL if name[0] == "C" else Tissue.VERTEBRAL_ARCH
        yield make.bone(f"{name} arch", tissue, _arch(name, (y, z), (wide, deep, pitch)), bone=name)


def _arch(name: str, centre: tuple[float, float], sizes: tuple[float, float, float]) -> Cloud:
    """Pedicles, articular and transverse processes, laminae and the spinous process."""
    (y, z), (wide, deep, pitch) = centre, sizes
    part, back = name[0], y - deep
    reach, lift = _transverse(name, wide)
    spinous, droop = {"C": (24, 4), "T": (30, 16), "L": (30, 5)}[part]
    pieces = []
    for s in (1.0, -1.0):
        pedicle = np.array([[s * wide * 0.62, back + 3, z - 2], [s * wide * 0.66, back - 9, z - 1]])
        pieces.append(tube(pedicle, TubeSection(pitch * 0.19, profile=(1.2,))))
        pieces.append(_facets(part, s, (back, z), sizes))
        process = np.array([[s * wide * 0.7, back - 9, z + 1], [s * reach, back - 15, z - lift]])
        thick = 0.30 if part == "C" else 0.17 if part == "T" else 0.13
        ends = (1.0, 1.1) if part == "T" else (0.9, 0.55)
        pieces.append(tube(process, TubeSection(pitch * thick, profile=ends)))
        lamina = np.array([[s * wide * 0.62, back - 12, z + 3], [0, back - 21, z + pitch * 0.35]])
        pieces.append(tube(lamina, TubeSection(pitch * 0.36, flat=0.45)))
        if part == "T":
            # The joints with the ribs, of the head at the body's edge and of the tubercle at the process.
            pieces.append(ellipsoid((s * (wide + 3), back + 3, z - pitch * 0.3), (7.5, 7, pitch * 0.5)))
            pieces.append(ellipsoid((s * (reach - 5), back - 13, z - lift - 2), (6, 4, pitch * 0.26)))
    tip = np.array([[0, back - 20, z + 3], [0, back - 20 - spinous * 0.8, z + 4 + droop]])
    pieces.append(tube(tip, TubeSection(pitch * 0.28, flat=0.42, normal=(1, 0, 0))))
    return Cloud.joined(pieces)


def _transverse(name: str, wide: float) -> tuple[float, float]:
    """How far the tip of a transverse process lies from the midline, and how far above its root (mm)."""
    number = int(name[1:])
    if name[0] == "C":
        return (32.0 if number == 1 else 25.0 if number < 7 else 29.0), 0.0
    if name[0] == "T":
        return float(np.interp(number, [1, 6, 10, 12], [33, 30, 27, 22])), 3.0
    return float(wide + np.interp(number, [1, 3, 5], [11, 17, 14])), 2.0


def _facets(part: str, sign: float, place: tuple[float, float], sizes: tuple[float, float, float]) -> Cloud:
    """The facet joint below a vertebra on one side; in the neck a pillar as high as the vertebra."""
    (back, z), (wide, _, pitch) = place, sizes
    if part == "C":
        x = sign * (wide + 4.0)
        pillar = np.array([[x, back - 1, z - pitch * 0.5], [x, back - 4, z + pitch * 0.5]])
        return tube(pillar, TubeSection((7.5, 7.0, 7.5)))
    lateral, size = (0.95, 0.4) if part == "T" else (0.68, 0.32)
    return ellipsoid((sign * wide * lateral, back - 13, z + pitch * 0.46), (wide * size, 6.5, pitch * 0.34))


# Half width and half depth of the rib cage at each rib; heights of the lateral turning point and of the front end;
# angle of the front end.
_RIB_WIDTH = (46, 72, 92, 103, 110, 115, 118, 119, 119, 117, 111, 100)
_RIB_DEPTH = (38, 54, 64, 72, 79, 84, 87, 89, 88, 86, 82, 76)
_RIB_LATERAL = (258, 285, 316, 347, 378, 408, 438, 468, 498, 528, 558, 598)
_RIB_FRONT = (274, 304, 340, 375, 409, 442, 473, 500, 523, 546, 558, 610)
_RIB_END = (158, 160, 158, 155, 151, 147, 143, 138, 131, 118, 84, 50)
_NOTCHES = (276, 302, 322, 342, 360, 376, 390)
_FRONT_FROM = 30
"""Point of a rib's course from which it belongs to the front half."""


def rib_line(number: int) -> Points:
    """The course of a left rib from its head to the costochondral junction, (60, 3) mm."""
    i = number - 1
    z, _, y = vertebra_levels()[f"T{number}"]
    wide, deep = _RIB_WIDTH[i], _RIB_DEPTH[i]
    angle = np.radians(np.linspace(9, _RIB_END[i], 60))
    middle = y - 6 + deep * 0.98
    # From the head the rib first stays level, over the transverse process, then slopes down ever more to the side.
    head = z - 7
    lateral, front = _RIB_LATERAL[i], _RIB_FRONT[i]
    bulge = 13 * np.clip(np.sin(2 * angle), 0, None)
    share = np.clip((np.degrees(angle) - 9) / 81, 0, None)
    height = head + (lateral - head) * (0.45 * share + 0.55 * share**2)
    ahead = np.degrees(angle) > 90
    beyond = (np.degrees(angle) - 90) / max(_RIB_END[i] - 90, 1)
    height[ahead] = (lateral + (front - lateral) * (1.15 * beyond - 0.15 * beyond**2))[ahead]
    return np.stack([wide * np.sin(angle) ** 0.9, middle - deep * np.cos(angle) - bulge, height], axis=1)


def ribs() -> Iterator[Bone]:
    """Twelve pairs, each with a back and a front half, the front end and the cartilage."""
    make = Maker(Region.RIBS, Segment.TRUNK)
    for number in range(1, 13):
        line = rib_line(number)
        bone = f"rib {number}"
        # The head and the tubercle meet vertebrae: hotter joints at the edge of the spine.
        near = TubeSection((4.4, 4.2, 4.2), flat=1.9, normal=(0, 0, 1), profile=(1.3, 1.2, 1.1, 1, 1, 1, 1, 1))
        short = number > 10
        back = line if short else line[: _FRONT_FROM + 1]
        yield from make.pair(bone, Tissue.RIB, tube(back, near), bone)
        if short:
            continue
        far = TubeSection((4.4, 5.4, 6.2), flat=1.6, normal=(0, 0, 1), profile=_front_profile(number))
        yield from make.pair(f"{bone} front", Tissue.RIB_FRONT, tube(line[_FRONT_FROM:], far), bone)
        end = line[-1]
        yield from make.pair(f"{bone} front end", Tissue.RIB_END, tube(line[-5:], TubeSection(6.0)), bone)
        height = _NOTCHES[i_notch(number)]
        notch = np.array([17.0 if number > 1 else 24.0, _sternum_y(height), height])
        middle = (end + notch) / 2 + np.array([0, 6, 8 if number > 3 else 0])
        path = curve(np.stack([end, middle, notch]))
        # The first cartilage turns to bone early and merges with the manubrium; the lower ones run in one thin arch.
        tissue, thick = (Tissue.RIB_FRONT, 9.5) if number == 1 else (Tissue.CARTILAGE, 6.0 if number < 8 else 3.5)
        yield from make.pair(f"{bone} cartilage", tissue, tube(path, TubeSection(thick)), bone)


def _front_profile(number: int) -> tuple[float, ...]:
    """Uptake along the front half of a rib: fading towards the cartilage; less in the short steep ribs below."""
    return tuple((1.0 if number < 9 else 0.7) * share for share in (1.0, 0.9, 0.75, 0.65, 0.55))


def i_notch(number: int) -> int:
    """Index of the sternal notch that the cartilage of a rib reaches (ribs 8 to 10 join the seventh)."""
    return min(number, 7) - 1


def _sternum_y(z: float) -> float:
    return float(np.interp(z, [262, 310, 400, 430], [52, 70, 86, 84]))


def sternum() -> Iterator[Bone]:
    """Manubrium, body and xiphoid."""
    make = Maker(Region.STERNUM, Segment.TRUNK)
    for name, heights, widths in (
        ("manubrium", (262, 275, 290, 303), (20, 29, 26, 17)),
        ("sternal body", (303, 330, 372, 397), (16, 16, 18, 15)),
        ("xiphoid", (396, 412, 424), (9, 8, 4)),
    ):
        edges = [
            np.array([[w * u, _sternum_y(z) - 2 * abs(u), z] for z, w in zip(heights, widths, strict=True)])
            for u in (-1.0, 0.0, 1.0)
        ]
        plate = sheet(edges, thickness=(11, 15, 11), density=(1.1, 0.9, 1.1))
        # The uptake falls from the manubrium down.
        fading = np.interp(plate.points[:, 2], [262, 300, 345, 395, 424], [0.85, 1.1, 1.75, 1.25, 0.75])
        yield make.bone(name, Tissue.STERNUM, Cloud(plate.points, plate.weights * fading), bone="sternum")


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
