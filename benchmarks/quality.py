"""How good the shipped model is on simulated patients that it has never seen.

    python benchmarks/quality.py --patients 200 --json results/quality.json

Five patients of each of forty anatomies, whose seeds no training uses, go through the straight line
(`bonescan.pipeline.segment`, whole body) as a user's scans do, and are compared with their truth. Intervals are
drawn over anatomies, as the patients of one are no strangers to one another. These are phantoms: how good the
model is on people's scans, they cannot say.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonescan.evaluate import ComparedImage, ImageName, ViewTruth, compare_image, report_text, summarise
from bonescan.parallel import process_pool
from bonescan.phantom import make_anatomy, make_patient
from bonescan.pipeline import DEFAULT_MODEL, Model, load_model, segment
from bonescan.predict import Predictor

FIRST_ANATOMY = 900_000
PATIENTS_PER_ANATOMY = 5
AIMS = {"dsc_pooled": 0.75, "sensitivity": 0.85, "false_positives_per_scan": 0.5}


@dataclass(frozen=True, slots=True)
class Work:
    """One anatomy to segment: which, how many patients, and by what."""

    anatomy_seed: int
    patients: int
    model: str


_models: dict[str, Model] = {}


def model_of(name: str) -> Model:
    """The model, loaded once a process and run in one thread, as there are several processes."""
    if name not in _models:
        bundle = load_model(name).bundle
        _models[name] = Model(bundle, Predictor(bundle, threads=1))
    return _models[name]


def measure(work: Work) -> list[ComparedImage]:
    """Segment the patients of one anatomy and compare both views of each with the truth."""
    model, anatomy = model_of(work.model), make_anatomy(work.anatomy_seed)
    images = []
    for seed in range(work.patients):
        phantom = make_patient(anatomy, seed)
        result = segment(phantom.study, model)
        for view, lesions in phantom.lesions.items():
            truth = ViewTruth(lesions, phantom.regions[view], phantom.faint[view])
            scores = {lesion.id: lesion.probability for lesion in result.lesions if lesion.view is view}
            name = ImageName(f"anatomy-{work.anatomy_seed}", phantom.key, view)
            images.append(compare_image(name, result.labels(view), truth, scores))
    return images


def plan(patients: int, model: str) -> list[Work]:
    """Spread the patients over anatomies."""
    full, rest = divmod(patients, PATIENTS_PER_ANATOMY)
    numbers = [PATIENTS_PER_ANATOMY] * full + ([rest] if rest else [])
    return [Work(FIRST_ANATOMY + index, number, model) for index, number in enumerate(numbers)]


def verdicts(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each aim, what was reached, and whether it suffices."""
    reached = {
        "dsc_pooled": report["pixel"]["dsc_pooled"]["value"],
        "sensitivity": report["lesion"]["sensitivity"]["value"],
        "false_positives_per_scan": report["lesion"]["false_positives_per_scan"]["value"],
    }
    found = {}
    for name, aim in AIMS.items():
        value = reached[name]
        kept = value is not None and (value <= aim if name == "false_positives_per_scan" else value >= aim)
        found[name] = {"aim": aim, "reached": value, "kept": kept}
    return found


def main() -> int:
    """Run, print, write; 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model that ships, or a bundle's folder")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    name = load_model(arguments.model).name  # a missing model is told before anything is simulated
    begin = time.perf_counter()
    work = plan(arguments.patients, arguments.model)
    with process_pool(arguments.processes) as pool:
        images = [image for found in pool.map(measure, work) for image in found]
    report = summarise(images)
    del report["per_scan"]
    report["patients"] = arguments.patients
    report["conventions"]["interval"] = "95 % bootstrap over anatomies"
    report = {
        "command": f"python benchmarks/quality.py --patients {arguments.patients}",
        "model": {"name": name.name, "sha256": name.sha256},
        "anatomies": len(work),
        "anatomy_seeds": [work[0].anatomy_seed, work[-1].anatomy_seed],
        "aims": verdicts(report),
        **report,
    }
    print(report_text(report))
    for aim, found in report["aims"].items():
        print(f"{aim}: aim {found['aim']}, reached {found['reached']}: {'kept' if found['kept'] else 'missed'}")
    print(f"{time.perf_counter() - begin:.0f} s")
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if all(found["kept"] for found in report["aims"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
