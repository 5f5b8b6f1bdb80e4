"""Objects in DICOM made from a result: in the study of the source, each in a series of its own, and read back."""

from __future__ import annotations

from pathlib import Path

from bonescan.dicom.header import Origin
from bonescan.study import Result


def uids_of(result: Result, origin: Origin) -> set[str]:
    """Return the SOP Instance UIDs that the objects of a result have, whenever they are made."""
    from bonescan.dicom.objects.common import KINDS, object_uid

    return {object_uid(result, origin, kind) for kind in KINDS}


def write_object(kind: str, result: Result, origin: Origin, path: Path) -> bool:
    """Write the object of a kind to `path`; False where there is none, as a segmentation of nothing.

    Raises InputError where the header is not that of the result's source, OSError where it cannot be written.
    """
    # Imported on use: highdicom takes a while to load, and most results need no object.
    from bonescan.dicom.objects.build import build
    from bonescan.dicom.objects.common import save

    dataset = build(kind, result, origin)
    if dataset is None:
        return False
    save(dataset, path)
    return True
