"""A scan whose lesions are no hotter than what lies beside them.

A hot focus misleads a network about the bone that it lies in: a lesion of the sternum looks like the crossing of two
ribs. On the scan without its heat, the bones are named as in a person without lesions (`benchmarks/reading.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.lesions.delineate import Outline
from bonescan.prepare.aggregate import binning_of
from bonescan.study import FloatImage, Mask, Scan, Study

MARGIN_PX = 2
"""The blur of the camera carries a lesion's counts this far beyond its outline; pixels of the network's size."""
RING_PX = 3
"""Width of the ring whose mean a lesion is brought down to; as above."""


def levelled(study: Study, outlines: Sequence[Outline]) -> Study:
    """The study with the counts in each outline and its margin scaled down to the mean of the ring around them.

    Noise and edges within the lesion stay, at a lower level. What is colder than its ring is left as it is.
    """
    binning = binning_of(study)
    scans = {}
    for view, scan in study.scans.items():
        hot = np.zeros(study.shape, dtype=np.bool_)
        for outline in outlines:
            if outline.view is view:
                hot[outline.window] |= outline.mask
        scans[view] = Scan(view, _levelled(scan.counts, hot, binning)) if hot.any() else scan
    return replace(study, scans=scans)


def _levelled(counts: FloatImage, hot: Mask, binning: float) -> FloatImage:
    margin, width = (max(round(size * binning), 1) for size in (MARGIN_PX, RING_PX))
    pieces, _ = ndimage.label(ndimage.binary_dilation(hot, iterations=margin))
    result = counts.astype(np.float32)
    for number, window in enumerate(ndimage.find_objects(pieces), start=1):
        around = tuple(slice(max(part.start - width, 0), part.stop + width) for part in window)
        _scale_down(result[around], pieces[around], number, width)
    return result


def _scale_down(counts: FloatImage, pieces: NDArray[Any], number: int, width: int) -> None:
    """Scale one piece, in place, to the mean of its ring, which lies on no other piece."""
    own = pieces == number
    ring = ndimage.binary_dilation(own, iterations=width) & (pieces == 0)
    inside = float(counts[own].mean())
    if ring.any() and inside > 0:
        counts[own] *= min(float(counts[ring].mean()) / inside, 1.0)
