"""`bonescan evaluate`: predictions against truth."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bonescan.commands.base import DONE, RESEARCH_USE_ONLY, SOME_FAILED, Command, Console, add_json, path
from bonescan.errors import OutputError
from bonescan.system.files import written_whole


@dataclass(frozen=True, slots=True)
class Evaluate(Command):
    """Measure predictions against truth, by pixel and by lesion."""

    predictions: Path
    truth: Path
    out: Path | None
    split: Literal["test", "train", "all"] | None
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument("predictions", type=path, metavar="PREDICTIONS", help="a folder that `segment` wrote")
        parser.add_argument("truth", type=path, metavar="TRUTH", help="a cohort folder with labels")
        parser.add_argument("-o", "--out", type=path, metavar="REPORT.json", help="write the whole report here")
        parser.add_argument(
            "--split",
            choices=("test", "train", "all"),
            help="what to score of a data set that bonescan dataset divided (default: its test patients)",
        )
        add_json(parser)

    def run(self, console: Console) -> int:
        """Compare, and print the means; results of other scans are named."""
        from bonescan.evaluate import evaluate, report_text

        report = evaluate(self.predictions, self.truth, split=self.split)
        if self.out is not None:
            _write(report, self.out)
        code = SOME_FAILED if report["refused"] else DONE
        if self.json:
            console.out_json(report)
            return code
        console.out(report_text(report))
        console.out(RESEARCH_USE_ONLY)
        for sentence in report["refused"].values():
            console.error(sentence)
        return code


def _write(report: dict[str, Any], path: Path) -> None:
    try:
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the report cannot be written to {path} ({error.strerror}): give another place") from None
