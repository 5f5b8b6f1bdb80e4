"""Parse untrusted files in a child process with limits on memory and time, and check the values that come back.

The functions here have the names and the errors of those that they run in the child. All code that reads a scan, a
header or curves from outside calls these. A new task needs a function in `tasks.py` that takes plain arguments and
returns plain values and arrays, an entry in `TASKS`, and a function here that checks what comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bonescan.sandbox import wire
from bonescan.sandbox.parent import ask, start

if TYPE_CHECKING:
    from bonescan.annotate.drawings import DrawnMask, LabelAbout
    from bonescan.dicom.header import SourceHeader
    from bonescan.dicom.values import Curves, FileSummary, ReadOptions
    from bonescan.study import Study

__all__ = [
    "ask",
    "deidentified",
    "drawn_masks",
    "file_summary",
    "label_about",
    "read_curves",
    "read_dicom",
    "read_header",
    "read_npz",
    "read_png",
    "start",
]


def file_summary(path: Path) -> FileSummary:
    """Run `bonescan.dicom.read.file_summary`; a file that exceeds the child's limits gets a refusal."""
    from bonescan.dicom.values import FileSummary
    from bonescan.errors import InputError

    try:
        return wire.file_summary(ask("file_summary", [path]))
    except InputError as refusal:
        return FileSummary("", "", 0, str(refusal))


def read_dicom(paths: Sequence[Path], key: str, options: ReadOptions) -> Study:
    """Run `bonescan.dicom.read.read_dicom`. Raises InputError or ViewError."""
    return wire.study(ask("study", paths, key=key, options=asdict(options)), key, _names(paths))


def read_header(paths: Sequence[Path]) -> SourceHeader:
    """Run `bonescan.dicom.read_header.read_header`. Raises InputError."""
    return wire.header(ask("header", paths))


def read_curves(path: Path) -> Curves:
    """Run `bonescan.dicom.objects.read_objects.read_curves`. Raises InputError or NoCurvesError."""
    return wire.curves(ask("curves", [path]))


def label_about(path: Path) -> LabelAbout:
    """Run `bonescan.annotate.drawings.label_about`. Raises InputError."""
    return wire.label_about(ask("label_about", [path]))


def drawn_masks(path: Path, shape: tuple[int, int]) -> tuple[DrawnMask, ...]:
    """Run `bonescan.annotate.drawings.drawn_masks`. Raises InputError."""
    return wire.drawn_masks(ask("drawn_masks", [path], shape=list(shape)), shape)


def deidentified(path: Path, key: bytes, *, accept_burned_in: bool) -> wire.NamelessScan:
    """Run `bonescan.dicom.deidentify.deidentified`. Raises InputError."""
    return wire.nameless(ask("deidentify", [path], key=key.hex(), accept_burned_in=accept_burned_in))


def read_png(paths: Sequence[Path], key: str) -> Study:
    """Run `bonescan.sandbox.rasters.read_png`. Raises InputError."""
    return wire.study(ask("png", paths, key=key), key, _names(paths))


def read_npz(path: Path, key: str) -> Study:
    """Run `bonescan.sandbox.rasters.read_npz`. Raises InputError."""
    return wire.study(ask("npz", [path], key=key), key, _names([path]))


def _names(paths: Sequence[Path]) -> set[str]:
    return {path.name for path in paths}
