"""Augmentation: masks move with the picture, counts stay counts, the same draw gives the same sample."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from bonescan.prepare import Normalisation, denormalise
from bonescan.study import REGIONS, Region
from bonescan.train.augment.apply import apply, texture, thin
from bonescan.train.augment.geometry import crop_case, crop_top, cut_window, focus_row
from bonescan.train.augment.parameters import AugmentConfig, Parameters, sample
from bonescan.train.cases import FAINT, Case, CaseFacts, drawn, find_facts

SIZE = (64, 64)


def marked_case(row=40, col=20, shape=(96, 64)) -> Case:
    """One hot spot in both views, under its lesion and region mask; nothing else."""
    rows, cols = np.indices(shape)
    spot = np.hypot(rows - row, cols - col) < 4
    counts = np.stack([spot * 200, spot * 200]).astype(np.uint16)
    lesions = np.stack([spot, spot]).astype(np.uint8)
    return Case(counts, lesions, lesions * 3, find_facts("spot", "spot", counts, lesions, Normalisation()))


def expecting(case: Case) -> Case:
    """The same case as a phantom's: what is expected, not what was counted."""
    return replace(case, image=case.image.astype(np.float16), benign=case.lesions.copy(), levels=case.lesions * 9)


WARPS = [
    Parameters(),
    Parameters(flip=True),
    Parameters(shift_cols_px=7.0),
    Parameters(warp=True),
    Parameters(warp=True, angle_deg=10.0),
    Parameters(warp=True, scale_rows=1.15, scale_cols=0.9, shift_cols_px=-6.0, flip=True),
    Parameters(warp=True, bend=tuple(np.random.default_rng(1).normal(0, 4, 30).tolist())),
]


@pytest.mark.parametrize("case", [marked_case(), expecting(marked_case())])
@pytest.mark.parametrize("parameters", WARPS)
def test_a_hot_spot_stays_under_its_mask(parameters, case):
    counts, lesions, regions = crop_case(case, SIZE, replace(parameters, focus=0.0))[:3]
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
    lesions = crop_case(case, (96, 64), Parameters(warp=True, angle_deg=10.0)).lesions
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
    sample = apply(make_case(0, shape=(64, 64)), SIZE, Parameters(missing=1), Normalisation())
    assert not sample.image[1].any()
    assert sample.image[0].any()
    assert sample.labelled == (True, False)
    assert sample.region_views == (True, False)
    known = apply(expecting(marked_case()), SIZE, Parameters(missing=0), Normalisation())
    assert known.benign_views == known.level_views == (False, True)


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
    covered = apply(case, (96, 64), Parameters(cold=(0, 0.3, 0.2, 0.4, 0.2)), Normalisation())
    assert set(np.unique(covered.lesions[0])) == {0, FAINT}
    assert drawn(covered.lesions[1]).any()


def test_a_lesion_that_is_covered_in_part_is_asked_for_where_it_shows():
    case = marked_case(row=40, col=20)
    plain = apply(case, (96, 64), Parameters(), Normalisation()).lesions[0]
    middle = round(np.nonzero(plain)[0].mean())
    lesions = apply(case, (96, 64), Parameters(cold=(0, (middle + 1) / 96, 0.2, 0.2, 0.2)), Normalisation()).lesions[0]
    np.testing.assert_array_equal(lesions[: middle + 1], plain[: middle + 1])
    assert plain[middle + 1 :].any()
    np.testing.assert_array_equal(lesions[middle + 1 :], plain[middle + 1 :] * FAINT)


FLAT = 40.0


def flat_case(expected: bool = True, counts: float = FLAT) -> Case:
    """A picture without structure: all that varies is noise."""
    shape = (2, 192, 160)
    image = np.full(shape, counts, dtype=np.float16)
    if not expected:
        image = np.random.default_rng(3).poisson(image.astype(np.float32)).astype(np.uint16)
    nothing = np.zeros(shape, dtype=np.uint8)
    facts = CaseFacts("flat", "flat", (counts,) * 3, (0, 192), (), has_regions=False)
    return Case(image, nothing, nothing, facts)


def dispersion(case: Case, parameters: Parameters) -> float:
    """Variance over mean of the counts of a sample's middle, taken back from what the network sees."""
    image = apply(case, (128, 128), parameters, Normalisation()).image
    counts = denormalise(image, FLAT * parameters.dose, Normalisation())[:, 24:-24, 24:-24]
    assert np.abs(counts - np.rint(counts)).max() < 0.01
    return float(counts.var() / counts.mean())


