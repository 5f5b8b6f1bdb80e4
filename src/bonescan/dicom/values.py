"""The values that readers of DICOM files take and return, and the remarks that they make.

Imports no pydicom: most callers have files parsed in another process (`bonescan.sandbox`). What identifies the patient
is in `header.py` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonescan.errors import OptionError
from bonescan.study import Mask, Region, View

IMPLEMENTATION_UID = "2.25.236019573810549632201345781265390114407"
"""Of bonescan, in the file meta information of every object that it writes."""

DERIVED = "the image is derived (filtered, combined or compressed), not as acquired: not fit for training"
EIGHT_BITS = "the image has 8 bits per pixel, so counts above 255 may be cut off"
LOSSY = "the image was compressed with loss: counts and small lesions may be altered"
RESCALED = "the counts were rescaled as the file states"
SEVERAL_ENERGIES = "the frames are of more than one energy window"
NO_TRACER = "the file does not state the tracer: make sure that it is a bone scan"
OTHER_TRACER = "the tracer that the file states is not known as a bone tracer: make sure that it is a bone scan"
"""Remarks on accepted files, which other modules compare with."""
AGAINST_HEADER = "the views were stated against the header"
"""The beginning of another such remark, which goes on with what the header says."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the caller states of scans whose headers do not say it.

    views: the view of each frame, in order; overrules the header.
    frames: which two frames of a file to read, numbers from 1.
    """

    views: tuple[View, ...] | None = None
    frames: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.views is not None and (not 1 <= len(self.views) <= 2 or len(set(self.views)) != len(self.views)):
            raise OptionError(f"views are one or two different ones, not {', '.join(self.views) or 'none'}")
        if self.frames is not None and (min(self.frames) < 1 or len(set(self.frames)) != 2):
            raise OptionError(f"frames are two different numbers from 1, not {', '.join(map(str, self.frames))}")


def stated_views(names: Sequence[str] | None, frames: tuple[int, int] | None = None) -> ReadOptions | None:
    """What a caller states by naming the views of each scan's frames, in order, and by choosing its two frames.

    None where neither is stated.
    """
    views = tuple(View(name) for name in names) if names else None
    return None if views is None and frames is None else ReadOptions(views, frames)


@dataclass(frozen=True, slots=True)
class FileSummary:
    """The values of a file that are needed to find studies in a folder, without its pixels.

    study_uid, series_uid: only for grouping, never shown. frames: how many. refusal: why it is no whole-body scan.
    station: the name of the station that made it, as its header says; "" where it does not.
    """

    study_uid: str
    series_uid: str
    frames: int
    refusal: str | None
    station: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One outlined lesion on one frame of one instance: a closed contour from an SR, or a mask from a SEG.

    frame: its number in the instance, from 1; None where it is not stated. contour: (n, 2) of (row, col), closed.
    mask, origin, shape: boolean bounding box, the (row, col) of its first pixel, and (rows, cols) of the whole frame.
    tracking_id, tracking_uid: "" where none is given. probability, region: None where none is given.
    """

    sop_instance_uid: str
    frame: int | None
    contour: NDArray[np.float64] | None
    mask: Mask | None
    origin: tuple[int, int] = (0, 0)
    shape: tuple[int, int] = (0, 0)
    tracking_id: str = ""
    tracking_uid: str = ""
    probability: float | None = None
    region: Region | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """What one SR or SEG holds.

    study_uid: of its study. reader: the person who drew or corrected the curves, None where only a device is named.
    sop_instance_uid: its own, by which an object that bonescan wrote is recognised.
    sources: the instances to which it refers. kind: "sr" or "seg".
    """

    kind: str
    study_uid: str
    sop_instance_uid: str
    sources: tuple[str, ...]
    reader: str | None
    curves: tuple[Curve, ...]
