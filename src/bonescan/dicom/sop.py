"""SOP class, SOP instance and transfer syntax of files that bonescan wrote."""

from __future__ import annotations

from pathlib import Path

from pydicom import FileDataset, dcmread
from pydicom.filereader import read_file_meta_info


def sop_class_of(path: Path) -> str:
    """Return the SOP Class UID from a file's meta group. Raises OSError. Only for files that bonescan wrote."""
    return str(read_file_meta_info(path).MediaStorageSOPClassUID)


def sop_instance_of(path: Path) -> str:
    """Return the SOP Instance UID from a file's meta group. Raises OSError. Only for files that bonescan wrote."""
    return str(read_file_meta_info(path).MediaStorageSOPInstanceUID)


def transfer_syntax_of(path: Path) -> str:
    """Return the Transfer Syntax UID from a file's meta group. Raises OSError. Only for files that bonescan wrote."""
    return str(read_file_meta_info(path).TransferSyntaxUID)


def uncompressed(path: Path) -> FileDataset:
    """Return a file's object in Explicit VR Little Endian: the same object and pixels. Only for files of bonescan."""
    dataset = dcmread(path)
    dataset.decompress(generate_instance_uid=False)
    return dataset
