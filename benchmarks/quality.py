"""How good a model is on simulated patients that it has never seen.

    python benchmarks/quality.py --patients 200 --json results/quality.json
    python benchmarks/quality.py --family held-out --json results/quality-held-out.json
    python benchmarks/quality.py --model phantom-unet runs/older/bundle     several models, the same patients

Five patients of each of forty anatomies, whose seeds no training uses, go through the stages of
`bonescan.pipeline.segment` (whole body) as a user's scans do, and are compared with their truth, one to one. Intervals
are drawn over anatomies, as the patients of one resemble one another. The free-response curve goes far below the
shipped threshold. These are phantoms: how good a model is on people's scans, they cannot say.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.evaluate import ComparedImage, ImageName, ViewTruth, compare_image, froc, report_text, summarise
from bonescan.evaluate.matching import sensitivity_at
from bonescan.lesions.delineate import Thresholds, delineate
from bonescan.phantom import make_anatomy, make_patient
from bonescan.phantom.family import FAMILIES
from bonescan.phantom.patient import Phantom
from bonescan.phantom.truth import LesionRecord
from bonescan.pipeline import DEFAULT_MODEL, Model, Options, load_model
from bonescan.prediction import Prediction
from bonescan.prepare import prepare
from bonescan.study import Study, View
from bonescan.system.parallel import process_pool
from common import model_of, report_head, write_report

FIRST_ANATOMY = 900_000
PATIENTS_PER_ANATOMY = 5
AIMS = {"dsc_pooled": 0.75, "sensitivity_at_0.5": 0.80, "false_positives_per_scan": 0.5}
RATES = (0.1, 0.25, 0.5, 1.0, 2.0)
"""False positives per scan at which sensitivities are stated."""
LEAST_PEAK = 0.1
"""The free-response curve begins with candidates whose most probable pixel reaches this."""
CONTRASTS = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Lower edges of the classes of contrast: peak over what lies under it, less 1; the last is open."""


@dataclass(frozen=True, slots=True)
class Work:
    """One anatomy to segment: which, how many patients, of which family, and by which models."""

    anatomy_seed: int
    patients: int
    models: tuple[str, ...]
    family: str = "standard"


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One view by one model. image: at the shipped threshold. candidates: from a low one on, scores are peaks.

    contrast: of the true lesions, in the order of `image.match.true_ids`.
    """

    image: ComparedImage
    candidates: ComparedImage
    contrast: NDArray[np.float64]


def measure(work: Work) -> list[list[Compared]]:
    """Segment the patients of one anatomy and compare both views of each with the truth; one list a model."""
    anatomy = make_anatomy(work.anatomy_seed, FAMILIES[work.family])
    found: list[list[Compared]] = [[] for _ in work.models]
    for seed in range(work.patients):
        phantom = make_patient(anatomy, seed)
        for name, compared in zip(work.models, found, strict=True):
            names = (f"anatomy-{work.anatomy_seed}", phantom.key)
            compared += compare(phantom.study, Truth.of(phantom), model_of(name), names)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is known of a study. views: per view, as acquired. contrasts: by lesion number.

    A few lesions are colder than their bone: a contrast is how far either kind stands out from what lies under it.
    """

    views: Mapping[View, ViewTruth]
    contrasts: Mapping[int, float]

    @classmethod
    def of(cls, phantom: Phantom) -> Truth:
        """That of a phantom."""
        views = {
            view: ViewTruth(lesions, phantom.regions[view], phantom.faint[view])
            for view, lesions in phantom.lesions.items()
        }
        return cls(views, contrasts_of(phantom.table))


def contrasts_of(table: Sequence[LesionRecord]) -> dict[int, float]:
    """The contrast of each lesion of a table."""
    return {lesion.number: abs(lesion.contrast - 1) for lesion in table}


def predicted(study: Study, model: Model) -> tuple[Prediction, float]:
    """The prediction of a study, and how many of its pixels are one of the prediction's along each side."""
    options = Options()
    wanted = options.prepare_options(study, options.region_for(model.bundle))
    prepared = prepare(study, wanted, model.bundle.normalisation)
    return model.predictor.predict(prepared), prepared.binning


def compare(study: Study, truth: Truth, model: Model, names: tuple[str, str]) -> list[Compared]:
    """All views of one study: the stages of `segment`, with the candidates below the threshold, too.

    names: of the patient and of the study.
    """
    prediction, binning = predicted(study, model)
    thresholds = model.bundle.at(Options().operating_point).at_binning(binning)
    low = replace(thresholds, high=max(thresholds.low, LEAST_PEAK))
    found = [outlined(prediction, chosen) for chosen in (thresholds, low)]
    compared = []
    for view, known in truth.views.items():
        name = ImageName(*names, view)
        image, candidates = (compare_image(name, truth=known, **views[view]) for views in found)
        own = np.array([truth.contrasts[int(number)] for number in image.match.true_ids], dtype=np.float64)
        compared.append(Compared(image, candidates, own))
    return compared


def outlined(prediction: Prediction, thresholds: Thresholds) -> dict[View, dict[str, Any]]:
    """Each view's label picture and the peak of each lesion in it, by number."""
    pictures = {view: np.zeros(image.shape, dtype=np.int32) for view, image in prediction.lesion.items()}
    scores: dict[View, dict[int, float]] = {view: {} for view in pictures}
    for number, outline in enumerate(delineate(prediction, thresholds), start=1):
        pictures[outline.view][outline.window][outline.mask] = number
        peak = prediction.lesion[outline.view][outline.window][outline.mask].max()
        scores[outline.view][number] = float(peak)
    return {view: {"predicted": pictures[view], "scores": scores[view]} for view in pictures}


