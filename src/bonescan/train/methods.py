"""The registry of methods: name -> function that computes the loss of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from bonescan.models.answer import answer_of
from bonescan.system.plugins import Registry
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


METHODS = Registry[Callable[[Outputs, Batch, TrainConfig], Parts]]("bonescan.methods", {"supervised": supervised})
