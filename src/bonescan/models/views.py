"""Run networks of a single view on pairs of views."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

VIEWS = 2
"""Anterior and mirrored posterior."""


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
