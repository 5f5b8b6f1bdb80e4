"""Views that were given the wrong way round raise an alarm, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bonescan.prepare import order, prepare, to_pair
from bonescan.study import Scan, View

RESULTS = Path(__file__).parents[2] / "results" / "view_order.json"


@pytest.fixture(scope="module")
def studies(patient_of):
    return [patient_of(body, seed).study for seed in range(2) for body in range(2)]


def exchanged(study):
    """The same files with the views named the wrong way round."""
    front, back = study.counts(View.ANTERIOR), study.counts(View.POSTERIOR)
    return replace(study, scans={View.ANTERIOR: Scan(View.ANTERIOR, back), View.POSTERIOR: Scan(View.POSTERIOR, front)})


def test_only_exchanged_views_are_warned_about(studies):
    for study in studies:
        assert order.EXCHANGED not in prepare(study).warnings
        assert order.EXCHANGED in prepare(exchanged(study)).warnings


def test_an_exchange_turns_the_sign(studies):
    pair = to_pair(studies[0]).counts
    np.testing.assert_allclose(order.order_features(pair[::-1]), -order.order_features(pair))
    assert order.order_score(pair[::-1]) == pytest.approx(-order.order_score(pair))


def test_the_dose_and_finer_pixels_change_nothing_much(studies):
    pair = to_pair(studies[1]).counts
    score = order.order_score(pair)
    fine = pair.repeat(2, axis=1).repeat(2, axis=2) / 4
    assert order.order_score(fine) == pytest.approx(score, abs=0.5)
    assert order.order_score(pair * 3) == pytest.approx(score, abs=0.5)


def test_one_view_or_a_part_of_the_body_says_nothing(studies):
    study = studies[0]
    alone = replace(study, scans={View.ANTERIOR: study.scans[View.ANTERIOR]})
    assert order.order_score(to_pair(alone).counts) is None
    assert order.order_score(to_pair(study).counts[:, 150:400]) is None
    assert order.order_score(np.zeros((2, 64, 64), dtype=np.float32)) is None


def test_the_weights_are_those_that_the_benchmark_measured():
    report = json.loads(RESULTS.read_text())
    assert order.WEIGHTS.tolist() == report["weights"]
    assert report["least_score"] == order.LEAST_SCORE
    for name in ("standard", "held-out"):
        assert report[name]["false_alarms"] <= 0.01 * report[name]["scans"]
