"""The commands about this machine and its models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import bonescan
from bonescan.doctor import BASE_PACKAGES

SHIPPED = Path(bonescan.__file__).parent / "bundles" / "phantom-unet"


def test_doctor_finds_this_machine_in_order(cli, tmp_path):
    done = cli("doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["works"] is True
    checks = {check["name"]: check for check in told["checks"]}
    assert all(check["ok"] for check in checks.values() if check["needed"])
    assert set(BASE_PACKAGES) <= set(checks)
    assert list(tmp_path.iterdir()) == []


def test_doctor_for_people_is_one_line_a_check(cli, tmp_path):
    done = cli("doctor", cwd=tmp_path)
    assert done.returncode == 0
    assert "ok      inference" in done.stdout
    assert "Research use only" in done.stdout


def test_doctor_says_what_is_broken(cli, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('broken on purpose')")
    done = cli("doctor", cwd=tmp_path, shadow=tmp_path)
    assert done.returncode == 2
    assert [line for line in done.stdout.splitlines() if line.startswith("BROKEN  inference") and "on purpose" in line]


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_the_shipped_model_is_shown_and_verified(cli, verb):
    done = cli("model", verb, "phantom-unet")
    assert done.returncode == 0, done.stderr
    assert "phantom-unet" in done.stdout
    assert "research use only" in done.stdout.lower()
    assert json.loads(cli("model", verb, "phantom-unet", "--json").stdout)["research_use_only"] is True


def test_the_shipped_models_are_listed(cli):
    (model,) = json.loads(cli("model", "list", "--json").stdout)["models"]
    assert model["name"] == "phantom-unet"
    assert "phantom-unet" in cli("model", "list").stdout


def test_the_shipped_model_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 16 * 2**20


def test_a_damaged_model_is_refused(cli, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(SHIPPED, damaged)
    graph = bytearray((damaged / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (damaged / "model.onnx").write_bytes(graph)
    done = cli("model", "verify", damaged)
    assert done.returncode == 2
    assert done.stderr.startswith("bonescan: ")
    assert done.stderr.count("\n") == 1
    assert "model.onnx" in done.stderr


def test_training_without_torch_says_what_to_install(cli, tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    (tmp_path / "run.toml").write_text("")
    done = cli("train", tmp_path / "run.toml", shadow=tmp_path)
    assert done.returncode == 2
    assert "bonescan[train]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_training_with_an_unknown_key_names_it(cli, tmp_path):
    (tmp_path / "run.toml").write_text("stepz = 10\n")
    done = cli("train", tmp_path / "run.toml")
    assert done.returncode == 2
    assert "stepz" in done.stderr
    assert "steps" in done.stderr
    assert done.stderr.count("\n") == 1
