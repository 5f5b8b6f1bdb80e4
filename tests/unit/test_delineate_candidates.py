"""Candidates: what a lower threshold would outline, beside the lesions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.drawn import RIBS, predict

from bonescan.lesions.contours import mask_of
from bonescan.lesions.delineate import MOST_CANDIDATES, Thresholds, candidates_below, delineate, outline_of
from bonescan.prediction import Prediction
from bonescan.study import Region, View


def test_candidates_are_what_a_lower_threshold_would_outline():
    probability = np.full((40, 40), 0.02, dtype=np.float32)
    for row, height in ((5, 0.95), (15, 0.6), (25, 0.3), (33, 0.08)):
        probability[row : row + 3, 10:14] = height
    regions = np.zeros((40, 40), dtype=np.uint8)
    prediction = Prediction({View.ANTERIOR: probability}, {View.ANTERIOR: regions})
    thresholds = Thresholds(low=0.5, high=0.9)
    lesions = delineate(prediction, thresholds)
    assert len(lesions) == 1
    found = candidates_below(prediction, thresholds, lesions)
    assert [(round(one.peak, 2), one.area_px) for one in found] == [(0.6, 12), (0.3, 12)]
    # At a threshold of its peak, a candidate is a lesion.
    assert len(delineate(prediction, Thresholds(low=0.25, high=found[1].peak))) == 3


def test_a_candidate_is_measured_from_the_lower_threshold_on():
    probability = np.zeros((9, 20), dtype=np.float32)
    probability[4, 4:8] = [0.125, 0.25, 0.5, 0.0625]
    regions = np.full(probability.shape, RIBS, dtype=np.uint8)
    prediction = Prediction({View.POSTERIOR: probability}, {View.POSTERIOR: regions})
    for low, area, mean in ((0.7, 3, 0.875 / 3), (0.05, 4, 0.9375 / 4)):
        thresholds = Thresholds(low=low, high=0.75, min_area_px=1)
        (found,) = candidates_below(prediction, thresholds, ())
        assert (found.view, found.area_px, found.peak, found.region) == (View.POSTERIOR, area, 0.5, Region.RIBS)
        assert found.probability == pytest.approx(mean)
        assert mask_of(found.contour, probability.shape).sum() == area


def test_the_outline_of_a_candidate_is_that_of_the_lower_threshold():
    probability = np.zeros((12, 20), dtype=np.float32)
    probability[4, 4:9], probability[5, 6:8] = 0.25, 0.5  # wider than high, and no rectangle
    prediction = predict(anterior=probability)
    thresholds = Thresholds(low=0.7, high=0.75, min_area_px=1)
    (candidate,) = candidates_below(prediction, thresholds, ())
    (lesion,) = delineate(prediction, replace(thresholds, low=0.1, high=0.1))
    made = outline_of(candidate, probability.shape)
    assert (made.view, made.origin, made.region, made.probability) == (
        View.ANTERIOR, (4, 4), Region.RIBS, lesion.probability,
    )  # fmt: skip
    assert np.array_equal(made.mask, lesion.mask)
    assert np.array_equal(made.contour, lesion.contour)


def test_what_shares_a_pixel_with_a_lesion_is_no_candidate_and_hides_none():
    probability = np.full((30, 20), 0.02, dtype=np.float32)
    probability[3:8, 3:8] = 0.3
    probability[4:7, 4:7] = 0.95  # a lesion with a faint rim
    probability[20:23, 10:13] = 0.3
    regions = np.full(probability.shape, RIBS, dtype=np.uint8)
    prediction = Prediction({View.ANTERIOR: probability}, {View.ANTERIOR: regions})
    thresholds = Thresholds(low=0.5, high=0.9)
    lesions = delineate(prediction, thresholds)
    assert [outline.mask.sum() for outline in lesions] == [9]
    (found,) = candidates_below(prediction, thresholds, lesions)
    assert (found.area_px, round(found.peak, 2)) == (9, 0.3)


def test_only_the_200_candidates_of_the_highest_peaks_are_kept():
    probability = np.zeros((61, 61), dtype=np.float32)
    peaks = np.linspace(0.15, 0.55, 225).astype(np.float32)
    probability[1::4, 1::4][:15, :15] = peaks.reshape(15, 15)
    regions = np.full(probability.shape, RIBS, dtype=np.uint8)
    prediction = Prediction({View.ANTERIOR: probability}, {View.ANTERIOR: regions})
    found = candidates_below(prediction, Thresholds(min_area_px=1), ())
    assert MOST_CANDIDATES == 200
    assert [one.peak for one in found] == peaks[::-1][:200].tolist()
