"""Every experiment, as data: what is asked, of which arms, and which differences answer it.

What the paper says is of Lin et al. 2022 (doi 10.3389/fmolb.2022.956720).
"""

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
    """Which data set folder an arm learns from; every arm is tested on the exact truth.

    protocol: how patients come to training and test (`datasets.Protocol`). Divided by patient, only original pairs are
    tested on; where it is leaky, the test pairs include geometric copies.
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


PAPER = "paper's model, 37 %"
UNET = "U-Net, 70 %"
ALL_LABELS: dict[str, Any] = {"label_share": 0.7, "labelled_pairs": 2, "unlabelled_pairs": 0}
"""Every training patient is labelled, and the whole batch is: as many images a step as all others have."""

_SUPERVISED_UNET: dict[str, Any] = {"method": "supervised", "network": "plain-unet", "images": ALL_LABELS}
_PAPER = Arm(PAPER)
_UNET = Arm(UNET, _SUPERVISED_UNET)
_NO_UNSUPERVISED = Arm("37 %, without the unsupervised term", {"chan_vese": {"unsupervised": False}})
_NO_LABELS = Arm("paper's model, 0 %", {"images": {"label_share": 0.0}})
_CLASSICAL = (
    Arm("two-means", kind="classical", method="two-means"),
    Arm("morphological Chan-Vese", kind="classical", method="morphological-chan-vese"),
    Arm("41 % of the maximum", kind="classical", method="region-growing-41"),
)
_RECURRENCE = tuple(
    Arm(f"t = {steps}", {} if steps == 3 else {"network_config": {"recurrence": steps}}, place=steps)
    for steps in range(5)
)
_T3_IS_BEST = tuple(
    Claim(f"t = 3 is better than t = {steps}", "t = 3", f"t = {steps}") for steps in range(5) if steps != 3
)


def _structure(label: str, *, dilated: bool, inception: bool) -> Arm:
    """One of Table 5's networks; the paper's own is stated as all others state it, so that its runs are shared."""
    switched_off = {name: False for name, on in (("dilated", dilated), ("inception", inception)) if not on}
    return Arm(label, {"network_config": switched_off} if switched_off else {})


EXPERIMENTS: dict[str, Experiment] = {
    "first-look": Experiment(
        question="Does the paper's model with 37 % of the labels come near a U-Net with 70 %, and what does its "
        "unsupervised term bring?",
        paper='U-Net and nnU-Net with 70 % of the labels are "slightly better" than the model with 37 %; '
        "without labels Recall is highest.",
        arms=(_PAPER, _NO_LABELS, _NO_UNSUPERVISED, _UNET),
        claims=(
            Claim("a U-Net with 70 % of the labels is better than the model with 37 %", UNET, PAPER),
            Claim("the unsupervised term helps", PAPER, _NO_UNSUPERVISED.label),
            Claim("without labels Recall is higher", _NO_LABELS.label, PAPER, "recall"),
            Claim("labels raise precision", PAPER, _NO_LABELS.label, "cpa"),
        ),
    ),
    "table3": Experiment(
        question="What are geometric augmentation and GAN samples worth?",
        paper="D2 (geometric) is best; D3 (GAN samples) gains less; D1 is the original images.",
        arms=(
            Arm("D1: originals", {"images": {"set": "D1"}}),
            Arm("D2: geometric"),
            Arm("D3: GAN samples", {"images": {"set": "D3"}}, SetOptions(gan=True)),
            Arm("D4: both", {"images": {"set": "D4"}}, SetOptions(gan=True)),
        ),
        claims=(
            Claim("geometric augmentation beats none", "D2: geometric", "D1: originals"),
            Claim("geometric augmentation beats GAN samples", "D2: geometric", "D3: GAN samples"),
            Claim("GAN samples beat no augmentation", "D3: GAN samples", "D1: originals"),
        ),
    ),
    "figure7": Experiment(
        question="How do the scores grow with the number of labels?",
        paper="DSC and CPA grow with the labels and flatten; without labels Recall is highest.",
        arms=tuple(
            Arm(f"{share:.0%}", {} if share == 0.37 else {"images": {"label_share": share}}, place=100 * share)
            for share in (0.0, 0.05, 0.1, 0.2, 0.37, 0.5, 0.7)
        ),
        claims=(
            Claim("37 % of the labels beat none", "37%", "0%"),
            Claim("70 % of the labels beat 37 %", "70%", "37%"),
            Claim("without labels Recall is higher than with 37 %", "0%", "37%", "recall"),
        ),
        show="curve",
        axis="labelled share of the patients, %",
    ),
    "figure8": Experiment(
        question="How often should the feature network be unrolled?",
        paper="t = 3 is best.",
        arms=_RECURRENCE,
        claims=_T3_IS_BEST,
        show="curve",
        axis="recurrence t",
    ),
    "table4": Experiment(
        question="What do more unrollings cost, in parameters, multiply-adds and test time?",
        paper="Parameters and test time grow with t, to at most 4.21 s; t = 3 is best.",
        arms=(
            *_RECURRENCE,
            Arm("t = 3, weights not shared", {"network_config": {"weights": "unshared"}}, place=3),
        ),
        claims=(*_T3_IS_BEST, Claim("weights of their own for each step help", "t = 3, weights not shared", "t = 3")),
    ),
    "table5": Experiment(
        question="What are the residual dilated blocks and the inception block worth?",
        paper="Stacked dilated residual convolutions are worth 0.051 of DSC; both together are best.",
        arms=(
            _structure("plain convolutions", dilated=False, inception=False),
            _structure("+ inception", dilated=False, inception=True),
            _structure("+ dilated residual", dilated=True, inception=False),
            _structure("+ both", dilated=True, inception=True),
        ),
        claims=(
            Claim("dilated residual blocks help", "+ dilated residual", "plain convolutions"),
            Claim("inception helps", "+ inception", "plain convolutions"),
            Claim("both are better than dilated residual blocks alone", "+ both", "+ dilated residual"),
            Claim("both are better than inception alone", "+ both", "+ inception"),
        ),
    ),
    "figure9": Experiment(
        question="Does aggregating the views help, as images or as features?",
        paper="With aggregation DSC is a little higher (0.692 against 0.683, on its own patients).",
        arms=(
            Arm("none"),
            Arm("image", {"network_config": {"aggregation": "image"}}),
            Arm("feature", {"network_config": {"aggregation": "feature"}}),
        ),
        claims=(
            Claim("aggregating images helps", "image", "none"),
            Claim("aggregating features helps", "feature", "none"),
            Claim("features are better aggregated than images", "feature", "image"),
        ),
        show="bars",
        target="union",
    ),
    "table6": Experiment(
        question="How does the paper's model compare with U-Net, nnU-Net and methods that learn nothing?",
        paper='U-Net and nnU-Net with 70 % of the labels are "slightly better" than the model with 37 %.',
        arms=(
            _PAPER,
            _UNET,
            Arm("nnU-Net, 70 %", {"images": ALL_LABELS}, kind="external", method="nnunet"),
            *_CLASSICAL,
        ),
        claims=(
            Claim("a U-Net with 70 % of the labels is better", UNET, PAPER),
            Claim("nnU-Net with 70 % of the labels is better", "nnU-Net, 70 %", PAPER),
            *(Claim(f"the model is better than {arm.label}", PAPER, arm.label) for arm in _CLASSICAL),
        ),
    ),
    "figure10": Experiment(
        question="What do results look like, for a patient with one lesion and one with many?",
        paper="Single lesions are found well; of many lesions some are missed or run together.",
        arms=(_PAPER, _NO_LABELS, _UNET, *_CLASSICAL),
        show="pictures",
        seeds=1,
    ),
    "unsupervised": Experiment(
        question="What is the unsupervised term worth, and do three classes improve it?",
        paper="Not asked; two phases are what it uses.",
        arms=(
            _PAPER,
            _NO_UNSUPERVISED,
            Arm(
                "37 %, supervised, whole batch labelled",
                {
                    "chan_vese": {"unsupervised": False},
                    "images": {"labelled_pairs": 2, "unlabelled_pairs": 0},
                },
            ),
            Arm("37 %, three classes", {"chan_vese": {"variant": "three-class"}}),
            Arm("37 %, fuzzy", {"chan_vese": {"variant": "fuzzy"}}),
            _NO_LABELS,
            Arm("0 %, three classes", {"chan_vese": {"variant": "three-class"}, "images": {"label_share": 0.0}}),
            Arm("0 %, fuzzy", {"chan_vese": {"variant": "fuzzy"}, "images": {"label_share": 0.0}}),
        ),
        claims=(
            Claim("the unsupervised term helps", PAPER, _NO_UNSUPERVISED.label),
            Claim(
                "the unsupervised term helps against labels in the whole batch",
                PAPER,
                "37 %, supervised, whole batch labelled",
            ),
            Claim("three classes beat two phases", "37 %, three classes", PAPER),
            Claim("fuzzy classes beat two phases", "37 %, fuzzy", PAPER),
            Claim("without labels, three classes beat two phases", "0 %, three classes", _NO_LABELS.label),
            Claim("without labels, fuzzy classes beat two phases", "0 %, fuzzy", _NO_LABELS.label),
        ),
    ),
    "alpha": Experiment(
        question="How much should labels weigh against the unsupervised term?",
        paper="alpha = 0.4, without saying how it was chosen.",
        arms=tuple(
            Arm(f"alpha = {alpha:g}", {} if alpha == 0.4 else {"chan_vese": {"alpha": alpha}}, place=alpha)
            for alpha in (0.1, 0.2, 0.4, 1.0, 4.0)
        ),
        claims=tuple(
            Claim(f"alpha = 0.4 is better than {other}", "alpha = 0.4", f"alpha = {other}")
            for other in ("0.1", "1", "4")
        ),
        show="curve",
        axis="alpha",
    ),
    "lesion_weight": Experiment(
        question="How much should a labelled lesion pixel weigh in Eq. 8, against one of background?",
        paper="As much as any other: Eq. 8 has no weights.",
        arms=tuple(
            Arm(
                f"weight {weight:g}",
                {} if weight == 5 else {"chan_vese": {"lesion_weight": float(weight)}},
                place=weight,
            )
            for weight in (1, 2, 5, 20)
        ),
        claims=tuple(Claim(f"5 is better than {other}", "weight 5", f"weight {other}") for other in (1, 2, 20)),
        show="curve",
        axis="weight of a lesion pixel in the supervised term",
    ),
    "leakage": Experiment(
        question="What is it worth to have copies of the test patients in training?",
        paper="Its text may not rule it out; it does not ask.",
        arms=(
            Arm("divided by patient"),
            Arm("leaky", images=SetOptions(protocol="leaky")),
            _UNET,
            Arm("U-Net, leaky, 70 %", _SUPERVISED_UNET, SetOptions(protocol="leaky")),
        ),
        claims=(
            Claim("leakage raises the score of the paper's model", "leaky", "divided by patient"),
            Claim("leakage raises the score of the U-Net", "U-Net, leaky, 70 %", UNET),
        ),
    ),
    "tolerance": Experiment(
        question="Which tolerance between readers gives the best labels to learn from?",
        paper="5 % of area difference; what is beyond goes back to the readers.",
        arms=(
            Arm("exact truth"),
            *(
                Arm(f"readers, {tolerance:.0%}", images=SetOptions(tolerance=tolerance))
                for tolerance in (0.05, 0.2, 0.5, 1.0)
            ),
        ),
        claims=(
            Claim("20 % is better than the paper's 5 %", "readers, 20%", "readers, 5%"),
            Claim("50 % is better than the paper's 5 %", "readers, 50%", "readers, 5%"),
            Claim("accepting every lesion that all mark is better than 5 %", "readers, 100%", "readers, 5%"),
            Claim("exact truth is better than readers at 50 %", "exact truth", "readers, 50%"),
        ),
    ),
    "label_unit": Experiment(
        question="Are 37 % of the images better labels than all images of 37 % of the patients?",
        paper="It counts images (840 of 2,280), and does not say of how many patients.",
        arms=(Arm("by patient"), Arm("by image", {"images": {"label_unit": "image"}})),
        claims=(Claim("labels drawn by image are better", "by image", "by patient"),),
    ),
}
"""Name -> experiment."""
