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
        float(np.interp(index, places, [12, 14, 15.5, 16, 19.5, 21, 24.5])),
        float(np.interp(index, places, [9, 10.5, 11.5, 14, 16, 16.5, 18])),
    )


def spine() -> Iterator[Bone]:
    """C1 to L5, each with its body and its posterior elements."""
    regions = {"C": Region.CERVICAL_SPINE, "T": Region.THORACIC_SPINE, "L": Region.LUMBAR_SPINE}
    for index, name in enumerate(VERTEBRAE):
        make = Maker(regions[name[0]], Segment.TRUNK)
        z, pitch, y = vertebra_levels()[name]
        wide, deep = _half_sizes(index)
        share = float(np.interp(index, [2, 6, 9, 12, 18, 19, 22, 23], [0.95, 1.1, 1.1, 1.05, 1.0, 1.0, 1.0, 0.85]))
        cervical = name[0] == "C"
        gap = float(np.interp(index, [12, 18, 22, 23], [0, 1, 1, 0.5]))
        body = drum((0, y, z), (wide, deep, pitch * (0.5 - 0.012 * gap)))
        if not cervical:
            # With the roots of its processes a low vertebra is widest in the middle; notches show between two of them.
            body.points[:, 0] *= 1.03 - 0.15 * gap * np.abs((body.points[:, 2] - z) / (pitch * 0.47)) ** 3
        tissue = Tissue.CERVICAL if cervical else Tissue.VERTEBRAL_BODY
        yield make.bone(f"{name} body", tissue, _faint(body, share), bone=name)
        tissue = Tissue.CERVICAL if cervical else Tissue.VERTEBRAL_ARCH
        arch = _arch(name, (y, z), (wide, deep, pitch))
        yield make.bone(f"{name} arch", tissue, _faint(arch, share), bone=name)


def _faint(cloud: Cloud, share: float) -> Cloud:
    """The same solid with a share of its uptake."""
    return Cloud(cloud.points, cloud.weights * share)


def _arch(name: str, centre: tuple[float, float], sizes: tuple[float, float, float]) -> Cloud:
    """Pedicles, articular and transverse processes, laminae and the spinous process."""
    (y, z), (wide, deep, pitch) = centre, sizes
    part, back = name[0], y - deep
    reach, lift = _transverse(name, wide)
    spinous, droop = {"C": (24, 4), "T": (30, 16), "L": (30, 5)}[part]
    pieces = []
    for s in (1.0, -1.0):
        pedicle = np.array([[s * wide * 0.62, back + 3, z - 2], [s * wide * 0.66, back - 9, z - 1]])
        pieces.append(tube(pedicle, TubeSection(pitch * 0.19, profile=(0.9,))))
        pieces.append(_facets(part, s, (back, z), sizes))
        process = np.array([[s * wide * 0.7, back - 9, z + 1], [s * reach, back - 15, z - lift]])
        thick = 0.30 if part == "C" else 0.17 if part == "T" else 0.13
        ends = (1.0, 0.6) if part == "T" else (0.9, 0.4)
        pieces.append(tube(process, TubeSection(pitch * thick, profile=ends)))
        if part == "T":
            # The joints with the ribs: the head merges with the body's edge, the tubercle is a faint bead beside it.
            pieces.append(_faint(ellipsoid((s * (wide + 2), back + 1, z - pitch * 0.22), (8, 8, pitch * 0.6)), 0.5))
            pieces.append(_faint(ellipsoid((s * (reach - 7), back - 11, z - lift), (7, 5, pitch * 0.36)), 0.4))
    # Both laminae as one low arch.
    laminae = ellipsoid((0, back - 16, z + pitch * 0.06), (wide * 0.85, 6, pitch * (0.46 if part == "L" else 0.58)))
    pieces.append(_faint(laminae, 0.55))
    # The spinous process is thin bone: seen along its length from behind it would else be the hottest spot.
    tip = np.array([[0, back - 20, z + 2], [0, back - 20 - spinous * 0.8, z + 3 + droop]])
    share = 0.4 if part == "C" else 0.22
    pieces.append(tube(tip, TubeSection(pitch * 0.3, flat=0.42, normal=(1, 0, 0), profile=(share,))))
    return Cloud.joined(pieces)


