"""The recurrent network of Lin et al. 2022, section 2.3 (doi 10.3389/fmolb.2022.956720), in one configurable model.

::

    view -> residual dilated block x 3 -> pool -> aggregate the views -> inception -> upsample -> convolve -> classify
            `------------------------ unrolled t times ---------------------------'

Every block keeps its state from one step to the next (Eq. 5): x(t) = BN-PReLU(F(u(t)) + R(x(t-1))), where u is the
output of the block below at the same step. At the first step there is no R. The paper's figures were not available;
comments say where the structure is our interpretation of the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from bonescan.models.views import VIEWS, each_view

Aggregation = Literal["none", "image", "feature"]


@dataclass(frozen=True, slots=True)
class Lin2022Config:
    """Structure of the network; the defaults are the paper's best."""

    channels: int = 16
    """Channels of each residual dilated block and of each inception branch (the paper's predecessor has 16)."""

    rates: tuple[int, ...] = (1, 2, 4)
    """Dilation rate of each block of the stack; their number is the number of blocks."""

    pool_after: int = 3
    """After how many blocks of the stack the features are pooled, which halves their resolution. In the paper's text it
    is after all of them; after the first one costs a third."""

    recurrence: int = 3
    """How often the feature network runs again after its first run: the paper's t; 0 = no recurrence."""

    weights: Literal["shared", "unshared"] = "shared"
    """One set of weights for all steps, or one for each step, as the paper's growing parameter count implies."""

    dilated: bool = True
    """Residual dilated blocks; false = two plain convolutions in their place."""

    inception: bool = True
    """The inception block; false = one plain convolution of the same stride and width in its place."""

    aggregation: Aggregation = "none"
    """Each view by itself, or the views added (Eq. 4) as images or as features: one mask for both."""

    lesion_prior: float = 0.05
    """Probability of lesion that the untrained network states for a pixel without counts."""

    brightness: float = 3.0
    """By how much the untrained network's logit grows with a pixel's normalised counts."""

    def __post_init__(self) -> None:
        if self.channels < 1 or not self.rates or min(self.rates) < 1:
            raise ValueError("channels, and the rates of at least one block, are whole numbers from 1")
        if not 1 <= self.pool_after <= len(self.rates):
            raise ValueError(f"pool_after is {self.pool_after}: give 1 to {len(self.rates)}, the number of blocks")
        if not 0 <= self.recurrence <= 8:
            raise ValueError(f"a recurrence of {self.recurrence} is out of range: give 0 to 8")
        if not 0 < self.lesion_prior < 1:
            raise ValueError(f"a lesion_prior of {self.lesion_prior} is no probability between 0 and 1")

    @property
    def steps(self) -> int:
        """How often the feature network runs in all."""
        return self.recurrence + 1


class StepNorm(nn.Module):
    """Batch norm with its own statistics, scale and shift for each step. Only the convolutions are shared.

    The first step has no recurrent part, so common statistics would fit no step (Cooijmans et al. 2017).
    """

    def __init__(self, channels: int, steps: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(steps))

    def forward(self, features: Tensor, step: int) -> Tensor:
        """Normalise with the statistics of `step`, or of the last step if there are fewer."""
        normed: Tensor = self.norms[min(step, len(self.norms) - 1)](features)
        return normed


class DilatedBlock(nn.Module):
    """Residual dilated block: two 3x3 dilated convolutions, each with BN and PReLU, plus a 1x1 convolution beside."""

    def __init__(self, inputs: int, outputs: int, rate: int, steps: int) -> None:
        super().__init__()
        # Padding by the rate keeps the size. Eq. 3: o = floor((i + 2p - d(k - 1) - 1) / s) + 1, so with k = 3, s = 1
        # and p = d, o = i.
        self.first = nn.Conv2d(inputs, outputs, 3, padding=rate, dilation=rate, bias=False)
        self.first_norm = StepNorm(outputs, steps)
        self.first_slope = nn.PReLU(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=rate, dilation=rate, bias=False)
        self.second_norm = StepNorm(outputs, steps)
        self.second_slope = nn.PReLU(outputs)
        self.beside = nn.Conv2d(inputs, outputs, 1)

    def forward(self, features: Tensor, step: int) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        deep = self.first_slope(self.first_norm(self.first(features), step))
        deep = self.second_slope(self.second_norm(self.second(deep), step))
        total: Tensor = deep + self.beside(features)
        return total


