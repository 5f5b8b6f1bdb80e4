"""Which commands need which extra."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest

from bonescan.commands import COMMANDS
from bonescan.system import extras


def test_every_extra_is_known_to_doctor():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(extras.COMMANDS) == set(project["optional-dependencies"])


@pytest.mark.parametrize(("platform", "said"), [("linux", True), ("win32", False), ("darwin", False)])
def test_torch_without_cuda_is_offered_where_pypi_has_it_with_cuda(monkeypatch, platform, said):
    monkeypatch.setattr(extras, "_is_installed", lambda package: package != "torch")
    monkeypatch.setattr(extras.sys, "platform", platform)
    assert ("--extra-index-url https://download.pytorch.org/whl/cpu" in extras.smaller_torch("train")) is said
    assert extras.smaller_torch("node") == ""


@pytest.mark.parametrize("extra", ["train", "experiments", "node", "parquet"])
def test_the_commands_of_an_extra_are_those_that_import_it(extra):
    found = {
        words
        for words, command in COMMANDS.items()
        if extra in [name or "train" for name in re.findall(r'needs_extra\((?:"(\w+)")?\)', inspect.getsource(command))]
    }
    # An option may stand behind a command, and a group stands for its commands.
    listed = {name.partition(" -")[0] for name in extras.COMMANDS[extra]}
    covered = {words for words in COMMANDS if any(words == name or words.startswith(f"{name} ") for name in listed)}
    assert found - covered == set()
    # The classical methods of `experiment run` import scikit-image only when they are asked for.
    found |= {"experiment run"} if extra == "experiments" else set()
    assert [name for name in listed if not any(f"{words} ".startswith(f"{name} ") for words in found)] == []
