"""One round of annotation: lesions on which the readers agree become the labels, all others go back to the readers.

OUT/<patient>/<study>/anterior.json              the consensus of a view: the accepted lesions' masks, exactly;
                                                 with the stamp of the scan, where it is known
OUT/<patient>/<study>/anterior.png               the picture that the readers drew on, where it is found
OUT/returned.csv                                 one row for each reader and lesion to look at again
OUT/returned/<reader>/<patient>/<study>/anterior.json   the same as drawings, for LabelMe
OUT/agreement.json                               how far the readers agree, and what could not be used

Each round has its own folder, which is written completely or not at all and replaces nothing. The next round reads the
readers' corrected files; with the same seed, accepted lesions that nobody changed get the same curves again.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.annotate.consensus import TOLERANCE, Consensus, Correspondence, agree
from bonescan.annotate.label_json import counts_digest
from bonescan.annotate.labelme import (
    IGNORED,
    INCOMPLETE,
    LabelFile,
    LabelShape,
    from_label_image,
    refuse_another_image,
    shapes_by_lesion,
    stamped,
    write_labelme,
)
from bonescan.annotate.readings import READER, Readings, ReadView, ViewFiles, find_readings, read_view
from bonescan.errors import BonescanError, OptionError, OutputError
from bonescan.evaluate.agreement import ReadImage, compare_readings, summarise_agreement
from bonescan.evaluate.report import ImageName
from bonescan.evaluate.scored import scan_beside
from bonescan.study import LabelImage, Study, View
from bonescan.system.files import remove_left, temporary_for

Progress = Callable[[int, int, str], None]
"""Called with the number of views done, the number of all views, and the name of the last one."""

RETURNED = "returned"
LOOK_HERE = "look here"
"""The label of a curve that only other readers drew."""


@dataclass(frozen=True, slots=True)
class RoundOptions:
    """tolerance: the largest area difference of Eq. 2 that is accepted, 0..1. seed: of the draws."""

    tolerance: float = TOLERANCE
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance <= 1:
            raise OptionError(f"the tolerance is {self.tolerance}: give 0 to 1")
        if self.seed < 0:
            raise OptionError(f"the seed is {self.seed}: give 0 or more")


@dataclass(frozen=True, slots=True)
class RoundFailure:
    """A view that could not be used, and why, in one sentence."""

    view: str
    error: str


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """The outcome of a round. views: those that could be used. settled: those of them from which nothing went back.

    accepted, returned: places. report: the content of agreement.json; None where no view could be used, in which case
    nothing was written.
    """

    out: Path
    views: int
    settled: int
    accepted: int
    returned: int
    failures: tuple[RoundFailure, ...]
    report: dict[str, Any] | None


def hold_round(
    folders: Sequence[Path], out: Path, options: RoundOptions, progress: Progress = lambda done, total, last: None
) -> RoundSummary:
    """Read the readers' files (`readings.find_readings`), agree view by view, and write the folder `out`.

    A view that cannot be used is recorded as a failure, and the others go on. Raises InputError where there is nothing
    to read, and OutputError where `out` is not empty or cannot be written.
    """
    readings = find_readings(folders)
    out = out.resolve()
    _refuse_what_is_there(out)
    remove_left(out)
    partial = temporary_for(out)
    work = _Round(readings, out, partial, options)
    try:
        partial.mkdir(parents=True)
        work.do(progress)
        summary = work.finish()
        if summary.views:
            partial.rename(out)
    except OSError as error:
        raise OutputError(
            f"the round cannot be written to {out}: {error.strerror or error}; choose another output folder"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary


def draw_generator(seed: int, files: ViewFiles) -> np.random.Generator:
    """The random generator of one view; depends only on the seed and the view's place in the cohort."""
    digest = hashlib.sha256(f"{files.patient}/{files.study}/{files.view}".encode()).digest()
    return np.random.default_rng([0xC0A5, seed, int.from_bytes(digest[:8], "little")])


def consensus_labels(consensus: Consensus, image_name: str) -> LabelFile:
    """The accepted lesions as a label file that gives `consensus.labels` back; each names the reader of its curve.

    All pixels that were drawn of the returned lesions are ignored areas, so that training does not take them for
    background.
    """
    shapes: list[LabelShape] = []
    for number, reader in consensus.drawn.items():
        picture = np.where(consensus.labels == number, consensus.labels, 0)
        shapes += [replace(shape, description=f"drawn by {reader}") for shape in from_label_image(picture).shapes]
    returned = consensus.returned_mask & (consensus.labels == 0)
    shapes += [
        replace(shape, group_id=None, description="went back to the readers: neither lesion nor background")
        for shape in from_label_image(returned.astype(np.uint8), label=IGNORED).shapes
    ]
    rows, cols = consensus.labels.shape
    flags = {INCOMPLETE: bool(consensus.returned)}
    return LabelFile(tuple(shapes), (rows, cols), image_name, flags)


