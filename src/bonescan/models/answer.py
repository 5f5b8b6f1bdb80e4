"""What a network says of a pair of views."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Answer(NamedTuple):
    """The outputs of one network; None for what it does not know.

    lesion, benign: logits (N, 2, H, W); their sigmoids are the probabilities of lesion and of benign uptake, and with
    that of neither they add up to 1. region: logits (N, 2, R, H/2, W/2) over the first R of `REGIONS`.
    level: logits (N, 2, len(LEVELS), H/2, W/2), trained on pixels of the spine and the ribs alone.
    """

    lesion: Tensor
    region: Tensor | None
    benign: Tensor | None = None
    level: Tensor | None = None


def answer_of(outputs: tuple[Tensor | None, ...]) -> Answer:
    """The answer in what a network returns: (lesion, region), or (lesion, region, benign, level)."""
    lesion, *others = outputs
    assert lesion is not None
    return Answer(lesion, *others)
