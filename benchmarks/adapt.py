"""What `bonescan adapt` is worth: a declared experiment on a simulated department, and on a folder of scans.

    python benchmarks/adapt.py --list                    the cells of the experiment, and which are done
    python benchmarks/adapt.py --run adapted-10 --minutes 60
    python benchmarks/adapt.py --table --json results/adapt.json
    python benchmarks/adapt.py --people FOLDER           leave three out, teach with six, three times (figures only)
    python benchmarks/adapt.py --membership              how far a bundle tells what it learned from

The department is the phantom family that no training uses (`phantom.family.HELD_OUT`): other body shapes, uptake,
camera and dose. Every cell is a file of `--cells`, so that the whole can be run in pieces; --run runs the cells of the
arms whose names begin with one of its words. Cells of another base model, phantom or number of patients are run again.

The rule, stated before any cell was run: three seeds each; on the department's untouched patients, the mean over seeds
of the sensitivity at 0.5 and at 1 false positive per scan, of the pooled Dice at the base's thresholds, and of the
expected calibration error. Adaptation is worth its while when, with ten scans, its sensitivity at 0.5 exceeds that of
the model as shipped by at least 0.02 in each seed, and is no less than that of supervised training on one labelled
scan. `--unlabelled` helps when adding unknown scans to ten normals gains at least 0.01 in the mean of the seeds.
Adaptation bears diseased patients among the normals when, with 20 % of them, sensitivity at 0.5 falls by at most 0.02.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from adapt_arms import (
    FIRST_LEARNED,
    FIRST_TESTED,
    Arm,
    arms,
    as_learned,
    cell_configs,
    configs_of,
    department,
    labelled_case,
)
from bonescan.adapt.judgement import free_response, make_bench, verdict
from bonescan.adapt.loop import Material, averaged, begin, learn
from bonescan.adapt.scans import learned_scan, read_scans
from bonescan.adapt.settings import AdaptConfig
from bonescan.adapt.suspects import foci_of
from bonescan.bundle import Bundle, load_bundle
from bonescan.lin2022.chan_vese import intensity_of, unsupervised_loss
from bonescan.models import from_bundle
from bonescan.models.views import answer_of
from bonescan.phantom.patient import Phantom
from bonescan.pipeline import DEFAULT_MODEL
from bonescan.study import ModelName
from bonescan.train.calibrate import Judged, judge, measure
from bonescan.train.cases import FAINT, drawn
from bonescan.train.config import TrainConfig
from bonescan.train.methods import METHODS, Outputs, Parts
from bonescan.train.phantoms import phantom_split, simulation_digest
from bonescan.train.stream import Batch
from common import report_head, write_report

SEEDS = (1, 2, 3)
TESTED = 60
CELLS = Path(__file__).parents[1] / "results" / "adapt"
PARTS = ("people", "arms", "membership")
"""Of the report; "made" says by which command, and with which model and phantom, each was measured."""


def taught_network(arm: Arm, configs: tuple[AdaptConfig, TrainConfig], base: Bundle) -> nn.Module:
    """The base, taught as the arm says."""
    network = from_bundle(base)
    if not arm.learns:
        return network
    config, train_config = configs
    first = FIRST_LEARNED + 1000 * config.seed
    ill = round(arm.normals * arm.diseased)
    normals = department(first, arm.normals - ill, diseased=False) + department(first + 200, ill, diseased=True)
    others = department(first + 400, arm.unlabelled, diseased=None)
    labelled = [labelled_case(one, train_config) for one in department(first + 600, arm.labelled, diseased=None)]
    split = phantom_split(train_config.phantoms, train_config.normalisation, lambda done, total: None)
    # Labelled scans are learned from as often as simulated patients, however few they are.
    repeated = [labelled[number % len(labelled)] for number in range(len(split.training))] if labelled else []
    material = Material(
        as_learned(normals, network, train_config),
        [*split.training, *repeated],
        as_learned(others, network, train_config, 1 + len(normals)),
    )
    foci = [foci_of(scan, base.thresholds, config) for scan in material.normals]
    methods = {"supervised": with_published_term}
    # A configuration asks for the published loss with a data set in a folder only; here cases lie in memory.
    with patch("bonescan.train.loop.METHODS", methods) if arm.published else nullcontext():
        state = learn(begin(network, train_config), material, foci, configs)
    return averaged(state, network, config.base_share)


def with_published_term(outputs: Outputs, batch: Batch, config: TrainConfig) -> Parts:
    """Eq. 6 of Lin et al. 2022, l_U + alpha l_S: our loss on phantoms as l_S, l_U on the images without a label."""
    parts = METHODS["supervised"](outputs, batch, config)
    unlabelled = batch.present & (batch.weight.amax(dim=(2, 3)) == 0)
    membership = torch.sigmoid(answer_of(outputs).lesion.float())[unlabelled]
    intensity = intensity_of(batch.image[unlabelled], config.chan_vese.power)
    unsupervised = unsupervised_loss(membership, intensity, config.chan_vese)
    return {**parts, "unsupervised": unsupervised, "total": unsupervised + config.chan_vese.alpha * parts["total"]}


def tested(network: nn.Module, base: Bundle, train_config: TrainConfig, number: int) -> dict[str, float]:
    """The declared figures on untouched patients of the department."""
    precise = replace(train_config, bf16=False)
    cases = [labelled_case(phantom, train_config) for phantom in department(FIRST_TESTED, number, diseased=None)]
    judged = [judge(network, case, precise) for case in cases]
    curve = free_response(judged, base.thresholds)
    figures = measure(judged, base.thresholds)
    return {
        "sensitivity_at_0.5": curve.at(0.5),
        "sensitivity_at_1": curve.at(1.0),
        "lesions": curve.lesions,
        "dsc_pooled": figures.dice,
        "false_per_lesion_free_scan": figures.false_per_lesion_free_scan,
        "calibration_error": calibration_error(judged),
    }


def calibration_error(judged: Sequence[Judged], bins: int = 10) -> float:
    """Expected calibration error over the pixels of at least 5 % probability (all others are right for nothing)."""
    probability = [entry.prediction.lesion[view].ravel() for entry in judged for view in entry.lesions]
    truth = [lesions.ravel() for entry in judged for lesions in entry.lesions.values()]
    p, t = np.concatenate(probability), np.concatenate(truth)
    asked = (p >= 0.05) & (t != FAINT)
    p, lesion = p[asked], drawn(t[asked])
    number = np.minimum((p * bins).astype(int), bins - 1)
    error = sum(
        abs(float(p[number == one].mean()) - float(lesion[number == one].mean())) * int((number == one).sum())
        for one in np.unique(number)
    )
    return error / max(1, p.size)


def run_cells(arguments: argparse.Namespace) -> None:
    """Run the cells that are not done, until the time is up."""
    base = load_bundle(arguments.model)
    network = from_bundle(base)
    began = time.monotonic()
    for arm in (arm for arm in arms() if arm.name.startswith(tuple(arguments.run))):
        for seed in SEEDS if arm.learns else SEEDS[:1]:
            if is_done(arm, seed, base, arguments):
                continue
            if arguments.minutes and time.monotonic() - began > 60 * arguments.minutes:
                return
            figures = figures_of_same(arm, seed, base, arguments)
            if figures is None:
                configs = cell_configs(arm, seed, base, network, arguments.work)
                figures = tested(taught_network(arm, configs, base), base, configs[1], arguments.patients)
            kept = {"arm": arm.name, "seed": seed, **made_with(base, arguments.patients), **figures}
            cell_path(arm, seed, arguments.cells).write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
            print(json.dumps(kept), flush=True)


def figures_of_same(arm: Arm, seed: int, base: Bundle, arguments: argparse.Namespace) -> dict[str, float] | None:
    """The figures of a cell that is done and differs only in its arm's name."""
    for other in arms():
        if arm.same_as(other) and is_done(other, seed, base, arguments):
            kept = json.loads(cell_path(other, seed, arguments.cells).read_text(encoding="utf-8"))
            own = ("arm", "seed", *made_with(base, arguments.patients))
            return {name: kept[name] for name in kept if name not in own}
    return None


