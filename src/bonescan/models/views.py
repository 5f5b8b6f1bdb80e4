"""Networks on pairs of views: what they return, and how a network of a single view is run on a pair."""

from __future__ import annotations

from collections.abc import Callable
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


def likeliest(logits: Tensor) -> Tensor:
    """The likeliest class at each pixel, uint8 (N, 2, 2h, 2w), from logits (N, 2, C, h, w).

    The logits are those of every second row and column, from the first on. Those of the pixels between are the means of
    their neighbours.
    """
    studies, views, _, rows, cols = logits.shape
    planes = logits.flatten(0, 1)
    numbers = [planes.argmax(dim=1)]
    for down, right in ((0, 1), (1, 0), (1, 1)):
        # At the edge the mean is over what there is.
        size = (1 + down, 1 + right)
        means = functional.avg_pool2d(planes, size, stride=1, padding=(down, right), count_include_pad=False)
        numbers.append(means.argmax(dim=1)[:, down:, right:])
    cells = torch.stack(numbers, dim=1).float()
    return functional.pixel_shuffle(cells, 2).to(torch.uint8).reshape(studies, views, 2 * rows, 2 * cols)


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
