"""Results go out in every format and come back from other tools, through the command line."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pydicom
import pytest
from PIL import Image

FORMATS = "json,labels,png,sr,seg,capture,pdf,gsps,labelme,coco"
READER = "Ada Byron"


@pytest.fixture(scope="module")
def cli(in_process):
    """In this process: docs/how-to/correct-curves.md, which the tests run, exports and imports by child processes."""
    return in_process


@pytest.fixture(scope="module")
def place(cli, sharing, tmp_path_factory):
    """A simulated study as a scanner writes it, and its result."""
    folder = tmp_path_factory.mktemp("export")
    with sharing():
        run = cli("simulate", "-o", "scans", "--count", 1, "--seed", 2, "--header", "siemens", cwd=folder)
    assert run.returncode == 0, run.stderr
    assert cli("segment", "scans", "-o", "first", cwd=folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def result(place):
    return next((place / "first").iterdir())


@pytest.fixture(scope="module")
def exported(cli, place, result):
    """The result with all formats beside."""
    run = cli("export", "first", "--source", "scans", "--format", FORMATS, "-o", "all", cwd=place)
    assert run.returncode == 0, run.stderr
    return place / "all" / result.name


def lesions(folder):
    return json.loads((folder / "lesions.json").read_text())["lesions"]


def labels(folder):
    return [np.asarray(Image.open(folder / f"labels_{view}.png")) for view in ("anterior", "posterior")]


def test_an_export_says_the_same_as_the_result(result, exported):
    for name in ("lesions.json", "labels_anterior.png", "labels_posterior.png", "overlay.png"):
        assert (exported / name).read_bytes() == (result / name).read_bytes()
    assert len(list(exported.iterdir())) == 15


def test_segment_writes_the_same_objects_as_a_later_export(cli, place, exported):
    run = cli("segment", "scans", "-o", "at-once", "--format", "sr,seg", cwd=place)
    assert run.returncode == 0, run.stderr
    for name in ("lesions-sr.dcm", "lesions-seg.dcm"):
        once, later = (pydicom.dcmread(folder / name) for folder in (place / "at-once" / exported.name, exported))
        assert once.SOPInstanceUID == later.SOPInstanceUID


def test_files_are_added_to_the_results_own_folder(cli, place, result, tmp_path):
    own = tmp_path / result.name
    shutil.copytree(result, own)
    run = cli("export", own, "--source", place / "scans", "--format", "sr,coco")
    assert run.returncode == 0, run.stderr
    assert {path.name for path in own.iterdir()} == {path.name for path in result.iterdir()} | {
        "lesions-sr.dcm",
        "coco.json",
    }
    assert [path.name for path in tmp_path.iterdir()] == [own.name]


def test_another_scan_than_the_one_it_was_made_from_is_refused(cli, place, other):
    run = cli("export", "first", "--source", other.parents[1] / "scans", "--format", "sr", cwd=place)
    assert run.returncode == 2
    assert "none of the files given is the " in run.stderr


def test_a_source_without_a_header_has_no_objects(cli, place, tmp_path):
    scan = next((place / "scans").rglob("*.dcm"))
    dataset = pydicom.dcmread(scan)
    folder = tmp_path / "pictures" / "one"
    folder.mkdir(parents=True)
    for view, frame in zip(("anterior", "posterior"), dataset.pixel_array, strict=True):
        Image.fromarray(frame.astype(np.uint16)).save(folder / f"{view}.png")
    run = cli("segment", "pictures", "-o", "out", "--format", "json,sr", cwd=tmp_path)
    assert run.returncode == 1
    assert "sr is an object in the study of a DICOM source" in run.stderr
    run = cli("segment", "pictures", "-o", "out", "--format", "json,pdf,labelme,coco", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert {path.name for path in (tmp_path / "out" / "one").iterdir()} == {
        "lesions.json",
        "report.pdf",
        "anterior.png",
        "posterior.png",
        "anterior.json",
        "posterior.json",
        "coco.json",
    }
    assert cli("segment", "pictures", "-o", "out", "--identify", cwd=tmp_path).returncode == 1
    assert cli("export", "out", "--source", "pictures", "--format", "png,coco", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("name", ["lesions-sr.dcm", "lesions-seg.dcm"])
def test_our_own_object_comes_back_as_it_went_and_names_nobody(cli, place, exported, name, tmp_path):
    run = cli("import", exported / name, "--scan", "scans", "-o", tmp_path, "--json", cwd=place)
    assert run.returncode == 0, run.stderr
    (done,) = json.loads(run.stdout)["studies"]
    assert done["reader"] is None
    back = tmp_path / exported.name
    for came, went in zip(labels(back), labels(exported), strict=True):
        np.testing.assert_array_equal(came, went)
    assert [one["region"] for one in lesions(back)] == [one["region"] for one in lesions(exported)]


@pytest.mark.parametrize("names", [("anterior.json", "posterior.json"), ("coco.json",), ("lesions-seg.dcm",)])
def test_curves_of_every_kind_come_back_without_a_pixel_changed(cli, place, exported, names, tmp_path):
    files = [exported / name for name in names]
    run = cli("import", *files, "--scan", "scans", "-o", tmp_path, "--reader", READER, cwd=place)
    assert run.returncode == 0, run.stderr
    assert f"by the reader {READER}" in run.stdout
    for came, went in zip(labels(tmp_path / exported.name), labels(exported), strict=True):
        np.testing.assert_array_equal(came, went)


def test_a_report_corrected_elsewhere_is_that_readers(cli, place, exported, tmp_path):
    """Another tool removes a lesion, moves a vertex of the next one, and signs as a person."""
    dataset = pydicom.dcmread(exported / "lesions-sr.dcm")
    (measurements,) = [
        item for item in dataset.ContentSequence if "ConceptNameCodeSequence" in item
        and item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]  # fmt: skip
    groups = [
        one for one in measurements.ContentSequence if any(item.ValueType == "SCOORD" for item in one.ContentSequence)
    ]
    places = {id(group): place for place, group in enumerate(measurements.ContentSequence)}
    moved = next(item for item in groups[1].ContentSequence if item.ValueType == "SCOORD")
    points = np.reshape(moved.GraphicData, (-1, 2))
    moved.GraphicData = (points.mean(axis=0) + 1.5 * (points - points.mean(axis=0))).ravel().tolist()
    del measurements.ContentSequence[places[id(groups[0])]]
    signed = pydicom.Dataset()
    signed.RelationshipType, signed.ValueType, signed.PersonName = "HAS OBS CONTEXT", "PNAME", "Byron^Ada"
    name = pydicom.Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121008", "DCM", "Person Observer Name"
    signed.ConceptNameCodeSequence = [name]
    dataset.ContentSequence.insert(0, signed)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.save_as(tmp_path / "corrected.dcm")
    run = cli("import", tmp_path / "corrected.dcm", "--scan", "scans", "-o", tmp_path / "out", cwd=place)
    assert run.returncode == 0, run.stderr
    before, after = lesions(exported), lesions(tmp_path / "out" / exported.name)
    assert len(after) == len(before) - 1
    assert after[0]["area_px"] > 1.5 * before[1]["area_px"]
    assert [one["area_px"] for one in after[1:]] == [one["area_px"] for one in before[2:]]
    assert json.loads((tmp_path / "out" / exported.name / "lesions.json").read_text())["reader"] == "Byron Ada"


def test_nobody_draws_anonymously(cli, place, exported, tmp_path):
    run = cli("import", exported / "anterior.json", "--scan", "scans", "-o", tmp_path / "out", cwd=place)
    assert run.returncode == 2
    assert "--reader" in run.stderr
    assert not (tmp_path / "out").exists()
    folder = tmp_path / f"reader-{READER}" / exported.name
    folder.mkdir(parents=True)
    shutil.copy(exported / "anterior.json", folder)
    run = cli("import", folder, "--scan", "scans", "-o", tmp_path / "out", cwd=place)
    assert run.returncode == 0, run.stderr
    assert f"by the reader {READER}" in run.stdout


def test_curves_of_another_scan_and_files_that_are_none_are_named_and_the_others_go_on(
    cli, place, other, exported, tmp_path
):
    theirs = other / "lesions-sr.dcm"
    (tmp_path / "broken.dcm").write_bytes(theirs.read_bytes()[:2000])
    run = cli(
        "import", exported / "lesions-sr.dcm", theirs, tmp_path / "broken.dcm", "--scan", "scans", "-o", tmp_path / "o",
        cwd=place,
    )  # fmt: skip
    assert run.returncode == 1
    assert "belongs to none of the scans" in run.stderr
    assert len(list((tmp_path / "o").iterdir())) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "no JSON document"),
        ('{"shapes": [{"points": [[NaN, 1]]}]}', "no JSON document"),
        ('{"shapes": 3}', "no list of shapes"),
        ('{"images": [], "annotations": [{"image_id": 1}]}', "does not list"),
        ('{"images": [{"id": 1, "file_name": "anterior.png", "height": 1e9, "width": 4}],'
         ' "annotations": [{"image_id": 1, "segmentation": []}]}', "draw on the frame as acquired"),
        ('{"images": [{"id": 1, "file_name": "anterior.png", "height": 1024, "width": 256}],'
         ' "annotations": [{"image_id": 1, "segmentation": [], "bbox": [1, 1, 2, 2]}]}', "box alone"),
        ('{"images": [{"id": 1, "file_name": "anterior.png", "height": 1024, "width": 256}],'
         ' "annotations": [{"image_id": 1, "segmentation": {"size": [1024, 256], "counts": [9999999999]}}]}',
         "do not fill"),
        ('{"images": [{"id": 1, "file_name": "x.png", "height": 1024, "width": 256}],'
         ' "annotations": [{"image_id": 1, "segmentation": [[1, 1, 3, 1, 3, 3]]}]}', "not that of a view"),
    ],
    ids=lambda value: value[:24],
)  # fmt: skip
def test_hostile_json_is_one_sentence(cli, place, text, why, tmp_path):
    (tmp_path / "anterior.json").write_text(text)
    run = cli("import", tmp_path / "anterior.json", "--scan", "scans", "-o", tmp_path / "o", "--reader", "x", cwd=place)
    assert run.returncode == 2
    assert why in run.stderr
    assert "Traceback" not in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "o").exists()


@pytest.fixture(scope="module")
def other(cli, sharing, tmp_path_factory):
    """A study of somebody else, with label files."""
    folder = tmp_path_factory.mktemp("other")
    with sharing():
        run = cli("simulate", "-o", "scans", "--count", 1, "--seed", 5, "--header", "siemens", cwd=folder)
    assert run.returncode == 0, run.stderr
    run = cli("segment", "scans", "-o", "results", "--format", "json,labelme,coco,sr", cwd=folder)
    assert run.returncode == 0, run.stderr
    return next((folder / "results").iterdir())


def unstamped(source, target):
    """A label file as another tool writes it, which says nothing of the pixels."""
    document = json.loads(source.read_text())
    document.pop("bonescan", None)
    document.get("info", {}).pop("bonescan", None)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document))
    return target


def moved(path):
    """Somebody moves the first lesion's vertices."""
    document = json.loads(path.read_text())
    for point in document["shapes"][0]["points"]:
        point[0] += 3.0
    path.write_text(json.dumps(document, indent=2))


