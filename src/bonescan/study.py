"""The data model: what a scan is, and what is found in it. Frozen values, numpy only.

Arrays are indexed (row, col); a pixel's centre is at integer coordinates; millimetres come only
through `Spacing`. A view is kept as acquired: the anterior view shows the patient's right on the
image's left, the posterior view (seen from behind) the patient's left on the image's left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]
LabelImage = NDArray[np.uint16]


class View(StrEnum):
    """The side of the patient that faces the detector."""

    ANTERIOR = "anterior"
    POSTERIOR = "posterior"


class Side(StrEnum):
    """The patient's side, or the midline."""

    LEFT = "left"
    RIGHT = "right"
    MIDLINE = "midline"


class Region(StrEnum):
    """What a pixel mainly shows, in the order of the values of a region map (0 = BACKGROUND).

    New regions are appended, so that region maps of older models keep their meaning. PELVIS and ARM are what models
    of the first format say; newer ones tell the bones of the pelvis and the parts of the arm apart.
    """

    BACKGROUND = "background"
    SKULL = "skull"
    CERVICAL_SPINE = "cervical spine"
    THORACIC_SPINE = "thoracic spine"
    LUMBAR_SPINE = "lumbar spine"
    SACRUM = "sacrum"
    PELVIS = "pelvis"
    RIBS = "ribs"
    STERNUM = "sternum"
    CLAVICLE = "clavicle"
    SCAPULA = "scapula"
    ARM = "arm"
    FEMUR = "femur"
    LOWER_LEG = "lower leg"
    KIDNEY = "kidney"
    BLADDER = "bladder"
    OTHER_TRACER = "other tracer"
    FACE = "face"
    MANDIBLE = "mandible"
    HUMERUS = "humerus"
    FOREARM = "forearm"
    HAND = "hand"
    ILIUM = "ilium"
    ISCHIUM = "ischium"
    PUBIS = "pubis"
    FOOT = "foot"


REGIONS: tuple[Region, ...] = tuple(Region)
"""Index in this tuple = value in a region map (uint8)."""

TRACER_REGIONS: tuple[Region, ...] = (Region.KIDNEY, Region.BLADDER, Region.OTHER_TRACER)
"""Tracer outside the bones."""

BONE_REGIONS: tuple[Region, ...] = tuple(
    region for region in REGIONS if region is not Region.BACKGROUND and region not in TRACER_REGIONS
)
"""The regions that are skeleton."""

IS_BONE: Mask = np.array([region in BONE_REGIONS for region in REGIONS])
"""Whether a value of a region map is skeleton: index with the map."""
IS_BONE.setflags(write=False)

IS_TRACER: Mask = np.array([region in TRACER_REGIONS for region in REGIONS])
"""Whether a value of a region map is tracer outside the bones: index with the map."""
IS_TRACER.setflags(write=False)

COARSE_REGIONS: tuple[Region, ...] = (Region.PELVIS, Region.ARM)
"""Bone regions that only models of the first format tell; newer ones tell their parts."""

LEVELS: tuple[str, ...] = (
    "",
    *(f"C{number}" for number in range(1, 8)),
    *(f"T{number}" for number in range(1, 13)),
    *(f"L{number}" for number in range(1, 6)),
    *(f"rib {number}" for number in range(1, 13)),
)
"""Which vertebra or rib a pixel mainly shows: index in this tuple = value in a level map (uint8); "" = neither."""

LEVELS_OF_REGION: Mapping[Region, tuple[int, int]] = {
    Region.CERVICAL_SPINE: (LEVELS.index("C1"), LEVELS.index("C7")),
    Region.THORACIC_SPINE: (LEVELS.index("T1"), LEVELS.index("T12")),
    Region.LUMBAR_SPINE: (LEVELS.index("L1"), LEVELS.index("L5")),
    Region.RIBS: (LEVELS.index("rib 1"), LEVELS.index("rib 12")),
}
"""The first and the last level of each region that has levels."""

