"""Choose which studies are scored: only the test patients, where a data set's index gives its training patients.

The index is read here and not by `bonescan.lin2022.datasets`, because that package imports this one.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bonescan.errors import InputError, OptionError

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
            return _read(folder)
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


def _read(folder: Path) -> KnownSplit:
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
