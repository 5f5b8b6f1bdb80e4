"""What the benchmarks share: how a report begins and is written, verdicts, models, a phantom's truth as outlines."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.bundle import SHIPPED
from bonescan.lesions.delineate import Outline, contour_of, region_of
from bonescan.phantom.patient import Phantom
from bonescan.pipeline import Model, load_model
from bonescan.predict import Predictor
from bonescan.reading import read_studies
from bonescan.study import Lesion, ModelName, Study, View
from bonescan.train.phantoms import simulation_digest


def report_head(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    models: Sequence[ModelName] = (),
    simulated: bool = True,
) -> dict[str, Any]:
    """How a report begins: the command, and the models and the simulation that its figures follow from."""
    sources: dict[str, Any] = {"models": [asdict(model) for model in models]} if models else {}
    if simulated:
        sources["phantom"] = simulation_digest()
    return {"command": command_line(parser, arguments), "sources": sources}


def command_line(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> str:
    """The command that gives these arguments, without `--json`.

    No path of a machine gets into a report: a folder or file is told by its option's name, a bundle's folder by BUNDLE.
    """
    shipped = [folder.name for folder in SHIPPED.iterdir()]
    words = ["python", f"benchmarks/{parser.prog}"]
    for action in parser._actions:
        given = getattr(arguments, action.dest, action.default)
        if given == action.default or action.dest == "json":
            continue
        words += action.option_strings[:1]
        for value in given if isinstance(given, list) else [given]:
            if isinstance(value, Path):
                words.append(action.dest.upper())
            elif action.dest == "model" and value not in shipped:
                words.append("BUNDLE")
            elif value is not True:
                words.append(str(value))
    return shlex.join(words)


def write_report(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write a report where a path is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def verdicts(
    reached: Mapping[str, float | None], aims: Mapping[str, float], at_most: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Each aim, what was reached, and whether it suffices. at_most: the aims that are upper limits."""
    found = {}
    for name, aim in aims.items():
        value = reached[name]
        kept = value is not None and (value <= aim if name in at_most else value >= aim)
        found[name] = {"aim": aim, "reached": value, "kept": kept}
    return found


def print_verdicts(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print each verdict on a line."""
    for name, one in found.items():
        print(f"{name}: aim {one['aim']}, reached {one['reached']}: {'kept' if one['kept'] else 'missed'}")


def scans_of(folder: Path) -> list[Study]:
    """The scans of a folder that can be read; ends the program where there is none."""
    found = [study for _, study in read_studies([folder]) if isinstance(study, Study)]
    if not found:
        raise SystemExit(f"no scan of {folder} can be read: give a folder of scans that `bonescan segment` reads")
    return found


_models: dict[str, Model] = {}


def model_of(name: str) -> Model:
    """The model, loaded once a process and run in one thread, as there are several processes."""
    if name not in _models:
        bundle = load_model(name).bundle
        _models[name] = Model(bundle, Predictor(bundle, threads=1))
    return _models[name]


def true_outlines(phantom: Phantom, regions: Mapping[View, Any]) -> tuple[list[Outline], list[int]]:
    """The outlines of the truth with the bone that a region map names, and the number of the lesion of each."""
    outlines, numbers = [], []
    for view, labels in phantom.lesions.items():
        for number in np.unique(labels[labels > 0]):
            rows, cols = np.nonzero(labels == number)
            window = slice(rows.min(), rows.max() + 1), slice(cols.min(), cols.max() + 1)
            mask = labels[window] == number
            region = region_of(regions[view], window, mask)
            origin = int(rows.min()), int(cols.min())
            outlines.append(Outline(view, origin, mask, contour_of(np.ones((1, 1), np.bool_)), 1.0, region))
            numbers.append(int(number))
    return outlines, numbers


def true_number(lesion: Lesion, phantom: Phantom) -> int:
    """The true lesion that most of an outline lies on; 0 = none."""
    under = phantom.lesions[lesion.view][lesion.window][lesion.mask]
    return int(np.bincount(under[under > 0]).argmax()) if (under > 0).any() else 0


def on_equivocal(lesion: Lesion, phantom: Phantom) -> bool:
    """Whether an outline touches an equivocal lesion. As in every evaluation, it is ignored where it is on no other."""
    return bool(phantom.faint[lesion.view][lesion.window][lesion.mask].any())
