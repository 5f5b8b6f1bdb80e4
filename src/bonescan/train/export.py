"""From a run to a bundle: graph, weights, description and card."""

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
from torch.nn import functional

import bonescan
from bonescan.bundle import CARD, GRAPH, WEIGHTS, Bundle, write_bundle
from bonescan.lesions.delineate import Thresholds
from bonescan.models import answer_of
from bonescan.study import LEVELS_OF_REGION, REGIONS
from bonescan.train.card import make_card
from bonescan.train.checkpoint import load_checkpoint, mix
from bonescan.train.config import TrainConfig
from bonescan.train.loop import CHECKPOINT, START, build_network, start

OPSET = 17
SOURCES = "sources.json"
"""In a run's folder: the digests of what it learns from."""


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
        region, level = torch.zeros_like(counts, dtype=torch.uint8), None
        if answer.region is not None and self.regions:
            numbers = answer.region.argmax(dim=2)
            region = _enlarge(numbers)
            level = None if answer.level is None else _enlarge(levels_within(answer.level, numbers))
        final: tuple[Tensor, ...] = (torch.sigmoid(answer.lesion), region)
        final += () if answer.benign is None else (torch.sigmoid(answer.benign),)
        return final if level is None else (*final, level)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what `forward` returns."""
        config = getattr(self.network, "config", None)
        benign, levels = getattr(config, "benign", False), getattr(config, "levels", False) and self.regions
        return ("lesion", "region", *(("benign",) if benign else ()), *(("level",) if levels else ()))


def _enlarge(numbers: Tensor) -> Tensor:
    return functional.interpolate(numbers.float(), scale_factor=2.0, mode="nearest").to(torch.uint8)


def levels_within(logits: Tensor, regions: Tensor) -> Tensor:
    """The likeliest level among those of each pixel's region: (N, 2, L, h, w) and (N, 2, h, w) -> (N, 2, h, w).

    0 where the region is neither spine nor ribs: there the level head has learned nothing.
    """
    numbers = torch.zeros_like(regions)
    for region, (first, last) in LEVELS_OF_REGION.items():
        within = logits[:, :, first : last + 1].argmax(dim=2) + first
        numbers = torch.where(regions == REGIONS.index(region), within, numbers)
    return numbers


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
            "config": _portable(config),
        },
        "figures": dict(learned.figures),
    }
    # A data set's images and scans without region maps teach no regions, and the card says so.
    graph = to_onnx(network, regions=learned.regions and not config.images.folder)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    card = make_card(config, steps, parameters, learned.figures, regions=learned.regions)
    return write_bundle(out, description, {GRAPH: graph, WEIGHTS: save(weights), CARD: card.encode("utf-8")})


def network_values(network: nn.Module) -> dict[str, Any]:
    """All fields of a network's configuration as JSON values, so that a bundle does not depend on later defaults."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(network.config)))  # type: ignore[call-overload]
    return values


def _sources(config: TrainConfig) -> dict[str, str]:
    path = config.folder / SOURCES
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _portable(config: TrainConfig) -> dict[str, Any]:
    """The configuration without local folders, which say nothing about the model and may be private."""
    values = config.to_dict()
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
