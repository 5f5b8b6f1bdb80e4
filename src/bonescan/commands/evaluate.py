"""`bonescan evaluate`: predictions against truth."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from bonescan.commands.base import DONE, RESEARCH_USE_ONLY, Command, add_json
from bonescan.commands.console import Console


@dataclass(frozen=True, slots=True)
class Evaluate(Command):
    """Measure predictions against truth, by pixel and by lesion."""

    predictions: Path
    truth: Path
    out: Path | None
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="a folder that `segment` wrote")
        parser.add_argument("truth", type=Path, metavar="TRUTH", help="a cohort folder with labels")
        parser.add_argument("-o", "--out", type=Path, metavar="REPORT.json", help="write the whole report here")
        add_json(parser)

    def run(self, console: Console) -> int:
        """Compare, and print the means."""
        from bonescan.evaluate import evaluate

        report = evaluate(self.predictions, self.truth)
        console.out_json(report)
        console.out(RESEARCH_USE_ONLY)
        return DONE
