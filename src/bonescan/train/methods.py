"""How a batch's answer becomes a loss: the registry of methods, name -> function."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from bonescan.models.answer import answer_of
from bonescan.models.lin2022 import add_views
from bonescan.train.chan_vese import Images, intensity_of, label_loss, unsupervised_loss
from bonescan.train.config import TrainConfig
from bonescan.train.losses import supervised_loss
from bonescan.train.stream import Batch

Parts = Mapping[str, Tensor]
"""The parts of a loss by name; "total" is what is minimised."""

Outputs = tuple[Tensor | None, ...]
"""What a network returns: see `answer_of`."""


def supervised(outputs: Outputs, batch: Batch, config: TrainConfig) -> Parts:
    """Dice, cross-entropy and, where the network knows them, benign uptake, regions and levels."""
    answer = answer_of(outputs)
    return supervised_loss(answer.lesion, answer.region, batch, config.loss, answer.benign, answer.level)


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


METHODS: dict[str, Callable[[Outputs, Batch, TrainConfig], Parts]] = {
    "supervised": supervised,
    "chan-vese": chan_vese,
}
