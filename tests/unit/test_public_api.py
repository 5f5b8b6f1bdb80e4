"""The names that others may rely on, and what importing costs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import bonescan

ROOT = Path(__file__).parents[2]

PUBLIC = [
    "BonescanError",
    "Lesion",
    "Model",
    "Options",
    "ReadOptions",
    "Result",
    "Scan",
    "Spacing",
    "Study",
    "View",
    "load_model",
    "read_studies",
    "read_study",
    "segment",
    "write_result",
]


def test_public_names_are_these_and_no_others():
    assert bonescan.__all__ == PUBLIC
    assert set(bonescan._HOMES) == set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_the_one_of_its_module(name):
    value = getattr(bonescan, name)
    assert value is getattr(import_module(bonescan._HOMES[name]), name)
    assert value.__doc__
    assert name in dir(bonescan)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'segmant'"):
        bonescan.segmant  # noqa: B018


def test_importing_bonescan_imports_nothing_else_of_weight():
    code = "import sys, bonescan; print(sorted({'numpy', 'torch', 'pydicom', 'rich', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_same_everywhere():
    assert f"version: {bonescan.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "bonescan._version.__version__"
