"""Run a network: its device, where bfloat16 is safe, the prediction of one case."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bonescan.errors import OptionError
from bonescan.models import answer_of, maps_of
from bonescan.prepare import normalise
from bonescan.study import FloatImage
from bonescan.train.cases import Case
from bonescan.train.config import TrainConfig


def device_of(config: TrainConfig) -> torch.device:
    """The device that a configuration names; OptionError where torch does not find it."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if config.device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there[config.device]:
        raise OptionError(f"torch finds no device {config.device!r} here: set device to auto or cpu")
    return torch.device(config.device)


def place_of(network: nn.Module) -> torch.device:
    """The device that a network lies on; the processor for one without weights."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def autocast(network: nn.Module, config: TrainConfig) -> torch.autocast:
    """The context that a network runs in: bfloat16 where the configuration wants it and the network supports it.

    A network that does not support it has `supports_bfloat16 = False`. A processor without instructions for bfloat16 is
    about ten times slower with it.
    """
    kind = place_of(network).type
    enabled = (
        config.bf16 and getattr(network, "supports_bfloat16", True) and (kind != "cpu" or _processor_has_bfloat16())
    )
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=enabled)


@cache
def _processor_has_bfloat16() -> bool:
    return torch._C._has_mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@torch.no_grad()
def predict_case(network: nn.Module, case: Case, config: TrainConfig) -> tuple[FloatImage, NDArray[np.uint8]]:
    """Lesion probability and region map of the whole frame, each (2, rows, cols), the posterior mirrored.

    The region map of a network that knows no regions is 0 everywhere.
    """
    image = normalise(case.counts, config.normalisation, case.facts.references[0])
    rows, cols = image.shape[1:]
    padded = np.pad(image, ((0, 0), (0, -rows % 32), (0, -cols % 32)))
    network.eval()
    batch = torch.from_numpy(padded)[None].contiguous(memory_format=torch.channels_last).to(place_of(network))
    with autocast(network, config):
        answer = answer_of(network(batch))
    maps = maps_of(answer)
    lesion, region = (image[0, :, :rows, :cols].cpu().numpy() for image in (maps.lesion, maps.region))
    return lesion, region
