"""Small label pictures to score, and few repeats of the bootstrap."""

from __future__ import annotations

import numpy as np

from bonescan.evaluate import Bootstrap

QUICK = Bootstrap(repeats=200)


def picture(*places, shape=(20, 20)):
    """A label picture with square lesions: (number, row, col, edge)."""
    drawn = np.zeros(shape, np.uint16)
    for number, row, col, edge in places:
        drawn[row : row + edge, col : col + edge] = number
    return drawn


EMPTY = picture()
