"""Read untrusted DICOM files as validated values: parsing is limited, and every element is checked on access.

pydicom parses lazily and raises many classes of exception on a damaged file. Everything here
raises only InputError, with a sentence that names the element and never its value: a value may be a name.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from bonescan.errors import BonescanError, InputError

MAX_FILE_BYTES = 48 * 2**20
"""A two-frame scan of 1024 x 256 has 1 MB; private groups may add a few."""

_PREAMBLE = 128
_MAGIC = b"DICM"


@contextmanager
def guarded() -> Iterator[None]:
    """Turn all other exceptions of pydicom, numpy and the codecs into InputError, and silence pydicom's log.

    The original exception is not chained, as its text may contain a patient's values.
    """
    logger = logging.getLogger("pydicom")
    was_disabled = logger.disabled
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logger.disabled = True
            yield
    except BonescanError:
        raise
    except Exception as error:
        raise InputError(
            f"the DICOM file is damaged and cannot be read ({type(error).__name__}); export it again"
        ) from None
    finally:
        logger.disabled = was_disabled


def load(path: Path) -> bytes:
    """Return a file's bytes after checking that it is a DICOM file within the size limit."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise InputError("the input is neither a file nor a folder; give a DICOM file")
        if size == 0:
            raise InputError("the file is empty; export the scan again")
        if size > MAX_FILE_BYTES:
            raise InputError(
                f"the file has {size / 2**20:.0f} MB, more than the {MAX_FILE_BYTES // 2**20} MB that are read; "
                "give the whole-body planar scan alone"
            )
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the file cannot be opened ({os.strerror(error.errno or 0)}); check the path and its permissions"
        ) from None
    if content[_PREAMBLE : _PREAMBLE + 4] != _MAGIC:
        raise InputError("the file is not a DICOM file (no DICM marker); give a DICOM file, PNG pair or scan.npz")
    return content


def looks_like_dicom(path: Path) -> bool:
    """Tell by the marker whether a file is DICOM; False also where it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE + 4)[_PREAMBLE:] == _MAGIC
    except OSError:
        return False


def parse(content: bytes, *, pixels: bool = True) -> Dataset:
    """Parse a file's bytes; call inside `guarded`. The deflated syntax is refused, as it can expand a thousandfold."""
    file = BytesIO(content)
    # pydicom's public reader of this group takes only a path, and dcmread inflates before the syntax can be checked.
    read_preamble(file, force=False)
    meta = _read_file_meta_info(file)
    syntax = meta.get("TransferSyntaxUID")
    if not isinstance(syntax, UID) or not (syntax.is_transfer_syntax and not syntax.is_private):
        raise InputError("the file states no transfer syntax that is known; export it again, uncompressed")
    if syntax == DeflatedExplicitVRLittleEndian:
        raise InputError("the file is deflated (1.2.840.10008.1.2.1.99), which is not read; export it uncompressed")
    return dcmread(BytesIO(content), stop_before_pixels=not pixels)


def transfer_syntax(dataset: Dataset) -> UID:
    """Return the transfer syntax; `parse` has checked that there is one."""
    return UID(dataset.file_meta.TransferSyntaxUID)


def byte_order(dataset: Dataset) -> str:
    """Return numpy's character for the byte order of native pixel data."""
    return ">" if transfer_syntax(dataset) == ExplicitVRBigEndian else "<"


def value(dataset: Dataset, keyword: str) -> Any:
    """Return an element's value, None where it is absent or empty; InputError where it cannot be parsed."""
    try:
        found = dataset[keyword].value if keyword in dataset else None
    except Exception:
        raise damaged(keyword) from None
    return None if isinstance(found, str | bytes | MultiValue) and len(found) == 0 else found


def damaged(keyword: str) -> InputError:
    """The error for an element whose value is not valid."""
    return InputError(f"the DICOM element {keyword} is damaged; export the file again")


def text(dataset: Dataset, keyword: str) -> str:
    """Return an element as text without padding; several values joined by a backslash; "" where absent."""
    return "\\".join(texts(dataset, keyword))


def texts(dataset: Dataset, keyword: str) -> list[str]:
    """Return the values of a text element, each without blanks and NULs around it."""
    found = value(dataset, keyword)
    if found is None:
        return []
    values = list(found) if isinstance(found, MultiValue | list | tuple) else [found]
    if any(isinstance(item, bytes | Dataset) for item in values):
        raise damaged(keyword)
    return [str(item).strip(" \0\t\r\n") for item in values]


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return the values of a numeric element (DS, IS, US, FD, ...), all finite; () where absent."""
    found = value(dataset, keyword)
    if found is None:
        return ()
    values = list(found) if isinstance(found, MultiValue | list | tuple) else [found]
    try:
        result = tuple(float(item) for item in values)
    except (TypeError, ValueError, OverflowError):
        raise damaged(keyword) from None
    if not all(math.isfinite(item) for item in result):
        raise damaged(keyword)
    return result


def integers(dataset: Dataset, keyword: str) -> tuple[int, ...]:
    """Return the values of an integer element; () where absent."""
    found = numbers(dataset, keyword)
    if any(item != int(item) for item in found):
        raise damaged(keyword)
    return tuple(int(item) for item in found)


def integer(dataset: Dataset, keyword: str) -> int | None:
    """Return the value of an element of one integer; None where absent."""
    found = integers(dataset, keyword)
    if len(found) > 1:
        raise damaged(keyword)
    return found[0] if found else None


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; [] where absent or empty."""
    found = value(dataset, keyword)
    if found is None:
        return []
    if not isinstance(found, DicomSequence):
        raise damaged(keyword)
    try:
        return list(found)
    except Exception:
        raise damaged(keyword) from None
