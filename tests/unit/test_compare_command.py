"""`bonescan compare`: what it refuses before anything is segmented, a series of scans, and two patients."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest

import bonescan.pipeline
import bonescan.serial.report
from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.study import Scan, Spacing, Study, View

HOT = ((100, 30, 90.0),)
"""Row, column and counts of a rectangle."""


def write_scan(folder, key, patient="P-1", date="2024-01-01", seed=0, views=tuple(View), hot=HOT, scale=1.0):
    """A patient of slabs with hot rectangles in the anterior view."""
    expected = np.full((256, 64), 0.05)
    for rows, cols in (((10, 40), (22, 42)), ((40, 140), (8, 56)), ((140, 240), (12, 28)), ((140, 240), (36, 52))):
        expected[slice(*rows), slice(*cols)] = 8.0
    marked = expected.copy()
    for row, col, counts in hot:
        marked[row : row + 6, col : col + 6] = counts
    rng = np.random.default_rng(seed)
    drawn = {View.ANTERIOR: rng.poisson(scale * marked), View.POSTERIOR: rng.poisson(scale * expected)}
    scans = {view: Scan(view, drawn[view].astype(np.float32)) for view in views}
    folder.mkdir(parents=True)
    study = Study(key, scans, spacing=Spacing(2.4, 2.4), acquired=date)
    write_nm(study, folder / "scan.dcm", Header(HeaderStyle.GE, patient=patient))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with three studies of a patient, and a pipeline that must not be reached."""

    def reached(*_):
        raise AssertionError("segmented before it was refused")

    monkeypatch.setattr(bonescan.pipeline, "segment_with_maps", reached)
    for number in (1, 2, 3):
        write_scan(tmp_path / f"series/p/study-{number}", f"s{number}", date=f"2024-0{number}-01", seed=number)
    for view in View:
        write_scan(tmp_path / view, view, views=(view,))
    (tmp_path / "file").write_text("a file")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["series/p/study-1"], "1 scan cannot be compared: give two or more, oldest first"),
        (
            ["series"],
            "series holds 3 studies: give each, oldest first: series/p/study-1 series/p/study-2 series/p/study-3\n",
        ),
        (["series/p/study-1", "series/p"], "series/p holds 3 studies: give each, oldest first"),
        (["series/p/study-1", "gone"], "gone does not exist"),
        (["gone"], "gone does not exist"),
        (
            ["series/p/study-2", "series/p/study-1"],
            "the scans were acquired on 2024-02-01, 2024-01-01: give the oldest first",
        ),
        (["series/p/study-1", "series/p/study-1"], "a scan is given twice"),
        (["anterior", "posterior"], "anterior and posterior have no view in common: give scans of the same view"),
        (["series/p/study-1", "series/p/study-2", "-o", "file"], "the output file is a file: give a folder with -o"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_segmented(place, in_process, arguments, sentence):
    out = [] if "-o" in arguments else ["-o", "out"]
    run = in_process("compare", *arguments, *out, cwd=place)
    assert run.returncode == 2
    assert sentence in run.stderr
    assert not (place / "out").exists()


def test_a_series_is_compared_with_the_rule_of_progression(tmp_path, in_process, pointed_bundle):
    """Two new lesions, one of them below the threshold of a single scan, and two more in the scan after."""
    faint, *more = (50, 30, 55.0), (75, 20, 90.0), (120, 40, 90.0), (190, 16, 90.0)
    for number, added in enumerate(([], [faint, more[0]], [faint, *more])):
        # So many counts that noise lifts no pixel of the faint one over the threshold.
        write_scan(tmp_path / f"s{number}", f"s{number}", seed=number, hot=[*HOT, *added], scale=100.0)
    arguments = ("--model", pointed_bundle, "--pcwg3", "--intervals", 2, "--json")
    run = in_process("compare", "s0", "s1", "s2", "-o", "out", *arguments, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told == json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [(one["key"], one["operating_point"], one["extent"]["draws"]) for one in told["scans"]] == [
        (f"s{number}", "balanced", 2) for number in range(3)
    ]
    assert [(one["verdict"], one["dates_from_scan"]) for one in told["pcwg3"]["verdicts"]] == [
        ("two or more new lesions, to be confirmed by the next scan", None), ("progression", 1),
    ]  # fmt: skip
    first, second = (
        [(one["status"], one["below_threshold"]) for one in pair["lesions"]] for pair in told["comparisons"]
    )
    assert sorted(first) == [("new", False), ("new", True), ("persistent", False)]
    assert sorted(second) == [("new", False)] * 2 + [("persistent", False)] * 3


def test_different_patients_are_warned_of_everywhere_and_not_named(tmp_path, in_process, threshold_bundle):
    for number, patient in enumerate(("HOSP-4711", "HOSP-4711", "HOSP-4712")):
        write_scan(tmp_path / f"s{number}", f"s{number}", patient, seed=number)
    for new, warned in (("s1", False), ("s2", True)):
        run = in_process("compare", "s0", new, "-o", new + "-out", "--model", threshold_bundle, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        page = (tmp_path / f"{new}-out" / "comparison-1.html").read_text()
        document = json.loads((tmp_path / f"{new}-out" / "comparison.json").read_text())
        said = "different Patient IDs"
        assert [said in text for text in (run.stdout, page)] == [warned, warned]
        assert any(said in warning for warning in document["comparisons"][0]["warnings"]) is warned
        assert not any("HOSP" in text for text in (run.stdout, page, json.dumps(document)))


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_is_told_with_a_remedy_and_leaves_nothing_unfinished(
    tmp_path, in_process, threshold_bundle, monkeypatch, there
):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for number in range(2):
        write_scan(tmp_path / f"s{number}", f"s{number}", seed=number)
    if there:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "comparison.json").write_text("before")
    monkeypatch.setattr(bonescan.serial.report, "comparison_html", full)  # the last file of a pair
    run = in_process("compare", "s0", "s1", "-o", "out", "--model", threshold_bundle, cwd=tmp_path)
    assert run.returncode == 2
    assert "(No space left on device): free space on its disk or choose another folder with -o" in run.stderr
    assert (tmp_path / "out").exists() is there
    if there:
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["comparison.json"]
        assert (tmp_path / "out" / "comparison.json").read_text() == "before"
