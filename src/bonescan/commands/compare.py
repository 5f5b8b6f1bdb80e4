"""`bonescan compare`: scans of one patient over time."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from bonescan.commands.base import DONE, Command, Console, add_frames, add_json, add_out, add_views, path, seed
from bonescan.commands.model import model_named
from bonescan.commands.segment import OPERATING_POINTS
from bonescan.errors import InputError, OptionError, OutputError

if TYPE_CHECKING:
    from bonescan.pipeline import Model, Options
    from bonescan.reading import StudyFiles
    from bonescan.serial.change import ReadScan
    from bonescan.study import Study

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Compare(Command):
    """Compare scans of one patient over time, oldest first: new, growing, shrinking and resolved lesions."""

    scans: tuple[Path, ...]
    out: Path
    model: str | None
    operating_point: str
    pcwg3: bool
    intervals: int
    views: tuple[str, ...] | None
    frames: tuple[int, int] | None
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument(
            "scans",
            type=path,
            nargs="+",
            metavar="SCAN",
            help="OLD NEW [NEWER ...]: each a file or folder of one study",
        )
        add_out(parser, "the folder for comparison.json and, for each pair, a picture and a page as PDF and HTML")
        parser.add_argument("--model", metavar="NAME|FOLDER", help="as for segment (default: the one in use)")
        parser.add_argument(
            "--operating-point", choices=OPERATING_POINTS, default="balanced", help="as for segment (default: balanced)"
        )
        parser.add_argument(
            "--pcwg3",
            action="store_true",
            help="state progression by the 2+2 rule of PCWG3: for prostate cancer in clinical trials, the first scan "
            "being the last before treatment",
        )
        parser.add_argument(
            "--intervals",
            type=seed,
            default=0,
            metavar="N",
            help="as for segment: 95 %% intervals of the burden, by segmenting each scan N times (default: 0, none)",
        )
        add_views(parser)
        add_frames(parser)
        add_json(parser)

    def run(self, console: Console) -> int:
        """Check everything, then segment every scan, compare each with the one before it, and write."""
        from bonescan import sandbox

        sandbox.start()
        from bonescan.pipeline import Options, load_model
        from bonescan.reading import read_files, stated_views
        from bonescan.serial.report import comparison_document, comparison_text, write_comparison
        from bonescan.serial.series import compare_series, verdicts
        from bonescan.system.files import files_written_whole, reason_of

        if self.out.exists() and not self.out.is_dir():
            raise OptionError(f"the output {self.out} is a file: give a folder with -o")
        found = [_one_study(scan) for scan in self.scans]
        if len(found) < 2:
            raise OptionError(f"{len(found)} scan cannot be compared: give two or more, oldest first")
        model = load_model(model_named(self.model))
        options = Options("whole-body", operating_point=self.operating_point, draws=self.intervals)
        with console.progress("scans") as progress:
            stated = stated_views(self.views, self.frames)
            studies = [read_files(files, stated) for files in found]
            _refuse_disorder(studies)
            _refuse_strange_views(studies)
            read = []
            for number, (files, study) in enumerate(zip(found, studies, strict=True), 1):
                read.append(_segmented(files, study, model, options))
                progress(number, len(found), study.key)
        risen_from = model.bundle.at("sensitive").high if "sensitive" in model.bundle.operating_points else None
        scans, pairs = compare_series(read, risen_from)
        steps = verdicts(pairs) if self.pcwg3 else ()
        try:
            with files_written_whole(self.out) as unfinished:
                write_comparison(unfinished, scans, pairs, steps)
        except OSError as error:
            raise OutputError(
                f"the comparison cannot be written to {self.out} ({reason_of(error)}): free space on its disk "
                "or choose another folder with -o"
            ) from None
        if self.json:
            console.out_json(comparison_document(scans, pairs, steps))
            return DONE
        console.out(f"{comparison_text(scans, pairs, steps)}Written to {self.out}")
        return DONE


def _one_study(scan: Path) -> StudyFiles:
    """The files of the one study that an input holds, not read yet; InputError where it is not there or holds more."""
    from bonescan.reading import discover

    if not scan.exists():
        raise InputError(f"{scan} does not exist; check the path")
    studies = discover([scan])
    if len(studies) > 1:
        folders = [study.paths[0].parent for study in studies]
        apart = [
            study.paths[0] if folders.count(folder) > 1 else folder
            for folder, study in zip(folders, studies, strict=True)
        ]
        more = " ..." if len(apart) > _MOST_NAMED else ""
        named = " ".join(map(str, apart[:_MOST_NAMED]))
        raise InputError(f"{scan} holds {len(studies)} studies: give each, oldest first: {named}{more}")
    return studies[0]


def _segmented(files: StudyFiles, study: Study, model: Model, options: Options) -> ReadScan:
    from bonescan.pipeline import segment_with_maps
    from bonescan.reading.patients import stated_patient
    from bonescan.serial.change import ReadScan

    result, prediction = segment_with_maps(study, model, options)
    return ReadScan(result, prediction, patient=stated_patient(files))


def _refuse_disorder(studies: list[Study]) -> None:
    """Old and new exchanged would turn progression into response."""
    dates = [study.acquired for study in studies if study.acquired]
    if dates != sorted(dates):
        raise InputError(f"the scans were acquired on {', '.join(dates)}: give the oldest first")
    digests = [study.digests for study in studies if study.digests]
    if len(set(digests)) < len(digests):
        raise InputError("a scan is given twice: give each once")


def _refuse_strange_views(studies: list[Study]) -> None:
    """Without a view in common there is nothing to compare, and no lesion would look like no change."""
    for old, new in pairwise(studies):
        if not old.scans.keys() & new.scans.keys():
            raise InputError(f"{old.key} and {new.key} have no view in common: give scans of the same view")
