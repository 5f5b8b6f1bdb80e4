"""The networks, and their registry: name -> (config class, build function)."""

from __future__ import annotations

from bonescan.models.registry import MODELS, from_bundle
from bonescan.models.unet import UNet, UNetConfig, build_unet
from bonescan.models.views import Answer, answer_of, likeliest, maps_of

__all__ = [
    "MODELS",
    "Answer",
    "UNet",
    "UNetConfig",
    "answer_of",
    "build_unet",
    "from_bundle",
    "likeliest",
    "maps_of",
]
