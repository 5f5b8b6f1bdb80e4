"""Write a result as DICOM objects, in the study of the source and each in its own series, and read them back."""

from __future__ import annotations

from pathlib import Path

from bonescan.dicom.header import Origin
from bonescan.study import Result


def uids_of(result: Result, origin: Origin) -> set[str]:
    """Return the SOP Instance UIDs of the objects of a result; they do not depend on when the objects are made."""
    from bonescan.dicom.objects.common import KINDS, object_uid

    return {object_uid(result, origin, kind) for kind in KINDS}


def write_object(kind: str, result: Result, origin: Origin, path: Path) -> bool:
    """Write the object of a kind to `path`; False where there is none, as for a segmentation without lesions.

    Raises InputError where the header is not that of the result's source, OSError where it cannot be written.
    """
    # Imported on use: highdicom loads slowly, and most results need no object.
    from bonescan.dicom.objects.build import build
    from bonescan.dicom.objects.common import save

    dataset = build(kind, result, origin)
    if dataset is None:
        return False
    save(dataset, path)
    return True