@pytest.mark.parametrize("name", ["anterior.json", "coco.json"])
def test_label_files_of_another_patient_are_not_taken_for_the_only_scans(cli, place, other, name, tmp_path):
    run = cli("import", other / name, "--scan", "scans", "-o", tmp_path / "o", "--reader", READER, cwd=place)
    assert run.returncode == 2
    assert "belongs to none of the scans" in run.stderr
    assert not (tmp_path / "o").exists()


def test_a_label_file_finds_its_scan_among_several_whatever_it_is_called(cli, place, other, exported, tmp_path):
    shutil.copy(exported / "coco.json", tmp_path / "mine.json")
    scans = [place / "scans", other.parents[1] / "scans"]
    run = cli("import", tmp_path / "mine.json", "--scan", *scans, "-o", tmp_path / "o", "--reader", READER)
    assert run.returncode == 0, run.stderr
    for came, went in zip(labels(next((tmp_path / "o").iterdir())), labels(exported), strict=True):
        np.testing.assert_array_equal(came, went)


def test_the_anterior_file_under_the_posterior_name_is_refused(cli, place, exported, tmp_path):
    document = json.loads((exported / "anterior.json").read_text()) | {"imagePath": ""}
    (tmp_path / "posterior.json").write_text(json.dumps(document))
    run = cli("import", tmp_path, "--scan", "scans", "-o", tmp_path / "o", "--reader", READER, cwd=place)
    assert run.returncode == 2
    assert "the other view than its name says" in run.stderr


