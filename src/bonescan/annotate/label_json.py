"""The JSON of label files: reading it from an untrusted source, and the stamp in files that bonescan writes.

The stamp is digests of the scan's counts and of the curves, and the window that was looked at. It links a file to its
scan, whatever the scan's name is now, and shows whether somebody has changed the curves. LabelMe keeps entries that it
does not know; COCO tools may drop them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from bonescan.errors import LabelError, OptionError
from bonescan.prepare import Window
from bonescan.study import FloatImage, Result, Study, View

_MAX_BYTES = 8 * 2**20
"""A hundred lesions of a thousand vertices each, indented, take 5 MB. A parsed file of this size takes up to 200 MB."""
STAMP_KEY = "bonescan"
"""Key of the stamp in a LabelMe document, and in the `info` of a COCO document."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def load_json(path: Path) -> Any:
    """Return the document of a JSON file. Raises LabelError where it cannot be read, is too large, or is no JSON.

    NaN and infinity, which JSON does not have, are refused.
    """
    try:
        # Opened without blocking: it may be a pipe without a writer, and only the open handle says safely what it is.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as opened:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise LabelError(f"{path.name} is no file: give the label file itself")
            content = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise LabelError(f"the label file {path.name} cannot be read ({reason}): check the path") from error
    if len(content) > _MAX_BYTES:
        raise LabelError(
            f"the label file {path.name} has more than {_MAX_BYTES // 2**20} MB, which no curves need: "
            "remove image data from it"
        )
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path.name} is no JSON document: save it again with LabelMe") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a label file that bonescan wrote says about itself.

    counts: the digest of the counts of each view that it was drawn on. drawn: the digest of the curves as written.
    window: the thoracic window that was looked at; None: the whole body, or the file of an older version.
    """

    counts: Mapping[View, str]
    drawn: str
    window: Window | None = None

    def document(self) -> dict[str, Any]:
        """The stamp as it is written."""
        said = {"counts": {view.value: digest for view, digest in self.counts.items()}, "drawn": self.drawn}
        if self.window is None:
            return said
        return {**said, "window": [[side.start, side.stop] for side in self.window.slices]}


def window_of(result: Result) -> Window | None:
    """The thoracic window of a result; None where the whole body was looked at."""
    return Window(*result.window) if result.region == "thorax" else None


def counts_digest(counts: FloatImage) -> str:
    """sha256 (hex) of one view's counts, (rows, cols): the same for a copy with another header."""
    plain = np.ascontiguousarray(counts, dtype="<f4")
    return hashlib.sha256(repr(plain.shape).encode() + plain.tobytes()).hexdigest()


def counts_digests(study: Study) -> dict[View, str]:
    """`counts_digest` of each view of the study."""
    return {view: counts_digest(scan.counts) for view, scan in study.scans.items()}


def drawn_digest(drawn: Any) -> str:
    """sha256 (hex) of curves, given as plain lists and numbers."""
    return hashlib.sha256(json.dumps(drawn, separators=(",", ":")).encode()).hexdigest()


def read_stamp(said: Any) -> Stamp | None:
    """Return the stamp that a document holds; None where there is none or it is damaged."""
    if not isinstance(said, dict) or not isinstance(said.get("counts"), dict):
        return None
    counts, drawn = said["counts"], said.get("drawn")
    if not isinstance(drawn, str) or not _DIGEST.fullmatch(drawn):
        return None
    if not all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in counts.values()):
        return None
    if not counts or not set(counts) <= {view.value for view in View}:
        return None
    try:
        window = _window(said.get("window"))
    except (TypeError, ValueError, OptionError):
        return None
    return Stamp({View(view): digest for view, digest in counts.items()}, drawn, window)


def _window(said: Any) -> Window | None:
    if said is None:
        return None
    rows, cols = said
    return Window(slice(*rows), slice(*cols))