def cell_path(arm: Arm, seed: int, cells: Path) -> Path:
    """The file of a cell."""
    return cells / f"{arm.name}-{seed}.json"


def made_with(base: Bundle, patients: int) -> dict[str, Any]:
    """What a cell's figures follow from besides its arm and seed. patients: how many it is tested on."""
    return {"base": base.sha256, "phantom": simulation_digest(), "patients": patients}


def is_done(arm: Arm, seed: int, base: Bundle, arguments: argparse.Namespace) -> bool:
    """Whether a cell was run with this base model, phantom and number of patients."""
    path = cell_path(arm, seed, arguments.cells)
    if not path.exists():
        return False
    return made_with(base, arguments.patients).items() <= json.loads(path.read_text(encoding="utf-8")).items()


def table(folder: Path, base: Bundle, patients: int) -> dict[str, Any]:
    """The mean, least and largest figures of each arm, over the seeds done with this base model; what the rule says."""
    wanted = made_with(base, patients)
    read = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*-[0-9].json"))]
    cells = [one for one in read if wanted.items() <= one.items()]
    if not cells:
        raise SystemExit(
            f"no cell in {folder} is of the model {base.sha256[:12]}, the phantom {wanted['phantom']} and {patients} "
            "patients: run them with --run first"
        )
    by_arm = {arm.name: [one for one in cells if one["arm"] == arm.name] for arm in arms()}
    rows: dict[str, Any] = {}
    for name, own in by_arm.items():
        if own:
            rows[name] = {"seeds": len(own)}
        for figure in ("sensitivity_at_0.5", "sensitivity_at_1", "dsc_pooled", "calibration_error") if own else ():
            values = [cell[figure] for cell in own]
            rows[name][figure] = float(np.mean(values))
            rows[name][f"{figure}_range"] = [min(values), max(values)]
    return {
        "base": base.sha256,
        "rule": (__doc__ or "").split("The rule")[1],
        "verdicts": verdicts({name: [one["sensitivity_at_0.5"] for one in own] for name, own in by_arm.items()}),
        "arms": rows,
    }


