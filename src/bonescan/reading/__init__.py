"""Read studies from files and folders: DICOM, pairs of 16-bit PNGs, and scan.npz.

`read_studies` goes on after an input that cannot be read; `read_study` is for one study.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bonescan.dicom.values import ReadOptions, stated_views
from bonescan.errors import InputError
from bonescan.reading.inputs import StudyFiles, discover, is_file
from bonescan.sandbox import read_dicom, read_npz, read_png
from bonescan.study import Study

__all__ = [
    "ReadOptions",
    "StudyFiles",
    "digest",
    "discover",
    "read_files",
    "read_studies",
    "read_study",
    "stated_views",
]

_NOT_USED = "the views or frames that were stated were not used: PNG and npz files say their views by name"


def read_study(paths: Path | str | Sequence[Path | str], options: ReadOptions | None = None) -> Study:
    """Read the one study that a file, two files or a folder hold.

    Raises InputError where they hold no study, several, or one that cannot be used, and ViewError where anterior and
    posterior cannot be told apart.
    """
    given = _listed(paths)
    if not given:
        raise InputError("no input was given; give a file or a folder")
    studies = discover(given)
    if len(studies) != 1:
        raise InputError(f"the input holds {len(studies)} studies; give the files of one")
    return read_files(studies[0], options)


def read_studies(
    paths: Path | str | Sequence[Path | str], options: ReadOptions | None = None
) -> Iterator[tuple[str, Study | InputError]]:
    """Yield each study among files and folders under its key, or the error why it cannot be read; the others go on."""
    for files in discover(_listed(paths)):
        try:
            yield files.key, read_files(files, options)
        except InputError as error:
            yield files.key, error


def _listed(paths: Path | str | Sequence[Path | str]) -> list[Path]:
    """The inputs; one by itself, which a loop would take apart into letters, is one input."""
    return [Path(path) for path in ([paths] if isinstance(paths, Path | str) else paths)]


def read_files(files: StudyFiles, options: ReadOptions | None = None) -> Study:
    """Read one study that `discover` found. Raises InputError or ViewError."""
    first = files.paths[0]
    if files.kind == "none":
        _open_folder(first)
        raise InputError(f"the folder {first} holds no scan; give a folder with DICOM files, PNG pairs or scan.npz")
    for path in files.paths:
        _check(path)
    study = _read(files, options)
    return replace(study, digests=tuple(digest(path) for path in files.paths))


def _read(files: StudyFiles, options: ReadOptions | None) -> Study:
    # Imported on use: a PNG needs no pydicom, and DICOM no Pillow.
    if files.kind == "dicom":
        return read_dicom(files.paths, files.key, options or ReadOptions())
    study = read_npz(files.paths[0], files.key) if files.kind == "npz" else read_png(files.paths, files.key)
    if options is None or (options.views is None and options.frames is None):
        return study
    return replace(study, warnings=(*study.warnings, _NOT_USED))


def digest(path: Path) -> str:
    """Return the sha256 (hex) of a file. Raises InputError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from None


def _open_folder(path: Path) -> None:
    try:
        os.scandir(path).close()
    except OSError as error:
        raise InputError(f"the folder {path} cannot be opened ({error.strerror}); check its permissions") from None


def _check(path: Path) -> None:
    try:
        path.stat()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path") from None
    except OSError as error:
        raise InputError(f"{path} cannot be reached ({error.strerror}); check the path and its permissions") from None
    if not is_file(path):
        raise InputError(f"{path} is neither a file nor a folder; give a DICOM file, a pair of PNGs or scan.npz")
