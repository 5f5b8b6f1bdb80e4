"""Simulated readers: the same from the same seed, alike to the truth, and different as people are."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from bonescan.annotate import label_image, read_labelme
from bonescan.errors import OptionError
from bonescan.evaluate import LesionCounts, count_pixels, match_lesions
from bonescan.phantom import cohort
from bonescan.phantom.cohort import CohortOptions, write_cohort, write_reading
from bonescan.phantom.readers import MOST_READERS, Disagreement, Scene, make_reader, read_patient, read_view
from bonescan.study import View

NONE = Disagreement(0, 0, 0, 0, 0, 0, 0, 0)
SHAPE = (200, 100)
EIGHT = np.ones((3, 3))


def scene(*discs, faint=(), background=20.0, heat=100.0, seed=0):
    """Round lesions (row, col, radius) on an even background."""
    row, col = np.indices(SHAPE)
    lesions, dim = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, bool)
    for number, (r, c, radius) in enumerate(discs, start=1):
        lesions[np.hypot(row - r, col - c) <= radius] = number
    for r, c, radius in faint:
        dim[np.hypot(row - r, col - c) <= radius] = True
    mean = background + heat * (lesions > 0)
    counts = np.random.default_rng(seed).poisson(mean).astype(np.float32)
    return Scene(counts, lesions, dim, np.zeros(SHAPE, bool))


def grid(radius, **more):
    return scene(*((row, col, radius) for row in range(20, 190, 20) for col in range(15, 90, 20)), **more)


def read(where, seed=0, number=0, **changes):
    reader = replace(make_reader(seed, number, replace(NONE, **changes)), margin=0.0)
    return read_view(where, reader, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def phantom(patient_of):
    return next(p for p in (patient_of(0, seed) for seed in range(20)) if len(p.table) > 8)


def test_a_reader_without_disagreement_draws_the_truth():
    where = grid(4, faint=[(10, 10, 3)])
    drawn = read(where)
    np.testing.assert_array_equal(drawn > 0, where.lesions > 0)
    assert drawn.dtype == np.uint16
    assert len(np.unique(drawn)) == len(np.unique(where.lesions))
    assert not read(scene()).any()


def test_curves_wander_and_stay_curves():
    where = grid(5)
    drawn = read(where, wobble=0.5, shift=0.3)
    overlap = count_pixels(drawn, where.lesions).dsc
    assert 0.8 < overlap < 0.97
    for number in range(1, drawn.max() + 1):
        pieces, count = ndimage.label(drawn == number, structure=EIGHT)
        assert count == 1
        assert (ndimage.binary_fill_holes(pieces > 0) == (pieces > 0)).all()


def test_a_generous_reader_draws_more_than_a_tight_one():
    where = grid(4)
    areas = [
        (read_view(where, replace(make_reader(0, 0, NONE), margin=margin), np.random.default_rng(0)) > 0).sum()
        for margin in (-0.7, 0.0, 0.7)
    ]
    assert areas[0] < 0.85 * areas[1] < areas[1] < 0.85 * areas[2]
    # However tight, nothing is drawn away.
    tight = read_view(grid(1.5), replace(make_reader(0, 0, NONE), margin=-9.0), np.random.default_rng(0))
    areas = np.bincount(tight.ravel())[1:]
    assert len(areas) == 36
    assert areas.min() >= 4


def test_the_smaller_and_fainter_a_lesion_the_more_often_it_is_missed():
    found = [
        np.mean([len(np.unique(read(grid(radius, heat=heat), seed, missed=0.8))) - 1 for seed in range(5)]) / 36
        for radius, heat in ((2, 8), (2, 25), (5, 25), (5, 100))
    ]
    assert found == sorted(found)
    assert found[0] < 0.7
    assert found[-1] > 0.95


def test_false_marks_are_hot_spots_and_not_on_lesions_or_organs():
    row, col = np.indices(SHAPE)
    hot, organ = np.hypot(row - 50, col - 50) <= 3, np.hypot(row - 120, col - 40) <= 6
    mean = np.full(SHAPE, 10.0)
    mean[hot], mean[organ] = 80, 300
    counts = np.random.default_rng(0).poisson(mean).astype(np.float32)
    where = Scene(counts, np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, bool), organ)
    marks = [read(where, seed, false_marks=1.0) for seed in range(12)]
    on_hot = sum(bool((drawn[hot] > 0).any()) for drawn in marks)
    assert on_hot >= 5
    assert not any((drawn[organ] > 0).any() for drawn in marks)
    assert any(not drawn.any() for drawn in marks)


def test_nothing_is_marked_where_nothing_was_counted():
    nothing = np.zeros(SHAPE, np.uint16)
    dark = Scene(nothing.astype(np.float32), nothing, nothing > 0, nothing > 0)
    assert not read(dark, false_marks=50.0).any()


def test_faint_lesions_are_drawn_by_some():
    where = scene(faint=[(row, 50, 3) for row in range(20, 190, 10)])
    drawn = np.unique(read(where, faint=0.5)).size - 1
    assert 4 <= drawn <= 13
    assert (read(where, faint=1.0) > 0).sum() == where.faint.sum()


def test_neighbours_may_be_drawn_as_one():
    where = scene((50, 30, 4), (50, 40, 4), (100, 50, 4))
    assert len(np.unique(read(where, merged=0.0))) - 1 == 3
    assert len(np.unique(read(where, merged=1.0))) - 1 == 2


def test_readers_follow_from_their_seed_and_number_alone():
    assert make_reader(3, 1) == make_reader(3, 1)
    assert len({make_reader(seed, number).margin for seed in (1, 2) for number in range(3)}) == 6
    assert [make_reader(0, number).name for number in (0, 1, 25)] == ["a", "b", "z"]
    with pytest.raises(ValueError, match="not 26"):
        make_reader(0, MOST_READERS)


def test_pairs_of_readers_agree_on_a_phantom_about_as_people_do(phantom):
    """One patient with many lesions; `readers` says what many patients come to."""
    drawn = [read_patient(phantom, make_reader(2, number)) for number in range(3)]
    again = read_patient(phantom, make_reader(2, 1))
    for view in View:
        np.testing.assert_array_equal(again[view], drawn[1][view])
    pairs = [(0, 1), (0, 2), (1, 2)]
    counts = [
        sum((count_pixels(drawn[i][v], drawn[j][v]) for v in View), count_pixels(*[np.zeros(1)] * 2)) for i, j in pairs
    ]
    assert all(0.5 < count.dsc < 0.9 for count in counts)
    for one in drawn:
        found = sum((match_lesions(one[view], phantom.lesions[view]).counts() for view in View), LesionCounts())
        assert found.true > 5
        assert found.sensitivity > 0.5


def test_a_reading_is_written_beside_the_truth(phantom, tmp_path):
    reader = make_reader(0, 1)
    write_reading(phantom, reader, tmp_path)
    drawn = read_patient(phantom, reader)
    for view in View:
        labels = read_labelme(tmp_path / "reader-b" / f"{view}.json")
        assert labels.image_name == f"../{view}.png"
        np.testing.assert_array_equal(label_image(labels), drawn[view])


def test_a_cohort_holds_as_many_readers_as_were_asked_for(bodies, tmp_path, monkeypatch):
    monkeypatch.setattr(cohort, "make_anatomy", lambda seed: bodies[0])
    for readers in (0, 1, 2):
        write_cohort(CohortOptions(tmp_path / str(readers), 1, 5, readers=readers))
    files = [
        {path.relative_to(folder): path.read_bytes() for path in sorted((folder / "patient-0000").rglob("*.*"))}
        for folder in (tmp_path / "0", tmp_path / "1", tmp_path / "2")
    ]
    assert [len(one) for one in files] == [4, 8, 10]  # with readers, a picture of each view, too
    assert files[0].items() <= files[1].items() <= files[2].items()
    assert "readers = 2" in (tmp_path / "2" / "cohort.toml").read_text()
    assert "readers" not in (tmp_path / "0" / "cohort.toml").read_text()
    with pytest.raises(OptionError, match="27 readers"):
        write_cohort(CohortOptions(tmp_path / "many", 1, 5, readers=27))


@pytest.mark.usefixtures("shared_anatomies")
@pytest.mark.slow
def test_simulated_readers_hold_a_round_on_the_command_line(in_process, tmp_path):
    done = in_process("simulate", "-o", tmp_path / "cohort", "--count", 1, "--seed", 2, "--readers", 3)
    assert done.returncode == 0, done.stderr
    done = in_process("consensus", tmp_path / "cohort", "-o", tmp_path / "round", "--tolerance", "0.4", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["readers"], report["images"]) == (["a", "b", "c"], 2)
