"""`bonescan segment`: scans in, delineated lesions out."""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bonescan.commands.base import (
    DONE,
    SOME_FAILED,
    Command,
    Console,
    Progress,
    add_frames,
    add_identify,
    add_json,
    add_out,
    add_views,
    chosen_among,
    names,
    path,
    row_range,
    seed,
)
from bonescan.commands.model import model_named
from bonescan.errors import BonescanError, OptionError

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from bonescan.dicom.header import Origin
    from bonescan.pipeline import Model, Options
    from bonescan.reading import ReadOptions, StudyFiles
    from bonescan.study import Result

FORMATS = ("json", "labels", "png", "sr", "seg", "capture", "pdf", "html", "gsps", "labelme", "coco")
"""The outputs that `--format` can name."""

DEFAULT_FORMATS = ("json", "labels", "png")

OPERATING_POINTS = ("sensitive", "balanced", "specific")


@dataclass(frozen=True, slots=True)
class Segment(Command):
    """Find, outline and measure the lesions of scans."""

    inputs: tuple[Path, ...]
    out: Path
    model: str | None
    region: Literal["whole-body", "thorax"] | None
    window: tuple[int, int] | None
    operating_point: str
    views: tuple[str, ...] | None
    frames: tuple[int, int] | None
    format: tuple[str, ...]
    tables: bool
    intervals: int
    identify: bool
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument(
            "inputs",
            type=path,
            nargs="+",
            metavar="INPUT",
            help="a DICOM file, the files of one study, a folder of studies, a pair of 16-bit PNGs, or a scan.npz",
        )
        add_out(parser, "the folder to write one folder per study into")
        parser.add_argument(
            "--model",
            metavar="NAME|FOLDER",
            help="a model that ships or is kept, or a bundle's folder (default: the one in use)",
        )
        parser.add_argument(
            "--region", choices=("whole-body", "thorax"), help="what to analyse (default: all that the model covers)"
        )
        parser.add_argument(
            "--window", type=row_range, metavar="R0:R1", help="give the rows of the thorax instead of finding them"
        )
        parser.add_argument(
            "--operating-point",
            choices=OPERATING_POINTS,
            default="balanced",
            help="how sure the model must be: thresholds fitted to 2, 0.5 and 0.1 false positives per scan on "
            "validation patients, which are simulated for the models that ship (default: balanced)",
        )
        add_views(parser)
        add_frames(parser)
        parser.add_argument(
            "--format",
            type=formats,
            default=DEFAULT_FORMATS,
            metavar="FORMATS",
            help=f"outputs, among {', '.join(FORMATS)} (default: {','.join(DEFAULT_FORMATS)})",
        )
        parser.add_argument(
            "--tables",
            action="store_true",
            help="also write lesions.csv, studies.csv and statistics.csv of all results in OUT",
        )
        parser.add_argument(
            "--intervals",
            type=seed,
            default=0,
            metavar="N",
            help="give 95 %% intervals of the burden, by segmenting N times with counts drawn anew "
            "(default: 0, none; 20 take 20 times as long)",
        )
        add_identify(parser)
        add_json(parser)

    def run(self, console: Console) -> int:
        """Segment every study that can be read; the others are named at the end."""
        from bonescan import sandbox

        sandbox.start()
        from bonescan.pipeline import Options, load_model
        from bonescan.reading import ReadOptions
        from bonescan.study import View

        if self.tables and "json" not in self.format:
            raise OptionError("the tables are made of lesions.json: add json to --format, or leave --tables out")
        refuse_among_inputs(self.inputs, self.out, self.format)
        model = load_model(model_named(self.model))
        views = None if self.views is None else tuple(View(view) for view in self.views)
        options = Options(self.region, self.window, self.operating_point, self.intervals)
        options.region_for(model.bundle)  # before the first study is read
        model.bundle.at(self.operating_point)
        work = _Work(self, console, model, options, ReadOptions(views, self.frames))
        work.do()
        work.write_tables()
        work.summarise()
        return SOME_FAILED if work.failures else DONE


def refuse_among_inputs(inputs: Sequence[Path], out: Path, formats: Sequence[str]) -> None:
    """Raise OptionError where results would lie between the scans of a folder that is read, or be read as scans.

    A folder inside it is allowed: of all results, only the pictures for LabelMe are files that are read as scans.
    """
    from bonescan.reading.inputs import is_folder

    target = Path(os.path.realpath(out))
    for folder in inputs:
        read = Path(os.path.realpath(folder))
        if not is_folder(folder) or not target.is_relative_to(read):
            continue
        if target == read:
            raise OptionError(
                f"{out} is the folder that is read, and results would lie between its scans: give another one with -o"
            )
        if "labelme" in formats:
            raise OptionError(
                f"{out} lies in {folder}, which is read, and the next run would take the pictures of the format "
                "labelme for scans: give a folder outside it with -o"
            )


