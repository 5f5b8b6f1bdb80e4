"""Geometric augmentation of a pair: flip, rotation of a few degrees, shift of a few pixels. Lin et al. 2022, 3.2.

Parameters are drawn first (`sample_move`), then applied (`apply_move`, pure), equally to both views and their truth.
Pixels come from the frame around the window, so augmented pairs have no empty corners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.errors import OptionError
from bonescan.phantom.truth import MIN_AREA
from bonescan.prepare import mirror
from bonescan.prepare.crop import EDGE_PX
from bonescan.train.cases import FAINT, drawn

Number = TypeVar("Number", bound=np.generic)

_MOST_DEGREES = 45.0


@dataclass(frozen=True, slots=True)
class MoveLimits:
    """The limits of the augmentation: largest rotation and shift, either way, and the probability of a flip."""

    rotation_deg: float = 5.0
    shift_px: int = 6
    flip: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.rotation_deg <= _MOST_DEGREES or not 0 <= self.shift_px < EDGE_PX or not 0 <= self.flip <= 1:
            raise OptionError(
                f"a rotation of {self.rotation_deg} degrees, a shift of {self.shift_px} pixels and a flip in "
                f"{self.flip} of the copies are no small moves: give 0..{_MOST_DEGREES:g}, 0..{EDGE_PX - 1} and 0..1"
            )

    @property
    def reach_px(self) -> int:
        """Pixels beyond the window's edges that the augmentation can bring into it."""
        half = EDGE_PX / 2
        turned = half * (np.cos(np.deg2rad(self.rotation_deg)) + np.sin(np.deg2rad(self.rotation_deg)))
        return int(np.ceil(max(turned - half, 0.0) + np.hypot(self.shift_px, self.shift_px))) + 2


@dataclass(frozen=True, slots=True)
class Move:
    """The parameters of one augmented copy, in the common orientation of both views. `Move()` changes nothing.

    Rotation and shift come first, then the flip. rotation_deg: clockwise as displayed, about the window's middle.
    shift_rows_px: downwards. shift_cols_px: to the right. flip: left and right exchanged. rounding_seed: of the
    rounding of interpolated counts.
    """

    flip: bool = False
    rotation_deg: float = 0.0
    shift_rows_px: int = 0
    shift_cols_px: int = 0
    rounding_seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """A pair and its truth: anterior and mirrored posterior, each (2, rows, cols).

    counts: uint16. lesions: uint8, lesion numbers, 0 = none, FAINT = no truth. regions: uint8 into `REGIONS`, or None.
    """

    counts: NDArray[np.uint16]
    lesions: NDArray[np.uint8]
    regions: NDArray[np.uint8] | None = None


def sample_move(rng: np.random.Generator, limits: MoveLimits) -> Move:
    """Draw the parameters of one copy, always with the same number of draws."""
    flip = bool(rng.random() < limits.flip)
    rotation = float(rng.uniform(-limits.rotation_deg, limits.rotation_deg))
    rows, cols = (int(shift) for shift in rng.integers(-limits.shift_px, limits.shift_px, 2, endpoint=True))
    return Move(flip, round(rotation, 3), rows, cols, int(rng.integers(2**32)))


def apply_move(planes: Planes, move: Move) -> Planes:
    """Augment the pair: cut the window of 256 x 256 pixels from the middle of the larger `planes`.

    Counts are interpolated linearly and rounded up or down at random, which keeps their mean; masks take the
    nearest pixel. Pixels beyond the planes are zero. A lesion of which fewer than `MIN_AREA` pixels are left,
    because it leaves the window, is ignored: neither lesion nor background.
    """
    if move.rotation_deg == 0:
        counts, lesions = _cut(planes.counts, move), _cut(planes.lesions, move)
        regions = None if planes.regions is None else _cut(planes.regions, move)
    else:
        rng = np.random.default_rng(move.rounding_seed)
        interpolated = _turned(planes.counts.astype(np.float64), move, order=1)
        counts = np.floor(interpolated + rng.random(interpolated.shape)).astype(np.uint16)
        lesions = _turned(planes.lesions, move, order=0)
        regions = None if planes.regions is None else _turned(planes.regions, move, order=0)
    lesions = _without_slivers(planes.lesions, lesions)
    if move.flip:
        counts, lesions = mirror(counts), mirror(lesions)
        regions = None if regions is None else mirror(regions)
    return Planes(
        np.ascontiguousarray(counts),
        np.ascontiguousarray(lesions),
        None if regions is None else np.ascontiguousarray(regions),
    )


def _cut(planes: NDArray[Number], move: Move) -> NDArray[Number]:
    """The shifted window, exactly."""
    top = (planes.shape[1] - EDGE_PX) // 2 - move.shift_rows_px
    left = (planes.shape[2] - EDGE_PX) // 2 - move.shift_cols_px
    before = (max(-top, 0), max(-left, 0))
    after = (max(top + EDGE_PX - planes.shape[1], 0), max(left + EDGE_PX - planes.shape[2], 0))
    if any((*before, *after)):
        planes = np.pad(planes, ((0, 0), (before[0], after[0]), (before[1], after[1])))
    first = (top + before[0], left + before[1])
    return planes[:, first[0] : first[0] + EDGE_PX, first[1] : first[1] + EDGE_PX].copy()


def _turned(planes: NDArray[Any], move: Move, order: Literal[0, 1]) -> NDArray[Any]:
    """The rotated and shifted window, resampled."""
    angle = np.deg2rad(move.rotation_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([length // 2 for length in planes.shape[1:]]) - 0.5
    shift = np.array([move.shift_rows_px, move.shift_cols_px])
    origin = middle - turn @ ((EDGE_PX - 1) / 2 + shift)
    window = np.empty((len(planes), EDGE_PX, EDGE_PX), dtype=planes.dtype)
    for view, image in zip(window, planes, strict=True):
        ndimage.affine_transform(image, turn, origin, output_shape=view.shape, output=view, order=order)
    return window


def _without_slivers(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Ignore the rest of a lesion that has lost pixels and is now smaller than `MIN_AREA`."""
    for old, new in zip(before, after, strict=True):
        had, has = np.bincount(old.ravel(), minlength=256), np.bincount(new.ravel(), minlength=256)
        little = (has < MIN_AREA) & (has < had)
        new[little[new] & drawn(new)] = FAINT
    return after
