"""Lesions that a person drew, or that another program sent back, as the outlines that are measured.

An outline is one 8-connected piece without holes and shares no pixel with another. What was drawn need not be:
every change that this asks for is counted and said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bonescan.errors import LabelError
from bonescan.lesions.contours import contour_of, open_holes
from bonescan.lesions.delineate import Outline, region_of
from bonescan.prediction import RegionMap
from bonescan.study import Mask, Region, View

_EIGHT = np.ones((3, 3), dtype=np.bool_)
_MOST_PIECES = 2000
"""Of one view's lesions. A superscan has some hundreds; noise that was drawn as one lesion has ten thousands."""

_CLIPPED = "of the curves reached beyond the frame and were cut off there"
_SHARED = "pixels lay in two of the curves and went to the smaller lesion"
_HIDDEN = "lesions lay wholly under smaller ones and are gone"
_FILLED = "pixels of holes were filled"
_CUT = "pixels of rings around other lesions were removed, to cut them open"
_SPLIT = "further pieces of lesions became lesions of their own"
_CHANGES = (_CLIPPED, _SHARED, _HIDDEN, _FILLED, _CUT, _SPLIT)
"""What may have to be changed, each with its count."""


@dataclass(frozen=True, slots=True, eq=False)
class DrawnLesion:
    """One lesion as it was drawn. mask: boolean, of the frame's shape, with at least one pixel.

    probability, region: as stated with the curve; None: not stated, the region is then the one that lies under it.
    clipped: whether its curve reaches beyond the frame, so that the mask lacks a part of it.
    """

    view: View
    mask: Mask
    probability: float | None = None
    region: Region | None = None
    clipped: bool = False


def outlines_of(
    drawn: Sequence[DrawnLesion], regions: Mapping[View, RegionMap]
) -> tuple[tuple[Outline, ...], tuple[str, ...]]:
    """Return the outlines, anterior first, in the order in which they were drawn, and what had to be changed.

    A pixel of two lesions goes to the smaller one; a lesion in several pieces becomes several; an empty hole is filled,
    and a ring around another lesion is cut open where it is thinnest.
    Raises LabelError where the lesions of a view fall into thousands of pieces.
    """
    outlines: list[Outline] = []
    changes = Counter[str]({_CLIPPED: sum(lesion.clipped for lesion in drawn)})
    for view in View:
        own = [lesion for lesion in drawn if lesion.view is view]
        if own:
            outlines += _outlines_of_view(own, regions[view], changes)
    return tuple(outlines), tuple(f"{changes[what]} {what}" for what in _CHANGES if changes[what])


def _outlines_of_view(own: Sequence[DrawnLesion], regions: RegionMap, changes: Counter[str]) -> list[Outline]:
    """The outlines of one view's lesions; adds what had to be changed to `changes`."""
    outlines: list[Outline] = []
    numbers = np.zeros(own[0].mask.shape, dtype=np.int64)
    for number, lesion in sorted(enumerate(own, start=1), key=lambda one: -int(one[1].mask.sum())):
        changes[_SHARED] += int((numbers[lesion.mask] > 0).sum())
        numbers[lesion.mask] = number
    for number, lesion in enumerate(own, start=1):
        pieces, count = ndimage.label(numbers == number, structure=_EIGHT)
        changes[_HIDDEN] += count == 0
        before = len(outlines)
        if before + count > _MOST_PIECES:
            raise LabelError(
                f"the curves of the {lesion.view} view fall into more than {_MOST_PIECES} pieces: redraw them"
            )
        for piece in range(1, count + 1):
            whole = _filled(pieces == piece, numbers == 0)
            mask = open_holes(whole)
            changes[_FILLED] += int((whole & (pieces != piece)).sum())
            changes[_CUT] += int((whole & ~mask).sum())
            numbers[whole] = 0
            numbers[mask] = number
            # Cutting a ring open may leave pieces.
            parts, several = ndimage.label(mask, structure=_EIGHT)
            outlines += [_outline(lesion, parts == part, regions) for part in range(1, several + 1)]
        changes[_SPLIT] += max(len(outlines) - before - 1, 0)
    return outlines


def _filled(mask: Mask, background: Mask) -> Mask:
    """Fill the holes in which nothing is drawn."""
    holes, _ = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    taken = np.unique(holes[~background])
    return np.asarray(mask | ((holes > 0) & ~np.isin(holes, taken)))


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
