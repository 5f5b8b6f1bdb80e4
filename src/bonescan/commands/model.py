"""`bonescan model`: bundles that ship, are kept, or lie in other folders."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bonescan.commands.base import (
    DONE,
    RESEARCH_USE_ONLY,
    Command,
    add_json,
    add_out,
    add_overrides,
    frame_size,
    needs_extra,
    path,
)
from bonescan.commands.console import Console
from bonescan.commands.models_folder import keep, model_named, put_in_use
from bonescan.errors import OptionError
from bonescan.system.kept import kept_models, model_in_use

if TYPE_CHECKING:
    from bonescan.bundle import Bundle


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME|FOLDER", help="a model that ships or is kept, or a bundle's folder")


@dataclass(frozen=True, slots=True)
class ModelList(Command):
    """List the models that ship and those that are kept, and name the one in use."""

    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        add_json(parser)

    def run(self, console: Console) -> int:
        """Print one line per model."""
        from bonescan.bundle import list_bundles, load_bundle

        used = model_in_use()
        shipped = list_bundles()
        bundles = [load_bundle(model_named(name)) for name in (*shipped, *kept_models())]
        if self.json:
            models = [
                {
                    "name": bundle.name,
                    "sha256": bundle.sha256,
                    "ships": bundle.name in shipped,
                    "in_use": bundle.name == used,
                }
                for bundle in bundles
            ]
            console.out_json({"research_use_only": True, "models": models})
            return DONE
        for bundle in bundles:
            marks = [] if bundle.name in shipped else ["kept"]
            marks += ["in use"] if bundle.name == used else []
            said = f"  ({', '.join(marks)})" if marks else ""
            console.out(f"{bundle.name}  sha256 {bundle.sha256[:12]}{said}")
        console.out(RESEARCH_USE_ONLY)
        return DONE


@dataclass(frozen=True, slots=True)
class ModelAdd(Command):
    """Keep a copy of a bundle under its name, for all commands of this user."""

    folder: Path
    use: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument("folder", type=path, metavar="FOLDER", help="a bundle's folder, as `adapt` writes it")
        parser.add_argument("--use", action="store_true", help="use it from now on if no model is stated")

    def run(self, console: Console) -> int:
        """Check the bundle and copy it."""
        from bonescan.pipeline import load_model

        bundle = load_model(self.folder).bundle
        keep(bundle, self.use)
        console.out(f"{bundle.name} is kept{' and in use' if self.use else ''}.")
        return DONE


@dataclass(frozen=True, slots=True)
class ModelUse(Command):
    """Choose the model that commands use if none is stated."""

    name: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument("name", metavar="NAME", help="a model that ships or is kept")

    def run(self, console: Console) -> int:
        """Store the choice."""
        put_in_use(self.name)
        console.out(f"{self.name} is in use.")
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

        bundle = load_bundle(model_named(self.name))
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

        _say_checked(console, load_model(model_named(self.name)).bundle, self.json)
        return DONE


@dataclass(frozen=True, slots=True)
class ModelExport(Command):
    """Make a model from a training run, with thresholds fitted on its validation patients."""

    run_folder: Path
    out: Path
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument("run_folder", type=path, metavar="RUN", help="the folder of a training run")
        add_out(parser, "the bundle's folder to write")
        add_json(parser)

    def run(self, console: Console) -> int:
        """Write the bundle."""
        with needs_extra():
            from bonescan.train import export_run

        with console.progress("export") as progress:
            bundle = export_run(
                self.run_folder,
                self.out,
                lambda report: progress(report.done, report.total, report.detail, report.stage),
            )
        _say_checked(console, bundle, self.json)
        return DONE


@dataclass(frozen=True, slots=True)
class ModelCost(Command):
    """Print the cost of a network: each layer's shape and parameters, and the multiply-adds of one patient."""

    network: str
    overrides: tuple[str, ...]
    size: tuple[int, int]
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        parser.add_argument("network", metavar="NETWORK", help="unet, lin2022 or plain-unet")
        add_overrides(parser, "recurrence=2 weights=unshared")
        parser.add_argument(
            "--size", type=frame_size, default=(256, 256), metavar="ROWSxCOLS", help="size of a view (default: 256x256)"
        )
        add_json(parser)

    def run(self, console: Console) -> int:
        """Print one line per layer, and the sums."""
        from dataclasses import asdict

        with needs_extra():
            from bonescan.models.cost import network_cost
            from bonescan.train.loop import network_from

        network = network_from(self.network, self.overrides)
        try:
            cost = network_cost(network, self.size)
        except ValueError as error:
            raise OptionError(f"{self.network} does not take {self.size[0]}x{self.size[1]} pixels: {error}") from None
        if self.json:
            console.out_json({"research_use_only": True, "network": self.network, **asdict(cost)})
            return DONE
        console.out(f"{'layer':44} {'runs':>4}  {'leaves':>18} {'parameters':>11} {'multiply-adds':>15}")
        for layer in cost.layers:
            shape = " x ".join(str(length) for length in layer.shape[1:]) or "not run"
            console.out(f"{layer.name:44} {layer.runs:4}  {shape:>18} {layer.parameters:11,} {layer.multiply_adds:15,}")
        sums = f"{self.network}: {cost.parameters:,} parameters, {cost.multiply_adds / 1e9:.2f} thousand million"
        console.out(f"{sums} multiply-adds for a patient of 2 x {self.size[0]} x {self.size[1]} pixels")
        console.out(RESEARCH_USE_ONLY)
        return DONE


def _say_checked(console: Console, bundle: Bundle, as_json: bool) -> None:
    for warning in bundle.warnings:
        console.note(f"warning: {warning}")
    if as_json:
        said = {"name": bundle.name, "sha256": bundle.sha256, "works": True, "warnings": list(bundle.warnings)}
        console.out_json({"research_use_only": True, **said})
        return
    console.out(f"{bundle.name}: every file is as it was made (sha256 {bundle.sha256}).")
    console.out(RESEARCH_USE_ONLY)
