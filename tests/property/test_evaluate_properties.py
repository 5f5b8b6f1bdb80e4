"""Metrics are bounded and symmetric, and agree with scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage
from scipy.spatial.distance import cdist
from sklearn.metrics import f1_score, precision_score, recall_score

from bonescan.evaluate import Bootstrap, count_pixels, match_lesions, ratio

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@st.composite
def pairs(draw, most=1):
    shape = draw(SHAPES)
    pictures = npst.arrays(np.uint16, shape, elements=st.integers(0, most))
    return draw(pictures), draw(pictures)


@settings(deadline=None)
@given(pairs())
def test_pixel_metrics_agree_with_scikit_learn(pair):
    predicted, truth = (picture.ravel() for picture in pair)
    counts = count_pixels(*pair)
    assert counts.dsc == pytest.approx(f1_score(truth, predicted, zero_division=1.0))
    for ours, theirs in ((counts.cpa, precision_score), (counts.recall, recall_score)):
        expected = theirs(truth, predicted, zero_division=np.nan)
        assert (ours is None and np.isnan(expected)) or ours == pytest.approx(expected)


@given(pairs())
def test_dsc_is_symmetric_and_bounded_and_exchanges_cpa_and_recall(pair):
    there, back = count_pixels(*pair), count_pixels(*pair[::-1])
    assert there.dsc == back.dsc
    assert 0 <= there.dsc <= 1
    assert (there.cpa, there.recall) == (back.recall, back.cpa)


@given(pairs(most=4))
def test_matching_is_symmetric_and_agrees_with_a_plain_search(pair):
    predicted, truth = pair
    match, back = match_lesions(predicted, truth), match_lesions(truth, predicted)
    np.testing.assert_array_equal(match.touches, back.touches.T)
    np.testing.assert_array_equal(match.true_ids, np.unique(truth[truth > 0]))
    np.testing.assert_array_equal(match.predicted_px, [np.sum(predicted == i) for i in match.predicted_ids])
    if match.touches.size:
        centres = [
            ndimage.center_of_mass(np.ones_like(picture), picture, ids)
            for picture, ids in ((predicted, match.predicted_ids), (truth, match.true_ids))
        ]
        near = cdist(*map(np.array, centres)) <= 4 + 1e-12
        overlap = [[np.any((predicted == i) & (truth == j)) for j in match.true_ids] for i in match.predicted_ids]
        np.testing.assert_array_equal(match.touches, near | np.array(overlap))


@given(pairs(most=4))
def test_a_picture_finds_itself(pair):
    counts = match_lesions(pair[0], pair[0]).counts()
    assert counts.found == counts.true == counts.predicted == counts.correct


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=5, max_size=12))
def test_intervals_lie_within_the_patients_own_ratios(terms):
    over, under = np.array(terms, dtype=float).T
    estimate = ratio(np.minimum(over, under), under, Bootstrap(repeats=50))
    own = np.minimum(over, under) / under
    assert own.min() - 1e-9 <= estimate.low <= estimate.high <= own.max() + 1e-9