def plan(patients: int, models: Sequence[str], family: str = "standard", first: int = FIRST_ANATOMY) -> list[Work]:
    """Spread the patients over anatomies."""
    full, rest = divmod(patients, PATIENTS_PER_ANATOMY)
    numbers = [PATIENTS_PER_ANATOMY] * full + ([rest] if rest else [])
    return [Work(first + index, number, tuple(models), family) for index, number in enumerate(numbers)]


def summary(compared: Sequence[Compared]) -> dict[str, Any]:
    """The report of one model."""
    report = summarise([entry.image for entry in compared])
    del report["per_scan"]
    matches = [entry.candidates.match for entry in compared]
    scores = np.concatenate([np.zeros(0), *(match.scores for match in matches)])
    levels = np.unique(np.quantile(scores, np.linspace(0, 1, 200), method="lower")).tolist() if scores.size else []
    points = froc(matches, max(1, report["scans"]), levels)
    kept = points[:: max(1, len(points) // 40)]
    report["froc"] = {
        "points": [{name: value and round(value, 4) for name, value in asdict(point).items()} for point in kept],
        "sensitivity_at": {str(rate): sensitivity_at(points, rate) for rate in RATES},
    }
    report["by_contrast"] = by_contrast(compared)
    missed = np.concatenate([np.zeros(0), *(entry.contrast[~entry.image.match.found] for entry in compared)])
    report["missed_with_contrast_below_0.5"] = float((missed < 0.5).mean()) if missed.size else None
    report["conventions"]["interval"] = "95 % bootstrap over anatomies"
    return {**report, "aims": verdicts(report)}


def by_contrast(compared: Sequence[Compared]) -> dict[str, dict[str, Any]]:
    """Sensitivity at the shipped threshold by the lesion's contrast in its better view."""
    contrast = np.concatenate([np.zeros(0), *(entry.contrast for entry in compared)])
    found = np.concatenate([np.zeros(0, dtype=np.bool_), *(entry.image.match.found for entry in compared)])
    edges = (*CONTRASTS, np.inf)
    section = {}
    for low, high in itertools.pairwise(edges):
        chosen = (contrast >= low) & (contrast < high)
        name = f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} and more"
        section[name] = {
            "true": int(chosen.sum()),
            "sensitivity": float(found[chosen].mean()) if chosen.any() else None,
        }
    return section


def verdicts(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each aim, what was reached, and whether it suffices."""
    reached = {
        "dsc_pooled": report["pixel"]["dsc_pooled"]["value"],
        "sensitivity_at_0.5": report["froc"]["sensitivity_at"]["0.5"],
        "false_positives_per_scan": report["lesion"]["false_positives_per_scan"]["value"],
    }
    found = {}
    for name, aim in AIMS.items():
        value = reached[name]
        kept = value is not None and (value <= aim if name == "false_positives_per_scan" else value >= aim)
        found[name] = {"aim": aim, "reached": value, "kept": kept}
    return found


def main() -> int:
    """Run, print, write; 1 when the first model misses an aim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL], help="models that ship, or bundles' folders")
    parser.add_argument("--family", choices=list(FAMILIES), default="standard", help="of phantoms")
    parser.add_argument("--first-anatomy", type=int, default=FIRST_ANATOMY)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = [
        load_model(model).name for model in arguments.model
    ]  # a missing model is told before anything is simulated
    begin = time.perf_counter()
    work = plan(arguments.patients, arguments.model, arguments.family, arguments.first_anatomy)
    with process_pool(arguments.processes) as pool:
        found = list(pool.map(measure, work))
    reports = []
    for number, name in enumerate(names):
        report = summary([entry for anatomy in found for entry in anatomy[number]])
        # To `evaluate`, an anatomy is a patient.
        report["patients"] = arguments.patients
        reports.append({"model": asdict(name), **report})
        print(f"{name.name} ({name.sha256[:12]}), {arguments.family} phantoms, {len(work)} anatomies")
        numbers, *rest = report_text(report).splitlines()
        print(numbers, *(line.replace("patients", "anatomies") for line in rest), sep="\n")
        print_more(report)
    print(f"{time.perf_counter() - begin:.0f} s")
    whole = {
        **report_head(parser, arguments, names),
        "family": arguments.family,
        "anatomies": len(work),
        "anatomy_seeds": [work[0].anatomy_seed, work[-1].anatomy_seed],
        **reports[0],
    }
    if reports[1:]:
        whole["others"] = reports[1:]
    write_report(arguments.json, whole)
    return 0 if all(aim["kept"] for aim in reports[0]["aims"].values()) else 1


def print_more(report: dict[str, Any]) -> None:
    """The free-response curve, contrasts, and the aims."""
    for rate, value in report["froc"]["sensitivity_at"].items():
        print(f"sensitivity at {rate} false positives per scan: {value if value is None else round(value, 3)}")
    for name, row in report["by_contrast"].items():
        value = row["sensitivity"]
        print(f"contrast {name}: {row['true']} lesions, sensitivity {value if value is None else round(value, 3)}")
    print(f"share of the missed with a contrast below 0.5: {report['missed_with_contrast_below_0.5']}")
    for aim, found in report["aims"].items():
        print(f"{aim}: aim {found['aim']}, reached {found['reached']}: {'kept' if found['kept'] else 'missed'}")


if __name__ == "__main__":
    sys.exit(main())
