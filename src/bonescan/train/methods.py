"""The registry of methods: name -> function that computes the loss of a batch; the loss of supervised training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bonescan.models.views import answer_of
from bonescan.system.plugins import Registry
from bonescan.train.config import TrainConfig
from bonescan.train.stream import Batch

_SMOOTH = 1.0
ON_BENIGN, BESIDE_LESIONS = 0.3, 0.02
"""Weights of a pixel of benign uptake, and of neither, for the bones of lesions; one of a lesion weighs 0.6 to 4."""

Parts = Mapping[str, Tensor]
"""The parts of a loss by name; "total" is what is minimised."""

Outputs = tuple[Tensor | None, ...]
"""What a network returns: see `answer_of`."""


def supervised(outputs: Outputs, batch: Batch, config: TrainConfig) -> Parts:
    """Dice, cross-entropy and, where the network knows them, benign uptake, regions, levels and the bones of lesions.

    Lesion and benign uptake are each a class against the rest. If the network lets both compete in one softmax, raising
    one class's probability lowers the other's. Regions and levels may be answered at the batch's phase only,
    (h/4, w/4).
    """
    answer, weights = answer_of(outputs), config.loss
    logits = answer.lesion.float()
    dice = dice_loss(torch.sigmoid(logits), batch.lesion, batch.weight)
    pixel = pixel_loss(logits, batch.lesion, batch.weight, weights.pixel_scale)
    total = weights.dice * dice + weights.pixel * pixel
    parts = {"dice": dice, "pixel": pixel}
    if answer.benign is not None and batch.benign is not None and batch.benign_weight is not None:
        logits = answer.benign.float()
        benign = weights.dice * dice_loss(torch.sigmoid(logits), batch.benign, batch.benign_weight)
        benign = benign + weights.pixel * pixel_loss(logits, batch.benign, batch.benign_weight, weights.pixel_scale)
        parts["benign"] = benign
        total = total + weights.benign * benign
    hot = _where_hot(batch)
    for name, classes, target in (
        ("region", answer.region, batch.region),
        ("level", answer.level, batch.level),
        ("lesion_region", answer.lesion_region, batch.region),
        ("lesion_level", answer.lesion_level, batch.level),
    ):
        if classes is not None and target is not None:
            where = hot if name.startswith("lesion") else None
            parts[name] = region_loss(_at_phase(classes, batch), target, where)
            total = total + getattr(weights, name) * parts[name]
    return {"total": total, **parts}


def _at_phase(logits: Tensor, batch: Batch) -> Tensor:
    """The logits where the batch has regions and levels."""
    row, col = batch.phase
    return logits if logits.shape[-2:] == batch.region.shape[-2:] else logits[..., row::2, col::2]


def _where_hot(batch: Batch) -> Tensor:
    """Weights of the pixels at which the batch has regions, for the bones of lesions.

    A pixel of a lesion weighs as in the lesion loss, so that small lesions count, too; one elsewhere much less.
    """
    row, col = batch.phase
    at = np.s_[..., 2 * row :: 4, 2 * col :: 4]
    weight = BESIDE_LESIONS + batch.lesion[at] * batch.weight[at]
    return weight if batch.benign is None else weight + ON_BENIGN * batch.benign[at]


def dice_loss(probability: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """One minus the soft Dice of the whole batch, pixels weighted; 0..1.

    Over the batch, not per image: an image without lesions has no Dice. On a batch without any lesion this
    loss is nearly flat, so it is always combined with `pixel_loss`.
    """
    common = (weight * probability * target).sum()
    either = (weight * (probability + target)).sum()
    return 1.0 - (2.0 * common + _SMOOTH) / (either + _SMOOTH)


def pixel_loss(logits: Tensor, target: Tensor, weight: Tensor, scale: float) -> Tensor:
    """Weighted binary cross-entropy, mean over the pixels of positive weight, times `scale`; 0 where there is none."""
    entropy = functional.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum")
    return scale * entropy / (weight > 0).sum().clamp(min=1)


def region_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy over regions or levels (N, 2, R, h, w) against (N, 2, h, w); -1 = unknown; 0 if all are unknown.

    A class that the network has no logit for (a newer region, for a network of the first format) is unknown, too.
    weight: (N, 2, h, w), of each pixel; None = all alike.
    """
    target = torch.where(target < logits.shape[2], target, -1)
    weights = (target >= 0).float()
    if weight is not None:
        weights = weights * weight
    entropy = functional.cross_entropy(
        logits.flatten(0, 1).float(), target.flatten(0, 1), ignore_index=-1, reduction="none"
    )
    return (weights.flatten(0, 1) * entropy).sum() / weights.sum().clamp(min=1)


METHODS = Registry[Callable[[Outputs, Batch, TrainConfig], Parts]]("bonescan.methods", {"supervised": supervised})
