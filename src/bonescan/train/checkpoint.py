"""Checkpoints: one safetensors file, written atomically. No pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bonescan.errors import OptionError
from bonescan.system.files import written_whole


class Ema:
    """A running average of a network's weights, in the copy `network`, which is validated and exported."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = deepcopy(network).eval().requires_grad_(False)

    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards `network` after optimiser step `step` (from 0); early steps have more weight."""
        rate = 1.0 - min(self.decay, (1.0 + step) / (10.0 + step))
        mix(self.network, network.state_dict(), rate)


@torch.no_grad()
def mix(network: nn.Module, weights: Mapping[str, Tensor], share: float) -> None:
    """Move a network's weights towards others of the same layers, by a share from 0 (not at all) to 1 (all the way).

    Whole numbers, which have no mean, are copied.
    """
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(weights[name].to(value.device), share)
        else:
            value.copy_(weights[name])


@dataclass(frozen=True, slots=True, eq=False)
class TrainState:
    """Everything that changes while training; `steps_done` is kept beside it."""

    network: nn.Module
    ema: Ema
    optimiser: torch.optim.AdamW


def save_checkpoint(path: Path, state: TrainState, steps_done: int) -> None:
    """Write the state after `steps_done` steps, atomically."""
    tensors = {f"network/{name}": value for name, value in state.network.state_dict().items()}
    tensors |= {f"ema/{name}": value for name, value in state.ema.network.state_dict().items()}
    for name, parameter in state.network.named_parameters():
        for key, value in state.optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser/{name}/{key}"] = value
    _write(path, tensors, {"format": "bonescan-checkpoint-1", "steps_done": str(steps_done)})


def save_weights(path: Path, network: nn.Module) -> None:
    """Write a network's weights alone, atomically."""
    _write(path, network.state_dict(), {})


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    # Contiguous copies: convolution weights are channels-last while training.
    contiguous = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()
    }
    with written_whole(path) as temporary:
        save_file(contiguous, temporary, metadata=metadata)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())


def load_checkpoint(path: Path, state: TrainState) -> int:
    """Fill `state` from a file and return the number of steps done; OptionError when it does not fit."""
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  not a mapping
        if metadata.get("format") != "bonescan-checkpoint-1":
            raise OptionError(f"the checkpoint {path.name} is of another format: start a run of another name")
        state.network.load_state_dict(_part(tensors, "network/"))
        state.ema.network.load_state_dict(_part(tensors, "ema/"))
        _load_optimiser(state, tensors)
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(f"the checkpoint {path.name} does not fit ({reason}): start a run of another name") from None
    return int(metadata["steps_done"])


def _load_optimiser(state: TrainState, tensors: dict[str, Tensor]) -> None:
    for name, parameter in state.network.named_parameters():
        moments = _part(tensors, f"optimiser/{name}/")
        # The step counts are scalars; the moments take the parameter's own memory layout, as AdamW would give it.
        state.optimiser.state[parameter] = {
            key: value if value.ndim == 0 else torch.empty_like(parameter).copy_(value)
            for key, value in moments.items()
        }


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
