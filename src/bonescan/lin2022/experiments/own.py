"""A labelled cohort of one's own: the package's U-Net, the plain one and nnU-Net on the same images and labels.

The cohort becomes a data set once, divided by patient; runs, tests and table are those of all experiments.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonescan.dicom.values import ReadOptions
from bonescan.errors import OutputError
from bonescan.lin2022.datasets import DatasetOptions, PatientOptions, Subset, build_dataset, read_dataset
from bonescan.lin2022.datasets.statement import TOML, read_statement
from bonescan.lin2022.experiments.declared import Arm, Claim, Experiment
from bonescan.lin2022.experiments.plan import profile_of, runs_of
from bonescan.lin2022.experiments.results import write_text
from bonescan.lin2022.experiments.runner import Outcome, Places, run_all
from bonescan.lin2022.experiments.tables import markdown, table_of

NAME = "own"
_LABELS = {"label_share": 1.0, "labelled_pairs": 2, "unlabelled_pairs": 0}
_OURS, _PLAIN, _NNUNET = "bonescan's U-Net", "plain U-Net", "nnU-Net"
_USUAL = {"learning_rate": 2e-3, "clip_norm": 5.0}
"""The defaults of `bonescan train`, in the place of those that the published method has."""

OWN = Experiment(
    question="How do the package's U-Net, a plain U-Net and nnU-Net compare on the patients of this cohort?",
    paper="",
    arms=(
        Arm(_OURS, {"method": "supervised", "network": "unet", "images": _LABELS, **_USUAL}),
        Arm(_PLAIN, {"method": "supervised", "network": "plain-unet", "images": _LABELS}),
        Arm(_NNUNET, {"images": _LABELS}, kind="external", method="nnunet"),
    ),
    claims=(
        Claim("the package's U-Net is better than the plain one", _OURS, _PLAIN),
        Claim("nnU-Net is better than the package's U-Net", _NNUNET, _OURS),
        Claim("nnU-Net finds more lesions than the package's U-Net", _NNUNET, _OURS, "sensitivity"),
    ),
)


@dataclass(frozen=True, slots=True)
class OwnOptions:
    """What is compared. cohort: <patient>/<study>/ with labels. images: to learn from and to test on together, copies
    included; None: the profile's number. seed: of the division of patients and of the copies. reading: what is
    stated of the scans' views.
    """

    cohort: Path
    profile: str = "cpu"
    images: int | None = None
    seed: int = 1
    reading: ReadOptions | None = None


def compare_own(
    options: OwnOptions, out: Path, report: Callable[[int, int, str], None], say: Callable[[str], None]
) -> tuple[Outcome, dict[str, Any]]:
    """Make what is missing in the folder `out`, write table.json and table.md there, and return the table.

    Raises InputError and OptionError for a cohort that no data set can be made of, and OutputError where `out` holds
    another comparison. A method that cannot be run is in the outcome's `refused`.
    """
    folder = _ensure_dataset(options, out, report, say)
    dataset = read_dataset(folder, "D2")
    places = Places(out / "results" / dataset.digest[:12], out / "runs" / dataset.digest[:12], out, own=folder)
    outcome = run_all(runs_of([OWN], options.profile), places, again=True, report=report, say=say)
    trained, tested = (len({one.patient for one in dataset.of(subset)}) for subset in (Subset.TRAIN, Subset.TEST))
    table = table_of(NAME, OWN, options.profile, places.store)
    table["patients"] = f"{trained} patients of the cohort to learn from and {tested} others to test on"
    table["budget"] = _budget(options.profile)
    write_text(out / "table.json", json.dumps(table, indent=2) + "\n")
    write_text(out / "table.md", markdown(table))
    return outcome, table


def _ensure_dataset(
    options: OwnOptions, out: Path, report: Callable[[int, int, str], None], say: Callable[[str], None]
) -> Path:
    """Return the folder of the cohort's data set; build it where there is none."""
    folder = out / "dataset"
    images = profile_of(options.profile).images if options.images is None else options.images
    cohort = options.cohort.absolute()
    if not (folder / TOML).exists():
        # No method learns from studies without labels.
        patients = PatientOptions(None, cohort, keep_lesion_free=True, reading=options.reading, only_labelled=True)
        summary = build_dataset(
            DatasetOptions(options.seed, images, patients),
            folder,
            lambda done, total, last="", stage=None: report(done, total, f"data set: {stage or 'pairs'}"),
        )
        for doubt in summary.statement.doubts:
            say(f"warning: {doubt}")
    stated = read_statement(folder).options
    views = () if options.reading is None else options.reading.views or ()
    began = (stated["cohort"], stated["seed"], stated["images"], tuple(stated.get("views", ())))
    if began != (str(cohort), options.seed, images, views):
        raise OutputError(
            f"{out} compares another cohort, seed or number of images, or other views: choose another folder"
        )
    return folder


def _budget(profile: str) -> str:
    """What each method may learn for, in words."""
    sizes = profile_of(profile)
    nnunet = {"epochs": 1000, "iterations": 250} | dict(sizes.nnunet)
    return (
        f"the two U-Nets {sizes.config['steps']} steps of two pairs, nnU-Net {nnunet['epochs']} x "
        f"{nnunet['iterations']} steps of a batch that it plans itself"
    )
