"""What pixel values and spacings a whole-body scan can have, whatever kind of file they came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.errors import InputError
from bonescan.prepare.body import find_body
from bonescan.study import FloatImage, Spacing

MAX_COUNTS_A_PIXEL = 2.0**24
"""Beyond it float32 no longer holds every integer; real scans stay below a thousand."""

MOST_PIXELS_A_SIDE = 4096
"""Of a picture, an array or a label file that is read."""

MAX_NEGATIVE_SHARE = 0.10
"""Lossy compression leaves a few per cent of the counts below zero; more is a wrong reading of the file."""

SPACING_RANGE_MM = (0.5, 10.0)
MAX_BODY_MM = 2300.0


def checked_counts(values: NDArray[Any]) -> tuple[FloatImage, tuple[str, ...]]:
    """Return one frame, shape (rows, cols), as float32 counts of at least 0, and warnings.

    Raises InputError where the values cannot be counts: not finite, empty, largely negative or absurdly high.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError("the image holds values that are not finite; export the counts again")
    highest = float(values.max(initial=0))
    if highest > MAX_COUNTS_A_PIXEL:
        raise InputError(
            f"the image holds {highest:.3g} counts in one pixel, which no bone scan has; export the counts again"
        )
    counts = values.astype(np.float32)
    total = float(counts.sum(where=counts > 0, dtype=np.float64))
    if total == 0:
        raise InputError("the image holds no counts at all; give a scan that is not empty")
    negative = -float(counts.sum(where=counts < 0, dtype=np.float64))
    if negative == 0:
        return counts, ()
    if negative > MAX_NEGATIVE_SHARE * total:
        raise InputError(
            f"the image's negative values come to {negative / total:.0%} of its counts, so they are no counts; "
            "export the counts unprocessed"
        )
    pixels = int((counts < 0).sum())
    return np.maximum(counts, 0), (
        f"{pixels} pixels held negative values ({negative / total:.1%} of the counts) and were set to 0",
    )


def checked_spacing(values_mm: Sequence[float], frames: Sequence[FloatImage]) -> tuple[Spacing | None, str | None]:
    """Return the spacing of (row, col) in millimetres, or None and the reason why it was not believed.

    A spacing outside 0.5-10 mm, or one that makes the body in any of `frames` taller than 2.3 m, is false.
    """
    if len(values_mm) != 2:
        return None, f"the pixel spacing has {len(values_mm)} values instead of 2 and was dropped"
    row_mm, col_mm = (float(value) for value in values_mm)
    low, high = SPACING_RANGE_MM
    if not (low <= row_mm <= high and low <= col_mm <= high):
        return None, f"a pixel spacing of {row_mm:.4g} x {col_mm:.4g} mm cannot be right and was dropped"
    height_mm = row_mm * max(body_rows(counts) for counts in frames)
    if height_mm > MAX_BODY_MM:
        return None, (
            f"a pixel spacing of {row_mm:.4g} mm would make the patient {height_mm / 1000:.1f} m tall and was dropped"
        )
    return Spacing(row_mm, col_mm), None


def body_rows(counts: FloatImage) -> int:
    """Return how many rows the body spans, as `find_body` finds it; 0 where there is none."""
    body = find_body(counts)
    return 0 if body is None else body.height
