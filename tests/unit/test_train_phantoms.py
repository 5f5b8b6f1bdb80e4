"""The cache of simulated patients, and cases from phantoms and cohorts."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event

import numpy as np
import pytest
from tests.left import POSIX, dead, left_by

from bonescan import phantom
from bonescan.errors import OptionError
from bonescan.prepare import Normalisation, skeletal_reference
from bonescan.study import Scan, Study, View
from bonescan.train import phantoms
from bonescan.train.cases import FAINT, drawn, pair_counts, pair_labels
from bonescan.train.config import PhantomConfig
from bonescan.train.phantoms import (
    in_order,
    patient_seed,
    phantom_split,
    read_shard,
    training_shards,
    validation_shards,
)

SHAPE = (64, 32)


@dataclass(frozen=True)
class StandIn:
    key: str
    study: Study
    expected: dict
    lesions: dict
    faint: dict
    regions: dict
    benign: dict
    levels: dict


def stand_in(anatomy: int, seed: int) -> StandIn:
    """A phantom in a blink: a lesion in the posterior view only, left of the image as acquired."""
    rng = np.random.default_rng([anatomy, seed])
    expected = {view: rng.uniform(5.0, 4000.0, SHAPE).astype(np.float32) for view in View}
    counts = {view: rng.poisson(image).astype(np.float32) for view, image in expected.items()}
    lesions = {view: np.zeros(SHAPE, dtype=np.uint16) for view in View}
    lesions[View.POSTERIOR][10:14, 2:5] = 1
    regions = {view: (lesion * 4).astype(np.uint8) for view, lesion in lesions.items()}
    study = Study("s", {view: Scan(view, image) for view, image in counts.items()})
    faint = {view: np.zeros(SHAPE, dtype=bool) for view in View}
    faint[View.POSTERIOR][13:20, 2:5] = True
    benign = {view: np.zeros(SHAPE, dtype=np.uint16) for view in View}
    benign[View.ANTERIOR][40:44, 6:9] = 7
    levels = {view: (image > 0).astype(np.uint8) * 12 for view, image in lesions.items()}
    return StandIn(f"p-{anatomy}-{seed}", study, expected, lesions, faint, regions, benign, levels)


@pytest.fixture
def config(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(phantom, "make_anatomy", lambda seed: made.append(seed) or seed)
    monkeypatch.setattr(phantom, "make_patient", stand_in)
    config = PhantomConfig(
        anatomies=3,
        patients_per_anatomy=2,
        validation_anatomies=2,
        validation_patients_per_anatomy=1,
        first_seed=10,
        cache=str(tmp_path / "cache"),
        processes=1,
    )
    return config, made


def test_cases_are_split_by_anatomy_and_kept(config):
    config, made = config
    reports = []
    split = phantom_split(config, Normalisation(), lambda done, total: reports.append((done, total)))
    assert made == [10, 11, 12, 500_010, 500_011]
    assert reports == [(done, 5) for done in range(6)]
    assert (len(split.training), len(split.validation)) == (6, 2)
    again = phantom_split(config, Normalisation(), lambda done, total: reports.append((done, total)))
    assert len(made) == 5
    for one, other in zip(split.training, again.training, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.counts, other.counts)
        assert one.facts == other.facts


def test_an_interrupted_simulation_goes_on(config):
    config, made = config
    phantom_split(replace(config, anatomies=1, validation_anatomies=1), Normalisation(), lambda done, total: None)
    assert made == [10, 500_010]
    phantom_split(config, Normalisation(), lambda done, total: None)
    assert made == [10, 500_010, 11, 12, 500_011]


@POSIX
def test_what_a_killed_simulation_left_goes_with_the_next_one_of_the_same_anatomy(config):
    config, _ = config
    shards = training_shards(config, Normalisation())
    left_by(dead(), shards[0].folder)
    phantom_split(config, Normalisation(), lambda done, total: None)
    assert not list(shards[0].folder.parent.glob(".*"))


def test_another_normalisation_or_number_of_patients_is_another_cache(config):
    config, made = config
    for other in (config, replace(config, patients_per_anatomy=3)):
        phantom_split(other, Normalisation(), lambda done, total: None)
    assert made.count(10) == 2
    phantom_split(config, Normalisation(reference_percentile=80.0), lambda done, total: None)
    assert made.count(10) == 3


def test_a_case_holds_the_posterior_view_mirrored(config):
    config, _ = config
    case = phantom_split(config, Normalisation(), lambda done, total: None).training[1]
    truth = stand_in(10, patient_seed(10, 1))
    assert case.expected
    # Half precision: right to one in two thousand, a twentieth of the noise of four thousand counts.
    np.testing.assert_allclose(case.image[0], truth.expected[View.ANTERIOR], rtol=1 / 2000)
    np.testing.assert_allclose(case.image[1], truth.expected[View.POSTERIOR][:, ::-1], rtol=1 / 2000)
    np.testing.assert_array_equal(case.levels, drawn(case.lesions) * 12)
    assert np.argwhere(case.benign).tolist() == [[0, row, col] for row in range(40, 44) for col in range(6, 9)]
    assert case.benign.max() == 1
    assert not case.lesions[0].any()
    assert np.argwhere(case.lesions[1])[:, 1].min() == SHAPE[1] - 5
    np.testing.assert_array_equal(case.regions, drawn(case.lesions) * 4)
    # What is drawn is not faint, and a faint lesion is none that training looks for.
    assert np.flatnonzero((case.lesions[1] == FAINT).any(axis=1)).tolist() == [14, 15, 16, 17, 18, 19]
    assert case.facts.lesion_rows == (12,)
    assert case.facts.benign_rows == (42,)
    assert case.facts.group == "anatomy-10"


def test_nothing_half_written_stays(config):
    config, _ = config
    phantom_split(config, Normalisation(), lambda done, total: None)
    from pathlib import Path

    folders = [folder for key in Path(config.cache).iterdir() for folder in key.iterdir()]
    assert len(folders) == 5
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == [
            "benign.npy",
            "expected.npy",
            "facts.json",
            "lesions.npy",
            "levels.npy",
            "regions.npy",
        ]


def test_counts_are_one_draw_of_what_is_expected_and_references_are_those_of_counts(config):
    config, _ = config
    one, other = phantom_split(config, Normalisation(), lambda done, total: None).training[:2]
    np.testing.assert_array_equal(one.counts, one.counts)
    z = (one.counts - one.image.astype(np.float64)) / np.sqrt(one.image.astype(np.float64))
    assert z.mean() == pytest.approx(0.0, abs=0.06)
    assert z.std() == pytest.approx(1.0, abs=0.04)
    again = (other.counts - other.image.astype(np.float64)) / np.sqrt(other.image.astype(np.float64))
    assert abs(np.corrcoef(z.ravel(), again.ravel())[0, 1]) < 0.06
    assert one.facts.references[0] == skeletal_reference(one.counts)


def test_validation_comes_evenly_among_the_anatomies_that_are_simulated_later(config):
    config, _ = config
    config = replace(config, anatomies=40, validation_anatomies=22)
    training, validation = training_shards(config, Normalisation()), validation_shards(config, Normalisation())
    now, later = in_order(training, validation, 20)
    assert now == training[:20] + validation[:12]
    assert [shard for shard in later if shard in training] == training[20:]
    assert [shard for shard in later if shard in validation] == validation[12:]
    assert [shard in validation for shard in later] == [False, True, False] * 10


def test_what_is_simulated_beside_is_waited_for(config, monkeypatch):
    """A stand-in for the process: it simulates in a thread, as a process would not see the other stand-ins."""
    config, made = config
    config = replace(config, first_anatomies=1)
    go = Event()

    @contextmanager
    def pool(processes, niceness=0):
        assert (processes, niceness) == (1, 10)
        with ThreadPoolExecutor(1) as threads:
            threads.submit(go.wait, 10)
            yield threads

    monkeypatch.setattr(phantoms, "process_pool", pool)
    with phantoms.Simulation() as simulation:
        split = phantom_split(config, Normalisation(), lambda done, total: None, simulation)
        assert made == [10, 500_010, 500_011]
        assert (len(split.training), len(split.validation)) == (6, 2)
        assert split.training[1].facts.group == "anatomy-10"
        go.set()
        assert split.training[5].facts.group == "anatomy-12"
    assert made == [10, 500_010, 500_011, 11, 12]


def test_an_anatomy_that_nobody_simulates_is_said(config):
    config, _ = config
    with pytest.raises(OptionError, match="anatomy-10 is not simulated yet"):
        read_shard(training_shards(config, Normalisation())[0])


def test_counts_beyond_sixteen_bits_are_held_at_the_largest():
    study = Study("s", {View.POSTERIOR: Scan(View.POSTERIOR, np.array([[70_000.0, 2.6]]))})
    pair = pair_counts(study)
    assert pair.dtype == np.uint16
    assert pair.tolist() == [[[0, 0]], [[3, 65_535]]]


def test_lesions_beyond_a_byte_stay_lesions():
    labels = np.array([[0, 1, 300]], dtype=np.uint16)
    assert pair_labels({View.ANTERIOR: labels}, (1, 3)).tolist() == [[[0, 1, 254]], [[0, 0, 0]]]


def test_a_cohort_is_read_with_its_labels(tmp_path):
    pytest.importorskip("bonescan.annotate.labelme")
    from bonescan.train.cohort import cohort_split
    from bonescan.train.config import CohortConfig

    square = {"label": "lesion", "shape_type": "polygon", "points": [[4, 6], [9, 6], [9, 11], [4, 11]], "flags": {}}
    frame = {"version": "5.0.0", "flags": {}, "imagePath": "", "imageHeight": 512, "imageWidth": 128}
    for number in range(12):
        counts = np.random.default_rng(number).poisson(9.0, (512, 128)).astype(np.uint16)
        folder = tmp_path / f"patient-{number:02d}" / "study-1"
        folder.mkdir(parents=True)
        np.savez(folder / "scan.npz", anterior=counts, posterior=counts)
        (folder / "posterior.json").write_text(json.dumps(frame | {"shapes": [square]}))
    split = cohort_split(CohortConfig(str(tmp_path), validation_share=0.4), Normalisation())
    assert len(split.training) + len(split.validation) == 12
    assert split.training
    assert split.validation
    case = split.training[0]
    assert case.facts.labelled == (False, True)
    assert not case.facts.has_regions
    rows, cols = np.nonzero(case.lesions[1])
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (6, 10, 127 - 8, 127 - 4)
    with pytest.raises(OptionError, match="there is no cohort folder"):
        cohort_split(CohortConfig(str(tmp_path / "none")), Normalisation())
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionError, match="holds no label file"):
        cohort_split(CohortConfig(str(tmp_path / "empty")), Normalisation())