BENT = tuple(np.random.default_rng(1).normal(0, 4, 30).tolist())


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(),
        Parameters(warp=True, angle_deg=7.0, scale_rows=1.1, scale_cols=0.93, bend=BENT),
        Parameters(warp=True, angle_deg=7.0, dose=0.3),
        Parameters(warp=True, angle_deg=-4.0, blur_px=1.2, gains=(1.3, 0.8)),
        Parameters(warp=True, angle_deg=-4.0, blur_px=1.2, dose=0.5, flip=True),
    ],
)
def test_the_noise_of_a_phantom_is_that_of_counting_whatever_happens_to_it(parameters):
    per_view = [dispersion(flat_case(), replace(parameters, noise_seed=seed)) for seed in range(6)]
    expected = np.mean(per_view)
    if parameters.gains != (1.0, 1.0):  # two levels of counts: each view by itself
        image = apply(flat_case(), (128, 128), parameters, Normalisation()).image
        counts = denormalise(image, FLAT, Normalisation())[:, 24:-24, 24:-24]
        expected = np.mean(counts.var(axis=(1, 2)) / counts.mean(axis=(1, 2)))
    assert expected == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("dose", [1.0, 0.4])
def test_the_noise_of_counts_survives_a_warp(dose):
    parameters = Parameters(warp=True, angle_deg=7.0, scale_rows=0.95, scale_cols=0.93, bend=BENT, dose=dose)
    assert dispersion(flat_case(expected=False), parameters) == pytest.approx(1.0, abs=0.05)


def test_a_scanner_that_smooths_counts_stores_whole_ones_with_less_noise():
    assert dispersion(flat_case(), Parameters(smoothed_px=0.7)) < 0.5


def test_expected_counts_are_added_before_counting():
    parameters = Parameters(background=(0.5, 0.5, 0.5, 50.0))
    image = apply(flat_case(), (128, 128), parameters, Normalisation()).image
    counts = denormalise(image, FLAT, Normalisation())
    assert counts.mean() == pytest.approx(1.5 * FLAT, rel=0.01)
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("strength", "pixels"), [(0.05, 1.5), (0.15, 6.0)])
def test_the_texture_has_the_strength_and_the_scale_that_were_asked_for(strength, pixels):
    made = np.log(texture((2, 256, 256), Parameters(mottle=(strength, pixels), noise_seed=4)))
    assert made.std() == pytest.approx(strength, rel=0.01)
    assert abs(made.mean()) < strength / 5
    # The autocorrelation of smoothed white noise falls to exp(-1/4) at a distance of one standard deviation.
    step = round(pixels)
    assert np.corrcoef(made[:, step:].ravel(), made[:, :-step].ravel())[0, 1] == pytest.approx(
        np.exp(-((step / pixels) ** 2) / 4), abs=0.05
    )
    assert abs(np.corrcoef(made[0].ravel(), made[1].ravel())[0, 1]) < 0.15


def test_the_texture_changes_expected_counts_and_no_label_and_never_counts(make_case):
    parameters = Parameters(mottle=(0.3, 4.0), noise_seed=5)
    case = make_case(0, shape=(64, 64))
    both = (Parameters(noise_seed=5), parameters)
    plain, textured = (apply(expecting(case), SIZE, one, Normalisation()) for one in both)
    assert np.abs(textured.image - plain.image).max() > 0.05
    assert np.array_equal(textured.lesions, plain.lesions)
    counted = [apply(case, SIZE, one, Normalisation()).image for one in both]
    assert np.array_equal(*counted)


def test_benign_findings_and_levels_move_with_the_picture_and_only_phantoms_know_them():
    parameters = Parameters(warp=True, angle_deg=10.0, flip=True, focus=0.0)
    known, unknown = (
        apply(case, SIZE, parameters, Normalisation()) for case in (expecting(marked_case()), marked_case())
    )
    np.testing.assert_array_equal(known.benign, known.lesions)
    np.testing.assert_array_equal(known.levels, known.lesions * 9)
    assert known.benign_views == known.level_views == (True, True)
    assert unknown.benign_views == unknown.level_views == (False, False)
    assert not unknown.benign.any()


def test_crops_are_laid_around_lesions_and_benign_findings_alike():
    case = marked_case(row=30)
    both = replace(case, facts=replace(case.facts, lesion_rows=(30, 31), benign_rows=(70, 80)))
    assert [focus_row(both, focus) for focus in (0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 0.99)] == [30, 30, 31, 70, 70, 80, 80]
    assert focus_row(case, 0.9) == 30
    benign = replace(case, facts=replace(case.facts, lesion_rows=(), benign_rows=(70, 80)))
    assert [focus_row(benign, focus) for focus in (0.1, 0.6)] == [70, 80]
    assert focus_row(both, None) is None
    top = crop_top(both, 32, Parameters(focus=0.8, position=0.5))
    assert top + 3 <= 80 <= top + 32 - 3


