"""The nouns of an experiment: what is asked, of which arms, and which differences answer it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["train", "classical", "external"]
Measure = Literal["dsc", "cpa", "recall", "dsc_pooled", "sensitivity", "precision"]
Target = Literal["views", "union"]
"""What is scored: each view against its own truth, or the union of both views' lesions, as aggregation knows them."""


@dataclass(frozen=True, slots=True)
class SetOptions:
    """Which data set folder an arm learns from; every arm is tested on original pairs and on their exact truth.

    protocol: how patients come to training and test (`datasets.Protocol`).
    tolerance: None: labels are the exact truth; else three simulated readers draw them, and a lesion is accepted where
    the readers' areas differ by at most this share (Eq. 2). gan: whether it holds GAN samples, as D3 and D4 need.
    """

    protocol: Literal["by-patient", "leaky"] = "by-patient"
    tolerance: float | None = None
    gan: bool = False


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the things that are compared.

    overrides: keys of `TrainConfig` (nested) that differ from what all arms share. kind: what makes the masks: a
    training, a classical method (`method` is its name in CLASSICAL), or a program of others (`method` is its name).
    place: where the arm stands on a curve's axis; None where there is none.
    """

    label: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    images: SetOptions = SetOptions()
    kind: Kind = "train"
    method: str = ""
    place: float | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """One difference that the question asks about: "`better` has the higher `measure` than `worse`"."""

    sentence: str
    better: str
    worse: str
    measure: Measure = "dsc"


@dataclass(frozen=True, slots=True)
class Experiment:
    """A question, what the paper says of it, and how it is answered.

    show: "table", or a figure: "curve" over the arms' places, "bars", or "pictures" of patients.
    axis: what a curve's places are. seeds: at most so many of the profile's. The paper's figures are of other patients,
    and are told in words, never put beside ours.
    """

    question: str
    paper: str
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...] = ()
    show: Literal["table", "curve", "bars", "pictures"] = "table"
    axis: str = ""
    target: Target = "views"
    seeds: int = 100

    def __post_init__(self) -> None:
        labels = [arm.label for arm in self.arms]
        if len(set(labels)) < len(labels):
            raise ValueError("two arms have one label")
        for claim in self.claims:
            if claim.better not in labels or claim.worse not in labels:
                raise ValueError(f"the claim {claim.sentence!r} names an arm that there is none of")
        if self.show == "curve" and any(arm.place is None for arm in self.arms):
            raise ValueError("every arm of a curve has a place on its axis")

    def arm(self, label: str) -> Arm:
        """The arm of that label."""
        return next(arm for arm in self.arms if arm.label == label)
