"""What a physician would outline of the lesions: the truth of a view.

Some lesions are faint. A reader who knows of one from the other view would mark it; other readers would not. Faint
lesions are kept apart, as neither lesion nor background.

A lesion's outline is its own noise-free projection above a share of its maximum, in each view in which it stands
out: against what lies under it, against counting noise, and not hidden in bladder, kidney or spilt tracer. One that
ends at a bone's edge (a filled bone, a band) is also outlined where it is above that share of the maximum nearby,
because thin parts of the bone are hot, too: the blade of a scapula beside its spine, a skull beside its rim. Hot
lesions that merge in the image, without a valley between them, share one outline, because a reader cannot separate
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bonescan.phantom.anatomy import Anatomy, RegionMap, region_from
from bonescan.phantom.body import Map
from bonescan.phantom.camera import VIEWS
from bonescan.phantom.foci import Focus, Images
from bonescan.phantom.metastases import Metastasis
from bonescan.study import IS_TRACER, LEVELS, REGIONS, LabelImage, Mask, Region, Side, View

OUTLINE = 0.45
"""Physicians outline about what lies above 40-50 % of the maximum."""
MIN_CONTRAST = 0.35
"""The smallest peak of a lesion, relative to what lies under it, that a reader sees."""
MIN_SIGMAS = 6.0
"""The smallest ratio of the outline's excess counts to their counting noise that can be distinguished from noise."""
NEARBY = 7
"""Size of the neighbourhood, in pixels, that a lesion which fills a bone evenly is compared with."""
THINNEST = 0.15
"""The least share of its maximum in the whole view at which such a lesion is outlined."""
THIN_BONE = 0.1
"""Share of a bone's highest projection down to which its thin parts, and its blurred edge, are called by its name."""
MIN_AREA = 4
"""Pixels."""
VALLEY = 0.1
"""Lesions that touch are two where the image between them falls by more than this share of the lower one's peak."""
FAINT_CONTRAST, FAINT_SIGMAS = 0.1, 2.0
"""The same for a faint lesion: below these no reader sees it."""
MOST_HIDDEN = 0.5
"""Share of an outline that may lie on tracer outside bone."""

_NEIGHBOURS = (
    (np.s_[:-1, :], np.s_[1:, :]),
    (np.s_[:, :-1], np.s_[:, 1:]),
    (np.s_[:-1, :-1], np.s_[1:, 1:]),
    (np.s_[:-1, 1:], np.s_[1:, :-1]),
)
"""Each pixel and its neighbour below, to the right, and at the two lower corners."""


@dataclass(frozen=True, slots=True)
class LesionRecord:
    """One row of the truth's table.

    contrast: peak over what lies under it, in its better view. area_px: 0 in a view where it does not stand out, or
    cannot be told from a hotter lesion, whose area then holds both. volume_cm3: of the lesion inside bone. bone_cm3: of
    the whole bone that it lies in. part_of: per view the number of the lesion whose area holds it, itself or a hotter
    one; 0 where it does not stand out.
    """

    number: int
    bone: str
    region: Region
    side: Side
    radius_mm: float
    contrast: float
    area_px: dict[View, int]
    volume_cm3: float = 0.0
    bone_cm3: float = 0.0
    part_of: dict[View, int] = field(default_factory=dict)

    @property
    def seen(self) -> tuple[View, ...]:
        """The views in which it stands out, alone or together with a hotter lesion."""
        return tuple(view for view in VIEWS if self.part_of.get(view))

    @property
    def visible(self) -> tuple[View, ...]:
        """The views in which it has an outline of its own number."""
        return tuple(view for view in VIEWS if self.area_px[view])


@dataclass(frozen=True, slots=True)
class Backdrop:
    """What lesions are seen against, from the front in both views.

    under: noise-free images without lesions. over: the same with all of them. sensitivity: counts per pixel per unit of
    image, 0 where nothing was counted. regions: the region maps. passed: share of counts that metal lets through,
    already in `under` and `over`.
    """

    under: Images
    over: Images
    sensitivity: Map
    regions: Mapping[View, RegionMap]
    passed: Images


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """A lesion in one view: its window, its own image with 0 outside the outline, and how well it shows.

    contrast: its peak over what lies under it there, other lesions included; for one that ends at a bone's edge the
    median over its outline, if that is more. sigmas: its counts over their noise.
    """

    window: tuple[slice, slice]
    excess: Map
    contrast: float
    sigmas: float
    hidden: bool

    @property
    def stands_out(self) -> bool:
        """Whether a physician would draw it in this view."""
        return not self.hidden and self.contrast >= MIN_CONTRAST and self.sigmas >= MIN_SIGMAS

    @property
    def faint(self) -> bool:
        """Whether it does not stand out, but is visible to a reader who knows where it is."""
        return not self.stands_out and self.contrast >= FAINT_CONTRAST and self.sigmas >= FAINT_SIGMAS


