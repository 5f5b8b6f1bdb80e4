"""What this machine has, and whether bonescan works on it."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bonescan._version import __version__
from bonescan.commands.model import model_named
from bonescan.errors import BonescanError
from bonescan.pipeline import load_model, segment
from bonescan.reading import ReadOptions, read_study
from bonescan.study import Scan, Study, View
from bonescan.system import extras


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    ok: whether it works. needed: whether `bonescan segment` needs it. found: what was found, in words.
    mend: the command that mends it, "" where there is none.
    """

    name: str
    ok: bool
    needed: bool
    found: str
    mend: str = ""


def examine() -> tuple[Check, ...]:
    """Look at everything. Reads, computes and writes one temporary file here; opens no socket."""
    return (
        Check("bonescan", True, True, __version__),
        Check("Python", True, True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Check("processors", True, True, f"{os.cpu_count()}"),
        *(_package(name) for name in extras.packages(None)),
        _tried("model", _check_model),
        _tried("inference", _check_inference),
        _tried("JPEG 2000", _check_jpeg2000),
        _tried("writing here", _check_writing, needed=False),  # results go where -o says
        *(_extra(name, commands) for name, commands in extras.COMMANDS.items()),
    )


def _package(name: str) -> Check:
    try:
        return Check(name, True, True, version(name))
    except PackageNotFoundError:
        return Check(name, False, True, "not installed", extras.install_command(None))


def _extra(name: str, commands: tuple[str, ...]) -> Check:
    """All packages of one extra, and what is not possible without those that are missing."""
    packages, missing = extras.packages(name), extras.missing(name)
    what = f"for {', '.join(commands)}"
    if not packages:
        return Check(f"extra {name}", False, False, f"{what}: this installation does not say what it is made of")
    if missing:
        mend = extras.install_command(name)
        return Check(f"extra {name}", False, False, f"{what}: not installed are {', '.join(missing)}", mend)
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return Check(f"extra {name}", True, False, f"{what}: {versions}")


def _tried(name: str, check: Callable[[], str], needed: bool = True) -> Check:
    try:
        return Check(name, True, needed, check())
    except BonescanError as error:
        return Check(name, False, needed, str(error))
    except Exception as error:  # what is broken here may raise anything, and the other checks are still wanted
        return Check(name, False, needed, f"{type(error).__name__}: {error}")


def _check_model() -> str:
    name = load_model(model_named(None)).name
    return f"{name.name}, sha256 {name.sha256[:12]}, every file as it was made"


def _check_inference() -> str:
    counts = np.random.default_rng(0).poisson(3.0, (64, 64)).astype(np.float32)
    study = Study(key="doctor", scans={view: Scan(view, counts) for view in View})
    segment(study, load_model(model_named(None)))
    return "the whole line runs"


def _check_jpeg2000() -> str:
    """Read the compressed whole-body view that pydicom ships; only its place is needed, not pydicom."""
    package = find_spec("pydicom")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("pydicom is not installed")
    sample = Path(package.origin).parent / "data" / "test_files" / "JPEG2000.dcm"
    if not sample.exists():
        return "not tried: pydicom's sample is not installed"
    read_study(sample, ReadOptions(views=(View.ANTERIOR,)))
    return "a compressed view was read"


def _check_writing() -> str:
    with tempfile.TemporaryFile(dir=Path.cwd()) as probe:
        probe.write(b"bonescan")
    return "this folder can be written to"
