"""The soft parts: the skin as a front and a back surface, the lungs, and how thick each part is.

Surfaces are maps on the detector's grid (rows, cols) in millimetres along y. From them follow the
attenuation of everything inside and the haze of soft tissue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonescan.phantom.bones import BOTH, Segment
from bonescan.phantom.legs import turned_out
from bonescan.phantom.posture import Posture
from bonescan.phantom.shapes import Points
from bonescan.study import Side, Spacing

Map = NDArray[np.float32]
NOWHERE = np.float32(-1e4)


@dataclass(frozen=True, slots=True)
class Grid:
    """The detector's pixels in the patient's coordinates.

    Pixel (row, col) lies at z = (row - row0) * row_mm, x = (col - col0) * col_mm.
    """

    shape: tuple[int, int]
    spacing: Spacing
    row0: float
    col0: float

    def pixels(self, points: Points) -> tuple[Points, Points]:
        """(row, col) of points (n, 3) mm, as seen from the front."""
        return points[:, 2] / self.spacing.row_mm + self.row0, points[:, 0] / self.spacing.col_mm + self.col0


@dataclass(frozen=True, slots=True)
class Part:
    """One soft part: front and back surface (mm), NOWHERE where it is not, and its name."""

    name: str
    front: Map
    back: Map


@dataclass(frozen=True, slots=True)
class Body:
    """front, back: the skin over all parts; lung_front, lung_back: the lungs; parts: the soft parts one by one."""

    front: Map
    back: Map
    lung_front: Map
    lung_back: Map
    parts: tuple[Part, ...]

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Where there is any body."""
        return np.asarray(self.front > self.back)


def make_body(posture: Posture, grid: Grid) -> Body:
    """Dress the posed skeleton in soft tissue."""
    limbs = [_balls("leg", *_leg(posture, side), grid) for side in BOTH]
    limbs += [_balls("arm", *_arm(posture, side), grid) for side in BOTH]
    parts = [_torso(posture, grid)]
    for part in (_balls("head", *_head(posture), grid), *limbs):
        # Where two parts share a space, one of them fills it: counted twice it would show as a dark overlap.
        for other in parts:
            part = _without(part, other)
        parts.append(part)
    front = np.maximum.reduce([p.front for p in parts])
    back = np.minimum.reduce([np.where(p.front > p.back, p.back, -NOWHERE) for p in parts])
    back = np.where(front > NOWHERE, back, NOWHERE).astype(np.float32)
    lungs = _balls("lungs", *_lungs(posture), grid)
    return Body(front, back, lungs.front, lungs.back, tuple(parts))


def _without(part: Part, other: Part) -> Part:
    """A part less the space that another takes up; if both ends remain, only the longer one is kept."""
    shared = (part.front > other.back) & (part.back < other.front) & (other.front > other.back)
    ahead = np.clip(part.front - np.maximum(part.back, other.front), 0, None)
    behind = np.clip(np.minimum(part.front, other.back) - part.back, 0, None)
    in_front = ahead >= behind
    front = np.where(shared & ~in_front, other.back, part.front)
    back = np.where(shared & in_front, other.front, part.back)
    gone = shared & (np.maximum(ahead, behind) <= 0)
    front, back = np.where(gone, NOWHERE, front), np.where(gone, NOWHERE, back)
    return Part(part.name, front.astype(np.float32), back.astype(np.float32))


