"""The runner: what it makes, what it passes over, and that a run which was cut ends as one that was not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from bonescan.errors import OptionError
from bonescan.lin2022.experiments import plan, runner
from bonescan.lin2022.experiments.declared import EXPERIMENTS, Arm
from bonescan.lin2022.experiments.nnunet import NnunetOutcome
from bonescan.lin2022.experiments.results import Store, held
from bonescan.lin2022.experiments.runner import Forecast, Places, forecast, run_all, training_seconds
from bonescan.train.cases import Split
from bonescan.train.config import TrainConfig

TIMES = ("training_seconds", "test_seconds_per_image")


class Dataset:
    digest = "of what is in it"


@pytest.fixture
def places(tmp_path, monkeypatch, make_case):
    """Folders of one's own, and a data set that is there at once."""

    def named(seed, lesions):
        case = make_case(seed, lesions=lesions)
        return replace(case, facts=replace(case.facts, key=f"patient-{seed}/study"))

    monkeypatch.setattr(runner, "ensure_set", lambda run, root, report: root / run.set_identity)
    monkeypatch.setattr(runner, "read_dataset", lambda folder, name: Dataset)
    monkeypatch.setattr(runner, "held_out", lambda images: [named(7, 2), named(8, 3)])
    monkeypatch.setattr(runner, "image_split", lambda images: Split([named(1, 3), named(2, 2)], []))
    return Places(tmp_path / "results", tmp_path / "work", tmp_path / "sets")


def silent(*said):
    """Say nothing."""


def go(runs, places, again=False, report=silent):
    return run_all(runs, places, again=again, report=report, say=silent)


def run_of(arm, steps=6):
    run = plan._run(arm, "smoke", 1)
    return replace(run, values=plan.merged(run.values, {"steps": steps, "checkpoint_every": 2}))


PAPER = Arm("one")
UNET = EXPERIMENTS["first-look"].arms[-1]
AGGREGATED = EXPERIMENTS["figure9"].arm("feature")
CLASSICAL = EXPERIMENTS["table6"].arm("two-means")


@pytest.mark.parametrize("arm", [PAPER, UNET, AGGREGATED, CLASSICAL], ids=lambda arm: arm.label)
def test_a_run_leaves_one_result_and_no_checkpoint(places, arm):
    run = run_of(arm)
    assert go([run], places).made == [run.name]
    result = places.store.read(run)
    assert places.store.is_current(result, run)
    views = {"union"} if arm is AGGREGATED else {"anterior", "posterior", "union"}
    assert {image.view for image in result.images} == views
    assert {image.patient for image in result.images} == {"patient-7", "patient-8"}
    assert not list(places.work.rglob("*.safetensors"))
    if arm.kind == "train":
        assert result.values["steps"] == 6
        assert result.values["parameters"] > 0 < result.values["multiply_adds_per_pair"]
        assert result.values["training_seconds"] > 0
    assert str(places.work) not in json.dumps(dict(result.values)), "no folder of this machine is told"
    scans = json.loads(places.store.scans("smoke", run.set_identity).read_text())
    assert set(scans) <= {"patient-7/study", "patient-8/study"}


def test_what_is_there_is_not_made_again_unless_it_is_of_earlier_code(places):
    run = run_of(CLASSICAL)
    assert go([run], places).made
    assert go([run], places).there == [run.name]
    assert go([run], places, again=True).there == [run.name]
    path = places.store.path(run)
    path.write_text(path.read_text().replace(run.code, "0" * len(run.code)))
    assert go([run], places).there == [run.name]
    assert go([run], places, again=True).made == [run.name]
    assert places.store.is_current(places.store.read(run), run)


def test_a_run_that_another_runner_makes_is_passed_over(places):
    runs = [run_of(CLASSICAL), run_of(EXPERIMENTS["table6"].arm("41 % of the maximum"))]
    with held(places.work / "smoke" / f".{runs[0].name}.lock", wait=False) as mine:
        assert mine
        outcome = go(runs, places)
    assert (outcome.elsewhere, outcome.made) == ([runs[0].name], [runs[1].name])
    assert go(runs, places).made == [runs[0].name]


def test_a_run_that_cannot_be_made_does_not_stop_the_others(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "draw_labels", lambda dataset, images: {"patient-1/study": (True, True)})
    outside, inside = run_of(EXPERIMENTS["table6"].arm("nnU-Net, 70 %")), run_of(CLASSICAL)
    outcome = go([outside, inside], places)
    assert "make nnunet" in outcome.refused[outside.name]
    assert outcome.made == [inside.name]
    assert places.store.read(outside) is None


def test_what_nnunet_says_becomes_a_result_like_all_others(places, monkeypatch):
    asked = {}

    def answer(dataset, labelled, options, work, report):
        asked.update(labelled=labelled, options=options)
        masks = {f"patient-{n}/study": np.ones((2, 64, 32), dtype=bool) for n in (7, 8)}
        return NnunetOutcome(masks, 12.0, 0.5, 33_000_000, "nnunetv2 2.8.1, 1 x 1 steps")

    monkeypatch.setattr("bonescan.lin2022.experiments.runner.run_nnunet", answer)
    labels = {f"patient-{n}/study-{copy}": (n < 3, False) for n in (1, 2, 3) for copy in (0, 1)}
    monkeypatch.setattr(runner, "draw_labels", lambda dataset, images: labels)
    run = plan.runs_of_arm(EXPERIMENTS["table6"].arm("nnU-Net, 70 %"), EXPERIMENTS["table6"], "smoke")[0]
    assert go([run], places).made == [run.name]
    assert asked["labelled"] == ["patient-1", "patient-2"]
    assert (asked["options"].seed, asked["options"].epochs) == (run.seed, 1)
    result = places.store.read(run)
    assert (result.values["test_seconds_per_image"], result.values["training_seconds"]) == (0.5, 12.0)
    assert result.values["note"].startswith("nnunetv2")
    assert all(image.pixels.recall == 1.0 for image in result.images if image.pixels.true)
    assert places.store.is_current(result, run)