def _transverse(name: str, wide: float) -> tuple[float, float]:
    """How far the tip of a transverse process lies from the midline, and how far above its root (mm)."""
    number = int(name[1:])
    if name[0] == "C":
        return (26.0 if number == 1 else 18.0 if number < 7 else 22.0), 0.0
    if name[0] == "T":
        return float(np.interp(number, [1, 6, 10, 12], [30, 29, 27, 22])), 3.0
    return float(wide + np.interp(number, [1, 3, 5], [11, 17, 14])), 2.0


def _facets(part: str, sign: float, place: tuple[float, float], sizes: tuple[float, float, float]) -> Cloud:
    """The articular processes of a vertebra on one side; in the neck a pillar as high as the vertebra."""
    (back, z), (wide, _, pitch) = place, sizes
    if part == "C":
        x = sign * (wide + 2)
        pillar = np.array([[x, back - 1, z - pitch * 0.5], [x, back - 4, z + pitch * 0.5]])
        return tube(pillar, TubeSection((8, 7, 8), profile=(0.6,)))
    lateral, size = (0.7, 0.4) if part == "T" else (0.62, 0.4)
    upper = ellipsoid((sign * wide * lateral, back - 12, z - pitch * 0.05), (wide * size, 6.5, pitch * 0.36))
    lower = ellipsoid((sign * wide * (lateral - 0.1), back - 14, z + pitch * 0.4), (wide * size, 5, pitch * 0.26))
    return Cloud.joined([_faint(upper, 0.85 if part == "L" else 0.45), _faint(lower, 0.4)])


# Half width and half depth of the rib cage at each rib; heights of the lateral turning point and of the front end;
# angle of the front end.
_RIB_WIDTH = (53, 72, 92, 103, 110, 115, 118, 119, 119, 117, 111, 100)
_RIB_DEPTH = (45, 54, 64, 72, 79, 84, 87, 89, 88, 86, 82, 76)
_RIB_LATERAL = (260, 285, 316, 347, 378, 408, 438, 468, 498, 528, 558, 598)
_RIB_FRONT = (290, 314, 350, 385, 420, 453, 486, 515, 540, 560, 558, 610)
_RIB_END = (130, 145, 152, 155, 151, 147, 143, 138, 131, 118, 84, 50)
_NOTCHES = (290, 312, 330, 347, 363, 378, 392)
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
    height[ahead] = (lateral + (front - lateral) * (0.75 * beyond + 0.25 * beyond**2))[ahead]
    return np.stack([wide * np.sin(angle) ** 0.9, middle - deep * np.cos(angle) - bulge, height], axis=1)


def ribs() -> Iterator[Bone]:
    """Twelve pairs, each with a back and a front half, the front end and the cartilage."""
    make = Maker(Region.RIBS, Segment.TRUNK)
    for number in range(1, 13):
        line = rib_line(number)
        bone = f"rib {number}"
        # The head and the tubercle meet vertebrae: hotter joints at the edge of the spine.
        # The first rib is faint but for its front end.
        share = 0.55 if number == 1 else 1.0
        course = tuple(share * part for part in (1.3, 1.2, 1.1, 1, 1, 1, 1, 1))
        near = TubeSection((4.4, 4.2, 4.2), flat=1.9, normal=(0, 0, 1), profile=course)
        short = number > 10
        back = line if short else line[: _FRONT_FROM + 1]
        yield from make.pair(bone, Tissue.RIB, tube(back, near), bone)
        if short:
            continue
        far = TubeSection((4.4, 4.8, 5.2), flat=1.6, normal=(0, 0, 1), profile=_front_profile(number))
        yield from make.pair(f"{bone} front", Tissue.RIB_FRONT, tube(line[_FRONT_FROM:], far), bone)
        end = line[-1]
        yield from make.pair(f"{bone} front end", Tissue.RIB_END, tube(line[-5:], TubeSection(6.0)), bone)
        height = _NOTCHES[i_notch(number)]
        notch = np.array([15.0 if number > 1 else 24.0, _sternum_y(height), height])
        middle = (end + notch) / 2 + np.array([0, 6, 8 if number > 3 else 0])
        path = curve(np.stack([end, middle, notch]))
        # The first cartilage turns to bone early and merges with the manubrium; the lower ones run in one thin arch.
        tissue, thick = (Tissue.RIB_FRONT, 8.0) if number == 1 else (Tissue.CARTILAGE, 6.0 if number < 8 else 3.5)
        yield from make.pair(f"{bone} cartilage", tissue, tube(path, TubeSection(thick)), bone)


