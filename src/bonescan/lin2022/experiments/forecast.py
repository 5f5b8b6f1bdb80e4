"""How long runs will take: from measured ones of the same kind, or else from a few steps of each network."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bonescan.lin2022.experiments.plan import Run, profile_of
from bonescan.lin2022.experiments.results import Result, Store
from bonescan.system.fingerprint import values_digest
from bonescan.train.cases import Case, CaseFacts, Split
from bonescan.train.loop import start, train_step

_WARM, _TIMED = 1, 2
_EDGE_PX = 256
_LESION = slice(100, 106)
_SECONDS_OF_A_METHOD = 20.0
"""What a method that learns nothing takes, about, where it was not measured yet."""


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