def stamped_for(labels: LabelFile, counts: Mapping[View, str]) -> LabelFile:
    """The file with the stamp of the counts that it belongs to; as it is where those are not known."""
    return stamped(labels, counts) if counts else labels


def worklist(reader: str, read: ReadView, returned: Sequence[Correspondence], first_number: int = 1) -> LabelFile:
    """What one reader should look at again on one view: own curves, and outlines of lesions that only others drew.

    Each description says why, and each lesion has a flag to tick off. Lesions are numbered from `first_number`.
    """
    own = shapes_by_lesion(read.labels[reader])
    shapes: list[LabelShape] = []
    flags: dict[str, bool] = {}
    for number, place in enumerate(returned, start=first_number):
        flags[f"lesion {number} looked at again"] = False
        told = f"lesion {number}: {place.why}; {_told_differences(place)}"
        drawn = [shape for one in place.numbers[reader] for shape in own[one - 1]]
        if not drawn:
            rows, cols = read.pictures[reader].shape
            picture: LabelImage = np.zeros((rows, cols), dtype=np.uint16)
            picture.ravel()[place.pixels] = number
            drawn = list(from_label_image(picture, label=LOOK_HERE).shapes)
        shapes += [replace(shape, description=told) for shape in drawn]
    return LabelFile(tuple(shapes), read.labels[reader].shape, read.labels[reader].image_name, flags)


