"""How good a model is on simulated patients that it has never seen.

    python benchmarks/quality.py --patients 200 --json results/quality.json
    python benchmarks/quality.py --family held-out --json results/quality-held-out.json
    python benchmarks/quality.py --training-anatomies --json results/quality-seen.json
    python benchmarks/quality.py --model phantom-unet runs/older/bundle     several models, the same patients

Five patients of each of forty anatomies, whose seeds no training uses, go through the stages of
`bonescan.pipeline.segment` (whole body) as a user's scans do, and are compared with their truth, one to one. With
`--training-anatomies`, the anatomies are some that the first model learned from, and their patients are new: the
difference shows what more anatomies could give. Intervals are drawn over anatomies, as the patients of one resemble one
another. The free-response curve begins with the candidates whose peak reaches the lower threshold of the balanced
operating point. These are phantoms: how good a model is on people's scans, they cannot say.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.evaluate import ComparedImage, ImageName, ViewTruth, compare_image, froc, report_text, summarise
from bonescan.evaluate.matching import sensitivity_at, thinned
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
from bonescan.train.phantoms import patient_seed, simulation_digest
from common import model_of, print_verdicts, report_head, verdicts, write_report

FIRST_ANATOMY = 900_000
PATIENTS_PER_ANATOMY = 5
AIMS = {"dsc_pooled": 0.75, "sensitivity_at_0.5": 0.80, "false_positives_per_scan": 0.5}
RATES = (0.1, 0.25, 0.5, 1.0, 2.0)
"""False positives per scan at which sensitivities are stated."""
CONTRASTS = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Lower edges of the classes of contrast: peak over what lies under it, less 1; the last is open."""
CLASSES = (*(f"{low:g} to {high:g}" for low, high in itertools.pairwise(CONTRASTS)), f"{CONTRASTS[-1]:g} and more")


@dataclass(frozen=True, slots=True)
class Work:
    """One anatomy to segment: which, how many patients, of which family, and by which models.

    learned: how many patients of this anatomy a training has used; these are left out.
    """

    anatomy_seed: int
    patients: int
    models: tuple[str, ...]
    family: str = "standard"
    learned: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One view by one model. points: at each operating point. candidates: from a low threshold on, scores are peaks.

    contrast: of the true lesions, in the order of `image.match.true_ids`.
    """

    points: Mapping[str, ComparedImage]
    candidates: ComparedImage
    contrast: NDArray[np.float64]

    @property
    def image(self) -> ComparedImage:
        """At the shipped threshold."""
        return self.points[Options().operating_point]


def measure(work: Work) -> list[list[Compared]]:
    """Segment the patients of one anatomy and compare both views of each with the truth; one list a model."""
    anatomy = make_anatomy(work.anatomy_seed, FAMILIES[work.family])
    found: list[list[Compared]] = [[] for _ in work.models]
    for seed in itertools.islice(new_seeds(work), work.patients):
        phantom = make_patient(anatomy, seed)
        for name, compared in zip(work.models, found, strict=True):
            names = (f"anatomy-{work.anatomy_seed}", phantom.key)
            compared += compare(phantom.study, Truth.of(phantom), model_of(name), names)
    return found


def new_seeds(work: Work) -> Iterator[int]:
    """Seeds of patients of the anatomy that no training has used."""
    used = {patient_seed(work.anatomy_seed, number) for number in range(work.learned)}
    return (seed for seed in itertools.count() if seed not in used)


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
    chosen = {point: model.bundle.at(point).at_binning(binning) for point in model.bundle.operating_points}
    balanced = chosen[Options().operating_point]
    found = {point: outlined(prediction, thresholds) for point, thresholds in chosen.items()}
    low = outlined(prediction, replace(balanced, high=balanced.low))
    compared = []
    for view, known in truth.views.items():
        name = ImageName(*names, view)
        points = {point: compare_image(name, truth=known, **views[view]) for point, views in found.items()}
        candidates = compare_image(name, truth=known, **low[view])
        own = np.array([truth.contrasts[int(number)] for number in candidates.match.true_ids], dtype=np.float64)
        compared.append(Compared(points, candidates, own))
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


def plan_of_training(patients: int, models: Sequence[str]) -> list[Work]:
    """The same on anatomies that the first model learned from, evenly among them.

    Raises SystemExit where the model's training cannot be simulated again, or has used too few anatomies.
    """
    training = load_model(models[0]).bundle.raw.get("training", {})
    config = training.get("config", {}).get("phantoms")
    if config is None or training.get("sources", {}).get("phantom") != simulation_digest():
        raise SystemExit(f"{models[0]} learned from no phantoms, or from those of another simulation: give another one")
    work = plan(patients, models)
    step = config["anatomies"] // max(1, len(work))
    if step == 0:
        raise SystemExit(f"{models[0]} learned from {config['anatomies']} anatomies: give fewer --patients")
    return [
        replace(one, anatomy_seed=config["first_seed"] + number * step, learned=config["patients_per_anatomy"])
        for number, one in enumerate(work)
    ]


def summary(compared: Sequence[Compared]) -> dict[str, Any]:
    """The report of one model."""
    report = summarise([entry.image for entry in compared])
    del report["per_scan"]
    points = froc([entry.candidates.match for entry in compared], max(1, report["scans"]))
    report["froc"] = {
        "curve_ends_at": points[0].false_positives_per_scan if points else None,
        "points": [
            {name: value and round(value, 4) for name, value in asdict(point).items()} for point in thinned(points)
        ],
        "sensitivity_at": {str(rate): sensitivity_at(points, rate) for rate in RATES},
    }
    report["operating_points"] = operating_points(compared)
    report |= by_contrast(compared)
    report["conventions"]["interval"] = "95 % bootstrap over anatomies"
    return {**report, "aims": judged(report)}


def operating_points(compared: Sequence[Compared]) -> dict[str, dict[str, Any]]:
    """Sensitivity and false positives per scan, with intervals, at each operating point."""
    section = {}
    for point in compared[0].points if compared else ():
        lesion = summarise([entry.points[point] for entry in compared])["lesion"]
        section[point] = {name: lesion[name] for name in ("sensitivity", "false_positives_per_scan")}
    return section


def by_contrast(compared: Sequence[Compared]) -> dict[str, dict[str, Any]]:
    """By class of the lesion's contrast in its better view, at the shipped threshold.

    by_contrast: lesions and sensitivity. missed_by_contrast: the share of all missed lesions; empty where none is.
    """
    contrast = np.concatenate([np.zeros(0), *(entry.contrast for entry in compared)])
    found = np.concatenate([np.zeros(0, dtype=np.bool_), *(entry.image.match.found for entry in compared)])
    places = np.searchsorted(CONTRASTS, contrast, side="right") - 1
    classes = {name: found[places == place] for place, name in enumerate(CLASSES)}
    missed = int((~found).sum())
    return {
        "by_contrast": {
            name: {"true": one.size, "sensitivity": float(one.mean()) if one.size else None}
            for name, one in classes.items()
        },
        "missed_by_contrast": {name: float((~one).sum()) / missed for name, one in classes.items()} if missed else {},
    }


def judged(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each aim, what was reached, and whether it suffices."""
    reached = {
        "dsc_pooled": report["pixel"]["dsc_pooled"]["value"],
        "sensitivity_at_0.5": report["froc"]["sensitivity_at"]["0.5"],
        "false_positives_per_scan": report["lesion"]["false_positives_per_scan"]["value"],
    }
    return verdicts(reached, AIMS, ("false_positives_per_scan",))


