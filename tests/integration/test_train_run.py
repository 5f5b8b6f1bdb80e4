"""From a TOML file to a bundle that segments: simulate (a stand-in), train tiny, fit, export, load, use."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from bonescan import phantom
from bonescan.bundle import WEIGHTS, load_bundle
from bonescan.errors import OptionError
from bonescan.pipeline import Model, segment
from bonescan.predict import Predictor
from bonescan.prepare import mirror, prepare
from bonescan.study import LEVELS, Scan, Study, View
from bonescan.train import export_run, run_from_toml

CONFIG = """
name = "tiny"
steps = 60
batch_rows = 256
crop_rows = [64]
crop_weights = [1.0]
crop_cols = 32
warmup_steps = 2
learning_rate = 0.02
ema_decay = 0.9
log_every = 30
threads = 1

[network_config]
widths = [8, 16]
decoder_widths = [8]

[phantoms]
anatomies = 2
patients_per_anatomy = 3
validation_anatomies = 1
validation_patients_per_anatomy = 3
processes = 1

[augment]
warp = 0.0
hot = 0.0
cold = 0.0
cut = 0.0
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch, make_case):
    """A folder to run in, with patients that take no time to simulate."""

    def make_patient(anatomy, seed):
        case = make_case([anatomy, seed], lesions=seed % 4)
        turned = [(planes[0], mirror(planes[1])) for planes in (case.counts, case.lesions, case.regions)]
        counts, lesions, regions = (dict(zip(View, pair, strict=True)) for pair in turned)
        study = Study("s", {view: Scan(view, image) for view, image in counts.items()})
        nothing = {view: np.zeros_like(image) for view, image in lesions.items()}
        return SimpleNamespace(
            key=f"p-{anatomy}-{seed}",
            study=study,
            expected={view: image.astype(np.float32) for view, image in counts.items()},
            lesions=lesions,
            faint=nothing,
            regions=regions,
            benign={view: np.roll(image, 5, axis=0) for view, image in lesions.items()},
            levels={view: (image > 0) * np.uint8(LEVELS.index("T8")) for view, image in regions.items()},
        )

    monkeypatch.setattr(phantom, "make_anatomy", lambda seed: seed)
    monkeypatch.setattr(phantom, "make_patient", make_patient)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(CONFIG)
    return make_patient


def test_a_run_ends_in_a_bundle_that_segments(workplace, tmp_path):
    stages = []
    folder = run_from_toml(tmp_path / "tiny.toml", [], lambda progress: stages.append(progress.stage))
    assert list(dict.fromkeys(stages)) == ["phantoms", "train", "validate", "calibrate", "thresholds", "export"]
    bundle = load_bundle(folder / "bundle")
    assert bundle.name == "tiny"
    assert bundle.raw["figures"]["patients"] == 3
    assert bundle.raw["training"]["steps"] == 60
    assert "Research use only" in bundle.card
    assert str(tmp_path) not in json.dumps(bundle.raw)
    assert "runs" not in bundle.raw["training"]["config"]
    patient = workplace(5, 3)
    result = segment(patient.study, Model(bundle, Predictor(bundle, threads=1)))
    truth = sum(int((lesions > 0).sum()) for lesions in patient.lesions.values())
    found = sum(int(((result.labels(view) > 0) & (patient.lesions[view] > 0)).sum()) for view in patient.study.scans)
    assert found > 0.5 * truth


def test_a_run_that_time_cuts_short_is_exported_as_it_is_and_goes_on(workplace, tmp_path):
    stages = []
    toml = tmp_path / "tiny.toml"
    folder = run_from_toml(toml, ["max_minutes=1e-9"], lambda progress: stages.append(progress.stage))
    assert "calibrate" not in stages
    assert not (folder / "bundle").exists()
    early = export_run(folder, tmp_path / "early", lambda progress: stages.append(progress.stage))
    assert "calibrate" in stages
    assert early.raw["training"]["steps"] == 1
    assert early.raw["figures"]["patients"] == 3
    run_from_toml(toml, ["max_minutes=1e-9"])
    again = export_run(folder, tmp_path / "again")
    assert again.raw["training"]["steps"] == 2
    assert again.read(WEIGHTS) != early.read(WEIGHTS)
    assert load_bundle(run_from_toml(toml) / "bundle").raw["training"]["steps"] == 60


