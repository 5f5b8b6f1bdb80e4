"""Where lesions that touch are split, and where one lesion stays whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.drawn import predict

from bonescan.lesions.delineate import Thresholds, delineate

UNSMOOTHED = Thresholds(low=0.125, high=0.75, min_area_px=1, split_prominence=0.25, split_smoothing_px=0.0)
"""Splits at valleys of the probability itself, which is then given in binary fractions."""


def disc(shape, row, col, radius, edge=0.8):
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return 1.0 / (1.0 + np.exp((np.hypot(rows - row, cols - col) - radius) / edge))


def test_touching_lesions_are_split_at_the_neck_even_where_probability_saturates():
    shape = (40, 60)
    both = np.maximum(disc(shape, 20, 20, 7), disc(shape, 20, 34, 7))
    thresholds = Thresholds(low=0.4, high=0.6)
    left, right = delineate(predict(anterior=both), thresholds)
    assert left.mask.sum() + right.mask.sum() == (both >= 0.4).sum()
    assert abs(int(left.mask.sum()) - int(right.mask.sum())) <= 14  # the pixels halfway go to one side
    assert left.contour[:, 1].max() == pytest.approx(27, abs=1)
    assert len(delineate(predict(anterior=both), replace(thresholds, split_prominence=1.0))) == 1


def row_of(*probability, thresholds=UNSMOOTHED):
    """The widths of the lesions in a map of one row."""
    row = np.array([[0.0, *probability, 0.0]])
    return [int(outline.mask.sum()) for outline in delineate(predict(anterior=row), thresholds)]


def test_a_valley_as_deep_as_the_prominence_splits_and_belongs_to_the_higher_peak():
    assert row_of(1.0, 0.5, 0.75) == [2, 1]
    assert row_of(0.75, 0.5, 1.0) == [1, 2]
    assert row_of(1.0, 0.515625, 0.75) == [3]
    assert row_of(1.0, 0.5, 0.75, thresholds=replace(UNSMOOTHED, split_prominence=0.265625)) == [3]


def test_both_sides_of_a_split_hold_the_smallest_area_before_they_meet():
    two = replace(UNSMOOTHED, min_area_px=2)
    assert row_of(1.0, 0.875, 0.25, 0.75, 0.875, thresholds=two) == [3, 2]
    assert row_of(1.0, 0.875, 0.25, 0.875, thresholds=two) == [4]
    assert row_of(0.875, 0.25, 0.75, 1.0, thresholds=two) == [4]
    three = replace(UNSMOOTHED, min_area_px=3)
    assert row_of(1.0, 0.875, 0.75, 0.25, 0.625, 0.75, 0.875, thresholds=three) == [4, 3]
    assert row_of(1.0, 0.875, 0.75, 0.75, 0.25, 0.75, 0.875, thresholds=three) == [7]


def test_both_sides_of_a_split_hold_a_sure_pixel():
    assert row_of(1.0, 0.25, 0.75) == [2, 1]
    assert row_of(1.0, 0.25, 0.734375) == [3]
    assert row_of(0.734375, 0.25, 1.0) == [3]


def test_peaks_of_one_basin_count_together_when_it_meets_the_next():
    """The middle peak is joined to the left one, whose area and sure pixel then stand against the right one."""
    three = replace(UNSMOOTHED, min_area_px=3)
    assert row_of(1.0, 0.875, 0.9375, 0.25, 0.75, 0.75, 0.75, thresholds=three) == [4, 3]
    assert row_of(0.75, 0.75, 0.75, 0.25, 0.9375, 0.875, 1.0, thresholds=three) == [3, 4]
    assert row_of(1.0, 0.25, 0.9375, 0.25, 0.875) == [2, 2, 1]


def test_a_sure_pixel_counts_for_the_basin_that_its_peak_is_joined_to():
    """A wide unsure plateau, a spike that smoothing lowers below it, and farther off a wide sure plateau."""
    image = np.zeros((9, 20))
    image[2:7, 1:6], image[4, 6:9], image[4, 9], image[4, 10:14], image[2:7, 14:19] = 0.7, 0.3, 1.0, 0.15, 0.9
    thresholds = replace(UNSMOOTHED, split_smoothing_px=1.0)
    plateau, sure = delineate(predict(anterior=image), thresholds)
    assert plateau.window[1].start == 1
    assert plateau.mask.sum() + sure.mask.sum() == 25 + 3 + 1 + 4 + 25
    image[4, 9] = 0.7
    assert len(delineate(predict(anterior=image), thresholds)) == 1


@pytest.mark.parametrize(("down", "right"), [(0, 1), (1, 0), (1, 1), (1, -1)])
def test_neighbours_in_all_eight_directions_belong_to_one_basin(down, right):
    for heights in ([1.0, 0.875, 0.9375], [0.9375, 0.875, 1.0]):
        image = np.zeros((5, 5))
        for step, height in zip((-1, 0, 1), heights, strict=True):
            image[2 + step * down, 2 + step * right] = height
        (outline,) = delineate(predict(anterior=image), UNSMOOTHED)
        assert outline.mask.sum() == 3


def test_where_three_lesions_meet_each_prominent_one_stays_apart():
    image = np.zeros((5, 5))
    image[0, 0], image[0, 4], image[4, 2] = 1.0, 0.9375, 0.875
    image[1, 1], image[1, 3], image[3, 2], image[2, 2] = 0.75, 0.75, 0.75, 0.25
    assert sorted(int(one.mask.sum()) for one in delineate(predict(anterior=image), UNSMOOTHED)) == [2, 2, 3]
    image[2, 2] = 0.6875  # now 0.1875 below the lowest peak and 0.25 below the next
    assert sorted(int(one.mask.sum()) for one in delineate(predict(anterior=image), UNSMOOTHED)) == [2, 5]


def test_a_split_lesion_lies_where_its_peak_is():
    image = np.zeros((9, 12))
    image[4, 3:6], image[5, 7:10] = [0.75, 1.0, 0.75], [0.75, 0.875, 0.75]
    image[4, 6] = 0.25
    image[0, 0] = 0.875  # another lesion, so that boxes begin elsewhere
    outlines = delineate(predict(anterior=image), UNSMOOTHED)
    assert [(one.origin, one.mask.shape) for one in outlines] == [((0, 0), (1, 1)), ((4, 3), (1, 4)), ((5, 7), (1, 3))]
    assert [one.probability for one in outlines] == pytest.approx([0.875, 2.75 / 4, 2.375 / 3])


def test_one_round_or_long_lesion_is_not_split():
    shape = (40, 60)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    bar = ((abs(rows - 20) <= 3) & (abs(cols - 30) <= 20)) * 0.9
    for single in (disc(shape, 20, 20, 7), bar):
        assert len(delineate(predict(anterior=single), Thresholds())) == 1


def test_neither_half_of_a_split_is_left_without_a_sure_pixel():
    shape = (40, 60)
    faint = np.maximum(disc(shape, 20, 20, 7), 0.58 * disc(shape, 20, 34, 7))
    assert len(delineate(predict(anterior=faint), Thresholds(low=0.3, high=0.6))) == 1
