"""The registry of networks: name -> (config class, build function)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from bonescan.models.lin2022 import Lin2022Config, build_lin2022
from bonescan.models.plain_unet import PlainUNetConfig, build_plain_unet
from bonescan.models.unet import UNetConfig, build_unet

MODELS: dict[str, tuple[type[Any], Callable[[Any], nn.Module]]] = {
    "unet": (UNetConfig, build_unet),
    "lin2022": (Lin2022Config, build_lin2022),
    "plain-unet": (PlainUNetConfig, build_plain_unet),
}
"""Every network takes normalised counts (N, 2, H, W), H and W multiples of its `multiple`, and returns what
`answer.answer_of` makes an `Answer` of."""