_TORSO_Z = (198, 228, 250, 285, 340, 420, 500, 560, 620, 680, 740, 790, 825, 850)
_TORSO_WIDTH = (50, 70, 112, 162, 160, 152, 142, 132, 136, 153, 168, 160, 112, 30)
_TORSO_FRONT = (24, 40, 60, 86, 102, 108, 97, 77, 67, 68, 73, 74, 48, 2)
_TORSO_BACK = (-56, -76, -98, -114, -118, -114, -106, -100, -97, -103, -110, -108, -72, -8)
_FAT_WIDTH = (4, 6, 10, 14, 20, 26, 34, 42, 44, 40, 34, 24, 12, 4)
_FAT_FRONT = (4, 6, 10, 18, 26, 36, 48, 56, 58, 54, 42, 24, 10, 0)
_HIP_SHARE = (0, 0, 0, 0, 0, 0, 0, 0, 0.1, 0.4, 0.9, 1, 0.5, 0)
_BELLY_SHARE = (0, 0, 0, 0, 0.1, 0.3, 0.6, 1, 1, 0.9, 0.5, 0.1, 0, 0)
_FAT_BACK = (2, 4, 8, 10, 12, 14, 16, 18, 20, 22, 22, 18, 8, 0)


def _torso(posture: Posture, grid: Grid) -> Part:
    b = posture.build
    fat = b.fat - 0.25
    z = np.asarray(_TORSO_Z, dtype=float)
    width = np.asarray(_TORSO_WIDTH) + fat * np.asarray(_FAT_WIDTH) + b.hips * np.asarray(_HIP_SHARE)
    front = np.asarray(_TORSO_FRONT) + fat * np.asarray(_FAT_FRONT) + b.belly * np.asarray(_BELLY_SHARE)
    back = np.asarray(_TORSO_BACK) - fat * np.asarray(_FAT_BACK)
    zero = np.zeros_like(z)
    right = posture.apply(np.stack([-width, zero, z], axis=1), Segment.TRUNK)
    left = posture.apply(np.stack([width, zero, z], axis=1), Segment.TRUNK)
    ahead = posture.apply(np.stack([zero, front, z], axis=1), Segment.TRUNK)
    behind = posture.apply(np.stack([zero, back, z], axis=1), Segment.TRUNK)
    rows = np.arange(grid.shape[0])
    at, _ = grid.pixels(left)

    def profile(values: Points) -> Points:
        return np.asarray(np.interp(rows, at, values)[:, None])

    x = (np.arange(grid.shape[1])[None, :] - grid.col0) * grid.spacing.col_mm
    middle, half = profile((left[:, 0] + right[:, 0]) / 2), profile((left[:, 0] - right[:, 0]) / 2)
    off = np.clip(np.abs(x - middle) / half, 0, 1)
    round_off = (1 - off**2.8) ** (1 / 2.8)
    y_front, y_back = profile(ahead[:, 1]), profile(behind[:, 1])
    centre = (y_front + y_back) / 2
    inside = (off < 1) & (rows[:, None] >= at[0]) & (rows[:, None] <= at[-1])
    f = np.where(inside, centre + (y_front - centre) * round_off, NOWHERE)
    k = np.where(inside, centre + (y_back - centre) * round_off, NOWHERE)
    torso = Part("torso", f.astype(np.float32), k.astype(np.float32))
    return _with_breasts(torso, posture, grid) if b.breasts > 0.2 else torso


def _with_breasts(torso: Part, posture: Posture, grid: Grid) -> Part:
    """The torso with breasts on it, as they lie on the chest of a person on her back."""
    b = posture.build
    size = b.breasts * (1 + 0.25 * b.fat)
    centres = np.array([[s * (84 + 8 * size), 74.0 + 8 * b.fat, 378.0] for s in (1.0, -1.0)])
    radii = np.array([[52 + 12 * size, 24 + 22 * size]] * 2)
    breasts = _balls("torso", posture.apply(centres, Segment.TRUNK), radii, grid)
    there = breasts.front > breasts.back
    front = np.where(there, np.maximum(torso.front, breasts.front), torso.front)
    beside = there & (torso.front <= torso.back)  # large breasts stand out beside the chest
    return Part("torso", front.astype(np.float32), np.where(beside, breasts.back, torso.back).astype(np.float32))