def test_a_cut_run_whose_validation_patients_are_not_there_yet_says_that_nothing_was_measured(workplace, tmp_path):
    folder = run_from_toml(tmp_path / "tiny.toml", ["max_minutes=1e-9"])
    for shard in Path("runs/phantoms").glob("*/anatomy-1500000"):
        shutil.rmtree(shard)
    assert export_run(folder, tmp_path / "out").raw["figures"] == {}


def test_benign_uptake_and_levels_go_all_the_way(workplace, tmp_path):
    heads = ["network_config.benign=true", "network_config.levels=true"]
    folder = run_from_toml(tmp_path / "tiny.toml", heads)
    bundle = load_bundle(folder / "bundle")
    assert bundle.network["config"]["benign"] is True
    patient = workplace(5, 3)
    prediction = Predictor(bundle, threads=1).predict(prepare(patient.study, normalisation=bundle.normalisation))
    benign = np.concatenate([(patient.benign[view] > 0) & (patient.lesions[view] == 0) for view in View])
    said = np.concatenate([prediction.benign[view] for view in View])
    assert said[benign].mean() > 2 * said[~benign].mean()
    levels = np.concatenate([prediction.level[view] for view in View])
    bone = np.concatenate([(prediction.region[view] == 3) & (patient.regions[view] > 0) for view in View])
    assert (levels[bone] == LEVELS.index("T8")).mean() > 0.8
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert log[0].keys() >= {"dice", "pixel", "benign", "region", "level", "cases"}


def test_the_same_run_gives_the_same_bundle(workplace, tmp_path):
    names = []
    for runs in ("one", "two"):
        folder = run_from_toml(tmp_path / "tiny.toml", ["steps=4", f"runs={runs}"])
        names.append(load_bundle(folder / "bundle").sha256)
    assert names[0] == names[1]


def test_a_bundle_says_which_simulation_it_learned_from_and_a_run_keeps_to_it(workplace, tmp_path, monkeypatch):
    from bonescan.train import run
    from bonescan.train.phantoms import simulation_digest

    folder = run_from_toml(tmp_path / "tiny.toml", ["steps=2"])
    assert load_bundle(folder / "bundle").raw["training"]["sources"] == {"phantom": simulation_digest()}
    assert run_from_toml(tmp_path / "tiny.toml", ["steps=2"]) == folder
    monkeypatch.setattr(run, "simulation_digest", lambda: "another")
    with pytest.raises(OptionError, match="another data set or simulation"):
        run_from_toml(tmp_path / "tiny.toml", ["steps=2"])


def test_a_run_that_was_moved_is_exported(workplace, tmp_path):
    folder = run_from_toml(tmp_path / "tiny.toml", ["steps=2"])
    moved = (tmp_path / "elsewhere").resolve() / "tiny"
    moved.parent.mkdir()
    folder.rename(moved)
    assert export_run(moved, tmp_path / "out").folder == tmp_path / "out"
    named = moved.rename(moved.with_name("other"))
    with pytest.raises(OptionError, match="is named tiny"):
        export_run(named, tmp_path / "again")


def test_nothing_to_learn_from_is_refused(workplace, tmp_path):
    with pytest.raises(OptionError, match="names nothing to learn from"):
        run_from_toml(tmp_path / "tiny.toml", ["phantoms.anatomies=0"])


def test_a_model_that_learned_no_bones_says_none(workplace, tmp_path, monkeypatch, make_case):
    """Scans of a department have no map of the bones: an untrained answer must not pass for one."""
    from dataclasses import replace

    from bonescan.train import run
    from bonescan.train.cases import Split

    def cases(*seeds):
        made = [make_case(seed) for seed in seeds]
        return [replace(case, facts=replace(case.facts, has_regions=False)) for case in made]

    (tmp_path / "cohort").mkdir()
    monkeypatch.setattr(run, "cohort_split", lambda config, normalisation: Split(cases(1, 2), cases(3)))
    folder = run_from_toml(tmp_path / "tiny.toml", ["steps=2", "phantoms.anatomies=0", "cohort.folder=cohort"])
    bundle = load_bundle(folder / "bundle")
    assert "does not say which bone" in " ".join(bundle.card.split())
    assert "simulated patients of" not in bundle.card
    image = np.random.default_rng(1).random((2, 64, 32)).astype(np.float32)
    region = Predictor(bundle, threads=1).predict_maps(image).region
    assert not region.any()


