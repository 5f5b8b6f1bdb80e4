"""Write a result as DICOM objects, in the study of the source and each in its own series, and read them back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bonescan.dicom.header import Origin
from bonescan.study import Result

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset


def uids_of(result: Result, origin: Origin) -> set[str]:
    """Return the SOP Instance UIDs of the objects of a result; they do not depend on when the objects are made."""
    from bonescan.dicom.objects.common import KINDS, object_uid

    return {object_uid(result, origin, kind) for kind in KINDS}


def write_object(kind: str, result: Result, origin: Origin, path: Path) -> bool:
    """Write the object of a kind to `path`; False where there is none, as for a segmentation without lesions.

    Raises InputError where the header is not that of the result's source, OSError where it cannot be written.
    """
    from bonescan.dicom.objects.common import save

    dataset = _builders()[kind](result, origin)
    if dataset is None:
        return False
    save(dataset, path)
    return True


def _builders() -> dict[str, Callable[[Result, Origin], FileDataset | None]]:
    """Return the function that builds each kind of object; None from one: there is no such object."""
    # Imported on use: highdicom loads slowly, and most results need no object.
    from bonescan.dicom.objects.documents import encapsulated_pdf, secondary_capture
    from bonescan.dicom.objects.presentation import presentation_state
    from bonescan.dicom.objects.seg import segmentation
    from bonescan.dicom.objects.sr import structured_report

    return {
        "sr": structured_report,
        "seg": segmentation,
        "capture": secondary_capture,
        "pdf": encapsulated_pdf,
        "gsps": presentation_state,
    }
