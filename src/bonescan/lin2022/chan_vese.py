"""The semi-supervised loss of Lin et al. 2022, section 2.4 (doi 10.3389/fmolb.2022.956720): l = l_U + alpha l_S, Eq. 6.

The unsupervised term is the energy of Chan and Vese (IEEE TIP 10:266, 2001) with a soft membership in the place of a
curve. With mu = 0 and nu = 0 its minimiser is two-means thresholding, which outlines the whole hot skeleton;
the variants of three classes give bone a class of its own. All terms are means over pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bonescan.lin2022.network import add_views
from bonescan.models.views import answer_of
from bonescan.train.config import ChanVeseConfig, TrainConfig
from bonescan.train.methods import Outputs, Parts
from bonescan.train.stream import Batch

_TINY = 1e-6
_ROUNDS = 12
"""Iterations for the two means outside, which are computed anew at every step; more are not needed."""


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """The inputs of the terms; all tensors are (M, H, W), one entry per image.

    membership: c in 0..1, how much a pixel is inside. intensity: g in 0..1. target: u, 0 or 1.
    weight: each pixel's weight in the supervised term, 0 where there is no label.
    """

    membership: Tensor
    intensity: Tensor
    target: Tensor
    weight: Tensor


def intensity_of(counts: Tensor, power: float) -> Tensor:
    """Normalised counts (M, H, W) to the image g, scaled to 0..1 image by image; an empty image stays 0.

    power: 2 undoes the square root of the normalisation, so that g is proportional to counts (up to the knee).
    """
    raised = counts.clamp(min=0).pow(power)
    scaled: Tensor = raised / raised.amax(dim=(1, 2), keepdim=True).clamp(min=_TINY)
    return scaled


def unsupervised_loss(membership: Tensor, intensity: Tensor, config: ChanVeseConfig) -> Tensor:
    """Eq. 7, mean over images: region terms + mu length + nu area. Both tensors are (M, H, W); 0 for no image."""
    if not len(membership):  # the mean of nothing is NaN, and would make every weight NaN
        return membership.sum()
    if config.variant == "two-phase":
        region = _two_phase(membership, intensity, ancestor=config.ancestor)
    else:
        region = _three_class(membership, intensity, fuzzy=config.variant == "fuzzy")
    total: Tensor = region + config.nu * membership.mean()
    if config.mu:
        total = total + config.mu * length_of(membership)
    return total


def label_loss(images: Images, config: ChanVeseConfig) -> Tensor:
    """Eq. 8, mean over the pixels that have a label; 0 where none has one.

    l_S = |sum c (u - 1)^2| + |sum (1 - c) u^2|; for a binary u it is the L1 distance of c and u.
    """
    inside = images.membership * (images.target - 1).square()
    outside = config.lesion_weight * (1 - images.membership) * images.target.square()
    total = (images.weight * (inside + outside)).sum() / images.weight.sum().clamp(min=1)
    labelled = images.weight.amax(dim=(1, 2)) > 0
    if config.length and labelled.any():
        total = total + config.length * length_of(images.membership[labelled])
    return total


def length_of(membership: Tensor) -> Tensor:
    """Length of the soft contour: total variation per pixel, mean over (M, H, W). Isotropic, forward differences."""
    down = torch.diff(membership, dim=1, append=membership[:, -1:])
    right = torch.diff(membership, dim=2, append=membership[:, :, -1:])
    # The root's slope at 0 is infinite: a small offset avoids it, and is subtracted again for a flat image.
    total: Tensor = ((down.square() + right.square() + _TINY).sqrt() - _TINY**0.5).mean()
    return total


def _two_phase(membership: Tensor, intensity: Tensor, *, ancestor: bool) -> Tensor:
    """Mean of c |g - c1|^2 + (1 - c) |g - c2|^2, with the means of each image."""
    outside = 1 - membership
    if ancestor:
        inner = (membership * intensity).sum() / torch.count_nonzero(membership).clamp(min=1)
        outer = (outside * intensity).sum() / torch.count_nonzero(outside).clamp(min=1)
    else:
        inner, outer = _mean(membership, intensity), _mean(outside, intensity)
    total: Tensor = (membership * (intensity - inner).square() + outside * (intensity - outer).square()).mean()
    return total


def _three_class(membership: Tensor, intensity: Tensor, *, fuzzy: bool) -> Tensor:
    """Inside against two classes outside, whose means follow from g and 1 - c.

    Hard: mean of c d1 + (1 - c) min(d2, d3), where d are the squared distances to the means; minimal over c at
    three-means thresholding. Fuzzy c-means with exponent 2: mean of c^2 d1 + (1 - c)^2 d2 d3 / (d2 + d3); the last
    factor is what the best split of 1 - c between two classes costs (Bezdek 1981).
    """
    outside = 1 - membership
    background, bone = _two_means(intensity, outside.detach())
    if not fuzzy:
        inner = _mean(membership, intensity)
        nearest = torch.minimum((intensity - background).square(), (intensity - bone).square())
        hard: Tensor = (membership * (intensity - inner).square() + outside * nearest).mean()
        return hard
    inner = _mean(membership.square(), intensity)
    first, second = (intensity - background).square(), (intensity - bone).square()
    either = first * second / (first + second).clamp(min=_TINY)
    soft: Tensor = (membership.square() * (intensity - inner).square() + outside.square() * either).mean()
    return soft


@torch.no_grad()
def _two_means(intensity: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The lower and the upper mean, (M, 1, 1) each, of a weighted two-means clustering; Lloyd's rounds."""
    # Start at the mean: bone lies above it.
    middle = _mean(weight, intensity)
    for _ in range(_ROUNDS):
        above = (intensity > middle).to(intensity.dtype)
        lower, upper = _mean(weight * (1 - above), intensity), _mean(weight * above, intensity)
        middle = (lower + upper) / 2
    return lower, upper


def _mean(weight: Tensor, values: Tensor) -> Tensor:
    """Weighted mean over each image, (M, 1, 1); 0 where all weights are 0."""
    total: Tensor = (weight * values).sum(dim=(1, 2), keepdim=True)
    return total / weight.sum(dim=(1, 2), keepdim=True).clamp(min=_TINY)


def chan_vese(outputs: Outputs, batch: Batch, config: TrainConfig) -> Parts:
    """Eq. 6 of Lin et al. 2022: the unsupervised term over all images, the supervised one where there are labels."""
    membership = torch.sigmoid(answer_of(outputs).lesion.float())
    # Eq. 8 weighs all labelled pixels alike.
    image, present, target, weight = batch.image, batch.present, batch.lesion, (batch.weight > 0).float()
    if config.aggregated:  # one image, one answer, one label for both views
        image, membership, target, weight = add_views(image), membership[:, :1], target[:, :1], weight[:, :1]
        present = present.any(dim=1, keepdim=True)
    intensity = intensity_of(image[present], config.chan_vese.power)
    images = Images(membership[present], intensity, target[present], weight[present])
    labelled = label_loss(images, config.chan_vese)
    parts = {"supervised": labelled}
    total = config.chan_vese.alpha * labelled
    if config.chan_vese.unsupervised:
        parts["unsupervised"] = unsupervised_loss(images.membership, images.intensity, config.chan_vese)
        total = total + parts["unsupervised"]
    return {"total": total, **parts}