def cohort_of(make_case, monkeypatch, *, validation):
    """Stand-in for a cohort: five labelled patients of 0, 1, 2, 1 and 0 lesions, of whom some are kept."""
    from bonescan.train import run
    from bonescan.train.cases import Split

    Path("cohort").mkdir()
    made = [make_case(seed, lesions=lesions) for seed, lesions in enumerate((0, 1, 2, 1, 0))]
    split = Split([case for n, case in enumerate(made) if n not in validation], [made[n] for n in validation])
    monkeypatch.setattr(run, "cohort_split", lambda config, normalisation: split)
    return split


def test_what_is_learned_from_and_what_is_kept_is_said_before_the_training(workplace, tmp_path, monkeypatch, make_case):
    split = cohort_of(make_case, monkeypatch, validation=(2,))
    outlines = [sum(len(case.facts.lesion_rows) for case in part) for part in (split.training, split.validation)]
    assert outlines == [2, 2]
    events = []
    settings = ["steps=2", "cohort.folder=cohort"]
    run_from_toml(
        tmp_path / "tiny.toml",
        [*settings, "phantoms.anatomies=0"],
        lambda progress: events.append(progress.stage),
        events.append,
    )
    said = "learns from 4 patients (2 outlines), keeps 1 patient (2 outlines) for validation"
    assert events[: events.index("train")] == [said]
    notes = []
    run_from_toml(tmp_path / "tiny.toml", ["name=both", *settings], note=notes.append)
    assert notes == [
        "learns from 4 patients (2 outlines) and 6 simulated patients, keeps 1 patient (2 outlines) and 3 simulated "
        "patients for validation"
    ]


def test_a_run_keeps_to_the_scans_and_labels_of_its_cohort(workplace, tmp_path, monkeypatch, make_case):
    split = cohort_of(make_case, monkeypatch, validation=(2,))
    settings = ["steps=2", "phantoms.anatomies=0", "cohort.folder=cohort"]
    folder = run_from_toml(tmp_path / "tiny.toml", settings)
    kept = json.loads((folder / "sources.json").read_text())
    assert list(kept) == ["cohort"]
    for case, name in ((split.training[1], "labels"), (split.validation[0], "labels"), (split.training[0], "scans")):
        changed = case.lesions if name == "labels" else case.image
        before = changed[0, 0, 0]
        changed[0, 0, 0] = before + 1
        with pytest.raises(OptionError, match="tiny began with other scans or labels in the cohort than there are now"):
            run_from_toml(tmp_path / "tiny.toml", settings)
        changed[0, 0, 0] = before
    assert run_from_toml(tmp_path / "tiny.toml", settings) == folder
    # A run of before this was recorded goes on, and from then on it is.
    (folder / "sources.json").write_text("{}")
    run_from_toml(tmp_path / "tiny.toml", settings)
    assert json.loads((folder / "sources.json").read_text()) == kept


