"""The folder of one result, OUT/<study>/: written completely or not at all, and read back with the scan's counts."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bonescan.annotate.coco import write_coco
from bonescan.annotate.label_json import counts_digest, window_of
from bonescan.annotate.labelme import from_label_image, stamped, write_labelme
from bonescan.dicom.header import Origin, patient_fields
from bonescan.dicom.objects import write_object
from bonescan.dicom.values import ReadOptions
from bonescan.errors import InputError, OptionError, OutputError
from bonescan.prepare import Window
from bonescan.reading import StudyFiles, digest, discover, read_files
from bonescan.reading.inputs import is_file
from bonescan.report.lesions_json import LesionsFile, read_lesions, write_lesions
from bonescan.report.overlay import write_overlay
from bonescan.report.pictures import labels_name, picture_name, write_labels, write_pictures
from bonescan.report.words import counted
from bonescan.sandbox import label_about
from bonescan.study import Result, SourceFrame, Study, View
from bonescan.system.files import bring_to_disk, put_in_place, reason_of, remove_left, temporary_for

LESIONS_JSON = "lesions.json"


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of output: the names that it may write, and how it writes them into a folder.

    needs_dicom: the output is a DICOM object in the study of its source, so that it needs the source's header.
    """

    files: tuple[str, ...]
    write: Callable[[Result, Path, Origin | None], None]
    needs_dicom: bool = False


def _dicom(kind: str, name: str) -> Format:
    """The format that writes one object in the study of its source."""

    def write(result: Result, folder: Path, origin: Origin | None) -> None:
        if origin is None:
            raise OptionError(f"the format {kind} needs the header of a DICOM source")
        write_object(kind, result, origin, folder / name)

    return Format((name,), write, needs_dicom=True)


def _write_page(result: Result, folder: Path, origin: Origin | None) -> None:
    # Imported on use: a PDF is wanted less often than a result.
    from bonescan.report.page import write_page

    write_page(result, folder / "report.pdf", patient_fields(origin))
    if origin is not None:
        write_object("pdf", result, origin, folder / "report-pdf.dcm")


def _write_html(result: Result, folder: Path, origin: Origin | None) -> None:
    from bonescan.report.html import write_html  # wanted less often than a result

    write_html(result, folder / "report.html", patient_fields(origin))


def _write_labelme(result: Result, folder: Path) -> None:
    """Write a label file and its picture for each acquired view; a file without shapes: the view has no lesion."""
    write_pictures(result.study, folder, result.warnings)
    for view, scan in result.study.scans.items():
        labels = from_label_image(result.labels(view), picture_name(view))
        # LabelMe shows the flags of a picture beside it, and no other text of the file.
        labels = replace(labels, flags={f"warning: {warning}": True for warning in result.warnings})
        write_labelme(folder / f"{view}.json", stamped(labels, {view: counts_digest(scan.counts)}, window_of(result)))


FORMATS: dict[str, Format] = {
    "json": Format((LESIONS_JSON,), lambda result, folder, _: write_lesions(result, folder / LESIONS_JSON)),
    "labels": Format(tuple(labels_name(view) for view in View), lambda result, folder, _: write_labels(result, folder)),
    "png": Format(
        ("overlay.png",),
        lambda result, folder, origin: write_overlay(result, folder / "overlay.png", patient_fields(origin)),
    ),
    "sr": _dicom("sr", "lesions-sr.dcm"),
    "seg": _dicom("seg", "lesions-seg.dcm"),
    "capture": _dicom("capture", "overlay-capture.dcm"),
    "pdf": Format(("report.pdf", "report-pdf.dcm"), _write_page),
    "html": Format(("report.html",), _write_html),
    "gsps": _dicom("gsps", "presentation.dcm"),
    "labelme": Format(
        (*(f"{view}.json" for view in View), *(picture_name(view) for view in View)),
        lambda result, folder, _: _write_labelme(result, folder),
    ),
    "coco": Format(("coco.json",), lambda result, folder, _: write_coco(result, folder / "coco.json")),
}
"""DICOM has no segmentation without segments: without lesions, "seg" writes nothing. "pdf" writes the page, and also a
DICOM object of it where the source is DICOM."""
DEFAULT_FORMATS = ("json", "labels", "png")
_EDITABLE = ("labelme", "coco")
"""Formats whose files people edit in place."""


