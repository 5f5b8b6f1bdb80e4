"""How the checks of the body behave, and raise false alarms.

    python benchmarks/body_checks.py PEOPLE --json results/body_checks.json

Simulated patients of unseen anatomies are checked as they are, those whose frame shows no feet apart, turned upside
down, cut off at the ankles, where the check `feet` must raise an alarm, and begun 15 mm below the vertex, where
`vertex` must; so is noise without a body. PEOPLE: a folder of scans that are as they should be. Of each check the least
and the largest figure and the number of alarms are printed and written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.assess.quality import check_quality
from bonescan.phantom import make_anatomy, make_patient
from bonescan.phantom.patient import Phantom
from bonescan.pipeline import load_model
from bonescan.prediction import Prediction
from bonescan.study import REGIONS, QualityCheck, Region, Scan, Study
from bonescan.system.parallel import process_pool
from common import report_head, scans_of, write_report
from quality import predicted

FIRST_ANATOMY = 936_000
CHECKS = ("body", "upright", "vertex", "feet", "length")
CUT_MM = 15.0
"""Below the first row that shows the skull."""

Found = tuple[str, tuple[QualityCheck, ...]]


def changed(study: Study, change: Any) -> Study:
    """The study with other counts in each view."""
    return replace(study, scans={view: Scan(view, change(scan.counts)) for view, scan in study.scans.items()})


def first_row(phantom: Phantom, region: Region) -> int | None:
    """The first row of a region in either view; None where a view does not show it."""
    shown = [np.flatnonzero((one == REGIONS.index(region)).any(axis=1)) for one in phantom.regions.values()]
    return min(int(rows[0]) for rows in shown) if all(rows.size for rows in shown) else None


def only_rows(study: Study, first: int, after: int) -> Study:
    """The study without counts outside these rows."""
    rows = np.arange(study.shape[0])[:, None]
    return changed(study, lambda counts: np.where((rows >= first) & (rows < after), counts, 0))


def checked(seed: int) -> list[Found]:
    """One patient as it is, upside down and cut off at either end, and noise of as many counts."""
    phantom = make_patient(make_anatomy(seed), 0)
    study, rng = phantom.study, np.random.default_rng(seed)
    sure_of_none = {view: np.zeros(one.shape, dtype=np.float32) for view, one in phantom.regions.items()}
    own = Prediction(sure_of_none, phantom.regions)
    nothing = Prediction(sure_of_none, {view: np.zeros_like(one) for view, one in phantom.regions.items()})
    noise = changed(study, lambda counts: rng.poisson(counts.mean(), counts.shape).astype(np.float32))
    vertex, ankles = first_row(phantom, Region.SKULL), first_row(phantom, Region.FOOT)
    found = [
        ("as they are" if ankles is not None else "without feet", check_quality(study, own)),
        ("upside down", check_quality(changed(study, lambda counts: counts[::-1]), nothing)),
        ("noise", check_quality(noise, nothing)),
    ]
    if ankles is not None:
        found.append(("cut at the ankles", check_quality(only_rows(study, 0, ankles), own)))
    if vertex is not None and study.spacing is not None:
        first = vertex + round(CUT_MM / study.spacing.row_mm)
        found.append(("cut below the vertex", check_quality(only_rows(study, first, study.shape[0]), own)))
    return found


def people(folder: Path) -> Iterator[Found]:
    """The scans of a folder, with the regions that the model sees."""
    model = load_model()
    for study in scans_of(folder):
        yield "people", check_quality(study, predicted(study, model)[0])


def summary(found: Sequence[Found]) -> dict[str, Any]:
    """By group and check: how many scans, the least and the largest figure, the alarms."""
    report: dict[str, Any] = {}
    for group, checks in found:
        for check in checks:
            if check.name in CHECKS:
                report.setdefault(group, {}).setdefault(check.name, []).append((check.value, check.poor))
    return {
        group: {
            name: {
                "scans": len(values),
                "least": round(min(value for value, _ in values), 3),
                "most": round(max(value for value, _ in values), 3),
                "alarms": sum(poor for _, poor in values),
            }
            for name, values in names.items()
        }
        for group, names in report.items()
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", nargs="?", type=Path)
    parser.add_argument("--patients", type=int, default=40, help="simulated, each of an anatomy of its own")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with process_pool(arguments.processes) as pool:
        seeds = range(FIRST_ANATOMY, FIRST_ANATOMY + arguments.patients)
        found = [one for part in pool.map(checked, seeds) for one in part]
    models = []
    if arguments.people is not None:
        found += people(arguments.people)
        models = [load_model().name]
    report = {**report_head(parser, arguments, models), **summary(found)}
    print(json.dumps(report, indent=2))
    write_report(arguments.json, report)


if __name__ == "__main__":
    main()