FIRST_FORMAT_REGIONS = 17
"""How many of `REGIONS` a network knows whose bundle does not say."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """Distance between pixel centres, in millimetres."""

    row_mm: float
    col_mm: float

    @property
    def pixel_area_mm2(self) -> float:
        """Area of one pixel in square millimetres."""
        return self.row_mm * self.col_mm


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of `array` that cannot be written through."""
    frozen = array.view()
    frozen.flags.writeable = False
    return frozen


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One view as acquired: float32 copies of the integer counts, shape (rows, cols)."""

    view: View
    counts: FloatImage

    def __post_init__(self) -> None:
        counts = np.ascontiguousarray(self.counts, dtype=np.float32)
        if counts.ndim != 2:
            raise ValueError(f"a scan is a 2-D image, not of shape {counts.shape}")
        object.__setattr__(self, "counts", read_only(counts))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        rows, cols = self.counts.shape
        return rows, cols


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """Where a view's pixels come from. file: index in `Study.sources`. frame: its number in that file, from 1."""

    file: int
    frame: int


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """One patient's whole-body bone scan: one or two views of the same moment.

    key: name for files, made from the input's own name; nothing of the patient's identity.
    scans: the views there are; both have one shape.
    spacing: None when the file states none or a false one; then `spacing_note` says why.
    view_source: how anterior and posterior were told apart, in words.
    acquired: ISO 8601 date or date and time of acquisition, or None.
    sources: the names (no folders) of the files read. digests: the sha256 (hex) of each, in the same order.
    frames: which frame of which source each view is; empty where the sources are no DICOM files.
    """

    key: str
    scans: Mapping[View, Scan]
    spacing: Spacing | None = None
    spacing_note: str | None = None
    view_source: str = "the user, not the header"
    acquired: str | None = None
    sources: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    frames: Mapping[View, SourceFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scans:
            raise ValueError("a study has at least one view")
        if len({scan.shape for scan in self.scans.values()}) != 1:
            raise ValueError("the views of a study have one shape")

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of every view."""
        return next(iter(self.scans.values())).shape

    def counts(self, view: View) -> FloatImage:
        """The counts of one view; KeyError when the study lacks it."""
        return self.scans[view].counts


class RibPart(StrEnum):
    """Which part of a rib."""

    ANTERIOR = "anterior"
    LATERAL = "lateral"
    POSTERIOR = "posterior"


@dataclass(frozen=True, slots=True)
class Level:
    """Which vertebra or rib a lesion lies on.

    name: one of `LEVELS`. plus_minus: by how many levels it may be off. part: of the rib; None for a vertebra.
    """

    name: str
    plus_minus: int
    part: RibPart | None = None

    def __post_init__(self) -> None:
        if self.name not in LEVELS[1:] or self.plus_minus < 0:
            raise ValueError(f"there is no level {self.name!r} \u00b1{self.plus_minus}")


@dataclass(frozen=True, slots=True)
class Measures:
    """What is measured of one lesion, on its mask.

    area_px: pixels. area_mm2: square millimetres, None without spacing.
    counts_total, counts_mean, counts_max: counts; counts per pixel; counts of the hottest pixel.
    contrast: mean counts over the mean counts of the bone around the lesion (None without any).
    contrast_mirror: mean counts over those of the mirrored place in the same view (None off the body).
    """

    area_px: int
    area_mm2: float | None
    counts_total: float
    counts_mean: float
    counts_max: float
    contrast: float | None
    contrast_mirror: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """One delineated lesion in one view.

    id: unique in the study, from 1; the value in the label picture of its view.
    contour: (n, 2) float64 of (row, col), closed: first point = last; holds exactly the mask's pixel centres.
    origin, mask: the (row, col) of the mask's first pixel, and the boolean mask of the bounding box.
    probability: mean of the model's probability over the mask, 0..1; None where a reader drew it and states none.
    region, side: the bone region that most of the mask lies on, and the patient's side, by view and column.
    level: which vertebra or rib; None where the bone is neither, or the model does not tell.
    pair: number shared by the two outlines of a lesion that both views show, from 1; None for any other.
    """

    id: int
    view: View
    contour: NDArray[np.float64]
    origin: tuple[int, int]
    mask: Mask
    probability: float | None
    region: Region
    side: Side
    measures: Measures
    level: Level | None = None
    pair: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "contour", read_only(np.asarray(self.contour, dtype=np.float64)))
        object.__setattr__(self, "mask", read_only(np.asarray(self.mask, dtype=np.bool_)))

    @property
    def window(self) -> tuple[slice, slice]:
        """Where `mask` lies in the frame."""
        (row, col), (rows, cols) = self.origin, self.mask.shape
        return slice(row, row + rows), slice(col, col + cols)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """What would be a lesion at a lower threshold: outlined, never counted or measured.

    contour: as of a lesion. area_px: pixels. probability: mean over the mask. peak: highest, with which it is compared.
    """

    view: View
    contour: NDArray[np.float64]
    area_px: int
    probability: float
    peak: float
    region: Region

    def __post_init__(self) -> None:
        object.__setattr__(self, "contour", read_only(np.asarray(self.contour, dtype=np.float64)))


@dataclass(frozen=True, slots=True)
class Burden:
    """What all lesions of one view come to.

    skeleton_share: lesion pixels over skeleton pixels, 0..1; None where no skeleton was found.
    """

    lesions: int
    area_px: int
    area_mm2: float | None
    skeleton_px: int
    skeleton_share: float | None


@dataclass(frozen=True, slots=True)
class Extent:
    """What all lesions of a patient come to, over both views; `assess.burden` says how.

    lesions: those that both views show counted once. positive_share: lesion area over skeletal area, 0..1, None where
    no skeleton was found. bone_scan_index: per cent of the skeleton's mass (Imbriaco 1998), None likewise. mass_seen:
    share of the skeleton's mass whose bones were seen, 0..1; below 1 the index is partial. grade: extent of disease,
    0..4 (Soloway 1988). bones: involved part of each bone that has any, 0..1.
    intervals: for figures by the names of these fields, 95 % by Poisson bootstrap of the counts; empty where none was
    asked for. draws: how often the counts were drawn again for them.
    """

    lesions: int
    positive_share: float | None
    bone_scan_index: float | None
    mass_seen: float
    grade: int
    bones: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    draws: int = 0


@dataclass(frozen=True, slots=True)
class QualityCheck:
    """One figure of how good a scan is; `assess.quality` says how each is found.

    name: which. value, threshold: the figure and where it becomes poor. poor: whether it is. said: in words, of a poor
    one.
    """

    name: str
    value: float
    threshold: float
    poor: bool
    said: str


@dataclass(frozen=True, slots=True)
class ModelName:
    """Which model made a result: its name and the sha256 of its `bundle.json`."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What was found in one study. Research use only.

    burden: per view. window: the rows and columns that were looked at (the whole frame, or the thorax), in the
    anterior frame; in the posterior one the columns are the mirrored ones.
    warnings: the study's own, then those of the later stages.
    reader: who drew or corrected the curves; None: the model alone. The model of a reader's result is the one that
    told the bones apart.
    operating_point: at which the model decided; None where a reader did. candidates: what the model would outline at a
    lower threshold. extent: what the lesions come to in the patient; None in results of before. quality: of the scan;
    () likewise.
    """

    study: Study
    model: ModelName
    lesions: tuple[Lesion, ...]
    burden: Mapping[View, Burden]
    window: tuple[slice, slice]
    region: str = "whole-body"
    warnings: tuple[str, ...] = field(default=())
    reader: str | None = None
    operating_point: str | None = None
    candidates: tuple[Candidate, ...] = ()
    extent: Extent | None = None
    quality: tuple[QualityCheck, ...] = ()

    def labels(self, view: View) -> LabelImage:
        """The label picture of one view: uint16 of the frame's shape, 0 = background, else lesion id."""
        labels = np.zeros(self.study.shape, dtype=np.uint16)
        for lesion in self.lesions:
            if lesion.view is view:
                labels[lesion.window][lesion.mask] = lesion.id
        return labels
