"""The card of a trained model: what its users should know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bonescan.bundle import figures_warnings
from bonescan.train.config import TrainConfig

_WHOLE_BODY = """\
Finds lesions of skeletal metastasis in planar whole-body bone scans (99mTc-MDP, anterior and posterior view),
and says which bone or organ each pixel mainly shows."""

_NO_REGIONS = """\
Finds lesions of skeletal metastasis in planar whole-body bone scans (99mTc-MDP, anterior and posterior view); it does
not say which bone it sees: no patient it learned from had a map of the bones."""

_THORAX = """\
Finds lesions of skeletal metastasis in the thoracic window of planar whole-body bone scans (99mTc-MDP, anterior
and posterior view), and nowhere else; it does not say which bone it sees."""

_METHODS = {
    "supervised": "Dice and cross-entropy",
    "chan-vese": "the semi-supervised loss of Lin et al. 2022 (doi 10.3389/fmolb.2022.956720)",
}


def make_card(
    config: TrainConfig, steps: int, parameters: int, figures: Mapping[str, Any], *, regions: bool = True
) -> str:
    """The card as Markdown. figures: what was measured on validation patients. regions: whether bones were taught."""
    names = {"curve": "sensitivity at false positives per scan"}
    measured = "\n".join(
        f"- {names.get(name, name).replace('_', ' ')}: {_shown(value)}"
        for name, value in figures.items()
        if name != "beginning"
    )
    if "beginning" in figures:
        measured += (
            "\n- dice at a probability of 0.5: {dice_before:.3g} before the training, as {model}, and {dice_after:.3g} "
            "after it"
        ).format_map(figures["beginning"])
    warned = "".join(f"\n**Warning: {warning}.**\n" for warning in figures_warnings(figures))
    purpose = _THORAX if config.images.folder else _WHOLE_BODY if regions else _NO_REGIONS
    return f"""# {config.name}

**Research use only. Not a medical device; not for diagnosis.**

{purpose}

- Network: {config.network}, {parameters / 1e6:.2f} million parameters, {_views(config)}.
- Loss: {_METHODS[config.method]}.
- Learned from {_teachers(config)}; {steps} steps.
- It expects pixels of 2.2-2.4 mm; finer frames are binned first.

## Measured on validation patients, whose anatomies it had not seen

{measured or "Nothing was measured."}
{warned}
## What it is not

Simulated patients show only what the simulation contains: a model that learned from them alone has seen no scan of a
person. It is not made for tracers other than diphosphonates, for children, or for findings that the simulation does not
contain (infection, bone tumours, operations beyond hip and knee). It marks uptake that looks like metastasis; it cannot
tell what caused it.
"""


def _views(config: TrainConfig) -> str:
    if config.aggregated:
        return "both views added to one answer"
    return "both views at once" if config.network == "unet" else "each view by itself"


def _teachers(config: TrainConfig) -> str:
    if config.images.folder:
        share = f"{config.images.label_share:.0%} of the {config.images.label_unit}s labelled"
        return f"the training images of the data set {config.images.set}, {share}"
    phantoms = config.phantoms
    if not phantoms.anatomies:
        return "labelled patients of a cohort"
    patients = phantoms.anatomies * phantoms.patients_per_anatomy
    cohort = " and labelled patients of a cohort" if config.cohort.folder else ""
    return f"{patients} simulated patients of {phantoms.anatomies} anatomies{cohort}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_shown(each)} at {name}" for name, each in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
