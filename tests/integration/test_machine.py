"""The commands about this machine and its models."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bonescan
from bonescan.system import extras

SHIPPED = Path(bonescan.__file__).parent / "bundles" / "phantom-unet"


def test_doctor_finds_this_machine_in_order(cli, tmp_path):
    done = cli("doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["works"] is True
    checks = {check["name"]: check for check in told["checks"]}
    assert all(check["ok"] for check in checks.values() if check["needed"])
    base = {"numpy", "pydicom", "highdicom", "reportlab", "onnxruntime", "python-gdcm"}
    assert base <= set(extras.packages(None)) <= set(checks)
    assert {f"extra {name}" for name in ("train", "experiments", "node", "dev")} <= set(checks)
    assert list(tmp_path.iterdir()) == []


def test_doctor_for_people_is_one_line_a_check(in_process, tmp_path):
    done = in_process("doctor", cwd=tmp_path)
    assert done.returncode == 0
    assert "ok      inference" in done.stdout
    assert "Research use only" in done.stdout


def test_doctor_says_what_is_missing_for_which_command_and_how_to_mend_it(monkeypatch):
    from bonescan.commands.examine import examine

    absent, there = {"torch", "safetensors", "pynetdicom"}, extras._is_installed
    monkeypatch.setattr(extras, "_is_installed", lambda package: package not in absent and there(package))
    checks = {check.name: check for check in examine()}
    train, node = checks["extra train"], checks["extra node"]
    assert (train.ok, train.needed) == (False, False)
    what = "for train, adapt, gan, model export, model cost, experiment run, experiment own"
    assert train.found == f"{what}: not installed are torch, safetensors"
    assert "torch>=2.6" in train.mend.replace("<3,>=2.6", ">=2.6")
    assert "onnxscript" not in train.mend
    assert node.mend.startswith(f"{sys.executable} -m pip install ")
    assert checks["extra experiments"].mend == ""


def test_torch_without_cuda_is_a_choice_that_doctor_and_the_error_state(monkeypatch, in_process, tmp_path):
    from bonescan.commands.base import needs_extra
    from bonescan.errors import OptionError

    monkeypatch.setattr(sys, "platform", "linux")
    there = extras._is_installed
    monkeypatch.setattr(extras, "_is_installed", lambda package: package != "torch" and there(package))
    choice = "without an NVIDIA GPU, add --extra-index-url https://download.pytorch.org/whl/cpu"
    assert f"torch: {choice}" in in_process("doctor", cwd=tmp_path).stdout
    with pytest.raises(OptionError, match=f"'torch.*; {choice}"), needs_extra():
        raise ModuleNotFoundError("No module named torch", name="torch")


def test_the_command_that_mends_is_one_that_pip_takes(monkeypatch, tmp_path):
    """pip itself reads it, and finds what is asked for, as it is installed already."""
    there = [extra for extra in (None, *extras.COMMANDS) if not extras.missing(extra)]
    assert {None, "train", "node", "dev"} <= set(there)
    monkeypatch.setattr(extras, "missing", lambda extra: tuple(extras.packages(extra)))
    asked = []
    for extra in there:
        words = shlex.split(extras.install_command(extra))
        assert words[:4] == [sys.executable, "-m", "pip", "install"]
        asked += words[4:]
    # All in one run: pip refuses it where it would refuse one of them.
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--quiet"]
    done = subprocess.run([*pip, *asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_message_names_a_package_that_no_index_has():
    root = Path(bonescan.__file__).parent
    naming = [path.name for path in root.rglob("*.py") if "bonescan[" in path.read_text(encoding="utf-8")]
    assert naming == []


def test_doctor_looks_at_the_model_in_use(in_process, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "bonescan" / "models").mkdir(parents=True)
    (tmp_path / "bonescan" / "models" / "in-use").write_text("gone")
    assert in_process("segment", "nothing", "-o", "out", cwd=tmp_path).returncode == 2
    done = in_process("doctor", cwd=tmp_path)
    assert done.returncode == 2
    assert "the model in use, gone, is not kept any more" in done.stdout


def test_doctor_says_what_is_broken(cli, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('broken on purpose')")
    done = cli("doctor", cwd=tmp_path, shadow=tmp_path)
    assert done.returncode == 2
    assert [line for line in done.stdout.splitlines() if line.startswith("BROKEN  inference") and "on purpose" in line]


@pytest.mark.parametrize("verb", ["show", "verify"])
@pytest.mark.parametrize("name", ["phantom-unet", "paper"])
def test_the_shipped_models_are_shown_and_verified(in_process, verb, name):
    done = in_process("model", verb, name)
    assert done.returncode == 0, done.stderr
    assert name in done.stdout
    assert "research use only" in done.stdout.lower()
    assert json.loads(in_process("model", verb, name, "--json").stdout)["research_use_only"] is True


def test_the_shipped_models_are_listed(cli, in_process):
    models = json.loads(cli("model", "list", "--json").stdout)["models"]
    assert [model["name"] for model in models] == ["paper", "phantom-unet"]
    listed = in_process("model", "list").stdout
    assert "phantom-unet" in listed
    assert "paper" in listed


@pytest.mark.parametrize("options", [[], ["--set", "recurrence=1", "weights=unshared"], ["--size", "64x32"]])
def test_the_cost_of_a_network_is_told(in_process, options):
    pytest.importorskip("torch")
    done = in_process("model", "cost", "lin2022", *options)
    assert done.returncode == 0, done.stderr
    assert "parameters" in done.stdout
    told = json.loads(in_process("model", "cost", "lin2022", *options, "--json").stdout)
    assert told["parameters"] == sum(layer["parameters"] for layer in told["layers"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lin"], "there is no network 'lin': choose one of unet, lin2022, plain-unet"),
        (["lin2022", "--set", "recurence=1"], "did you mean 'recurrence'"),
        (["lin2022", "--size", "33x32"], "multiples of 32"),
        (["lin2022", "--size", "33"], "is no size"),
    ],
)
def test_a_cost_that_cannot_be_told_is_one_sentence(in_process, arguments, said):
    pytest.importorskip("torch")
    done = in_process("model", "cost", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_model_is_refused(in_process, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(SHIPPED, damaged)
    graph = bytearray((damaged / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (damaged / "model.onnx").write_bytes(graph)
    done = in_process("model", "verify", damaged)
    assert done.returncode == 2
    assert done.stderr.startswith("bonescan: ")
    assert done.stderr.count("\n") == 1
    assert "model.onnx" in done.stderr


@pytest.fixture
def without_unix(tmp_path):
    """A folder that hides the modules that Windows lacks."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("fcntl", "resource", "termios"):
        (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError('not on Windows', name={name!r})")
    return hidden


def test_scans_are_read_without_the_modules_that_windows_lacks(cli, tmp_path, without_unix):
    for arguments in (
        ("simulate", "-o", "cohort", "--count", "1", "--seed", "2", "--header", "ge"),
        ("segment", "cohort", "-o", "out", "--format", "json,labels,png,sr,pdf"),
        ("evaluate", "out", "cohort"),
        ("table", "out", "-o", "out"),
    ):
        done = cli(*arguments, cwd=tmp_path, shadow=without_unix)
        assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("out/*/report.pdf"))) == 1


def test_a_command_that_cannot_run_on_windows_says_so(cli, tmp_path, without_unix):
    (tmp_path / "node.toml").write_text('storage = "s"\n')
    done = cli("node", "run", "node.toml", cwd=tmp_path, shadow=without_unix)
    assert done.returncode == 2
    assert "this runs on Linux and macOS alone" in done.stderr


def test_training_without_torch_says_what_to_install(cli, tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    (tmp_path / "run.toml").write_text("")
    done = cli("train", tmp_path / "run.toml", shadow=tmp_path)
    assert done.returncode == 2
    assert "this needs torch" in done.stderr
    assert done.stderr.count("\n") == 1


def test_training_with_an_unknown_key_names_it(in_process, tmp_path):
    (tmp_path / "run.toml").write_text("stepz = 10\n")
    done = in_process("train", tmp_path / "run.toml")
    assert done.returncode == 2
    assert "stepz" in done.stderr
    assert "steps" in done.stderr
    assert done.stderr.count("\n") == 1
