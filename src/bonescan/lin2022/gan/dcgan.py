"""A DCGAN (Radford, Metz, Chintala, arXiv 1511.06434) for thoracic bone scans, one view per image.

It follows that paper (strided convolutions instead of pooling, batch norm everywhere except in the generator's output
and the discriminator's input, ReLU and LeakyReLU, a bounded output, weights drawn with a deviation of 0.02), with three
differences:

- The generator doubles its resolution by repeating pixels and then convolving. Transposed convolutions cover pixels
  unevenly and leave a checkerboard (Odena et al. 2016, doi 10.23915/distill.00003), which is hard to tell from the
  noise of counts.
- It draws *expected* uptake, which a gamma camera has blurred: at 2.3 mm a pixel its resolution of 8 to 10 mm leaves
  nothing above half the Nyquist frequency. So it convolves up to half the size, and the last doubling interpolates.
- Both networks get the view as an input, as a sample must have a view to be written as a scan (conditional as in Mirza
  and Osindero, arXiv 1411.1784): one number beside the latent ones, one plane beside the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_FIRST = 4
"""Edge of the smallest maps, in pixels."""
_LEAK = 0.2
_DEVIATION = 0.02
_UNTRAINED = 0.3
"""Normalised intensity that the untrained generator draws everywhere: between air and bone."""


@dataclass(frozen=True, slots=True)
class DcganConfig:
    """Shape of both networks."""

    size: int = 256
    """Rows and columns of an image: a power of two from 16."""

    latent: int = 64
    """Numbers that a sample is drawn from, standard normal."""

    generator_width: int = 8
    """Channels of the generator at half the size; twice as many at each halving before."""

    discriminator_width: int = 8
    """Channels of the discriminator at half the size; twice as many at each further halving."""

    most_channels: int = 128
    """Largest number of channels of a layer."""

    ceiling: float = 5.0
    """Largest normalised intensity that the generator draws: about 90 times the skeletal reference."""

    def __post_init__(self) -> None:
        if self.size < 4 * _FIRST or self.size & (self.size - 1):
            raise ValueError(f"the size is a power of two from {4 * _FIRST}, not {self.size}")
        if min(self.latent, self.generator_width, self.discriminator_width, self.most_channels) < 1:
            raise ValueError("latent numbers, widths and channels are at least 1")
        if self.ceiling <= _UNTRAINED:
            raise ValueError(f"the ceiling is above {_UNTRAINED}, not {self.ceiling}")


class Generator(nn.Module):
    """Latent numbers (N, latent) and views (N,) -> expected normalised intensity (N, 1, size, size) in 0..ceiling.

    Views are 0 for anterior, 1 for posterior; images lie in the common orientation, the posterior one mirrored.
    """

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        self.config = config
        # From the smallest maps to half the size.
        edges = [_FIRST * 2**level for level in range(int(math.log2(config.size // (2 * _FIRST))) + 1)]
        channels = [min(config.generator_width * config.size // (2 * edge), config.most_channels) for edge in edges]
        self.project = nn.Linear(config.latent + 1, channels[0] * _FIRST**2, bias=False)
        self.first_norm = nn.BatchNorm2d(channels[0])
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b)) for a, b in pairwise(channels)
        )
        self.head = nn.Conv2d(channels[-1], 1, 3, padding=1)
        _initialise(self)
        share = _UNTRAINED / config.ceiling
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, math.log(share / (1.0 - share)))

    def forward(self, latent: Tensor, view: Tensor) -> Tensor:
        """Draw expected normalised intensity."""
        seed = torch.cat([latent, _signed(view)[:, None]], dim=1)
        features = self.project(seed).reshape(len(seed), -1, _FIRST, _FIRST)
        features = features.contiguous(memory_format=torch.channels_last)
        features = functional.relu(self.first_norm(features))
        for level in self.levels:
            features = functional.relu(level(functional.interpolate(features, scale_factor=2.0, mode="nearest")))
        image = self.config.ceiling * torch.sigmoid(self.head(features))
        return functional.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)


class Discriminator(nn.Module):
    """Normalised images (N, 1, size, size) with their noise, and their views (N,) -> logits of being real (N,)."""

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        halvings = int(math.log2(config.size // _FIRST))
        channels = [min(config.discriminator_width * 2**level, config.most_channels) for level in range(halvings)]
        # The image and its view; the first layer has no batch norm, so that it sees the image's own level.
        layers: list[nn.Module] = [nn.Conv2d(2, channels[0], 4, stride=2, padding=1), nn.LeakyReLU(_LEAK)]
        for inputs, outputs in pairwise(channels):
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(_LEAK),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, _FIRST))
        _initialise(self)

    def forward(self, image: Tensor, view: Tensor) -> Tensor:
        """Return the logits of being real."""
        plane = _signed(view)[:, None, None, None].expand_as(image)
        seen = torch.cat([image, plane], dim=1).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.layers(seen)
        return logits.reshape(-1)


class Dcgan(nn.Module):
    """Both networks, for one checkpoint and one optimiser."""

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        self.generator = Generator(config)
        self.discriminator = Discriminator(config)


def build_dcgan(config: DcganConfig) -> Dcgan:
    """Build both networks with fresh weights, drawn from torch's generator."""
    return Dcgan(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _signed(view: Tensor) -> Tensor:
    return 2.0 * view.float() - 1.0


def _initialise(network: nn.Module) -> None:
    """Section 3 of the paper: zero-centred normal weights of deviation 0.02; batch norms' gains about one."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.weight, std=_DEVIATION)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, mean=1.0, std=_DEVIATION)
