"""Label pictures with rectangles on a small frame, as several readers draw them."""

from __future__ import annotations

import numpy as np

SHAPE = (40, 30)
EMPTY = np.zeros(SHAPE, np.uint16)


def picture(*squares, shape=SHAPE):
    """A label picture with rectangles: (number, row, col, rows, cols)."""
    drawn = np.zeros(shape, np.uint16)
    for number, row, col, rows, cols in squares:
        drawn[row : row + rows, col : col + cols] = number
    return drawn
