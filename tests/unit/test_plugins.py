"""Plug-ins: what they add by name, and that all else works without the reproduction of Lin et al."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bonescan.system.plugins import Registry

BLOCKED = """
import sys
sys.modules["bonescan.lin2022"] = None
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCKED + script], capture_output=True, text=True, check=False)


def test_what_is_there_itself_stands_first_and_unknown_names_are_unknown():
    known = Registry("bonescan.networks", {"unet": 1, "lin2022": 2})
    assert list(known) == ["unet", "lin2022", "plain-unet"]
    assert len(known) == 3
    assert known["lin2022"] == 2
    assert isinstance(known["plain-unet"], tuple)
    assert "none" not in known
    with pytest.raises(KeyError):
        known["none"]


def test_every_module_outside_is_imported_without_the_reproduction():
    script = """
import importlib, pkgutil, bonescan
for module in pkgutil.walk_packages(bonescan.__path__, "bonescan."):
    if not module.name.startswith("bonescan.lin2022") and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert not [name for name in sys.modules if name.startswith("bonescan.lin2022.")]
from bonescan.models import MODELS
from bonescan.train.methods import METHODS
assert (list(MODELS), list(METHODS)) == (["unet"], ["supervised"])
"""
    pytest.importorskip("torch")
    done = run(script)
    assert done.returncode == 0, done.stderr


def test_the_command_line_has_all_other_commands_without_the_reproduction():
    done = run("from bonescan.cli import main\nmain(['--help'])")
    assert done.returncode == 0, done.stderr
    assert "segment" in done.stdout
    assert "experiment" not in done.stdout


def test_a_training_that_asks_for_what_is_not_there_is_refused(tmp_path):
    pytest.importorskip("torch")
    asked = {
        'network = "lin2022"': "there is no network 'lin2022'",
        'method = "chan-vese"': "there is no method 'chan-vese' here",
        "": "bonescan.lin2022, which is not here",
    }
    configs = [str(tmp_path / f"{number}.toml") for number in range(len(asked))]
    for config, values in zip(configs, asked, strict=True):
        Path(config).write_text(f'{values}\nruns = "{tmp_path}"\n[images]\nfolder = "{tmp_path}"\n')
    # One process for all: importing torch takes longer than what is asked.
    done = run(f"from bonescan.cli import main\nprint([main(['train', config]) for config in {configs}])")
    assert (done.returncode, done.stdout.strip()) == (0, "[2, 2, 2]"), done.stderr
    lines = done.stderr.splitlines()
    assert [said in line for said, line in zip(asked.values(), lines, strict=True)] == [True] * 3, done.stderr


def test_the_shipped_bundle_of_the_published_network_is_read_without_its_source():
    done = run("from bonescan.pipeline import load_model\nprint(load_model('paper').name.name)")
    assert (done.returncode, done.stdout.strip()) == (0, "paper"), done.stderr
