"""Benchmarks run, count what they say they count, and say how they were run."""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage
from tests.scripts import script

from bonescan.pipeline import load_model
from bonescan.study import REGIONS, Region, View


def _load(name):
    return script(f"benchmarks/{name}.py")


@pytest.fixture(scope="module")
def thorax_crop():
    return _load("thorax_crop")


def test_quality_compares_every_view_of_every_patient_by_every_model(threshold_bundle):
    quality = _load("quality")
    work = quality.plan(7, [str(threshold_bundle)] * 2)
    assert [one.patients for one in work] == [5, 2]
    assert len({one.anatomy_seed for one in work}) == 2
    first, second = quality.measure(work[1])
    assert [entry.image.view for entry in first] == [View.ANTERIOR, View.POSTERIOR] * 2
    assert quality.summary(first) == quality.summary(second)
    report = quality.summary(first)
    assert (report["patients"], report["scans"], report["images"]) == (1, 2, 4)
    assert report["aims"].keys() == quality.AIMS.keys()
    assert report["aims"]["dsc_pooled"]["reached"] == report["pixel"]["dsc_pooled"]["value"]
    assert sum(row["true"] for row in report["by_contrast"].values()) == report["lesion"]["true"]
    # The curve goes below the threshold: it finds at least what the threshold finds.
    found = [point["sensitivity"] or 0.0 for point in report["froc"]["points"]]
    assert max(found, default=0.0) >= (report["lesion"]["sensitivity"]["value"] or 0.0) - 1e-4


def test_people_counts_marks_and_inserted_lesions(threshold_bundle, patient_of):
    people = _load("people")
    study = next(p.study for p in (patient_of(0, seed) for seed in range(40)) if not p.table)
    model = load_model(threshold_bundle)
    found = people.marks([study], model)
    assert all(point["per_scan"] == sum(point["regions"].values()) for point in found.values())
    variants = people.with_lesions([study], load_model(), 2)
    assert all(
        (after.scans[view].counts >= study.scans[view].counts).all() for _, after, _ in variants for view in View
    )
    report = people.inserted_found(variants, model)
    assert report["lesions"] == sum(row["true"] for row in report["by_contrast"].values()) > 0
    assert 0 <= report["sensitivity"] <= 1
    assert report["curve_ends_at"] >= 0


@pytest.mark.parametrize(("marks", "status"), [(0.4, 0), (0.6, 1)])
def test_people_exits_with_1_where_an_aim_is_missed(monkeypatch, tmp_path, capsys, marks, status):
    people = _load("people")
    monkeypatch.setattr(people, "scans_of", lambda folder: ["a study"])
    monkeypatch.setattr(people, "with_lesions", lambda studies, model, draws: [])
    monkeypatch.setattr(people, "marks", lambda studies, model: {"balanced": {"per_scan": marks}})
    monkeypatch.setattr(people, "inserted_found", lambda variants, model: {"sensitivity_from_contrast_1": 0.9})
    monkeypatch.setattr(sys, "argv", ["people.py", str(tmp_path), "--json", str(tmp_path / "people.json")])
    assert people.main() == status
    aims = json.loads((tmp_path / "people.json").read_text())["aims"]
    assert aims["marks_per_scan"] == {"aim": 0.5, "reached": marks, "kept": status == 0}
    assert f"marks_per_scan: aim 0.5, reached {marks}: {'missed' if status else 'kept'}" in capsys.readouterr().out


