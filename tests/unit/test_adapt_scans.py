"""Which scans are learned from, and the sentence that says why another is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from bonescan.adapt.scans import digest_of, noise_ratio, read_scans, why_unfit
from bonescan.dicom import values
from bonescan.phantom.camera import count, sample_exposure
from bonescan.study import Scan, Spacing, Study, View

SHAPE = (256, 96)


def make_counts(seed=0, mean=9.0):
    expected = np.zeros(SHAPE)
    expected[20:236, 20:76] = mean
    return np.random.default_rng(seed).poisson(ndimage.gaussian_filter(expected, 4)).astype(np.float32)


def make_study(change=lambda counts: counts, warnings=(), views=tuple(View)):
    scans = {view: Scan(view, change(make_counts(number))) for number, view in enumerate(views)}
    return Study("one", scans, warnings=warnings)


def test_the_noise_of_counts_is_told_from_that_of_filtered_and_scaled_values():
    counts = make_counts()
    assert noise_ratio(counts) == pytest.approx(1.0, abs=0.06)
    assert noise_ratio(np.rint(ndimage.gaussian_filter(counts, 0.7))) < 0.5
    assert noise_ratio(counts * 3) == pytest.approx(3.0, rel=0.06)
    assert noise_ratio(np.zeros(SHAPE)) is None


def test_a_good_study_has_no_reason():
    assert why_unfit(make_study()) is None
    assert why_unfit(make_study(warnings=(values.NO_TRACER,))) is None


@pytest.mark.parametrize(
    ("study", "sentence"),
    [
        (make_study(views=(View.ANTERIOR,)), "the posterior view is missing"),
        (make_study(lambda counts: ndimage.gaussian_filter(counts, 0.7)), "the frames were filtered"),
        (make_study(lambda counts: 4 * counts), "the values are no counts"),
        (replace(make_study(), spacing=Spacing(4.8, 4.8)), "its pixels are 3.2 mm or larger"),
        (make_study(warnings=(values.OTHER_TRACER,)), "not known as a bone tracer"),
        (make_study(warnings=(values.DERIVED,)), "not as acquired"),
        (make_study(warnings=(values.LOSSY,)), "compressed with loss"),
        (make_study(warnings=(values.SEVERAL_ENERGIES,)), "more than one energy window"),
    ],
)
def test_what_would_teach_something_wrong_is_refused_with_a_sentence(study, sentence):
    assert sentence in (why_unfit(study) or "")


def write(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True)
    anterior, posterior = (make_counts(seed + number).astype(np.uint16) for number in (0, 100))
    np.savez(folder / "scan.npz", anterior=anterior, posterior=posterior)


def test_a_simulated_scanner_that_smooths_after_counting_is_refused_rightly():
    rng = np.random.default_rng(0)
    plain = replace(sample_exposure(rng), smoothed=0.0)
    expected = np.full(SHAPE, 9.0, dtype=np.float32)
    assert noise_ratio(count(expected, plain, rng)) == pytest.approx(1.0, abs=0.06)
    for sigma in (0.5, 0.9):  # the least and the most that `sample_exposure` draws
        smoothed = count(expected, replace(plain, smoothed=sigma), rng)
        study = Study("one", {view: Scan(view, smoothed) for view in View})
        assert "the frames were filtered" in (why_unfit(study) or "")


def test_one_patient_under_two_names_is_read_once_and_named(tmp_path):
    write(tmp_path / "anna" / "one", 1)
    write(tmp_path / "anna" / "two", 2)
    write(tmp_path / "berta" / "one", 1)
    write(tmp_path / "carla" / "one", 3)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "scan.npz").write_bytes(b"nothing")
    scans = read_scans([tmp_path])
    assert [scan.number for scan in scans.scans] == [1, 2, 3]
    assert len(scans.patients) == 2
    assert len(scans.left_out) == 2
    assert any("same pixels" in sentence and "another patient" in sentence for sentence in scans.left_out)
    assert any("broken" in sentence and "damaged" in sentence for sentence in scans.left_out)
    assert not any(name in scan.patient for scan in scans.scans for name in ("anna", "carla"))


def test_a_digest_is_of_pixels_alone():
    assert digest_of(make_study()) == digest_of(make_study(warnings=("other",)))
    assert digest_of(make_study()) != digest_of(make_study(lambda counts: counts + 1))