def _balls(name: str, centres: Points, radii: Points, grid: Grid) -> Part:
    """A part made of many overlapping balls (x and z radius radii[:, 0], y radius radii[:, 1])."""
    front = np.full(grid.shape, NOWHERE, dtype=np.float32)
    back = np.full(grid.shape, -NOWHERE, dtype=np.float32)
    rows, cols = grid.pixels(centres)
    for row, col, y, (across, deep) in zip(rows, cols, centres[:, 1], radii, strict=True):
        reach_r, reach_c = across / grid.spacing.row_mm, across / grid.spacing.col_mm
        r0, r1 = max(0, int(row - reach_r)), min(grid.shape[0], int(row + reach_r) + 2)
        c0, c1 = max(0, int(col - reach_c)), min(grid.shape[1], int(col + reach_c) + 2)
        if r0 >= r1 or c0 >= c1:
            continue
        d2 = ((np.arange(r0, r1)[:, None] - row) / reach_r) ** 2 + ((np.arange(c0, c1)[None, :] - col) / reach_c) ** 2
        half = np.where(d2 < 1, deep * np.sqrt(np.clip(1 - d2, 0, 1)), -np.inf).astype(np.float32)
        np.maximum(front[r0:r1, c0:c1], y + half, out=front[r0:r1, c0:c1])
        np.minimum(back[r0:r1, c0:c1], y - half, out=back[r0:r1, c0:c1])
    back[front == NOWHERE] = NOWHERE
    return Part(name, front, back)


def _course(points: Points, radii: Points, step: float = 5.0) -> tuple[Points, Points]:
    """Centres and radii every `step` mm along a polyline."""
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.arange(0, lengths[-1], step)
    centres = np.stack([np.interp(at, lengths, points[:, k]) for k in range(3)], axis=1)
    return centres, np.stack([np.interp(at, lengths, radii[:, k]) for k in range(2)], axis=1)


def _head(posture: Posture) -> tuple[Points, Points]:
    skull = posture.apply(
        np.array([[0, -8, 74], [0, -2, 102], [0, 16, 132], [0, 20, 164], [0, 14, 194]], dtype=float), Segment.HEAD
    )
    neck = posture.apply(np.array([[0, -14, 202], [0, -18, 238]], dtype=float), Segment.TRUNK)
    plump = 1 + 0.08 * posture.build.fat
    radii = np.array(
        [[78, 100], [76, 98], [71, 90], [66 * plump, 80], [62 * plump, 72], [60 * plump, 64], [64 * plump, 62]],
        dtype=float,
    )
    return _course(np.concatenate([skull, neck]), radii)


def _arm(posture: Posture, side: Side) -> tuple[Points, Points]:
    s = 1.0 if side is Side.LEFT else -1.0
    joints = [
        (Segment.UPPER_ARM, (160, -12, 282)), (Segment.UPPER_ARM, (174, -14, 360)),
        (Segment.UPPER_ARM, (170, -18, 560)), (Segment.FOREARM, (170, -14, 620)), (Segment.FOREARM, (172, -8, 790)),
        (Segment.HAND, (172, -6, 836)), (Segment.HAND, (173, 0, 890)), (Segment.HAND, (175, 22, 940)),
    ]  # fmt: skip
    line = np.concatenate(
        [posture.apply(np.array([[s * x, y, z]], dtype=float), seg, side) for seg, (x, y, z) in joints]
    )
    # Of a lying arm most muscle is in front of the bones.
    line[3:, 1] += np.array([4, 8, 8, 8, 8])
    fat, limbs = posture.build.fat, posture.build.limbs
    across = limbs * (np.array([54, 52, 40, 36, 26, 32, 36, 22]) + fat * np.array([14, 14, 9, 6, 3, 2, 2, 1]))
    deep = limbs * (np.array([44, 37, 30, 28, 19, 16, 15, 11]) + fat * np.array([12, 12, 9, 7, 3, 2, 2, 1]))
    # A hand on its edge is narrow and deep, one that lies flat the reverse.
    a = np.radians(posture.build.arms[side].turned)
    area = across[5:] * deep[5:]
    across[5:] = np.hypot(across[5:] * np.cos(a), deep[5:] * np.sin(a))
    deep[5:] = area / across[5:]
    return _course(line, np.stack([across, deep], axis=1))


