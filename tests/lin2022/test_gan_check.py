"""The checks of a GAN: noise and its inverse, distances that see through it, and verdicts that catch what they must."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from bonescan.errors import OptionError
from bonescan.lin2022.gan.check import Limits, check_samples, draw_sheet
from bonescan.lin2022.gan.images import GanImages, count_image, noise_of
from bonescan.lin2022.gan.measures import aligned_distances, distances_within, nearest_patients, resemblance, shuffled
from bonescan.prepare import Normalisation, denormalise, mirror, normalise

SIZE = 64
REFERENCE = 30.0
NORMALISATION = Normalisation()


def expected(seed):
    """An invented thorax: body, spine, ribs and spots whose places and levels differ from patient to patient."""
    rng = np.random.default_rng([7, seed])
    row, col = np.indices((SIZE, SIZE), dtype=np.float32)
    image = 0.3 * (np.hypot((row - 34) / 30, (col - 32) / rng.uniform(18, 28)) < 1)
    image = image + rng.uniform(0.4, 0.9) * np.exp(-0.5 * ((col - 32 - rng.uniform(-2, 2)) / 2.5) ** 2)
    for top in np.arange(rng.uniform(6, 12), 60, rng.uniform(8, 14)):
        image = image + rng.uniform(0.2, 0.5) * np.exp(-0.5 * ((row - top) / 1.5) ** 2) * (abs(col - 32) < 20)
    for _ in range(3):
        spot = rng.uniform([8, 14], [56, 50])
        image = image + rng.uniform(0.3, 1.2) * np.exp(-0.5 * np.hypot(row - spot[0], col - spot[1]) ** 2 / 9)
    return image.astype(np.float32)


def counted(pictures, views, names, seed=0):
    """Images as a camera would have counted them."""
    rng = np.random.default_rng(seed)
    images = [normalise(count_image(one, REFERENCE, NORMALISATION, rng), NORMALISATION, REFERENCE) for one in pictures]
    number = len(images)
    return GanImages(
        np.stack(images), np.full(number, REFERENCE), np.array(views, dtype=np.uint8), tuple(names), (None,) * number
    )


def patients(first, number, seed):
    """Both views of some patients; a posterior view is somewhat other than the anterior one."""
    pictures = [expected(first + i) * (1.0, 1.2)[view] for i in range(number) for view in (0, 1)]
    names = [f"p{first + i}" for i in range(number) for _ in (0, 1)]
    return counted(pictures, [0, 1] * number, names, seed)


def samples_of(pictures, views, seed=5):
    return counted(pictures, views, [f"sample-{i}" for i in range(len(pictures))], seed)


@pytest.fixture(scope="module")
def training():
    return patients(0, 12, 1)


@pytest.fixture(scope="module")
def held_out():
    return patients(100, 8, 2)


@given(
    st.lists(st.floats(0, 3e4, width=32), min_size=1, max_size=20),
    st.floats(1.0, 300.0),
    st.floats(1.0, 5.0),
)
def test_denormalise_undoes_normalise(counts, reference, knee):
    normalisation = Normalisation(knee=knee)
    image = normalise(np.array([[counts]], dtype=np.float32), normalisation, reference)
    np.testing.assert_allclose(denormalise(image, reference, normalisation)[0, 0], counts, rtol=2e-3, atol=2e-3)


def test_denormalise_by_hand():
    # One is the reference, nothing is no count; the knee at 3: 4 = 3 + log1p(e - 1).
    image = np.array([[0.0, 1.0, -0.5, 4.0]], dtype=np.float32)
    root = (3 + np.e - 1) * (np.sqrt(REFERENCE + 0.375) - np.sqrt(0.375)) + np.sqrt(0.375)
    counts = denormalise(image, REFERENCE, NORMALISATION)
    np.testing.assert_allclose(counts, [[0, REFERENCE, 0, root**2 - 0.375]], rtol=1e-5, atol=1e-5)


def test_counts_are_poisson_at_their_exposure():
    flat = np.ones((200, 200), dtype=np.float32)
    counts = count_image(flat, 20.0, NORMALISATION, np.random.default_rng(0))
    assert counts.dtype == np.uint16
    assert counts.mean() == pytest.approx(20, rel=0.01)
    assert counts.var() == pytest.approx(20, rel=0.05)
    assert count_image(np.full((2, 2), 7, np.float32), 1e3, NORMALISATION, np.random.default_rng(0)).max() == 65535


def test_noise_is_what_counting_adds():
    image = np.ones((2, 100, 100), dtype=np.float32)
    noise = noise_of(image, np.array([10.0, 90.0]), NORMALISATION, np.random.default_rng(0))
    # The square root of Poisson counts has deviation 1/2, whatever the level.
    for one, reference in zip(noise, (10.0, 90.0), strict=True):
        expected_deviation = 0.5 / (np.sqrt(reference + 0.375) - np.sqrt(0.375))
        assert one.std() == pytest.approx(expected_deviation, rel=0.05)
    assert noise[0].std() > 2.5 * noise[1].std()


def test_a_distance_sees_through_mirror_shift_and_noise():
    picture = expected(1)
    moved = np.roll(mirror(picture), (4, -2), (0, 1))
    one = samples_of([picture, expected(2)], [0, 0], 1)
    other = samples_of([moved], [0], 2)
    distances = aligned_distances(one, other)[:, 0]
    assert distances[0] < 0.3 * distances[1]
    assert distances_within(one)[0, 0] == np.inf
    assert aligned_distances(one, samples_of([picture], [1])).tolist() == [[np.inf], [np.inf]]


def test_distances_of_flat_pictures_by_hand():
    def flat(level):
        return GanImages(
            np.full((1, SIZE, SIZE), level, np.float32), np.ones(1), np.zeros(1, np.uint8), (str(level),), (None,)
        )

    assert aligned_distances(flat(0.25), flat(1.0))[0, 0] == pytest.approx(0.75, rel=1e-5)


def test_the_nearest_other_patient_is_another_one():
    distances = np.array([[3.0, 1.0, 2.0, 5.0]])
    assert nearest_patients(distances, ("a", "b", "b", "c")).tolist() == [[1.0, 3.0]]
    assert nearest_patients(distances[:, 1:3], ("b", "b")).tolist() == [[1.0, np.inf]]


def test_other_patients_pass(training, held_out):
    check = check_samples(patients(500, 12, 9), training, held_out)
    assert (check.memorises.answer, check.collapses.answer, check.resembles.answer) == (False, False, True)
    assert check.real_nearness.copies == 0
    assert "memorises: no\ncollapses: no\nresembles: yes" in str(check)


@pytest.mark.parametrize("reference", ["other patients", "none"])
def test_a_generator_that_copies_the_training_set_is_caught(training, held_out, reference):
    rng = np.random.default_rng(3)
    pictures, views = [], []
    for _ in range(24):
        patient, view = int(rng.integers(12)), int(rng.integers(2))
        picture = expected(patient) * (1.0, 1.2)[view]
        picture = np.roll(picture, rng.integers(-3, 4, 2), (0, 1))
        pictures.append(mirror(picture) if rng.random() < 0.5 else picture)
        views.append(view)
    check = check_samples(samples_of(pictures, views), training, held_out if reference == "other patients" else None)
    assert check.memorises.answer
    assert check.nearness.copies > 0.9
    assert "% of the samples are copies of a training image" in check.memorises.reasons[0]


def test_a_few_copies_among_others_are_caught(training, held_out):
    pictures = [expected(i) for i in (0, 1, 2)] + [expected(500 + i) for i in range(21)]
    check = check_samples(samples_of(pictures, [0] * 24), training, held_out)
    assert check.memorises.answer
    assert check.nearness.copies == pytest.approx(3 / 24)


def test_a_generator_that_emits_one_image_is_caught(training, held_out):
    views = [0, 1] * 12
    check = check_samples(samples_of([expected(500)] * 24, views), training, held_out)
    assert check.collapses.answer
    assert len(check.collapses.reasons) == 2
    assert check.diversity.twins == 1
    assert not check.memorises.answer


def test_a_generator_of_a_few_images_is_caught_by_its_twins(training, held_out):
    check = check_samples(samples_of([expected(500 + i % 4) for i in range(24)], [0] * 24), training, held_out)
    assert check.diversity.spread > Limits().spread
    assert check.collapses.answer
    assert "twin" in check.collapses.reasons[0]


def test_a_mean_image_is_no_copy(training, held_out):
    mean = np.mean([expected(i) for i in range(12)], axis=0).astype(np.float32)
    check = check_samples(samples_of([mean] * 24, [0] * 24), training, held_out)
    assert not check.memorises.answer
    assert check.collapses.answer


def test_pictures_that_are_no_scans_do_not_resemble(training, held_out):
    rng = np.random.default_rng(0)
    pictures = [np.full((SIZE, SIZE), rng.uniform(0.1, 1.0), np.float32) for _ in range(24)]
    check = check_samples(samples_of(pictures, [0, 1] * 12), training, held_out)
    assert not check.resembles.answer
    assert check.resemblance.coverage < 0.5 * check.real_resemblance.coverage


def test_smears_within_the_neighbourhoods_do_not_resemble(training, held_out):
    """The large shapes of real images, and none of their ribs: precision alone would let them pass."""
    smears = [ndimage.gaussian_filter(expected(500 + i), (8, 2)) + 0.12 for i in range(24)]
    check = check_samples(samples_of(smears, [0] * 24), training, held_out)
    assert check.resemblance.precision > 0.5 * check.real_resemblance.precision
    assert not check.resembles.answer


def test_a_checkerboard_shows_in_the_spectrum(training):
    board = 0.5 * (-1.0) ** np.indices((SIZE, SIZE)).sum(axis=0)
    marked = GanImages(
        (training.images + board).astype(np.float32),
        training.references,
        training.views,
        training.patients,
        training.spacings_mm,
    )
    clean = resemblance(training, training, len(training))
    assert clean.spectrum == pytest.approx((1, 1, 1))
    assert (clean.precision, clean.coverage, clean.profile) == (1, 1, 0)
    anatomy, edges, noise = resemblance(marked, training, len(training)).spectrum
    assert (anatomy, edges) == pytest.approx((1, 1), rel=0.01)
    assert noise > Limits().power


def test_the_figures_are_json_and_follow_from_the_images(training, held_out):
    samples = patients(500, 6, 9)
    one, again = (check_samples(samples, training, held_out).to_dict() for _ in range(2))
    assert one == again
    read = json.loads(json.dumps(one, allow_nan=False))
    assert read["memorises"] == {"answer": "no", "reasons": []}
    assert read["limits"]["copies"] == 0.05
    assert read["held_out"] is True


def test_too_few_images_say_so(training, held_out):
    with pytest.raises(OptionError, match="there are 4 samples: a check takes at least 8"):
        check_samples(patients(500, 2, 9), training, held_out)
    with pytest.raises(OptionError, match="fewer than 3 patients"):
        one = samples_of([expected(0)] * 8, [0, 1] * 4)
        check_samples(held_out, GanImages(one.images, one.references, one.views, ("p",) * 8, one.spacings_mm), None)


def test_shuffling_keeps_rows_together(training):
    mixed = shuffled(training)
    assert sorted(mixed.patients) == sorted(training.patients)
    assert mixed.patients != training.patients
    for place, name in enumerate(mixed.patients):
        found = [i for i, one in enumerate(training.images) if np.array_equal(one, mixed.images[place])]
        assert [training.patients[i] for i in found] == [name]
        assert training.views[found[0]] == mixed.views[place]


def test_rows_of_images_are_of_one_number(training):
    with pytest.raises(ValueError, match="one reference, one view"):
        GanImages(training.images, training.references[1:], training.views, training.patients, training.spacings_mm)


def test_the_sheet_shows_samples_above_and_real_images_below_as_acquired(training):
    samples = samples_of([expected(500)] * 8, [1] * 8)
    sheet = np.asarray(draw_sheet(samples, training, "0" * 64).convert("L")).astype(float)
    posterior = mirror(samples.images[0])
    shown = 255 * (1 - np.clip(posterior / 2.0, 0, 1))
    tile = sheet[64 : 64 + 256, 40 : 40 + 256]
    small = tile.reshape(SIZE, 4, SIZE, 4).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), shown.ravel())[0, 1] > 0.97
    assert np.corrcoef(small.ravel(), shown[:, ::-1].ravel())[0, 1] < 0.95