def footprint(focus: Focus, view: View, backdrop: Backdrop) -> Footprint | None:
    """Where a focus would be annotated in one view, and how well it shows; None where the frame has none of it."""
    patch = focus.projection[view]
    rows, cols, patch_rows, patch_cols = patch.window(backdrop.sensitivity.shape)
    sensitivity = backdrop.sensitivity[rows, cols]
    # What lies beyond the counted frame shows nowhere, and must not decide where the rest is outlined.
    excess = patch.image[patch_rows, patch_cols] * abs(focus.factor) * backdrop.passed[view][rows, cols]
    excess *= sensitivity > 0
    if not excess.size or excess.max() <= 0:
        return None
    # Another lesion is part of what a hot one must stand out from.
    under = backdrop.under[view][rows, cols]
    if focus.factor > 0:
        under = np.maximum(under, backdrop.over[view][rows, cols] - excess)
    inside = excess > OUTLINE * excess.max()
    if focus.flat:
        # A hotter lesion on top of it does not divide it; the pixels of both are the hotter one's.
        inside |= _thin_parts(excess, backdrop.under[view][rows, cols], backdrop.passed[view][rows, cols])
    if inside.sum() < MIN_AREA:
        return None
    place = np.unravel_index(int(excess.argmax()), excess.shape)
    contrast = float(excess[place] / max(float(under[place]), 1e-6))
    if focus.flat:
        # Its peak may lie under a hotter lesion, and most of it may be seen all the same.
        contrast = max(contrast, float(np.median(excess[inside] / np.maximum(under[inside], 1e-6))))
    counts = float((sensitivity * excess)[inside].sum())
    noise = np.sqrt(float((sensitivity * (under + excess))[inside].sum()))
    return Footprint(
        (rows, cols),
        np.where(inside, excess, np.float32(0)),
        contrast=contrast,
        sigmas=counts / noise if noise > 0 else 0.0,
        hidden=bool(IS_TRACER[backdrop.regions[view][rows, cols][inside]].mean() > MOST_HIDDEN),
    )


def _thin_parts(excess: Map, under: Map, passed: Map) -> Mask:
    """Where an evenly hot lesion shows, also beside its thicker parts, and not under metal.

    under: what lies under it, without other lesions.
    """
    shows = (excess > THINNEST * excess.max()) & (excess > MIN_CONTRAST * under) & (passed > OUTLINE)
    near = ndimage.maximum_filter(excess, NEARBY)
    hot = np.pad((excess > OUTLINE * near) & shows, NEARBY)
    # What is thin close beside what is thick is below the share there; it is within the lesion all the same.
    closed = ndimage.binary_closing(
        hot,
        np.ones((NEARBY, NEARBY)),  # type: ignore[arg-type]  # its stub knows no float
    )[NEARBY:-NEARBY, NEARBY:-NEARBY]
    return np.asarray(closed & shows)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is true of one patient, seen from the front in both views.

    lesions: lesion numbers, 0 = none. faint: pixels of lesions that do not stand out, in none of `lesions`. single: as
    `lesions`, before lesions that merge share a number.
    """

    lesions: Mapping[View, LabelImage]
    single: Mapping[View, LabelImage]
    faint: Mapping[View, Mask]
    table: tuple[LesionRecord, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """One view's part of `Truth`. part_of: for each lesion, from 0 (none) on, its number in `lesions`."""

    lesions: LabelImage
    single: LabelImage
    faint: Mask
    part_of: NDArray[np.integer[Any]]


def draw_truth(lesions: list[Metastasis], backdrop: Backdrop) -> Truth:
    """Draw label pictures and the table; where lesions overlap, the brighter one owns the pixel, or they are joined."""
    drawn = {view: _draw(lesions, view, backdrop) for view in VIEWS}
    records = []
    for number, lesion in enumerate(lesions, 1):
        areas = {view: int((drawn[view].lesions == number).sum()) for view in VIEWS}
        records.append(
            LesionRecord(
                number,
                lesion.bone,
                lesion.region,
                lesion.side,
                lesion.radius_mm,
                lesion.contrast,
                areas,
                lesion.volume_cm3,
                lesion.bone_cm3,
                {view: int(drawn[view].part_of[number]) for view in VIEWS},
            )
        )
    return Truth(
        {view: drawn[view].lesions for view in VIEWS},
        {view: drawn[view].single for view in VIEWS},
        {view: drawn[view].faint for view in VIEWS},
        tuple(records),
    )