class Cut(Exception):
    """The power goes."""


@pytest.mark.parametrize("arm", [PAPER, UNET], ids=lambda arm: arm.label)
def test_a_run_that_was_cut_ends_as_one_that_was_not(places, tmp_path, arm):
    run = run_of(arm)

    def cut(done, total, stage):
        if "train" in stage and done == 5:
            raise Cut

    with pytest.raises(Cut):
        go([run], places, report=cut)
    assert places.store.read(run) is None
    steps = []
    go([run], places, report=lambda done, total, stage: steps.append(done))
    assert min(steps) == 5, "it went on from the checkpoint of step 4"
    whole = replace(places, results=tmp_path / "whole", work=tmp_path / "whole-work")
    go([run], whole)
    one, other = (dict(each.store.read(run).values) for each in (places, whole))
    for values in (one, other):
        for time in TIMES:
            values.pop(time)
    assert one == other


def test_a_run_that_was_cut_goes_on_where_its_places_are_spelled_differently(places, tmp_path, monkeypatch):
    run = run_of(UNET)
    monkeypatch.chdir(tmp_path)

    def cut(done, total, stage):
        if "train" in stage and done == 5:
            raise Cut

    with pytest.raises(Cut):
        go([run], Places(Path("results"), Path("work"), Path("sets")), report=cut)
    steps = []
    outcome = go([run], places, report=lambda done, total, stage: steps.append(done))
    assert (outcome.made, outcome.refused) == ([run.name], {})
    assert min(steps) == 5, "it went on from the checkpoint of step 4"


def test_the_same_run_in_two_places_is_the_same_to_the_last_figure(places, tmp_path):
    run = run_of(PAPER)
    go([run], places)
    other = replace(places, results=tmp_path / "other", work=tmp_path / "other-work")
    go([run], other)
    assert places.store.read(run).images == other.store.read(run).images


def log(tmp_path, *lines):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(dict(zip(("step", "seconds"), line, strict=False))) + "\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([(10, 5.0), (20, 10.0), (30, 15.0), (40, 20.0)], 20.0),
        # Cut after step 20, whose checkpoint is of step 10: steps 11 to 20 count once.
        ([(10, 5.0), (20, 10.0), (20, 7.0), (30, 12.0), (40, 17.0)], 22.0),
        # The log of steps 11 to 20 was lost with the process.
        ([(10, 5.0), (30, 5.0), (40, 10.0)], 20.0),
        ([(10, 5.0), (20, 10.0), (20,), (30, 15.0), (40, 20.0)], 20.0),
    ],
)
def test_the_time_of_a_training_is_that_of_its_steps(tmp_path, lines, seconds):
    assert training_seconds(log(tmp_path, *lines), TrainConfig(steps=40, log_every=10)) == pytest.approx(seconds)


def test_the_forecast_goes_by_measured_runs_where_there_are_some(places, monkeypatch):
    timed = []
    monkeypatch.setattr("bonescan.lin2022.experiments.runner._time", lambda run: timed.append(run) or 100.0)
    runs = [run_of(PAPER), run_of(UNET), run_of(Arm("two", {"chan_vese": {"alpha": 1.0}}))]
    before = forecast(runs, places.store)
    assert (before.seconds, before.timed, before.measured) == (300.0, 3, 0)
    assert len(timed) == 2, "alpha does not change how long a step takes"
    go(runs[:1], places)
    after = forecast(runs[1:], places.store)
    assert (after.timed, after.measured) == (1, 1)
    assert 100.0 < after.seconds < 200.0
    assert forecast([], places.store) == Forecast(0.0, 0, 0)


def test_a_forecast_by_a_few_steps_takes_steps_of_the_very_network(tmp_path):
    short, long = (forecast([run_of(UNET, steps)], Store(tmp_path)) for steps in (10, 1000))
    assert 0 < short.seconds < long.seconds
    assert str(Forecast(3 * 3600 + 300, 1, 2)) == (
        "about 3 h 05 min on one idle core (2 by measured runs, 1 by a few steps of training)"
    )


def test_a_lock_goes_with_its_holder(tmp_path):
    with held(tmp_path / "lock", wait=False) as first, held(tmp_path / "lock", wait=False) as second:
        assert (first, second) == (True, False)
    with held(tmp_path / "lock", wait=True) as third:
        assert third


def test_nothing_in_a_result_is_not_a_number(places):
    run = run_of(PAPER)
    go([run], places)
    text = places.store.path(run).read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert np.isfinite(places.store.read(run).values["training_seconds"])


def test_an_unknown_error_is_not_swallowed(places, monkeypatch):
    monkeypatch.setattr(runner, "held_out", lambda images: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        go([run_of(CLASSICAL)], places)
    monkeypatch.setattr(
        runner, "held_out", lambda images: (_ for _ in ()).throw(OptionError("there is none: build it"))
    )
    run = run_of(CLASSICAL)
    assert go([run], places).refused == {run.name: "there is none: build it"}
