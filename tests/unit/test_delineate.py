"""Probability maps to outlines, on maps small enough to draw by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from tests.drawn import RIBS, predict

from bonescan.errors import OptionError
from bonescan.lesions.contours import mask_of
from bonescan.lesions.delineate import OPERATING_POINTS, Outline, Thresholds, delineate, region_of
from bonescan.prediction import Prediction
from bonescan.study import REGIONS, Region, View

PLAIN = Thresholds(low=0.4, high=0.6, min_area_px=1, split_prominence=1.0)
"""No splitting, no minimal size."""


def picture(*rows):
    """A map drawn with digits: 7 stands for 0.7."""
    return np.array([[int(digit) / 10 for digit in row] for row in rows])


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


def test_a_bone_that_belongs_elsewhere_is_not_named():
    """A hot focus in a thigh that the map takes for a rib, and one that covers a whole clavicle."""
    ribs, femur, clavicle = (REGIONS.index(name) for name in (Region.RIBS, Region.FEMUR, Region.CLAVICLE))
    regions = np.zeros((120, 60), dtype=np.uint8)
    regions[10:30, 20:40] = ribs
    regions[80:118, 10:16] = femur
    lesion = (slice(95, 99), slice(11, 15))
    regions[lesion] = ribs
    regions[99, 11:14] = ribs  # the mistake reaches a little beyond the lesion
    whole = np.ones((4, 4), dtype=np.bool_)
    assert region_of(regions, lesion, whole) is Region.FEMUR
    regions[lesion] = femur
    assert region_of(regions, lesion, whole) is Region.FEMUR
    left, right = (slice(34, 38), slice(4, 14)), (slice(34, 38), slice(44, 56))
    regions[left] = regions[right] = clavicle
    assert region_of(regions, left, np.ones((4, 10), dtype=np.bool_)) is Region.CLAVICLE


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
    coarse = Thresholds(min_area_px=5, split_smoothing_px=1.5, max_hole_px=48).at_binning(0.5)
    assert (coarse.min_area_px, coarse.split_smoothing_px, coarse.max_hole_px) == (1, 0.75, 12)
    assert Thresholds(min_area_px=1).at_binning(0.5).min_area_px == 1
    assert Thresholds().at_binning(1) == Thresholds()
    assert Thresholds(split_smoothing_px=18.0).at_binning(8).split_smoothing_px == 20.0
