"""The registry of methods: name -> function that computes the loss of a batch; the loss of supervised training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from bonescan.models.views import answer_of
from bonescan.system.plugins import Registry
from bonescan.train.config import LossConfig, TrainConfig
from bonescan.train.stream import Batch

_SMOOTH = 1.0

Parts = Mapping[str, Tensor]
"""The parts of a loss by name; "total" is what is minimised."""

Outputs = tuple[Tensor | None, ...]
"""What a network returns: see `answer_of`."""


def supervised_loss(
    lesion_logits: Tensor,
    region_logits: Tensor | None,
    batch: Batch,
    config: LossConfig,
    benign_logits: Tensor | None = None,
    level_logits: Tensor | None = None,
) -> dict[str, Tensor]:
    """Weigh the parts together; "total" is what is minimised.

    lesion_logits, benign_logits: (N, 2, h, w), each class against the rest. If the network lets both compete in one
    softmax, raising one class's probability lowers the other's. region_logits: (N, 2, R, h/2, w/2), level_logits:
    (N, 2, L, h/2, w/2), or both at the batch's phase only, (h/4, w/4). None from a network without them.
    """
    logits = lesion_logits.float()
    dice = dice_loss(torch.sigmoid(logits), batch.lesion, batch.weight)
    pixel = pixel_loss(logits, batch.lesion, batch.weight, config.pixel_scale)
    total = config.dice * dice + config.pixel * pixel
    parts = {"dice": dice, "pixel": pixel}
    if benign_logits is not None and batch.benign is not None and batch.benign_weight is not None:
        logits = benign_logits.float()
        benign = config.dice * dice_loss(torch.sigmoid(logits), batch.benign, batch.benign_weight)
        benign = benign + config.pixel * pixel_loss(logits, batch.benign, batch.benign_weight, config.pixel_scale)
        parts["benign"] = benign
        total = total + config.benign * benign
    weight = _where_hot(batch, config.region_at_lesions)
    if region_logits is not None:
        parts["region"] = region_loss(_at_phase(region_logits, batch), batch.region, weight)
        total = total + config.region * parts["region"]
    if level_logits is not None and batch.level is not None:
        parts["level"] = region_loss(_at_phase(level_logits, batch), batch.level, weight)
        total = total + config.level * parts["level"]
    return {"total": total, **parts}


def _at_phase(logits: Tensor, batch: Batch) -> Tensor:
    """The logits where the batch has regions and levels."""
    row, col = batch.phase
    return logits if logits.shape[-2:] == batch.region.shape[-2:] else logits[..., row::2, col::2]


def _where_hot(batch: Batch, weight: float) -> Tensor | None:
    """Weights of the pixels at which the batch has regions: `weight` on lesions and benign uptake, 1 elsewhere."""
    if weight == 1.0:
        return None
    hot = batch.lesion if batch.benign is None else torch.maximum(batch.lesion, batch.benign)
    row, col = batch.phase
    return 1.0 + (weight - 1.0) * hot[..., 2 * row :: 4, 2 * col :: 4]


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


def supervised(outputs: Outputs, batch: Batch, config: TrainConfig) -> Parts:
    """Dice, cross-entropy and, where the network knows them, benign uptake, regions and levels."""
    answer = answer_of(outputs)
    return supervised_loss(answer.lesion, answer.region, batch, config.loss, answer.benign, answer.level)


METHODS = Registry[Callable[[Outputs, Batch, TrainConfig], Parts]]("bonescan.methods", {"supervised": supervised})
