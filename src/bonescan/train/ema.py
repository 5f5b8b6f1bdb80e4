"""A running average of a network's weights: what is validated and exported."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


class Ema:
    """Holds `network`, a copy whose weights follow those of another one slowly."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards `network` after optimiser step `step` (from 0); early steps count for more."""
        rate = 1.0 - min(self.decay, (1.0 + step) / (10.0 + step))
        averaged = self.network.state_dict()
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                averaged[name].lerp_(value, rate)
            else:
                averaged[name].copy_(value)
