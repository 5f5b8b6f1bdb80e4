"""Which commands need which extra."""

from __future__ import annotations

import inspect
import re

import pytest

from bonescan.commands import COMMANDS
from bonescan.system import extras


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
