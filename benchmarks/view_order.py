"""Fit and measure the alarm that the two views were exchanged.

    python benchmarks/view_order.py PEOPLE --json results/view_order.json

With --fit, simulated patients teach the weights of `bonescan.prepare.order`, which are printed. Others, of unseen
anatomies of both families, measure with the weights that ship how often scans in the right order raise a false alarm,
and how often exchanged ones are found. PEOPLE: a folder of scans whose order is right, which are measured, too, and
teach nothing.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.phantom import make_anatomy, make_patient
from bonescan.phantom.family import FAMILIES
from bonescan.prepare import to_pair
from bonescan.prepare.order import LEAST_SCORE, WEIGHTS, order_features
from bonescan.system.parallel import process_pool
from common import report_head, scans_of, write_report

FIRST_TAUGHT, FIRST_TESTED = 930_000, 935_000
PATIENTS = 4
RIDGE = 0.03
"""Added to the variance of each feature: people differ from phantoms in ways that these do not show."""


@dataclass(frozen=True, slots=True)
class Work:
    """One anatomy: its seed and family."""

    seed: int
    family: str


def features_of(work: Work) -> list[NDArray[np.float64] | None]:
    """The features of an anatomy's patients."""
    anatomy = make_anatomy(work.seed, FAMILIES[work.family])
    return [order_features(to_pair(make_patient(anatomy, number).study).counts) for number in range(PATIENTS)]


def fitted(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """The linear discriminant between features (n, m) and their negatives, scaled to scores of unit variance."""
    spread = np.cov(features.T) + RIDGE * np.eye(features.shape[1])
    weights = np.linalg.solve(spread, features.mean(axis=0))
    return np.asarray(weights / (features @ weights).std())


def measured(found: list[NDArray[np.float64] | None]) -> dict[str, Any]:
    """False alarms and alarms among scans whose order is right, and among the same with exchanged views."""
    scores = np.array([entry @ WEIGHTS for entry in found if entry is not None])
    return {
        "scans": len(found),
        "not_judged": len(found) - scores.size,
        "false_alarms": int((scores < LEAST_SCORE).sum()),
        "exchanged_and_found": int((-scores < LEAST_SCORE).sum()),
        "lowest_score": round(float(scores.min()), 2),
        "median_score": round(float(np.median(scores)), 2),
    }


def main() -> None:
    """Fit, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", nargs="?", type=Path)
    parser.add_argument("--anatomies", type=int, default=45, help="of each family")
    parser.add_argument("--fit", action="store_true", help="fit weights, print them, and stop")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    numbers = range(arguments.anatomies)
    groups = {name: [Work(FIRST_TESTED + number, name) for number in numbers] for name in FAMILIES}
    if arguments.fit:
        groups = {"taught": [Work(FIRST_TAUGHT + number, "standard") for number in numbers]}
    with process_pool(arguments.processes) as pool:
        found = {
            name: [entry for part in pool.map(features_of, works) for entry in part] for name, works in groups.items()
        }
    if arguments.fit:
        print(np.round(fitted(np.array([entry for entry in found["taught"] if entry is not None])), 3).tolist())
        return
    if arguments.people is not None:
        pairs = [to_pair(study).counts for study in scans_of(arguments.people)]
        found["people"] = [order_features(pair) for pair in pairs]
    report = {
        **report_head(parser, arguments),
        "least_score": LEAST_SCORE,
        "weights": WEIGHTS.tolist(),
        **{name: measured(entries) for name, entries in found.items()},
    }
    print(json.dumps(report, indent=2))
    write_report(arguments.json, report)


if __name__ == "__main__":
    main()