def test_thresholds_are_exported_only_if_the_patients_are_those_that_the_run_began_with(
    workplace, tmp_path, monkeypatch, make_case
):
    split = cohort_of(make_case, monkeypatch, validation=(2,))
    settings = ["phantoms.anatomies=0", "cohort.folder=cohort", "max_minutes=1e-9"]
    folder = run_from_toml(tmp_path / "tiny.toml", settings)
    for case in (split.training[1], split.validation[0]):
        before = case.lesions[0, 0, 0]
        case.lesions[0, 0, 0] = before + 1
        with pytest.raises(OptionError, match=r"tiny began with other scans or labels in the .*: bring those back"):
            export_run(folder, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert not (folder / "calibration.json").exists()
        case.lesions[0, 0, 0] = before
    assert export_run(folder, tmp_path / "out").raw["figures"]["patients"] == 1
    # What was fitted before is exported whatever the labels are now.
    split.validation[0].lesions[0, 0, 0] = 1
    assert export_run(folder, tmp_path / "again").raw["figures"]["patients"] == 1


def test_a_run_is_exported_where_its_device_is_not(workplace, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folder = run_from_toml(tmp_path / "tiny.toml", ["steps=2"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"device": "cuda"}))
    assert export_run(folder, tmp_path / "out").name == "tiny"


def test_thresholds_are_not_fitted_on_patients_of_another_simulation(workplace, tmp_path, monkeypatch):
    from bonescan.train import run

    folder = run_from_toml(tmp_path / "tiny.toml", ["max_minutes=1e-9"])
    monkeypatch.setattr(run, "simulation_digest", lambda: "another")
    with pytest.raises(OptionError, match="tiny began with another data set or simulation"):
        export_run(folder, tmp_path / "out")


def test_a_training_whose_steps_were_all_done_says_so(workplace, tmp_path, monkeypatch, make_case):
    cohort_of(make_case, monkeypatch, validation=())
    settings = ["steps=2", "phantoms.anatomies=0", "cohort.folder=cohort"]
    done = "all 2 steps were done before: only the thresholds are fitted and the model exported"
    for minutes, expected in (("1e-9", 0), ("0", 0), ("0", 1)):
        notes, stages = [], []
        run_from_toml(
            tmp_path / "tiny.toml",
            [*settings, f"max_minutes={minutes}"],
            lambda progress, stages=stages: stages.append(progress.stage),
            notes.append,
        )
        assert notes.count(done) == expected
        assert ("train" in stages) == (not expected)


def test_nothing_is_fitted_and_nothing_said_of_it_where_no_patient_is_kept(workplace, tmp_path, monkeypatch, make_case):
    cohort_of(make_case, monkeypatch, validation=())
    stages = []
    run_from_toml(
        tmp_path / "tiny.toml",
        ["steps=2", "phantoms.anatomies=0", "cohort.folder=cohort"],
        lambda progress: stages.append(progress.stage),
    )
    assert "export" in stages
    assert "calibrate" not in stages


def test_a_model_that_is_shown_no_lesion_is_warned_of_and_has_no_precision(workplace, tmp_path, monkeypatch, make_case):
    from bonescan.train import run
    from bonescan.train.cases import Split

    (tmp_path / "cohort").mkdir()
    cases = [make_case(seed, lesions=0) for seed in range(3)]
    monkeypatch.setattr(run, "cohort_split", lambda config, normalisation: Split(cases[:2], cases[2:]))
    settings = ["steps=40", "cohort.folder=cohort"]
    notes = []
    folder = run_from_toml(tmp_path / "tiny.toml", [*settings, "phantoms.anatomies=0"], note=notes.append)
    assert notes[1] == (
        "warning: no patient to learn from has an outline, and a model that is shown no lesion learns to mark nothing: "
        "label patients with lesions, or set phantoms.anatomies"
    )
    bundle = load_bundle(folder / "bundle")
    assert bundle.raw["figures"]["precision"] is None
    assert "\n- precision: none marked\n" in bundle.card
    notes.clear()
    run_from_toml(tmp_path / "tiny.toml", ["name=both", *settings], note=notes.append)
    assert not any("no lesion" in note for note in notes)  # simulated patients have some


def test_a_training_that_makes_a_good_model_worse_says_so(workplace, tmp_path):
    began = run_from_toml(tmp_path / "tiny.toml", ["name=began"]) / "bundle"
    assert load_bundle(began).warnings == ()
    ruined = ["name=ruined", f"begin_with={began}", "steps=4", "learning_rate=3.0", "ema_decay=0.0"]
    bundle = load_bundle(run_from_toml(tmp_path / "tiny.toml", ruined) / "bundle")
    beginning = bundle.raw["figures"]["beginning"]
    assert beginning["model"] == "began"
    assert bundle.raw["training"]["config"]["begin_with"] == "bundle"  # without the folders that it lies in
    assert beginning["dice_before"] > 0.3
    assert beginning["dice_after"] < beginning["dice_before"] - 0.02
    (said,) = (warning for warning in bundle.warnings if "began with" in warning)
    assert "the model ruined: began, the model that it began with, was better on the validation patients" in said
    assert f"Dice {beginning['dice_before']:.2f} before the training and {beginning['dice_after']:.2f} after it" in said
    assert "dice at a probability of 0.5" in bundle.card
    # Where nothing changes, nothing is said.
    same = ["name=same", f"begin_with={began}", "steps=1", "learning_rate=1e-9", "warmup_steps=0"]
    assert load_bundle(run_from_toml(tmp_path / "tiny.toml", same) / "bundle").warnings == ()


def test_a_run_may_export_a_share_of_the_weights_that_it_began_with(workplace, tmp_path):
    import torch
    from safetensors.torch import load_file

    weights = "bundle/model.safetensors"
    began = run_from_toml(tmp_path / "tiny.toml", ["name=began"]) / "bundle"
    going_on = [f"begin_with={began}", "steps=3"]
    alone = load_file(run_from_toml(tmp_path / "tiny.toml", ["name=alone", *going_on]) / weights)
    mixed = load_file(run_from_toml(tmp_path / "tiny.toml", ["name=mixed", "start_share=0.25", *going_on]) / weights)
    start = load_file(began / "model.safetensors")
    differ = 0
    for name, value in mixed.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * alone[name] + 0.25 * start[name], rtol=1e-4, atol=1e-6)
            differ += not torch.equal(value, alone[name])
    assert differ > 10


