"""Frames of much finer pixels than the usual 2.2-2.4 mm, brought to that size by adding counts."""

from __future__ import annotations

import numpy as np

from bonescan.study import FloatImage, Study

FINEST_MM = 1.6
"""Pixels finer than this are summed in squares before the network, which has learned from about 2.3 mm."""

_WIDEST_COARSE_FRAME = 400
_MOST_BINNING = 8


def binning_of(study: Study) -> int:
    """Frame pixels along each edge of one network pixel: 1, 2, 4 or 8.

    Told from the spacing; without one, a frame of 400 columns or more is taken for a fine matrix of a bed
    of the usual width, which changes the network's input only and states no millimetres.
    """
    binning = 1
    if study.spacing is None:
        while study.shape[1] / binning >= _WIDEST_COARSE_FRAME and binning < _MOST_BINNING:
            binning *= 2
        return binning
    pixel_mm = float(np.sqrt(study.spacing.pixel_area_mm2))
    while pixel_mm * binning < FINEST_MM and binning < _MOST_BINNING:
        binning *= 2
    return binning


def bin_counts(counts: FloatImage, binning: int) -> FloatImage:
    """Sum counts (views, rows, cols) over squares of `binning` pixels; zeros fill the last ones."""
    if binning == 1:
        return counts
    views, rows, cols = counts.shape
    counts = np.pad(counts, ((0, 0), (0, -rows % binning), (0, -cols % binning)))
    tiles = counts.reshape(views, counts.shape[1] // binning, binning, counts.shape[2] // binning, binning)
    sums: FloatImage = tiles.sum(axis=(2, 4))
    return sums
