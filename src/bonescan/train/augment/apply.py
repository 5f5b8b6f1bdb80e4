"""Apply one draw of augmentation to one case. Pure: the same parameters give the same sample.

What belongs to counting (warp, additions, thinning) happens on counts, before the normalisation; only the
change of tone comes after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.prepare import Normalisation, normalise
from bonescan.study import REGIONS, FloatImage, Mask, Region
from bonescan.train.augment.geometry import crop_case
from bonescan.train.augment.parameters import Blob, Parameters
from bonescan.train.cases import Case, drawn

_OTHER_TRACER = REGIONS.index(Region.OTHER_TRACER)
_COLD_SHARE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What the network sees of one case, and what it should say.

    image: float32 (2, h, w), normalised. lesions, regions: uint8 (2, h, w).
    labelled: which views' lesions count in the loss. region_views: which views' regions do.
    """

    image: FloatImage
    lesions: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    labelled: tuple[bool, bool]
    region_views: tuple[bool, bool]


def apply(case: Case, size: tuple[int, int], parameters: Parameters, normalisation: Normalisation) -> Sample:
    """Cut a crop of `size` (rows, cols) from the case and change it as drawn."""
    rng = np.random.default_rng(parameters.noise_seed)
    facts = case.facts
    counts, lesions, regions = crop_case(case, size, parameters)
    reference = facts.references[0]
    _cut_ends(counts, lesions, regions, parameters)
    _add_background(counts, reference, parameters, rng)
    if facts.has_regions:
        for view, blob in parameters.hot:
            _add_hot_spot(counts, regions, _channels(view), blob, reference, rng)
    _cover(counts, lesions, parameters)
    for view, gain in enumerate(parameters.gains):
        if gain != 1.0:
            counts[view] *= np.float32(gain)
    if parameters.blur_px > 0:
        for view in counts:
            ndimage.gaussian_filter(view, parameters.blur_px, output=view, mode="nearest", truncate=3.0)
    if parameters.dose < 1.0:
        counts = thin(counts, parameters.dose, rng)
    labelled, region_views = facts.labelled, (facts.has_regions, facts.has_regions)
    if parameters.missing is not None:
        counts[parameters.missing] = 0
        there = (parameters.missing != 0, parameters.missing != 1)
        labelled = (labelled[0] and there[0], labelled[1] and there[1])
        region_views = (region_views[0] and there[0], region_views[1] and there[1])
        reference = facts.references[2 - parameters.missing]
    reference = max(reference * parameters.dose * parameters.reference_gain, normalisation.reference_floor)
    image = normalise(counts, normalisation, reference)
    if parameters.gamma != 1.0:
        image **= np.float32(parameters.gamma)
    return Sample(image, lesions, regions, labelled, region_views)


def thin(counts: FloatImage, dose: float, rng: np.random.Generator) -> FloatImage:
    """Keep each count with probability `dose`: exactly the picture of a lower dose.

    Fractions that interpolation made are rounded up or down at random, so that the mean is kept.
    """
    whole = np.floor(counts + rng.random(counts.shape, dtype=np.float32)).astype(np.int32)
    kept = np.zeros_like(counts)
    some = whole > 0  # most of a frame is air
    kept[some] = rng.binomial(whole[some], dose)
    return kept


def _channels(view: int) -> tuple[int, ...]:
    return (0, 1) if view == 2 else (view,)


def _cut_ends(
    counts: FloatImage, lesions: NDArray[np.uint8], regions: NDArray[np.uint8], parameters: Parameters
) -> None:
    """The frame ends inside the patient: nothing was counted beyond, and there is nothing to find."""
    rows = counts.shape[1]
    first, last = round(parameters.cut[0] * rows), round(parameters.cut[1] * rows)
    for array in (counts, lesions, regions):
        array[:, :first] = 0
        array[:, last:] = 0


def _add_background(counts: FloatImage, reference: float, parameters: Parameters, rng: np.random.Generator) -> None:
    """Add a broad Gaussian of counts, with their own Poisson noise."""
    if parameters.background is None:
        return
    height, row, col, width = parameters.background
    rows, cols = counts.shape[1:]
    down = np.exp(-0.5 * ((np.arange(rows) / rows - row) / width) ** 2)
    across = np.exp(-0.5 * ((np.arange(cols) / cols - col) / width) ** 2)
    for view in counts:
        view += rng.poisson(height * reference * np.outer(down, across))


def _add_hot_spot(
    counts: FloatImage,
    regions: NDArray[np.uint8],
    channels: tuple[int, ...],
    blob: Blob,
    reference: float,
    rng: np.random.Generator,
) -> None:
    """Add a hot spot where it lies clear of the skeleton and of the organs; otherwise leave the picture alone."""
    rows, cols = counts.shape[1:]
    row, col = blob[0] * (rows - 1), blob[1] * (cols - 1)
    reach = int(np.ceil(3 * max(blob[2], blob[3]))) + 2
    window = (
        slice(max(0, round(row) - reach), round(row) + reach + 1),
        slice(max(0, round(col) - reach), round(col) + reach + 1),
    )
    if any(regions[channel][window].any() for channel in channels):
        return
    down = np.exp(-0.5 * ((np.arange(rows)[window[0]] - row) / blob[2]) ** 2)
    across = np.exp(-0.5 * ((np.arange(cols)[window[1]] - col) / blob[3]) ** 2)
    spot = np.outer(down, across)
    for channel in channels:
        counts[channel][window] += rng.poisson(blob[4] * reference * spot)
        if blob[4] >= 1.0:
            inside: Mask = spot > 0.4
            regions[channel][window][inside] = _OTHER_TRACER


def _cover(counts: FloatImage, lesions: NDArray[np.uint8], parameters: Parameters) -> None:
    """Weaken a sharp-edged rectangle, as metal on the body does; a lesion under it cannot be asked for."""
    if parameters.cold is None:
        return
    view, row, col, tall, wide = parameters.cold
    rows, cols = counts.shape[1:]
    window = (
        slice(round(row * rows), round((row + tall) * rows)),
        slice(round(col * cols), round((col + wide) * cols)),
    )
    counts[view][window] *= np.float32(_COLD_SHARE)
    hidden = np.unique(lesions[view][window])
    lesions[view][np.isin(lesions[view], hidden[drawn(hidden)])] = 0
