"""`bonescan pictures`: scans as 8-bit pictures, to annotate in LabelMe and to look at."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bonescan.commands.base import DONE, RESEARCH_USE_ONLY, SOME_FAILED, Command, Console, add_views, path
from bonescan.errors import OptionError, OutputError

if TYPE_CHECKING:
    from bonescan.reading import StudyFiles


@dataclass(frozen=True, slots=True)
class Pictures(Command):
    """Write scans as 8-bit pictures that LabelMe and every viewer can show."""

    inputs: tuple[Path, ...]
    out: Path | None
    beside: bool
    views: tuple[str, ...] | None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument(
            "inputs", type=path, nargs="+", metavar="INPUT", help="scans, as `bonescan segment` reads them"
        )
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument(
            "-o", "--out", type=path, metavar="OUT", help="the folder to write one folder per study into"
        )
        where.add_argument(
            "--beside",
            action="store_true",
            help="write anterior.png and posterior.png beside each scan, where LabelMe puts anterior.json",
        )
        add_views(parser)

    def run(self, console: Console) -> int:
        """Write the pictures of every study that can be read; the others are named."""
        from bonescan.reading import discover
        from bonescan.report.words import counted

        studies = discover(self.inputs)
        written = 0
        with console.progress("studies") as progress:
            for number, files in enumerate(studies, start=1):
                written += self._try(files, studies, console)
                if len(studies) > 1:
                    progress(number, len(studies), files.key)
        if written:
            where = "beside the scans" if self.out is None else f"in {self.out}"
            console.out(f"The pictures of {counted(written, 'study')} are {where}.")
            console.out(RESEARCH_USE_ONLY)
        return DONE if written == len(studies) else SOME_FAILED

    def _try(self, files: StudyFiles, studies: list[StudyFiles], console: Console) -> bool:
        """Write the pictures of one study, or say why not; tell whether they were written."""
        try:
            self._write(files, studies, console)
        except Exception as error:
            said = console.explain(error)
            # Of a folder without scans, and of a path that does not exist, the sentence names what it is about.
            console.error(said if files.kind == "none" or said.startswith(files.key) else f"{files.key}: {said}")
            return False
        return True

    def _write(self, files: StudyFiles, studies: list[StudyFiles], console: Console) -> None:
        from bonescan.reading import read_files, stated_views
        from bonescan.reading.view_doubts import view_doubts
        from bonescan.report.pictures import write_pictures

        study = read_files(files, stated_views(self.views))
        if self.out is not None:
            folder = self.out / files.key
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"{folder} cannot be made ({error.strerror}): choose another folder") from error
        else:
            folder = files.paths[0].parent
            if sum(other.paths[0].parent == folder for other in studies) > 1:
                raise OptionError(
                    f"{folder} holds several studies, whose pictures would have one name: write them elsewhere with -o"
                )
        write_pictures(study, folder)
        for doubt in view_doubts(study):
            console.note(f"warning: {files.key}: {doubt}")