_FOOT = (
    ((92, -10, 1485, 29, 34), (92, -4, 1525, 32, 38), (90, 8, 1560, 33, 38), (86, 20, 1596, 33, 36)),
    ((84, 16, 1594, 30, 36), (70, 30, 1646, 25, 31), (62, 31, 1682, 20, 22)),
    ((90, 14, 1594, 28, 34), (92, 24, 1638, 24, 29), (88, 27, 1672, 20, 20)),
    ((92, -28, 1495, 24, 24), (92, -48, 1525, 26, 30), (92, -54, 1543, 28, 36), (91, -24, 1570, 28, 40),
     (83, 8, 1608, 29, 36)),
)  # fmt: skip
"""A left foot with its front ahead: ankle and instep, inner and outer toes, and heel and sole.

Each point is a centre (mm) with the radius across and the radius along y.
"""


def _leg(posture: Posture, side: Side) -> tuple[Points, Points]:
    s = 1.0 if side is Side.LEFT else -1.0
    joints = [
        (Segment.THIGH, (96, -6, 752)), (Segment.THIGH, (95, -6, 800)), (Segment.THIGH, (94, -4, 860)),
        (Segment.THIGH, (95, 0, 960)), (Segment.THIGH, (93, 0, 1110)), (Segment.LOWER_LEG, (91, -14, 1170)),
        (Segment.LOWER_LEG, (90, -18, 1250)), (Segment.LOWER_LEG, (90, -16, 1330)),
        (Segment.LOWER_LEG, (91, -12, 1410)), (Segment.LOWER_LEG, (92, -10, 1490)),
    ]  # fmt: skip
    line = np.concatenate(
        [posture.apply(np.array([[s * x, y, z]], dtype=float), seg, side) for seg, (x, y, z) in joints]
    )
    b, fat = posture.build, posture.build.fat
    across = np.array([66, 79, 83, 74, 53, 50, 57, 52, 38, 29]) + fat * np.array([9, 12, 17, 15, 10, 10, 12, 11, 7, 3])
    deep = np.array([66, 82, 84, 76, 60, 56, 58, 52, 41, 34]) + fat * np.array([8, 12, 14, 13, 9, 8, 8, 7, 5, 3])
    calf = 1 + (b.limbs - 1) * np.array([0, 0, 0, 0.4, 1, 1, 1, 1, 1, 0.5])
    across, deep = across * calf, deep * calf
    # Fat is added at the outer side of hip and thigh; the inner sides touch at most.
    hip = np.array([0.6, 0.8, 0.8, 0.45, 0.1, *(0,) * 5])
    across += 0.5 * b.hips * hip
    line[:, 0] += s * 0.5 * (b.hips + 6 * fat) * hip
    courses = [_course(line, np.stack([across, deep], axis=1))]
    for stated in _FOOT:
        x, y, z, wide, thick = np.array(stated, dtype=float).T
        points = turned_out(np.stack([x, y, z], axis=1)) * [s, 1, 1]
        courses.append(_course(posture.apply(points, Segment.FOOT, side), np.stack([wide + fat, thick + fat], axis=1)))
    return np.concatenate([c[0] for c in courses]), np.concatenate([c[1] for c in courses])


def _lungs(posture: Posture) -> tuple[Points, Points]:
    centres, radii = [], []
    for s in (1.0, -1.0):
        line = np.array([[s * 48, -22, 285], [s * 66, -8, 350], [s * 74, -2, 420], [s * 78, -6, 470]])
        course = _course(
            posture.apply(line, Segment.TRUNK), np.array([[30, 36], [44, 62], [46, 72], [40, 66]], dtype=float), 8.0
        )
        centres.append(course[0])
        radii.append(course[1])
    return np.concatenate(centres), np.concatenate(radii)
