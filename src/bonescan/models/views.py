"""Networks on pairs of views: what they return, and how a network of a single view is run on a pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

VIEWS = 2
"""Anterior and mirrored posterior."""


class Answer(NamedTuple):
    """The outputs of one network; None for what it does not have.

    lesion, benign: logits (N, 2, H, W). Their sigmoids are the probabilities of lesion and of benign uptake; with the
    probability of neither they add up to 1. region: logits (N, 2, R, H/2, W/2) over the first R of `REGIONS`, of the
    pixels in every second row and column, from the first on. level: logits (N, 2, len(LEVELS), H/2, W/2) of the same
    pixels, trained on those of the spine and the ribs only.
    """

    lesion: Tensor
    region: Tensor | None
    benign: Tensor | None = None
    level: Tensor | None = None


def answer_of(outputs: tuple[Tensor | None, ...]) -> Answer:
    """The `Answer` from a network's outputs: (lesion, region), or (lesion, region, benign, level)."""
    lesion, *others = outputs
    assert lesion is not None
    return Answer(lesion, *others)


def of_each_quarter(logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The logits of all pixels from those (N, 2, C, h, w) of every second row and column, from the first on.

    Those of the upper left, upper right, lower left and lower right pixel of each 2 x 2 cell. The first are known, and
    the others are the means of their neighbours; at the last row and column the known ones are repeated.
    """
    right = (logits + torch.cat([logits[..., 1:], logits[..., -1:]], dim=-1)) / 2
    below, across = ((row + torch.cat([row[..., 1:, :], row[..., -1:, :]], dim=-2)) / 2 for row in (logits, right))
    return logits, right, below, across


def woven(quarters: Sequence[Tensor]) -> Tensor:
    """Four maps of numbers (N, 2, h, w) in the order of `of_each_quarter` as one (N, 2, 2h, 2w), uint8."""
    cells = torch.stack([quarter.float() for quarter in quarters], dim=2)
    return functional.pixel_shuffle(cells.flatten(1, 2), 2).to(torch.uint8)


def each_view(counts: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
    """Run a network (M, 1, H, W) -> (M, 1, H, W) on every view of (N, 2, H, W) by itself.

    In training, a view without counts (a GAN's sample has only one view) is left out, as its zeros would change the
    statistics of the batch norms. Its answer is 0 and has no gradient.
    """
    images = counts.reshape(-1, 1, *counts.shape[2:])
    if not torch.is_grad_enabled():
        return network(images).reshape(counts.shape)
    there = images.amax(dim=(1, 2, 3)) > 0
    if there.all() or not there.any():
        return network(images).reshape(counts.shape)
    seen = network(images[there])
    answer = seen.new_zeros(images.shape)
    answer[there] = seen
    return answer.reshape(counts.shape)
