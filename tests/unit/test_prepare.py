"""Normalisation, pairing and the way to the network and back, with values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bonescan.errors import OptionError
from bonescan.prepare import (
    Normalisation,
    PrepareOptions,
    Window,
    aggregate,
    body_mask,
    denormalise,
    normalise,
    prepare,
    skeletal_reference,
    to_pair,
)
from bonescan.study import Scan, Spacing, Study, View

COARSE = Spacing(2.3, 2.3)


def _study(shape=(70, 50), views=(View.ANTERIOR, View.POSTERIOR), spacing=COARSE, seed=0):
    rng = np.random.default_rng(seed)
    scans = {view: Scan(view, rng.poisson(8.0, shape).astype(np.float32)) for view in views}
    return Study("study", scans, spacing)


def test_no_counts_are_zero_and_the_reference_is_one():
    counts = np.array([[[0.0, 12.0, 3.0, -30.0]]])
    image = normalise(counts, reference=12.0)
    expected = (np.sqrt(3.375) - np.sqrt(0.375)) / (np.sqrt(12.375) - np.sqrt(0.375))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, [[[0.0, 1.0, expected, 0.0]]], rtol=1e-6)


def test_the_tail_is_compressed_but_keeps_its_order():
    counts = np.linspace(0, 1e6, 2001)[None, None, :]
    image = normalise(counts, reference=10.0)[0, 0]
    assert (np.diff(image) > 0).all()
    assert image.max() < 10


def test_from_the_knee_on_the_tail_is_a_logarithm():
    """With a reference of 1 - 3/8 counts, n counts are (sqrt(n + 3/8) - sqrt(3/8)) / (1 - sqrt(3/8))."""
    linear = (np.sqrt(24.0 + 0.375) - np.sqrt(0.375)) / (1 - np.sqrt(0.375))
    image = normalise(np.array([[[24.0]]]), reference=0.625)
    assert image.item() == pytest.approx(3 + np.log(1 + linear - 3), rel=1e-6)
    image = normalise(np.array([[[24.0]]]), Normalisation(knee=5.0), reference=0.625)
    assert image.item() == pytest.approx(5 + np.log(1 + linear - 5), rel=1e-6)


@pytest.mark.parametrize("reference", [1.0, 12.0, 400.0])
def test_denormalising_gives_the_counts_back_with_the_tail_and_nothing_below_zero(reference):
    counts = np.array([[[0.0, 0.5, 1.0, 7.0, 90.0, 4000.0, 60_000.0]]], dtype=np.float32)
    normalisation = Normalisation(knee=2.0)
    back = denormalise(normalise(counts, normalisation, reference), reference, normalisation)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, counts, rtol=1e-3, atol=1e-4)
    below = denormalise(np.array([[[-1.0]]], dtype=np.float32), reference, normalisation)
    assert 0.0 <= below.item() < 1e-6


def test_the_reference_is_the_90th_percentile_of_the_block_means_of_the_body():
    """101 blocks of 4 x 4 pixels, of 100, 101, ... 200 counts a pixel: all are body, and 190 is their percentile."""
    counts = np.repeat(np.arange(100.0, 201.0), 4)[None, None, :].repeat(4, axis=1)
    assert skeletal_reference(counts) == pytest.approx(190.0)
    assert skeletal_reference(counts, Normalisation(reference_percentile=50.0)) == pytest.approx(150.0)


def test_the_reference_is_at_least_its_floor():
    empty = np.zeros((2, 64, 64), np.float32)
    faint = empty.copy()
    faint[:, 8:56, 8:56] = 0.3
    for counts in (empty, faint):
        assert skeletal_reference(counts) == 1.0
        assert skeletal_reference(counts, Normalisation(reference_floor=2.5)) == 2.5
    assert skeletal_reference(faint, Normalisation(reference_floor=0.1)) == pytest.approx(0.3)


def test_a_frame_of_equal_counts_shows_no_patient_and_has_the_least_reference():
    counts = np.full((1, 64, 64), 4.0)
    assert not body_mask(counts[0]).any()
    assert skeletal_reference(counts) == 1.0


def test_a_body_of_a_single_block_is_one():
    """Two blocks of 4 x 4 pixels, of which only one is above 90 % of the hotter one."""
    counts = np.zeros((1, 4, 8))
    counts[:, :, 4:] = 100.0
    normalisation = Normalisation(body_fraction=0.9)
    np.testing.assert_array_equal(body_mask(counts[0], normalisation), counts[0] > 0)
    assert skeletal_reference(counts, normalisation) == 100.0


def test_the_body_is_the_same_at_a_thousandth_of_the_dose():
    counts = np.broadcast_to(np.geomspace(1000.0, 0.001, 1024), (16, 1024))
    mask = body_mask(counts)
    assert 0.1 < mask.mean() < 0.9
    np.testing.assert_array_equal(body_mask(counts / 1024), mask)
    np.testing.assert_array_equal(body_mask(counts * 1024), mask)


def test_negative_counts_are_taken_as_none():
    counts = np.zeros((1, 64, 64), np.float32)
    counts[:, 16:48, 16:48] = 0.5
    negative = np.where(counts == 0, -7.0, counts)
    floor = Normalisation(reference_floor=0.01)
    assert skeletal_reference(negative, floor) == skeletal_reference(counts, floor) == pytest.approx(0.5, rel=0.01)
    np.testing.assert_array_equal(body_mask(negative[0]), body_mask(counts[0]))


def test_the_body_is_what_is_above_6_percent_of_the_reference():
    counts = np.zeros((128, 128), np.float32)
    counts[:, 32:96] = 100.0
    counts[:, :32], counts[:, 96:] = 5.8, 6.2
    mask = body_mask(counts)
    assert mask[:, 32:].all()
    assert not mask[:, :20].any()
    assert body_mask(counts, Normalisation(body_fraction=0.05)).all()


def test_a_piece_belongs_to_the_body_from_3_percent_of_the_largest_on():
    counts = np.zeros((256, 256), np.float32)
    counts[8:248, 8:128] = 10.0
    counts[8:56, 176:200] = 10.0  # 72 blocks of the trunk's 1800
    counts[200:204, 200:204] = 10.0
    mask = body_mask(counts)
    assert mask[8:248, 8:128].all()
    assert mask[8:56, 176:200].all()
    assert not mask[150:, 150:].any()


def test_a_small_patient_in_a_large_frame_is_the_body():
    counts = np.zeros((400, 400), np.float32)
    counts[200:240, 100:140] = 10.0
    mask = body_mask(counts)
    assert mask[200:240, 100:140].all()
    assert mask.sum() < 60 * 60


def test_an_empty_margin_changes_neither_body_nor_reference():
    """The background is no piece of the body, however large it is."""
    counts = np.zeros((1, 64, 64), np.float32)
    counts[:, 24:40, 24:40] = 10.0
    wide = np.pad(counts, ((0, 0), (160, 160), (160, 160)))
    np.testing.assert_array_equal(body_mask(wide[0])[160:224, 160:224], body_mask(counts[0]))
    assert skeletal_reference(wide) == pytest.approx(skeletal_reference(counts), rel=0.2)


@pytest.mark.parametrize(
    ("shape", "before"),
    [((63, 64), (0, 0)), ((64, 63), (0, 0)), ((61, 62), (1, 1)), ((62, 61), (1, 1)), ((62, 64), (1, 0))],
)
def test_a_frame_that_blocks_do_not_fill_is_continued_by_its_edge_evenly_on_both_sides(shape, before):
    counts = np.zeros(shape)
    counts[10:50, 15:41] = 10.0
    counts[30:, 20:30] = 10.0
    full = [(first, -length % 4 - first) for first, length in zip(before, shape, strict=True)]
    padded = np.pad(counts, full, mode="edge")
    assert padded.shape == (64, 64)
    mask = body_mask(padded)
    rows, cols = (slice(first, first + length) for first, length in zip(before, shape, strict=True))
    np.testing.assert_array_equal(body_mask(counts), mask[rows, cols])
    assert skeletal_reference(counts[None]) == skeletal_reference(padded[None])


def test_empty_and_single_views_never_give_nan():
    empty = np.zeros((2, 64, 64), np.float32)
    assert not normalise(empty).any()
    one = empty.copy()
    one[0, 10:50, 20:40] = 9
    assert skeletal_reference(one) == pytest.approx(9.0)
    assert np.isfinite(normalise(one)).all()
    assert not normalise(one)[1].any()


def test_the_bladder_does_not_set_the_reference():
    counts = np.zeros((2, 128, 64), np.float32)
    counts[:, 8:120, 12:52] = 5
    counts[:, 20:100, 28:36] = 20
    plain = skeletal_reference(counts)
    counts[0, 96:104, 28:36] = 5000
    assert skeletal_reference(counts) == pytest.approx(plain, rel=0.05)
    assert plain == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("level", [0.5, 5.0, 50.0])
def test_the_body_is_found_at_any_dose(level):
    rng = np.random.default_rng(1)
    rate = np.full((256, 96), 0.02 * level)
    rate[20:230, 24:72] = level
    rate[20:230, 44:52] = 3 * level
    mask = body_mask(rng.poisson(rate))
    truth = rate >= level
    assert mask[truth].mean() > 0.99
    assert not (mask & ~ndimage.maximum_filter(truth, 17)).any()


def test_an_injection_site_of_six_times_the_scan_is_not_the_body():
    counts = np.zeros((2, 256, 128), np.float32)
    counts[:, 20:230, 40:90] = 5
    counts[:, 40:220, 60:68] = 20
    plain, mask = skeletal_reference(counts), body_mask(counts[0])
    counts[0, 120:132, 4:16] = 20_000
    assert skeletal_reference(counts) == pytest.approx(plain, rel=0.15)
    assert body_mask(counts[0])[mask].all()


def test_body_of_an_odd_frame_has_its_shape():
    image = np.full((37, 51), 4.0)
    assert body_mask(image).shape == (37, 51)
    assert body_mask(np.zeros((37, 51))).sum() == 0


def test_normalisation_reads_what_it_wrote_and_names_the_nearest_key():
    normalisation = Normalisation(knee=2.5)
    assert Normalisation.from_dict(normalisation.to_dict()) == normalisation
    with pytest.raises(OptionError, match="'knees': did you mean 'knee'"):
        Normalisation.from_dict({"knees": 1.0})
    with pytest.raises(OptionError, match="give a number"):
        Normalisation.from_dict({"knee": "3"})
    with pytest.raises(OptionError, match=r"body_fraction of 2\.0"):
        Normalisation.from_dict({"body_fraction": 2.0})


@pytest.mark.parametrize(
    ("key", "refused", "accepted"),
    [
        ("reference_percentile", (0, 100, 100.5, -1), (0.5, 99.5)),
        ("reference_floor", (0, -1, float("inf"), float("nan")), (1e-3, 1e6)),
        ("body_fraction", (0, 1, 1.5, -0.1), (1e-3, 0.999)),
        ("knee", (0, -1, float("inf"), float("nan")), (1e-3, 1e3)),
    ],
)
def test_the_limits_of_the_normalisation_are_themselves_refused(key, refused, accepted):
    for value in refused:
        with pytest.raises(OptionError, match=f"normalisation's {key} of .* out of range"):
            Normalisation(**{key: value})
    for value in accepted:
        assert getattr(Normalisation(**{key: value}), key) == value


def test_whole_numbers_are_numbers_and_truth_values_are_not():
    assert Normalisation.from_dict({"knee": 4}).to_dict()["knee"] == 4.0
    assert isinstance(Normalisation.from_dict({"knee": 4}).knee, float)
    assert Normalisation.from_dict({}) == Normalisation()
    with pytest.raises(OptionError, match="knee is True: give a number"):
        Normalisation.from_dict({"knee": True})
    with pytest.raises(OptionError, match="no key 'zzz': did you mean"):
        Normalisation.from_dict({"zzz": 1.0})


def test_aggregate_is_the_anterior_plus_the_mirrored_posterior():
    anterior, posterior = np.array([[1, 2, 3]]), np.array([[10, 20, 30]])
    np.testing.assert_array_equal(aggregate(anterior, posterior), [[31, 22, 13]])


def test_a_missing_view_is_zeros_and_said():
    pair = to_pair(_study(views=(View.POSTERIOR,)))
    assert pair.present == (False, True)
    assert not pair.counts[0].any()
    assert pair.counts[1].any()


def test_whole_body_is_padded_with_zeros_to_a_multiple_of_32():
    study = _study(shape=(70, 50))
    prepared = prepare(study)
    assert prepared.network_input.shape == (2, 96, 64)
    assert prepared.network_input.dtype == np.float32
    assert prepared.padding == (26, 14)
    assert not prepared.network_input[:, 70:].any()
    assert not prepared.network_input[:, :, 50:].any()
    assert prepared.window == Window.whole((70, 50))


def test_a_window_of_the_scan_has_the_scale_of_the_whole():
    study = _study(shape=(96, 64))
    window = Window(slice(5, 69), slice(3, 35))
    part = prepare(study, PrepareOptions(window=window)).network_input
    np.testing.assert_array_equal(part, prepare(study).network_input[:, 5:69, 3:35])


def test_fine_pixels_are_summed_and_expanded():
    study = _study(shape=(128, 64), spacing=Spacing(1.15, 1.15))
    prepared = prepare(study)
    assert prepared.binning == 2
    assert prepared.network_input.shape == (2, 64, 32)
    mirrored = study.counts(View.POSTERIOR)[:, ::-1]
    sums = mirrored.reshape(64, 2, 32, 2).sum(axis=(1, 3))
    np.testing.assert_allclose(prepared.network_input[1], normalise(sums[None], reference=prepared.reference)[0])
    frames = prepared.to_frames(np.arange(2 * 64 * 32).reshape(2, 64, 32))
    np.testing.assert_array_equal(frames[View.ANTERIOR][:2, :4], [[0, 0, 1, 1]] * 2)
    np.testing.assert_array_equal(frames[View.POSTERIOR][:2, -2:], [[2048, 2048]] * 2)


def test_coarse_pixels_are_split_in_four_and_put_together_again():
    study = _study(shape=(64, 32), spacing=Spacing(4.8, 4.8))
    prepared = prepare(study)
    assert prepared.binning == 0.5
    assert prepared.network_input.shape == (2, 128, 64)
    parts = study.counts(View.ANTERIOR).repeat(2, axis=0).repeat(2, axis=1) / 4
    np.testing.assert_allclose(prepared.network_input[0], normalise(parts[None], reference=prepared.reference)[0])
    output = np.arange(2 * 128 * 64).reshape(2, 128, 64)
    assert prepared.to_frames(output)[View.ANTERIOR][1, 1] == 2 * 64 + 2
    assert prepared.to_frames(output.astype(np.float32))[View.ANTERIOR][1, 1] == 2.5 * 64 + 2.5
    assert prepared.to_frames(output)[View.POSTERIOR].shape == (64, 32)
    assert prepare(_study(shape=(64, 32), spacing=Spacing(3.1, 3.1))).binning == 1


def test_the_thorax_of_a_coarse_matrix_is_half_as_many_pixels():
    window = prepare(_study(shape=(512, 144), spacing=Spacing(4.8, 4.8)), PrepareOptions("thorax")).window
    assert window.shape == (128, 128)


def test_a_fine_matrix_without_spacing_is_summed_too():
    assert prepare(_study(shape=(1024, 512), spacing=None)).network_input.shape == (2, 512, 256)
    assert prepare(_study(shape=(512, 256), spacing=None)).binning == 1


def test_refused_windows_and_regions():
    with pytest.raises(OptionError, match="leaves the frame"):
        prepare(_study(), PrepareOptions(window=Window(slice(0, 71), slice(0, 10))))
    with pytest.raises(OptionError, match="not a range of pixels"):
        Window(slice(5, 5), slice(0, 3))
    with pytest.raises(OptionError, match="not a range of pixels"):
        Window(slice(0, 5), slice(-3, 3))
    with pytest.raises(OptionError, match="'head'"):
        PrepareOptions(region="head")  # type: ignore[arg-type]


def test_an_output_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="expected an output"):
        prepare(_study()).to_frames(np.zeros((2, 70, 50)))