def test_hot_spots_keep_away_from_arms():
    shape = (96, 64)
    regions = np.zeros((2, *shape), dtype=np.uint8)
    image = np.full((2, *shape), 5, dtype=np.float16)
    facts = CaseFacts("arm", "arm", (5.0,) * 3, (0, 96), ())
    hot = Parameters(hot=((0, (0.5, 0.5, 1.5, 1.5, 20.0)),))
    spots = []
    for region in (Region.HUMERUS, Region.FEMUR):
        regions[0, 48, 12] = REGIONS.index(region)  # 20 columns from the middle: clear of the spot
        sample = apply(Case(image, np.zeros_like(regions), regions, facts), shape, hot, Normalisation())
        spots.append(REGIONS.index(Region.OTHER_TRACER) in sample.regions)
    assert spots == [False, True]


def test_cut_ends_hold_nothing():
    sample = apply(marked_case(row=40), (96, 64), Parameters(cut=(0.0, 0.3)), Normalisation())
    assert not sample.image[:, 29:].any()
    assert not sample.lesions.any()


@pytest.mark.parametrize("expected", [True, False])
@pytest.mark.parametrize("view", [0, 1, 2])
def test_nothing_is_added_beyond_the_frames_end(make_case, view, expected):
    case = make_case(0, lesions=0, shape=(96, 64))
    case = expecting(case) if expected else case
    hot = tuple((view, (row / 95, 0.1, 1.0, 1.0, 25.0)) for row in (9, 41, 89))
    parameters = Parameters(background=(0.15, 0.5, 0.5, 0.9), hot=hot, cut=(0.3, 0.7), noise_seed=3)
    made = apply(case, (96, 64), parameters, Normalisation())
    for plane in (made.image, made.regions):
        assert not plane[:, :29].any()
        assert not plane[:, 67:].any()
    assert REGIONS.index(Region.OTHER_TRACER) in made.regions[:, 36:46]


@pytest.mark.parametrize("expected", [True, False])
@pytest.mark.parametrize("absent", [0, 1])
def test_nothing_is_added_to_a_view_that_is_absent(make_case, absent, expected):
    case = make_case(0, lesions=0, shape=(96, 64))
    for planes in (case.image, case.regions):
        planes[absent] = 0
    case = expecting(case) if expected else case
    hot = tuple((view, (row / 95, 0.1, 1.0, 1.0, 25.0)) for view, row in ((0, 9), (1, 41), (2, 89)))
    parameters = Parameters(background=(0.15, 0.5, 0.5, 0.9), hot=hot, noise_seed=3)
    made, plain = (apply(case, (96, 64), one, Normalisation()) for one in (parameters, Parameters(noise_seed=3)))
    assert not made.image[absent].any()
    assert not made.regions[absent].any()
    added = made.regions[1 - absent] == REGIONS.index(Region.OTHER_TRACER)
    assert added[89, 6]
    assert made.image[1 - absent].mean() > plain.image[1 - absent].mean() + 0.1


OFF = {"blur_px": 0.0, "smoothed_px": 0.0, "mottle_px": (0.0, 0.0)}


@pytest.mark.parametrize("option", OFF)
def test_a_width_of_0_turns_an_augmentation_off_and_changes_no_other_draw(option):
    parameter = "mottle" if option == "mottle_px" else option
    drawn_of_it = set()
    for seed in range(40):
        plain = sample(AugmentConfig(), np.random.default_rng(seed))
        without = sample(replace(AugmentConfig(), **{option: 0.0}), np.random.default_rng(seed))
        assert without == replace(plain, **{parameter: OFF[option]})
        drawn_of_it.add(getattr(plain, parameter))
    assert len(drawn_of_it) > 1


def test_what_the_default_draws_is_what_it_always_was():
    """A run goes on with the draws that it began with."""
    made = sample(AugmentConfig(), np.random.default_rng(50))
    assert (made.blur_px, made.smoothed_px) == pytest.approx((1.1761041865261015, 0.758769337300087))
    assert made.mottle == pytest.approx((0.005509801312824463, 2.295980753970748))
    assert made.noise_seed == 9080736771836616125


def test_the_same_draw_gives_the_same_sample(make_case):
    case = expecting(make_case(3, shape=(96, 64)))
    for seed in range(20):
        parameters = sample(AugmentConfig(), np.random.default_rng(seed))
        assert parameters == sample(AugmentConfig(), np.random.default_rng(seed))
        one, other = (apply(case, SIZE, parameters, Normalisation()) for _ in range(2))
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.lesions, other.lesions)
        assert np.isfinite(one.image).all()
        assert one.image.dtype == np.float32


def test_applying_leaves_the_case_alone(make_case):
    for case in (make_case(4, shape=(96, 64)), expecting(make_case(4, shape=(96, 64)))):
        arrays = [
            array for array in (case.image, case.lesions, case.regions, case.benign, case.levels) if array is not None
        ]
        before = [array.copy() for array in arrays]
        for seed in range(20):
            apply(case, SIZE, sample(AugmentConfig(), np.random.default_rng(seed)), Normalisation())
        for one, other in zip(before, arrays, strict=True):
            np.testing.assert_array_equal(one, other)
