"""Where computing in bfloat16 is safe."""

from __future__ import annotations

import torch
from torch import nn

from bonescan.models.lin2022 import Lin2022
from bonescan.train.config import TrainConfig


def autocast(network: nn.Module, config: TrainConfig) -> torch.autocast:
    """The context that a network runs in: bfloat16 where the configuration wants it and the network can bear it.

    The recurrent network's narrow dilated convolutions give NaN, or crash, in bfloat16 on a processor (torch 2.13).
    """
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.bf16 and not isinstance(network, Lin2022))
