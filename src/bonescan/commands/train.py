"""`bonescan train`: train a model as a TOML file says."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from bonescan.commands.base import DONE, RESEARCH_USE_ONLY, Command, Console, add_overrides, needs_extra, path


@dataclass(frozen=True, slots=True)
class Train(Command):
    """Train a model as a TOML file says; continues where it stopped."""

    config: Path
    overrides: tuple[str, ...]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument("config", type=path, metavar="CONFIG.toml", help="the training's configuration")
        add_overrides(parser, "steps=200 phantoms.anatomies=40")

    def run(self, console: Console) -> int:
        """Train, or continue the training."""
        with needs_extra():
            from bonescan.train import run_from_toml

        with console.progress("train") as progress:
            folder = run_from_toml(
                self.config,
                self.overrides,
                lambda report: progress(report.done, report.total, report.detail, report.stage),
                console.note,
            )
        from bonescan.bundle import load_bundle

        if (folder / "bundle").is_dir():
            bundle = load_bundle(folder / "bundle")
            for warning in bundle.warnings:
                console.note(f"warning: {warning}; label and train more before you use it")
            if not bundle.raw.get("figures"):
                console.note(
                    f"warning: the model {bundle.name}: no patient with labels of both views was kept for "
                    "validation, so nothing was measured and the thresholds are not fitted: raise "
                    "cohort.validation_share, or label more patients"
                )
            console.out(f"The model: bonescan segment INPUT -o OUT --model {folder / 'bundle'}")
        else:
            console.out("The time is over: the same command goes on where the training stopped.")
            console.out(f"A model of what it has learned so far: bonescan model export {folder} -o OUT")
        console.out(RESEARCH_USE_ONLY)
        return DONE
