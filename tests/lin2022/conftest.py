"""A data set of simulated patients, which takes a while to make."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_set(cli, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """`bonescan dataset` of four patients and 24 images, by a child process: its folder and what was said.

    The folder is everybody's: who changes it, changes a copy.
    """
    out = tmp_path_factory.mktemp("dataset") / "set"
    done = cli("dataset", "-o", out, "--seed", 1, "--patients", 4, "--images", 24)
    assert done.returncode == 0, done.stderr
    return out, done
