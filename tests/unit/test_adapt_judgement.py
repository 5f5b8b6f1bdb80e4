"""The figures of a judgement by hand."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.judged import A, judged

from bonescan.adapt.judgement import free_response
from bonescan.lesions.delineate import Thresholds

LOW = Thresholds(low=0.3)


def test_a_free_response_curve_by_hand():
    patients = [judged((A, 5, 0.9, True), (A, 20, 0.8, False), (A, 35, 0.5, True)), judged((A, 5, 0.7, False))]
    curve = free_response(patients, LOW)
    assert curve.lesions == 2
    assert [(point.false_per_scan, point.sensitivity) for point in curve.points] == [
        (0.0, 0.0),
        (0.0, 0.5),
        (0.5, 0.5),
        (1.0, 0.5),
        (1.0, 1.0),
    ]
    assert (curve.at(0.0), curve.at(0.5), curve.at(1.0)) == (0.5, 0.5, 1.0)


def test_a_curve_has_a_point_at_every_score():
    heights = [round(0.31 + number / 250, 4) for number in range(150)]
    curve = free_response([judged((A, 5, height, number % 2 > 0)) for number, height in enumerate(heights)], LOW)
    assert len(curve.points) == 1 + len(heights)
    assert curve.at(1 / 150) == 2 / 75  # one false candidate, and the lesions of the two peaks above the next one
