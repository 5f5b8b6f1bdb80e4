"""The cost of a network: the output shape, the parameters and the multiply-adds of each layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer with weights of its own.

    runs: how often it ran in one forward pass; more than once if weights are shared between steps or views.
    shape: of its last output, (N, channels, rows, cols). multiply_adds: of all runs together.
    """

    name: str
    kind: str
    runs: int
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """A network's cost for one patient: both views of `shape` (rows, cols)."""

    shape: tuple[int, int]
    parameters: int
    multiply_adds: int
    layers: tuple[LayerCost, ...]


@torch.no_grad()
def network_cost(network: nn.Module, shape: tuple[int, int] = (256, 256)) -> NetworkCost:
    """Run a patient without counts through the network and add up its layers.

    Only the multiplications of convolutions are counted; norms, slopes and sums need an order of magnitude fewer.
    Raises ValueError for a shape that the network does not take.
    """
    seen: dict[str, list[tuple[int, ...]]] = {}
    adds: dict[str, int] = {}

    def watch(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            seen.setdefault(name, []).append(tuple(output.shape))
            adds[name] = adds.get(name, 0) + _multiply_adds(layer, output)

        return hook

    layers = {
        name: layer for name, layer in network.named_modules() if any(True for _ in layer.parameters(recurse=False))
    }
    hooks = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    training = network.training
    image = torch.zeros(1, 2, *shape)
    try:
        network.eval()(image)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    # No hook sees a head whose weights are joined with another one's.
    joined = getattr(network, "joined_heads", ())
    for name, layer in layers.items():
        if isinstance(layer, nn.Conv2d) and layer in joined:
            watch(name)(layer, None, image.new_empty(1, layer.out_channels, *shape))
    costs = tuple(
        LayerCost(
            name,
            type(layer).__name__,
            len(seen.get(name, [])),
            seen.get(name, [()])[-1],
            _own(layer),
            adds.get(name, 0),
        )
        for name, layer in layers.items()
    )
    return NetworkCost(shape, sum(cost.parameters for cost in costs), sum(adds.values()), costs)


def _own(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters(recurse=False))


def _multiply_adds(layer: nn.Module, output: Tensor) -> int:
    if not isinstance(layer, nn.Conv2d):
        return 0
    kernel = layer.weight.numel() // layer.out_channels
    return output.numel() * kernel
