"""Pictures of test patients, small enough to lie among the results: 8-bit greys of both views."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bonescan.errors import InputError
from bonescan.prepare import mirror
from bonescan.study import Mask, View
from bonescan.train.cases import Case

_DARKEST_AT = 2.5
"""Counts, as a multiple of the skeletal reference, that are shown darkest."""
_STEP = 8
"""Greys are rounded to 32 levels, which the eye does not miss and a compressed file does."""


def scan_picture(case: Case) -> dict[str, str]:
    """Both views as acquired, the more counts the darker, each as a PNG in base64."""
    top = max(case.facts.references[0] * _DARKEST_AT, 1.0)
    pictures = {}
    for view, counts in zip(View, case.counts, strict=True):
        frame = counts if view is View.ANTERIOR else mirror(counts)
        dark = np.rint((255 // _STEP) * np.sqrt(np.clip(frame / top, 0, 1))).astype(np.uint8) * _STEP
        pictures[str(view)] = _packed(Image.fromarray(255 - dark))
    return pictures


def packed_mask(mask: Mask) -> str:
    """A mask (rows, cols) as a PNG of one bit a pixel, in base64."""
    return _packed(Image.fromarray(mask))


def unpacked(text: str) -> NDArray[np.uint8]:
    """The greys (rows, cols) of a packed picture; a mask is 0 and 255. Raises InputError for anything else."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            return np.asarray(image.convert("L"), dtype=np.uint8)
    except Exception as error:
        raise InputError(
            f"a stored picture cannot be read ({type(error).__name__}): remove its file and run its experiment again"
        ) from None


def _packed(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
