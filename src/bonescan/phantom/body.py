"""The soft parts: the skin as a front and a back surface, the lungs, and how thick each part is.

Surfaces are maps on the detector's grid (rows, cols) in millimetres along y. From them follow the
attenuation of everything inside and the haze of soft tissue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonescan.phantom.bones import BOTH, Segment
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
        np.array([[0, -8, 74], [0, -2, 102], [0, 16, 132], [0, 20, 160], [0, 14, 184]], dtype=float), Segment.HEAD
    )
    neck = posture.apply(np.array([[0, -14, 190], [0, -18, 235]], dtype=float), Segment.TRUNK)
    plump = 1 + 0.08 * posture.build.fat
    radii = np.array(
        [[78, 100], [77, 98], [69, 88], [59, 76], [51, 66], [54 * plump, 56], [60 * plump, 56]], dtype=float
    )
    return _course(np.concatenate([skull, neck]), radii)


def _arm(posture: Posture, side: Side) -> tuple[Points, Points]:
    s = 1.0 if side is Side.LEFT else -1.0
    joints = [
        (Segment.UPPER_ARM, (156, -12, 282)), (Segment.UPPER_ARM, (166, -14, 360)),
        (Segment.UPPER_ARM, (170, -18, 560)), (Segment.FOREARM, (170, -14, 620)), (Segment.FOREARM, (172, -8, 790)),
        (Segment.HAND, (172, -6, 840)), (Segment.HAND, (172, -2, 950)),
    ]  # fmt: skip
    line = np.concatenate(
        [posture.apply(np.array([[s * x, y, z]], dtype=float), seg, side) for seg, (x, y, z) in joints]
    )
    fat, limbs = posture.build.fat, posture.build.limbs
    across = limbs * (np.array([52, 48, 40, 39, 26, 34, 27]) + fat * np.array([14, 14, 9, 7, 3, 2, 1]))
    deep = limbs * (np.array([50, 46, 38, 38, 22, 15, 10]) + fat * np.array([12, 12, 9, 7, 3, 2, 1]))
    return _course(line, np.stack([across, deep], axis=1))


def _leg(posture: Posture, side: Side) -> tuple[Points, Points]:
    s = 1.0 if side is Side.LEFT else -1.0
    joints = [
        (Segment.THIGH, (97, -6, 752)), (Segment.THIGH, (97, -6, 800)), (Segment.THIGH, (98, -4, 860)),
        (Segment.THIGH, (98, 0, 960)), (Segment.THIGH, (93, 0, 1110)), (Segment.LOWER_LEG, (88, -14, 1170)),
        (Segment.LOWER_LEG, (83, -18, 1250)), (Segment.LOWER_LEG, (86, -12, 1400)),
        (Segment.LOWER_LEG, (91, -10, 1500)), (Segment.FOOT, (95, -4, 1535)), (Segment.FOOT, (103, 18, 1578)),
        (Segment.FOOT, (107, 26, 1628)), (Segment.FOOT, (108, 36, 1672)),
    ]  # fmt: skip
    # Lying, the feet are turned outwards, so that the heel stands out on the inner side.
    behind = [(Segment.FOOT, (92, -10, 1536)), (Segment.FOOT, (68, -58, 1562))]
    line, heel = (
        np.concatenate([posture.apply(np.array([[s * x, y, z]], dtype=float), seg, side) for seg, (x, y, z) in points])
        for points in (joints, behind)
    )
    b, fat = posture.build, posture.build.fat
    across = np.array([64, 74, 76, 67, 51, 51, 58, 44, 33, 36, 39, 42, 34]) + fat * np.array(
        [9, 12, 17, 15, 10, 10, 12, 8, 4, 1, 1, 1, 1]
    )
    deep = np.array([66, 82, 84, 76, 60, 56, 58, 44, 38, 38, 28, 20, 12]) + fat * np.array(
        [8, 12, 14, 13, 9, 8, 8, 6, 3, 1, 1, 1, 1]
    )
    calf = 1 + (b.limbs - 1) * np.array([0, 0, 0, 0.4, 1, 1, 1, 1, 0.5, 0, 0, 0, 0])
    across, deep = across * calf, deep * calf
    # Fat is added at the outer side of hip and thigh; the inner sides touch at most.
    outward = (b.hips + 6 * fat) * np.array([0.6, 0.8, 0.8, 0.45, 0.1, *(0,) * 8])
    across += 0.5 * b.hips * np.array([0.6, 0.8, 0.8, 0.45, 0.1, *(0,) * 8])
    line[:, 0] += s * 0.5 * outward
    course = _course(line, np.stack([across, deep], axis=1))
    back = _course(heel, np.array([[34, 36], [31, 28]], dtype=float))
    return np.concatenate([course[0], back[0]]), np.concatenate([course[1], back[1]])


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
