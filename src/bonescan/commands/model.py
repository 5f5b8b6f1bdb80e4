"""`bonescan model`: bundles that ship, are kept, or lie in other folders."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
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
    frame_size,
    needs_extra,
    path,
)
from bonescan.errors import BundleError, OptionError, OutputError
from bonescan.system.files import folder_written_whole, written_whole
from bonescan.system.kept import IN_USE, kept_models, model_in_use, models_folder

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
    """Show a model's card and the runs that it learned in, or with --json its bundle.json."""

    name: str
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_name(parser)
        add_json(parser)

    def run(self, console: Console) -> int:
        """Print the card and, where the model began with another one, a line per run."""
        from bonescan.bundle import load_bundle, record_of, runs_of

        bundle = load_bundle(model_named(self.name))
        if self.json:
            console.out_json({"research_use_only": True, "sha256": bundle.sha256, **bundle.raw})
            return DONE
        console.out(f"{bundle.name}, sha256 {bundle.sha256}\n\n{bundle.card.rstrip()}")
        runs = runs_of(record_of(bundle))
        if len(runs) > 1:
            console.out("\nRuns, the latest first; each began with the weights of the one below:\n")
            console.out("\n".join(f"- {_said_of(run)}" for run in runs))
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


def _said_of(run: Mapping[str, Any]) -> str:
    """One run of a model's record in words."""
    said = [str(run.get("name")) + (f" (sha256 {str(run['sha256'])[:12]})" if "sha256" in run else "")]
    words = {
        "steps": "{} steps",
        "set": "images of {}",
        "scans": "{} scans",
        "patients": "{} simulated patients",
        "anatomies": "{} anatomies",
        "only": "only the layers {}",
        "seed": "seed {}",
        "learning_rate": "learning rate {}",
        "start_share": "start_share {}",
    }
    said += [text.format(run[key]) for key, text in words.items() if key in run]
    return ", ".join(said if len(said) > 1 else [*said, "of which nothing else is recorded"])


def _say_checked(console: Console, bundle: Bundle, as_json: bool) -> None:
    for warning in bundle.warnings:
        console.note(f"warning: {warning}")
    if as_json:
        said = {"name": bundle.name, "sha256": bundle.sha256, "works": True, "warnings": list(bundle.warnings)}
        console.out_json({"research_use_only": True, **said})
        return
    console.out(f"{bundle.name}: every file is as it was made (sha256 {bundle.sha256}).")
    console.out(RESEARCH_USE_ONLY)


def model_named(name: str | None) -> str | Path:
    """What `load_model` takes: a kept model's folder, or the name or folder as stated; None: the one in use."""
    stated = model_in_use() if name is None else name
    from bonescan.bundle import list_bundles

    if stated in list_bundles():
        return stated
    if stated in kept_models():
        return models_folder() / stated
    if name is None:
        raise BundleError(f"the model in use, {stated}, is not kept any more: bonescan model use NAME")
    return name


def keep(bundle: Bundle, use: bool) -> Path:
    """Copy a checked bundle into the folder, atomically. A copy of the same name and content stays.

    Raises OutputError if another bundle has the name, or the folder cannot be written.
    """
    from bonescan.bundle import DESCRIPTION, FILES, list_bundles, load_bundle

    folder = models_folder() / bundle.name
    if bundle.name in list_bundles():
        raise OutputError(f"{bundle.name} is the name of a model that ships: give the bundle another folder name")
    if folder.exists():
        if load_bundle(folder).sha256 != bundle.sha256:
            raise OutputError(f"another model {bundle.name} is kept: remove {folder}, or teach yours into another OUT")
    else:
        try:
            with folder_written_whole(folder) as temporary:
                for file in (DESCRIPTION, *FILES):
                    shutil.copyfile(bundle.folder / file, temporary / file)
        except OSError as error:
            raise OutputError(f"the model cannot be kept in {folder}: {error.strerror}") from None
    if use:
        put_in_use(bundle.name)
    return folder


def put_in_use(name: str) -> None:
    """Make a model that ships or is kept the one in use; BundleError if there is none of that name."""
    from bonescan.bundle import list_bundles

    known = (*list_bundles(), *kept_models())
    if name not in known:
        raise BundleError(f"there is no model {name!r}: choose one of {', '.join(known)}, or bonescan model add FOLDER")
    folder = models_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / IN_USE) as temporary:
            temporary.write_text(f"{name}\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from None
