"""Where the crop's pixels come from: crop, flip, rotation, scale and smooth warp in one resampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bonescan.prepare import mirror
from bonescan.study import FloatImage
from bonescan.train.augment.parameters import Parameters
from bonescan.train.cases import Case

KNOTS = (5, 3)
"""Rows and columns of the grid of knots at which the smooth warp is drawn."""

Number = TypeVar("Number", bound=np.generic)


class Planes(NamedTuple):
    """What is cut from a case, each (2, rows, cols) and freshly allocated; image is float32, all others uint8.

    benign and levels are zero where the case does not know them.
    """

    image: FloatImage
    lesions: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    benign: NDArray[np.uint8]
    levels: NDArray[np.uint8]


def crop_case(case: Case, size: tuple[int, int], parameters: Parameters) -> Planes:
    """Cut a crop of `size` (rows, cols). Outside the frame it is zero.

    Expected counts are interpolated linearly. Counts and masks take the nearest pixel: interpolation would smooth the
    noise of counts.
    """
    top = crop_top(case, size[0], parameters)
    left = (case.image.shape[2] - size[1]) / 2 + parameters.shift_cols_px
    masks = (case.lesions, case.regions, case.benign, case.levels)
    if parameters.warp:
        places = _places(size, (top, left), parameters)
        nearest = _Nearest.of(places, case.image.shape[1:])
        image = _linear(case.image, places) if case.expected else nearest.take(case.image).astype(np.float32)
        cut = [nearest.empty() if mask is None else nearest.take(mask) for mask in masks]
    else:
        corner, none = (top, round(left)), np.zeros((2, *size), dtype=np.uint8)
        image = cut_window(case.image, corner, size).astype(np.float32)
        cut = [none.copy() if mask is None else cut_window(mask, corner, size) for mask in masks]
    if parameters.flip:
        image, cut = mirror(image), [mirror(plane) for plane in cut]
    return Planes(image, *cut)


def crop_top(case: Case, rows: int, parameters: Parameters) -> int:
    """First row of the crop, in the frame; may be negative or leave the frame at the bottom."""
    focus = focus_row(case, parameters.focus)
    if focus is not None:
        # The focus may lie anywhere in the crop except near its ends.
        return round(focus - rows * (0.1 + 0.8 * parameters.position))
    first, last = case.facts.body_rows
    margin = rows // 16
    return round((first - margin) + parameters.position * ((last + margin - rows) - (first - margin)))


def focus_row(case: Case, focus: float | None) -> int | None:
    """The row that the crop is placed around: of a lesion for a focus below 0.5, else of a benign finding.

    If the patient has only one of both kinds, it takes all of 0..1. None if there is neither, or no focus.
    """
    if focus is None:
        return None
    lesions, benign = case.facts.lesion_rows, case.facts.benign_rows
    rows, share = lesions or benign, focus
    if lesions and benign:
        rows, share = (lesions, 2 * focus) if focus < 0.5 else (benign, 2 * focus - 1)
    return rows[min(int(share * len(rows)), len(rows) - 1)] if rows else None


def cut_window(planes: NDArray[Number], corner: tuple[int, int], size: tuple[int, int]) -> NDArray[Number]:
    """Cut (2, *size) at `corner` (row, col) from (2, rows, cols); zeros outside."""
    window = np.zeros((planes.shape[0], *size), dtype=planes.dtype)
    spans = []
    for start, length, frame in zip(corner, size, planes.shape[1:], strict=True):
        first, last = max(start, 0), min(start + length, frame)
        if last <= first:
            return window
        spans.append((slice(first - start, last - start), slice(first, last)))
    window[:, spans[0][0], spans[1][0]] = planes[:, spans[0][1], spans[1][1]]
    return window


@dataclass(frozen=True, slots=True)
class _Nearest:
    """The pixel of the frame that is nearest to each pixel of the crop: its flat index, and whether there is one."""

    index: NDArray[np.int64]
    inside: NDArray[np.bool_]

    @classmethod
    def of(cls, places: Tensor, frame: tuple[int, int]) -> _Nearest:
        row, col = torch.round(places).to(torch.int64).unbind(dim=-1)
        inside = (row >= 0) & (row < frame[0]) & (col >= 0) & (col < frame[1])
        return cls(torch.where(inside, row * frame[1] + col, 0).numpy(), inside.numpy())

    def take(self, planes: NDArray[Number]) -> NDArray[Number]:
        """The planes (2, rows, cols) at the nearest pixels; 0 where there is none."""
        taken = planes.reshape(2, -1)[:, self.index]
        taken[:, ~self.inside] = 0
        return taken

    def empty(self) -> NDArray[np.uint8]:
        """Planes of zeros."""
        return np.zeros((2, *self.index.shape), dtype=np.uint8)


def _linear(image: NDArray[Any], places: Tensor) -> FloatImage:
    """The image (2, rows, cols) at places between pixels, interpolated linearly from the rows that it needs."""
    rows, cols = image.shape[1:]
    first = max(int(places[..., 0].min()) - 1, 0)
    last = min(int(places[..., 0].max()) + 3, rows)
    if last - first < 2:
        return np.zeros((2, *places.shape[:2]), dtype=np.float32)
    scale = torch.tensor([2.0 / (cols - 1), 2.0 / (last - first - 1)])
    grid = (torch.stack([places[..., 1], places[..., 0] - first], dim=-1) * scale - 1.0)[None]
    planes = torch.from_numpy(image[:, first:last].astype(np.float32))[None]
    sampled = functional.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    resampled: FloatImage = sampled[0].numpy()
    return resampled


def _places(size: tuple[int, int], corner: tuple[float, float], parameters: Parameters) -> Tensor:
    """(rows, cols, 2) float32: the (row, col) of the frame that each pixel of the crop shows."""
    angle = np.deg2rad(parameters.angle_deg)
    half = [(length - 1) / 2 for length in size]
    down = torch.arange(size[0], dtype=torch.float32)[:, None] - half[0]
    across = torch.arange(size[1], dtype=torch.float32)[None, :] - half[1]
    row = (np.cos(angle) * down - np.sin(angle) * across) / parameters.scale_rows
    col = (np.sin(angle) * down + np.cos(angle) * across) / parameters.scale_cols
    knots = torch.tensor(parameters.bend, dtype=torch.float32).reshape(1, 2, *KNOTS)
    bend = functional.interpolate(knots, size=size, mode="bicubic", align_corners=True)[0]
    return torch.stack([row + bend[0] + corner[0] + half[0], col + bend[1] + corner[1] + half[1]], dim=-1)