def test_whole_bones_are_made_hot_where_they_lie_and_nowhere_else(threshold_bundle, patient_of, monkeypatch):
    bones = _load("people_bones")
    phantom = next(p for p in (patient_of(0, seed) for seed in range(40)) if not p.table)
    study, name = phantom.study, "wing of the ilium"
    part = bones.PARTS[name]
    mask = bones.mask_of(part, phantom.regions[part.view])
    assert (phantom.regions[part.view][mask] == REGIONS.index(Region.ILIUM)).all()
    assert np.nonzero(mask)[1].max() < study.shape[1] / 2
    hot, inside = bones.made_hot(study, part, mask, 4, np.random.default_rng(0))
    added = {view: hot.counts(view) - study.counts(view) for view in View}
    assert min(image.min() for image in added.values()) == 0
    near = ndimage.distance_transform_edt(~mask) < 10
    assert added[View.POSTERIOR][~near].sum() == added[View.ANTERIOR][:, ::-1][~near].sum() == 0
    assert added[View.ANTERIOR].sum() == pytest.approx(part.other * added[View.POSTERIOR].sum(), rel=0.1)
    assert added[part.view][mask].mean() == pytest.approx(4 * np.median(study.counts(part.view)[mask]), rel=0.1)
    assert (inside & mask).sum() > 0.8 * mask.sum()
    assert bones.mask_of(part, np.zeros_like(phantom.regions[part.view])) is None
    monkeypatch.setattr(bones, "PARTS", {name: part})
    monkeypatch.setattr(bones, "mask_of", lambda part, regions: mask)
    (report,) = bones.judged([study], [load_model(threshold_bundle)])
    for scans, found, covered in report["parts"][name].values():
        assert (scans, found) == (1, int(covered > 0))


def test_a_report_tells_its_command_without_paths_of_the_machine(tmp_path):
    common = _load("common")
    parser = argparse.ArgumentParser(prog="reading.py")
    parser.add_argument("people", nargs="?", type=Path)
    parser.add_argument("--model", nargs="+", default=["phantom-unet"])
    parser.add_argument("--patients", type=int, default=5)
    parser.add_argument("--coarse", action="store_true")
    parser.add_argument("--json", type=Path)
    given = [str(tmp_path / "scans"), "--model", "phantom-unet", str(tmp_path), "--patients", "4", "--coarse"]
    model = load_model()
    arguments = parser.parse_args([*given, "--json", str(tmp_path / "results" / "one.json")])
    report = common.report_head(parser, arguments, [model.name])
    assert report["command"] == "python benchmarks/reading.py PEOPLE --model phantom-unet BUNDLE --patients 4 --coarse"
    assert report["sources"]["models"] == [{"name": model.name.name, "sha256": model.name.sha256}]
    assert report["sources"]["phantom"] == common.simulation_digest()
    assert common.command_line(parser, parser.parse_args([])) == "python benchmarks/reading.py"
    common.write_report(arguments.json, report)
    assert json.loads(arguments.json.read_text()) == report


def test_body_checks_find_cut_ends(patient_of):
    checks = _load("body_checks")
    phantom = patient_of(0, 0)
    first = checks.first_row(phantom, Region.SKULL)
    assert first == min(np.nonzero(one == REGIONS.index(Region.SKULL))[0].min() for one in phantom.regions.values())
    cut = checks.only_rows(phantom.study, first, first + 10)
    for view, scan in cut.scans.items():
        assert np.array_equal(scan.counts[first : first + 10], phantom.study.counts(view)[first : first + 10])
        assert scan.counts.sum() == scan.counts[first : first + 10].sum()
    found = dict(checks.checked(checks.FIRST_ANATOMY))
    alarms = {group: {check.name for check in made if check.poor} for group, made in found.items()}
    assert "vertex" in alarms["cut below the vertex"] - alarms["as they are"]
    assert "feet" in alarms["cut at the ankles"] - alarms["as they are"]
    nowhere = dict.fromkeys(phantom.regions, np.zeros(phantom.study.shape, np.uint8))
    assert checks.first_row(replace(phantom, regions=nowhere), Region.FOOT) is None


def test_the_held_out_family_is_another_one():
    quality = _load("quality")
    (work,) = quality.plan(1, ["model"], "held-out")
    assert quality.FAMILIES[work.family] is not quality.FAMILIES["standard"]


