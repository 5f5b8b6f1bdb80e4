"""The declared experiment on adaptation: its arms, its patients, and a figure by hand."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from tests.scripts import script

from bonescan.prediction import Prediction
from bonescan.study import View
from bonescan.train.calibrate import Judged
from bonescan.train.cases import FAINT
from bonescan.train.config import TrainConfig
from bonescan.train.stream import Batch


@pytest.fixture(scope="module")
def benchmark():
    return script("benchmarks/adapt.py")


def test_every_arm_has_a_name_of_its_own_and_the_declared_ones_are_there(benchmark):
    names = [arm.name for arm in benchmark.arms()]
    assert len(set(names)) == len(names)
    assert {"shipped", "adapted-10", "supervised-1", "teacher-20", "diseased-20"} <= set(names)


def test_arms_that_learn_the_same_are_known(benchmark):
    arms = {arm.name: arm for arm in benchmark.arms()}
    assert arms["adapted-20"].same_as(arms["diseased-0"])
    assert not arms["adapted-10"].same_as(arms["choice-base-25"])
    assert arms["adapted-10"].learns_as(arms["choice-base-25"])
    assert not any(arms["shipped"].learns_as(arm) for name, arm in arms.items() if name != "shipped")


def test_the_published_term_judges_the_images_without_a_label_alone(benchmark):
    images = torch.rand(2, 2, 32, 32)
    weight = torch.stack([torch.ones(2, 32, 32), torch.zeros(2, 32, 32)])
    regions = torch.zeros(2, 2, 8, 8, dtype=torch.int64)
    present = torch.tensor([[True, True], [True, False]])
    batch = Batch(images, torch.zeros(2, 2, 32, 32), weight, regions, (0, 0), present)
    config = TrainConfig()
    marked = torch.full((2, 2, 32, 32), -20.0)
    alone = benchmark.with_published_term((marked, None), batch, config)
    marked[1, 0] = 20.0  # an image without a label, entirely inside
    assert benchmark.with_published_term((marked, None), batch, config)["unsupervised"] > alone["unsupervised"]
    marked[1, 0], marked[0], marked[1, 1] = -20.0, 20.0, 20.0  # labelled images, and a view that is not there
    same = benchmark.with_published_term((marked, None), batch, config)["unsupervised"]
    assert same.item() == pytest.approx(alone["unsupervised"].item())


def test_a_cell_of_another_base_phantom_or_number_of_patients_is_run_again(benchmark, tmp_path, monkeypatch):
    arm, base = benchmark.Arm("adapted-10"), SimpleNamespace(sha256="a")
    asked = SimpleNamespace(cells=tmp_path, patients=60)
    assert not benchmark.is_done(arm, 1, base, asked)
    benchmark.cell_path(arm, 1, tmp_path).write_text(json.dumps(benchmark.made_with(base, 60)))
    assert benchmark.is_done(arm, 1, base, asked)
    assert not benchmark.is_done(arm, 1, SimpleNamespace(sha256="b"), asked)
    assert not benchmark.is_done(arm, 1, base, SimpleNamespace(cells=tmp_path, patients=30))
    monkeypatch.setattr(benchmark, "simulation_digest", lambda: "another")
    assert not benchmark.is_done(arm, 1, base, asked)


def test_calibration_error_by_hand(benchmark):
    probability = np.array([[0.2, 0.2, 0.9, 0.9, 0.01, 0.9]], dtype=np.float32)
    truth = np.array([[0, 1, 1, 1, 0, FAINT]], dtype=np.uint8)
    maps = {View.ANTERIOR: np.zeros((1, 6), dtype=np.uint8)}
    entry = Judged(Prediction({View.ANTERIOR: probability}, maps), {View.ANTERIOR: truth})
    # Two pixels of 0.2, half of them lesion; two of 0.9, both lesion; air and faint lesions are not asked.
    assert benchmark.calibration_error([entry]) == pytest.approx((2 * 0.3 + 2 * 0.1) / 4, abs=1e-6)


def test_the_table_takes_the_mean_of_the_cells_that_are_there(benchmark, tmp_path):
    base = SimpleNamespace(sha256="a")
    figures = {"arm": "adapted-10", "sensitivity_at_1": 0.5, "dsc_pooled": 0.5, "calibration_error": 0.1}
    figures |= benchmark.made_with(base, 60)
    others = [{"base": "b"}, {"patients": 30}, {"phantom": "another"}]
    for seed, (found, other) in enumerate([(0.4, {}), (0.6, {}), *((0.9, other) for other in others)], 1):
        cell = {**figures, "seed": seed, "sensitivity_at_0.5": found, **other}
        (tmp_path / f"adapted-10-{seed}.json").write_text(json.dumps(cell))
    table = benchmark.table(tmp_path, base, 60)
    assert table["arms"]["adapted-10"]["seeds"] == 2
    assert table["arms"]["adapted-10"]["sensitivity_at_0.5"] == pytest.approx(0.5)
    assert "stated before any cell was run" in table["rule"]


def test_a_table_of_no_cells_is_refused(benchmark, tmp_path):
    with pytest.raises(SystemExit, match=r"no cell in .* is of the model a, the phantom .* and 60 patients"):
        benchmark.table(tmp_path, SimpleNamespace(sha256="a"), 60)


def test_the_rule_of_the_experiment(benchmark):
    found = {arm.name: [0.7, 0.7, 0.7] for arm in benchmark.arms()} | {"shipped": [0.7]}
    assert benchmark.verdicts(found) == {"worth_its_while": False, "unlabelled_helps": False, "bears_diseased": True}
    better = {
        "adapted-10": [0.72, 0.73, 0.74],
        "adapted-10-unlabelled-20": [0.75, 0.75, 0.75],
        "diseased-20": [0.6] * 3,
    }
    assert benchmark.verdicts(found | better) == {
        "worth_its_while": True,
        "unlabelled_helps": True,
        "bears_diseased": False,
    }
    one_seed_falls_short = {"adapted-10": [0.71, 0.8, 0.8]}
    assert benchmark.verdicts(found | one_seed_falls_short)["worth_its_while"] is False
    one_seed_is_missing = {"adapted-10": [0.72, 0.73]}
    assert benchmark.verdicts(found | one_seed_is_missing)["worth_its_while"] is None
