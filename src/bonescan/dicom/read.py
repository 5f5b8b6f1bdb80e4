"""Read whole-body bone scans from DICOM: NM Image Storage with two frames, or one view per file.

Follows PS3.3 A.5 (NM Image IOD). The patient's identity is not returned. These functions parse in the calling process:
read untrusted files through `bonescan.sandbox`, which runs them in a limited child process.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset

from bonescan.dicom.accept import refuse_unsuitable, refuse_unsuitable_layout, remarks
from bonescan.dicom.elements import guarded, load, numbers, parse, text
from bonescan.dicom.pixels import Layout, layout_of, stored_frames
from bonescan.dicom.values import AGAINST_HEADER, FileSummary, ReadOptions
from bonescan.dicom.views import Frame, Told, how_to_state, tell_views
from bonescan.errors import InputError, ViewError
from bonescan.prepare.plausibility import checked_counts, checked_spacing
from bonescan.report.words import counted
from bonescan.study import FloatImage, Scan, SourceFrame, Spacing, Study, View


@dataclass(frozen=True, slots=True)
class _File:
    """One parsed and accepted file."""

    dataset: Dataset
    layout: Layout


def file_summary(path: Path) -> FileSummary:
    """Return the values of one file that are needed to group files; an unreadable file has a refusal and no UIDs."""
    try:
        with guarded():
            dataset = parse(load(path), pixels=False)
            uids = text(dataset, "StudyInstanceUID"), text(dataset, "SeriesInstanceUID")
            try:
                layout = _accepted_layout(dataset)
            except InputError as refusal:
                return FileSummary(*uids, 0, str(refusal))
            return FileSummary(*uids, layout.frames, None, text(dataset, "StationName"))
    except InputError as refusal:
        return FileSummary("", "", 0, str(refusal))


def read_dicom(paths: Sequence[Path], key: str, options: ReadOptions) -> Study:
    """Read one study from one file, or from two files of one view each.

    Raises ViewError where anterior and posterior cannot be told apart, InputError where the files cannot be used.
    """
    with guarded():
        files = [_open(path) for path in paths]
        frames = _chosen_frames(files, options)
        told, contradicted = _views(frames, options)
        counts, notes = _counts(files, frames)
        spacing, spacing_note = _spacing(files, counts)
        for file in files:
            notes += remarks(file.dataset, file.layout, [each.index for each in frames if each.dataset is file.dataset])
        notes += [f"the {view} view is missing" for view in View if view not in told.views]
        notes += [note for note in (contradicted, spacing_note) if note]
        return Study(
            key=key,
            scans={view: Scan(view, counts[told.views.index(view)]) for view in View if view in told.views},
            spacing=spacing,
            spacing_note=spacing_note,
            view_source=told.source,
            acquired=_acquired(files[0].dataset),
            frames=_origins(files, frames, told),
            sources=tuple(path.name for path in paths),
            warnings=tuple(dict.fromkeys(notes)),
        )


def _open(path: Path) -> _File:
    dataset = parse(load(path))
    return _File(dataset, _accepted_layout(dataset))


def _accepted_layout(dataset: Dataset) -> Layout:
    refuse_unsuitable(dataset)
    layout = layout_of(dataset)
    refuse_unsuitable_layout(dataset, layout)
    return layout


def _chosen_frames(files: Sequence[_File], options: ReadOptions) -> list[Frame]:
    """Return the one or two frames that make the study, in the order in which the caller states views."""
    if len(files) > 2 or (len(files) == 2 and any(file.layout.frames != 1 for file in files)):
        raise InputError(
            f"the study has {len(files)} files of {', '.join(str(file.layout.frames) for file in files)} frames; "
            "give one file with two frames, or two files of one view each"
        )
    frames = [Frame(file.dataset, index, file.layout.frames) for file in files for index in range(file.layout.frames)]
    if options.frames and max(options.frames) > len(frames):
        raise InputError(
            f"frame {max(options.frames)} was chosen, but there are only {len(frames)}; give others with --frames"
        )
    if options.frames:
        return [frames[number - 1] for number in options.frames]
    if len(frames) > 2:
        raise InputError(
            f"the file has {len(frames)} frames; choose the two views of the whole body with --frames, as --frames 1,2"
        )
    return frames


def _views(frames: Sequence[Frame], options: ReadOptions) -> tuple[Told, str | None]:
    """Return the views, from the caller or else the header, and a warning where the two differ."""
    if options.views is None:
        return tell_views(frames), None
    if len(options.views) != len(frames):
        raise ViewError(
            f"{counted(len(options.views), 'view')} given for {counted(len(frames), 'frame')}; "
            f"{how_to_state(len(frames))}"
        )
    stated = Told(options.views, "the user, not the header")
    try:
        told = tell_views(frames)
    except InputError:
        return stated, None
    if told.views == stated.views:
        return stated, None
    return stated, f"{AGAINST_HEADER}, where {told.source} says otherwise"


def _counts(files: Sequence[_File], frames: Sequence[Frame]) -> tuple[list[FloatImage], list[str]]:
    """Return the counts of each frame, in the order of `frames`, and warnings."""
    by_frame: dict[tuple[int, int], NDArray[Any]] = {}
    for file in files:
        wanted = [frame.index for frame in frames if frame.dataset is file.dataset]
        arrays = stored_frames(file.dataset, wanted)
        by_frame.update({(id(file.dataset), index): array for index, array in zip(wanted, arrays, strict=True)})
    stored = [by_frame[id(frame.dataset), frame.index] for frame in frames]
    if len({frame.shape for frame in stored}) != 1:
        shapes = " and ".join(f"{frame.shape[0]} x {frame.shape[1]}" for frame in stored)
        raise InputError(f"the two views have matrices of {shapes} pixels; give two views of one acquisition")
    checked = [checked_counts(frame) for frame in stored]
    return [counts for counts, _ in checked], [note for _, notes in checked for note in notes]


def _origins(files: Sequence[_File], frames: Sequence[Frame], told: Told) -> dict[View, SourceFrame]:
    """Return which frame of which file each view is."""
    places = {id(file.dataset): place for place, file in enumerate(files)}
    found = {
        view: SourceFrame(places[id(frame.dataset)], frame.index + 1)
        for view, frame in zip(told.views, frames, strict=True)
    }
    return {view: found[view] for view in View if view in found}


def _spacing(files: Sequence[_File], counts: Sequence[FloatImage]) -> tuple[Spacing | None, str | None]:
    """Return the spacing of all files, or None and the reason. DICOM's order is already (row, col), PS3.3 10.7.1.3."""
    stated = {numbers(file.dataset, "PixelSpacing") for file in files}
    if len(stated) > 1:
        return None, "the two files state different pixel spacings, which were dropped"
    values = stated.pop()
    if not values:
        return None, "the file states no pixel spacing, so there are no millimetres"
    return checked_spacing(values, counts)


def _acquired(dataset: Dataset) -> str | None:
    """Return when the scan was acquired, ISO 8601, as far as the header gives it; an invalid date is ignored."""
    for date_keyword, time_keyword in (("AcquisitionDate", "AcquisitionTime"), ("SeriesDate", "SeriesTime")):
        try:
            date, time = text(dataset, date_keyword), text(dataset, time_keyword)
            day = datetime.datetime.strptime(date, "%Y%m%d").date()
        except (InputError, ValueError):
            continue
        clock = re.match(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)", time)
        return f"{day.isoformat()}T{':'.join(clock.groups())}" if clock else day.isoformat()
    return None