def test_aims_are_kept_at_their_own_value():
    quality = _load("quality")
    aims = quality.AIMS
    report = {
        "pixel": {"dsc_pooled": {"value": aims["dsc_pooled"]}},
        "lesion": {"false_positives_per_scan": {"value": aims["false_positives_per_scan"] + 0.01}},
        "froc": {"sensitivity_at": {"0.5": None}},
    }
    kept = {name: found["kept"] for name, found in quality.judged(report).items()}
    assert kept == {"dsc_pooled": True, "sensitivity_at_0.5": False, "false_positives_per_scan": False}


def _view(quality, truth, predicted, contrast):
    """One view by hand: truth by number; the peaks of the outlines as (row of it, peak); a point keeps those above."""
    lesions = np.zeros((40, 8), np.int32)
    for number, row in enumerate(truth, 1):
        lesions[row, 2:6] = number
    name = quality.ImageName("anatomy-1", "scan", View.ANTERIOR)

    def at(least):
        kept = [(row, peak) for row, peak in predicted if peak >= least]
        picture = np.zeros_like(lesions)
        for number, (row, _) in enumerate(kept, 1):
            picture[row, 2:6] = number
        scores = {number: peak for number, (_, peak) in enumerate(kept, 1)}
        return quality.compare_image(name, picture, quality.ViewTruth(lesions, np.zeros_like(lesions)), scores)

    points = {"sensitive": at(0.3), "balanced": at(0.6), "specific": at(0.9)}
    return quality.Compared(points, at(0.1), np.array(contrast))


def test_quality_tells_each_operating_point_the_missed_lesions_and_the_end_of_the_curve():
    quality = _load("quality")
    # Found from 0.9, 0.6 and 0.3 on, and never; false positives with peaks of 0.7, 0.4 and 0.2.
    outlines = [(2, 0.95), (8, 0.65), (14, 0.35), (26, 0.7), (32, 0.4), (38, 0.2)]
    view = _view(quality, (2, 8, 14, 20), outlines, [6.0, 1.0, 0.7, 0.2])
    report = quality.summary([view])
    told = {
        point: (row["sensitivity"]["value"], row["false_positives_per_scan"]["value"])
        for point, row in report["operating_points"].items()
    }
    assert told == {"sensitive": (0.75, 2.0), "balanced": (0.5, 1.0), "specific": (0.25, 0.0)}
    assert report["lesion"]["sensitivity"]["value"] == 0.5
    assert report["missed_by_contrast"] == {
        "0 to 0.5": 0.5, "0.5 to 1": 0.5, "1 to 2": 0.0, "2 to 5": 0.0, "5 and more": 0.0
    }  # fmt: skip
    assert {name: row["true"] for name, row in report["by_contrast"].items()} == {
        "0 to 0.5": 1, "0.5 to 1": 1, "1 to 2": 1, "2 to 5": 0, "5 and more": 1
    }  # fmt: skip
    assert report["froc"]["curve_ends_at"] == 3.0
    assert report["froc"]["points"][0]["false_positives_per_scan"] == 3.0
    assert quality.summary([_view(quality, (2,), [(2, 0.95)], [6.0])])["missed_by_contrast"] == {}


def test_the_curve_is_thinned_to_few_points_that_begin_with_its_end():
    quality = _load("quality")
    views = [
        _view(quality, (), [(row, 0.2 + 0.01 * row + shift) for row in range(0, 40, 2)], []) for shift in (0, 0.01)
    ]
    curve = quality.summary([*views, _view(quality, (0,), [(0, 0.9), (20, 0.15)], [1.0])])["froc"]
    assert 1 < len(curve["points"]) <= 40
    assert curve["points"][0]["false_positives_per_scan"] == curve["curve_ends_at"] == 41


