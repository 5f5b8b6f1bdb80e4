"""Pictures of phantoms: all columns, two sizes; beside people outside the repository only."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image
from tests.scripts import ROOT, script

from bonescan.study import Scan, Study, View

SHAPE = (1024, 256)


@pytest.fixture(scope="module")
def drawn():
    return script("benchmarks/phantom_sheet.py")


@pytest.fixture
def run(drawn, patient_of, monkeypatch):
    """Run the script with arguments, with shared patients; scans_of gives what `people` holds."""

    def run(*arguments, people=()):
        monkeypatch.setattr(sys, "argv", ["phantom_sheet.py", *map(str, arguments)])
        monkeypatch.setattr(drawn, "phantom", lambda number: patient_of(0, number % 3))
        monkeypatch.setattr(drawn, "scans_of", lambda folder: list(people))
        drawn.main()

    return run


def study_of(counts):
    return Study("p", {view: Scan(view, counts) for view in View})


def body():
    """A body of 10 counts, a hand at each edge of the frame."""
    counts = np.zeros(SHAPE, dtype=np.float32)
    counts[100:600, 60:200] = 10
    counts[400:420, :4] = counts[400:420, -4:] = 40
    return counts


def test_a_picture_shows_both_views_with_all_their_columns_and_its_own_brightness(drawn):
    picture = drawn.picture(study_of(body()))
    assert picture.shape == (1024, 512, 3)
    for col in (1, 254, 257, 510):
        assert picture[410, col].max() < 30
    assert picture[50].min() == 255
    np.testing.assert_array_equal(drawn.picture(study_of(3 * body())), picture)


def test_another_frame_is_cut_or_filled_up(drawn):
    counts = body()
    larger = np.pad(counts, ((0, 30), (0, 20)))
    for other in (larger, counts[:900]):
        np.testing.assert_array_equal(drawn.picture(study_of(other)), drawn.picture(study_of(counts)))


def test_a_sheet_is_of_half_size_and_full_size_keeps_each_pixel(drawn, run, patient_of, tmp_path):
    run("--patients", 7, "-o", tmp_path / "sheet.png")
    run("--full", 3, 1, "-o", tmp_path / "full.png")
    with Image.open(tmp_path / "sheet.png") as sheet, Image.open(tmp_path / "full.png") as full:
        assert sheet.width == 6 * 512 // 2
        assert full.width == 2 * 512
        assert len(full.getcolors()) <= drawn.GREYS[1] + 1
        seen = np.asarray(full.convert("L")).astype(int)
    expected = np.concatenate([drawn.picture(patient_of(0, number).study)[..., 0] for number in (0, 1)], axis=1)
    rows = np.flatnonzero((expected < 200).any(axis=1))
    first = rows[0] - drawn.MARGIN
    assert len(seen) == rows[-1] + 1 + drawn.MARGIN - first
    assert np.abs(seen - expected[first : first + len(seen)]).max() <= 8  # greys are 4 apart


def test_the_truth_is_outlined_in_red(run, drawn, patient_of, tmp_path):
    number = next(seed for seed in range(3) if patient_of(0, seed).lesions[View.ANTERIOR].any())
    run("--full", number, "--outlines", "-o", tmp_path / "full.png")
    with Image.open(tmp_path / "full.png") as full:
        colours = {colour for _, colour in full.convert("RGB").getcolors()}
    assert {colour for colour in colours if len(set(colour)) > 1} == {drawn.RED}


def test_people_are_drawn_beside_phantoms_at_full_size(run, drawn, patient_of, tmp_path):
    people = [study_of(body()), Study("one", {View.ANTERIOR: Scan(View.ANTERIOR, body())})]
    run("--beside", tmp_path, "-o", tmp_path / "beside.png", people=people)
    with Image.open(tmp_path / "beside.png") as beside:
        assert beside.width == 2 * 512
        person = np.asarray(beside.convert("L"))[:, 512:].astype(int)
    expected = drawn.picture(people[0])[..., 0]
    (first,) = {np.flatnonzero(person[:, 128] < 200)[0] - np.flatnonzero(expected[:, 128] < 200)[0]}
    assert np.abs(person[first + 100 : first + 600] - expected[100:600]).max() <= 8
    assert [path.name for path in tmp_path.iterdir()] == ["beside.png"]


@pytest.mark.parametrize("out", [[], ["-o", ROOT / "docs" / "people.png"], ["-o", ROOT / "src" / ".." / "x.png"]])
def test_pictures_of_people_are_refused_within_the_repository(run, out, tmp_path, capsys):
    before = (ROOT / "docs" / "images" / "phantoms.png").read_bytes()
    with pytest.raises(SystemExit) as stopped:
        run("--beside", tmp_path, *out, people=[study_of(body())])
    assert stopped.value.code == 2
    assert "outside the repository" in capsys.readouterr().err
    assert (ROOT / "docs" / "images" / "phantoms.png").read_bytes() == before
    assert not (ROOT / "docs" / "people.png").exists()
    assert not (ROOT / "x.png").exists()


def test_a_folder_without_scans_of_people_is_refused(run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("--beside", tmp_path, "-o", tmp_path / "x.png")
    assert "no scan with both views" in capsys.readouterr().err
