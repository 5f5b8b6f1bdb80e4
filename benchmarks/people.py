"""How a model reads a folder of normal scans: `python benchmarks/people.py PEOPLE [--model NAME_OR_FOLDER ...]`.

PEOPLE: scans in any form that `bonescan segment` reads, best without known disease. Measured are
- the outlines per scan at each operating point of the model, and in which regions they lie;
- how many of the outlines of lesions that are inserted into the scans' counts (`bonescan.adapt.insertion`) are found at
  the balanced point, by the lesion's contrast in its better view, and the free-response curve. A lesion that both views
  show has two outlines, and counts twice. All models get the same lesions, in the bones that the first model's region
  map shows. False positives of the curve include marks on the scans as they are.
Only figures are printed and written. The exit status is 1 where the first model misses an aim.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.adapt.insertion import InsertionConfig, insert
from bonescan.adapt.scene import scene_of
from bonescan.evaluate import ViewTruth
from bonescan.pipeline import DEFAULT_MODEL, Model, Options, load_model, segment
from bonescan.prepare.aggregate import bin_counts
from bonescan.study import Scan, Spacing, Study
from common import print_verdicts, report_head, scans_of, verdicts, write_report
from quality import Truth, compare, contrasts_of, predicted, summary

AIMS = {"marks_per_scan": 0.5, "sensitivity_from_contrast_1": 0.85}
DRAWS = 8
"""Variants with inserted lesions of each scan."""


def marks(studies: Sequence[Study], model: Model) -> dict[str, Any]:
    """Outlines per scan at each operating point."""
    found: dict[str, Any] = {}
    for point in model.bundle.operating_points or ("balanced",):
        numbers, regions = [], Counter[str]()
        for study in studies:
            lesions = segment(study, model, Options(operating_point=point)).lesions
            numbers.append(len(lesions))
            regions.update(str(lesion.region) for lesion in lesions)
        found[point] = {
            "per_scan": float(np.mean(numbers)),
            "most": max(numbers),
            "regions": dict(regions.most_common()),
        }
    return found


def coarser(study: Study) -> Study:
    """The same counts in pixels twice as large along each edge. Exact: a sum of Poisson variables is one, too."""
    scans = {view: Scan(view, bin_counts(scan.counts[None], 2)[0]) for view, scan in study.scans.items()}
    spacing = study.spacing and Spacing(2 * study.spacing.row_mm, 2 * study.spacing.col_mm)
    return replace(study, scans=scans, spacing=spacing)


def with_lesions(studies: Sequence[Study], model: Model, draws: int) -> list[tuple[str, Study, Truth]]:
    """Variants of each scan with lesions, always some; the model says where the bones are."""
    variants = []
    for number, study in enumerate(studies):
        scene = scene_of(study, predicted(study, model)[0])
        for draw in range(draws):
            inserted = insert(scene, np.random.default_rng([number, draw]), InsertionConfig(none=0.0))
            labels, ignored = inserted.labels(study), inserted.ignored(study)
            views = {view: ViewTruth(labels[view], None, ignored[view]) for view in study.scans}
            variants.append((f"scan-{number}", inserted.study(study), Truth(views, contrasts_of(inserted.table))))
    return variants


def inserted_found(variants: Sequence[tuple[str, Study, Truth]], model: Model) -> dict[str, Any]:
    """How many outlines of inserted lesions are found; "lesions" are outlines."""
    compared = [
        entry
        for draw, (name, study, truth) in enumerate(variants)
        for entry in compare(study, truth, model, (name, f"{name}-{draw}"))
    ]
    report = summary(compared)
    contrast = np.concatenate([entry.contrast for entry in compared])
    found = np.concatenate([entry.image.match.found for entry in compared])
    return {
        "variants": len(variants),
        "lesions": int(found.size),
        "sensitivity": float(found.mean()),
        "sensitivity_from_contrast_1": float(found[contrast >= 1].mean()),
        "by_contrast": report["by_contrast"],
        "sensitivity_at": report["froc"]["sensitivity_at"],
        "curve_ends_at": report["froc"]["curve_ends_at"],
        "dsc_pooled": report["pixel"]["dsc_pooled"]["value"],
    }


def judged(row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each aim, what a model reached at the balanced point, and whether it suffices."""
    reached = {
        "marks_per_scan": row["marks"]["balanced"]["per_scan"],
        "sensitivity_from_contrast_1": row["inserted"]["sensitivity_from_contrast_1"],
    }
    return verdicts(reached, AIMS, ("marks_per_scan",))


def main() -> int:
    """Measure, print, write; 1 when the first model misses an aim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL], help="models that ship, or bundles' folders")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument(
        "--coarse", action="store_true", help="read the scans with pixels twice as large, and print alone"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    studies = scans_of(arguments.people)
    models = [load_model(name) for name in arguments.model]
    if arguments.coarse:
        studies = [coarser(study) for study in studies]
        for model in models:
            print(json.dumps({"model": model.name.sha256, "marks": marks(studies, model)}, indent=2), flush=True)
        return 0
    variants = with_lesions(studies, models[0], arguments.draws)
    rows = []
    for model in models:
        told = {"marks": marks(studies, model), "inserted": inserted_found(variants, model)}
        rows.append({"model": asdict(model.name), **told})
        print(json.dumps(rows[-1], indent=2), flush=True)
    head = report_head(parser, arguments, [model.name for model in models], simulated=False)
    aims = judged(rows[0])
    print_verdicts(aims)
    write_report(arguments.json, {**head, "scans": len(studies), "aims": aims, "models": rows})
    return 0 if all(aim["kept"] for aim in aims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