def test_new_patients_of_anatomies_of_the_training_are_none_that_it_used(monkeypatch):
    quality = _load("quality")
    training = {
        "config": {"phantoms": {"first_seed": 500, "anatomies": 7, "patients_per_anatomy": 4}},
        "sources": {"phantom": quality.simulation_digest()},
    }
    bundle = SimpleNamespace(raw={"training": training})
    monkeypatch.setattr(quality, "load_model", lambda name: SimpleNamespace(bundle=bundle))
    work = quality.plan_of_training(12, ["model"])
    assert [(one.anatomy_seed, one.patients, one.learned) for one in work] == [(500, 5, 4), (502, 5, 4), (504, 2, 4)]
    monkeypatch.setattr(quality, "patient_seed", lambda anatomy, number: [0, 2, 3, 7][number])
    assert list(itertools.islice(quality.new_seeds(work[0]), 4)) == [1, 4, 5, 6]
    assert list(itertools.islice(quality.new_seeds(quality.plan(5, ["model"])[0]), 3)) == [0, 1, 2]
    with pytest.raises(SystemExit, match="7 anatomies"):
        quality.plan_of_training(100, ["model"])
    training["sources"]["phantom"] = "another"
    with pytest.raises(SystemExit, match="another simulation"):
        quality.plan_of_training(5, ["model"])


def test_people_and_speed_tell_whether_their_aims_are_met():
    people, speed = _load("people"), _load("speed")
    row = {"marks": {"balanced": {"per_scan": 0.5}}, "inserted": {"sensitivity_from_contrast_1": 0.849}}
    assert people.judged(row) == {
        "marks_per_scan": {"aim": 0.5, "reached": 0.5, "kept": True},
        "sensitivity_from_contrast_1": {"aim": 0.85, "reached": 0.849, "kept": False},
    }
    found = speed.judged({"cold_s": {"median": 1.01}, "further_s": {"median": 0.2}})
    assert {name: one["kept"] for name, one in found.items()} == {"cold_s": False, "further_s": True}


def test_one_pixel_outside_the_window_is_not_contained(thorax_crop):
    anterior, posterior = np.zeros((10, 8), bool), np.zeros((10, 8), bool)
    anterior[2, 1] = posterior[6, 7] = True  # column 7 from behind is column 0 from the front
    frames = {View.ANTERIOR: anterior, View.POSTERIOR: posterior}
    assert thorax_crop.contains((slice(2, 7), slice(0, 8)), frames)
    assert not thorax_crop.contains((slice(2, 7), slice(1, 8)), frames)
    assert not thorax_crop.contains((slice(2, 6), slice(0, 8)), frames)
    assert frames[View.ANTERIOR].sum() == 1


def test_the_thorax_is_found_in_every_variant_of_an_anatomy(thorax_crop):
    rows = thorax_crop.measure(thorax_crop.FIRST_ANATOMY)
    assert len(rows) == 10 * thorax_crop.PATIENTS_PER_ANATOMY
    found = thorax_crop.summarise([row for row in rows if row["variant"] == "as acquired"])
    assert found["contained"] == found["patients"] == thorax_crop.PATIENTS_PER_ANATOMY


def test_the_recurrence_is_measured_at_every_step_with_both_kinds_of_weights(monkeypatch):
    pytest.importorskip("torch")
    cost = _load("recurrence_cost")
    monkeypatch.setattr(cost, "IMAGE", (32, 32))
    rows = cost.measure(1)["networks"]
    assert [(row["weights"], row["t"]) for row in rows] == [
        (weights, t) for weights in ("shared", "unshared") for t in range(5)
    ]
    shared, unshared = rows[:5], rows[5:]
    assert shared[0]["parameters"] == unshared[0]["parameters"]
    assert shared[3]["parameters"] < unshared[3]["parameters"]
    adds = [row["multiply_adds_per_image"] for row in shared]
    assert adds[2] - adds[1] == adds[3] - adds[2] > 0
    assert shared[0]["against_t_0"] == 1
    assert all(row["seconds_per_image"] > 0 for row in rows)


