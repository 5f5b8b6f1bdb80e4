"""Where the crop's pixels come from: crop, flip, rotation, scale and smooth warp in one resampling."""

from __future__ import annotations

from typing import TypeVar

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
Planes = tuple[FloatImage, NDArray[np.uint8], NDArray[np.uint8]]


def crop_case(case: Case, size: tuple[int, int], parameters: Parameters) -> Planes:
    """Counts (float32), lesions and regions (uint8) of the crop, each (2, rows, cols) and freshly allocated.

    Outside the frame there is nothing: zeros. Counts are interpolated linearly, masks take the nearest pixel.
    """
    top = crop_top(case, size[0], parameters)
    left = (case.counts.shape[2] - size[1]) / 2 + parameters.shift_cols_px
    if parameters.warp:
        planes = _warped(case, size, (top, left), parameters)
    else:
        corner = (top, round(left))
        planes = (
            cut_window(case.counts, corner, size).astype(np.float32),
            cut_window(case.lesions, corner, size),
            cut_window(case.regions, corner, size),
        )
    if not parameters.flip:
        return planes
    counts, lesions, regions = planes
    return mirror(counts), mirror(lesions), mirror(regions)


def crop_top(case: Case, rows: int, parameters: Parameters) -> int:
    """First row of the crop, in the frame; may be negative or leave the frame at the bottom."""
    lesions = case.facts.lesion_rows
    if parameters.focus is not None and lesions:
        lesion = lesions[min(int(parameters.focus * len(lesions)), len(lesions) - 1)]
        # The lesion lies anywhere in the crop but at its very ends.
        return round(lesion - rows * (0.1 + 0.8 * parameters.position))
    first, last = case.facts.body_rows
    margin = rows // 16
    return round((first - margin) + parameters.position * ((last + margin - rows) - (first - margin)))


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


def _warped(case: Case, size: tuple[int, int], corner: tuple[float, float], parameters: Parameters) -> Planes:
    """Resample counts and masks at the places that `_places` gives, from the rows that they can reach."""
    places = _places(size, corner, parameters)
    rows, cols = case.counts.shape[1:]
    first = max(int(places[..., 0].min()) - 1, 0)
    last = min(int(places[..., 0].max()) + 3, rows)
    if last - first < 2:
        empty = np.zeros((2, *size), dtype=np.uint8)
        return empty.astype(np.float32), empty, empty.copy()
    scale = torch.tensor([2.0 / (cols - 1), 2.0 / (last - first - 1)])
    grid = (torch.stack([places[..., 1], places[..., 0] - first], dim=-1) * scale - 1.0)[None]

    def resample(array: NDArray[Number], mode: str) -> Tensor:
        planes = torch.from_numpy(array[:, first:last].astype(np.float32))[None]
        return functional.grid_sample(planes, grid, mode=mode, padding_mode="zeros", align_corners=True)[0]

    masks = resample(np.concatenate([case.lesions, case.regions]), "nearest").to(torch.uint8).numpy()
    return resample(case.counts, "bilinear").numpy(), masks[:2].copy(), masks[2:].copy()


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
