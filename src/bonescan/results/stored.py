"""Rebuild a stored result from its `lesions.json` and the counts of the scan from which it was made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bonescan.dicom.options import ReadOptions
from bonescan.errors import InputError
from bonescan.reading import StudyFiles, digest, discover, read_files
from bonescan.reading.inputs import is_file
from bonescan.report.lesions_json import LesionsFile, read_lesions
from bonescan.study import Result, SourceFrame, Study, View

NAME = "lesions.json"


@dataclass(frozen=True, slots=True, eq=False)
class StoredResult:
    """A result on the disk. folder: where it is. file: the content of its `lesions.json`."""

    folder: Path
    file: LesionsFile


def result_folders(paths: Sequence[Path]) -> list[Path]:
    """Return the folders that hold a result, among folders and those below them, sorted within each.

    Raises InputError where one of `paths` holds no result.
    """
    found: list[Path] = []
    for path in paths:
        below: list[Path] = []
        for folder, names, files in os.walk(path):
            # Hidden folders are results that are being written.
            names[:] = sorted(name for name in names if not name.startswith("."))
            below += [Path(folder)] if NAME in files else []
        if not below:
            raise InputError(f"{path} holds no result (no {NAME}); give a folder that `bonescan segment` wrote")
        found += below
    return list(dict.fromkeys(found))


def stored(folder: Path) -> StoredResult:
    """Read a stored result without its scan. Raises InputError."""
    return StoredResult(folder, read_lesions(folder / NAME))


def sources_by_digest(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the scan files among files and folders, by their sha256."""
    return {digest(path): path for files in discover(paths) for path in files.paths if is_file(path)}


def rebuilt(result: StoredResult, sources: Mapping[str, Path]) -> tuple[Result, StudyFiles]:
    """Return a stored result with the counts of its scan, and the scan's files in the order in which they were read.

    The views are those of the result, also where they were given by hand. Raises InputError where the files from which
    the result was made are not among `sources`, or do not match it.
    """
    file = result.file
    if not file.digests:
        raise InputError(
            f"the result {file.key} does not say which files it was made from, as results of an earlier version; "
            "segment the scan again"
        )
    missing = [name for name, known in zip(file.sources, file.digests, strict=False) if known not in sources]
    if missing or len(file.sources) != len(file.digests):
        raise InputError(
            f"the scan of the result {file.key} is not among the sources: none of their files is the very "
            f"{' and '.join(missing) or 'file'} that it was made from"
        )
    paths = tuple(sources[known] for known in file.digests)
    kind = paths[0].suffix.lower().lstrip(".")
    files = StudyFiles(file.key, paths, "png" if kind == "png" else "npz" if kind == "npz" else "dicom")
    study = replace(read_files(files, _as_it_was_read(file)), view_source=file.view_source, sources=file.sources)
    _compare(study, file)
    own = file.warnings
    return (
        Result(
            study=replace(study, key=file.key, warnings=()),
            model=file.model,
            lesions=file.lesions,
            burden={view: record.burden for view, record in file.views.items()},
            window=file.window,
            region=file.region,
            warnings=own,
            reader=file.reader,
            operating_point=file.operating_point,
            candidates=file.candidates,
            extent=file.extent,
            quality=file.quality,
        ),
        files,
    )


def _as_it_was_read(file: LesionsFile) -> ReadOptions | None:
    """Return the options that read the same frames as the same views."""
    frames = {view: record.source for view, record in file.views.items() if record.source is not None}
    if not frames:
        return None
    places = dict(sorted(frames.items(), key=lambda one: _place(one[1])))
    views = tuple(places)
    chosen = tuple(frame.frame for frame in places.values())
    several = len(views) == 2 and len(file.sources) == 1
    return ReadOptions(views, (chosen[0], chosen[1]) if several else None)


def _place(frame: SourceFrame) -> tuple[int, int]:
    return frame.file, frame.frame


def _compare(study: Study, file: LesionsFile) -> None:
    """Refuse a scan whose counts are not those from which the result was made."""
    for view in View:
        record = file.views.get(view)
        if (record is None) is (view in study.scans):
            raise InputError(
                f"the scan of the result {file.key} has other views than the result says; segment it again"
            )
        if record is None:
            continue
        total = float(study.counts(view).sum(dtype=np.float64))
        if study.shape != record.shape or total != record.counts_total:
            raise InputError(
                f"the {view} view of the result {file.key} has other counts in the scan than the result says; "
                "segment it again"
            )
