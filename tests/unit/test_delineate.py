"""Probability maps to outlines, on maps small enough to draw by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from bonescan.errors import OptionError
from bonescan.lesions.contours import mask_of
from bonescan.lesions.delineate import (
    MOST_CANDIDATES,
    OPERATING_POINTS,
    Outline,
    Thresholds,
    candidates_below,
    delineate,
    outline_of,
)
from bonescan.prediction import Prediction
from bonescan.study import REGIONS, Region, View

PLAIN = Thresholds(low=0.4, high=0.6, min_area_px=1, split_prominence=1.0)
"""No splitting, no minimal size."""
RIBS = REGIONS.index(Region.RIBS)
UNSMOOTHED = Thresholds(low=0.125, high=0.75, min_area_px=1, split_prominence=0.25, split_smoothing_px=0.0)
"""Splits at valleys of the probability itself, which is then given in binary fractions."""


def predict(*, region=RIBS, **views):
    lesion = {View(name): np.asarray(image, dtype=np.float32) for name, image in views.items()}
    return Prediction(lesion, {view: np.full(image.shape, region, dtype=np.uint8) for view, image in lesion.items()})


def picture(*rows):
    """A map drawn with digits: 7 stands for 0.7."""
    return np.array([[int(digit) / 10 for digit in row] for row in rows])


def disc(shape, row, col, radius, edge=0.8):
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return 1.0 / (1.0 + np.exp((np.hypot(rows - row, cols - col) - radius) / edge))


def frame_mask(outline, shape):
    mask = np.zeros(shape, dtype=bool)
    mask[outline.window] = outline.mask
    return mask


def test_a_scan_without_lesions_has_no_outlines():
    assert delineate(predict(anterior=np.zeros((20, 9)), posterior=np.full((20, 9), 0.55)), PLAIN) == ()


def test_hysteresis_keeps_weak_pixels_only_beside_a_sure_one():
    (outline,) = delineate(predict(anterior=picture("0000000", "0560055", "0040000", "0000000")), PLAIN)
    assert outline.origin == (1, 1)
    np.testing.assert_array_equal(outline.mask, [[True, True], [False, True]])
    assert outline.probability == pytest.approx((0.5 + 0.6 + 0.4) / 3)


def test_diagonal_neighbours_are_one_lesion():
    assert len(delineate(predict(anterior=picture("7000", "0700", "0007")), PLAIN)) == 2


def test_small_pieces_are_dropped():
    prediction = predict(anterior=picture("7700000", "7000777", "0000000"))
    assert len(delineate(prediction, replace(PLAIN, min_area_px=3))) == 2
    assert len(delineate(prediction, replace(PLAIN, min_area_px=4))) == 0


def test_a_probability_equal_to_a_threshold_reaches_it():
    thresholds = replace(PLAIN, low=0.5, high=0.75)
    (outline,) = delineate(predict(anterior=np.array([[0.0, 0.75, 0.5, 0.484375, 0.0]])), thresholds)
    assert (outline.origin, outline.mask.shape) == ((0, 1), (1, 2))
    assert delineate(predict(anterior=np.array([[0.0, 0.734375, 0.5]])), thresholds) == ()


def test_a_piece_that_is_dropped_hides_no_later_one():
    small_and_faint_first = picture("7000000", "0000000", "5550000", "0000000", "7770000")
    (outline,) = delineate(predict(anterior=small_and_faint_first), replace(PLAIN, min_area_px=2))
    assert outline.origin == (4, 0)
    prediction = predict(anterior=picture("7700", "0000", "0077"))
    regions = prediction.region[View.ANTERIOR].copy()
    regions[0] = REGIONS.index(Region.BLADDER)
    (outline,) = delineate(Prediction(prediction.lesion, {View.ANTERIOR: regions}), PLAIN)
    assert outline.origin == (2, 2)


def test_an_outline_cannot_be_written_to():
    outline = Outline(View.ANTERIOR, (2, 3), np.array([[1, 0], [1, 1]]), [[0, 0], [1, 0], [0, 0]], None, Region.RIBS)
    assert (outline.mask.dtype, outline.contour.dtype) == (np.bool_, np.float64)
    for array in (outline.mask, outline.contour):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 0


def test_background_is_no_hole_however_small():
    corner = np.full((4, 4), 0.9)
    corner[0, 0] = 0.0
    (outline,) = delineate(predict(anterior=corner), replace(PLAIN, max_hole_px=48))
    assert outline.mask.sum() == 15


def test_small_holes_are_filled_and_large_ones_cut_open():
    ring = np.pad(np.full((7, 9), 0.9), 2)
    ring[4:7, 4:9] = 0.0  # a hole of 15 pixels; the wall is thinnest left and right (2), and above and below (2)
    (filled,) = delineate(predict(anterior=ring), replace(PLAIN, max_hole_px=15))
    assert filled.mask.sum() == 63
    (opened,) = delineate(predict(anterior=ring), replace(PLAIN, max_hole_px=14))
    assert opened.mask.sum() == 63 - 15 - 2
    np.testing.assert_array_equal(mask_of(opened.contour, ring.shape), frame_mask(opened, ring.shape))


def test_what_is_left_of_a_ring_after_the_cut_is_large_and_sure_enough_or_no_lesion():
    ring = np.pad(np.full((5, 5), 0.9), 1)
    ring[2:5, 2:5] = 0.0
    opening = replace(PLAIN, max_hole_px=0, min_area_px=15)
    (opened,) = delineate(predict(anterior=ring), opening)
    assert opened.mask.sum() == 15
    assert delineate(predict(anterior=ring), replace(opening, min_area_px=16)) == ()
    cut = (ring > 0) & ~frame_mask(opened, ring.shape)
    assert delineate(predict(anterior=np.where(cut, 0.9, np.minimum(ring, 0.5))), opening) == ()


def test_a_lesion_in_the_hole_of_another_stays_a_lesion_of_its_own():
    ring = np.pad(np.full((13, 13), 0.9), 1)
    ring[3:12, 3:12] = 0.0
    ring[7, 7] = 0.9
    outlines = delineate(predict(anterior=ring), replace(PLAIN, max_hole_px=10))
    assert sorted(int(outline.mask.sum()) for outline in outlines) == [1, 169 - 81 - 2]


def test_nested_rings_are_all_opened():
    rows, cols = np.mgrid[:41, :41]
    rings = (np.maximum(abs(rows - 20), abs(cols - 20)) % 6 < 3).astype(float) * 0.9
    outlines = delineate(predict(anterior=rings), replace(PLAIN, max_hole_px=0))
    assert len(outlines) == 4
    for outline in outlines:
        np.testing.assert_array_equal(mask_of(outline.contour, rings.shape), frame_mask(outline, rings.shape))


@pytest.mark.parametrize("region", [Region.KIDNEY, Region.BLADDER, Region.OTHER_TRACER])
def test_what_lies_mostly_on_tracer_outside_bone_is_no_lesion(region):
    prediction = predict(anterior=picture("000000", "077770", "000000"))
    regions = prediction.region[View.ANTERIOR].copy()
    regions[1, 1:4] = REGIONS.index(region)
    assert delineate(Prediction(prediction.lesion, {View.ANTERIOR: regions}), PLAIN) == ()
    regions[1, 3] = RIBS  # now half, which is not most
    assert len(delineate(Prediction(prediction.lesion, {View.ANTERIOR: regions}), PLAIN)) == 1


def test_region_is_the_most_frequent_bone_under_the_mask_or_the_nearest():
    prediction = predict(anterior=picture("0000000", "0777770", "0000000"), region=0)
    regions = prediction.region[View.ANTERIOR].copy()

    def region():
        (outline,) = delineate(Prediction(prediction.lesion, {View.ANTERIOR: regions}), PLAIN)
        return outline.region

    assert region() is Region.BACKGROUND
    regions[0, 0], regions[2, 4] = REGIONS.index(Region.SKULL), REGIONS.index(Region.STERNUM)
    assert region() is Region.STERNUM
    regions[1, 1:4] = [REGIONS.index(name) for name in (Region.KIDNEY, Region.KIDNEY, Region.SCAPULA)]
    assert region() is Region.SCAPULA


def test_of_two_bones_under_the_mask_the_one_with_more_pixels_names_the_region_and_the_first_in_a_tie():
    prediction = predict(anterior=picture("000000", "077770", "000000"), region=0)
    regions = prediction.region[View.ANTERIOR].copy()
    first, last = REGIONS.index(Region.SKULL), REGIONS.index(Region.FEMUR)
    assert first < last
    for under, region in (([last, first, last, last], Region.FEMUR), ([last, first, last, first], Region.SKULL)):
        regions[1, 1:5] = under
        (outline,) = delineate(Prediction(prediction.lesion, {View.ANTERIOR: regions}), PLAIN)
        assert outline.region is region


@pytest.mark.parametrize(
    ("near", "far"),
    [((12, 37), (6, 30)), ((12, 23), (20, 30)), ((5, 30), (12, 38)), ((19, 31), (8, 37)), ((7, 25), (20, 30))],
)
def test_off_the_bone_a_lesion_belongs_to_the_bone_nearest_to_its_middle(near, far):
    """The middle is row 12, column 30; some bones farther off are nearer by the sum of rows and columns."""
    lesion = np.zeros((40, 60))
    lesion[10:15, 29:32] = 0.9
    distances = [np.hypot(row - 12, col - 30) for row, col in (near, far)]
    prediction = predict(anterior=lesion, region=0)
    regions = prediction.region[View.ANTERIOR].copy()
    regions[near], regions[far] = RIBS, REGIONS.index(Region.SKULL)
    (outline,) = delineate(Prediction(prediction.lesion, {View.ANTERIOR: regions}), PLAIN)
    assert outline.region is (Region.RIBS if distances[0] < distances[1] else Region.SKULL)


def test_lesions_of_one_row_are_ordered_by_their_first_pixel_not_by_their_box():
    slanted = picture("00070070", "00000700", "00007000", "00070000", "00700000", "07000000")
    left, right = delineate(predict(anterior=slanted), PLAIN)
    assert (left.origin, right.origin) == ((0, 3), (0, 1))


def test_order_is_anterior_first_then_from_top_to_bottom():
    front = picture("0000700", "0000000", "7000007", "0000000", "0070000")
    outlines = delineate(predict(posterior=front, anterior=front), PLAIN)
    assert [(outline.view, outline.origin) for outline in outlines] == [
        (view, origin) for view in View for origin in [(0, 4), (2, 0), (2, 6), (4, 2)]
    ]


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


@given(st.integers(0, 2**32 - 1), st.floats(0.7, 3.0), st.integers(0, 12), st.integers(1, 6))
def test_on_any_map_outlines_are_disjoint_exact_and_repeatable(seed, smoothness, max_hole_px, min_area_px):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((48, 40)), smoothness)
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    thresholds = Thresholds(0.45, 0.7, min_area_px=min_area_px, max_hole_px=max_hole_px, split_prominence=0.05)
    outlines = delineate(predict(anterior=noise), thresholds)
    covered = np.zeros(noise.shape, dtype=int)
    for outline in outlines:
        mask = frame_mask(outline, noise.shape)
        covered += mask
        assert mask.sum() >= min_area_px
        assert noise[mask].max() >= np.float32(0.7)
        np.testing.assert_array_equal(mask_of(outline.contour, noise.shape), mask)
        np.testing.assert_array_equal(ndimage.binary_fill_holes(mask), mask)
    assert covered.max(initial=0) <= 1
    again = delineate(predict(anterior=noise), thresholds)
    assert [(outline.origin, outline.mask.tobytes()) for outline in outlines] == [
        (outline.origin, outline.mask.tobytes()) for outline in again
    ]


def test_thresholds_survive_their_dictionary():
    thresholds = Thresholds(0.3, 0.7, 6, 0.2, 2.0, 10, 0.25)
    assert Thresholds.from_dict(thresholds.to_dict()) == thresholds
    assert Thresholds.from_dict({"high": 1}) == Thresholds(high=1.0)
    assert isinstance(Thresholds.from_dict({"high": 1}).high, float)


def test_thresholds_that_a_bundle_leaves_out_are_the_documented_ones():
    assert Thresholds.from_dict({}).to_dict() == {
        "low": 0.4,
        "high": 0.6,
        "min_area_px": 4,
        "split_prominence": 0.12,
        "split_smoothing_px": 1.5,
        "max_hole_px": 48,
        "excluded_share": 0.5,
    }


def test_operating_points_go_from_the_most_false_positives_to_the_fewest():
    assert OPERATING_POINTS == ("sensitive", "balanced", "specific")


def test_thresholds_reach_to_both_ends_of_their_ranges():
    least = Thresholds(1e-6, 1e-6, 1, 1e-6, 0.0, 0, 0.0)
    most = Thresholds(1.0, 1.0, 10_000, 1.0, 20.0, 10_000, 1.0)
    for thresholds in (least, most):
        assert Thresholds.from_dict(thresholds.to_dict()) == thresholds


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"min_area": 3}, "'min_area' is no threshold: did you mean 'min_area_px'?"),
        ({"hihg": 0.5}, "did you mean 'high'"),
        ({"low": "0.5"}, "type float, not '0.5'"),
        ({"low": True}, "type float, not True"),
        ({"min_area_px": True}, "type int, not True"),
        ({"zzz": 1}, "'zzz' is no threshold: did you mean"),
        ({"min_area_px": 2.5}, "type int, not 2.5"),
        ({"low": 0.0}, "0 < low <= high <= 1"),
        ({"low": 0.7, "high": 0.6}, "low = 0.7 and high = 0.6"),
        ({"high": float("nan")}, "high = nan"),
        ({"high": 1.01}, "high = 1.01"),
        ({"min_area_px": 0}, "min_area_px = 0"),
        ({"split_prominence": 0.0}, "split_prominence"),
        ({"split_prominence": 1.01}, "split_prominence"),
        ({"split_smoothing_px": -0.01}, "split_smoothing_px"),
        ({"split_smoothing_px": 20.01}, "between 0 and 20 pixels, not 20.01"),
        ({"max_hole_px": -1}, "max_hole_px"),
        ({"excluded_share": -0.01}, "excluded_share"),
        ({"excluded_share": 1.01}, "excluded_share"),
    ],
)
def test_wrong_thresholds_are_refused_with_a_sentence(values, sentence):
    with pytest.raises(OptionError) as error:
        Thresholds.from_dict(values)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("lesion", "region"),
    [
        ({View.ANTERIOR: np.zeros((2, 2))}, {}),
        ({View.ANTERIOR: np.zeros((2, 2))}, {View.ANTERIOR: np.zeros((2, 3))}),
        ({View.ANTERIOR: np.full((2, 2), np.nan)}, {View.ANTERIOR: np.zeros((2, 2))}),
        ({View.ANTERIOR: np.full((2, 2), 1.5)}, {View.ANTERIOR: np.zeros((2, 2))}),
        ({View.ANTERIOR: np.zeros((2, 2))}, {View.ANTERIOR: np.full((2, 2), len(REGIONS))}),
    ],
    ids=["views differ", "shapes differ", "not a number", "above one", "no region"],
)
def test_a_senseless_prediction_is_refused(lesion, region):
    with pytest.raises(ValueError, match=r"map|views"):
        Prediction(lesion, region)


def test_thresholds_for_a_finer_matrix_keep_their_millimetres():
    fine = Thresholds(min_area_px=5, split_smoothing_px=1.5, max_hole_px=48).at_binning(2)
    assert (fine.min_area_px, fine.split_smoothing_px, fine.max_hole_px) == (20, 3.0, 192)
    finest = Thresholds(min_area_px=5, split_smoothing_px=1.5, max_hole_px=48).at_binning(4)
    assert (finest.min_area_px, finest.split_smoothing_px, finest.max_hole_px) == (80, 6.0, 768)
    assert Thresholds().at_binning(1) == Thresholds()
    assert Thresholds(split_smoothing_px=18.0).at_binning(8).split_smoothing_px == 20.0


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
