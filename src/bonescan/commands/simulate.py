"""`bonescan simulate`: phantom patients with known truth."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bonescan.commands.base import DONE, RESEARCH_USE_ONLY, Command, Console, add_json, add_out, count, seed

if TYPE_CHECKING:
    from bonescan.phantom.cohort import CohortSummary

HEADERS = ("mixed", "ge", "siemens", "standard", "standard-srt", "two-files", "no-views")
"""The values of `--header`: those of `dicom.write_nm.HeaderStyle`, and "mixed"."""


@dataclass(frozen=True, slots=True)
class Simulate(Command):
    """Write phantom patients as a cohort folder with truth."""

    out: Path
    count: int
    seed: int
    header: str
    readers: int
    series: int
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        add_out(parser, "the cohort folder to write")
        parser.add_argument("--count", type=count, required=True, metavar="N", help="how many patients")
        parser.add_argument("--seed", type=seed, required=True, metavar="S", help="the same seed, the same patients")
        parser.add_argument(
            "--header",
            choices=HEADERS,
            default="mixed",
            help="whose DICOM headers to imitate (default: mixed, all in turn but no-views)",
        )
        parser.add_argument(
            "--readers",
            type=seed,
            default=0,
            metavar="N",
            help="also write the annotations of N simulated readers, as reader-a, reader-b, ... in each study "
            "(default: 0)",
        )
        parser.add_argument(
            "--series",
            type=count,
            default=1,
            metavar="N",
            help="N scans of each patient over time, as study-1, study-2, ..., with series.csv (default: 1, no series)",
        )
        add_json(parser)

    def run(self, console: Console) -> int:
        """Write the cohort."""
        from bonescan.phantom.cohort import CohortOptions, write_cohort

        options = CohortOptions(
            out=self.out,
            count=self.count,
            seed=self.seed,
            header=self.header,
            readers=self.readers,
            series=self.series,
        )
        with console.progress("patients") as progress:
            summary = write_cohort(options, progress)
        if self.json:
            counted = {"patients": summary.patients, "lesion_free": summary.lesion_free, "lesions": summary.lesions}
            console.out_json({"research_use_only": True, "cohort": str(summary.out), **counted})
            return DONE
        console.out(_told(summary, self.series))
        console.out(RESEARCH_USE_ONLY)
        return DONE


def _told(summary: CohortSummary, series: int) -> str:
    """What was written; in a series, a lesion counts in each study that shows it."""
    patients = f"{summary.patients} simulated patient{'' if summary.patients == 1 else 's'}"
    lesions = f"{summary.lesions} visible lesion{'' if summary.lesions == 1 else 's'}"
    if series > 1:
        lesions += f" in all {series} studies" if summary.patients == 1 else f" in all {series} studies of each"
    return f"{patients} ({summary.lesion_free} without lesions) with {lesions} in {summary.out}"
