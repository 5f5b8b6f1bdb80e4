"""The one runner: makes what is missing, one run at a time, each whole or not at all; and foretells how long it takes.

A run goes on from its training's last checkpoint. It may be cut at any moment, and several runners may work side by
side: a run that another one is making is passed over. A forecast is from measured runs of the same kind, or else from a
few steps of each network.
"""

from __future__ import annotations

import json
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bonescan.errors import BonescanError
from bonescan.evaluate import Bootstrap
from bonescan.lin2022.datasets import read_dataset
from bonescan.lin2022.experiments.classical import CLASSICAL
from bonescan.lin2022.experiments.declared import Kind, SetOptions
from bonescan.lin2022.experiments.measure import Tested, choose_shown, measure_method, true_masks
from bonescan.lin2022.experiments.nnunet import NnunetOptions, run_nnunet
from bonescan.lin2022.experiments.plan import Run, profile_of
from bonescan.lin2022.experiments.results import (
    COLUMNS,
    FORMAT,
    ImageResult,
    Result,
    Store,
    held,
    scan_picture,
    write_json,
)
from bonescan.lin2022.experiments.scores import summarised
from bonescan.lin2022.experiments.sets import Report, ensure_set
from bonescan.lin2022.images import draw_labels, held_out, image_split
from bonescan.models.cost import network_cost
from bonescan.study import FloatImage, View
from bonescan.system.fingerprint import values_digest
from bonescan.train.cases import Case, CaseFacts, Split
from bonescan.train.config import TrainConfig
from bonescan.train.export import averaged_network
from bonescan.train.inference import predict_case
from bonescan.train.loop import start, train, train_step
from bonescan.train.progress import Progress

_WARM, _TIMED = 1, 2
_EDGE_PX = 256
_LESION = slice(100, 106)
_SECONDS_OF_A_METHOD = 20.0
"""What a method that learns nothing takes, about, where it was not measured yet."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie. results: committed; work: checkpoints; sets: data sets, built when they are needed.

    own: a data set of a cohort, which all runs learn from; None: simulated ones. All become absolute, as a run goes on
    only where its folders are named as when it began.
    """

    results: Path = Path("results/experiments")
    work: Path = Path("runs/experiments")
    sets: Path = Path("runs/datasets")
    own: Path | None = None

    def __post_init__(self) -> None:
        for name in ("results", "work", "sets"):
            object.__setattr__(self, name, getattr(self, name).absolute())
        object.__setattr__(self, "own", self.own and self.own.absolute())

    @property
    def store(self) -> Store:
        """The results."""
        return Store(self.results)


@dataclass(slots=True)
class Outcome:
    """What became of the runs that were asked for. refused: why some could not be made, by the run's name."""

    made: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


Say = Callable[[str], None]
"""Told what is begun, in words."""


def run_all(runs: Sequence[Run], places: Places, *, again: bool, report: Report, say: Say) -> Outcome:
    """Make the runs that have no result; with `again` also those whose result is of earlier code."""
    outcome = Outcome()
    # The code is what it was when this began, whatever happens to the files meanwhile.
    keys = {run.identity: run.key for run in runs}
    for number, run in enumerate(runs, start=1):
        with held(places.work / run.profile / f".{run.name}.lock", wait=False) as mine:
            if not mine:
                outcome.elsewhere.append(run.name)
                continue
            if not is_missing(run, places.store, again=again):
                outcome.there.append(run.name)
                continue
            say(f"run {number} of {len(runs)}: {run.name}, seed {run.seed}")
            try:
                make(run, keys[run.identity], places, report)
                outcome.made.append(run.name)
            except BonescanError as error:
                outcome.refused[run.name] = str(error)
    return outcome