def _front_profile(number: int) -> tuple[float, ...]:
    """Uptake along the front half of a rib: nearly even up to its end; less in the short steep ribs below."""
    return tuple(
        (0.55 if number == 1 else 1.0 if number < 9 else 0.7) * share for share in (1.0, 0.95, 0.85, 0.78, 0.7)
    )


def i_notch(number: int) -> int:
    """Index of the sternal notch that the cartilage of a rib reaches (ribs 8 to 10 join the seventh)."""
    return min(number, 7) - 1


def _sternum_y(z: float) -> float:
    return float(np.interp(z, [270, 316, 402, 430], [53, 70, 86, 84]))


def _dip(z: float, share: float) -> float:
    """Height of a point of the sternum: its upper edge is lower in the midline than at the clavicles."""
    return z + float(np.interp(z, [270, 300], [8, 0])) * (1 - abs(share))


def sternum() -> Iterator[Bone]:
    """Manubrium, body and xiphoid."""
    make = Maker(Region.STERNUM, Segment.TRUNK)
    for name, heights, widths, density in (
        ("manubrium", (269, 284, 302, 317), (19, 26, 25, 15), (1.0, 1.5, 1.0)),
        ("sternal body", (316, 340, 375, 403), (13, 12, 12.5, 12.5), (1.0,)),
        ("xiphoid", (402, 415, 425), (8, 6, 3), (1.0,)),
    ):
        edges = [
            np.array([[w * u, _sternum_y(z) - 2 * abs(u), _dip(z, u)] for z, w in zip(heights, widths, strict=True)])
            for u in (-1.0, 0.0, 1.0)
        ]
        plate = sheet(edges, thickness=(11, 15, 11), density=density)
        # The uptake is highest in the lower manubrium and falls slowly from there down.
        fading = np.interp(
            plate.points[:, 2], [270, 284, 300, 316, 345, 398, 410, 424], [0.9, 1.05, 1.4, 1.25, 1.15, 1.1, 0.45, 0.3]
        )
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
                f"{name} facet", side, Segment.TRUNK, place(side, (wide * 0.65, y - deep - 12, z + pitch * 0.4))
            )
            yield Landmark(
                f"{name} osteophyte", side, Segment.TRUNK, place(side, (wide * 1.15, y + 2, z + pitch * 0.45))
            )
    yield Landmark("sternal angle", Side.MIDLINE, Segment.TRUNK, np.array([0, 70.0, 316]))
    yield Landmark("xiphoid", Side.MIDLINE, Segment.TRUNK, np.array([0, 86.0, 414]))


def _thorax_landmarks(side: Side) -> Iterator[Landmark]:
    yield Landmark("sternoclavicular joint", side, Segment.TRUNK, place(side, (24, 54, 273)))
    yield Landmark("first rib junction", side, Segment.TRUNK, place(side, (40, 52, 290)))
    for number in range(1, 13):
        line = rib_line(number)
        for name, at in (("head", 3), ("angle", 14), ("lateral", 30), ("anterolateral", 42), ("junction", 59)):
            x, y, z = line[at]
            yield Landmark(f"rib {number} {name}", side, Segment.TRUNK, place(side, (x, y, z)))
