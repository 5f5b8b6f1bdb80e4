"""How the phantom compares with scans of people: `.venv/bin/python benchmarks/realism.py [PEOPLE]`.

Without PEOPLE: counts by height against the range of six measured scans.

With PEOPLE, a folder of scans in any form that `bonescan segment` reads (best without known disease): the same, and
- uptake per region and view relative to the lumbar spine from behind, left against right, of people and of lesion-free
  phantoms, all registered to one phantom's region map (SimpleITK);
- a classifier on patches of 64 x 64 pixels, phantom against person, with all patches of a scan on one side of the
  split; all scans are thinned to one number of counts first;
- foci of uptake per scan, by contrast and region, as the default model finds them and by counts alone (`realism_foci`).
Scans of people whose pixels are of another size than the phantoms' are refused. Needs the extra `realism`. Only figures
are printed, and with `--json FILE` written; `--pictures FOLDER` writes the registered mean images,
which are pictures of people: keep that folder to yourself.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.phantom import make_anatomy, make_patient
from bonescan.phantom.realism import cells, figures
from bonescan.pipeline import load_model
from bonescan.study import Study, View
from bonescan.system.parallel import process_pool
from common import report_head, scans_of, write_report
from realism_foci import foci_figures
from realism_patches import patch_figures
from realism_regions import mean_images, region_figures

FIRST_SEED = 910_000
"""Anatomies that no training run uses."""
PIXELS_MM = (2.0, 2.6)
"""Edges of a person's pixels that are compared; those of phantoms are of 2.2 to 2.4 mm."""
MOST_TRIES = 40
"""Patients of an anatomy that are tried until one has no lesion."""


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", nargs="?", type=Path, help="folder of scans of people")
    parser.add_argument("--patients", type=int, default=50, help="simulated patients (with PEOPLE: without lesions)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pictures", type=Path, help="folder for registered mean images; never commit it")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    models = [] if arguments.people is None else [load_model().name]
    report = {**report_head(parser, arguments, models), "patients": arguments.patients}
    with process_pool(arguments.processes) as pool:
        numbers = range(arguments.patients)
        report |= profile_report(np.array(list(pool.map(patient_figures, numbers))))
        if arguments.people is not None:
            report |= people_report(arguments, list(pool.map(normal_patient, numbers)))
    write_report(arguments.json, report)


def profile_report(measured: np.ndarray) -> dict[str, Any]:
    """Compare the median of each figure with the range of the six scans; print where it falls outside."""
    medians = [float(value) for value in np.median(measured, axis=0)]
    inside = [cell.real[0] <= value <= cell.real[1] for cell, value in zip(cells(), medians, strict=True)]
    for cell, value, fits in zip(cells(), medians, inside, strict=True):
        if not fits:
            print(f"outside: {cell.name}: {value:.2f}, real scans {cell.real[0]:g} to {cell.real[1]:g}")
    print(f"{sum(inside)} of {len(inside)} cells ({np.mean(inside):.1%}) within the range of the real scans")
    return {
        "cells": len(inside),
        "within": sum(inside),
        "share": round(float(np.mean(inside)), 4),
        "medians": {cell.name: round(value, 3) for cell, value in zip(cells(), medians, strict=True)},
    }


def people_report(arguments: argparse.Namespace, phantoms: Sequence[Study]) -> dict[str, Any]:
    """Compare regions and patches of people with those of phantoms."""
    people = [study for study in scans_of(arguments.people) if set(study.scans) == set(View)]
    if len(people) < 2:
        raise SystemExit(f"{arguments.people} holds {len(people)} scans with both views: give at least 2")
    least, most = PIXELS_MM
    for study in people:
        if study.spacing and not least <= min(astuple(study.spacing)) <= max(astuple(study.spacing)) <= most:
            size = f"{study.spacing.row_mm:.2f} x {study.spacing.col_mm:.2f} mm"
            raise SystemExit(
                f"a scan of {arguments.people} has pixels of {size}, which do not compare with the phantoms': "
                f"give scans with pixels of {least} to {most} mm"
            )
    regions, registered = region_figures(people, phantoms)
    for row in regions["rows"]:
        if not row["within"]:
            low, high = row["people"]
            print(f"outside: {row['name']}: {row['phantom']:.3f}, people {low:.3f} to {high:.3f}")
    within = sum(row["within"] for row in regions["rows"])
    print(f"{within} of {len(regions['rows'])} region figures within the range of the people")
    patches = patch_figures(registered)
    print(f"patches, phantom against person: AUC {patches['auc']:.3f}; by region:")
    for name, value in sorted(patches["by_region"].items(), key=lambda item: -item[1]):
        print(f"  {name}: {value:.3f}")
    if arguments.pictures is not None:
        mean_images(registered, arguments.pictures)
    foci = foci_figures(people, phantoms)
    return {"people": len(people), "regions": regions, "patches": patches, "foci_per_scan": foci}


def patient_figures(number: int) -> list[float]:
    """The figures of one patient of an anatomy of its own."""
    return figures(make_patient(make_anatomy(FIRST_SEED + number), 0).study)


def normal_patient(number: int) -> Study:
    """A patient without lesions of the same anatomy."""
    anatomy = make_anatomy(FIRST_SEED + number)
    patients = (make_patient(anatomy, seed) for seed in range(MOST_TRIES))
    return next(patient.study for patient in patients if not patient.table)


if __name__ == "__main__":
    main()
