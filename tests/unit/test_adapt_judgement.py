"""The figures of a judgement by hand, and which patients are held out for it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from bonescan.adapt.judgement import free_response
from bonescan.adapt.plan import kept_aside
from bonescan.adapt.scans import ReadScan
from bonescan.lesions.delineate import Thresholds
from bonescan.prediction import Prediction
from bonescan.study import Scan, Study, View
from bonescan.train.calibrate import Judged


def judged(*blobs) -> Judged:
    """Blobs of (row, probability, is it a lesion) in the anterior view."""
    probability = {view: np.full((60, 40), 0.02, dtype=np.float32) for view in View}
    truth = {view: np.zeros((60, 40), dtype=np.uint8) for view in View}
    for number, (row, height, real) in enumerate(blobs, start=1):
        probability[View.ANTERIOR][row : row + 5, 10:15] = height
        truth[View.ANTERIOR][row : row + 5, 10:15] = number if real else 0
    maps = {view: np.zeros((60, 40), dtype=np.uint8) for view in View}
    return Judged(Prediction(probability, maps), truth)


def test_a_free_response_curve_by_hand():
    curve = free_response(
        [judged((5, 0.9, True), (20, 0.8, False), (35, 0.5, True)), judged((5, 0.7, False))], Thresholds(low=0.3)
    )
    assert curve.lesions == 2
    assert (curve.at(0.0), curve.at(0.5), curve.at(1.0)) == (0.5, 0.5, 1.0)


def test_a_fifth_of_the_patients_stays_aside_whole():
    def scan(number, patient):
        return ReadScan(
            number,
            f"s{number}",
            Study("s", {View.ANTERIOR: Scan(View.ANTERIOR, np.ones((4, 4)))}),
            patient,
            str(number),
        )

    five = kept_aside([scan(number, f"p{number}") for number in range(5)])
    assert len(five) == 2
    twenty = [scan(number, f"p{number // 2}") for number in range(40)]
    assert len(kept_aside(twenty)) == 4
    assert kept_aside(twenty) == kept_aside(twenty[::-1])
