"""Rules that import-linter does not check: pins, licences, sizes, and that its contracts guard something."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "bonescan").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

HOMES = {
    "torch": ("models/", "train/", "adapt/", "lin2022/"),
    "pydicom": ("dicom/",),
    "highdicom": ("dicom/",),
    "onnxruntime": ("predict.py",),
    "pynetdicom": ("node/",),
    "dbos": ("node/",),
    "requests": ("node/",),
}


def imported(source: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    packages = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            packages.update(name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            packages.add(node.module.partition(".")[0])
    return packages


@pytest.mark.parametrize("package", HOMES)
def test_a_package_is_imported_only_in_its_home(package):
    users = [path.relative_to(ROOT / "src" / "bonescan").as_posix() for path in SOURCES if package in imported(path)]
    assert [user for user in users if not user.startswith(HOMES[package])] == []


@pytest.mark.parametrize("package", ["torch", "pydicom", "onnxruntime"])
def test_each_rule_has_a_contract_and_something_to_guard(package):
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    assert any(package in contract.get("protected_modules", ()) for contract in contracts)
    assert any(package in imported(path) for path in SOURCES)


def test_every_dependency_is_pinned_exactly_and_torch_is_never_a_local_build():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines)
    extras = PROJECT["project"]["optional-dependencies"].values()
    for requirement in [*PROJECT["project"]["dependencies"], *(one for extra in extras for one in extra)]:
        assert re.split(r"[<>=]", requirement)[0].lower() in pins, requirement
    assert pins["torch"] == "2.13.0"


def test_the_base_does_not_depend_on_torch():
    assert not [
        name for name in PROJECT["project"]["dependencies"] if name.startswith(("torch", "onnx>", "onnxscript"))
    ]


def test_files_and_functions_keep_to_a_natural_size():
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"