def write_result(
    result: Result, out: Path | str, formats: str | Sequence[str] = DEFAULT_FORMATS, origin: Origin | None = None
) -> Path:
    """Write a result into the folder `out`/<study key> and return that folder.

    The files are written into a hidden folder beside it, flushed to disk, and renamed into place together. An earlier
    result of that name is replaced completely; a folder that holds anything else is refused.
    formats: one name or several. origin: the header of the source, for the formats that are DICOM objects.
    Raises OptionError for an unknown format or one that lacks its origin, OutputError where it cannot be written.
    """
    out = Path(out)
    formats = (formats,) if isinstance(formats, str) else formats
    writers = [_format(name) for name in dict.fromkeys(formats)]
    refuse_without_header(formats, origin is not None)
    target = out / _safe_name(result.study.key)
    partial = temporary_for(target)
    try:
        remove_left(target)
        _refuse_what_is_not_ours(target)
        _refuse_edited(target, _names(FORMATS))
        partial.mkdir(parents=True)
        for writer in writers:
            writer.write(result, partial, origin)
        _flush(partial)
        put_in_place(partial, target)
    except OSError as error:
        raise OutputError(f"the result cannot be written to {target}: {reason_of(error)}; {_remedy(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _remedy(error: OSError) -> str:
    another = "choose another output folder with -o"
    return f"free space there, or {another}" if error.errno == errno.ENOSPC else another


def extend_result(result: Result, folder: Path, formats: Sequence[str], origin: Origin | None = None) -> Path:
    """Add files of some formats to the folder of a stored result, all at once; its other files stay as they are.

    Raises OptionError for an unknown format or one that lacks its origin, and OutputError where it cannot be written or
    the folder holds files that no result has.
    """
    writers = [_format(name) for name in dict.fromkeys(formats)]
    refuse_without_header(formats, origin is not None)
    folder = folder.resolve()
    partial = temporary_for(folder)
    try:
        remove_left(folder)
        _refuse_what_is_not_ours(folder)
        _refuse_edited(folder, {name for writer in writers for name in writer.files})
        shutil.copytree(folder, partial)
        for writer in writers:
            for name in writer.files:
                (partial / name).unlink(missing_ok=True)
            writer.write(result, partial, origin)
        _flush(partial)
        put_in_place(partial, folder)
    except OSError as error:
        raise OutputError(f"the files cannot be added to {folder}: {reason_of(error)}; {_remedy(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def refuse_without_header(formats: Sequence[str], header: bool, identify: bool = False) -> None:
    """Raise OptionError where a format, or naming the patient, needs a DICOM header that the source does not have."""
    if identify and not header:
        raise OptionError(
            "there is no DICOM header that names the patient: leave --identify out, or give the DICOM file"
        )
    wanting = [name for name in formats if name in FORMATS and FORMATS[name].needs_dicom]
    if wanting and not header:
        raise OptionError(
            f"the format {wanting[0]} is an object in the study of a DICOM source, and this source is none: "
            "leave it out, or give the DICOM file"
        )


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise OptionError(f"there is no output format {name!r}: known are {', '.join(FORMATS)}")
    return FORMATS[name]


def _safe_name(key: str) -> str:
    if not key or key.startswith(".") or Path(key).name != key or "\0" in key:
        raise OutputError(f"the study's key {key!r} is no folder name: use letters, digits, '-', '_' and '.'")
    return key


def _refuse_what_is_not_ours(target: Path) -> None:
    """Refuse to replace files that bonescan did not write: the output folder may be the one that holds the scans."""
    if not (target.exists() or target.is_symlink()):
        return
    if target.is_symlink() or not target.is_dir():
        raise OutputError(f"{target} exists and is no folder of a result: move it or choose another output folder")
    ours = _names(FORMATS)
    strange = sorted(entry.name for entry in target.iterdir() if entry.name not in ours or not entry.is_file())
    if strange:
        raise OutputError(
            f"{target} exists and holds {counted(len(strange), 'file')} that no result has: move them or choose another"
            " output folder"
        )


def _names(formats: Iterable[str]) -> set[str]:
    return {name for known in formats for name in FORMATS[known].files}


def _refuse_edited(target: Path, replaced: Collection[str]) -> None:
    """Refuse to replace curves that somebody has changed since bonescan wrote them."""
    for name in sorted(_names(_EDITABLE) & set(replaced)):
        if not name.endswith(".json") or not (target / name).is_file():
            continue
        # Imported on use: few folders hold such files, and reading one starts a process.
        try:
            edited = label_about(target / name).edited
        except InputError:
            edited = True
        if edited:
            raise OutputError(
                f"{target / name} was changed since it was written, and would be lost: move it, or choose another "
                "output folder"
            )


def _flush(folder: Path) -> None:
    for path in (*sorted(folder.iterdir()), folder):
        bring_to_disk(path)


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
            below += [Path(folder)] if LESIONS_JSON in files else []
        if not below:
            raise InputError(f"{path} holds no result (no {LESIONS_JSON}); give a folder that `bonescan segment` wrote")
        found += below
    return list(dict.fromkeys(found))


def sources_by_digest(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the scan files among files and folders, by their sha256."""
    return {digest(path): path for files in discover(paths) for path in files.paths if is_file(path)}


def rebuilt(folder: Path, sources: Mapping[str, Path]) -> tuple[Result, StudyFiles]:
    """Return a stored result with the counts of its scan, and the scan's files in the order in which they were read.

    The views are those of the result, also where they were given by hand, and so is the spacing.
    Raises InputError where the files from which the result was made are not among `sources`, or do not match it.
    """
    file = read_lesions(folder / LESIONS_JSON)
    if not file.digests:
        raise InputError(
            f"the result {file.key} does not say which files it was made from, as results of an earlier version; "
            "segment the scan again"
        )
    missing = [name for name, known in zip(file.sources, file.digests, strict=False) if known not in sources]
    if missing or len(file.sources) != len(file.digests):
        raise InputError(
            f"none of the files given is the {' and '.join(missing) or 'file'} that the result {file.key} was made "
            "from: give that file, unchanged"
        )
    paths = tuple(sources[known] for known in file.digests)
    kind = paths[0].suffix.lower().lstrip(".")
    files = StudyFiles(file.key, paths, "png" if kind == "png" else "npz" if kind == "npz" else "dicom")
    study = replace(read_files(files, _as_it_was_read(file)), view_source=file.view_source, sources=file.sources)
    _refuse_other_counts(study, file)
    # Not that of now, which may come from a cohort.toml of later: the lesions were measured with the stored one.
    measured = next(iter(file.views.values()))
    return (
        Result(
            study=replace(
                study, key=file.key, warnings=(), spacing=measured.spacing, spacing_note=measured.spacing_note
            ),
            model=file.model,
            lesions=file.lesions,
            burden={view: record.burden for view, record in file.views.items()},
            window=file.window,
            region=file.region,
            warnings=file.warnings,
            reader=file.reader,
            operating_point=file.operating_point,
            candidates=file.candidates,
            extent=file.extent,
            quality=file.quality,
        ),
        files,
    )


def window_beside(path: Path, study: Study) -> Window | None:
    """The thoracic window of the result in whose folder a file lies; None: of the whole body, or not of this scan.

    Raises InputError where that result cannot be read.
    """
    stored = path.absolute().parent / LESIONS_JSON
    if not stored.is_file():
        return None
    file = read_lesions(stored)
    same = sorted(file.digests) == sorted(study.digests)
    return Window(*file.window) if same and file.region == "thorax" else None


def _as_it_was_read(file: LesionsFile) -> ReadOptions | None:
    """Return the options that read the same frames as the same views."""
    frames = {view: record.source for view, record in file.views.items() if record.source is not None}
    if not frames:
        return None
    places = dict(sorted(frames.items(), key=lambda one: _file_and_frame(one[1])))
    views = tuple(places)
    chosen = tuple(frame.frame for frame in places.values())
    several = len(views) == 2 and len(file.sources) == 1
    return ReadOptions(views, (chosen[0], chosen[1]) if several else None)


def _file_and_frame(frame: SourceFrame) -> tuple[int, int]:
    return frame.file, frame.frame


def _refuse_other_counts(study: Study, file: LesionsFile) -> None:
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
