"""Counts made comparable between scans.

The square root makes Poisson noise about equally strong everywhere, and the division by a skeletal
reference of the same scan takes dose, time and patient out. The reference is a high percentile of the
body, never the maximum, which often lies in the bladder or at the injection site. One reference serves
both views, so that it stays visible which of them is hotter.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.errors import OptionError
from bonescan.study import FloatImage, Mask

BLOCK = 4
"""Edge, in pixels, of the blocks on which body and reference are found: about 9 mm, less than a rib's width twice."""

_ANSCOMBE = 3.0 / 8.0
_SHARE_OF_LARGEST = 0.03


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How counts become network input; stored in the bundle.

    reference_percentile: the percentile of the body's block means that stands for the skeleton, 0..100.
    reference_floor: the smallest reference, in counts per pixel, so that a nearly empty frame is not amplified.
    body_fraction: what is above this share of the reference is body, 0..1.
    knee: normalised value from which the tail is compressed by a logarithm; at 3, nine references.
    """

    reference_percentile: float = 90.0
    reference_floor: float = 1.0
    body_fraction: float = 0.06
    knee: float = 3.0

    def __post_init__(self) -> None:
        limits = {
            "reference_percentile": 0 < self.reference_percentile < 100,
            "reference_floor": 0 < self.reference_floor < np.inf,
            "body_fraction": 0 < self.body_fraction < 1,
            "knee": 0 < self.knee < np.inf,
        }
        for name, kept in limits.items():
            if not kept:
                raise OptionError(
                    f"the normalisation's {name} of {getattr(self, name)} is out of range: correct its value"
                )

    def to_dict(self) -> dict[str, float]:
        """The fields as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Normalisation:
        """Read what `to_dict` wrote; OptionError for an unknown key or a value that is no number."""
        known = [field.name for field in fields(cls)]
        for key, value in values.items():
            if key not in known:
                nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
                raise OptionError(f"the normalisation has no key {key!r}: did you mean {nearest!r}?")
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise OptionError(f"the normalisation's {key} is {value!r}: give a number")
        return cls(**{key: float(value) for key, value in values.items()})


def body_mask(counts: NDArray[Any], normalisation: Normalisation | None = None) -> Mask:
    """Where the patient is in one image of counts (rows, cols), or in a sum of both views.

    Found on blocks of `BLOCK` pixels and given back at full resolution. The threshold follows the scan's own
    level; kept are the largest component and those of at least 3 % of its size (at low dose the legs come
    apart from the trunk). An empty image has an empty mask.
    """
    blocks = _block_means(np.maximum(counts, 0))
    top, left = _margins(counts.shape[0])[0], _margins(counts.shape[1])[0]
    mask = _body_blocks(blocks, normalisation or Normalisation())
    full = mask.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    return full[top : top + counts.shape[0], left : left + counts.shape[1]]


def skeletal_reference(counts: NDArray[Any], normalisation: Normalisation | None = None) -> float:
    """Counts per pixel of a typical bone of this scan: a high percentile over the body.

    counts: (views, rows, cols), the posterior view mirrored; views without a count are taken as missing.
    """
    normalisation = normalisation or Normalisation()
    blocks = np.stack([_block_means(np.maximum(view, 0)) for view in counts])
    blocks = blocks[blocks.any(axis=(1, 2))]
    if blocks.size == 0:
        return normalisation.reference_floor
    inside = blocks[:, _body_blocks(blocks.mean(axis=0), normalisation)]
    if inside.size == 0:
        return normalisation.reference_floor
    return max(float(np.percentile(inside, normalisation.reference_percentile)), normalisation.reference_floor)


def normalise(
    counts: NDArray[Any], normalisation: Normalisation | None = None, reference: float | None = None
) -> FloatImage:
    """Turn counts (views, rows, cols) into float32 of the same shape: 0 is no count, 1 is `reference`.

    reference: `skeletal_reference` of the whole frame where `counts` is a part of it; None: of `counts`.
    Negative counts (a signed export) are taken as none. Anscombe, Biometrika 35:246 (1948).
    """
    normalisation = normalisation or Normalisation()
    reference = skeletal_reference(counts, normalisation) if reference is None else reference
    offset = np.float32(np.sqrt(_ANSCOMBE))
    gain = np.float32(1.0 / (np.sqrt(reference + _ANSCOMBE) - np.sqrt(_ANSCOMBE)))
    image: FloatImage = np.maximum(counts, 0, dtype=np.float32)
    image += np.float32(_ANSCOMBE)
    np.sqrt(image, out=image)
    image -= offset
    image *= gain
    tail = image > normalisation.knee
    image[tail] = normalisation.knee + np.log1p(image[tail] - np.float32(normalisation.knee))
    return image


def denormalise(image: FloatImage, reference: float, normalisation: Normalisation) -> FloatImage:
    """The counts that `normalise` makes `image` of, float32 of the same shape: its inverse from 0 on."""
    knee = np.float32(normalisation.knee)
    offset = np.float32(np.sqrt(_ANSCOMBE))
    width = np.float32(np.sqrt(reference + _ANSCOMBE) - np.sqrt(_ANSCOMBE))
    root = np.maximum(image, 0, dtype=np.float32)
    tail = root > knee
    root[tail] = knee + np.expm1(root[tail] - knee)
    root *= width
    root += offset
    counts: FloatImage = np.maximum(root * root - np.float32(_ANSCOMBE), np.float32(0))
    return counts


def _margins(length: int) -> tuple[int, int]:
    """What to add before and after, so that blocks fill the axis; even where it can be, to stay symmetric."""
    missing = -length % BLOCK
    return missing // 2, missing - missing // 2


def _block_means(image: NDArray[Any]) -> FloatImage:
    """Means over blocks of BLOCK x BLOCK pixels; the image is continued by its edge to fill the last ones."""
    margins = (_margins(image.shape[0]), _margins(image.shape[1]))
    if any(sum(margin) for margin in margins):
        image = np.pad(image, margins, mode="edge")
    rows, cols = image.shape[0] // BLOCK, image.shape[1] // BLOCK
    # Rows first: their sum runs over contiguous memory, which makes the whole three times as fast.
    sums = image.astype(np.float32, copy=False).reshape(rows, BLOCK, cols * BLOCK).sum(axis=1)
    means: FloatImage = sums.reshape(rows, cols, BLOCK).sum(axis=2) / np.float32(BLOCK * BLOCK)
    return means


def _body_blocks(blocks: FloatImage, normalisation: Normalisation) -> Mask:
    """Mask of the blocks that show the patient, from their means (rows, cols)."""
    smooth = ndimage.gaussian_filter(blocks, 1.0, mode="nearest")
    mask = smooth > _body_threshold(smooth, normalisation)
    labels, number = ndimage.label(mask, structure=np.ones((3, 3)))
    if number == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept: Mask = (sizes >= max(1.0, _SHARE_OF_LARGEST * sizes.max()))[labels] & mask
    return kept


def _body_threshold(smooth: FloatImage, normalisation: Normalisation) -> float:
    """The fixed point of "body_fraction of the body's own reference", from above: it needs no absolute level."""
    threshold = float(np.sqrt(smooth).mean() ** 2)  # not the mean itself, which a hot injection site may own
    for _ in range(8):
        inside = smooth[smooth > threshold]
        if inside.size == 0:
            return threshold
        lower = normalisation.body_fraction * float(np.percentile(inside, normalisation.reference_percentile))
        if abs(lower - threshold) <= 0.02 * threshold:
            return lower
        threshold = lower
    return threshold
