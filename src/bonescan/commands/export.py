"""`bonescan export`: further formats from results that were stored."""

from __future__ import annotations

import argparse
import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bonescan.commands.base import (
    DONE,
    NOTHING_DONE,
    SOME_FAILED,
    Command,
    Console,
    add_identify,
    add_json,
    path,
)
from bonescan.commands.segment import FORMATS, formats
from bonescan.errors import OptionError

if TYPE_CHECKING:
    from bonescan.dicom.header import Origin
    from bonescan.reading import StudyFiles


@dataclass(frozen=True, slots=True)
class Export(Command):
    """Write stored results in further formats, as DICOM objects or for other tools."""

    results: tuple[Path, ...]
    source: tuple[Path, ...]
    format: tuple[str, ...]
    out: Path | None
    identify: bool
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument(
            "results", type=path, nargs="+", metavar="RESULT", help="folders of results, or folders that hold some"
        )
        parser.add_argument(
            "--source",
            type=path,
            nargs="+",
            required=True,
            metavar="SCAN",
            help="files or folders with the scans that the results were made from; matched by their content",
        )
        parser.add_argument(
            "--format", type=formats, required=True, metavar="FORMATS", help=f"outputs, among {', '.join(FORMATS)}"
        )
        parser.add_argument(
            "-o",
            "--out",
            type=path,
            metavar="OUT",
            help="write here, one folder per study (default: into the result's own)",
        )
        add_identify(parser)
        add_json(parser)

    def run(self, console: Console) -> int:
        """Write every result that can be written; the others are named."""
        from bonescan.results.folder import result_folders, sources_by_digest

        folders = result_folders(self.results)
        sources = sources_by_digest(self.source)
        done: list[dict[str, Any]] = []
        failures: list[dict[str, Any]] = []
        written: dict[Path, Path] = {}
        for folder in folders:
            try:
                done.append(self._one(folder, sources, written))
            except Exception as error:
                failures.append({"result": str(folder), "error": console.explain(error)})
                if not self.json:
                    console.error(f"{folder}: {failures[-1]['error']}")
                continue
            if not self.json:
                console.out(f"Written to {done[-1]['folder']}: {', '.join(done[-1]['files'])}")
        if self.json:
            console.out_json({"research_use_only": True, "results": done, "failures": failures})
        return DONE if not failures else SOME_FAILED if done else NOTHING_DONE

    def _one(self, folder: Path, sources: dict[str, Path], written: dict[Path, Path]) -> dict[str, Any]:
        """Export one result. written: the folders that were written, and the result that each is of."""
        from bonescan.results.folder import FORMATS as WRITERS
        from bonescan.results.folder import extend_result, rebuilt, refuse_without_header, write_result

        result, files = rebuilt(folder, sources)
        refuse_without_header(self.format, files.kind == "dicom", self.identify)
        origin = self._origin(files)
        target = (folder if self.out is None else self.out / result.study.key).resolve()
        if target in written:
            raise OptionError(
                f"{written[target]} is a result of the same name and was written to {target}: give each an output "
                "folder of its own"
            )
        if target == folder.resolve():
            target = extend_result(result, folder, self.format, origin)
        else:
            assert self.out is not None
            target = write_result(result, self.out, tuple(dict.fromkeys(("json", *self.format))), origin)
        written[target.resolve()] = folder
        wanted = {name for one in self.format for name in WRITERS[one].files}
        files_written = sorted(entry.name for entry in target.iterdir() if entry.name in wanted)
        return {"study": result.study.key, "folder": str(target), "files": files_written}

    def _origin(self, files: StudyFiles) -> Origin | None:
        if files.kind != "dicom":
            return None
        from bonescan.dicom.header import Made, Origin
        from bonescan.sandbox import read_header

        return Origin(read_header(files.paths), Made(datetime.datetime.now(), self.identify))
