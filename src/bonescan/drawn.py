"""Lesions that a person drew, or that another program sent back, as the outlines that are measured.

An outline is one 8-connected piece without holes and shares no pixel with another. What was drawn need not be:
every change that this asks for is counted and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bonescan.contours import contour_of
from bonescan.delineate import Outline, open_holes, region_of
from bonescan.prediction import RegionMap
from bonescan.study import Mask, Region, View

_EIGHT = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class DrawnLesion:
    """One lesion as it was drawn. mask: boolean, of the frame's shape, with at least one pixel.

    probability, region: as stated with the curve; None: not stated, the region is then the one that lies under it.
    """

    view: View
    mask: Mask
    probability: float | None = None
    region: Region | None = None


def outlines_of(
    drawn: Sequence[DrawnLesion], regions: Mapping[View, RegionMap]
) -> tuple[tuple[Outline, ...], tuple[str, ...]]:
    """Return the outlines, anterior first, in the order in which they were drawn, and what had to be changed.

    A pixel of two lesions goes to the smaller one; a lesion in several pieces becomes several; an empty hole is filled,
    and a ring around another lesion is cut open where it is thinnest.
    """
    outlines: list[Outline] = []
    shared = filled = split = 0
    for view in View:
        own = [lesion for lesion in drawn if lesion.view is view]
        if not own:
            continue
        numbers = np.zeros(own[0].mask.shape, dtype=np.int64)
        for number, lesion in sorted(enumerate(own, start=1), key=lambda one: -int(one[1].mask.sum())):
            shared += int((numbers[lesion.mask] > 0).sum())
            numbers[lesion.mask] = number
        for number, lesion in enumerate(own, start=1):
            pieces, count = ndimage.label(numbers == number, structure=_EIGHT)
            split += max(count - 1, 0)
            for piece in range(1, count + 1):
                mask, added = _without_holes(pieces == piece, numbers)
                filled += added
                numbers[mask] = number
                outlines += [_outline(lesion, one, regions[view]) for one in _pieces(mask)]
    said = (
        (shared, "pixels lay in two of the curves and went to the smaller lesion"),
        (filled, "pixels of holes were filled"),
        (split, "further pieces of lesions became lesions of their own"),
    )
    return tuple(outlines), tuple(f"{count} {what}" for count, what in said if count)


def _without_holes(mask: Mask, numbers: np.ndarray) -> tuple[Mask, int]:
    """Fill the holes in which nothing is drawn, and cut the others open; returns how many pixels were filled."""
    background = numbers == 0
    holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    added = 0
    mask = mask.copy()
    for number in range(1, count + 1):
        hole = holes == number
        if bool(background[hole].all()):
            mask |= hole
            added += int(hole.sum())
    return open_holes(mask), added


def _pieces(mask: Mask) -> list[Mask]:
    """Cutting a ring open may leave pieces."""
    numbers, count = ndimage.label(mask, structure=_EIGHT)
    return [numbers == number for number in range(1, count + 1)]


def _outline(lesion: DrawnLesion, mask: Mask, regions: RegionMap) -> Outline:
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    window = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1))
    return Outline(
        view=lesion.view,
        origin=(window[0].start, window[1].start),
        mask=mask[window],
        contour=contour_of(mask),
        probability=lesion.probability,
        region=lesion.region or region_of(regions, window, mask[window]),
    )
