"""The bundle of an adapted model, and its card. They hold numbers, and nothing about the patients."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

import bonescan
from bonescan.adapt.judgement import Verdict, shared_rates
from bonescan.adapt.settings import AdaptConfig
from bonescan.bundle import BEGAN_WITH, CARD, GRAPH, WEIGHTS, Bundle, record_of, write_bundle
from bonescan.train.config import TrainConfig
from bonescan.train.export import network_values, to_onnx

_SECTION = "## Taught on a department's own scans"
_MEASURED = re.compile(r"^## Measured on validation patients.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a model was adapted with: numbers of scans and patients, and steps.

    suspects, suspects_aside: foci that may be lesions on the scans learned from, and on those held out.
    """

    scans: int
    patients: int
    unlabelled: int
    aside: int
    suspects: int
    suspects_aside: int
    steps: int


def write_taught(
    network: nn.Module,
    out: Path,
    base: Bundle,
    lesson: Lesson,
    verdicts: tuple[Verdict, Verdict],
    configs: tuple[AdaptConfig, TrainConfig],
) -> Bundle:
    """Write the bundle to `out`. verdicts: of the base and of the adapted model."""
    before, after = verdicts
    config, train_config = configs
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    description: dict[str, Any] = {
        "name": train_config.name,
        "network": {"name": train_config.network, "config": network_values(network)},
        "normalisation": base.normalisation.to_dict(),
        "thresholds": after.thresholds.to_dict(),
        "operating_points": {point: values.to_dict() for point, values in after.operating_points.items()},
        "region": base.region,
        "training": {
            "bonescan": bonescan.__version__,
            "lesson": asdict(lesson),
            BEGAN_WITH: record_of(base),
            "adapt": asdict(config),
        },
        "figures": {"before": before.figures(), "after": after.figures()},
    }
    card = make_card(base, train_config.name, lesson, before, after)
    return write_bundle(out, description, {GRAPH: to_onnx(network), WEIGHTS: save(weights), CARD: card.encode("utf-8")})


def make_card(base: Bundle, name: str, lesson: Lesson, before: Verdict, after: Verdict) -> str:
    """The base's card, with a section about the adaptation."""
    own = base.card.partition(_SECTION)[0].rstrip()
    _, _, body = own.partition("\n")
    # A base that was itself adapted names the model that was measured.
    body = _MEASURED.sub(f"## Measured before it was taught ({base.name})", body)
    rows = "\n".join(
        f"| sensitivity for {lesions} at {rate:.2g} false positives per scan | {first.at(rate):.2f} | "
        f"{second.at(rate):.2f} |"
        for lesions, first, second in (
            ("inserted lesions", before.found, after.found),
            ("simulated patients' lesions", before.phantoms, after.phantoms),
        )
        for rate in shared_rates(first, second)
    )
    unlabelled = f" and {lesson.unlabelled} scans of unknown status" if lesson.unlabelled else ""
    return f"""# {name}
{body}

{_SECTION}

Adapted from the model {base.name} (sha256 {base.sha256[:12]}) in {lesson.steps} steps with {lesson.scans} scans of
{lesson.patients} patients whose reports name no lesion{unlabelled}, without labels, mixed with simulated patients.
Lesions were inserted into the scans. Foci that may be lesions: {lesson.suspects} on these scans, where such foci were
ignored, and {lesson.suspects_aside} on the held-out ones.
Measured on {lesson.aside} held-out scans of other patients. Thresholds were fitted on these and on simulated patients:

| | before | after |
|---|---|---|
| marks per scan without lesions | {before.marks_per_scan:.2f} | {after.marks_per_scan:.2f} |
{rows}

Inserted lesions are simulated: these figures do not say how many true lesions the model finds. The bundle holds
weights and numbers, but no scan, name or date. Someone who has the bundle and a scan may guess a little better than
chance whether the model learned from that scan. Protect the bundle like the department's other results.
"""


def safe_name(out: Path) -> str:
    """A bundle's name from its folder's: letters, digits, - and _."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in out.resolve().name)
    return kept.strip("-_")[:64] or "adapted"
