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


THORAX = ("--region", "thorax")
ROWS = ("--window", "300:556")


@pytest.fixture(scope="module", params=[THORAX, ROWS, ("--intervals", 2)], ids=lambda options: options[0])
def part(cli, place, request):
    """The options that say what was looked at, and the result of a part of the scan, or with intervals."""
    out = place / request.param[0]
    run = cli("segment", "scans", "-o", out, "--format", "json,sr,seg,labelme,coco", *request.param, cwd=place)
    assert run.returncode == 0, run.stderr
    return () if request.param[0] == "--intervals" else request.param, next(out.iterdir())


def looked_at(folder):
    """What a result says of where it looked: the region, and the share of the skeleton's mass."""
    document = json.loads((folder / "lesions.json").read_text())
    return document["region"], document["extent"]["mass_seen"], document["extent"]["bones"]


@pytest.mark.parametrize("name", ["lesions-sr.dcm", "lesions-seg.dcm"])
def test_our_own_object_of_a_part_of_the_scan_comes_back_and_names_nobody(cli, place, part, name, tmp_path):
    """From the folder of its result, which says what was looked at, and from elsewhere with the options of segment."""
    options, folder = part
    shutil.copy(folder / name, tmp_path)
    for number, (file, given) in enumerate([(folder / name, ()), (tmp_path / name, options)]):
        out = tmp_path / str(number)
        run = cli("import", file, *given, "--scan", "scans", "-o", out, cwd=place)
        assert run.returncode == 0, run.stderr
        assert json.loads((out / folder.name / "lesions.json").read_text())["reader"] is None
        assert looked_at(out / folder.name) == looked_at(folder)
    if options:
        run = cli("import", tmp_path / name, "--scan", "scans", "-o", tmp_path / "o", cwd=place)
        assert run.returncode == 2
        assert "the --region or --window of segment" in run.stderr


@pytest.mark.parametrize("names", [("anterior.json", "posterior.json"), ("coco.json",)])
def test_corrected_label_files_say_what_part_of_the_scan_they_are_of(cli, place, part, names, tmp_path):
    """Wherever they lie; an option overrules them."""
    _, folder = part
    files = [shutil.copy(folder / name, tmp_path) for name in names]
    given = ("import", *files, "--scan", "scans", "--reader", READER)
    run = cli(*given, "-o", tmp_path / "o", cwd=place)
    assert run.returncode == 0, run.stderr
    assert looked_at(tmp_path / "o" / folder.name) == looked_at(folder)
    run = cli(*given, "-o", tmp_path / "whole", "--region", "whole-body", cwd=place)
    assert run.returncode == 0, run.stderr
    assert looked_at(tmp_path / "whole" / folder.name)[0]["name"] == "whole-body"


def test_the_result_of_another_scan_beside_the_curves_says_nothing(cli, place, exported, tmp_path):
    shutil.copy(exported / "lesions-seg.dcm", tmp_path)
    document = json.loads((exported / "lesions.json").read_text())
    document["study"]["digests"] = ["0" * 64]
    document["region"]["name"] = "thorax"
    (tmp_path / "lesions.json").write_text(json.dumps(document))
    given = ("import", tmp_path / "lesions-seg.dcm", "--scan", "scans", "--reader", READER)
    run = cli(*given, "-o", tmp_path / "o", cwd=place)
    assert run.returncode == 0, run.stderr
    assert looked_at(tmp_path / "o" / exported.name) == looked_at(exported)
