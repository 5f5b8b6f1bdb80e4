"""How the phantom compares with six real scans: `.venv/bin/python benchmarks/realism.py`.

Simulates patients of unseen anatomies, compares the median of each figure with the range of the real scans, prints
where it falls outside, and writes results/realism.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from bonescan.parallel import process_pool
from bonescan.phantom import make_anatomy, make_patient
from bonescan.phantom.realism import cells, figures

ROOT = Path(__file__).parents[1]
FIRST_SEED = 910_000
"""Anatomies that no training run uses."""


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "realism.json")
    arguments = parser.parse_args()
    with process_pool(2) as pool:
        measured = np.array(list(pool.map(patient_figures, range(arguments.patients))))
    medians = [float(value) for value in np.median(measured, axis=0)]
    inside = [cell.real[0] <= value <= cell.real[1] for cell, value in zip(cells(), medians, strict=True)]
    for cell, value, fits in zip(cells(), medians, inside, strict=True):
        if not fits:
            print(f"outside: {cell.name}: {value:.2f}, real scans {cell.real[0]:g} to {cell.real[1]:g}")
    print(f"{sum(inside)} of {len(inside)} cells ({np.mean(inside):.1%}) within the range of the real scans")
    report = {
        "command": "benchmarks/realism.py",
        "patients": arguments.patients,
        "cells": len(inside),
        "within": sum(inside),
        "share": round(float(np.mean(inside)), 4),
        "medians": {cell.name: round(value, 3) for cell, value in zip(cells(), medians, strict=True)},
    }
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")


def patient_figures(number: int) -> list[float]:
    """The figures of one patient of an anatomy of its own."""
    return figures(make_patient(make_anatomy(FIRST_SEED + number), 0).study)


if __name__ == "__main__":
    main()
