"""One scan judged by evaluation, calibration, validation during training and experiments: the same figures."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bonescan.evaluate import ImageName, LesionCounts, PixelCounts, ViewTruth, compare_image  # noqa: E402
from bonescan.lesions.delineate import Thresholds, delineate  # noqa: E402
from bonescan.lin2022.experiments.measure import THRESHOLDS, measure_method  # noqa: E402
from bonescan.models import Answer  # noqa: E402
from bonescan.prepare import mirror  # noqa: E402
from bonescan.study import View  # noqa: E402
from bonescan.train.calibrate import QUICK, judge, measure, quick_figures  # noqa: E402
from bonescan.train.cases import FAINT, Case, CaseFacts, drawn  # noqa: E402
from bonescan.train.config import TrainConfig  # noqa: E402

SHAPE = (2, 64, 64)
LESION = (slice(4, 9), slice(4, 9))
BESIDE = (slice(4, 9), slice(9, 19))
FAINT_ALONE = (slice(20, 26), slice(4, 10))
TWO_LESIONS = ((slice(40, 45), slice(4, 9)), (slice(40, 45), slice(11, 16)))
ONE_BLOB = (slice(40, 45), slice(4, 16))
FALSE = (slice(50, 55), slice(50, 55))


class Tells(torch.nn.Module):
    """Says what it was given to say, and sees no regions."""

    def __init__(self, probability):
        super().__init__()
        self.logits = torch.logit(torch.from_numpy(probability))[None]

    def forward(self, counts):
        return Answer(self.logits, None)


@pytest.fixture
def scan():
    """A hit that also covers equivocal pixels, a mark on such alone, a blob over two lesions, and a false one."""
    truth, probability = np.zeros(SHAPE, np.uint8), np.full(SHAPE, 0.02, np.float32)
    for number, place in enumerate((LESION, *TWO_LESIONS), start=1):
        truth[0][place] = number
    truth[1][LESION] = 4  # missed
    for place in (BESIDE, FAINT_ALONE):
        truth[0][place] = FAINT
    for place in (LESION, BESIDE, FAINT_ALONE, ONE_BLOB, FALSE):
        probability[0][place] = 0.9
    facts = CaseFacts("p/s", "p", (5.0, 5.0, 5.0), (0, 64), ())
    return Case(np.full(SHAPE, 5, np.uint16), truth, np.zeros(SHAPE, np.uint8), facts), probability


LESIONS = LesionCounts(true=4, found=2, predicted=3, correct=2)
PIXELS = PixelCounts(true_positive=25 + 50, false_positive=10 + 25, false_negative=25)


def evaluated(case, outlines):
    """The images that `bonescan evaluate` compares."""
    images = []
    for view in View:
        truth, numbers = np.asarray(case.lesions[list(View).index(view)]), np.zeros(SHAPE[1:], np.int64)
        truth = truth if view is View.ANTERIOR else mirror(truth)
        for number, outline in enumerate((one for one in outlines if one.view is view), start=1):
            numbers[outline.window][outline.mask] = number
        known = ViewTruth(np.where(drawn(truth), truth, 0), None, truth == FAINT)
        images.append(compare_image(ImageName("p", "s", view), numbers, known))
    return images


def test_every_judge_has_the_same_figures(scan):
    case, probability = scan
    network, config = Tells(probability), TrainConfig(bf16=False)
    images = evaluated(case, delineate(judge(network, case, config).prediction, THRESHOLDS))
    assert sum((image.match.counts() for image in images), LesionCounts()) == LESIONS
    assert sum((image.pixels for image in images), PixelCounts()) == PIXELS
    assert [image.on_faint for image in images] == [1, 0]

    assert QUICK == THRESHOLDS
    figures = measure([judge(network, case, config)], QUICK)
    assert (figures.lesions, figures.sensitivity) == (LESIONS.true, LESIONS.sensitivity)
    assert (figures.precision, figures.false_per_scan) == (LESIONS.precision, LESIONS.false_positives)
    assert (figures.on_faint_per_scan, figures.dice) == (1, PIXELS.dsc)

    assert quick_figures(network, [case], config) == {
        "dice": PIXELS.dsc,
        "sensitivity": LESIONS.sensitivity,
        "false_per_scan": LESIONS.false_positives,
    }

    views = measure_method(lambda case: probability, [case]).images[:2]
    assert sum((image.lesions for image in views), LesionCounts()) == LESIONS
    assert sum((image.pixels for image in views), PixelCounts()) == PIXELS
    assert [image.on_faint for image in views] == [1, 0]


def test_a_piece_below_the_least_area_is_no_finding_while_training(scan):
    case, _ = scan
    probability = np.full(SHAPE, 0.02, np.float32)
    probability[0, 5, 5:8] = probability[0, 60, 5:8] = 0.9
    figures = quick_figures(Tells(probability), [case], TrainConfig(bf16=False))
    assert (figures["dice"], figures["sensitivity"], figures["false_per_scan"]) == (0, 0, 0)


def test_calibration_measures_the_outlines_that_are_shipped(scan):
    """A peak below the upper threshold beside one above it is part of the same lesion, not a candidate of its own."""
    case, _ = scan
    probability = np.full(SHAPE, 0.02, np.float32)
    probability[0, 4:9, 4:26] = 0.3
    probability[0, 4:9, 4:9], probability[0, 4:9, 21:26] = 0.95, 0.6
    thresholds = Thresholds(low=0.25, high=0.8)
    judged = judge(Tells(probability), case, TrainConfig(bf16=False))
    images = evaluated(case, delineate(judged.prediction, thresholds))
    pixels = sum((image.pixels for image in images), PixelCounts())
    assert pixels == PixelCounts(true_positive=25, false_positive=7 * 5, false_negative=75)
    assert measure([judged], thresholds).dice == pixels.dsc
