"""Results and truth in folders: which belong together, which side of a data set is scored, and what is refused."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.scored import EMPTY, QUICK
from tests.scored import picture as _picture

from bonescan.annotate import from_label_image, write_labelme
from bonescan.annotate.label_json import counts_digest
from bonescan.annotate.labelme import stamped
from bonescan.bundle import LEARNED_FROM
from bonescan.errors import InputError, LabelError, OptionError
from bonescan.evaluate import evaluate_folders, report_text
from bonescan.lesions.contours import contour_of
from bonescan.reading import read_study
from bonescan.study import View


def _write_labels(folder, anterior=None, posterior=None, probability=None):
    folder.mkdir(parents=True)
    for view, picture in (("anterior", anterior), ("posterior", posterior)):
        if picture is not None:
            Image.fromarray(picture).save(folder / f"labels_{view}.png")
    if probability is not None:
        lesions = [{"id": number, "probability": value} for number, value in probability.items()]
        (folder / "lesions.json").write_text(json.dumps({"lesions": lesions}), encoding="utf-8")


def _write_truth(folder, anterior, posterior):
    folder.mkdir(parents=True)
    np.savez(folder / "truth.npz", lesions_anterior=anterior, lesions_posterior=posterior)


def test_folders_are_compared_by_the_names_that_segment_gives(tmp_path):
    lesion = _picture((1, 3, 3, 4))
    _write_truth(tmp_path / "cohort" / "p1" / "scan", lesion, EMPTY)
    labelme = tmp_path / "cohort" / "p2" / "scan"
    labelme.mkdir(parents=True)
    write_labelme(labelme / "anterior.json", from_label_image(lesion))
    write_labelme(labelme / "posterior.json", from_label_image(EMPTY))
    _write_labels(tmp_path / "out" / "p1-scan", lesion, EMPTY, {1: 0.75})
    _write_labels(tmp_path / "out" / "p2-scan", EMPTY, EMPTY)
    report = evaluate_folders(tmp_path / "out", tmp_path / "cohort", QUICK)
    assert (report["patients"], report["scans"], report["images"]) == (2, 2, 4)
    assert report["lesion"]["sensitivity"]["value"] == 0.5
    assert report["pixel"]["dsc"]["value"] == 0.75
    assert report["froc"]["points"][0]["threshold"] == 0.75
    assert report["warnings"] == []


def _contour(picture):
    return contour_of(picture > 0).tolist()


def test_the_curve_goes_on_below_the_operating_point_with_the_candidates(tmp_path):
    missed, found, wrong = _picture((1, 3, 3, 4)), _picture((2, 12, 12, 4)), _picture((3, 3, 14, 4))
    _write_truth(tmp_path / "cohort" / "p1" / "scan", missed + found, EMPTY)
    folder = tmp_path / "out" / "p1-scan"
    _write_labels(folder, found, EMPTY, {2: 0.3})
    without = evaluate_folders(tmp_path / "out", tmp_path / "cohort", QUICK)
    document = json.loads((folder / "lesions.json").read_text())
    # Likelier than the outline on average, and still below it: another curve, through another operating point.
    candidates = [
        {"view": "anterior", "peak": 0.5, "contour": _contour(wrong)},
        {"view": "anterior", "peak": 0.2, "contour": _contour(missed)},
        {"view": "posterior", "peak": 0.1, "contour": _contour(missed)},
    ]
    (folder / "lesions.json").write_text(json.dumps(document | {"candidates": candidates}))
    report = evaluate_folders(tmp_path / "out", tmp_path / "cohort", QUICK)
    assert {name: part for name, part in report.items() if name != "froc"} == {
        name: part for name, part in without.items() if name != "froc"
    }
    rows = [tuple(point.values()) for point in report["froc"]["points"]]
    assert rows == [(None, 0.1, 1.0, 2.0), (None, 0.2, 1.0, 1.0), (None, 0.5, 0.5, 1.0), (0.3, None, 0.5, 0.0)]
    assert report["froc"]["sensitivity_at"] == {"0.25": 0.5, "0.5": 0.5, "1.0": 1.0, "2.0": 1.0}
    assert without["froc"]["sensitivity_at"]["2.0"] == 0.5
    # What the model found below its operating point is not what a reader marked.
    (folder / "lesions.json").write_text(json.dumps(document | {"candidates": candidates, "reader": "alice"}))
    assert evaluate_folders(tmp_path / "out", tmp_path / "cohort", QUICK) == without


def test_a_candidate_that_cannot_be_read_is_named(tmp_path):
    _write_truth(tmp_path / "cohort" / "p1" / "scan", EMPTY, EMPTY)
    _write_labels(tmp_path / "out" / "p1-scan", EMPTY, EMPTY)
    for contour in ([1, 2, 3], [[1, 2], [3]], "curve", None):
        document = {"lesions": [], "candidates": [{"view": "anterior", "peak": 0.5, "contour": contour}]}
        (tmp_path / "out" / "p1-scan" / "lesions.json").write_text(json.dumps(document))
        with pytest.raises(LabelError, match=r"lesions\.json of p1-scan cannot be read"):
            evaluate_folders(tmp_path / "out", tmp_path / "cohort", QUICK)


@pytest.mark.parametrize("peak", ["NaN", "1e999", "5", "-1", "1" + 400 * "0"])
def test_a_probability_that_is_none_is_named(tmp_path, peak):
    _write_truth(tmp_path / "cohort" / "p1" / "scan", EMPTY, EMPTY)
    _write_labels(tmp_path / "out" / "p1-scan", EMPTY, EMPTY)
    square = "[[1, 1], [1, 3], [3, 3], [3, 1], [1, 1]]"
    candidate = f'{{"view": "anterior", "peak": {peak}, "contour": {square}}}'
    lesion = f'{{"id": 1, "probability": {peak}}}'
    for document in (f'{{"lesions": [], "candidates": [{candidate}]}}', f'{{"lesions": [{lesion}]}}'):
        (tmp_path / "out" / "p1-scan" / "lesions.json").write_text(document)
        with pytest.raises(LabelError, match=r"lesions\.json of p1-scan cannot be read"):
            evaluate_folders(tmp_path / "out", tmp_path / "cohort", QUICK)


@pytest.mark.parametrize(("number", "far"), [("1" + 400 * "0", "1"), (str(2**70), "1e300"), ("1", "1" + 400 * "0")])
def test_numbers_that_are_too_large_end_in_no_crash(tmp_path, number, far):
    _write_truth(tmp_path / "cohort" / "p1" / "scan", EMPTY, EMPTY)
    _write_labels(tmp_path / "out" / "p1-scan", EMPTY, EMPTY)
    contour = f"[[1, 1], [1, {far}], [3, 3], [1, 1]]"
    lesion = f'{{"id": {number}, "probability": 0.5}}'
    candidate = f'{{"view": "anterior", "peak": 0.5, "contour": {contour}}}'
    (tmp_path / "out" / "p1-scan" / "lesions.json").write_text(
        f'{{"lesions": [{lesion}], "candidates": [{candidate}]}}'
    )
    with suppress(LabelError):
        evaluate_folders(tmp_path / "out", tmp_path / "cohort", QUICK)


def test_scans_that_the_model_learned_from_are_said_first(tmp_path):
    for name, warnings in (("p1", [LEARNED_FROM]), ("p2", []), ("p3", ["look twice", LEARNED_FROM])):
        _write_truth(tmp_path / "cohort" / name / "scan", EMPTY, EMPTY)
        _write_labels(tmp_path / "out" / f"{name}-scan", EMPTY, EMPTY, {})
        lesions = tmp_path / "out" / f"{name}-scan" / "lesions.json"
        lesions.write_text(json.dumps({"lesions": [], "warnings": warnings}), encoding="utf-8")
    report = evaluate_folders(tmp_path / "out", tmp_path / "cohort", QUICK)
    said = "the model learned from or was fitted to 2 of 3 scored scans: the figures say nothing about other patients"
    assert report["warnings"] == [said]
    assert said in report_text(report)


def test_a_single_study_and_a_patient_folder_are_matched_too(tmp_path):
    _write_truth(tmp_path / "cohort" / "p1" / "s1", EMPTY, EMPTY)
    _write_labels(tmp_path / "one" / "s1", EMPTY, EMPTY)
    for truth in ("cohort", "cohort/p1", "cohort/p1/s1"):
        assert evaluate_folders(tmp_path / "one", tmp_path / truth, QUICK)["images"] == 2
    assert evaluate_folders(tmp_path / "one" / "s1", tmp_path / "cohort", QUICK)["images"] == 2


def test_what_is_on_one_side_only_is_named_and_not_scored(tmp_path):
    for patient in ("p1", "p2"):
        _write_truth(tmp_path / "cohort" / patient / "s", EMPTY, EMPTY)
    _write_labels(tmp_path / "out" / "p1-s", EMPTY)
    _write_labels(tmp_path / "out" / "p9-s", EMPTY, EMPTY)
    report = evaluate_folders(tmp_path / "out", tmp_path / "cohort", QUICK)
    assert report["images"] == 1
    assert report["warnings"] == [
        "not scored: 1 labelled study without a result (p2-s)",
        "not scored: 1 labelled view without a result (p1-s posterior)",
        "not scored: 1 result without labels (p9-s)",
    ]
    assert report["not_scored"] == {"studies": 1, "views": 1, "results": 1}
    text = report_text(report).splitlines()
    # What a failed run left out comes before the figures that it flatters.
    assert text[0] == "warning: not scored: 1 labelled study without a result (p2-s)"
    assert text[3] == "1 patient, 1 scan (1 without lesions), 1 image"


def _divided(folder, leaky=False):
    """A data set of a test patient, its copy that is not used, and a training patient; and results for all."""
    lesion = _picture((1, 3, 3, 4))
    rows = ["study,split"]
    for study, side in (("p1/s", "test"), ("p1/s-geometric-01", "unused"), ("p2/s", "train")):
        _write_truth(folder / "set" / study, lesion, EMPTY)
        # Of the training patient everything is found: a model knows its own.
        _write_labels(folder / "out" / study.replace("/", "-"), lesion if side == "train" else EMPTY, EMPTY)
        rows.append(f"{study},{side}")
    (folder / "set" / "index.csv").write_text("\n".join(rows))
    (folder / "set" / "dataset.toml").write_text(f"leaky = {str(leaky).lower()}\n")
    return folder / "out", folder / "set"


def test_the_test_patients_of_a_data_set_alone_are_scored(tmp_path):
    out, truth = _divided(tmp_path)
    for root in (truth, truth / "p1"):
        report = evaluate_folders(out, root, QUICK)
        assert (report["scans"], report["lesion"]["found"]) == (1, 0)
        assert report["split"]["scored"] == "test"
        assert report["not_scored"]["results"] == (0 if root == truth else 1)
    report = evaluate_folders(out, truth, QUICK)
    assert report_text(report).startswith("warning: test patients alone are scored; 2 studies")
    assert [scan["study"] for scan in report["per_scan"]] == ["p1/s"]


@pytest.mark.parametrize(("split", "scans", "found"), [("train", 1, 1), ("all", 3, 1)])
def test_anything_but_the_test_patients_is_said_first(tmp_path, split, scans, found):
    out, truth = _divided(tmp_path)
    report = evaluate_folders(out, truth, QUICK, split)
    assert (report["scans"], report["lesion"]["found"]) == (scans, found)
    assert "trained on" in report_text(report).splitlines()[0]


def test_a_leaky_data_set_is_named(tmp_path):
    out, truth = _divided(tmp_path, leaky=True)
    assert "too high" in evaluate_folders(out, truth, QUICK)["warnings"][0]


def test_a_side_of_a_cohort_that_is_not_divided_is_refused(tmp_path):
    _write_truth(tmp_path / "cohort" / "p" / "s", EMPTY, EMPTY)
    _write_labels(tmp_path / "out" / "p-s", EMPTY, EMPTY)
    with pytest.raises(OptionError, match="--split test needs a data set"):
        evaluate_folders(tmp_path / "out", tmp_path / "cohort", split="test")
    assert evaluate_folders(tmp_path / "out", tmp_path / "cohort", QUICK, "all")["split"]["known"] is False


@pytest.mark.parametrize("single", [True, False])
def test_results_of_scans_that_were_named_one_by_one_are_matched(tmp_path, single):
    """`segment cohort/*/*/scan.dcm` names results after the file, with as many folders in front as they need."""
    patients = ["p1"] if single else ["p1", "p2"]
    for patient in patients:
        _write_truth(tmp_path / "cohort" / patient / "s", EMPTY, EMPTY)
        _write_labels(tmp_path / "out" / ("scan" if single else f"{patient}-s-scan"), EMPTY, EMPTY)
    assert evaluate_folders(tmp_path / "out", tmp_path / "cohort", QUICK)["images"] == 2 * len(patients)


def test_results_without_label_pictures_are_told_how_to_get_them(tmp_path):
    _write_truth(tmp_path / "cohort" / "p" / "s", EMPTY, EMPTY)
    (tmp_path / "out" / "p-s").mkdir(parents=True)
    (tmp_path / "out" / "p-s" / "lesions.json").write_text("{}")
    with pytest.raises(InputError, match="--format"):
        evaluate_folders(tmp_path / "out", tmp_path / "cohort")


def test_folders_that_cannot_be_compared_are_refused(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="is no folder"):
        evaluate_folders(tmp_path / "out", tmp_path / "none")
    _write_truth(tmp_path / "cohort" / "p" / "s", EMPTY, EMPTY)
    with pytest.raises(InputError, match="holds no result with label pictures"):
        evaluate_folders(tmp_path / "out", tmp_path / "cohort")
    _write_labels(tmp_path / "out" / "p-s", EMPTY[:10], EMPTY)
    with pytest.raises(LabelError, match="10 x 20 pixels and its truth 20 x 20"):
        evaluate_folders(tmp_path / "out", tmp_path / "cohort")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("out/p-s/labels_anterior.png", b"no png", "cannot be read"),
        ("out/p-s/lesions.json", b"{}", "cannot be read"),
        ("cohort/p/s/truth.npz", b"no zip", "damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, sentence):
    _write_truth(tmp_path / "cohort" / "p" / "s", EMPTY, EMPTY)
    _write_labels(tmp_path / "out" / "p-s", EMPTY, EMPTY)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LabelError, match=sentence):
        evaluate_folders(tmp_path / "out", tmp_path / "cohort")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("out/p2-s/labels_anterior.png", b"no png", "labels_anterior.png of p2-s cannot be read"),
        ("out/p2-s/lesions.json", b"{}", "lesions.json of p2-s cannot be read"),
        ("cohort/p2/s/truth.npz", b"no zip", "truth.npz of s is damaged"),
        ("cohort/p2/s/anterior.json", b"{", "anterior.json is no JSON document: save it again with LabelMe"),
        ("cohort/p2/s/anterior.json", b'{"shapes": []}', "anterior.json: the label file states no image size"),
    ],
)
def test_a_damaged_file_is_a_failure_of_its_study_and_the_others_are_scored(
    tmp_path, monkeypatch, in_process, name, content, sentence
):
    monkeypatch.chdir(tmp_path)
    for patient in ("p1", "p2", "p3"):
        _write_truth(Path("cohort") / patient / "s", EMPTY, EMPTY)
        _write_labels(Path("out") / f"{patient}-s", EMPTY, EMPTY, {})
    if name.endswith("anterior.json"):
        Path("cohort/p2/s/truth.npz").unlink()
        for view in View:
            write_labelme(Path("cohort/p2/s") / f"{view}.json", from_label_image(EMPTY))
        assert in_process("evaluate", "out", "cohort").returncode == 0
    Path(name).write_bytes(content)
    said = in_process("evaluate", "out", "cohort", "-o", "report.json")
    assert said.returncode == 1
    assert f"bonescan: p2/s: {sentence}" in said.stderr
    assert "warning: not scored: 1 result with a file that cannot be used (p2-s)\n" in said.stdout
    report = json.loads(Path("report.json").read_text())
    assert (report["patients"], report["images"], list(report["refused"])) == (2, 4, ["out/p2-s"])


def test_truth_of_the_wrong_kind_is_named(tmp_path):
    folder = tmp_path / "cohort" / "p" / "s"
    folder.mkdir(parents=True)
    _write_labels(tmp_path / "out" / "p-s", EMPTY, EMPTY)
    for stored, sentence in (
        ({"other": EMPTY}, "holds no lesions_anterior"),
        ({"lesions_anterior": EMPTY.astype(float)}, "no label picture"),
        ({"lesions_anterior": EMPTY, "regions_anterior": EMPTY[:3].astype(np.uint8)}, "does not fit"),
        ({"lesions_anterior": np.array([[{}]], dtype=object)}, "damaged"),
    ):
        np.savez(folder / "truth.npz", **stored)
        with pytest.raises(LabelError, match=sentence):
            evaluate_folders(tmp_path / "out", tmp_path / "cohort")


def _write_scan(folder, seed):
    counts = np.random.default_rng(seed).poisson(5, (20, 20)).astype(np.uint16)
    np.savez(folder / "scan.npz", anterior=counts, posterior=counts)
    return hashlib.sha256((folder / "scan.npz").read_bytes()).hexdigest()


def _of_two_cohorts(tmp_path):
    """Results of p1 and p2 of the cohort, and one that the same names in another cohort have."""
    own = {}
    for seed, patient in enumerate(("p1", "p2")):
        _write_truth(tmp_path / "normals" / patient / "study", EMPTY, EMPTY)
        own[patient] = _write_scan(tmp_path / "normals" / patient / "study", seed)
        _write_labels(tmp_path / "result" / f"{patient}-study", EMPTY, EMPTY, {})
    return own


def _state(folder, digest, source="scan.npz"):
    stated = {"lesions": [], "study": {"sources": [source], "digests": [digest]}}
    (folder / "lesions.json").write_text(json.dumps(stated))


def test_a_result_of_another_scan_is_refused_and_the_others_are_scored(tmp_path, monkeypatch, in_process):
    own = _of_two_cohorts(tmp_path)
    monkeypatch.chdir(tmp_path)
    _state(Path("result/p1-study"), own["p1"])
    _state(Path("result/p2-study"), own["p1"])
    said = in_process("evaluate", "result", "normals")
    assert said.returncode == 1
    assert "bonescan: result/p2-study was made from another scan than normals/p2/study\n" in said.stderr
    assert "warning: not scored: 1 result made from another scan (p2-study)" in said.stdout
    report = json.loads(in_process("evaluate", "result", "normals", "--json").stdout)
    assert (report["images"], list(report["refused"])) == (2, ["result/p2-study"])
    _state(Path("result/p2-study"), own["p2"])
    assert in_process("evaluate", "result", "normals").returncode == 0
    for patient in ("p1", "p2"):
        _state(Path(f"result/{patient}-study"), "0" * 64)
    with pytest.raises(InputError, match="result/p1-study was made from another scan than normals/p1/study"):
        evaluate_folders(Path("result"), Path("normals"))


def test_where_no_digest_is_known_results_are_scored(tmp_path):
    _of_two_cohorts(tmp_path)  # without sources
    assert evaluate_folders(tmp_path / "result", tmp_path / "normals", QUICK)["images"] == 4
    # The picture that a reader drew on is no scan, and neither is a scan in another format.
    study = tmp_path / "normals" / "p1" / "study"
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(study / "anterior.png")
    for source in ("anterior.png", "scan.dcm"):
        _state(tmp_path / "result" / "p1-study", "0" * 64, source)
        assert evaluate_folders(tmp_path / "result", tmp_path / "normals", QUICK)["refused"] == {}
    Image.fromarray(np.zeros((20, 20), np.uint16)).save(study / "anterior.png")
    _state(tmp_path / "result" / "p1-study", "0" * 64, "anterior.png")
    assert len(evaluate_folders(tmp_path / "result", tmp_path / "normals", QUICK)["refused"]) == 1


def _stamp_labels(study, source):
    """Label files of `study` without lesions, with the stamp of the scan of `source`."""
    for view, scan in read_study(source).scans.items():
        labels = stamped(from_label_image(EMPTY), {view: counts_digest(scan.counts)})
        write_labelme(study / f"{view}.json", labels)


def test_labels_of_another_scan_are_a_failure_of_their_study(tmp_path, monkeypatch, in_process):
    _of_two_cohorts(tmp_path)
    monkeypatch.chdir(tmp_path)
    first, second = (Path("normals") / patient / "study" for patient in ("p1", "p2"))
    _stamp_labels(first, first)
    _stamp_labels(second, first)
    # Where there is a truth.npz, the LabelMe files are not read.
    assert in_process("evaluate", "result", "normals").returncode == 0
    for study in (first, second):
        (study / "truth.npz").unlink()
    said = in_process("evaluate", "result", "normals")
    sentence = "p2/study: anterior.json was drawn on another image than the anterior view of the scan beside it"
    assert said.returncode == 1
    assert f"bonescan: {sentence}\n" in said.stderr
    assert "warning: not scored: 1 result with labels of another scan (p2-study)" in said.stdout
    report = json.loads(in_process("evaluate", "result", "normals", "--json").stdout)
    assert (report["images"], report["refused"]) == (2, {"result/p2-study": sentence})
    _stamp_labels(first, second)
    with pytest.raises(InputError, match=r"anterior\.json was drawn .* no other result can be scored: put each label"):
        evaluate_folders(Path("result"), Path("normals"))
    # Without a stamp, or without a scan, it is not known.
    for view in View:
        write_labelme(first / f"{view}.json", from_label_image(EMPTY))
    (second / "scan.npz").unlink()
    assert evaluate_folders(Path("result"), Path("normals"), QUICK)["images"] == 4
