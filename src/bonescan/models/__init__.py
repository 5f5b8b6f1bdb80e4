"""The networks, and their registry: name -> (config class, build function)."""

from __future__ import annotations

from bonescan.models.answer import Answer, answer_of
from bonescan.models.bundled import from_bundle
from bonescan.models.lin2022 import Lin2022, Lin2022Config, build_lin2022
from bonescan.models.plain_unet import PlainUNet, PlainUNetConfig, build_plain_unet
from bonescan.models.registry import MODELS
from bonescan.models.unet import UNet, UNetConfig, build_unet

__all__ = [
    "MODELS",
    "Answer",
    "Lin2022",
    "Lin2022Config",
    "PlainUNet",
    "PlainUNetConfig",
    "UNet",
    "UNetConfig",
    "answer_of",
    "build_lin2022",
    "build_plain_unet",
    "build_unet",
    "from_bundle",
]
