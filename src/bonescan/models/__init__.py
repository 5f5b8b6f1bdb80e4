"""The networks, and their registry: name -> (config class, build function)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from bonescan.models.unet import UNet, UNetConfig, build_unet

__all__ = ["MODELS", "UNet", "UNetConfig", "build_unet"]

MODELS: dict[str, tuple[type[Any], Callable[[Any], nn.Module]]] = {
    "unet": (UNetConfig, build_unet),
}
"""Every network takes normalised counts (N, 2, H, W) and returns (lesion logits (N, 2, H, W),
region logits (N, 2, len(REGIONS), H/2, W/2)); H and W are multiples of its `multiple`."""