def test_scans_that_cannot_be_read_are_left_out(tmp_path):
    common = _load("common")
    (tmp_path / "broken.dcm").write_bytes(b"no scan")
    with pytest.raises(SystemExit, match=r"no scan of .* can be read"):
        common.scans_of(tmp_path)
    counts = np.random.default_rng(1).poisson(5, (2, 1024, 256)).astype(np.uint16)
    np.savez(tmp_path / "scan.npz", anterior=counts[0], posterior=counts[1])
    assert [set(study.scans) for study in common.scans_of(tmp_path)] == [set(View)]


def _git(folder: Path, *words: str) -> None:
    names = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


def test_history_takes_a_figure_for_the_bundle_that_it_was_measured_of(tmp_path, monkeypatch, capsys):
    history = _load("history")
    monkeypatch.setattr(history, "ROOT", tmp_path)
    bundle, results = tmp_path / history.BUNDLE, tmp_path / "results"
    for folder in (bundle, results):
        folder.mkdir(parents=True)
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "commit", "-q", "--allow-empty", "-m", "before the first bundle")
    people = {"marks": {"balanced": {"per_scan": 0.25}}, "inserted": {"sensitivity_from_contrast_1": 0.5}}
    for steps in (10, 20):
        config = {"seed": steps, "phantoms": {"anatomies": 3, "patients_per_anatomy": 2}}
        training = {"steps": steps, "config": config, "sources": {"phantom": "d1"}}
        (bundle / "bundle.json").write_text(json.dumps({"training": training}), encoding="utf-8")
        (bundle / "model.safetensors").write_text(str(steps), encoding="utf-8")
        # The result of the first bundle stays in the folder while the second ships.
        if steps == 10:
            own = sha256((bundle / "bundle.json").read_bytes()).hexdigest()
            report = {"models": [{"model": {"sha256": own}, **people}]}
            (results / "people.json").write_text(json.dumps(report), encoding="utf-8")
        _git(tmp_path, "add", "-A")
        _git(tmp_path, "commit", "-q", "-m", f"{steps} steps")
    monkeypatch.setattr(sys, "argv", ["history.py"])
    assert history.main() == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["steps"], first["patients"], first["phantom"]) == (10, 6, "d1")
    assert first["people"] == {"outlines_per_scan": 0.25, "found_from_contrast_1": 0.5}
    assert second["steps"] == 20
    assert "people" not in second


def test_a_second_look_learns_from_other_anatomies_and_looks_at_the_mirrored_place():
    pytest.importorskip("sklearn")
    second_look = _load("second_look")

    class Remembers:
        """Scores 1 for values that it has seen."""

        def fit(self, features, right):
            self.seen = set(features[:, 0])

        def predict_proba(self, features):
            known = np.array([value in self.seen for value in features[:, 0]], dtype=float)
            return np.stack([1 - known, known], axis=1)

    looked = [
        SimpleNamespace(group=str(number // 2), features=np.full((3, 2), float(number // 2)), right=np.zeros(3, bool))
        for number in range(8)
    ]
    scores = second_look.cross_validated(Remembers(), looked)
    assert [len(own) for own in scores] == [3] * 8
    assert not np.concatenate(scores).any(), "a candidate was scored by what it had taught"

    counts = np.ones((60, 60), dtype=np.float32)
    counts[30, 10], counts[30, 50] = 5, 3
    maps = second_look.Maps(np.zeros_like(counts), np.zeros_like(counts), counts)
    mask = np.ones((3, 3), dtype=bool)
    outline = SimpleNamespace(
        window=np.s_[29:32, 9:12], mask=mask, origin=(29, 9), region=Region.RIBS, view=View.ANTERIOR
    )
    values = second_look.features(outline, maps, maps.mirrored())
    assert len(values) == second_look.FEATURES - 2
    assert 5.0 in values, "its hottest pixel"
    assert 3.0 in values, "the hottest pixel of the mirrored place"
