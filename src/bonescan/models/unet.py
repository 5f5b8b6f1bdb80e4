"""A small U-Net on both views of a whole-body scan.

The input is folded (2 x 2 pixels become channels), so all wide layers work at half resolution without loss of
information. A light stage at full resolution, which also gets the input, finds the edges. So a lesion three pixels
across keeps its own outline, at a quarter of the cost of a U-Net that is wide at full resolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bonescan.models.views import VIEWS, Answer
from bonescan.study import FIRST_FORMAT_REGIONS, LEVELS, REGIONS


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """Shape of the network."""

    widths: tuple[int, ...] = (32, 64, 96, 128, 160)
    """Channels of each level: the first at half resolution, each further one at half of the one before."""

    decoder_widths: tuple[int, ...] = (32, 48, 64, 96)
    """Channels of the decoder's levels, in the order of `widths` without its last."""

    full_width: int = 8
    """Channels of the light stage at full resolution."""

    dropout: float = 0.0
    """Share of the deepest level's channels that are dropped in training."""

    lesion_prior: float = 0.005
    """Probability of lesion that the untrained network states everywhere."""

    regions: int = len(REGIONS)
    """Number of regions of the region head: the first ones of `REGIONS`."""

    benign: bool = False
    """Whether benign uptake is a class of its own, which competes with lesion for each pixel."""

    benign_prior: float = 0.01
    """Probability of benign uptake that the untrained network states everywhere."""

    levels: bool = False
    """Whether there is a head for `LEVELS`: which vertebra or rib a pixel mainly shows."""

    lesion_bones: bool = False
    """Whether further layers tell which bone a lesion lies in, and its level where there are levels."""

    def __post_init__(self) -> None:
        if not FIRST_FORMAT_REGIONS <= self.regions <= len(REGIONS):
            raise ValueError(f"a network knows {FIRST_FORMAT_REGIONS} to {len(REGIONS)} regions, not {self.regions}")
        if len(self.decoder_widths) != len(self.widths) - 1:
            raise ValueError("the decoder has one level fewer than the encoder")
        if self.lesion_bones and len(self.decoder_widths) < 3:
            raise ValueError("lesion_bones needs a decoder of three levels or more")


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; it may change the resolution."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Block(nn.Sequential):
    """Two times convolution, batch norm, ReLU; the first may change the resolution."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(*_convolution(inputs, outputs, stride), *_convolution(outputs, outputs))


class _LesionBones(nn.Module):
    """Which bone and which level a lesion lies in, at a quarter of the resolution.

    The other heads name what a pixel mainly shows, and a hot focus misleads them: a lesion of the sternum looks like
    the crossing of two ribs. These layers learn from lesions above all. They are given the features of the decoder, and
    where lesions and benign uptake are. No gradient leaves them, so they change nothing that the others learn.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.regions = config.regions
        half, quarter, eighth = config.decoder_widths[:3]
        hot = VIEWS * (2 if config.benign else 1)
        fine, deep, narrow = 48, 96, 32
        self.down = _convolution(half + hot, fine, stride=2)
        self.context = _Block(fine + quarter, deep, stride=2)
        self.deep = _Block(deep + eighth, deep)
        self.narrow = nn.Conv2d(deep, narrow, 1, bias=False)
        self.join = _convolution(narrow + fine + quarter, fine)
        self.region = nn.Conv2d(fine, VIEWS * config.regions, 1)
        self.level = nn.Conv2d(fine, VIEWS * len(LEVELS), 1) if config.levels else None

    def forward(self, decoded: Sequence[Tensor], hot: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits of regions (N, 2, R, H/4, W/4) and of levels, of 4 x 4 pixels each.

        decoded: features at a half, a quarter and an eighth of the resolution. hot: probabilities (N, C, H, W).
        """
        half, quarter, eighth = (features.detach() for features in decoded)
        fine = self.down(torch.cat([half, functional.avg_pool2d(hot.detach(), 2)], dim=1))
        fine = torch.cat([fine, quarter], dim=1)
        deep = self.deep(torch.cat([self.context(fine), eighth], dim=1))
        deep = functional.interpolate(self.narrow(deep), scale_factor=2.0, mode="nearest")
        joined = self.join(torch.cat([deep, fine], dim=1))
        level = None if self.level is None else _by_view(self.level(joined), len(LEVELS))
        return _by_view(self.region(joined), self.regions), level


class UNet(nn.Module):
    """Normalised counts (N, 2, H, W) -> lesion logits (N, 2, H, W) and region logits (N, 2, R, H/2, W/2).

    If the configuration has benign uptake, levels or bones of lesions, an `Answer`, None for what it does not have.
    H and W must be multiples of `multiple`. Channel 0 is the anterior view, 1 the mirrored posterior one.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, decoder = config.widths, config.decoder_widths
        self.multiple = 2 ** len(widths)
        self.encoder = nn.ModuleList([_Block(4 * VIEWS, widths[0])])
        self.encoder.extend(_Block(a, b, stride=2) for a, b in pairwise(widths))
        self.dropout = nn.Dropout2d(config.dropout)
        below = (*decoder[1:], widths[-1])
        self.decoder = nn.ModuleList(
            _Block(deep + skip, width) for deep, skip, width in zip(below, widths[:-1], decoder, strict=True)
        )
        self.region_head = nn.Conv2d(decoder[0], VIEWS * config.regions, 1)
        self.unfold = nn.Conv2d(decoder[0], 4 * config.full_width, 1)
        self.refine = _convolution(config.full_width + VIEWS, config.full_width)
        self.lesion_head = nn.Conv2d(config.full_width, VIEWS, 3, padding=1)
        self.benign_head = nn.Conv2d(config.full_width, VIEWS, 3, padding=1) if config.benign else None
        self.level_head = nn.Conv2d(decoder[0], VIEWS * len(LEVELS), 1) if config.levels else None
        self.lesion_bones = _LesionBones(config) if config.lesion_bones else None
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Heads start at the classes' shares of pixels, so the first steps are not spent on leaving 0.5.
        neither = 1.0 - self.config.lesion_prior - (self.config.benign_prior if self.config.benign else 0.0)
        _start_at(self.lesion_head, self.config.lesion_prior / neither)
        if self.benign_head is not None:
            _start_at(self.benign_head, self.config.benign_prior / neither)
        heads = [self.region_head, self.level_head]
        if self.lesion_bones is not None:
            heads += [self.lesion_bones.region, self.lesion_bones.level]
        for head in filter(None, heads):
            nn.init.normal_(head.weight, std=0.05)

    def forward(self, counts: Tensor, phase: tuple[int, int] | None = None) -> tuple[Tensor, Tensor] | Answer:
        """Return the logits; ValueError for a size that the levels do not divide.

        phase: compute those of regions and levels only at every second row and column, from this (row, col) on. Their
        many channels cost a training step more than half of the network.
        """
        rows, cols = counts.shape[-2:]
        if rows % self.multiple or cols % self.multiple:
            raise ValueError(f"rows and columns are multiples of {self.multiple}, not {rows} and {cols}")
        features = functional.pixel_unshuffle(counts, 2)
        skips: list[Tensor] = []
        for stage in self.encoder:
            features = stage(features)
            skips.append(features)
        features = self.dropout(skips.pop())
        decoded: list[Tensor] = []
        for stage, skip in zip(reversed(list(self.decoder)), reversed(skips), strict=True):
            features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = stage(torch.cat([features, skip], dim=1))
            decoded.append(features)
        sparse = features if phase is None else features[..., phase[0] :: 2, phase[1] :: 2]
        region = _by_view(self.region_head(sparse), self.config.regions)
        full = self.refine(torch.cat([functional.pixel_shuffle(self.unfold(features), 2), counts], dim=1))
        lesion, benign = self._classes(full)
        level = None if self.level_head is None else _by_view(self.level_head(sparse), len(LEVELS))
        if self.lesion_bones is not None:
            hot = torch.cat([torch.sigmoid(logits) for logits in (lesion, benign) if logits is not None], dim=1)
            return Answer(lesion, region, benign, level, *self.lesion_bones(decoded[-1:-4:-1], hot))
        return (lesion, region) if benign is None and level is None else Answer(lesion, region, benign, level)

    @property
    def joined_heads(self) -> tuple[nn.Conv2d, ...]:
        """The heads at full resolution that run as one convolution, which takes half the time of two; or none."""
        return () if self.benign_head is None else (self.lesion_head, self.benign_head)

    def _classes(self, full: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits of lesion and benign uptake."""
        heads = self.joined_heads
        if not heads:
            return self.lesion_head(full), None
        biases = [head.bias for head in heads if head.bias is not None]
        scores = functional.conv2d(full, torch.cat([head.weight for head in heads]), torch.cat(biases), padding=1)
        return compete(scores[:, :VIEWS], scores[:, VIEWS:])


def compete(lesion: Tensor, benign: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of two classes against a third one of score 0 -> logits of their shares in the softmax of all three.

    The sigmoid of each logit is the softmax of its class. So loss, thresholds and graph are the same as for a network
    with one class.
    """
    lesion, benign = lesion.float(), benign.float()
    return lesion - functional.softplus(benign), benign - functional.softplus(lesion)


def _by_view(logits: Tensor, classes: int) -> Tensor:
    """(N, 2 C, h, w) -> (N, 2, C, h, w)."""
    return logits.reshape(-1, VIEWS, classes, *logits.shape[2:])


def _start_at(head: nn.Conv2d, odds: float) -> None:
    """Initialise a head so that it states about these odds everywhere."""
    nn.init.normal_(head.weight, std=0.01)
    assert head.bias is not None
    nn.init.constant_(head.bias, math.log(odds))


def build_unet(config: UNetConfig) -> UNet:
    """Build the network with fresh weights, drawn from torch's generator."""
    return UNet(config)