def verdicts(found: Mapping[str, Sequence[float]]) -> dict[str, bool | None]:
    """What the rule says; None where an arm has not all its seeds. found: sensitivities at 0.5 per arm and seed."""

    def complete(*names: str) -> bool:
        return all(len(found[name]) == (1 if name == "shipped" else len(SEEDS)) for name in names)

    worth = helps = bears = None
    if complete("shipped", "adapted-10", "supervised-1"):
        gained = min(found["adapted-10"]) >= found["shipped"][0] + 0.02
        worth = bool(gained and np.mean(found["adapted-10"]) >= np.mean(found["supervised-1"]))
    if complete("adapted-10", "adapted-10-unlabelled-20"):
        helps = bool(np.mean(found["adapted-10-unlabelled-20"]) >= np.mean(found["adapted-10"]) + 0.01)
    if complete("diseased-0", "diseased-20"):
        bears = bool(np.mean(found["diseased-20"]) >= np.mean(found["diseased-0"]) - 0.02)
    return {"worth_its_while": worth, "unlabelled_helps": helps, "bears_diseased": bears}


def people(folder: Path, model: str, work: Path, folds: int) -> list[dict[str, Any]]:
    """Leave every third scan out, teach with the others, up to three times; scans in the order of their names.

    alone: the learned weights without a share of the base's.
    """
    base = load_bundle(model)
    network = from_bundle(base)
    scans = read_scans([folder]).scans
    found = []
    for fold in range(folds):
        config, train_config = configs = configs_of(f"people-{fold}", AdaptConfig(), base, network, work)
        out = [scan for number, scan in enumerate(scans) if number % 3 == fold]
        inside = [scan for number, scan in enumerate(scans) if number % 3 != fold]
        split = phantom_split(train_config.phantoms, train_config.normalisation, lambda done, total: None)
        material = Material([learned_scan(scan, network, train_config) for scan in inside], split.training)
        foci = [foci_of(scan, base.thresholds, config) for scan in material.normals]
        state = learn(begin(network, train_config), material, foci, configs)
        alone, taught = (averaged(state, network, share) for share in (0.0, config.base_share))
        bench = make_bench(
            [learned_scan(scan, network, train_config) for scan in out], split.validation, config, train_config
        )
        before = verdict(network, bench, train_config, base.thresholds)
        same = verdict(taught, bench, train_config, base.thresholds)
        fitted = verdict(taught, bench, train_config)
        found.append(
            {
                "fold": fold,
                "before": before.figures(),
                "alone": verdict(alone, bench, train_config, base.thresholds).figures(),
                "after": same.figures(),
                "after_fitted_marks_per_scan": fitted.marks_per_scan,
            }
        )
        print(json.dumps(found[-1]), flush=True)
    return found


