"""The networks, and their registry: name -> (config class, build function)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from bonescan.models.lin2022 import Lin2022, Lin2022Config, build_lin2022
from bonescan.models.plain_unet import PlainUNet, PlainUNetConfig, build_plain_unet
from bonescan.models.unet import UNet, UNetConfig, build_unet

__all__ = [
    "MODELS",
    "Lin2022",
    "Lin2022Config",
    "PlainUNet",
    "PlainUNetConfig",
    "UNet",
    "UNetConfig",
    "build_lin2022",
    "build_plain_unet",
    "build_unet",
]

MODELS: dict[str, tuple[type[Any], Callable[[Any], nn.Module]]] = {
    "unet": (UNetConfig, build_unet),
    "lin2022": (Lin2022Config, build_lin2022),
    "plain-unet": (PlainUNetConfig, build_plain_unet),
}
"""Every network takes normalised counts (N, 2, H, W) and returns (lesion logits (N, 2, H, W), region logits
(N, 2, len(REGIONS), H/2, W/2), or None where it knows no regions); H and W are multiples of its `multiple`."""
