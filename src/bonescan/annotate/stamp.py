"""The stamp in label files that bonescan writes: digests of the scan's counts and of the curves.

The stamp links a file to its scan, whatever the scan's name is now, and shows whether somebody has changed the curves.
LabelMe keeps entries that it does not know; COCO tools may drop them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bonescan.study import FloatImage, Study, View

KEY = "bonescan"
"""Key of the stamp in a LabelMe document, and in the `info` of a COCO document."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a label file that bonescan wrote says about itself.

    counts: the digest of the counts of each view that it was drawn on. drawn: the digest of the curves as written.
    """

    counts: Mapping[View, str]
    drawn: str

    def document(self) -> dict[str, Any]:
        """The stamp as it is written."""
        return {"counts": {view.value: digest for view, digest in self.counts.items()}, "drawn": self.drawn}


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
    return Stamp({View(view): digest for view, digest in counts.items()}, drawn)
