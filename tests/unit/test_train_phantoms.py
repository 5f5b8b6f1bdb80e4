"""The cache of simulated patients, and cases from phantoms and cohorts."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from bonescan import phantom
from bonescan.prepare import Normalisation
from bonescan.study import Scan, Study, View
from bonescan.train.cases import FAINT, drawn, pair_counts, pair_labels
from bonescan.train.config import PhantomConfig
from bonescan.train.phantoms import patient_seed, phantom_split

SHAPE = (64, 32)


@dataclass(frozen=True)
class StandIn:
    key: str
    study: Study
    lesions: dict
    faint: dict
    regions: dict


def stand_in(anatomy: int, seed: int) -> StandIn:
    """A phantom in a blink: a lesion in the posterior view only, left of the image as acquired."""
    rng = np.random.default_rng([anatomy, seed])
    counts = {view: rng.poisson(20.0, SHAPE).astype(np.float32) for view in View}
    lesions = {view: np.zeros(SHAPE, dtype=np.uint16) for view in View}
    lesions[View.POSTERIOR][10:14, 2:5] = 1
    regions = {view: (lesion * 4).astype(np.uint8) for view, lesion in lesions.items()}
    study = Study("s", {view: Scan(view, image) for view, image in counts.items()})
    faint = {view: np.zeros(SHAPE, dtype=bool) for view in View}
    faint[View.POSTERIOR][13:20, 2:5] = True
    return StandIn(f"p-{anatomy}-{seed}", study, lesions, faint, regions)


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
        np.testing.assert_array_equal(one.counts, other.counts)
        assert one.facts == other.facts


def test_an_interrupted_simulation_goes_on(config):
    config, made = config
    phantom_split(replace(config, anatomies=1, validation_anatomies=1), Normalisation(), lambda done, total: None)
    assert made == [10, 500_010]
    phantom_split(config, Normalisation(), lambda done, total: None)
    assert made == [10, 500_010, 11, 12, 500_011]


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
    np.testing.assert_array_equal(case.counts[0], truth.study.counts(View.ANTERIOR))
    np.testing.assert_array_equal(case.counts[1], truth.study.counts(View.POSTERIOR)[:, ::-1])
    assert not case.lesions[0].any()
    assert np.argwhere(case.lesions[1])[:, 1].min() == SHAPE[1] - 5
    np.testing.assert_array_equal(case.regions, drawn(case.lesions) * 4)
    # What is drawn is not faint, and a faint lesion is none that training looks for.
    assert np.flatnonzero((case.lesions[1] == FAINT).any(axis=1)).tolist() == [14, 15, 16, 17, 18, 19]
    assert case.facts.lesion_rows == (12,)
    assert case.facts.group == "anatomy-10"


def test_nothing_half_written_stays(config):
    config, _ = config
    phantom_split(config, Normalisation(), lambda done, total: None)
    from pathlib import Path

    folders = [folder for key in Path(config.cache).iterdir() for folder in key.iterdir()]
    assert len(folders) == 5
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == [
            "counts.npy",
            "facts.json",
            "lesions.npy",
            "regions.npy",
        ]


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
    from bonescan.errors import OptionError
    from bonescan.train.cohort import cohort_split
    from bonescan.train.config import CohortConfig

    square = {"label": "lesion", "shape_type": "polygon", "points": [[4, 6], [9, 6], [9, 11], [4, 11]], "flags": {}}
    frame = {"version": "5.0.0", "flags": {}, "imagePath": "", "imageHeight": 512, "imageWidth": 128}
    counts = np.random.default_rng(0).poisson(9.0, (512, 128)).astype(np.uint16)
    for number in range(12):
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
