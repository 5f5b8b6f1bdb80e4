"""The figures of a judgement by hand."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.judged import A, judged

from bonescan.adapt.judgement import free_response
from bonescan.lesions.delineate import Thresholds


def test_a_free_response_curve_by_hand():
    patients = [judged((A, 5, 0.9, True), (A, 20, 0.8, False), (A, 35, 0.5, True)), judged((A, 5, 0.7, False))]
    curve = free_response(patients, Thresholds(low=0.3))
    assert curve.lesions == 2
    assert (curve.at(0.0), curve.at(0.5), curve.at(1.0)) == (0.5, 0.5, 1.0)
