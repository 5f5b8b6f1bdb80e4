"""Mirror, pair, window and normalisation: what must hold for every image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bonescan.prepare import PrepareOptions, Window, aggregate, from_pair, mirror, normalise, prepare, to_pair
from bonescan.study import Scan, Spacing, Study, View

SHAPES = st.tuples(st.integers(1, 80), st.integers(1, 60))
VIEWS = st.sampled_from([(View.ANTERIOR, View.POSTERIOR), (View.ANTERIOR,), (View.POSTERIOR,)])


@st.composite
def studies(draw):
    shape, views = draw(SHAPES), draw(VIEWS)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    level = draw(st.sampled_from([0.0, 0.2, 4.0, 300.0]))
    spacing = draw(st.sampled_from([None, Spacing(2.3, 2.3), Spacing(1.15, 1.15), Spacing(0.6, 0.6)]))
    return Study("s", {view: Scan(view, rng.poisson(level, shape).astype(np.float32)) for view in views}, spacing)


@st.composite
def studies_with_windows(draw):
    study = draw(studies())
    edges = [sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in study.shape]
    return study, Window(slice(*edges[0]), slice(*edges[1]))


@given(npst.arrays(np.int32, npst.array_shapes(min_dims=2, max_dims=4)))
def test_mirroring_twice_changes_nothing(image):
    np.testing.assert_array_equal(mirror(mirror(image)), image)


@given(npst.arrays(np.int16, (5, 7)), npst.arrays(np.int16, (5, 7)))
def test_the_sum_of_the_views_gives_either_view_back(anterior, posterior):
    total = aggregate(anterior.astype(np.int64), posterior.astype(np.int64))
    np.testing.assert_array_equal(mirror(total - anterior), posterior)
    np.testing.assert_array_equal(total - mirror(posterior.astype(np.int64)), anterior)


@given(studies())
def test_a_pair_comes_apart_into_its_views(study):
    pair = to_pair(study)
    frames = from_pair(pair.counts, study.shape, views=study.scans)
    assert frames.keys() == study.scans.keys()
    for view, frame in frames.items():
        np.testing.assert_array_equal(frame, study.counts(view))


@given(studies_with_windows())
def test_a_window_comes_back_where_it_was(case):
    study, window = case
    pair = to_pair(study, window)
    for view, frame in from_pair(pair.counts, study.shape, window, study.scans).items():
        inside = np.zeros(study.shape, dtype=bool)
        inside[window.slices] = True
        inside = inside[:, ::-1] if view is View.POSTERIOR else inside
        np.testing.assert_array_equal(frame, np.where(inside, study.counts(view), 0))


@settings(deadline=None)
@given(studies_with_windows(), st.booleans())
def test_prepared_goes_back_to_the_frames(case, whole):
    study, window = case
    prepared = prepare(study, PrepareOptions(window=None if whole else window))
    assert all(extent % 32 == 0 for extent in prepared.network_input.shape[1:])
    assert np.isfinite(prepared.network_input).all()
    frames = prepared.to_frames(prepared.network_input)
    assert frames.keys() == study.scans.keys()
    for view, frame in frames.items():
        assert frame.shape == study.shape
        if prepared.binning == 1:
            outside = prepared.window.slices
            expected = normalise(to_pair(study, prepared.window).counts, reference=prepared.reference)
            back = frame[:, ::-1] if view is View.POSTERIOR else frame
            np.testing.assert_array_equal(back[outside], expected[list(View).index(view)])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.4, 3.0, 20.0]))
def test_normalising_a_mirrored_pair_mirrors_the_result(seed, level):
    rate = np.full((2, 96, 64), 0.02)
    rate[:, 10:90, 15:50] = 1.0
    rate[1, 20:80, 28:34] = 4.0
    counts = np.random.default_rng(seed).poisson(level * rate).astype(np.float32)
    np.testing.assert_allclose(normalise(mirror(counts)), mirror(normalise(counts)), rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([6.0, 20.0, 60.0]))
def test_half_the_dose_changes_little_on_average(seed, level):
    rng = np.random.default_rng(seed)
    rate = np.full((2, 128, 64), 0.02)
    rate[:, 10:120, 10:54] = 1.0
    rate[:, 20:110, 28:36] = 3.0
    counts = rng.poisson(level * rate)
    half = rng.binomial(counts, 0.5)
    difference = (normalise(half) - normalise(counts)).mean()
    assert abs(difference) < 0.04
    bones = np.s_[:, 24:106, 30:34]
    assert abs(normalise(half)[bones].mean() - normalise(counts)[bones].mean()) < 0.05
