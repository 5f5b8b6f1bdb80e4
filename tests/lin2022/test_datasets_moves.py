"""Moves and aggregated pairs by hand, and the draws of small moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bonescan.errors import OptionError
from bonescan.lin2022.datasets import Move, MoveLimits, Planes, aggregate_pair, apply_move, sample_move
from bonescan.prepare import mirror
from bonescan.train.cases import FAINT

MARGIN = 22
EDGE = 256 + 2 * MARGIN
MOVES = st.builds(
    Move,
    flip=st.booleans(),
    rotation_deg=st.floats(-5, 5).map(lambda angle: round(angle, 3)),
    shift_rows_px=st.integers(-6, 6),
    shift_cols_px=st.integers(-6, 6),
    rounding_seed=st.integers(0, 2**32 - 1),
)


def planes_with(*spots, counts=100, number=1):
    """Planes that are empty but for single pixels (view, row, col) of the window."""
    pair = np.zeros((2, EDGE, EDGE), dtype=np.uint16)
    for view, row, col in spots:
        pair[view, row + MARGIN, col + MARGIN] = counts
    return Planes(pair, np.where(pair > 0, number, 0).astype(np.uint8), (pair > 0).astype(np.uint8))


def blocks(seed=0):
    """Planes with a large block in each view, hot where it is a lesion."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((2, EDGE, EDGE), dtype=np.uint16)
    lesions = np.zeros((2, EDGE, EDGE), dtype=np.uint8)
    for view in range(2):
        row, col = rng.integers(60, EDGE - 100, 2)
        block = (view, slice(row, row + 30), slice(col, col + 40))
        counts[block], lesions[block] = 1000, view + 1
    return Planes(counts, lesions, lesions)


def places(mask):
    return [tuple(place) for place in np.argwhere(mask).tolist()]


