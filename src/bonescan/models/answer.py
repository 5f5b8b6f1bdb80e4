"""The outputs of a network for a pair of views."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Answer(NamedTuple):
    """The outputs of one network; None for what it does not have.

    lesion, benign: logits (N, 2, H, W). Their sigmoids are the probabilities of lesion and of benign uptake; with the
    probability of neither they add up to 1. region: logits (N, 2, R, H/2, W/2) over the first R of `REGIONS`.
    level: logits (N, 2, len(LEVELS), H/2, W/2), trained on pixels of the spine and the ribs only.
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
