"""The networks, and their registry: name -> (config class, build function)."""

from __future__ import annotations

from bonescan.models.answer import Answer, answer_of
from bonescan.models.bundled import from_bundle
from bonescan.models.registry import MODELS
from bonescan.models.unet import UNet, UNetConfig, build_unet

__all__ = [
    "MODELS",
    "Answer",
    "UNet",
    "UNetConfig",
    "answer_of",
    "build_unet",
    "from_bundle",
]