def test_other_tools_files_below_a_folder_need_the_studys_name(cli, place, exported, other, tmp_path):
    """Whose they are is said by their folder alone; with one scan, too."""
    unstamped(exported / "anterior.json", tmp_path / "drawn" / exported.name / "anterior.json")
    unstamped(other / "anterior.json", tmp_path / "drawn" / "somebody" / "anterior.json")
    run = cli("import", tmp_path / "drawn", "--scan", "scans", "-o", tmp_path / "o", "--reader", READER, cwd=place)
    assert run.returncode == 1
    assert "somebody" in run.stderr
    assert "belongs to none of the scans" in run.stderr
    np.testing.assert_array_equal(labels(tmp_path / "o" / exported.name)[0], labels(exported)[0])


def test_files_of_two_folders_or_of_one_view_are_not_merged(cli, place, exported, tmp_path):
    one = unstamped(exported / "anterior.json", tmp_path / "a" / "anterior.json")
    two = unstamped(exported / "anterior.json", tmp_path / "a" / "anterior-2.json")
    far = unstamped(exported / "posterior.json", tmp_path / "b" / "posterior.json")
    for files, why in (((one, two), "both of the anterior view"), ((one, far), "in 2 folders")):
        run = cli("import", *files, "--scan", "scans", "-o", tmp_path / "o", "--reader", READER, cwd=place)
        assert run.returncode == 2
        assert why in run.stderr
    assert not (tmp_path / "o").exists()


