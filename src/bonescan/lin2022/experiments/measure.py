"""Test one method on the test pairs of a data set: what it marks, how it compares, and how long it takes.

Every method is tested alike: pixels at a probability of 0.5, lesions as `delineate` outlines them at 0.5, and nothing
is fitted on test patients. Faint lesions are neither right nor wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.evaluate import ImageName, ViewTruth, compare_image, count_pixels
from bonescan.lesions.delineate import Outline, Thresholds, delineate
from bonescan.lin2022.experiments.results import UNION, ImageResult, packed_mask
from bonescan.prediction import Prediction
from bonescan.prepare import mirror
from bonescan.study import FloatImage, Mask, View
from bonescan.train.cases import FAINT, Case, drawn, union_truth

THRESHOLD = 0.5
THRESHOLDS = Thresholds(low=THRESHOLD, high=THRESHOLD)

Method = Callable[[Case], FloatImage]
"""Probability of lesion (2, rows, cols) of a case, the posterior mirrored."""

_EIGHT = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Tested:
    """What a method came to on the test pairs.

    images: each view, unless the method knows only both together, and the union of both views. seconds_per_image:
    median; two images a pair, or one where the method takes the views added. masks: of the lesions of the
    shown studies, study -> view -> packed mask, as acquired.
    """

    images: tuple[ImageResult, ...]
    seconds_per_image: float
    masks: dict[str, dict[str, str]]


def measure_method(
    method: Method, cases: Sequence[Case], *, aggregated: bool = False, shown: Sequence[str] = ()
) -> Tested:
    """Test on all cases. aggregated: it gives one answer for both views. shown: keys whose masks are kept."""
    images: list[ImageResult] = []
    seconds: list[float] = []
    masks: dict[str, dict[str, str]] = {}
    for case in cases:
        began = time.perf_counter()
        probability = method(case)
        seconds.append(time.perf_counter() - began)
        found = outlines_of(probability)
        if not aggregated:
            images += [_compare(case, probability, found, view) for view in View]
        images.append(_compare_union(case, probability))
        if case.facts.key in shown:
            shape = probability.shape[1:]
            masks[case.facts.key] = {str(view): packed_mask(_labels(found[view], shape) > 0) for view in View}
    return Tested(tuple(images), median(seconds) / (1 if aggregated else 2), masks)


def outlines_of(probability: FloatImage) -> dict[View, list[Outline]]:
    """The lesions of each view, in frames as acquired. probability: (2, rows, cols), the posterior mirrored."""
    frames = {View.ANTERIOR: probability[0], View.POSTERIOR: np.ascontiguousarray(mirror(probability[1]))}
    nowhere = {view: np.zeros(image.shape, dtype=np.uint8) for view, image in frames.items()}
    found = delineate(Prediction(frames, nowhere), THRESHOLDS)
    return {view: [outline for outline in found if outline.view is view] for view in View}


def choose_shown(cases: Sequence[Case]) -> tuple[str, ...]:
    """The studies that pictures show: of the test patients, one with the fewest lesions and the one with the most."""
    lesions = {case.facts.key: sum(_number(view) for view in case.lesions) for case in cases}
    ill = sorted((key for key, number in lesions.items() if number), key=lambda key: (lesions[key], key))
    return tuple(dict.fromkeys((*ill[:1], *ill[-1:])))


def true_masks(case: Case) -> dict[str, str]:
    """The drawn lesions of each view as packed masks, as acquired."""
    drawings = drawn(np.asarray(case.lesions))
    return {str(View.ANTERIOR): packed_mask(drawings[0]), str(View.POSTERIOR): packed_mask(mirror(drawings[1]))}


def _compare(case: Case, probability: FloatImage, found: dict[View, list[Outline]], view: View) -> ImageResult:
    channel = list(View).index(view)
    truth, likely = np.asarray(case.lesions[channel]), probability[channel] >= THRESHOLD
    if view is View.POSTERIOR:
        truth, likely = mirror(truth), mirror(likely)
    return _image(case, str(view), (likely, _labels(found[view], truth.shape)), truth)


def _compare_union(case: Case, probability: FloatImage) -> ImageResult:
    truth = union_truth(np.asarray(case.lesions))[0]
    numbers, _ = ndimage.label(drawn(truth), structure=_EIGHT)
    truth = np.where(truth == FAINT, FAINT, np.minimum(numbers, FAINT - 1)).astype(np.uint8)
    either = np.ascontiguousarray(probability.max(axis=0))
    found = outlines_of(np.stack([either, np.zeros_like(either)]))[View.ANTERIOR]
    return _image(case, UNION, (either >= THRESHOLD, _labels(found, truth.shape)), truth)


def _image(case: Case, view: str, marked: tuple[Mask, NDArray[np.int64]], truth: NDArray[np.uint8]) -> ImageResult:
    """Compare pixels and lesions of one image; `marked` are both, by pixel and as numbered lesions."""
    pixels, lesions = marked
    faint, true = truth == FAINT, np.where(drawn(truth), truth, 0)
    name = ImageName(case.facts.group, case.facts.key, View.ANTERIOR)  # whose it is does not matter here
    compared = compare_image(name, lesions, ViewTruth(true, None, faint))
    counted = count_pixels(pixels, true, faint)
    return ImageResult(case.facts.key, view, counted, compared.match.counts(), compared.on_faint)


def _labels(outlines: Sequence[Outline], shape: tuple[int, ...]) -> NDArray[np.int64]:
    labels = np.zeros(shape, dtype=np.int64)
    for number, outline in enumerate(outlines, start=1):
        labels[outline.window][outline.mask] = number
    return labels


def _number(lesions: NDArray[np.uint8]) -> int:
    return len(np.unique(lesions[drawn(lesions)]))
