"""From a run to a bundle: graph, weights, description, and the card, which says what its users should know."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

import bonescan
from bonescan.bundle import BEGAN_WITH, CARD, GRAPH, WEIGHTS, Bundle, figures_warnings, runs_of, write_bundle
from bonescan.lesions.delineate import Thresholds
from bonescan.models import answer_of, maps_of
from bonescan.train.checkpoint import load_checkpoint, mix
from bonescan.train.config import TrainConfig
from bonescan.train.loop import BEGINNING, CHECKPOINT, START, build_network, start

OPSET = 17
SOURCES = "sources.json"
"""In a run's folder: the digests of what it learns from."""

_WHOLE_BODY = """\
Finds lesions of skeletal metastasis in planar whole-body bone scans (99mTc-MDP, anterior and posterior view),
and says which bone or organ each pixel mainly shows."""

_NO_REGIONS = """\
Finds lesions of skeletal metastasis in planar whole-body bone scans (99mTc-MDP, anterior and posterior view); it does
not say which bone it sees: no patient it learned from had a map of the bones."""

_THORAX = """\
Finds lesions of skeletal metastasis in the thoracic window of planar whole-body bone scans (99mTc-MDP, anterior
and posterior view), and nowhere else; it does not say which bone it sees."""

_METHODS = {
    "supervised": "Dice and cross-entropy",
    "chan-vese": "the semi-supervised loss of Lin et al. 2022 (doi 10.3389/fmolb.2022.956720)",
}


class Deployed(nn.Module):
    """A network with final outputs: (N, 2, H, W) -> probabilities float32, region and level number uint8."""

    def __init__(self, network: nn.Module, *, regions: bool = True) -> None:
        """regions: whether the network has learned them; false = its region head, if any, is not used."""
        super().__init__()
        self.network = network
        self.regions = regions

    def forward(self, counts: Tensor) -> tuple[Tensor, ...]:
        """Return (lesion, region) and, where the network knows them, benign and level; all of the input's shape."""
        answer = answer_of(self.network(counts))
        maps = maps_of(answer if self.regions else answer._replace(region=None))
        return tuple(image for image in maps if image is not None)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what `forward` returns."""
        config = getattr(self.network, "config", None)
        benign, levels = getattr(config, "benign", False), getattr(config, "levels", False) and self.regions
        return ("lesion", "region", *(("benign",) if benign else ()), *(("level",) if levels else ()))


def averaged_network(config: TrainConfig) -> tuple[nn.Module, int]:
    """The run's averaged network, ready to predict, and the steps it has learned.

    It holds `start_share` of the weights that the run began with.
    """
    state = start(config)
    steps = load_checkpoint(config.folder / CHECKPOINT, state)
    if config.start_share:
        mix(state.ema.network, load_file(config.folder / START), config.start_share)
    return state.ema.network.eval(), steps


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known about a trained network besides its weights.

    points: the thresholds of each operating point. figures: what was measured on validation patients; kept in the
    bundle and shown in its card. regions: whether any of its training patients had a region map.
    """

    points: Mapping[str, Thresholds]
    figures: Mapping[str, Any] = field(default_factory=dict)
    regions: bool = True


def export(config: TrainConfig, learned: Learned, out: Path) -> Bundle:
    """Write the bundle of a run to the folder `out`."""
    averaged, steps = averaged_network(config)
    # A fresh copy in the ordinary memory layout: the graph should not depend on the layout used in training.
    network = build_network(config).eval()
    network.load_state_dict(averaged.state_dict())
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    began = _began_with(config)
    description = {
        "name": config.name,
        "network": {"name": config.network, "config": network_values(network)},
        "normalisation": config.normalisation.to_dict(),
        "thresholds": learned.points["balanced"].to_dict(),
        "operating_points": {name: point.to_dict() for name, point in learned.points.items()},
        "region": "thorax" if config.images.folder else "whole-body",
        "training": {
            "steps": steps,
            "bonescan": bonescan.__version__,
            "sources": _sources(config),
            **({BEGAN_WITH: began} if began else {}),
            "config": _portable(config),
        },
        "figures": dict(learned.figures),
    }
    # A data set's images and scans without region maps teach no regions, and the card says so.
    graph = to_onnx(network, regions=learned.regions and not config.images.folder)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    card = make_card(config, steps, parameters, learned.figures, regions=learned.regions, began=began)
    return write_bundle(out, description, {GRAPH: graph, WEIGHTS: save(weights), CARD: card.encode("utf-8")})


