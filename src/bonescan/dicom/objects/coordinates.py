"""Convert between contours and the pixel coordinates of DICOM graphics (PS3.3 C.18.6.1, C.10.5); only done here.

SCOORD and PIXEL graphics are (column, row) from the upper left corner of the upper left pixel, so that this pixel's
centre is at (0.5, 0.5); here a contour is (row, col) and the same centre is at (0, 0).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_HALF_PIXEL = 0.5


def to_graphic(contour: ArrayLike) -> NDArray[np.float64]:
    """Return a contour, (n, 2) of (row, col), as (n, 2) of DICOM's (column, row)."""
    return np.asarray(contour, dtype=np.float64)[:, ::-1] + _HALF_PIXEL


def to_contour(points: ArrayLike) -> NDArray[np.float64]:
    """Return DICOM's points, (n, 2) of (column, row), as a contour, (n, 2) of (row, col)."""
    return np.asarray(points, dtype=np.float64)[:, ::-1] - _HALF_PIXEL
