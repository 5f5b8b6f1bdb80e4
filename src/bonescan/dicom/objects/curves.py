"""Curves as read back from objects in DICOM: validated values, no pydicom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonescan.study import Mask, Region


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One outlined lesion on one frame of one instance: a closed contour from an SR, or a mask from a SEG.

    frame: its number in the instance, from 1. contour: (n, 2) of (row, col), closed.
    mask, origin, shape: boolean bounding box, the (row, col) of its first pixel, and (rows, cols) of the whole frame.
    tracking_id, tracking_uid: "" where none is given. probability, region: None where none is given.
    """

    sop_instance_uid: str
    frame: int
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
