"""Kind of object -> the function that builds it."""

from __future__ import annotations

from collections.abc import Callable

from pydicom.dataset import FileDataset

from bonescan.dicom.header import Origin
from bonescan.dicom.objects.capture import secondary_capture
from bonescan.dicom.objects.pdf import encapsulated_pdf
from bonescan.dicom.objects.presentation import presentation_state
from bonescan.dicom.objects.seg import segmentation
from bonescan.dicom.objects.sr import structured_report
from bonescan.study import Result

BUILDERS: dict[str, Callable[[Result, Origin], FileDataset | None]] = {
    "sr": structured_report,
    "seg": segmentation,
    "capture": secondary_capture,
    "pdf": encapsulated_pdf,
    "gsps": presentation_state,
}


def build(kind: str, result: Result, origin: Origin) -> FileDataset | None:
    """Return the object of a kind; None where there is none."""
    return BUILDERS[kind](result, origin)
