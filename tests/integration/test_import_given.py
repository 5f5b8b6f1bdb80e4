"""What an import says of the files that it is given: a view without a file, and objects that never hold curves."""

from __future__ import annotations

import json
import shutil

import pydicom
import pytest

READER = "Ada Byron"
MISSING = "no curves were given for the posterior view, so it counts as a view without lesions"


@pytest.fixture(scope="module")
def cli(in_process):
    return in_process


@pytest.fixture(scope="module")
def place(cli, sharing, tmp_path_factory):
    """A simulated study as a scanner writes it, and its result in all formats."""
    folder = tmp_path_factory.mktemp("given")
    with sharing():
        run = cli("simulate", "-o", "scans", "--count", 1, "--seed", 2, "--header", "siemens", cwd=folder)
    assert run.returncode == 0, run.stderr
    run = cli("segment", "scans", "-o", "all", "--format", "json,sr,seg,capture,pdf,gsps,labelme,coco", cwd=folder)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture(scope="module")
def exported(place):
    return next((place / "all").iterdir())


@pytest.mark.parametrize("name", ["anterior.json", "coco.json"])
def test_a_view_without_a_file_is_warned_of_and_one_with_an_empty_file_is_not(cli, place, exported, name, tmp_path):
    document = json.loads((exported / name).read_text())
    if name == "coco.json":
        posterior = next(image for image in document["images"] if "posterior" in image["file_name"])
        kept = [one for one in document["annotations"] if one["image_id"] != posterior["id"]]
        document |= {"annotations": kept, "images": [one for one in document["images"] if one is not posterior]}
    (tmp_path / name).write_text(json.dumps(document))
    given = ("import", tmp_path / name, "--scan", "scans", "--reader", READER)
    run = cli(*given, "-o", tmp_path / "alone", cwd=place)
    assert run.returncode == 0, run.stderr
    assert MISSING in run.stderr
    assert MISSING in json.loads((tmp_path / "alone" / exported.name / "lesions.json").read_text())["warnings"]
    if name == "coco.json":
        document["images"].append(posterior)
        (tmp_path / name).write_text(json.dumps(document))
    else:
        empty = json.loads((exported / "posterior.json").read_text()) | {"shapes": []}
        (tmp_path / "posterior.json").write_text(json.dumps(empty))
        given = ("import", tmp_path / name, tmp_path / "posterior.json", *given[2:])
    run = cli(*given, "-o", tmp_path / "o" / "both", cwd=place)
    assert run.returncode == 0, run.stderr
    assert MISSING not in run.stderr


def test_objects_that_never_hold_curves_are_skipped_in_a_folder_and_refused_by_name(cli, place, exported, tmp_path):
    folder = tmp_path / exported.name
    folder.mkdir()
    others = [path for path in exported.glob("*.dcm") if path.name not in ("lesions-sr.dcm", "lesions-seg.dcm")]
    assert len(others) == 3
    for path in (exported / "coco.json", *others):
        shutil.copy(path, folder)
    run = cli("import", folder, "--scan", "scans", "-o", tmp_path / "o", "--reader", READER, cwd=place)
    assert (run.returncode, "neither a structured report" in run.stderr) == (0, False), run.stderr
    run = cli("import", *others, "--scan", "scans", "-o", tmp_path / "p", "--reader", READER, cwd=place)
    assert run.returncode == 2
    assert run.stderr.count("neither a structured report") == 3
    foreign = pydicom.dcmread(exported / "presentation.dcm")
    foreign.Manufacturer = "Somebody"
    foreign.save_as(folder / "theirs.dcm")
    run = cli("import", folder, "--scan", "scans", "-o", tmp_path / "q", "--reader", READER, cwd=place)
    assert run.returncode == 1
    assert "theirs.dcm" in run.stderr
