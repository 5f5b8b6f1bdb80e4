"""Read JSON from an untrusted source: the size and the depth are limited, and NaN and infinity are refused."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from bonescan.errors import LabelError

MAX_BYTES = 8 * 2**20
"""A hundred lesions of a thousand vertices each, indented, take 5 MB. A parsed file of this size takes up to 200 MB."""


def load_json(path: Path) -> Any:
    """Return the document of a JSON file. Raises LabelError where it cannot be read, is too large, or is no JSON."""
    try:
        # Opened without blocking: it may be a pipe without a writer, and only the open handle says safely what it is.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as opened:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise LabelError(f"{path.name} is no file: give the label file itself")
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise LabelError(f"the label file {path.name} cannot be read ({reason}): check the path") from error
    if len(content) > MAX_BYTES:
        raise LabelError(
            f"the label file {path.name} has more than {MAX_BYTES // 2**20} MB, which no curves need: "
            "remove image data from it"
        )
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path.name} is no JSON document: save it again with LabelMe") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")