def name_bones(
    anatomy: Anatomy,
    lesions: Sequence[Metastasis],
    truth: Truth,
    regions: Mapping[View, RegionMap],
    levels: Mapping[View, RegionMap],
) -> None:
    """Enter each lesion's own bone into the maps where both show, and no tracer outside the bones does.

    A lesion of a rib that crosses the scapula is of the rib, although normal uptake there is mostly of the scapula.
    Where a lesion reaches into the next bone, the maps stay as they are.
    """
    for view in VIEWS:
        single, region_map = truth.single[view], regions[view]
        for number in np.unique(single[single > 0]).tolist():
            lesion = lesions[number - 1]
            shows = (single == number) & _silhouette(anatomy, lesion, view) & ~IS_TRACER[region_map]
            region_map[shows] = REGIONS.index(region_from(view, lesion.region))
            levels[view][shows] = LEVELS.index(lesion.bone) if lesion.bone in LEVELS else 0


def _silhouette(anatomy: Anatomy, lesion: Metastasis, view: View) -> Mask:
    """Where the bone of a lesion projects, on its side."""
    image = np.zeros(anatomy.regions[view].shape, dtype=np.float32)
    for structure in anatomy.structures:
        bone = structure.bone
        if bone.bone == lesion.bone and (bone.side is lesion.side or Side.MIDLINE in (bone.side, lesion.side)):
            structure.projection[view].add_to(image)
    return np.asarray(image > THIN_BONE * image.max())


def _draw(lesions: list[Metastasis], view: View, backdrop: Backdrop) -> _Drawn:
    shape = backdrop.sensitivity.shape
    labels = np.zeros(shape, dtype=np.uint16)
    faint = np.zeros(shape, dtype=np.bool_)
    brightest = np.zeros(shape, dtype=np.float32)
    for number, lesion in enumerate(lesions, 1):
        found = footprint(lesion.focus, view, backdrop)
        if found is not None and found.stands_out:
            wins = found.excess > brightest[found.window]
            brightest[found.window][wins] = found.excess[wins]
            labels[found.window][wins] = number
        elif found is not None and found.faint:
            faint[found.window] |= found.excess > 0
    hot = np.array([False, *(lesion.focus.factor > 0 for lesion in lesions)])
    there = np.zeros(len(hot), dtype=np.bool_)
    there[np.unique(labels)] = True
    part_of = np.where(there, _confluent(labels, backdrop.over[view], hot), 0).astype(labels.dtype)
    single, labels = labels, part_of[labels]
    # What a brighter neighbour left of a lesion may be too little to draw.
    areas = np.bincount(labels.ravel(), minlength=len(hot))
    little = (areas < MIN_AREA)[labels] & (labels > 0)
    labels[little] = 0
    single[little] = 0
    part_of = np.where(areas[part_of] < MIN_AREA, 0, part_of)
    return _Drawn(labels, single, (faint | little) & (labels == 0), part_of)


def _confluent(labels: LabelImage, image: Map, hot: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Per number from 0 on: that of the hottest of the hot lesions that touch it without a valley, or itself.

    The highest place where two lesions meet is taken as the pass between them.
    """
    if np.count_nonzero(hot) < 2:
        return np.arange(len(hot))
    peaks = np.zeros(len(hot), dtype=np.float32)
    np.maximum.at(peaks, labels.ravel(), image.ravel())
    pairs = []
    for here, there in _NEIGHBOURS:
        own, other = labels[here], labels[there]
        meet = (own != other) & hot[own] & hot[other]
        height = np.minimum(image[here][meet], image[there][meet])
        own, other = own[meet], other[meet]
        joined = height >= (1 - VALLEY) * np.minimum(peaks[own], peaks[other])
        pairs.append(np.stack([own[joined], other[joined]]))
    rows, cols = np.concatenate(pairs, axis=1).astype(np.int64)
    if not rows.size:
        return np.arange(len(hot))
    graph = coo_array((np.ones(rows.size), (rows, cols)), shape=(len(hot), len(hot)))
    _, groups = connected_components(graph, directed=False)
    hottest_first = np.argsort(-peaks, kind="stable")
    _, first, group = np.unique(groups[hottest_first], return_index=True, return_inverse=True)
    number = np.zeros(len(hot), dtype=np.int64)
    number[hottest_first] = hottest_first[first][group]
    return number


def draw_benign(findings: Sequence[Focus], backdrop: Backdrop) -> Mapping[View, LabelImage]:
    """Number of the benign finding per pixel and view, 0 = none; outlined by the rule for lesions, where it stands out.

    What a finding stands out from is all else in the image: `backdrop.under` is not looked at.
    """
    nothing = Backdrop(
        {view: np.zeros_like(image) for view, image in backdrop.under.items()},
        backdrop.over,
        backdrop.sensitivity,
        backdrop.regions,
        backdrop.passed,
    )
    pictures = {view: np.zeros(backdrop.sensitivity.shape, dtype=np.uint16) for view in VIEWS}
    for view, picture in pictures.items():
        brightest = np.zeros(picture.shape, dtype=np.float32)
        for number, focus in enumerate(findings, 1):
            found = footprint(focus, view, nothing)
            if found is not None and found.stands_out:
                wins = found.excess > brightest[found.window]
                brightest[found.window][wins] = found.excess[wins]
                picture[found.window][wins] = number
    return pictures
