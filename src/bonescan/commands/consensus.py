"""`bonescan consensus`: one truth from several readers."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bonescan.commands.base import DONE, RESEARCH_USE_ONLY, SOME_FAILED, Command, Console, add_json, add_out, path, seed

if TYPE_CHECKING:
    from bonescan.evaluate.rounds import RoundSummary


@dataclass(frozen=True, slots=True)
class Consensus(Command):
    """Make a consensus of several readers' lesions, and list the lesions that return to them."""

    readers: tuple[Path, ...]
    out: Path
    tolerance: float
    seed: int
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument(
            "readers",
            type=path,
            nargs="+",
            metavar="READER",
            help="a folder for each reader, with <patient>/<study>/anterior.json and posterior.json; "
            "or a single cohort folder with reader-<name> folders in its studies",
        )
        add_out(parser, "the new folder of this round")
        parser.add_argument(
            "--tolerance",
            type=_tolerance,
            default=0.05,
            metavar="T",
            help="the largest area difference of two curves that is accepted, 0 to 1 (default: 0.05)",
        )
        parser.add_argument(
            "--seed", type=seed, default=0, metavar="S", help="the same seed, the same draws (default: 0)"
        )
        add_json(parser)

    def run(self, console: Console) -> int:
        """Hold one round."""
        from bonescan.evaluate.rounds import RoundOptions, hold_round

        options = RoundOptions(self.tolerance, self.seed)
        with console.progress("views") as progress:
            summary = hold_round(self.readers, self.out, options, progress)
        self._tell(summary, console)
        return SOME_FAILED if summary.failures else DONE

    def _tell(self, summary: RoundSummary, console: Console) -> None:
        from bonescan.evaluate.agreement import agreement_text

        if self.json:
            failures = [asdict(failure) for failure in summary.failures]
            report = summary.report or {"research_use_only": True, "failures": failures}
            console.out_json({"folder": str(summary.out) if summary.views else None, **report})
            return
        for failure in summary.failures:
            console.error(f"{failure.view}: {failure.error}")
        if summary.report is not None:
            console.out(agreement_text(summary.report))
            console.out(
                f"{summary.views} views, {summary.settled} of them settled; at a tolerance of {self.tolerance:g}, "
                f"{summary.accepted} places accepted and {summary.returned} returned to the readers"
            )
            console.out(f"Written to {summary.out}")
        console.out(RESEARCH_USE_ONLY)


def _tolerance(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value
