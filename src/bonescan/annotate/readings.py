"""The label files of several readers, found and read together.

Two folder layouts are read; the number of folders that are given says which:

- two or more: one folder per reader, `<reader>/<patient>/<study>/anterior.json`, named after the reader;
- one: a cohort with the readers inside, `<cohort>/<patient>/<study>/reader-<name>/anterior.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bonescan.annotate.consensus import FEWEST_READERS
from bonescan.annotate.labelme import LabelFile, label_image, read_labelme
from bonescan.errors import InputError, LabelError
from bonescan.prepare.plausibility import MOST_PIXELS_A_SIDE
from bonescan.study import LabelImage, View

READER = "reader-"
"""Prefix of a reader's folder within a study; not a part of the reader's name."""


@dataclass(frozen=True, slots=True)
class ViewFiles:
    """One view and the label file of each reader who has one; patient and study are folder names."""

    patient: str
    study: str
    view: View
    paths: Mapping[str, Path]

    @property
    def name(self) -> str:
        """The view's name in messages."""
        return f"{self.patient}/{self.study} {self.view}"


@dataclass(frozen=True, slots=True)
class Readings:
    """All readers, sorted by name, and all views that at least one of them has read, sorted by path."""

    readers: tuple[str, ...]
    views: tuple[ViewFiles, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ReadView:
    """What every reader drew on one view: label files, and the pictures that `label_image` makes of them."""

    files: ViewFiles
    labels: Mapping[str, LabelFile]
    pictures: Mapping[str, LabelImage]


def find_readings(folders: Sequence[Path]) -> Readings:
    """Find the label files of several readers, in either layout; hidden folders are skipped.

    Raises InputError for a folder that does not exist, holds no label file, or has the same name as another one, and
    for fewer than two readers.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder: check the path")
    found = _in_one_cohort(folders[0]) if len(folders) == 1 else _one_folder_each(folders)
    readers = sorted({reader for reader, _, _ in found})
    if len(readers) < FEWEST_READERS:
        raise InputError(
            f"{folders[0]} holds the label files of {len(readers)} readers: give a folder for each reader, or a cohort "
            f"with {READER}<name> folders of at least {FEWEST_READERS} in its studies"
        )
    views: dict[tuple[str, str, View], dict[str, Path]] = {}
    for reader, study, path in found:
        views.setdefault((study.parent.name, study.name, View(path.stem)), {})[reader] = path
    order = {view: place for place, view in enumerate(View)}
    keys = sorted(views, key=lambda key: (key[0], key[1], order[key[2]]))
    return Readings(tuple(readers), tuple(ViewFiles(*key, views[key]) for key in keys))


def read_view(files: ViewFiles, readers: Sequence[str]) -> ReadView:
    """Read what every reader drew on one view.

    Raises InputError when one of them has no file, and LabelError for a file that cannot be used, for frames of
    different shapes and for stamps of different images; the message names the reader.
    """
    missing = [reader for reader in readers if reader not in files.paths]
    if missing:
        raise InputError(
            f"there is no {files.view}.json of {', '.join(missing)}, only of {', '.join(sorted(files.paths))}: add it, "
            "without shapes where there is no lesion"
        )
    labels, pictures = {}, {}
    for reader in readers:
        try:
            labels[reader] = read_labelme(files.paths[reader])
            pictures[reader] = label_image(_of_a_frame(labels[reader]))
        except LabelError as error:
            raise LabelError(f"reader {reader}: {error}") from error
    shapes = {picture.shape for picture in pictures.values()}
    if len(shapes) != 1:
        told = ", ".join(f"{reader} {rows} x {cols}" for reader, (rows, cols) in _shapes(pictures).items())
        raise LabelError(f"the readers labelled images of different sizes ({told}): label the frame as acquired")
    stamps = {reader: one.stamp.counts.get(files.view) for reader, one in labels.items() if one.stamp is not None}
    if len(set(stamps.values())) > 1:
        raise LabelError(
            f"the files of {', '.join(stamps)} were drawn on different images: give the readers' files of one scan"
        )
    return ReadView(files, labels, pictures)


def _in_one_cohort(cohort: Path) -> list[tuple[str, Path, Path]]:
    """(reader, study folder, label file) of a cohort with the readers inside."""
    return [
        (path.parent.name.removeprefix(READER), path.parent.parent, path)
        for path in _label_files(cohort, f"*/*/{READER}?*")
    ]


def _one_folder_each(folders: Sequence[Path]) -> list[tuple[str, Path, Path]]:
    """(reader, study folder, label file) of several folders."""
    found: list[tuple[str, Path, Path]] = []
    named: dict[str, Path] = {}
    for folder in folders:
        reader = folder.resolve().name.removeprefix(READER)
        if reader in named:
            raise InputError(f"{named[reader]} and {folder} both name a reader {reader}: rename one of the folders")
        named[reader] = folder
        own = [(reader, path.parent, path) for path in _label_files(folder, "*/*")]
        if not own:
            raise InputError(
                f"{folder} holds no label file <patient>/<study>/anterior.json or posterior.json: check the path"
            )
        found += own
    return found


def _label_files(root: Path, pattern: str) -> list[Path]:
    files = [path for view in View for path in root.glob(f"{pattern}/{view}.json")]
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(root).parts)]


def _of_a_frame(labels: LabelFile) -> LabelFile:
    """Return the labels; LabelError for a frame larger than any scan, as an image of its size would be drawn."""
    if labels.shape is not None and max(labels.shape) > MOST_PIXELS_A_SIDE:
        rows, cols = labels.shape
        raise LabelError(
            f"the label file states an image of {rows} x {cols} pixels, and at most {MOST_PIXELS_A_SIDE} a side are "
            "read: save it again with LabelMe"
        )
    return labels


def _shapes(pictures: Mapping[str, LabelImage]) -> dict[str, tuple[int, int]]:
    return {reader: (picture.shape[0], picture.shape[1]) for reader, picture in pictures.items()}
