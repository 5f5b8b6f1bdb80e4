"""`bonescan import`: results from curves that were annotated or corrected in other tools."""

from __future__ import annotations

import argparse
import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bonescan.commands.base import (
    DONE,
    NOTHING_DONE,
    SOME_FAILED,
    Command,
    Console,
    add_frames,
    add_identify,
    add_json,
    add_out,
    add_views,
    path,
    row_range,
)
from bonescan.commands.model import model_named
from bonescan.commands.segment import DEFAULT_FORMATS, FORMATS, formats
from bonescan.errors import BonescanError, NoCurvesError, OptionError

if TYPE_CHECKING:
    from bonescan.dicom.header import Origin, SourceHeader
    from bonescan.pipeline import Model
    from bonescan.prepare import Window
    from bonescan.reading import ReadOptions, StudyFiles
    from bonescan.reading.returned import LabelFile, LabelSource, Returned
    from bonescan.study import Result, Study


@dataclass(frozen=True, slots=True)
class Import(Command):
    """Make results of curves that were annotated or corrected in other tools, measured like all others."""

    labels: tuple[Path, ...]
    scan: tuple[Path, ...]
    out: Path
    reader: str | None
    model: str | None
    region: Literal["whole-body", "thorax"] | None
    window: tuple[int, int] | None
    views: tuple[str, ...] | None
    frames: tuple[int, int] | None
    format: tuple[str, ...]
    identify: bool
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument(
            "labels",
            type=path,
            nargs="+",
            metavar="LABELS",
            help="DICOM SR or SEG, LabelMe or COCO files, or folders that hold some",
        )
        parser.add_argument(
            "--scan", type=path, nargs="+", required=True, metavar="SCAN", help="the scans that were annotated"
        )
        add_out(parser, "the folder to write one folder per study into")
        parser.add_argument(
            "--reader", metavar="NAME", help="who annotated (default: the name in the file or of its folder)"
        )
        parser.add_argument(
            "--model", metavar="NAME|FOLDER", help="the model that locates the bones (default: the one in use)"
        )
        parser.add_argument(
            "--region",
            choices=("whole-body", "thorax"),
            help="what was looked at (default: what the label files or the result beside them say, else all that the "
            "model covers)",
        )
        parser.add_argument(
            "--window", type=row_range, metavar="R0:R1", help="the rows that segment was given as the thorax"
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
        add_identify(parser)
        add_json(parser)

    def run(self, console: Console) -> int:
        """Import every usable file, and name the files that belong to no scan or cannot be used."""
        from bonescan.pipeline import load_model

        if self.reader is not None and not self.reader.strip():
            raise OptionError("the reader's name is empty: give who drew the curves, or leave --reader out")
        work = _Work(self, console, load_model(model_named(self.model)))
        work.do()
        if self.json:
            console.out_json({"research_use_only": True, "studies": work.done, "failures": work.failures})
        return DONE if not work.failures else SOME_FAILED if work.done else NOTHING_DONE


@dataclass(slots=True)
class _Work:
    """The files of one call; the others go on when one fails."""

    command: Import
    console: Console
    model: Model
    done: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def do(self) -> None:
        """Read the curves, match them with the scans, and write a result for every scan with curves."""
        from bonescan.reading import discover
        from bonescan.reading.returned import belongs, label_files, needs_counts

        sources = [source for file in label_files(self.command.labels) if (source := self._source(file))]
        scans = discover(self.command.scan)
        unused = list(sources)
        unread: dict[str, str] = {}
        for files in scans:
            header = self._header(files)
            study = self._counts(files, unread) if needs_counts(sources) else None
            own = [one for one in sources if belongs(one, files.key, header, study, alone=len(scans) == 1)]
            unused = [source for source in unused if source not in own]
            if own:
                self._try(files, own, header)
        if needs_counts(unused):
            for name, sentence in unread.items():
                self._fail(name, sentence)
        for source in unused:
            self._fail(str(source.path), "it belongs to none of the scans: give the scan that it was drawn on")
        if not self.done and not self.failures:
            self._fail(
                ", ".join(map(str, self.command.labels)), "there is no file of curves: give SR, SEG or JSON files"
            )

    def _source(self, file: LabelFile) -> LabelSource | None:
        from bonescan.reading.returned import read_source

        try:
            return read_source(file)
        except Exception as error:
            # A result's folder holds its report and its pictures, too.
            if file.named or not isinstance(error, NoCurvesError):
                self._fail(str(file.path), self.console.explain(error))
            return None

    def _counts(self, files: StudyFiles, unread: dict[str, str]) -> Study | None:
        """The scan, to match curves by its counts; if it cannot be read, None and an entry in `unread`."""
        from bonescan.reading import read_files

        try:
            return read_files(files, self._stated())
        except BonescanError as error:
            unread[files.key] = self.console.explain(error)
            return None

    def _stated(self) -> ReadOptions | None:
        from bonescan.reading import stated_views

        return stated_views(self.command.views, self.command.frames)

    def _header(self, files: StudyFiles) -> SourceHeader | None:
        """The header of a scan; None if it has no readable one. Reading the scan later reports the error."""
        if files.kind != "dicom":
            return None
        from bonescan.sandbox import read_header

        try:
            return read_header(files.paths)
        except BonescanError:
            return None

    def _try(self, files: StudyFiles, sources: list[LabelSource], header: SourceHeader | None) -> None:
        try:
            self._finish(files, sources, header)
        except Exception as error:
            self._fail(files.key, self.console.explain(error))

    def _finish(self, files: StudyFiles, sources: list[LabelSource], header: SourceHeader | None) -> None:
        from bonescan.dicom.header import Made, Origin
        from bonescan.reading import read_files
        from bonescan.reading.returned import returned
        from bonescan.report.table import table_text
        from bonescan.results.folder import refuse_without_header, write_result

        refuse_without_header(self.command.format, header is not None, self.command.identify)
        study = read_files(files, self._stated())
        self._refuse_own_folder(sources, study)
        origin = None if header is None else Origin(header, Made(datetime.datetime.now(), self.command.identify))
        found = returned(sources, study, header)
        result = self._result(study, found, self._window(study, sources), origin)
        folder = write_result(result, self.command.out, self.command.format, origin)
        self.done.append(
            {
                "study": study.key,
                "folder": str(folder),
                "reader": result.reader,
                "lesions": len(result.lesions),
                "warnings": list(result.warnings),
            }
        )
        if not self.command.json:
            self.console.out(f"{table_text(result)}Written to {folder}")
            for warning in result.warnings:
                self.console.note(f"warning: {study.key}: {warning}")

    def _refuse_own_folder(self, sources: list[LabelSource], study: Study) -> None:
        """Refuse an output folder that holds the curves, as a result replaces its folder."""
        target = (self.command.out / study.key).resolve()
        if any(target in source.path.resolve().parents for source in sources):
            raise OptionError(
                f"the curves of {study.key} lie in {target}, which the result would replace: choose another output "
                "folder with -o"
            )

    def _window(self, study: Study, sources: list[LabelSource]) -> Window | None:
        """The thoracic window in which the curves were drawn; None: the whole body, or nothing says."""
        from bonescan.pipeline import Options
        from bonescan.prepare.crop import thoracic_window
        from bonescan.reading.returned import stamped_window
        from bonescan.results.folder import window_beside

        options = Options(self.command.region, self.command.window)
        if options != Options():
            region = options.region_for(self.model.bundle)
            window = options.prepare_options(study, region).window
            return thoracic_window(study) if window is None and region == "thorax" else window
        window = stamped_window(sources) or window_beside(sources[0].path, study)
        if window is None:
            return None
        found = thoracic_window(study)  # one that was found has a note where it is doubtful
        return found if found.slices == window.slices else window

    def _result(self, study: Study, found: Returned, window: Window | None, origin: Origin | None) -> Result:
        """The result with the reader's name; without one only if the model's own curves came back unchanged."""
        from bonescan.pipeline import adopt

        reader = self.command.reader or found.reader
        result = adopt(study, found.drawn, self.model, reader, found.views, window)
        if reader is None and not (origin is not None and _is_our_own(result, found, origin)):
            own = ", or for bonescan's own curves the --region or --window of segment" if found.objects else ""
            raise OptionError(
                f"nobody is named who drew the curves of {study.key}: give who did with --reader, or put LabelMe "
                f"files into a folder reader-NAME{own}"
            )
        return result

    def _fail(self, name: str, sentence: str) -> None:
        self.failures.append({"input": name, "error": sentence})
        if not self.command.json:
            self.console.error(f"{name}: {sentence}")


def _is_our_own(result: Result, found: Returned, origin: Origin) -> bool:
    """Whether the curves are from an object that this result would be written as again."""
    from bonescan.dicom.objects import uids_of

    return bool(found.objects) and set(found.objects) <= uids_of(result, origin)
