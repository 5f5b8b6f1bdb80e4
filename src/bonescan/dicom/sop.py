"""What a file that we wrote is: SOP class and instance, transfer syntax."""

from __future__ import annotations

from pathlib import Path

from pydicom import FileDataset, dcmread
from pydicom.filereader import read_file_meta_info


def sop_class_of(path: Path) -> str:
    """Return the SOP Class UID by a file's own meta group. Raises OSError. For files of ours alone."""
    return str(read_file_meta_info(path).MediaStorageSOPClassUID)


def sop_instance_of(path: Path) -> str:
    """Return the SOP Instance UID by a file's own meta group. Raises OSError. For files of ours alone."""
    return str(read_file_meta_info(path).MediaStorageSOPInstanceUID)


def transfer_syntax_of(path: Path) -> str:
    """Return the Transfer Syntax UID by a file's own meta group. Raises OSError. For files of ours alone."""
    return str(read_file_meta_info(path).TransferSyntaxUID)


def uncompressed(path: Path) -> FileDataset:
    """Return a file's object in Explicit VR Little Endian: the same object and pixels. For files of ours alone."""
    dataset = dcmread(path)
    dataset.decompress(generate_instance_uid=False)
    return dataset
