"""The plan of an adaptation: its cost, the held-out patients, and the inputs that a continued run must have again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bonescan.adapt.scans import ReadScan, Scans
from bonescan.adapt.settings import LEAST_PATIENTS, AdaptConfig, AdaptRequest
from bonescan.bundle import Bundle
from bonescan.errors import OptionError, OutputError
from bonescan.report.words import counted
from bonescan.system.files import reason_of
from bonescan.train.config import PhantomConfig, TrainConfig
from bonescan.train.phantoms import simulation_digest, training_shards, validation_shards

INPUTS, PLAN = "inputs.json", "plan.json"
FIRST_SEED = 3_000_000
"""Seed of the first anatomy to learn from, away from the anatomies of trainings and tests."""
_SECONDS_AN_ANATOMY, _SECONDS_A_PATIENT = 4.0, 1.0
_SECONDS_A_FITTED_CASE = 0.8
_LEAST_ASIDE = 2
_LEAST_STEPS = 20
_BASE_GB, _SCAN_GB, _PATIENT_GB = 1.3, 0.009, 0.003


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated cost. steps: as many as the time allows. simulate, learn, judge: seconds of each part."""

    steps: int
    simulate: float
    learn: float
    judge: float
    memory_gb: float
    disk_gb: float

    @property
    def minutes(self) -> float:
        """Minutes of all parts together."""
        return (self.simulate + self.learn + self.judge) / 60

    def too_long_for(self, minutes: float) -> str | None:
        """Say that the work cannot be done in so many minutes; None if it can, or if they are 0, which is no limit."""
        if not minutes or self.minutes <= minutes:
            return None
        fixed = math.ceil((self.simulate + self.judge) / 60)
        return (
            f"{minutes:g} minutes are not enough: simulating patients and judging take about {fixed}, and "
            f"{self.steps} steps are the fewest; at least {math.ceil(self.minutes)} in all, or more if the machine is "
            "busy. It begins nevertheless."
        )

    def __str__(self) -> str:
        return (
            f"about {self.minutes:.0f} minutes ({self.simulate / 60:.0f} to simulate patients, "
            f"{self.learn / 60:.0f} for {self.steps} steps, {self.judge / 60:.0f} to judge), "
            f"{self.memory_gb:.1f} GB of memory and {self.disk_gb:.1f} GB of disk"
        )


def training_config(
    bundle: Bundle, network_config: dict[str, Any], request: AdaptRequest, config: AdaptConfig, name: str
) -> TrainConfig:
    """The configuration for the parts of `train` that an adaptation uses."""
    return TrainConfig(
        name=name,
        runs=str(request.work),
        seed=config.seed,
        network=str(bundle.network["name"]),
        network_config=network_config,
        steps=config.steps,
        batch_rows=config.batch_rows,
        crop_rows=(config.crop_rows,),
        crop_weights=(1.0,),
        crop_cols=config.crop_cols,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        freeze_norms_after=0.0,  # a few hundred steps of small batches would make the base's statistics worse
        ema_decay=config.ema_decay,
        bf16=config.bf16,
        device="cpu",
        threads=config.threads,
        phantoms=PhantomConfig(
            anatomies=config.anatomies,
            patients_per_anatomy=config.patients_per_anatomy,
            validation_anatomies=config.validation_anatomies,
            validation_patients_per_anatomy=3,
            first_seed=FIRST_SEED,
            cache=str(request.phantoms or request.work / "phantoms"),
        ),
        normalisation=bundle.normalisation,
    )


def check_patients(scans: Scans) -> None:
    """Raise OptionError if there are too few patients to learn from."""
    patients = len(scans.patients)
    if patients < LEAST_PATIENTS:
        # The reasons are said before, one sentence for each scan.
        left = f", and {counted(len(scans.left_out), 'input')} left out" if scans.left_out else ""
        raise OptionError(
            f"there are scans of {counted(patients, 'patient')} to learn from{left}: give scans of at least "
            f"{LEAST_PATIENTS} patients"
        )