def network_values(network: nn.Module) -> dict[str, Any]:
    """All fields of a network's configuration as JSON values, so that a bundle does not depend on later defaults."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(network.config)))  # type: ignore[call-overload]
    return values


def _sources(config: TrainConfig) -> dict[str, str]:
    path = config.folder / SOURCES
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _began_with(config: TrainConfig) -> dict[str, Any] | None:
    """The record of the model that a run began with; only its name where the run started before there were records."""
    if not config.begin_with:
        return None
    path = config.folder / BEGINNING
    if path.exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    return {"name": Path(config.begin_with).name}


def _portable(config: TrainConfig) -> dict[str, Any]:
    """The configuration without local folders, which say nothing about the model and may be private."""
    values = config.to_dict()
    values["begin_with"] = Path(config.begin_with).name
    del values["runs"], values["phantoms"]["cache"], values["cohort"]["folder"], values["images"]["folder"]
    return values


def to_onnx(network: nn.Module, *, regions: bool = True) -> bytes:
    """The deployed graph with free batch, rows and columns. regions: whether the network has learned them."""
    deployed = Deployed(network, regions=regions).eval()
    names = ("counts", *deployed.outputs)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The older, tracing exporter gives the simplest dynamic shapes for this graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            deployed,
            (torch.zeros(1, 2, 64, 64),),
            Path(folder) / GRAPH,
            input_names=["counts"],
            output_names=list(deployed.outputs),
            opset_version=OPSET,
            dynamic_axes={name: {0: "studies", 2: "rows", 3: "cols"} for name in names},
            dynamo=False,
        )
        return (Path(folder) / GRAPH).read_bytes()


def make_card(
    config: TrainConfig,
    steps: int,
    parameters: int,
    figures: Mapping[str, Any],
    *,
    regions: bool = True,
    began: Mapping[str, Any] | None = None,
) -> str:
    """The card as Markdown.

    figures: what was measured on validation patients. regions: whether bones were taught. began: the record of the
    model that the run began with.
    """
    names = {"curve": "sensitivity at false positives per scan"}
    measured = "\n".join(
        f"- {names.get(name, name).replace('_', ' ')}: {_shown(value)}"
        for name, value in figures.items()
        if name != "beginning"
    )
    if "beginning" in figures:
        measured += (
            "\n- dice at a probability of 0.5: {dice_before:.3g} before the training, as {model}, and {dice_after:.3g} "
            "after it"
        ).format_map(figures["beginning"])
    warned = "".join(f"\n**Warning: {warning}.**\n" for warning in figures_warnings(figures))
    purpose = _THORAX if config.images.folder else _WHOLE_BODY if regions else _NO_REGIONS
    own = "in this run " if config.begin_with else ""
    beginning = _beginning(config, steps, began) if began else ""
    return f"""# {config.name}

**Research use only. Not a medical device; not for diagnosis.**

{purpose}

- Network: {config.network}, {parameters / 1e6:.2f} million parameters, {_views(config)}.
- Loss: {_METHODS[config.method]}.
- Learned {own}from {_teachers(config)}; {steps} steps{_learners(config)}.{beginning}
- It expects pixels of 2.2-2.4 mm; those below 1.6 mm are added up first, those of 3.2 mm or more split.

## Measured on validation patients, whose anatomies it had not seen

{measured or "Nothing was measured."}
{warned}
## What it is not

Simulated patients show only what the simulation contains: a model that learned from them alone has seen no scan of a
person. It is not made for tracers other than diphosphonates, for children, or for findings that the simulation does not
contain (infection, bone tumours, operations beyond hip and knee). It marks uptake that looks like metastasis; it cannot
tell what caused it.
"""


def _views(config: TrainConfig) -> str:
    if config.aggregated:
        return "both views added to one answer"
    return "both views at once" if config.network == "unet" else "each view by itself"


def _teachers(config: TrainConfig) -> str:
    if config.images.folder:
        share = f"{config.images.label_share:.0%} of the {config.images.label_unit}s labelled"
        return f"the training images of the data set {config.images.set}, {share}"
    phantoms = config.phantoms
    if not phantoms.anatomies:
        return "labelled patients of a cohort"
    patients = phantoms.anatomies * phantoms.patients_per_anatomy
    cohort = " and labelled patients of a cohort" if config.cohort.folder else ""
    return f"{patients} simulated patients of {phantoms.anatomies} anatomies{cohort}"


def _learners(config: TrainConfig) -> str:
    """Which layers learned, where not all did."""
    if not config.only:
        return ""
    return (
        f", the layers {config.only} only; all others are as in the {Path(config.begin_with).name} that it began with"
    )


def _beginning(config: TrainConfig, steps: int, began: Mapping[str, Any]) -> str:
    """What the run began with, and what it learned together with the runs before it."""
    known = f"sha256 {began['sha256'][:12]}" if "sha256" in began else "which model of this name is not recorded"
    share = f", of which {config.start_share:.0%} are in it" if config.start_share else ""
    before = runs_of(began)
    counts = {key: [run[key] for run in before if isinstance(run.get(key), int)] for key in ("steps", "anatomies")}
    total = ""
    if told := len(counts["steps"]):
        anatomies = sum(counts["anatomies"]) + (0 if config.images.folder else config.phantoms.anatomies)
        least = "at least " if told < len(before) else ""
        total = f"\n- With the runs before it: {least}{told + 1} runs, {sum(counts['steps']) + steps} steps"
        total += f", {anatomies} anatomies (each counted in every run that used it)." if anatomies else "."
    return f"\n- It began with the weights of {began['name']} ({known}){share}.{total}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_shown(each)} at {name}" for name, each in value.items())
    # Of the figures, only the precision of no outline is unknown.
    return "none marked" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