@dataclass(slots=True)
class _Round:
    """Writes the views of one round, one after another, into a hidden folder."""

    readings: Readings
    out: Path
    partial: Path
    options: RoundOptions
    images: list[ReadImage] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[RoundFailure] = field(default_factory=list)
    scans: dict[Path, Study | None] = field(default_factory=dict)
    settled: int = 0
    accepted: int = 0
    returned: int = 0

    def do(self, progress: Progress) -> None:
        """Agree on every view."""
        total = len(self.readings.views)
        for done, files in enumerate(self.readings.views, start=1):
            try:
                self._agree(read_view(files, self.readings.readers))
            except OutputError:
                raise
            except BonescanError as error:
                self.failures.append(RoundFailure(files.name, str(error)))
            progress(done, total, files.name)

    def finish(self) -> RoundSummary:
        """Write the files that cover all views."""
        report = self._report() if self.images else None
        if report is not None:
            with (self.partial / f"{RETURNED}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, _columns(self.readings.readers))
                writer.writeheader()
                writer.writerows(sorted(self.rows, key=lambda row: str(row["reader"])))
            text = json.dumps(report, indent=2, allow_nan=False) + "\n"
            (self.partial / "agreement.json").write_text(text, encoding="utf-8")
        return RoundSummary(
            self.out, len(self.images), self.settled, self.accepted, self.returned, tuple(self.failures), report
        )

    def _agree(self, read: ReadView) -> None:
        files = read.files
        counts = self._counts(read)
        consensus = agree(read.pictures, self.options.tolerance, draw_generator(self.options.seed, files))
        folder = Path(files.patient) / files.study
        (self.partial / folder).mkdir(parents=True, exist_ok=True)
        picture = _picture(read)
        agreed = stamped_for(consensus_labels(consensus, f"{files.view}.png"), counts)
        write_labelme(self.partial / folder / f"{files.view}.json", agreed)
        _put_beside(picture, self.partial / folder / f"{files.view}.png")
        for reader in self.readings.readers if consensus.returned else ():
            below = Path(RETURNED) / reader / folder
            (self.partial / below).mkdir(parents=True, exist_ok=True)
            labels = worklist(reader, read, consensus.returned, self.returned + 1)
            name = _seen_from(self.out / below, files.paths[reader].parent, labels.image_name or f"{files.view}.png")
            if picture is not None:
                name = f"{files.view}.png"
                _put_beside(picture, self.partial / below / name)
            labels = stamped_for(replace(labels, image_name=name), counts)
            write_labelme(self.partial / below / f"{files.view}.json", labels)
        for number, place in enumerate(consensus.returned, start=self.returned + 1):
            self.rows += _rows(files, number, place)
        self.settled += not consensus.returned
        self.accepted += len(consensus.accepted)
        self.returned += len(consensus.returned)
        self.images.append(compare_readings(ImageName(files.patient, files.study, files.view), read.pictures))

    def _counts(self, read: ReadView) -> Mapping[View, str]:
        """The digest of the counts that a view was drawn on, from the readers' stamps and the scans beside their files.

        Empty where nothing says it, or the scans differ. Raises LabelError where the stamp of a reader's file is of
        another image than the scan in the study's folder.
        """
        view = read.files.view
        found: set[str] = set()
        for reader, labels in read.labels.items():
            path = read.files.paths[reader]
            scan = self._scan(path.parent.parent if path.parent.name.startswith(READER) else path.parent)
            if scan is not None:
                refuse_another_image(f"{path.name} of {reader}", labels, view, scan)
                if view in scan.scans and scan.shape == read.pictures[reader].shape:
                    found.add(counts_digest(scan.counts(view)))
            if labels.stamp is not None and view in labels.stamp.counts:
                found.add(labels.stamp.counts[view])
        return {view: found.pop()} if len(found) == 1 else {}

    def _scan(self, folder: Path) -> Study | None:
        """The scan in a study's folder. Reading one starts a process, so those of one study are kept."""
        if folder not in self.scans:
            if len(self.scans) >= len(self.readings.readers):  # of the study before
                self.scans.clear()
            self.scans[folder] = scan_beside(folder)
        return self.scans[folder]

    def _report(self) -> dict[str, Any]:
        return {
            **summarise_agreement(self.images),
            "consensus": {
                **asdict(self.options),
                "views": len(self.images),
                "settled": self.settled,
                "accepted": self.accepted,
                "returned": self.returned,
            },
            "failures": [asdict(failure) for failure in self.failures],
        }


def _columns(readers: Sequence[str]) -> list[str]:
    return [
        *("reader", "patient", "study", "view", "lesion", "row", "col"),
        *(f"area_px {reader}" for reader in readers),
        *(f"difference {first}-{second}" for first, second in combinations(readers, 2)),
        "why",
    ]


def _rows(files: ViewFiles, number: int, place: Correspondence) -> Iterator[dict[str, Any]]:
    """One row for each reader; readers who drew nothing there are asked again, too."""
    row, col = (round(value) for value in place.centre)
    what = {"patient": files.patient, "study": files.study, "view": str(files.view), "lesion": number}
    where = {"row": row, "col": col, **{f"area_px {reader}": area for reader, area in place.area_px.items()}}
    apart = {
        f"difference {first}-{second}": f"{value:.3f}" if place.numbers[first] or place.numbers[second] else ""
        for (first, second), value in place.differences.items()
    }
    for reader in place.numbers:
        yield {"reader": reader, **what, **where, **apart, "why": place.why}


def _told_differences(place: Correspondence) -> str:
    told = [
        f"{first}-{second} {value:.2f}"
        for (first, second), value in place.differences.items()
        if place.numbers[first] or place.numbers[second]
    ]
    return f"area differences {', '.join(told)}"


def _picture(read: ReadView) -> bytes | None:
    """The 8-bit picture, of the frame's own size, on which a reader of the view drew; None where none is found."""
    for reader, labels in read.labels.items():
        where = read.files.paths[reader].parent
        for name in dict.fromkeys((labels.image_name, f"{read.files.view}.png", f"../{read.files.view}.png")):
            path = where / name
            if not name or Path(name).is_absolute() or path.suffix.lower() != ".png" or not path.is_file():
                continue
            if _size_of_picture(path) == read.pictures[reader].shape:
                return path.read_bytes()
    return None


def _size_of_picture(path: Path) -> tuple[int, int] | None:
    """(rows, cols) of an 8-bit grey PNG; None for any other file, such as a 16-bit one, which LabelMe does not open."""
    from PIL import Image  # only where there are pictures

    try:
        with Image.open(path, formats=["PNG"]) as picture:
            return (picture.height, picture.width) if picture.mode == "L" else None
    except (OSError, ValueError, SyntaxError):
        return None


def _put_beside(picture: bytes | None, path: Path) -> None:
    if picture is not None:
        path.write_bytes(picture)


def _seen_from(folder: Path, where: Path, image_name: str) -> str:
    """The path of a picture beside a reader's file, as LabelMe needs it in a file of another folder."""
    return Path(os.path.relpath(where.resolve() / image_name, folder.absolute())).as_posix()


def _refuse_what_is_there(out: Path) -> None:
    """Refuse a folder that is not empty: an earlier round is a record, and readers may have changed its worklists."""
    try:
        empty = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    except OSError as error:
        raise OutputError(f"{out} cannot be read ({error.strerror}): choose another output folder") from error
    if not empty:
        raise OutputError(f"{out} holds files already: choose a new folder for each round")
