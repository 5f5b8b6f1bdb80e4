"""The result folder: whole or not there, never over what is not ours."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.left import POSIX, dead, left_by

from bonescan.errors import OptionError, OutputError
from bonescan.pipeline import load_model, segment
from bonescan.reading import read_study
from bonescan.report.pictures import write_label_image, write_labels
from bonescan.results import folder
from bonescan.results.folder import FORMATS, Format, extend_result, write_result
from bonescan.study import View

ALL_FILES = ["labels_anterior.png", "labels_posterior.png", "lesions.json", "overlay.png"]


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_all_formats_appear_under_the_studys_key_and_nothing_else(result, tmp_path):
    out = tmp_path / "not" / "yet"
    assert write_result(result, out) == out / "scan-1"
    assert names(out) == ["scan-1"]
    assert names(out / "scan-1") == ALL_FILES


def test_only_the_wanted_formats_are_written(result, tmp_path):
    assert names(write_result(result, tmp_path, ("json",))) == ["lesions.json"]


def test_an_earlier_result_is_replaced_whole(result, tmp_path):
    write_result(result, tmp_path)
    assert names(write_result(result, tmp_path, ("labels",))) == ["labels_anterior.png", "labels_posterior.png"]
    assert names(tmp_path) == ["scan-1"]


def test_an_unknown_format_is_refused_before_anything_is_written(result, tmp_path):
    with pytest.raises(OptionError, match="'jsn': known are json, labels, png"):
        write_result(result, tmp_path / "out", ("json", "jsn"))
    assert not (tmp_path / "out").exists()


def failing(result, path, origin):
    (path / "lesions.json").write_text("half")
    raise OSError(28, "No space left on device")


def test_a_failure_leaves_nothing_behind_and_an_earlier_result_as_it_was(result, tmp_path, monkeypatch):
    write_result(result, tmp_path, ("json",))
    before = (tmp_path / "scan-1" / "lesions.json").read_text()
    monkeypatch.setitem(FORMATS, "png", Format(("overlay.png",), failing))
    with pytest.raises(OutputError, match="No space left on device"):
        write_result(result, tmp_path)
    assert names(tmp_path) == ["scan-1"]
    assert names(tmp_path / "scan-1") == ["lesions.json"]
    assert (tmp_path / "scan-1" / "lesions.json").read_text() == before


def test_an_interruption_leaves_nothing_behind(result, tmp_path, monkeypatch):
    def interrupted(result, path, origin):
        raise KeyboardInterrupt

    monkeypatch.setitem(FORMATS, "png", Format(("overlay.png",), interrupted))
    with pytest.raises(KeyboardInterrupt):
        write_result(result, tmp_path)
    assert names(tmp_path) == []


@POSIX
def test_what_a_killed_run_left_of_a_result_goes_when_that_result_is_written_again(result, tmp_path):
    left_by(dead(), tmp_path / "scan-1")
    other = left_by(dead(), tmp_path / "scan-2")
    target = write_result(result, tmp_path, ("json",))
    assert names(tmp_path) == [other.name, "scan-1"]
    left_by(dead(), target)
    extend_result(result, target, ("labels",))
    assert names(tmp_path) == [other.name, "scan-1"]


def test_when_the_new_folder_cannot_step_in_the_old_one_comes_back(result, tmp_path, monkeypatch):
    write_result(result, tmp_path, ("json",))
    rename = folder.Path.rename

    def refuse_partial(path, target):
        if path.name.endswith(".partial"):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(folder.Path, "rename", refuse_partial)
    with pytest.raises(OutputError, match="Input/output error"):
        write_result(result, tmp_path)
    assert names(tmp_path) == ["scan-1"]
    assert names(tmp_path / "scan-1") == ["lesions.json"]


def test_a_folder_that_holds_other_files_is_never_replaced(result, tmp_path):
    study = tmp_path / "scan-1"
    study.mkdir()
    (study / "scan.dcm").write_bytes(b"the only copy")
    with pytest.raises(OutputError, match=r"1 file that no result has"):
        write_result(result, tmp_path)
    assert (study / "scan.dcm").read_bytes() == b"the only copy"
    assert names(tmp_path) == ["scan-1"]


def test_a_file_or_a_link_of_that_name_is_never_replaced(result, tmp_path):
    (tmp_path / "scan-1").write_text("mine")
    with pytest.raises(OutputError, match="no folder of a result"):
        write_result(result, tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "scan-1").symlink_to(tmp_path / "other")
    with pytest.raises(OutputError, match="no folder of a result"):
        write_result(result, tmp_path / "linked")


def test_an_output_folder_that_is_a_file_is_one_sentence(result, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_result(result, tmp_path / "out")


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "/etc", ".hidden", "a\0b"])
def test_a_key_never_leads_out_of_the_output_folder(result, tmp_path, key):
    with pytest.raises(OutputError, match="no folder name"):
        write_result(replace(result, study=replace(result.study, key=key)), tmp_path)
    assert names(tmp_path) == []


def test_files_have_the_users_own_permissions(result, tmp_path):
    umask = os.umask(0o022)
    try:
        target = write_result(result, tmp_path)
    finally:
        os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o644}


def test_label_pictures_hold_the_ids_in_the_frames_shape(result, tmp_path):
    write_labels(result, tmp_path)
    for view in View:
        with Image.open(tmp_path / f"labels_{view}.png") as picture:
            assert picture.mode == "I;16"
            labels = np.array(picture)
        np.testing.assert_array_equal(labels, result.labels(view))
        expected = {lesion.id: lesion.measures.area_px for lesion in result.lesions if lesion.view is view}
        assert {number: int((labels == number).sum()) for number in np.unique(labels[labels > 0])} == expected


def test_label_pictures_use_all_16_bits(tmp_path):
    labels = np.array([[0, 1, 255], [256, 40000, 65535]], dtype=np.uint16)
    write_label_image(labels, tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as picture:
        np.testing.assert_array_equal(np.array(picture), labels)


def test_a_view_that_was_not_acquired_has_no_label_picture(make_result, tmp_path):
    write_labels(make_result(views=(View.ANTERIOR,)), tmp_path)
    assert names(tmp_path) == ["labels_anterior.png"]


def test_more_lesions_than_16_bits_number_are_refused(result, tmp_path):
    lesion = replace(result.lesions[0], id=65536)
    with pytest.raises(OutputError, match="65535"):
        write_labels(replace(result, lesions=(lesion,)), tmp_path)


@pytest.mark.parametrize("stated_later", [True, False])
def test_an_export_says_millimetres_as_the_result_does(threshold_bundle, stated_later, tmp_path, in_process):
    """Also where a cohort.toml has come or gone since."""
    scan = tmp_path / "cohort" / "patient" / "study" / "scan.npz"
    scan.parent.mkdir(parents=True)
    counts = np.full((512, 256), 10, dtype=np.uint16)
    counts[100:106, 40:48] = 100
    np.savez(scan, anterior=counts, posterior=counts)
    cohort = tmp_path / "cohort" / "cohort.toml"
    if not stated_later:
        cohort.write_text("spacing_mm = 2.0")
    made = write_result(segment(read_study(scan), load_model(threshold_bundle)), tmp_path / "out", ("json", "html"))
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    if stated_later:
        cohort.write_text("spacing_mm = 2.0")
    else:
        cohort.unlink()
    run = in_process("export", made, "--source", scan, "--format", "json,html", "-o", tmp_path / "later")
    assert run.returncode == 0, run.stderr
    later = tmp_path / "later" / made.name
    assert ("mm\u00b2" in (later / "report.html").read_text()) is not stated_later
    assert {path.name: path.read_bytes() for path in later.iterdir()} == before
