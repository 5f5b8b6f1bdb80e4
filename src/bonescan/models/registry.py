"""The registry of networks: name -> (config class, build function)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from bonescan.models.unet import UNetConfig, build_unet
from bonescan.system.plugins import Registry

Network = tuple[type[Any], Callable[[Any], nn.Module]]

MODELS = Registry[Network]("bonescan.networks", {"unet": (UNetConfig, build_unet)})
"""Every network takes normalised counts (N, 2, H, W), with H and W multiples of its `multiple`. `answer.answer_of`
turns its outputs into an `Answer`."""