def is_missing(run: Run, store: Store, *, again: bool) -> bool:
    """Whether a run is to be made."""
    before = store.read(run)
    return before is None or (again and not store.is_current(before, run))


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A run, ready to be made: its configuration, its test cases, the studies that pictures show."""

    run: Run
    config: TrainConfig
    cases: Sequence[Case]
    shown: tuple[str, ...]
    report: Report


def make(run: Run, key: str, places: Places, report: Report) -> None:
    """Make one run from data set to result; its training's folder is removed when the result is there."""
    folder = places.own or ensure_set(run, places.sets, report)
    config = run.config(str(folder), str(places.work / run.profile), f"{run.name}-{key}")
    cases = held_out(config.images)
    # No picture of a patient of a cohort is kept with the results.
    shown = () if places.own else choose_shown(cases)
    if shown and run.images == SetOptions():  # of which pictures are made
        _write_scans(places.store.scans(run.profile, folder.name), cases, shown)
    tested, cost = _MAKERS[run.kind](_Job(run, config, cases, shown, report))
    images = _known(tested.images, cases)
    values = {
        "format": FORMAT,
        "research_use_only": True,
        "profile": run.profile,
        "kind": run.kind,
        "method": run.method,
        "seed": run.seed,
        "key": key,
        "code": run.code,
        "set": {"identity": run.set_identity, "digest": read_dataset(folder, "D2").digest},
        "config": run.told,
        "machine": {"processor": platform.machine(), "torch": torch.__version__, "threads": config.threads},
        **cost,
        "test_seconds_per_image": tested.seconds_per_image,
        "figures": summarised(images, Bootstrap()),
        "masks": tested.masks,
        "columns": list(COLUMNS),
        "images": [image.row() for image in images],
    }
    write_json(places.store.path(run), values)
    shutil.rmtree(config.folder, ignore_errors=True)


def _known(images: Sequence[ImageResult], cases: Sequence[Case]) -> tuple[ImageResult, ...]:
    """The images whose truth is known: a cohort may have labels of one view alone."""
    labelled = {case.facts.key: dict(zip(map(str, View), case.facts.labelled, strict=True)) for case in cases}
    return tuple(
        image for image in images if labelled[image.study].get(image.view, all(labelled[image.study].values()))
    )


def _train(job: _Job) -> _Made:
    def say(progress: Progress) -> None:
        job.report(progress.done, progress.total, f"{job.run.name}: {progress.stage} ({progress.detail})")

    config = job.config
    train(config, image_split(config.images), say)
    network, steps = averaged_network(config)
    cost = network_cost(network)
    precise = replace(config, bf16=False)  # as the exported graph computes
    tested = measure_method(
        lambda case: predict_case(network, case, precise)[0],
        job.cases,
        aggregated=config.aggregated,
        shown=job.shown,
    )
    return tested, {
        "steps": steps,
        "parameters": cost.parameters,
        "multiply_adds_per_pair": cost.multiply_adds,
        "training_seconds": round(training_seconds(config.folder / "log.jsonl", config), 1),
    }


def training_seconds(log: Path, config: TrainConfig) -> float:
    """What a training took, by its log: the steps that were lost to an interruption count once, pauses not at all."""
    took: dict[int, tuple[int, float]] = {}
    before, at = 0, 0.0
    for line in log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if "seconds" not in entry:
            continue
        step, seconds = int(entry["step"]), float(entry["seconds"])
        # A sitting begins at its last checkpoint, and its clock at 0.
        if seconds < at or not before < step <= before + config.log_every:
            before, at = (step - 1) // config.log_every * config.log_every, 0.0
        took[step] = (step - before, seconds - at)
        before, at = step, seconds
    steps = sum(number for number, _ in took.values())
    return sum(seconds for _, seconds in took.values()) / max(1, steps) * config.steps


def _apply_classical(job: _Job) -> _Made:
    function = CLASSICAL[job.run.method]

    def method(case: Case) -> FloatImage:
        return function(case.counts.astype(np.float32)).astype(np.float32)

    return measure_method(method, job.cases, shown=job.shown), {}


def _ask_nnunet(job: _Job) -> _Made:
    config, profile = job.config, profile_of(job.run.profile)
    folder = Path(config.images.folder)
    labels = draw_labels(read_dataset(folder, config.images.set), config.images)
    labelled = sorted({study.partition("/")[0] for study, views in labels.items() if any(views)})
    outcome = run_nnunet(
        folder,
        labelled,
        NnunetOptions(seed=job.run.seed, threads=config.threads, **profile.nnunet),
        config.folder,
        lambda line: job.report(0, 1, f"{job.run.name}: {line}"),
    )
    tested = measure_method(lambda case: outcome.masks[case.facts.key].astype(np.float32), job.cases, shown=job.shown)
    return replace(tested, seconds_per_image=outcome.seconds_test_per_image), {
        "parameters": outcome.parameters,
        "training_seconds": round(outcome.seconds_training, 1),
        "note": outcome.note,
    }