def test_the_folder_that_holds_the_corrected_curves_is_not_replaced(cli, place, exported, tmp_path):
    own = tmp_path / exported.name
    shutil.copytree(exported, own)
    moved(own / "anterior.json")
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    run = cli("import", own / "anterior.json", "--scan", "scans", "-o", tmp_path, "--reader", READER, cwd=place)
    assert run.returncode == 2
    assert "choose another output folder" in run.stderr
    run = cli("export", own, "--source", "scans", "--format", "labelme", cwd=place)
    assert run.returncode == 2
    assert "was changed since it was written" in run.stderr
    run = cli("segment", "scans", "-o", tmp_path, cwd=place)
    assert run.returncode != 0
    assert "was changed since it was written" in run.stderr
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before
    assert cli("export", own, "--source", "scans", "--format", "coco", cwd=place).returncode == 0


def test_what_an_import_has_to_change_is_counted(cli, place, exported, tmp_path):
    """A ring around a lesion, a curve out of the frame, and a lesion under a smaller one."""

    def square(left, top, side):
        return [[left, top], [left + side, top], [left + side, top + side], [left, top + side]]

    shapes = [
        {"label": "a", "points": square(100, 100, 20), "shape_type": "polygon"},
        {"label": "ring", "points": [*square(10, 10, 9), [10, 10], *square(13, 13, 3), [13, 13], [10, 10]]},
        {"label": "inner", "points": square(14, 14, 1)},
        {"label": "out", "points": square(250, 1000, 30)},
        {"label": "under", "points": square(40, 40, 4)},
        {"label": "over", "points": square(40, 40, 4)},
    ]
    document = {"shapes": shapes, "imageHeight": 1024, "imageWidth": 256}
    (tmp_path / "anterior.json").write_text(json.dumps(document))
    run = cli(
        "import", tmp_path / "anterior.json", "--scan", "scans", "-o", tmp_path / "o", "--reader", READER, "--json",
        cwd=place,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    (done,) = json.loads(run.stdout)["studies"]
    said = " | ".join(done["warnings"])
    assert "1 of the curves reached beyond the frame" in said
    assert "16 pixels lay in two of the curves" in said
    assert "1 lesions lay wholly under smaller ones and are gone" in said
    assert "3 pixels of rings around other lesions were removed" in said
    assert done["lesions"] == 5


def test_pipes_and_links_among_label_files_are_passed_over(cli, place, exported, other, tmp_path):
    folder = tmp_path / exported.name
    folder.mkdir()
    os.mkfifo(folder / "a.json")
    os.mkfifo(folder / "b.dcm")
    (folder / "c.json").symlink_to(other / "anterior.json")
    shutil.copy(exported / "anterior.json", folder)
    run = cli("import", folder, "--scan", "scans", "-o", tmp_path / "o", "--reader", READER, cwd=place)
    assert run.returncode == 0, run.stderr
    run = cli("import", folder / "a.json", "--scan", "scans", "-o", tmp_path / "p", "--reader", READER, cwd=place)
    assert run.returncode == 2
    assert "is no file" in run.stderr


def test_export_into_the_folder_above_a_result_adds_to_it(cli, place, result, tmp_path):
    own = tmp_path / result.name
    shutil.copytree(result, own)
    run = cli("export", ".", "--source", place / "scans", "--format", "coco", "-o", "..", cwd=own)
    assert run.returncode == 0, run.stderr
    assert {path.name for path in own.iterdir()} == {path.name for path in result.iterdir()} | {"coco.json"}


def test_two_results_of_one_name_do_not_overwrite_each_other(cli, place, result, tmp_path):
    for folder in ("a", "b"):
        shutil.copytree(result, tmp_path / folder / result.name)
    folders = tmp_path / "a", tmp_path / "b"
    run = cli("export", *folders, "--source", "scans", "--format", "coco", "-o", tmp_path / "o", cwd=place)
    assert run.returncode == 1
    assert "is a result of the same name" in run.stderr


def test_a_folder_of_all_formats_names_the_files_to_give(cli, place, exported, tmp_path):
    run = cli("import", exported, "--scan", "scans", "-o", tmp_path / "out", "--reader", READER, cwd=place)
    assert run.returncode == 2
    assert "has curves in 4 formats (coco, labelme, seg, sr): name the corrected files, for example" in run.stderr
    assert f"{exported / 'anterior.json'} {exported / 'posterior.json'}" in run.stderr
