"""`bonescan gan`: a DCGAN for thoracic images: train it, sample it, check what it learned."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bonescan.commands.base import (
    DONE,
    RESEARCH_USE_ONLY,
    Command,
    Console,
    add_json,
    add_out,
    add_overrides,
    count,
    needs_extra,
    path,
    seed,
)
from bonescan.errors import OutputError

if TYPE_CHECKING:
    from PIL.Image import Image

_SHEET, _FIGURES = "sheet.png", "check.json"


@dataclass(frozen=True, slots=True)
class GanTrain(Command):
    """Train a GAN on a data set's training patients; continues where it stopped."""

    dataset: Path
    out: Path
    config: Path | None
    overrides: tuple[str, ...]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument("dataset", type=path, metavar="DATASET", help="a folder that `bonescan dataset` wrote")
        parser.add_argument("-o", "--out", type=path, required=True, metavar="RUN", help="the run's folder to write")
        parser.add_argument(
            "--config", type=path, metavar="CONFIG.toml", help="the training's configuration (default: all defaults)"
        )
        add_overrides(parser, "steps=200 network.latent=32")

    def run(self, console: Console) -> int:
        """Train, or continue the training."""
        with needs_extra():
            from bonescan.lin2022.gan.config import read_gan_config
            from bonescan.lin2022.gan.images import read_gan_images
            from bonescan.lin2022.gan.loop import train_gan
        from bonescan.lin2022.datasets import Subset

        config = read_gan_config(self.config, self.overrides)
        images = read_gan_images(self.dataset, Subset.TRAIN, config.normalisation)
        with console.progress("gan") as progress:
            train_gan(
                config,
                images,
                self.out,
                lambda report: progress(report.done, report.total, report.detail, report.stage),
            )
        console.out(f"Look at it before you use it: bonescan gan check {self.out} {self.dataset} -o FOLDER")
        console.out(RESEARCH_USE_ONLY)
        return DONE


@dataclass(frozen=True, slots=True)
class GanSample(Command):
    """Draw samples of a trained GAN: single views with integer counts, of no patient and without labels."""

    run_folder: Path
    out: Path
    count: int
    seed: int
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_run(parser)
        add_out(parser, "the folder of samples to write")
        parser.add_argument("--count", type=count, required=True, metavar="N", help="how many samples")
        parser.add_argument("--seed", type=seed, required=True, metavar="S", help="the same seed, the same samples")
        add_json(parser)

    def run(self, console: Console) -> int:
        """Write the samples."""
        with needs_extra():
            from bonescan.lin2022.gan.sample import load_gan, write_samples

        gan = load_gan(self.run_folder)
        with console.progress("samples") as progress:
            listed = write_samples(gan, self.out, self.count, self.seed, progress)
        if self.json:
            console.out_json(listed)
            return DONE
        console.out(f"{self.count} samples of the generator {gan.sha256[:12]} in {self.out}")
        console.out(RESEARCH_USE_ONLY)
        return DONE


@dataclass(frozen=True, slots=True)
class GanCheck(Command):
    """Check whether a GAN memorises or collapses, by comparison with real images, and draw a sheet of its samples."""

    run_folder: Path
    dataset: Path
    out: Path
    count: int
    seed: int
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_run(parser)
        parser.add_argument("dataset", type=path, metavar="DATASET", help="the data set that it was trained on")
        add_out(parser, f"the folder to write {_SHEET} and {_FIGURES} into")
        parser.add_argument(
            "--count", type=count, default=128, metavar="N", help="how many samples to look at (default: 128)"
        )
        parser.add_argument("--seed", type=seed, default=0, metavar="S", help="seed of the samples (default: 0)")
        add_json(parser)

    def run(self, console: Console) -> int:
        """Compare, draw, and print the verdicts."""
        with needs_extra():
            from bonescan.lin2022.gan.check import check_run
        result = check_run(self.run_folder, self.dataset, self.count, self.seed)
        written = {"research_use_only": True, "generator_sha256": result.sha256, **result.check.to_dict()}
        _write(self.out, result.sheet, written)
        if self.json:
            console.out_json(written)
            return DONE
        console.out(f"{result.check}\n\nThe sheet: {self.out / _SHEET}")
        console.out(RESEARCH_USE_ONLY)
        return DONE


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=path, metavar="RUN", help="the folder of a run of `bonescan gan train`")


def _write(folder: Path, sheet: Image, figures: dict[str, Any]) -> None:
    """Write both files, each atomically."""
    text = json.dumps(figures, indent=2, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        hidden = {name: folder / f".{name}.{os.getpid()}" for name in (_SHEET, _FIGURES)}
        try:
            sheet.save(hidden[_SHEET], format="PNG")
            hidden[_FIGURES].write_text(text, encoding="utf-8")
            for name, temporary in hidden.items():
                temporary.replace(folder / name)
        finally:
            for temporary in hidden.values():
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"the check cannot be written to {folder} ({error.strerror}): give another place") from None
