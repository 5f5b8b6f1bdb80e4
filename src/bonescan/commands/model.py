"""`bonescan model`: the bundles that ship or lie in folders."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bonescan.commands.base import DONE, RESEARCH_USE_ONLY, Command, add_json, add_out, path, training_extra
from bonescan.commands.console import Console

if TYPE_CHECKING:
    from bonescan.bundle import Bundle


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME|FOLDER", help="a model that ships, or a bundle's folder")


@dataclass(frozen=True, slots=True)
class ModelList(Command):
    """List the models that ship."""

    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        add_json(parser)

    def run(self, console: Console) -> int:
        """Print a line a model."""
        from bonescan.bundle import list_bundles, load_bundle

        bundles = [load_bundle(name) for name in list_bundles()]
        if self.json:
            models = [{"name": bundle.name, "sha256": bundle.sha256} for bundle in bundles]
            console.out_json({"research_use_only": True, "models": models})
            return DONE
        for bundle in bundles:
            console.out(f"{bundle.name}  sha256 {bundle.sha256[:12]}")
        console.out(RESEARCH_USE_ONLY)
        return DONE


@dataclass(frozen=True, slots=True)
class ModelShow(Command):
    """Show a model's card, or with --json its bundle.json."""

    name: str
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_name(parser)
        add_json(parser)

    def run(self, console: Console) -> int:
        """Print the card."""
        from bonescan.bundle import load_bundle

        bundle = load_bundle(self.name)
        if self.json:
            console.out_json({"research_use_only": True, "sha256": bundle.sha256, **bundle.raw})
            return DONE
        console.out(f"{bundle.name}, sha256 {bundle.sha256}\n\n{bundle.card.rstrip()}")
        console.out("")
        console.out(RESEARCH_USE_ONLY)
        return DONE


@dataclass(frozen=True, slots=True)
class ModelVerify(Command):
    """Check that every file of a model has the hash that it states, and that the network runs."""

    name: str
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_name(parser)
        add_json(parser)

    def run(self, console: Console) -> int:
        """Load everything; a BundleError says what is wrong."""
        from bonescan.pipeline import load_model

        _say_checked(console, load_model(self.name).bundle, self.json)
        return DONE


@dataclass(frozen=True, slots=True)
class ModelExport(Command):
    """Make a model of a training run, with the thresholds that were fitted for it."""

    run_folder: Path
    out: Path
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument("run_folder", type=path, metavar="RUN", help="the folder of a training run that has ended")
        add_out(parser, "the bundle's folder to write")
        add_json(parser)

    def run(self, console: Console) -> int:
        """Write the bundle."""
        with training_extra():
            from bonescan.train import export_run

        _say_checked(console, export_run(self.run_folder, self.out), self.json)
        return DONE


def _say_checked(console: Console, bundle: Bundle, as_json: bool) -> None:
    if as_json:
        console.out_json({"research_use_only": True, "name": bundle.name, "sha256": bundle.sha256, "works": True})
        return
    console.out(f"{bundle.name}: every file is as it was made (sha256 {bundle.sha256}).")
    console.out(RESEARCH_USE_ONLY)
