"""Apply one draw of augmentation to one case. Pure: the same parameters give the same sample.

For a case of expected counts the order is that of a scan. Warp, texture, additions, the frame's end, metal, gains, blur
and dose change the expected counts. Then counts are drawn. The scanner's filter, the normalisation and the change of
tone come last. So the noise of a sample is always that of a scan.

A case of counts is noisy already. Additions are drawn by themselves and added, and a lower dose is drawn binomially;
both are exact. A warp takes the nearest pixel, which keeps the noise. Blur and gains change the noise as well, which
differs from a scanner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.prepare import Normalisation, normalise
from bonescan.study import REGIONS, FloatImage, Mask, Region
from bonescan.train.augment.geometry import Planes, crop_case
from bonescan.train.augment.parameters import Blob, Parameters
from bonescan.train.cases import FAINT, Case, drawn

_OTHER_TRACER = REGIONS.index(Region.OTHER_TRACER)
_ARMS = [
    REGIONS.index(region)
    for region in (
        Region.CLAVICLE,
        Region.SCAPULA,
        Region.ARM,
        Region.HUMERUS,
        Region.FOREARM,
        Region.HAND,
    )
]
_CLEAR_OF_ARMS_PX = 16
_COLD_SHARE = 0.25
_MOSTLY = 0.5

ViewFlags = tuple[bool, bool]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One input of the network, and its targets.

    image: float32 (2, h, w), normalised. lesions, regions, benign, levels: uint8 (2, h, w).
    labelled: which views' lesions count in the loss. region_views, benign_views, level_views: which views' regions,
    benign findings and levels do.
    """

    image: FloatImage
    lesions: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    labelled: ViewFlags
    region_views: ViewFlags
    benign: NDArray[np.uint8] | None = None
    levels: NDArray[np.uint8] | None = None
    benign_views: ViewFlags = (False, False)
    level_views: ViewFlags = (False, False)


def apply(case: Case, size: tuple[int, int], parameters: Parameters, normalisation: Normalisation) -> Sample:
    """Cut a crop of `size` (rows, cols) from the case and augment it by the parameters."""
    rng = np.random.default_rng(parameters.noise_seed)
    planes = crop_case(case, size, parameters)
    if case.expected and parameters.mottle[0] > 0:
        np.multiply(planes.image, texture(planes.image.shape, parameters), out=planes.image)
    added = _additions(planes, parameters, case)
    if added is not None:
        np.add(planes.image, added if case.expected else rng.poisson(added), out=planes.image, casting="unsafe")
    _cut_ends(planes, parameters)
    _cover(planes, parameters)
    for view, gain in enumerate(parameters.gains):
        if gain != 1.0:
            planes.image[view] *= np.float32(gain)
    if parameters.blur_px > 0:
        _smooth(planes.image, parameters.blur_px)
    counts = count(planes.image, parameters.dose, case.expected, rng)
    if parameters.smoothed_px > 0:
        _smooth(counts, parameters.smoothed_px)
        np.rint(counts, out=counts)
    there = (parameters.missing != 0, parameters.missing != 1)
    reference = case.facts.references[0]
    if parameters.missing is not None:
        counts[parameters.missing] = 0
        reference = case.facts.references[2 - parameters.missing]
    reference = max(reference * parameters.dose * parameters.reference_gain, normalisation.reference_floor)
    image = normalise(counts, normalisation, reference)
    if parameters.gamma != 1.0:
        image **= np.float32(parameters.gamma)

    def known(views: ViewFlags) -> ViewFlags:
        return views[0] and there[0], views[1] and there[1]

    return Sample(
        image=image,
        lesions=planes.lesions,
        regions=planes.regions,
        labelled=known(case.facts.labelled),
        region_views=known((case.facts.has_regions,) * 2),
        benign=planes.benign,
        levels=planes.levels,
        benign_views=known((case.benign is not None,) * 2),
        level_views=known((case.levels is not None,) * 2),
    )


def texture(shape: tuple[int, ...], parameters: Parameters) -> FloatImage:
    """A positive random texture (views, rows, cols) whose logarithm has mean 0 and the asked for strength and scale."""
    strength, pixels = parameters.mottle
    rng = np.random.default_rng([parameters.noise_seed, 1])
    made = rng.standard_normal(shape, dtype=np.float32)
    _smooth(made, pixels)
    made *= strength / max(float(made.std()), 1e-6)
    return np.exp(made)


def count(image: FloatImage, dose: float, expected: bool, rng: np.random.Generator) -> FloatImage:
    """Counts at a share of the dose, float32: a Poisson draw of expected counts, or a thinning of counts."""
    if not expected:
        return image if dose == 1.0 else thin(image, dose, rng)
    return rng.poisson(image * np.float32(dose)).astype(np.float32)


