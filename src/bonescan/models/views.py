"""Networks on pairs of views: what they return, and how a network of a single view is run on a pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from bonescan.study import LEVELS_OF_REGION, REGIONS

VIEWS = 2
"""Anterior and mirrored posterior."""
HOT = 0.1
"""Probability above which a pixel counts as hot. No outline and no candidate (`lesions/delineate.py`) reaches lower."""


class Answer(NamedTuple):
    """The outputs of one network; None for what it does not have.

    lesion, benign: logits (N, 2, H, W). Their sigmoids are the probabilities of lesion and of benign uptake; with the
    probability of neither they add up to 1. region: logits (N, 2, R, H/2, W/2) over the first R of `REGIONS`, of the
    pixels in every second row and column, from the first on. level: logits (N, 2, len(LEVELS), H/2, W/2) of the same
    pixels, trained on those of the spine and the ribs only. lesion_region, lesion_level: logits as region and level,
    (N, 2, R or L, H/4, W/4), each for 4 x 4 pixels: of the bone that a lesion there lies in.
    """

    lesion: Tensor
    region: Tensor | None
    benign: Tensor | None = None
    level: Tensor | None = None
    lesion_region: Tensor | None = None
    lesion_level: Tensor | None = None


def answer_of(outputs: tuple[Tensor | None, ...]) -> Answer:
    """The `Answer` from a network's outputs: its fields in their order, of which the last ones may be left out."""
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


class Maps(NamedTuple):
    """What an answer says of each pixel, (N, 2, H, W): probabilities, and numbers of regions and levels as uint8."""

    lesion: Tensor
    region: Tensor
    benign: Tensor | None
    level: Tensor | None


def maps_of(answer: Answer) -> Maps:
    """The maps of an answer. Without regions, all regions are 0 and there is no level.

    Where lesion and benign uptake together are likelier than `HOT`, bone and level are those that a lesion there lies
    in, if the network tells them.
    """
    lesion = torch.sigmoid(answer.lesion.float())
    benign = None if answer.benign is None else torch.sigmoid(answer.benign.float())
    if answer.region is None:
        return Maps(lesion, torch.zeros_like(lesion, dtype=torch.uint8), benign, None)
    region = likeliest(answer.region.float())
    hot = (lesion if benign is None else lesion + benign) > HOT
    if answer.lesion_region is not None:
        region = torch.where(hot, enlarged(answer.lesion_region.argmax(dim=2), 4), region)
    level = None if answer.level is None else levels_within(answer.level, region)
    if level is not None and answer.lesion_level is not None:
        level = torch.where(hot, levels_within(answer.lesion_level, region, 4), level)
    return Maps(lesion, region, benign, level)


def levels_within(logits: Tensor, regions: Tensor, pixels: int = 2) -> Tensor:
    """The likeliest level among those of each pixel's region: (N, 2, L, h, w) and (N, 2, H, W) -> (N, 2, H, W).

    0 where the region is neither spine nor ribs: there the level head has learned nothing. All `pixels` x `pixels` that
    a logit is of have its level: a level is many pixels high, and the means of neighbours, which regions have, would be
    slow and change little.
    """
    numbers = torch.zeros_like(regions)
    for region, (first, last) in LEVELS_OF_REGION.items():
        within = enlarged(logits[:, :, first : last + 1].argmax(dim=2) + first, pixels)
        numbers = torch.where(regions == REGIONS.index(region), within, numbers)
    return numbers


def enlarged(numbers: Tensor, pixels: int) -> Tensor:
    """Each number, as uint8, to `pixels` x `pixels` of them: (N, 2, h, w) -> (N, 2, H, W)."""
    return numbers.to(torch.uint8).repeat_interleave(pixels, dim=2).repeat_interleave(pixels, dim=3)


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