def membership(model: str, work: Path) -> dict[str, float]:
    """Guess by the loss on a scan whether it was learned from: half of twenty patients were. 0.5 is chance.

    The attack has the base model, too, and guesses by how much less the taught one marks than its base.
    """
    base = load_bundle(model)
    network = from_bundle(base)
    arm = Arm("membership", normals=10)
    _, train_config = configs = cell_configs(arm, 1, base, network, work)
    taught = taught_network(arm, configs, base)
    members = department(FIRST_LEARNED + 1000, 10, diseased=False)
    strangers = department(FIRST_TESTED + 10_000, 10, diseased=False)
    precise = replace(train_config, bf16=False)

    def gain(phantom: Phantom) -> float:
        case = labelled_case(phantom, train_config)
        sums = []
        for one in (network, taught):
            prediction = judge(one, case, precise).prediction
            sums.append(sum(float(-np.log1p(-np.minimum(p, 1 - 1e-6)).mean()) for p in prediction.lesion.values()))
        return sums[0] - sums[1]

    inside, outside = ([gain(phantom) for phantom in part] for part in (members, strangers))
    wins = [(one > two) + 0.5 * (one == two) for one in inside for two in outside]
    return {"area_under_the_curve": float(np.mean(wins)), "members": len(inside), "strangers": len(outside)}


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--run", nargs="+", metavar="ARM")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--people", type=Path, metavar="FOLDER")
    parser.add_argument("--folds", type=int, default=3, choices=(1, 2, 3), help="with --people: how many of the three")
    parser.add_argument("--membership", action="store_true")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--patients", type=int, default=TESTED, help="untouched patients of the department")
    parser.add_argument("--threads", type=int, default=AdaptConfig().threads, help="threads of torch of this process")
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no further cell after so long")
    parser.add_argument("--work", type=Path, default=Path("runs/adapt"), help="folder of simulated patients and runs")
    parser.add_argument("--cells", type=Path, default=CELLS, help="folder of the cells' results")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for folder in (arguments.work, arguments.cells):
        folder.mkdir(parents=True, exist_ok=True)
    base = load_bundle(arguments.model)
    made: dict[str, Any] = {}
    if arguments.list:
        for arm in arms():
            done = [seed for seed in SEEDS if is_done(arm, seed, base, arguments)]
            print(f"{arm.name}: {len(done)} of {len(SEEDS) if arm.learns else 1} done")
    if arguments.run is not None:
        run_cells(arguments)
    if arguments.people is not None:
        made["people"] = people(arguments.people, arguments.model, arguments.work, arguments.folds)
    if arguments.membership:
        made["membership"] = membership(arguments.model, arguments.work)
    if arguments.table:
        made |= table(arguments.cells, base, arguments.patients)
    if made:
        print(json.dumps(made, indent=2))
        before = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
        head = report_head(parser, arguments, [ModelName(base.name, base.sha256)])
        made["made"] = before.get("made", {}) | {part: head for part in PARTS if part in made}
        write_report(arguments.json, before | made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
