"""Benchmarks run, count what they say they count, and say how they were run."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

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
    kept = {name: found["kept"] for name, found in quality.verdicts(report).items()}
    assert kept == {"dsc_pooled": True, "sensitivity_at_0.5": False, "false_positives_per_scan": False}


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