class TestMove:
    def test_no_move_cuts_the_middle_exactly(self):
        rng = np.random.default_rng(1)
        counts = rng.integers(0, 60000, (2, EDGE, EDGE)).astype(np.uint16)
        window = apply_move(Planes(counts, np.zeros(counts.shape, np.uint8)), Move())
        assert np.array_equal(window.counts, counts[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
        assert window.counts.dtype == np.uint16
        assert window.lesions.dtype == np.uint8
        assert window.regions is None

    def test_a_shift_goes_down_and_to_the_right(self):
        moved = apply_move(planes_with((0, 100, 50), (1, 100, 50)), Move(shift_rows_px=3, shift_cols_px=-2))
        assert places(moved.counts) == [(0, 103, 48), (1, 103, 48)]
        assert np.array_equal(moved.counts > 0, moved.lesions > 0)

    def test_a_rotation_is_clockwise_as_displayed_and_about_the_middle(self):
        # Half a pixel above and 9.5 right of the middle: after a quarter turn 9.5 below and half a pixel right of it.
        moved = apply_move(planes_with((0, 127, 137)), Move(rotation_deg=90.0))
        assert places(moved.lesions) == [(0, 137, 128)]
        assert moved.counts[0, 137, 128] == pytest.approx(100, abs=1)

    def test_a_turned_pair_is_then_shifted(self):
        moved = apply_move(planes_with((0, 127, 137)), Move(rotation_deg=90.0, shift_rows_px=4, shift_cols_px=1))
        assert places(moved.lesions) == [(0, 141, 129)]

    def test_a_flip_comes_last_and_exchanges_left_and_right_of_both_views(self):
        moved = apply_move(planes_with((0, 100, 50), (1, 20, 255)), Move(flip=True, shift_cols_px=-5))
        assert places(moved.counts) == [(0, 100, 255 - 45), (1, 20, 255 - 250)]

    @settings(max_examples=15)
    @given(MOVES)
    def test_a_flip_conserves_the_counts_and_is_its_own_inverse(self, move):
        straight, flipped = (apply_move(blocks(), replace(move, flip=flip)) for flip in (False, True))
        assert flipped.counts.sum() == straight.counts.sum()
        for one, other in zip(
            (straight.counts, straight.lesions, straight.regions),
            (flipped.counts, flipped.lesions, flipped.regions),
            strict=True,
        ):
            assert np.array_equal(one, mirror(other))

    @settings(max_examples=15)
    @given(MOVES, st.integers(0, 20))
    def test_truth_moves_with_the_counts(self, move, seed):
        moved = apply_move(blocks(seed), move)
        for view in range(2):
            lesion = moved.lesions[view] > 0
            assert lesion.any()
            assert (moved.counts[view][ndimage.binary_erosion(lesion, iterations=2)] >= 999).all()
            assert not moved.counts[view][~ndimage.binary_dilation(lesion, iterations=2)].any()
        assert np.array_equal(moved.lesions, moved.regions)

    @settings(max_examples=15)
    @given(MOVES)
    def test_both_views_move_alike(self, move):
        planes = blocks()
        same = Planes(np.stack([planes.counts[0]] * 2), np.stack([planes.lesions[0]] * 2))
        moved = apply_move(same, move)
        assert np.array_equal(*moved.lesions)
        assert abs(moved.counts[0].astype(int) - moved.counts[1]).max() <= 1  # each rounds by itself

    def test_rounding_keeps_the_mean_of_few_counts(self):
        rng = np.random.default_rng(2)
        counts = rng.poisson(0.4, (2, EDGE, EDGE)).astype(np.uint16)
        moved = apply_move(Planes(counts, np.zeros(counts.shape, np.uint8)), Move(rotation_deg=3.0, rounding_seed=5))
        assert moved.counts.mean() == pytest.approx(counts.mean(), abs=0.01)

    def test_the_same_draw_gives_the_same_pair_and_another_rounding_another(self):
        noise = np.random.default_rng(3).poisson(9, (2, EDGE, EDGE)).astype(np.uint16)
        planes = Planes(noise, np.zeros(noise.shape, np.uint8))
        move = Move(rotation_deg=2.0, rounding_seed=1)
        assert np.array_equal(apply_move(planes, move).counts, apply_move(planes, move).counts)
        assert not np.array_equal(
            apply_move(planes, move).counts, apply_move(planes, replace(move, rounding_seed=2)).counts
        )

    def test_a_lesion_that_leaves_the_window_leaves_the_truth_and_what_is_left_of_it_is_faint(self):
        lesions = np.zeros((2, EDGE, EDGE), dtype=np.uint8)
        lesions[0, MARGIN : MARGIN + 2, 100:103] = 1  # six pixels in the window's first two rows
        lesions[0, MARGIN + 50, 100:103] = 2  # three pixels, as somebody drew them
        planes = Planes(np.zeros(lesions.shape, np.uint16), lesions)
        assert (apply_move(planes, Move()).lesions == 1).sum() == 6
        half_out = apply_move(planes, Move(shift_rows_px=-1)).lesions
        assert ((half_out == FAINT).sum(), (half_out == 1).sum(), (half_out == 2).sum()) == (3, 0, 3)
        assert not apply_move(planes, Move(shift_rows_px=-2)).lesions[:, :5].any()

    def test_a_lesion_that_comes_into_the_window_joins_the_truth(self):
        lesions = np.zeros((2, EDGE, EDGE), dtype=np.uint8)
        lesions[1, MARGIN - 4 : MARGIN, 100:103] = 7
        planes = Planes(np.zeros(lesions.shape, np.uint16), lesions)
        assert not apply_move(planes, Move()).lesions.any()
        assert (apply_move(planes, Move(shift_rows_px=4)).lesions == 7).sum() == 12

    @settings(max_examples=15)
    @given(MOVES)
    def test_faint_stays_faint_and_nothing_is_interpolated_between_numbers(self, move):
        planes = blocks()
        lesions = np.where(planes.lesions == 1, FAINT, planes.lesions)
        moved = apply_move(replace(planes, lesions=lesions), move)
        assert set(np.unique(moved.lesions[0])) == {0, FAINT}
        assert set(np.unique(moved.lesions[1])) == {0, 2}

    @settings(max_examples=15)
    @given(MOVES)
    def test_a_move_within_its_limits_stays_on_the_margin(self, move):
        reach = MoveLimits().reach_px
        full = np.ones((2, 256 + 2 * reach, 256 + 2 * reach), dtype=np.uint16)
        assert apply_move(Planes(full * 10, full.astype(np.uint8)), move).lesions.all()


class TestSampling:
    def test_draws_keep_to_their_limits_and_differ(self):
        limits = MoveLimits(rotation_deg=5, shift_px=6)
        moves = [sample_move(np.random.default_rng(seed), limits) for seed in range(300)]
        assert max(abs(move.rotation_deg) for move in moves) <= 5
        assert {move.shift_rows_px for move in moves} == set(range(-6, 7))
        assert {move.shift_cols_px for move in moves} == set(range(-6, 7))
        assert 100 < sum(move.flip for move in moves) < 200
        assert len(set(moves)) == 300

    def test_one_probability_does_not_change_the_other_draws(self):
        one, other = (sample_move(np.random.default_rng(4), MoveLimits(flip=flip)) for flip in (0.0, 1.0))
        assert replace(one, flip=True) == other

    @pytest.mark.parametrize("limits", [{"rotation_deg": 60.0}, {"shift_px": -1}, {"flip": 1.5}])
    def test_limits_that_are_none_are_refused(self, limits):
        with pytest.raises(OptionError, match="no small moves"):
            MoveLimits(**limits)


def test_an_aggregated_truth_is_the_union_and_faint_where_only_faint():
    lesions = np.array([[[1, 0, FAINT, FAINT, 0]], [[0, 2, 3, 0, 0]]], dtype=np.uint8)
    counts = np.array([[[60000, 1, 2, 3, 4]], [[60000, 10, 20, 30, 40]]], dtype=np.uint16)
    total, truth = aggregate_pair(counts, lesions)
    assert total.tolist() == [[120000, 11, 22, 33, 44]]
    assert truth.tolist() == [[1, 1, 1, FAINT, 0]]