def thin(counts: FloatImage, dose: float, rng: np.random.Generator) -> FloatImage:
    """Keep each count with probability `dose`: exactly the picture of a lower dose.

    Fractions that gains and blur made are rounded up or down at random, so that the mean is kept.
    """
    whole = np.floor(counts + rng.random(counts.shape, dtype=np.float32)).astype(np.int32)
    kept = np.zeros_like(counts)
    some = whole > 0  # most of a frame is air
    kept[some] = rng.binomial(whole[some], dose)
    return kept


def _smooth(image: FloatImage, sigma: float) -> None:
    for view in image:
        ndimage.gaussian_filter(view, sigma, output=view, mode="nearest", truncate=3.0)


def _cut_ends(planes: Planes, parameters: Parameters) -> None:
    """End the frame inside the patient: beyond it there are no counts and no lesions."""
    rows = planes.image.shape[1]
    first, last = round(parameters.cut[0] * rows), round(parameters.cut[1] * rows)
    for plane in planes:
        plane[:, :first] = 0
        plane[:, last:] = 0


def _additions(planes: Planes, parameters: Parameters, case: Case) -> FloatImage | None:
    """Expected counts (2, rows, cols) of haze and of hot spots outside the skeleton; None where there are none.

    A view that is absent stays empty, as it is in a prediction.
    """
    hot = parameters.hot if case.facts.has_regions else ()
    if parameters.background is None and not hot:
        return None
    reference = case.facts.references[0]
    added = np.zeros_like(planes.image)
    if parameters.background is not None:
        height, row, col, width = parameters.background
        rows, cols = added.shape[1:]
        down = np.exp(-0.5 * ((np.arange(rows) / rows - row) / width) ** 2)
        across = np.exp(-0.5 * ((np.arange(cols) / cols - col) / width) ** 2)
        added += (height * reference * np.outer(down, across)).astype(np.float32)
    there = [bool(view.any()) for view in case.image]
    added[~np.array(there)] = 0
    for view, blob in hot:
        channels = [channel for channel in range(2) if there[channel] and view in (channel, 2)]
        _add_hot_spot(added, planes.regions, channels, blob, reference)
    return added


def _add_hot_spot(
    added: FloatImage, regions: NDArray[np.uint8], channels: Sequence[int], blob: Blob, reference: float
) -> None:
    """Add a hot spot where it lies clear of skeleton, organs and arms; otherwise leave the picture alone."""
    rows, cols = added.shape[1:]
    row, col = blob[0] * (rows - 1), blob[1] * (cols - 1)
    reach = int(np.ceil(3 * max(blob[2], blob[3]))) + 2
    window = _window(row, col, reach)
    if any(regions[channel][window].any() for channel in channels):
        return
    # Beside a shoulder or along an arm a hot spot is as often a lesion: the network must not decide by place there.
    near = _window(row, col, reach + _CLEAR_OF_ARMS_PX)
    if blob[4] >= 1.0 and any(np.isin(regions[channel][near], _ARMS).any() for channel in channels):
        return
    down = np.exp(-0.5 * ((np.arange(rows)[window[0]] - row) / blob[2]) ** 2)
    across = np.exp(-0.5 * ((np.arange(cols)[window[1]] - col) / blob[3]) ** 2)
    spot = np.outer(down, across)
    for channel in channels:
        added[channel][window] += (blob[4] * reference * spot).astype(np.float32)
        if blob[4] >= 1.0:
            inside: Mask = spot > 0.4
            regions[channel][window][inside] = _OTHER_TRACER


def _window(row: float, col: float, reach: int) -> tuple[slice, slice]:
    return (
        slice(max(0, round(row) - reach), max(0, round(row) + reach + 1)),
        slice(max(0, round(col) - reach), max(0, round(col) + reach + 1)),
    )


def _cover(planes: Planes, parameters: Parameters) -> None:
    """Weaken a sharp-edged rectangle, as metal on the body does.

    Lesion pixels under it are ignored. A lesion that is mostly covered is ignored as a whole; otherwise its visible
    part stays a lesion.
    """
    if parameters.cold is None:
        return
    view, row, col, tall, wide = parameters.cold
    rows, cols = planes.image.shape[1:]
    window = (
        slice(round(row * rows), round((row + tall) * rows)),
        slice(round(col * cols), round((col + wide) * cols)),
    )
    planes.image[view][window] *= np.float32(_COLD_SHARE)
    lesions = planes.lesions[view]
    before = np.bincount(lesions.ravel(), minlength=FAINT + 1)
    covered = np.bincount(lesions[window].ravel(), minlength=FAINT + 1)
    lesions[window][drawn(lesions[window])] = FAINT
    hidden = np.flatnonzero((covered > _MOSTLY * before) & (before > 0))
    lesions[np.isin(lesions, hidden[hidden > 0])] = FAINT
    planes.benign[view][window] = 0
