"""How the phantom compares with six real scans: `.venv/bin/python benchmarks/realism.py`.

Simulates patients of unseen anatomies, compares the median of each figure with the range of the real scans, prints
where it falls outside, and writes results/realism.json. With --docs, the table in docs/explanation/phantom.md is
written anew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from bonescan.parallel import process_pool
from bonescan.phantom import make_anatomy, make_patient
from bonescan.phantom.realism import Cell, cells, figures

ROOT = Path(__file__).parents[1]
FIRST_SEED = 910_000
"""Anatomies that no training run uses."""
PAGE = ROOT / "docs" / "explanation" / "phantom.md"
BEGIN, END = "<!-- realism:begin -->", "<!-- realism:end -->"


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "realism.json")
    parser.add_argument("--docs", action="store_true", help="write the table into the documentation")
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
    if arguments.docs:
        text = PAGE.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        PAGE.write_text(before + BEGIN + "\n" + table(cells(), medians) + END + after, encoding="utf-8")


def patient_figures(number: int) -> list[float]:
    """The figures of one patient of an anatomy of its own."""
    return figures(make_patient(make_anatomy(FIRST_SEED + number), 0).study)


def table(compared: list[Cell], medians: list[float]) -> str:
    """A Markdown table of all cells."""
    lines = ["| figure | median phantom | six real scans | |", "|---|---|---|---|"]
    for cell, value in zip(compared, medians, strict=True):
        fits = "" if cell.real[0] <= value <= cell.real[1] else "outside"
        lines.append(f"| {cell.name} | {value:.2f} | {cell.real[0]:g} to {cell.real[1]:g} | {fits} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
