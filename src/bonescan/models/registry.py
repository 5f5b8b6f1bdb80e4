"""The registry of networks: name -> (config class, build function); the network of a bundle, with its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from bonescan.bundle import WEIGHTS, Bundle
from bonescan.configuration import config_from_dict
from bonescan.errors import BundleError, OptionError
from bonescan.models.unet import UNetConfig, build_unet
from bonescan.models.views import VIEWS
from bonescan.study import FIRST_FORMAT_REGIONS
from bonescan.system.plugins import Registry, described

Network = tuple[type[Any], Callable[[Any], nn.Module]]


def _checked(origin: str, value: Any) -> Network:
    """The network of a plug-in. OptionError where it is none, or where its function builds none."""
    pair = value if isinstance(value, tuple) and len(value) == 2 else (None, None)
    kind, build = pair
    if not (isinstance(kind, type) and is_dataclass(kind) and callable(build)):
        raise OptionError(
            f"the network {origin} is {described(value)}, not a dataclass and a function that builds the network from "
            "it: correct the plug-in"
        )

    def built(config: Any) -> nn.Module:
        network = build(config)
        if not isinstance(network, nn.Module):
            raise OptionError(
                f"the network {origin} was built as {described(network)}, not as a torch.nn.Module: correct the plug-in"
            )
        return network

    return kind, built


MODELS = Registry[Network]("bonescan.networks", {"unet": (UNetConfig, build_unet)}, _checked)
"""Every network takes normalised counts (N, 2, H, W), with H and W multiples of its `multiple`. `views.answer_of`
turns its outputs into an `Answer`."""

FIRST_FORMAT: dict[str, dict[str, Any]] = {
    "unet": {"regions": FIRST_FORMAT_REGIONS, "benign": False, "levels": False},
}
"""Values of a network's configuration that bundles of the first format do not state."""


def stated_config(network: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a bundle's network, completed for the first format. network: {"name", "config"}."""
    return FIRST_FORMAT.get(str(network.get("name")), {}) | dict(network.get("config", {}))


def from_bundle(bundle: Bundle) -> nn.Module:
    """The network of a bundle with its weights, ready to predict (`eval`), on the processor.

    Raises BundleError when this bonescan does not know the network, or the weights do not fit it.
    """
    name = str(bundle.network.get("name"))
    if name not in MODELS:
        raise BundleError(
            f"the bundle {bundle.name} has a network {name!r} that this bonescan does not know: update it"
        )
    kind, build = MODELS[name]
    try:
        network = build(config_from_dict(kind, stated_config(bundle.network)))
        network.load_state_dict(load(bundle.read(WEIGHTS)))
    except (OptionError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"the weights of {bundle.name} do not fit its network ({reason}): get it again") from None
    return network.eval()


def take_weights(network: nn.Module, other: nn.Module) -> list[str]:
    """Copy the weights of another network for the layers that both have; return the names of those that it lacks.

    Between region heads of different numbers of regions, the weights of the common regions are copied.
    Raises OptionError when a layer of the same name has another shape.
    """
    own, given = network.state_dict(), other.state_dict()
    for name, value in given.items():
        if name not in own:
            continue
        if own[name].shape == value.shape:
            own[name].copy_(value)
        elif name.startswith("region_head"):
            mine, theirs = (each.reshape(VIEWS, -1, *each.shape[1:]) for each in (own[name], value))
            known = min(mine.shape[1], theirs.shape[1])
            mine[:, :known] = theirs[:, :known]
        else:
            raise OptionError(
                f"begin_with names a network of other sizes ({name} is {_size(value)} there and {_size(own[name])} "
                "here): copy its network_config, or remove begin_with"
            )
    return [name for name in own if name not in given]


def _size(weights: Tensor) -> str:
    return " x ".join(str(size) for size in weights.shape)