_Made = tuple[Tested, dict[str, Any]]
_MAKERS: dict[Kind, Callable[[_Job], _Made]] = {
    "train": _train,
    "classical": _apply_classical,
    "external": _ask_nnunet,
}


def _write_scans(path: Path, cases: Sequence[Case], shown: tuple[str, ...]) -> None:
    """Keep the shown patients' pictures and true outlines beside the results, once a data set."""
    if path.exists():
        return
    chosen = {case.facts.key: case for case in cases if case.facts.key in shown}
    write_json(path, {key: {"scan": scan_picture(case), "truth": true_masks(case)} for key, case in chosen.items()})


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long the missing runs take, seconds. timed: from a few steps here; measured: from results."""

    seconds: float
    timed: int
    measured: int

    def __str__(self) -> str:
        hours, minutes = divmod(max(1, round(self.seconds / 60)), 60)
        length = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
        source = f"{self.measured} by measured runs, {self.timed} by a few steps of training"
        return f"about {length} on one idle core ({source})"


def forecast(runs: Sequence[Run], store: Store) -> Forecast:
    """Foretell what `runs` take; none takes no time."""
    known: dict[str, float] = {}
    if runs:
        for result in store.every(runs[0].profile):
            known[_speed_of(result.values["kind"], result.values["config"])] = _seconds_of(result)
    measured = set(known)
    total, counts = 0.0, [0, 0]
    for run in runs:
        speed = _speed_of(run.kind, run.told)
        if speed not in known:
            known[speed] = _time(run) if run.kind == "train" else _SECONDS_OF_A_METHOD
        total += known[speed]
        counts[speed in measured] += 1
    return Forecast(total, *counts)


def _speed_of(kind: str, config: Mapping[str, Any]) -> str:
    """What decides how long a run takes."""
    if kind != "train":
        return kind
    keys = ("steps", "network", "network_config", "method", "bf16")
    images = config["images"]
    pairs = images["labelled_pairs"] + images["unlabelled_pairs"]
    return values_digest({"kind": kind, "pairs": pairs, **{key: config[key] for key in keys}})


def _seconds_of(result: Result) -> float:
    images = len(result.images)
    return float(result.values.get("training_seconds", 0.0)) + images * float(result.values["test_seconds_per_image"])


def _time(run: Run) -> float:
    """Seconds of a whole run, from a few steps on made-up pairs."""
    config = run.config("timed")
    torch.set_num_threads(config.threads)
    state, split = start(config), Split(_made_up(), [])
    for step in range(_WARM):
        train_step(config, state, split, step)
    # The processor's time, not the clock's: who else is working now is no matter for the hours to come.
    began = time.process_time()
    for step in range(_WARM, _WARM + _TIMED):
        train_step(config, state, split, step)
    seconds = (time.process_time() - began) / _TIMED / config.threads
    # A test of a pair is a third of a step of two pairs, or less.
    return seconds * (config.steps + 0.3 * profile_of(run.profile).patients / 3)


def _made_up() -> list[Case]:
    """Two pairs of noise with a bright square each; one is labelled."""
    cases = []
    for number in range(2):
        counts = np.random.default_rng(number).poisson(5.0, (2, _EDGE_PX, _EDGE_PX)).astype(np.uint16)
        lesions = np.zeros(counts.shape, dtype=np.uint8)
        lesions[:, _LESION, _LESION] = 1
        counts[lesions > 0] *= 4
        labelled = (number == 0, number == 0)
        facts = CaseFacts(f"{number}", f"{number}", (5.0, 5.0, 5.0), (0, _EDGE_PX), (103,), labelled, False)
        cases.append(Case(counts, lesions, np.zeros_like(lesions), facts))
    return cases
