"""Augmentation: masks move with the picture, counts stay counts, the same draw gives the same sample."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from bonescan.prepare import Normalisation
from bonescan.study import REGIONS, Region
from bonescan.train.augment.apply import apply, thin
from bonescan.train.augment.geometry import crop_case, crop_top, cut_window
from bonescan.train.augment.parameters import AugmentConfig, Parameters, sample
from bonescan.train.cases import Case, find_facts

SIZE = (64, 64)


def marked_case(row=40, col=20, shape=(96, 64)) -> Case:
    """One hot spot in both views, under its lesion and region mask; nothing else."""
    rows, cols = np.indices(shape)
    spot = np.hypot(rows - row, cols - col) < 4
    counts = np.stack([spot * 200, spot * 200]).astype(np.uint16)
    lesions = np.stack([spot, spot]).astype(np.uint8)
    return Case(counts, lesions, lesions * 3, find_facts("spot", "spot", counts, lesions, Normalisation()))


WARPS = [
    Parameters(),
    Parameters(flip=True),
    Parameters(shift_cols_px=7.0),
    Parameters(warp=True),
    Parameters(warp=True, angle_deg=10.0),
    Parameters(warp=True, scale_rows=1.15, scale_cols=0.9, shift_cols_px=-6.0, flip=True),
    Parameters(warp=True, bend=tuple(np.random.default_rng(1).normal(0, 4, 30).tolist())),
]


@pytest.mark.parametrize("parameters", WARPS)
def test_a_hot_spot_stays_under_its_mask(parameters):
    counts, lesions, regions = crop_case(marked_case(), SIZE, replace(parameters, focus=0.0))
    assert lesions[0].any()
    for view in range(2):
        hot = counts[view] > 100
        assert 2 * (hot & (lesions[view] > 0)).sum() / (hot.sum() + lesions[view].sum()) > 0.9
        assert ((regions[view] == 3) == (lesions[view] > 0)).all()


def test_the_neutral_warp_changes_nothing():
    case = marked_case()
    plain, warped = (crop_case(case, (96, 64), Parameters(warp=warp)) for warp in (False, True))
    for one, other in zip(plain, warped, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_a_flip_exchanges_left_and_right():
    case = marked_case()
    plain, flipped = (crop_case(case, SIZE, Parameters(flip=flip)) for flip in (False, True))
    for one, other in zip(plain, flipped, strict=True):
        np.testing.assert_array_equal(one[:, :, ::-1], other)


def test_rotation_turns_the_way_it_says():
    # A spot right of the middle: turned by +10 degrees, the crop shows it lower or higher by sin(10) of its distance.
    case = marked_case(row=48, col=52)
    _, lesions, _ = crop_case(case, (96, 64), Parameters(warp=True, angle_deg=10.0))
    rows, cols = np.nonzero(lesions[0])
    # out = R^T (in - middle): row = cos * 0.5 + sin * 20.5, col = -sin * 0.5 + cos * 20.5.
    assert rows.mean() == pytest.approx(47.5 + 0.5 * np.cos(np.pi / 18) + 20.5 * np.sin(np.pi / 18), abs=0.6)
    assert cols.mean() == pytest.approx(31.5 - 0.5 * np.sin(np.pi / 18) + 20.5 * np.cos(np.pi / 18), abs=0.6)


def test_focus_holds_the_lesion_in_the_crop():
    case = marked_case(row=70)
    for position in (0.0, 0.5, 1.0):
        top = crop_top(case, 32, Parameters(focus=0.3, position=position))
        assert top + 3 <= 70 <= top + 32 - 3


def test_windows_beyond_the_frame_are_zero():
    planes = np.ones((2, 5, 4), dtype=np.uint8)
    window = cut_window(planes, (-2, 3), (4, 4))
    assert window[:, 2:, :1].all()
    assert window.sum() == 2 * 2 * 1
    assert not cut_window(planes, (9, 0), (4, 4)).any()


def test_thinning_is_binomial():
    counts = np.full((2, 200, 200), 40.0, dtype=np.float32)
    thinned = thin(counts, 0.25, np.random.default_rng(0))
    assert (thinned == np.rint(thinned)).all()
    assert thinned.mean() == pytest.approx(10.0, rel=0.01)
    assert thinned.var() == pytest.approx(40 * 0.25 * 0.75, rel=0.05)


def test_thinning_keeps_the_mean_of_fractions():
    thinned = thin(np.full((1, 300, 300), 0.3, dtype=np.float32), 0.5, np.random.default_rng(0))
    assert thinned.mean() == pytest.approx(0.15, rel=0.05)


def test_dose_is_taken_out_by_the_reference(make_case):
    case = make_case(0, shape=(64, 64))
    plain, low = (apply(case, SIZE, Parameters(dose=dose), Normalisation()) for dose in (1.0, 0.3))
    assert low.image.mean() == pytest.approx(plain.image.mean(), rel=0.1)  # the square root of few counts is low
    assert low.image.std() > plain.image.std()


def test_a_missing_view_is_empty_and_asks_nothing(make_case):
    drawn = apply(make_case(0, shape=(64, 64)), SIZE, Parameters(missing=1), Normalisation())
    assert not drawn.image[1].any()
    assert drawn.image[0].any()
    assert drawn.labelled == (True, False)
    assert drawn.region_views == (True, False)


def test_hot_spots_keep_off_the_skeleton_and_are_no_lesion(make_case):
    case = make_case(0, lesions=0, shape=(64, 64))
    in_air = apply(case, SIZE, Parameters(hot=((0, (0.13, 0.05, 1.0, 1.0, 20.0)),)), Normalisation())
    plain = apply(case, SIZE, Parameters(), Normalisation())
    assert in_air.image[0].max() > plain.image[0].max() + 0.5
    np.testing.assert_array_equal(in_air.image[1], plain.image[1])
    assert not in_air.lesions.any()
    assert REGIONS.index(Region.OTHER_TRACER) in in_air.regions[0]
    on_bone = apply(case, SIZE, Parameters(hot=((0, (0.5, 0.5, 1.0, 1.0, 20.0)),)), Normalisation())
    np.testing.assert_array_equal(on_bone.image, plain.image)


def test_a_covered_lesion_is_not_asked_for():
    case = marked_case(row=40, col=20)
    covered = apply(case, (96, 64), Parameters(cold=(0, 0.3, 0.2, 0.2, 0.2)), Normalisation())
    assert not covered.lesions[0].any()
    assert covered.lesions[1].any()


def test_cut_ends_hold_nothing():
    drawn = apply(marked_case(row=40), (96, 64), Parameters(cut=(0.0, 0.3)), Normalisation())
    assert not drawn.image[:, 29:].any()
    assert not drawn.lesions.any()


def test_the_same_draw_gives_the_same_sample(make_case):
    case = make_case(3, shape=(96, 64))
    for seed in range(20):
        parameters = sample(AugmentConfig(), np.random.default_rng(seed))
        assert parameters == sample(AugmentConfig(), np.random.default_rng(seed))
        one, other = (apply(case, SIZE, parameters, Normalisation()) for _ in range(2))
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.lesions, other.lesions)
        assert np.isfinite(one.image).all()
        assert one.image.dtype == np.float32


def test_applying_leaves_the_case_alone(make_case):
    case = make_case(4, shape=(96, 64))
    before = [array.copy() for array in (case.counts, case.lesions, case.regions)]
    for seed in range(20):
        apply(case, SIZE, sample(AugmentConfig(), np.random.default_rng(seed)), Normalisation())
    for one, other in zip(before, (case.counts, case.lesions, case.regions), strict=True):
        np.testing.assert_array_equal(one, other)
