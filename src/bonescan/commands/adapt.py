"""`bonescan adapt`: adapt a model to a department's own normal scans."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonescan.commands.base import (
    DONE,
    NOTHING_DONE,
    RESEARCH_USE_ONLY,
    Command,
    Console,
    add_json,
    add_out,
    add_views,
    needs_extra,
    path,
)
from bonescan.commands.model import model_named
from bonescan.system.interrupts import Stopped as Interrupted
from bonescan.system.interrupts import deferred_stop

_STOPPED = {
    True: "stopped; what was learned is saved, and the same command continues from there.",
    False: "stopped before anything was learned; the same command begins again and keeps the simulated patients.",
}


@dataclass(frozen=True, slots=True)
class Adapt(Command):
    """Adapt a model to your own normal scans, without labels; continues where it stopped.

    Give scans whose reports name no lesion. Nothing leaves this machine.
    """

    normals: tuple[Path, ...]
    out: Path
    unlabelled: tuple[Path, ...]
    base: str | None
    minutes: float
    phantoms: Path | None
    views: tuple[str, ...] | None
    accept_worse: bool
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument(
            "normals",
            type=path,
            nargs="+",
            metavar="NORMALS",
            help="scans whose reports name no lesion, of at least five patients, in any form that `segment` reads",
        )
        add_out(parser, "the model's folder to write; the page, and files to continue from, lie beside it in OUT.run")
        parser.add_argument(
            "--unlabelled",
            type=path,
            nargs="+",
            default=[],
            metavar="FOLDER",
            help="also learn from these scans of unknown status",
        )
        parser.add_argument("--base", metavar="NAME|FOLDER", help="the model to begin with (default: the one in use)")
        parser.add_argument(
            "--minutes",
            type=_minutes,
            default=0.0,
            metavar="N",
            help="take as many steps as about N minutes allow; simulating patients and judging are not shortened",
        )
        parser.add_argument(
            "--phantoms",
            type=path,
            metavar="FOLDER",
            help="keep the simulated patients in this folder, for the next time (default: in OUT.run)",
        )
        add_views(parser)
        parser.add_argument(
            "--accept-worse", action="store_true", help="write the model even if it is judged worse than its base"
        )
        add_json(parser)

    def run(self, console: Console) -> int:
        """Learn, evaluate, write. Ctrl-C saves, and the same command continues."""
        with needs_extra():
            from bonescan.adapt.loop import Stopped
            from bonescan.adapt.run import adapt
            from bonescan.adapt.settings import AdaptConfig, AdaptRequest

        from bonescan.reading import stated_views

        request = AdaptRequest(
            self.normals,
            self.out,
            model_named(self.base),
            self.unlabelled,
            self.phantoms,
            self.accept_worse,
            stated_views(self.views),
        )
        config = AdaptConfig(minutes=self.minutes)
        with deferred_stop() as asked, console.progress("adapt") as progress:

            def report(said: Any) -> None:
                progress(said.done, said.total, said.detail, said.stage)

            try:
                outcome = adapt(request, config, report, console.note, lambda: bool(asked()))
            except Stopped as stopped:
                raise Interrupted(_STOPPED[stopped.learned], asked()) from None
        if self.json:
            console.out_json(_summary(outcome))
            return DONE if outcome.bundle is not None else NOTHING_DONE
        for what, before, after in _rows(outcome):
            console.out(f"{what}: {before} before, {after} after")
        if outcome.suspects:
            console.out(f"{_suspects(outcome)}: look at {request.work / 'suspects.csv'}")
        console.out(f"Before and after, with pictures: {outcome.page}")
        if outcome.bundle is None:
            console.error(f"the adapted model is not written: {outcome.worse}; --accept-worse writes it anyway")
            return NOTHING_DONE
        if outcome.worse is not None:
            console.note(f"warning: {outcome.worse}")
        console.out(f"The model: bonescan segment INPUT -o OUT --model {self.out}")
        console.out(f"To keep it and use it from now on: bonescan model add {self.out} --use")
        console.out(RESEARCH_USE_ONLY)
        return DONE


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 1 <= minutes < 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give minutes, at least 1")
    return minutes


def _rows(outcome: Any) -> list[tuple[str, str, str]]:
    from bonescan.adapt.page import rows_of

    return rows_of((outcome.before, outcome.after))


def _suspects(outcome: Any) -> str:
    total, aside = len(outcome.suspects), outcome.suspects_aside
    return (
        f"{total} foc{'us' if total == 1 else 'i'} may be lesions, {total - aside} on the scans learned from (ignored "
        f"there) and {aside} on those held out"
    )


def _summary(outcome: Any) -> dict[str, Any]:
    bundle = outcome.bundle
    return {
        "research_use_only": True,
        "model": None if bundle is None else {"name": bundle.name, "sha256": bundle.sha256},
        "before": outcome.before.figures(),
        "after": outcome.after.figures(),
        "worse": outcome.worse,
        "page": str(outcome.page),
        "suspects": len(outcome.suspects),
        "suspects_held_out": outcome.suspects_aside,
    }
