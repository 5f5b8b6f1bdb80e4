"""The SOP class and instance of a file that we wrote."""

from __future__ import annotations

from pathlib import Path

from pydicom.filereader import read_file_meta_info


def sop_class_of(path: Path) -> str:
    """Return the SOP Class UID by a file's own meta group. Raises OSError. For files of ours alone."""
    return str(read_file_meta_info(path).MediaStorageSOPClassUID)


def sop_instance_of(path: Path) -> str:
    """Return the SOP Instance UID by a file's own meta group. Raises OSError. For files of ours alone."""
    return str(read_file_meta_info(path).MediaStorageSOPInstanceUID)