def test_a_bundle_records_the_model_that_its_run_began_with(workplace, tmp_path):
    """By itself: whichever bundle has that model's name or folder later."""
    first = load_bundle(run_from_toml(tmp_path / "tiny.toml", ["name=first", "steps=2"]) / "bundle")
    begin = f"begin_with={first.folder}"
    second = load_bundle(run_from_toml(tmp_path / "tiny.toml", ["name=second", "steps=3", begin]) / "bundle")
    going_on = ["name=third", "steps=4", "seed=5", "start_share=0.25", f"begin_with={second.folder}"]
    folder = run_from_toml(tmp_path / "tiny.toml", [*going_on, "max_minutes=1e-9"])
    assert not (folder / "bundle").exists()
    record = json.loads((folder / "began_with.json").read_text())
    # Another model of the same name and network lies there when the run goes on.
    shutil.rmtree(second.folder)
    shutil.copytree(first.folder, second.folder)
    third = load_bundle(run_from_toml(tmp_path / "tiny.toml", going_on) / "bundle")
    assert "began_with" not in first.raw["training"]
    learned = {
        "anatomies": 2,
        "patients": 6,
        "first_seed": 1_000_000,
        "learning_rate": 0.02,
        "sources": first.raw["training"]["sources"],
    }
    one = {"name": "first", "sha256": first.sha256, "steps": 2, "seed": 1, "start_share": 0.0, **learned}
    two = {"name": "second", "sha256": second.sha256, "steps": 3, "seed": 1, "start_share": 0.0, **learned}
    assert third.raw["training"]["began_with"] == record == {**two, "began_with": one}
    assert f"It began with the weights of second (sha256 {second.sha256[:12]}), of which 25% are in it." in third.card
    assert "\n- With the runs before it: 3 runs, 9 steps, 6 anatomies" in third.card
    # A run that started before there were such records has the name only.
    (folder / "began_with.json").unlink()
    old = export_run(folder, tmp_path / "old")
    assert old.raw["training"]["began_with"] == {"name": "bundle"}
    assert "It began with the weights of bundle (which model of this name is not recorded), of which 25%" in old.card


def test_the_network_is_what_was_learned(workplace, tmp_path):
    """The graph of the bundle and the averaged weights of the run say the same of a case."""
    from bonescan.train.config import read_config
    from bonescan.train.export import averaged_network
    from bonescan.train.inference import predict_case

    folder = run_from_toml(tmp_path / "tiny.toml", ["steps=10", "bf16=false"])
    config = read_config(tmp_path / "tiny.toml", ["steps=10", "bf16=false"])
    network, steps = averaged_network(config)
    assert steps == 10
    from bonescan.prepare import normalise
    from bonescan.train.run import make_split

    case = make_split(config).validation[1]
    probability, regions = predict_case(network, case, config)
    image = normalise(case.counts, config.normalisation, case.facts.references[0])
    maps = Predictor(load_bundle(folder / "bundle"), threads=1).predict_maps(image)
    lesion, region = maps.lesion, maps.region
    np.testing.assert_allclose(lesion, probability, atol=1e-4)
    assert (region == regions).mean() > 0.999
