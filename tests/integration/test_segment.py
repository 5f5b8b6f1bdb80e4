"""The command line as its users run it: simulate, segment, read what was written, evaluate.

Tests with `cli` start it as a shell does; those with `in_process` ask only what a command does.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bonescan import pipeline
from bonescan.results.folder import write_result
from bonescan.study import View

EVERY_OUTPUT = {"lesions.json", "labels_anterior.png", "labels_posterior.png", "overlay.png"}


@pytest.fixture(scope="module")
def cohort(in_process, sharing, tmp_path_factory) -> Path:
    """Two simulated patients."""
    folder = tmp_path_factory.mktemp("simulated") / "cohort"
    with sharing():
        done = in_process("simulate", "-o", folder, "--count", 2, "--seed", 5, "--header", "ge")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def segmented(cli, cohort):
    """The run of `segment` on them, and its folder."""
    out = cohort.parent / "result"
    return cli("segment", cohort, "-o", out), out


def scans(cohort: Path) -> list[Path]:
    return sorted(cohort.rglob("*.dcm"))


def lesions_of(study: Path) -> dict:
    return json.loads((study / "lesions.json").read_text())


def test_every_study_has_every_output_and_nothing_else_is_left(segmented):
    done, out = segmented
    assert done.returncode == 0, done.stderr
    studies = sorted(out.iterdir())
    assert len(studies) == 2
    for study in studies:
        assert {path.name for path in study.iterdir()} == EVERY_OUTPUT


def test_the_terminal_shows_a_table_a_study_and_says_research_use_only(segmented):
    done, out = segmented
    for study in out.iterdir():
        assert study.name in done.stdout
    assert "research use only" in done.stdout.lower()
    assert "Traceback" not in done.stderr


def test_json_and_label_pictures_tell_the_same_lesions(segmented):
    for study in segmented[1].iterdir():
        found = lesions_of(study)
        assert found["research_use_only"] is True
        for view in View:
            with Image.open(study / f"labels_{view}.png") as picture:
                labels = np.asarray(picture)
            here = [lesion for lesion in found["lesions"] if lesion["view"] == view]
            assert labels.shape == tuple(found["views"][view]["shape"])
            assert set(np.unique(labels)) - {0} == {lesion["id"] for lesion in here}
            for lesion in here:
                assert np.count_nonzero(labels == lesion["id"]) == lesion["area_px"]
                assert lesion["contour"][0] == lesion["contour"][-1]


def test_the_same_input_gives_the_same_result(in_process, cohort, segmented, tmp_path):
    assert in_process("segment", cohort, "-o", tmp_path / "again").returncode == 0
    for study in segmented[1].iterdir():
        assert lesions_of(study)["lesions"] == lesions_of(tmp_path / "again" / study.name)["lesions"]


def test_a_study_is_written_while_the_next_is_segmented(in_process, cohort, tmp_path, monkeypatch):
    begun, order = threading.Event(), []

    def segment(study, *others):
        order.append(f"begins {study.key}")
        if len(order) == 2:
            begun.set()
        return pipeline.segment_with_maps(study, *others)[0]

    def write(result, *others):
        assert begun.wait(60), "the second study was not begun before the first was written"
        order.append(f"writes {result.study.key}")
        return write_result(result, *others)

    monkeypatch.setattr(pipeline, "segment", segment)
    monkeypatch.setattr("bonescan.results.folder.write_result", write)
    done = in_process("segment", cohort, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    first, second = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert order == [f"begins {first}", f"begins {second}", f"writes {first}", f"writes {second}"]
    assert done.stdout.index(first) < done.stdout.index(second)


def test_evaluate_compares_with_the_truth(in_process, cohort, segmented, tmp_path):
    report = tmp_path / "report.json"
    done = in_process("evaluate", segmented[1], cohort, "-o", report)
    assert done.returncode == 0, done.stderr
    assert "research use only" in done.stdout.lower()
    told = json.loads(report.read_text())
    truth = [np.load(path)[f"lesions_{view}"] for path in cohort.rglob("truth.npz") for view in View]
    assert (told["scans"], told["not_scored"]) == (2, {"studies": 0, "views": 0, "results": 0})
    assert told["lesion"]["true"] == sum(len(np.unique(labels)) - 1 for labels in truth) > 0


def test_json_is_one_document_and_names_failures(cli, cohort, tmp_path):
    garbage = tmp_path / "garbage.dcm"
    garbage.write_bytes(b"not a scan" * 100)
    done = cli("segment", scans(cohort)[0], garbage, "-o", tmp_path / "out", "--json", "--format", "json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["research_use_only"] is True
    (study,) = told["studies"]
    assert {path.name for path in Path(study["folder"]).iterdir()} == {"lesions.json"}
    assert study["lesions"] == len(lesions_of(Path(study["folder"]))["lesions"])
    (failure,) = told["failures"]
    assert failure["files"] == [str(garbage)]


def test_garbage_among_good_files_does_not_stop_the_others(in_process, cohort, tmp_path):
    folder = tmp_path / "mixed"
    for number, scan in enumerate(scans(cohort)):
        shutil.copytree(scan.parent, folder / f"study{number}")
    for name, content in {
        "empty": b"",
        "garbage": b"\x00\xff" * 500,
        "cut": scans(cohort)[0].read_bytes()[:5000],
    }.items():
        (folder / name).mkdir()
        (folder / name / "scan.dcm").write_bytes(content)
    done = in_process("segment", folder, tmp_path / "missing.dcm", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert len(list((tmp_path / "out").iterdir())) == 2
    for name in ("empty", "garbage", "cut", "missing"):
        assert sum(name in line for line in done.stderr.splitlines()) >= 1, name
    assert "2 done, 4 failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_names_the_file_where_the_study_is_named_after_its_folder(in_process, tmp_path, threshold_bundle):
    (tmp_path / "ward").mkdir()
    (tmp_path / "ward" / "broken.dcm").write_bytes(b"not a scan")
    done = in_process("segment", "ward", "-o", "out", "--model", threshold_bundle, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("bonescan: ward (ward/broken.dcm): the file is not a DICOM file")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nothing", "bonescan: nothing does not exist; check the path\n"),
        ("notes.sh", "bonescan: notes.sh: the file is not a DICOM file (no DICM marker)"),
    ],
)
def test_a_failure_names_the_file_once(in_process, tmp_path, threshold_bundle, given, said):
    (tmp_path / "notes.sh").write_text("not a scan")
    done = in_process("segment", given, "-o", "out", "--model", threshold_bundle, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(said)


def test_an_output_folder_that_is_a_file_is_named_without_talk_of_space(in_process, cohort, tmp_path, threshold_bundle):
    (tmp_path / "taken").write_text("a file")
    done = in_process("segment", scans(cohort)[0], "-o", "taken", "--model", threshold_bundle, cwd=tmp_path)
    assert done.returncode == 1
    assert "Not a directory; choose another output folder with -o" in done.stderr


def test_an_output_folder_among_the_inputs_is_not_read_again(in_process, cohort, tmp_path, threshold_bundle):
    shutil.copytree(cohort, tmp_path / "cohort")
    for _ in range(2):
        done = in_process("segment", ".", "-o", "result", "--model", threshold_bundle, cwd=tmp_path / "cohort")
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / "cohort" / "result").iterdir())) == 2


@pytest.mark.parametrize(("given", "out"), [("cohort", "cohort"), ("cohort", "cohort/../cohort/"), (".", ".")])
def test_the_folder_that_is_read_is_no_output_folder(in_process, cohort, tmp_path, threshold_bundle, given, out):
    shutil.copytree(cohort, tmp_path / "cohort")
    before = sorted(tmp_path.rglob("*"))
    done = in_process("segment", given, "-o", out, "--model", threshold_bundle, cwd=tmp_path)
    assert done.returncode == 2
    assert "is the folder that is read" in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_pictures_that_the_next_run_would_read_are_written_outside_the_inputs(
    in_process, cohort, tmp_path, threshold_bundle
):
    shutil.copytree(cohort, tmp_path / "cohort")
    asked = ("--format", "json,labelme", "--model", threshold_bundle)
    done = in_process("segment", "cohort", "-o", "cohort/result", *asked, cwd=tmp_path)
    assert done.returncode == 2
    assert "cohort/result lies in cohort" in done.stderr
    assert not (tmp_path / "cohort" / "result").exists()
    for _ in range(2):
        assert in_process("segment", "cohort", "-o", "result", *asked, cwd=tmp_path).returncode == 0


def test_results_may_lie_beside_a_scan_that_was_named(in_process, cohort, tmp_path, threshold_bundle):
    shutil.copy(scans(cohort)[0], tmp_path / "scan.dcm")
    for _ in range(2):
        done = in_process("segment", "scan.dcm", "-o", ".", "--model", threshold_bundle, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"scan", "scan.dcm"}


def test_scans_that_a_shell_lists_are_told_apart_and_evaluated(in_process, cohort, tmp_path, threshold_bundle):
    out = tmp_path / "out"
    done = in_process("segment", *scans(cohort), "-o", out, "--format", "labels", "--model", threshold_bundle)
    assert done.returncode == 0, done.stderr
    assert sorted(study.name for study in out.iterdir()) == ["patient-0000-study-scan", "patient-0001-study-scan"]
    report = json.loads(in_process("evaluate", out, cohort, "--json").stdout)
    assert (report["scans"], report["not_scored"]) == (2, {"studies": 0, "views": 0, "results": 0})


@pytest.mark.parametrize("kind", ["missing", "empty folder", "text"])
def test_a_single_bad_input_is_one_sentence_and_exit_1(in_process, tmp_path, kind):
    path = tmp_path / "input"
    if kind == "empty folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("not a scan")
    done = in_process("segment", path, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.startswith(("bonescan: input: ", f"bonescan: {path} does not exist"))
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not list((tmp_path / "out").glob("*"))


def test_a_model_that_is_not_there_is_exit_2(in_process, cohort, tmp_path):
    done = in_process("segment", cohort, "-o", tmp_path / "out", "--model", "oracle")
    assert done.returncode == 2
    assert done.stderr.startswith("bonescan: ")
    assert "oracle" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_thorax_and_a_stated_window(in_process, tmp_path, threshold_bundle):
    """Of two hot rectangles, the one in the legs lies outside both windows."""
    counts = np.zeros((512, 128), np.uint16)
    counts[40:480, 30:98] = 10
    counts[200:206, 60:66] = counts[440:446, 60:66] = 100
    np.savez(tmp_path / "scan.npz", **dict.fromkeys(View, counts))
    command = ("segment", tmp_path / "scan.npz", "--format", "json", "--model", threshold_bundle)
    seen = {}
    for name, arguments in {"found": ["--region", "thorax"], "stated": ["--window", "100:356"], "all": []}.items():
        done = in_process(*command, "-o", tmp_path / name, *arguments)
        assert done.returncode == 0, done.stderr
        (study,) = (tmp_path / name).iterdir()
        found = lesions_of(study)
        seen[name] = found["region"], sorted({min(row for row, _ in one["contour"]) for one in found["lesions"]})
    (region, rows), (stated, stated_rows) = seen["found"], seen["stated"]
    assert (region["name"], stated["name"], stated["rows"]) == ("thorax", "thorax", [100, 356])
    assert region["rows"][1] - region["rows"][0] == 256
    assert region["rows"][0] <= 200
    assert rows == stated_rows == [199.5]
    assert seen["all"][1] == [199.5, 439.5]
    outside = in_process(*command, "-o", tmp_path / "outside", "--window", "100:5000")
    assert outside.returncode == 1
    assert "5000" in outside.stderr


def test_one_stated_view_reads_the_real_view_that_pydicom_ships(in_process, tmp_path):
    from pydicom.data import get_testdata_file

    scan = get_testdata_file("JPEG2000.dcm")
    refused = in_process("segment", scan, "-o", tmp_path / "out")
    assert refused.returncode == 1
    assert "--views" in refused.stderr
    done = in_process("segment", scan, "-o", tmp_path / "out", "--views", "anterior")
    assert done.returncode == 0, done.stderr
    (study,) = (tmp_path / "out").iterdir()
    assert {path.name for path in study.iterdir()} == EVERY_OUTPUT - {"labels_posterior.png"}
    assert any("posterior" in warning for warning in lesions_of(study)["warnings"])


def test_segment_needs_no_torch(cli, cohort, tmp_path):
    """As on a machine that has only the base: importing torch fails."""
    (tmp_path / "torch.py").write_text("raise ImportError('there is no torch here')")
    done = cli("segment", scans(cohort)[0], "-o", tmp_path / "out", shadow=tmp_path)
    assert done.returncode == 0, done.stderr


def test_an_interruption_leaves_whole_studies_only(cohort, tmp_path):
    inputs, out = tmp_path / "inputs", tmp_path / "out"
    for number in range(30):
        shutil.copytree(scans(cohort)[0].parent, inputs / f"study{number:02d}")
    child = subprocess.Popen(
        [sys.executable, "-m", "bonescan", "segment", inputs, "-o", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell in the background ignores the signal, and children inherit that; there are no threads here.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    assert child.stdout is not None
    while "Written to" not in child.stdout.readline():
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said.splitlines()[-1].startswith("bonescan: stopped; what was finished is complete")
    studies = list(out.iterdir())
    assert 1 <= len(studies) < 30
    assert all({path.name for path in study.iterdir()} == EVERY_OUTPUT for study in studies)
