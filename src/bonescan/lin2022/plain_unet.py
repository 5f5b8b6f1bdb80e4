"""A plain U-Net on one view at a time, with batch norm: what Lin et al. 2022 compare with (Ronneberger et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bonescan.models.views import each_view


@dataclass(frozen=True, slots=True)
class PlainUNetConfig:
    """Shape of the network."""

    widths: tuple[int, ...] = (16, 32, 64, 128)
    """Channels of each level: the first at full resolution, each further one at half of the one before."""

    lesion_prior: float = 0.05
    """Probability of lesion that the untrained network states everywhere."""

    def __post_init__(self) -> None:
        if not 2 <= len(self.widths) <= 6 or min(self.widths) < 1:
            raise ValueError("widths are 2 to 6 whole numbers from 1")


class PlainUNet(nn.Module):
    """Normalised counts (N, 2, H, W) -> lesion logits (N, 2, H, W), and None; each view is an image of its own."""

    multiple = 32
    """All networks here take multiples of 32."""

    def __init__(self, config: PlainUNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.encoder = nn.ModuleList(_block(a, b) for a, b in pairwise((1, *widths)))
        self.decoder = nn.ModuleList(_block(deep + skip, skip) for skip, deep in pairwise(widths))
        self.lesion_head = nn.Conv2d(widths[0], 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.normal_(self.lesion_head.weight, std=0.01)
        assert self.lesion_head.bias is not None
        prior = torch.tensor(config.lesion_prior)
        nn.init.constant_(self.lesion_head.bias, float(torch.log(prior / (1 - prior))))

    def forward(self, counts: Tensor) -> tuple[Tensor, None]:
        """Return (lesion logits, None); ValueError for a size that is no multiple of `multiple`."""
        rows, cols = counts.shape[-2:]
        if rows % self.multiple or cols % self.multiple:
            raise ValueError(f"rows and columns are multiples of {self.multiple}, not {rows} and {cols}")
        return each_view(counts, self._logits), None

    def _logits(self, images: Tensor) -> Tensor:
        features, skips = images, []
        for number, level in enumerate(self.encoder):
            features = level(functional.max_pool2d(features, 2) if number else features)
            skips.append(features)
        features = skips.pop()
        for level, skip in zip(reversed(list(self.decoder)), reversed(skips), strict=True):
            features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = level(torch.cat([features, skip], dim=1))
        logits: Tensor = self.lesion_head(features)
        return logits


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Two times convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def build_plain_unet(config: PlainUNetConfig) -> PlainUNet:
    """Build the network with fresh weights, drawn from torch's generator."""
    return PlainUNet(config)


NETWORK = (PlainUNetConfig, build_plain_unet)
