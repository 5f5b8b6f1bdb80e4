"""JSON that a stranger may have written: small enough, shallow enough, and numbers that are numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from bonescan.errors import LabelError

MAX_BYTES = 32 * 2**20
"""A hundred lesions of a thousand vertices each, indented, are 5 MB."""


def load_json(path: Path) -> Any:
    """Return the document of a JSON file. Raises LabelError where it cannot be read, is too large, or is no JSON."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LabelError(
                f"the label file {path.name} has more than {MAX_BYTES // 2**20} MB, which no curves need: "
                "remove image data from it"
            )
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise LabelError(f"the label file {path.name} cannot be read ({reason}): check the path") from error
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path.name} is no JSON document: save it again with LabelMe") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")
