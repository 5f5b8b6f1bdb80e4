"""Pictures to draw on: 8-bit, of the frame's shape, beside every LabelMe file, and never taken for counts."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.drawn import random_masks, result_of, scan_of

from bonescan.annotate import from_label_image, write_labelme
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.errors import InputError, OutputError
from bonescan.evaluate.rounds import RoundOptions, hold_round
from bonescan.reading import read_study
from bonescan.report.overlay import bone_window
from bonescan.report.pictures import view_picture, write_pictures
from bonescan.results.folder import write_result
from bonescan.study import Scan, Spacing, Study, View

SHAPE = (256, 64)


def study_of(seed=1, views=tuple(View)):
    rng = np.random.default_rng(seed)
    return Study("s", {view: Scan(view, rng.poisson(20, SHAPE)) for view in views}, warnings=("look twice",))


def labelme_opens(path: Path) -> None:
    """Open a file as LabelMe 6 does; by its own reader where it is installed (BONESCAN_LABELME names its Python)."""
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["imageData"] is None
    with Image.open(path.parent / document["imagePath"]) as picture:
        assert picture.mode in ("L", "RGB")  # it refuses 16-bit grey
        assert picture.size == (document["imageWidth"], document["imageHeight"])
    assert all(isinstance(flag, bool) for flag in document["flags"].values())
    assert all(shape["points"] for shape in document["shapes"])
    if "BONESCAN_LABELME" in os.environ:
        script = (
            "import sys; from labelme._label_file import read_label_file as r; print(len(r(sys.argv[1]).image_data))"
        )
        done = subprocess.run(
            [os.environ["BONESCAN_LABELME"], "-c", script, str(path)],
            env={
                **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
                "QT_QPA_PLATFORM": "offscreen",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.splitlines()[-1]) > 0


def test_no_count_is_white_and_the_window_is_that_of_the_overlay():
    counts = np.zeros(SHAPE, np.float32)
    counts[100:110, 20:30] = 1000
    grey = view_picture(counts)
    assert (grey.dtype, grey.shape) == (np.uint8, SHAPE)
    assert (grey[counts == 0] == 255).all()
    black = bone_window(counts)
    assert grey[105, 25] == round(255 - 255 * min(1000 / black, 1))
    counts[105, 25] = 2 * black
    assert view_picture(counts)[105, 25] == 0


def test_they_are_8_bit_of_the_frames_shape_and_say_what_is_warned_of(tmp_path):
    paths = write_pictures(study_of(), tmp_path)
    assert [path.name for path in paths] == ["anterior.png", "posterior.png"]
    for path in paths:
        with Image.open(path) as picture:
            assert (picture.mode, picture.size) == ("L", SHAPE[::-1])
        assert b"look twice" in path.read_bytes()
        assert b"Research use only" in path.read_bytes()
    assert len(write_pictures(study_of(2, (View.POSTERIOR,)), tmp_path)) == 1  # replaced


def test_they_are_never_taken_for_counts(tmp_path):
    write_pictures(study_of(), tmp_path)
    with pytest.raises(InputError, match="not 16-bit grey"):
        read_study(tmp_path)


def test_counts_are_never_replaced_by_a_picture(tmp_path):
    counts = Image.fromarray(np.full(SHAPE, 700, np.uint16))
    for view in View:
        counts.save(tmp_path / f"{view}.png")
    before = (tmp_path / "anterior.png").read_bytes()
    with pytest.raises(OutputError, match=r"anterior\.png is there and no 8-bit picture"):
        write_pictures(study_of(), tmp_path)
    assert (tmp_path / "anterior.png").read_bytes() == before


def test_a_result_for_labelme_opens_in_it_and_can_be_written_again(tmp_path):
    rng = np.random.default_rng(4)
    study, origin = scan_of(rng, tmp_path, Header(HeaderStyle.STANDARD), Spacing(2.4, 2.4))
    result = result_of(study, {view: [next(random_masks(rng, study.shape))] for view in View}, warnings=("look twice",))
    for _ in range(2):
        folder = write_result(result, tmp_path / "out", ("labelme",), origin)
        for view in View:
            labelme_opens(folder / f"{view}.json")


def test_what_consensus_writes_opens_in_labelme(tmp_path):
    for reader, shift in (("a", 0), ("b", 6)):
        study = tmp_path / reader / "p" / "s"
        study.mkdir(parents=True)
        write_pictures(study_of(), study)
        drawn = np.zeros(SHAPE, np.uint16)
        drawn[50 + shift : 60 + shift, 20:30] = 1
        for view in View:
            write_labelme(study / f"{view}.json", from_label_image(drawn, f"{view}.png"))
    hold_round([tmp_path / "a", tmp_path / "b"], tmp_path / "round", RoundOptions())
    files = sorted((tmp_path / "round").rglob("*.json"))
    worklists = [path for path in files if path.stem in set(View)]
    assert len(worklists) == 2 + 4
    for path in worklists:
        labelme_opens(path)


@pytest.mark.usefixtures("shared_anatomies")
@pytest.mark.slow
def test_what_simulated_readers_draw_opens_in_labelme(in_process, tmp_path):
    done = in_process(
        "simulate", "-o", "c", "--count", 1, "--seed", 2, "--header", "two-files", "--readers", 2, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "c").rglob("*.json"))
    assert len(files) == 2 + 2 * 2
    for path in files:
        labelme_opens(path)


@pytest.mark.parametrize("style", [HeaderStyle.STANDARD, HeaderStyle.TWO_FILES])
def test_the_command_writes_them_for_every_input(in_process, tmp_path, style):
    rng = np.random.default_rng(4)
    for number, patient in enumerate("ab"):
        (tmp_path / "cohort" / patient / "s").mkdir(parents=True)
        scan_of(rng, tmp_path / "cohort" / patient / "s", Header(style, seed=number), Spacing(2.4, 2.4))
    beside = in_process("pictures", "cohort", "--beside", cwd=tmp_path)
    assert beside.returncode == 0, beside.stderr
    assert "The pictures of 2 studies are beside the scans." in beside.stdout
    for patient in "ab":
        folder = tmp_path / "cohort" / patient / "s"
        assert {path.name for path in folder.glob("*.png")} == {"anterior.png", "posterior.png"}
        assert read_study(folder).shape == SHAPE  # still the scan
    assert in_process("pictures", "cohort", "-o", "out", cwd=tmp_path).returncode == 0
    assert len(list((tmp_path / "out").glob("*-s/*.png"))) == 4


def test_pictures_beside_counts_in_png_are_refused_and_can_be_written_elsewhere(in_process, tmp_path):
    (tmp_path / "s").mkdir()
    for view in View:
        Image.fromarray(np.random.default_rng(1).poisson(20, SHAPE).astype(np.uint16)).save(
            tmp_path / "s" / f"{view}.png"
        )
    refused = in_process("pictures", "s", "--beside", cwd=tmp_path)
    assert refused.returncode == 1
    assert "write elsewhere with -o" in refused.stderr
    assert in_process("pictures", "s", "-o", "out", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out" / "s" / "anterior.png").is_file()


@pytest.mark.parametrize("where", [["-o", "out"], ["--beside"]])
def test_a_folder_without_scans_is_one_sentence_that_names_it(in_process, tmp_path, where):
    (tmp_path / "ward").mkdir()
    (tmp_path / "ward" / "notes.txt").write_text("no scan")
    done = in_process("pictures", "ward", *where, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("bonescan: the folder ward holds no scan; ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_path_that_does_not_exist_is_named_once(in_process, tmp_path):
    done = in_process("pictures", "nowhere", "-o", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "bonescan: nowhere does not exist; check the path\n"