def chosen(scans: Scans, most: int) -> tuple[ReadScan, ...]:
    """The scans of at most `most` patients, chosen by hash."""
    patients = set(sorted(scans.patients)[:most])
    return tuple(scan for scan in scans.scans if scan.patient in patients)


def kept_aside(scans: Sequence[ReadScan]) -> frozenset[str]:
    """The held-out patients, used for evaluation only: a fifth of all, at least two, chosen by hash."""
    patients = sorted({scan.patient for scan in scans}, key=lambda patient: hashlib.sha256(patient.encode()).digest())
    return frozenset(patients[: max(_LEAST_ASIDE, round(len(patients) / 5))])


def estimate(
    config: AdaptConfig, train_config: TrainConfig, scans: tuple[int, int], seconds: tuple[float, float]
) -> Estimate:
    """Estimate the cost. scans: to learn from, and held out. seconds: of a step, and of predicting a whole frame."""
    phantoms = train_config.phantoms
    shards = [
        *training_shards(phantoms, train_config.normalisation),
        *validation_shards(phantoms, train_config.normalisation),
    ]
    missing = [shard for shard in shards if not shard.folder.exists()]
    simulate = sum(_SECONDS_AN_ANATOMY + _SECONDS_A_PATIENT * shard.patients for shard in missing) / phantoms.processes
    judged = scans[1] * (1 + config.variants) + config.validation_anatomies * phantoms.validation_patients_per_anatomy
    judge = judged * (2 * seconds[1] + _SECONDS_A_FITTED_CASE) + 2 * config.looks * scans[0] * seconds[1]
    steps = config.steps
    if config.minutes:
        left = config.minutes * 60 - simulate - judge
        steps = min(steps, max(_LEAST_STEPS, int(left / seconds[0])))
    disk = sum(shard.patients for shard in missing) * _PATIENT_GB + 0.1
    return Estimate(steps, simulate, steps * seconds[0], judge, _BASE_GB + _SCAN_GB * sum(scans), disk)


def pinned(request: AdaptRequest, config: AdaptConfig, base: Bundle, scans: Sequence[tuple[str, str]]) -> int | None:
    """Record the inputs of a run. If it began earlier, return its planned steps, else None.

    scans: role and digest of each, in the order in which they are learned from. Raises OptionError if the run in the
    folder began with other scans, roles or order, another base or other settings, and OutputError where it cannot be
    written.
    """
    folder = request.work
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({reason_of(error)}): choose another OUT") from error
    free = {"minutes": 0.0, "threads": 0, "checkpoint_every": 0}
    values = {
        "base": base.sha256,
        "scans": hashlib.sha256(json.dumps(scans).encode()).hexdigest(),
        "settings": json.loads(json.dumps({**asdict(config), **free})),
        "simulation": simulation_digest(),
    }
    path = folder / INPUTS
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name, value in values.items() if before.get(name) != value]
        if changed:
            raise OptionError(
                f"the run in {folder.name} was begun with other {_SAID[changed[0]]}: choose another OUT, or remove "
                "that folder"
            )
    else:
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    plan = folder / PLAN
    return int(json.loads(plan.read_text(encoding="utf-8"))["steps"]) if plan.exists() else None


_SAID = {
    "base": "weights",
    "scans": "scans, or with these in another order or role",
    "settings": "settings",
    "simulation": "simulated patients",
}


def planned(
    folder: Path, config: AdaptConfig, train_config: TrainConfig, steps: int
) -> tuple[AdaptConfig, TrainConfig]:
    """Record the planned steps, and return both configurations with them."""
    (folder / PLAN).write_text(json.dumps({"steps": steps}) + "\n", encoding="utf-8")
    return replace(config, steps=steps), replace(train_config, steps=steps)