def formats(text: str) -> tuple[str, ...]:
    """`a,b` as different known formats."""
    return chosen_among(names(text), FORMATS, "format")


@dataclass(slots=True)
class _Work:
    """The studies of one call, one after another. One that fails does not stop the others.

    A thread writes the results of a study while the next one is read and segmented; it is reported after that.
    """

    command: Segment
    console: Console
    model: Model
    options: Options
    reading: ReadOptions
    done: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def do(self) -> None:
        """Read, segment, write and show every study."""
        from concurrent.futures import ThreadPoolExecutor

        from bonescan.reading import discover

        studies = discover(self.command.inputs)
        with ThreadPoolExecutor(1) as thread, self._progress(len(studies)) as progress:
            progress(0, len(studies))
            before: tuple[StudyFiles, Future[tuple[Result, Path]] | Exception] | None = None
            for number, files in enumerate((*studies, None)):
                begun = None if files is None else (files, self._begin(files, thread))
                if before is not None:
                    self._finish(*before)
                    progress(number, len(studies), before[0].key)
                before = begun

    def _progress(self, number: int) -> AbstractContextManager[Progress]:
        """Where the progress of so many studies is shown; of one, none is."""
        return self.console.progress("studies") if number > 1 else nullcontext(lambda *_: None)

    def _begin(self, files: StudyFiles, thread: ThreadPoolExecutor) -> Future[tuple[Result, Path]] | Exception:
        """Read and segment a study, and let the thread write it; returns the error of one that fails."""
        from bonescan.pipeline import segment
        from bonescan.reading import read_files
        from bonescan.results.folder import write_result

        def write(result: Result, origin: Origin | None) -> tuple[Result, Path]:
            return result, write_result(result, self.command.out, self.command.format, origin)

        try:
            origin = self._origin(files)
            return thread.submit(write, segment(read_files(files, self.reading), self.model, self.options), origin)
        except Exception as error:
            return error

    def _finish(self, files: StudyFiles, written: Future[tuple[Result, Path]] | Exception) -> None:
        """Wait until a study is written, and show it or its failure."""
        from bonescan.report.table import table_text

        if isinstance(written, Exception):
            self._fail(files, written)
            return
        if isinstance(failed := written.exception(), Exception):
            self._fail(files, failed)
            return
        result, folder = written.result()
        self.done.append(_summary(result, folder))
        if self.command.json:
            return
        self.console.out(f"{table_text(result)}Written to {folder}")
        for warning in result.warnings:
            self.console.note(f"warning: {result.study.key}: {warning}")

    def _origin(self, files: StudyFiles) -> Origin | None:
        """The header, for DICOM objects and pictures that name the patient; None if no output needs it."""
        from bonescan.dicom.header import Made, Origin
        from bonescan.results.folder import FORMATS, refuse_without_header

        refuse_without_header(self.command.format, files.kind == "dicom", self.command.identify)
        asked = self.command.identify or any(FORMATS[name].needs_dicom or name == "pdf" for name in self.command.format)
        if files.kind != "dicom" or not asked:
            return None
        from bonescan.sandbox import read_header

        return Origin(read_header(files.paths), Made(datetime.datetime.now(), self.command.identify))

    def _fail(self, files: StudyFiles, error: Exception) -> None:
        sentence = self.console.explain(error)
        self.failures.append({"study": files.key, "files": [str(path) for path in files.paths], "error": sentence})

    def write_tables(self) -> None:
        """If asked for, write the tables of all results in the output folder."""
        if not (self.command.tables and self.done):
            return
        from bonescan.results.batch import write_batch_tables

        try:
            write_batch_tables(self.command.out, self.command.out)
        except BonescanError as error:
            # A file of another result must not make the results of this call look failed.
            self.console.error(f"no tables were written: {error}")

    def summarise(self) -> None:
        """Report at the end what was done, and each failure once."""
        if self.command.json:
            summary = {"research_use_only": True, "studies": self.done, "failures": self.failures}
            self.console.out_json(summary)
            return
        if self.failures and len(self.done) + len(self.failures) > 1:
            self.console.note(f"{len(self.done)} done, {len(self.failures)} failed:")
        for failure in self.failures:
            self.console.error(_told(failure))


def _told(failure: dict[str, Any]) -> str:
    """A failure as one sentence that names the study, and the files unless the study has the name of its only file."""
    study, files = failure["study"], failure["files"]
    if len(files) == 1 and failure["error"].startswith(f"{files[0]} "):
        return str(failure["error"])
    named = len(files) == 1 and (study in (Path(files[0]).stem, Path(files[0]).name) or files[0] in failure["error"])
    which = study if named else f"{study} ({', '.join(files)})"
    return f"{which}: {failure['error']}"


def _summary(result: Result, folder: Path) -> dict[str, Any]:
    """The JSON object of one study."""
    return {
        "study": result.study.key,
        "folder": str(folder),
        "lesions": len(result.lesions),
        "warnings": list(result.warnings),
    }
