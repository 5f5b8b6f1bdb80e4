"""Choose what is scored: the test patients, where an index gives them, and no result or labels of another scan.

The index is read here and not by `bonescan.lin2022.datasets`, because that package imports this one.
"""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bonescan.annotate.labelme import another_image, read_labelme
from bonescan.bundle import LEARNED_FROM
from bonescan.errors import InputError, OptionError
from bonescan.reading import digest, read_study
from bonescan.reading.inputs import kind_of, scans_in
from bonescan.report.words import counted
from bonescan.study import Study, View

Scored = Literal["test", "train", "all"]
"""test: test patients. train: training patients. all: both, and augmented copies of test patients."""

_INDEX, _STATEMENT = "index.csv", "dataset.toml"
_HIGHEST = 2
"""How many folders above the given one may be the data set: a patient's or a study's folder may be given."""


@dataclass(frozen=True, slots=True)
class KnownSplit:
    """What a data set's index says. sides: "train", "test" or "unused" by study folder. leaky: copies are in both."""

    sides: Mapping[Path, str]
    leaky: bool

    def scored(self, folder: Path, wanted: Scored) -> bool:
        """Tell whether a study is wanted; one that the index does not list is taken for a training study."""
        return wanted == "all" or self.sides.get(folder.resolve(), "train") == wanted

    def warnings(self, wanted: Scored, left_out: int) -> tuple[str, ...]:
        """Warnings to show before any figure."""
        said = []
        if wanted == "train":
            said.append("these are studies that were trained on: the figures say nothing about other patients")
        if wanted == "all":
            said.append(
                "studies that were trained on and augmented copies are scored together with the test patients: the "
                "figures say nothing about other patients"
            )
        if self.leaky:
            said.append("copies of the same patients were trained on and are tested on: the figures are too high")
        if left_out and wanted == "test":
            said.append(f"test patients alone are scored; {left_out} studies that are not for the test are left out")
        return tuple(said)


def known_split(truth: Path) -> KnownSplit | None:
    """Read the index of the data set that `truth` is or lies in; None without such a data set. Raises InputError."""
    root = truth.resolve()
    for folder in (root, *root.parents[:_HIGHEST]):
        if (folder / _INDEX).is_file() and (folder / _STATEMENT).is_file():
            return _read_index(folder)
    return None


def scored_side(split: KnownSplit | None, asked: Scored | None) -> Scored:
    """Return which patients are scored: those asked for, else the test patients where they are known, else all.

    Raises OptionError where test or training patients are asked for, but the cohort is not divided.
    """
    if split is None and asked in ("test", "train"):
        raise OptionError(
            f"--split {asked} needs a data set that bonescan dataset wrote, whose index.csv says what is for the "
            "test: leave --split out, or give that folder"
        )
    return asked or ("all" if split is None else "test")


def _read_index(folder: Path) -> KnownSplit:
    try:
        with (folder / _INDEX).open(newline="", encoding="utf-8") as file:
            sides = {(folder / row["study"]).resolve(): row["split"] for row in csv.DictReader(file)}
        stated: dict[str, Any] = tomllib.loads((folder / _STATEMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            f"{folder / _INDEX} is damaged ({type(error).__name__}), so test and training patients cannot be told "
            "apart: build the data set again"
        ) from None
    return KnownSplit(sides, bool(stated.get("leaky")))


def is_of_another_scan(result: Path, study: Path) -> bool:
    """Tell whether the sha256 of a result's sources are of none of the scans in the study's folder.

    Folder names do not tell: all simulated cohorts, for example, name their patients alike.
    False also where it is not known: `lesions.json` is missing or states no sources with their digests, or the folder
    holds no scan in the format of the sources.
    """
    stated = _stated_sources(result / "lesions.json")
    if not stated:
        return False
    try:
        beside = [path for kind in {kind_of(Path(name)) for name in stated} for path in scans_in(study, kind)]
        return bool(beside) and set(stated.values()).isdisjoint(digest(path) for path in beside)
    except (InputError, OSError):  # a scan that cannot be read tells nothing
        return False


def labels_of_another_scan(study: Path) -> str | None:
    """Say which LabelMe file of a study's folder has the stamp of another image than the scan beside it.

    None where all fit, and where it is not known: without a stamp, or without a scan that can be read. Raises
    LabelError for a file that cannot be used.
    """
    files = {view: study / f"{view}.json" for view in View}
    labels = {view: read_labelme(path) for view, path in files.items() if path.exists()}
    stamped = {view: one for view, one in labels.items() if one.stamp is not None}
    scan = scan_beside(study) if stamped else None
    if scan is None:
        return None
    said = (another_image(files[view].name, one, view, scan) for view, one in stamped.items())
    return next((sentence for sentence in said if sentence is not None), None)


def scan_beside(study: Path) -> Study | None:
    """The scan in a study's folder; None where there is none that can be read."""
    try:
        return read_study(study)
    except InputError:
        return None


def learned_from(results: Sequence[Path]) -> list[str]:
    """A warning where the model learned from scans of these results, as `bonescan segment` noted in them; else none."""
    learned = sum(_is_learned_from(result / "lesions.json") for result in results)
    if not learned:
        return []
    return [
        f"the model learned from or was fitted to {learned} of {counted(len(results), 'scored scan')}: the figures say "
        "nothing about other patients"
    ]


def _is_learned_from(path: Path) -> bool:
    try:
        return LEARNED_FROM in json.loads(path.read_text(encoding="utf-8"))["warnings"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _stated_sources(path: Path) -> dict[str, str]:
    """The sha256 of each source by its name; empty where the file does not say."""
    try:
        study = json.loads(path.read_text(encoding="utf-8"))["study"]
        return {str(name): str(sha256) for name, sha256 in zip(study["sources"], study["digests"], strict=True)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