class PlainBlock(nn.Module):
    """Two plain 3x3 convolutions, which Table 5 compares with a residual dilated block."""

    def __init__(self, inputs: int, outputs: int, steps: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = StepNorm(outputs, steps)
        self.slope = nn.PReLU(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, features: Tensor, step: int) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        total: Tensor = self.second(self.slope(self.norm(self.first(features), step)))
        return total


class InceptionBlock(nn.Module):
    """Five branches of stride 2, concatenated: 1x3+3x1, 1x7+7x1, 1x1, 5x5, and 1x1 with max-pooling.

    That every branch halves the resolution is our interpretation.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                _crossed(inputs, width, 3),
                _crossed(inputs, width, 7),
                _Halved(nn.Conv2d(inputs, width, 1)),
                nn.Conv2d(inputs, width, 5, stride=2, padding=2),
                nn.Sequential(nn.Conv2d(inputs, width, 1), nn.MaxPool2d(2)),
            ]
        )

    def forward(self, features: Tensor, step: int) -> Tensor:
        """(N, inputs, H, W) -> (N, 5 width, H/2, W/2); the step changes nothing."""
        return torch.cat([branch(features) for branch in self.branches], dim=1)


class _Halved(nn.Module):
    """A convolution of every second row and column.

    The same as a 1x1 convolution of stride 2, whose own kernel crashes in torch 2.13 on eight channels, channels last.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, outputs, H/2, W/2)."""
        halved: Tensor = self.convolution(features[..., ::2, ::2].contiguous())
        return halved


class PlainInception(nn.Module):
    """One 3x3 convolution of stride 2, which Table 5 compares with the inception block."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)

    def forward(self, features: Tensor, step: int) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/2, W/2); the step changes nothing."""
        total: Tensor = self.convolution(features)
        return total


class RecurrentBlock(nn.Module):
    """Eq. 5: a feed-forward block, its recurrent convolution, and the BN-PReLU of their sum."""

    def __init__(self, inner: nn.Module, outputs: int, steps: int, kernel: int) -> None:
        """kernel: edge of the recurrent convolution; 0 = there is none."""
        super().__init__()
        self.inner = inner
        self.recurrent = nn.Conv2d(outputs, outputs, kernel, padding=kernel // 2, bias=False) if kernel else None
        self.norm = StepNorm(outputs, steps)
        self.slope = nn.PReLU(outputs)

    def forward(self, forward: Tensor, state: Tensor | None, step: int) -> Tensor:
        """From the feed-forward part F(u(t)) and the state x(t-1) to the state x(t)."""
        if state is not None and self.recurrent is not None:
            forward = forward + self.recurrent(state)
        new: Tensor = self.slope(self.norm(forward, step))
        return new


class FeatureNetwork(nn.Module):
    """The stack and the inception block with one set of weights, for `steps` steps."""

    def __init__(self, config: Lin2022Config, steps: int, *, recurrent: bool) -> None:
        super().__init__()
        width = config.channels
        self.stack = nn.ModuleList()
        for number, rate in enumerate(config.rates):
            inputs = width if number else 1
            # The first block's input is the image at every step, so its feed-forward part is computed once.
            own = steps if number else 1
            inner = DilatedBlock(inputs, width, rate, own) if config.dilated else PlainBlock(inputs, width, own)
            self.stack.append(RecurrentBlock(inner, width, steps, 3 if recurrent else 0))
        deep = InceptionBlock(width, width) if config.inception else PlainInception(width, 5 * width)
        # Its state has many channels: a recurrent 3x3 convolution would have more weights than all the rest.
        self.deep = RecurrentBlock(deep, 5 * width, steps, 1 if recurrent else 0)


class Lin2022(nn.Module):
    """Normalised counts (N, 2, H, W) -> lesion logits (N, 2, H, W), and None, as it has no regions.

    H and W are multiples of `multiple`. Channel 0 is the anterior view, 1 the mirrored posterior one, so that adding
    the channels is Eq. 4. With an aggregation both channels of the answer are the same.
    """

    multiple = 32
    """The graph itself asks for multiples of 4; all networks here take multiples of 32."""

    supports_bfloat16 = False
    """The narrow dilated convolutions give NaN, or crash, in bfloat16 on a processor (torch 2.13)."""

    def __init__(self, config: Lin2022Config) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        if config.weights == "shared":
            self.features = nn.ModuleList([FeatureNetwork(config, config.steps, recurrent=config.recurrence > 0)])
        else:
            self.features = nn.ModuleList(
                FeatureNetwork(config, 1, recurrent=number > 0) for number in range(config.steps)
            )
        self.narrow = nn.Conv2d(5 * width, 2 * width, 1)
        self.merge = nn.Conv2d(3 * width, width, 3, padding=1, bias=False)
        self.merge_norm = nn.BatchNorm2d(width)
        self.merge_slope = nn.PReLU(width)
        self.classifier = nn.Conv2d(width + 1, 1, 1)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # The unsupervised term is the same for a mask and its complement. The classifier sees the image itself and
        # starts with a positive weight for it, so that without labels the mask is what is bright.
        nn.init.normal_(self.classifier.weight, std=0.01)
        assert self.classifier.bias is not None
        prior = torch.tensor(self.config.lesion_prior)
        with torch.no_grad():
            self.classifier.weight[:, -1] = self.config.brightness
            self.classifier.bias.fill_(float(torch.log(prior / (1 - prior))))

    def forward(self, counts: Tensor) -> tuple[Tensor, None]:
        """Return (lesion logits, None); ValueError for a size that is no multiple of `multiple`."""
        rows, cols = counts.shape[-2:]
        if rows % self.multiple or cols % self.multiple:
            raise ValueError(f"rows and columns are multiples of {self.multiple}, not {rows} and {cols}")
        if self.config.aggregation == "image":
            return self._logits(add_views(counts), None).expand(-1, VIEWS, -1, -1), None
        if self.config.aggregation == "feature":
            return self._logits(counts.reshape(-1, 1, rows, cols), counts).expand(-1, VIEWS, -1, -1), None
        return each_view(counts, lambda images: self._logits(images, None)), None

    def _logits(self, images: Tensor, together: Tensor | None) -> Tensor:
        """(M, 1, H, W) -> (M, 1, H, W); with the pairs (N, 2, H, W) that the images come from, one answer per pair."""
        shallow, deep = self._unrolled(images, together)
        deep = functional.interpolate(self.narrow(deep), scale_factor=4.0, mode="bilinear", align_corners=False)
        # Joining the stack's features here is our interpretation of "inception connection": edges need full resolution.
        merged = self.merge(torch.cat([deep, _added(shallow, together)], dim=1))
        merged = self.merge_slope(self.merge_norm(merged))
        picture = images if together is None else add_views(together)
        logits: Tensor = self.classifier(torch.cat([merged, picture], dim=1))
        return logits

    def _unrolled(self, images: Tensor, together: Tensor | None) -> tuple[Tensor, Tensor]:
        """The states of the last block before the pooling, and of the inception block, after the last step."""
        states: list[Tensor | None] = [None] * len(self.config.rates)
        deep: Tensor | None = None
        first: Tensor | None = None
        shallow = images
        for step in range(self.config.steps):
            shared = len(self.features) == 1
            network = cast(FeatureNetwork, self.features[0 if shared else step])
            own = step if shared else 0
            features = images
            for number, block in enumerate(cast(Iterable[RecurrentBlock], network.stack)):
                if number == 0:
                    first = block.inner(features, own) if first is None or not shared else first
                forward = first if number == 0 else block.inner(features, own)
                features = block(forward, states[number], own)
                states[number] = features
                if number + 1 == self.config.pool_after:
                    shallow, features = features, functional.max_pool2d(features, 2)
            deep = network.deep(network.deep.inner(_added(features, together), own), deep, own)
        assert deep is not None
        return shallow, deep


def add_views(counts: Tensor) -> Tensor:
    """Eq. 4 on normalised counts (N, 2, H, W): (N, 1, H, W).

    Normalised counts are about the square roots of counts, so their squares are added. The mean over the present views
    keeps a typical bone at 1.
    """
    there = _there(counts).sum(dim=1, keepdim=True).clamp(min=1)
    total: Tensor = (counts.square().sum(dim=1, keepdim=True) / there).sqrt()
    return total


def _crossed(inputs: int, width: int, length: int) -> nn.Sequential:
    """A 1 x length and a length x 1 convolution, each of stride 2 along itself."""
    half = length // 2
    return nn.Sequential(
        nn.Conv2d(inputs, width, (1, length), stride=(1, 2), padding=(0, half), bias=False),
        nn.Conv2d(width, width, (length, 1), stride=(2, 1), padding=(half, 0)),
    )


def _added(features: Tensor, pairs: Tensor | None) -> Tensor:
    """Add the features of the views of each pair, keeping their mean level; without pairs, leave them as they are.

    features: (2 N, C, h, w). pairs: the counts (N, 2, H, W); a view without counts adds nothing.
    """
    if pairs is None:
        return features
    there = _there(pairs).to(features.dtype).unsqueeze(2)
    by_view = features.reshape(-1, VIEWS, *features.shape[1:])
    total: Tensor = (by_view * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
    return total


def _there(pairs: Tensor) -> Tensor:
    """Which views of (N, 2, H, W) have a count, (N, 2, 1, 1) bool."""
    return pairs.amax(dim=(2, 3), keepdim=True) > 0


def build_lin2022(config: Lin2022Config) -> Lin2022:
    """Build the network with fresh weights, drawn from torch's generator."""
    return Lin2022(config)


NETWORK = (Lin2022Config, build_lin2022)
