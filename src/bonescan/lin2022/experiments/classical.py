"""Segmentation without learning: what a network must beat. Imports no torch.

Each takes the counts of a pair (2, rows, cols) and gives its masks, each view by itself; an absent view, or one
without counts, has an empty mask. Nothing is random. None of their numbers was chosen on images that anything is
tested on: `benchmarks/classical_choice.py` tried them on training phantoms (`results/classical_choice.json`), and the
best pooled Dice, within 0.001, chose; of equals the highest level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.prepare import skeletal_reference
from bonescan.study import FloatImage, Mask


@dataclass(frozen=True, slots=True)
class SeedRule:
    """Where regions grow from, and how far.

    share: of a seed's counts, to which its region reaches: the nuclear-medicine rule, as in the EANM guideline for FDG
    PET (Boellaard et al., EJNMMI 42:328, 2015). level: skeletal references that a seed must reach. radius: pixels
    around a seed in which nothing is hotter. most_pixels: a region larger than this has leaked into the skeleton.
    Levels of 1.5 to 2.5 are as good as one another; below 1 / 0.41 a region is bound to reach the bone around it.
    """

    share: float = 0.41
    level: float = 2.5
    radius: int = 4
    most_pixels: int = 200


ITERATIONS = 20
"""Of the morphological evolution; from 10 on its Dice on training phantoms stands still."""


def two_means(image: NDArray[Any], nu: float = 0.0) -> Mask:
    """Where an image (rows, cols) is in the brighter of its two classes: the minimiser of the Chan-Vese term.

    Minimises sum_in (g - c1)^2 + sum_out (g - c2)^2 + nu * Area over all masks whose inside is the brighter side, with
    the image scaled to g in 0..1: Eq. 7 of Lin et al. 2022 with mu = 0, of which a threshold is the minimiser. Every
    threshold is tried (the exact form of Otsu's method, IEEE Trans SMC 9:62, 1979). Of masks that cost the same the
    smallest; an image of one value has an empty mask.
    """
    levels, index, areas = np.unique(image, return_inverse=True, return_counts=True)
    if len(levels) == 1:
        return np.zeros(image.shape, dtype=np.bool_)
    scaled = (levels - levels[0]).astype(np.float64) / float(levels[-1] - levels[0])
    below, sums = np.cumsum(areas)[:-1], np.cumsum(areas * scaled)
    # What two means leave of the squares is their total less each class's sum squared over its area.
    above = image.size - below
    explained = sums[:-1] ** 2 / below + (sums[-1] - sums[:-1]) ** 2 / above
    costs = np.append(nu * above - explained, -(sums[-1] ** 2) / image.size)
    last_outside = len(costs) - 1 - int(np.argmin(costs[::-1]))
    return np.asarray(index.reshape(image.shape) > last_outside)


def two_means_pair(counts: FloatImage) -> Mask:
    """Two means, each view by itself."""
    return np.stack([two_means(view) for view in counts])


def morphological_chan_vese_pair(counts: FloatImage, iterations: int = ITERATIONS) -> Mask:
    """Morphological Chan-Vese (Marquez-Neila et al., IEEE TPAMI 36:2, 2014), by scikit-image, each view by itself.

    It starts at the two means, which minimise the same term without the length, and smooths from there.
    """
    from skimage.segmentation import morphological_chan_vese

    masks = np.zeros(counts.shape, dtype=np.bool_)
    for mask, view in zip(masks, counts, strict=True):
        start = two_means(view)
        if start.any():
            mask[:] = morphological_chan_vese(  # type: ignore[no-untyped-call]
                view.astype(np.float64), iterations, start.astype(np.int8), smoothing=1
            )
    return masks


def region_growing_pair(counts: FloatImage, rule: SeedRule | None = None) -> Mask:
    """Grow from each hot spot to 41 % of its maximum, each view by itself.

    Seeds are where a reader would point: the hottest place around, and clearly hotter than typical bone of this scan
    (`prepare.skeletal_reference` of both views), in means of 3 x 3 pixels, which a single noisy one does not decide.
    From the hottest down, a seed takes what is connected to it above the share of its counts; a seed in a region that
    is already grown is the same focus. A region that has leaked is left out.
    """
    rule = rule or SeedRule()
    reference = skeletal_reference(counts)
    return np.stack([_grow(view, rule, reference) for view in counts])


def _grow(image: NDArray[Any], rule: SeedRule, reference: float) -> Mask:
    smooth = ndimage.uniform_filter(image.astype(np.float64), 3, mode="nearest")
    hottest = ndimage.maximum_filter(smooth, 2 * rule.radius + 1, mode="nearest")
    rows, cols = np.nonzero((smooth == hottest) & (smooth >= rule.level * reference))
    kept, taken = np.zeros(image.shape, dtype=np.bool_), np.zeros(image.shape, dtype=np.bool_)
    for seed in np.argsort(-smooth[rows, cols], kind="stable"):
        row, col = rows[seed], cols[seed]
        if taken[row, col]:
            continue
        labels, _ = ndimage.label(smooth >= rule.share * smooth[row, col])
        region = labels == labels[row, col]
        taken |= region
        if region.sum() <= rule.most_pixels:
            kept |= region
    return kept


CLASSICAL: dict[str, Callable[[FloatImage], Mask]] = {
    "two-means": two_means_pair,
    "morphological-chan-vese": morphological_chan_vese_pair,
    "region-growing-41": region_growing_pair,
}
"""Every baseline by its name: counts (2, rows, cols) to masks of that shape."""
