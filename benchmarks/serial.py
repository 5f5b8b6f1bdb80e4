"""How well change between two scans of one patient is told, on simulated patients that no training has seen.

    python benchmarks/serial.py --anatomies 20 --patients 5 --json results/serial.json

Two scans of each patient (`bonescan.phantom.series`) are compared two ways: `method` with the truth's outlines and the
phantom's own region maps, which leaves the error of alignment, matching and decision; `model` with all by the model.
Sensitivity: of the lesions that are truly new and stand out, those called new. Specificity: of the other lesions of the
new scan, those not called new; by the model also its false marks, which count against it where they are called new.
A lesion that a hotter one takes in has no outline of its own. It is told as that one is, so neither new nor resolved.
Marks on equivocal lesions are ignored.
These are phantoms: how well change in people is told, they cannot say.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.assess import assess
from bonescan.lesions.delineate import Outline, candidates_below
from bonescan.lesions.measure import measure
from bonescan.phantom import make_anatomy
from bonescan.phantom.series import SeriesScan, make_series
from bonescan.pipeline import DEFAULT_MODEL, Model, segment_with_maps
from bonescan.prediction import Prediction
from bonescan.prepare.aggregate import binning_of
from bonescan.serial.change import ReadScan, Status, compare
from bonescan.serial.series import compare_series
from bonescan.study import FloatImage, Result, View
from bonescan.system.parallel import process_pool
from common import model_of, on_equivocal, report_head, true_number, true_outlines, write_report

FIRST_ANATOMY = 930_000
AIMS = {"sensitivity": 0.93, "specificity": 0.87}
"""The published figures of a clinical system for new lesions."""


@dataclass(frozen=True, slots=True)
class Work:
    """One anatomy: which, how many patients, and the model."""

    seed: int
    patients: int
    model: str


def read(scan: SeriesScan, outlines: Sequence[Outline], prediction: Prediction, model: Model) -> ReadScan:
    """A scan as `compare` takes it."""
    study = scan.phantom.study
    lesions, burden = measure(study, outlines, prediction)
    lesions, extent = assess(study, lesions, prediction, "whole-body")
    window = slice(0, study.shape[0]), slice(0, study.shape[1])
    candidates = candidates_below(prediction, model.bundle.at("balanced").at_binning(binning_of(study)), outlines)
    result = Result(study, model.name, lesions, burden, window, candidates=candidates, extent=extent)
    return ReadScan(result, prediction)


def true_probability(scan: SeriesScan) -> dict[View, FloatImage]:
    """1 on lesions, equivocal ones among them, and 0 elsewhere."""
    labels, faint = scan.phantom.lesions, scan.phantom.faint
    return {view: ((labels[view] > 0) | (faint[view] > 0)).astype(np.float32) for view in labels}


def judged(old: ReadScan, new: ReadScan, series: Sequence[SeriesScan]) -> Counter[tuple[str, str]]:
    """How often a lesion of each true status was told as each; "false mark" is no lesion, "not told" none of ours."""
    was, now = series
    ids = {lesion.id: true_number(lesion, now.phantom) for lesion in new.result.lesions}
    old_ids = {lesion.id: true_number(lesion, was.phantom) for lesion in old.result.lesions}
    found: Counter[tuple[str, str]] = Counter()
    equivocal = {lesion.id for lesion in new.result.lesions if on_equivocal(lesion, now.phantom)}
    told = []
    for change in compare(old, new).changes:
        before, after = {old_ids[number] for number in change.old} - {0}, {ids[number] for number in change.new} - {0}
        told.append((change.status, before, after))
        if not before and not after and change.new and not equivocal.issuperset(change.new):
            found["false mark", change.status] += 1
    for number, status in counted(series).items():
        # An outline of its own in one view tells of a lesion that a hotter one takes in in the other view.
        own = [said for said, before, after in told if number in before | after]
        if status not in ("new", "resolved") or not own:
            own = [told_as(told, holders(was, number), holders(now, number))]
        found[status, own[0] if status not in own else status] += 1
    return found


def counted(series: Sequence[SeriesScan]) -> dict[int, str]:
    """The true statuses that count, by lesion.

    A new or a resolved lesion counts where it has an outline of its own, as it only adds to a hotter one that takes it
    in. A new one that takes in a lesion of the old scan makes that lesion grow, and does not count. Any other counts
    where the new scan shows it, alone or in a hotter one.
    """
    was, now = ({record.number: record for record in scan.phantom.table} for scan in series)
    found = {}
    for number, status in series[1].statuses.items():
        if status == "resolved":
            shows = bool(was[number].visible)
        elif status == "new":
            taken_in = {other.number for other in now.values() if number in other.part_of.values()} - {number}
            before = any(was[other].seen for other in taken_in & was.keys())
            shows = bool(now[number].visible) and not before
        else:
            shows = bool(now[number].visible or now[number].seen)
        if shows:
            found[number] = status
    return found


def holders(scan: SeriesScan, number: int) -> set[int]:
    """The lesions whose outlines show a lesion in a scan: itself, and the hotter one that takes it in."""
    records = [record for record in scan.phantom.table if record.number == number]
    return {number, *(holder for record in records for holder in record.part_of.values() if holder)}


def told_as(told: Sequence[tuple[Status, set[int], set[int]]], was: set[int], now: set[int]) -> str:
    """As what a lesion was told, from the status and the true lesions, old and new, of each change.

    was, now: whose outlines show it. A lesion that a hotter one takes in, in either scan, is neither new nor resolved
    where an outline that shows it goes on.
    """
    statuses = [status for status, before, after in told if before & was or after & now]
    if len(was | now) > 1:
        statuses.sort(key=lambda status: status in (Status.NEW, Status.RESOLVED))
    return statuses[0] if statuses else "not told"


def judge_series(series: Sequence[SeriesScan], model: Model) -> dict[str, Any]:
    """Both ways of one patient."""
    own = [Prediction(true_probability(scan), scan.phantom.regions, level=scan.phantom.levels) for scan in series]
    method = [
        read(scan, true_outlines(scan.phantom, scan.phantom.regions)[0], maps, model)
        for scan, maps in zip(series, own, strict=True)
    ]
    by_model = [ReadScan(*segment_with_maps(scan.phantom.study, model)) for scan in series]
    points = model.bundle.operating_points
    scans, _ = compare_series(by_model, points["sensitive"].high if "sensitive" in points else None)
    return {"method": judged(*method, series), "model": judged(*scans, series)}


def judge_anatomy(work: Work) -> dict[str, Counter[tuple[str, str]]]:
    """Simulate and judge the patients of one anatomy."""
    model, anatomy = model_of(work.model), make_anatomy(work.seed)
    total: dict[str, Counter[tuple[str, str]]] = {"method": Counter(), "model": Counter()}
    for seed in range(work.patients):
        series = make_series(anatomy, seed, 2)
        for way, found in judge_series(series, model).items():
            total[way] += found
    return total


def summary(found: Counter[tuple[str, str]]) -> dict[str, Any]:
    """Sensitivity and specificity for new lesions, and the whole table of true and told statuses."""
    new = {told: number for (true, told), number in found.items() if true == "new"}
    # Resolved lesions are of the old scan.
    others = {
        key: number for key, number in found.items() if key[0] not in ("new", "resolved") and key[1] != "not told"
    }
    wrong = sum(number for (_, told), number in others.items() if told == Status.NEW)
    all_new, all_others = sum(new.values()), sum(others.values())
    lesions = {key: number for key, number in others.items() if key[0] != "false mark"}
    wrong_lesions = sum(number for (_, told), number in lesions.items() if told == Status.NEW)
    return {
        "new_lesions": all_new,
        "other_lesions": all_others,
        "sensitivity": new.get(Status.NEW, 0) / all_new if all_new else None,
        "specificity": 1 - wrong / all_others if all_others else None,
        "specificity_on_lesions": 1 - wrong_lesions / sum(lesions.values()) if lesions else None,
        "table": {f"{true} told as {told}": number for (true, told), number in sorted(found.items())},
    }


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anatomies", type=int, default=20)
    parser.add_argument("--patients", type=int, default=5, help="of each anatomy")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model that ships, or a bundle's folder")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    name = model_of(arguments.model).name
    begin = time.perf_counter()
    work = [Work(FIRST_ANATOMY + n, arguments.patients, arguments.model) for n in range(arguments.anatomies)]
    total: dict[str, Counter[tuple[str, str]]] = {"method": Counter(), "model": Counter()}
    with process_pool(arguments.processes) as pool:
        for ways in pool.map(judge_anatomy, work):
            for way, found in ways.items():
                total[way] += found
    report = {
        **report_head(parser, arguments, [name]),
        "aims": AIMS,
        **{way: summary(found) for way, found in total.items()},
    }
    print(json.dumps(report, indent=2))
    print(f"{time.perf_counter() - begin:.0f} s")
    write_report(arguments.json, report)


if __name__ == "__main__":
    main()