def main() -> int:
    """Run, print, write; 1 when the first model misses an aim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL], help="models that ship, or bundles' folders")
    parser.add_argument("--family", choices=list(FAMILIES), default="standard", help="of phantoms")
    parser.add_argument("--first-anatomy", type=int, default=FIRST_ANATOMY)
    parser.add_argument(
        "--training-anatomies", action="store_true", help="new patients of anatomies that the first model learned from"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.training_anatomies and (arguments.family, arguments.first_anatomy) != ("standard", FIRST_ANATOMY):
        parser.error("--training-anatomies says which anatomies: leave --family and --first-anatomy out")
    names = [
        load_model(model).name for model in arguments.model
    ]  # a missing model is told before anything is simulated
    begin = time.perf_counter()
    if arguments.training_anatomies:
        work = plan_of_training(arguments.patients, arguments.model)
    else:
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
    """The operating points, the free-response curve, contrasts, and the aims."""
    for point, row in report["operating_points"].items():
        found, false = row["sensitivity"]["value"], row["false_positives_per_scan"]["value"]
        print(f"{point}: sensitivity {rounded(found)}, {rounded(false)} false positives per scan")
    for rate, value in report["froc"]["sensitivity_at"].items():
        print(f"sensitivity at {rate} false positives per scan: {rounded(value)}")
    print(f"the curve ends at {rounded(report['froc']['curve_ends_at'])} false positives per scan")
    for name, row in report["by_contrast"].items():
        share = rounded(report["missed_by_contrast"].get(name))
        print(
            f"contrast {name}: {row['true']} lesions, sensitivity {rounded(row['sensitivity'])}, of the missed {share}"
        )
    print_verdicts(report["aims"])


def rounded(value: float | None) -> float | None:
    """To three digits, where there is a value."""
    return value if value is None else round(value, 3)


if __name__ == "__main__":
    sys.exit(main())
