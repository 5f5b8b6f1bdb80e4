"""From declared experiments to runs: how large they are, how each is configured, and when a result is out of date.

Two arms of the same configuration are one run, in whichever experiments they stand. A run's identity is made of what
is declared, so that a result is found again after the code has changed; its key is made of all that the result follows
from, so that it is then known to be of earlier code. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import bonescan
from bonescan.configuration import config_from_dict
from bonescan.errors import OptionError
from bonescan.lin2022.experiments.declared import EXPERIMENTS, Arm, Experiment, Kind, SetOptions
from bonescan.system.fingerprint import source_digest, values_digest
from bonescan.train.config import TrainConfig
from bonescan.train.phantoms import simulation_digest

_SOURCE = Path(bonescan.__file__).parent
_TRAINING = (
    "train/cases.py",
    "models/views.py",
    "train/augment/apply.py",
    "lin2022/chan_vese.py",
    "train/checkpoint.py",
    "train/export.py",
    "lin2022/images.py",
    "train/loop.py",
    "train/inference.py",
    "train/methods.py",
    "train/stream.py",
)
_NETWORKS = {"lin2022": "lin2022/network.py", "plain-unet": "lin2022/plain_unet.py", "unet": "models/unet.py"}
_METHODS: dict[Kind, tuple[str, ...]] = {
    "classical": ("lin2022/experiments/classical.py",),
    "external": tuple(f"lin2022/experiments/nnunet{part}.py" for part in ("", "_raw", "_program")),
}
_READERS = ("annotate/consensus.py", "phantom/readers.py")
_TESTING = (
    "lesions/delineate.py",
    "evaluate/matching.py",
    "evaluate/report.py",
    "lin2022/experiments/measure.py",
    "prepare/normalise.py",
)
_UNTOLD = (
    "name",
    "runs",
    "threads",
    "log_every",
    "checkpoint_every",
    "validate_every",
    "validation_cases",
    "max_minutes",
)
"""Keys of a configuration that change no weights, or only their last bits."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile changes. patients, images: size of the data set (images of both views, as the paper counts).

    seeds: each is the seed of a training and of its draw of labels. config: keys of `TrainConfig` for all arms.
    networks: fields of a network's own configuration, by the network's name; an arm's own fields come before.
    gan: fields of the GAN's configuration. nnunet: fields of `NnunetOptions`.
    least_share: what a share of labels above 0 is raised to, so that it is a patient at least. purpose: in words.
    """

    purpose: str
    patients: int
    images: int
    seeds: tuple[int, ...]
    config: Mapping[str, Any]
    networks: Mapping[str, Mapping[str, Any]]
    gan: Mapping[str, Any]
    nnunet: Mapping[str, Any]
    least_share: float = 0.0


PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        purpose="all the code in a few minutes; its figures mean nothing",
        patients=6,
        images=24,
        seeds=(1,),
        config={"steps": 2, "warmup_steps": 1, "log_every": 1, "checkpoint_every": 1},
        networks={"lin2022": {"channels": 2, "pool_after": 1}, "plain-unet": {"widths": [2, 4, 8]}},
        gan={
            "steps": 1,
            "batch": 2,
            "discriminator_steps": 1,
            "network": {"generator_width": 2, "discriminator_width": 2},
        },
        nnunet={"epochs": 1, "iterations": 1, "memory_gb": 1.0},
        least_share=0.1,
    ),
    "cpu": Profile(
        purpose="the paper's data, fewer steps, and its network pooled after the first block: hours on two cores",
        patients=56,
        images=2280,
        seeds=(1, 2, 3),
        config={"steps": 500, "warmup_steps": 50, "log_every": 10, "checkpoint_every": 50},
        networks={"lin2022": {"pool_after": 1}},
        gan={"steps": 1000},
        nnunet={"epochs": 4, "iterations": 100, "memory_gb": 1.0},
    ),
    "full": Profile(
        purpose="the paper's data, network and ten repetitions: weeks on two cores",
        patients=56,
        images=2280,
        seeds=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
        config={"steps": 20_000, "warmup_steps": 400},
        networks={"lin2022": {"pool_after": 3}},
        # As configs/gan.toml has it.
        gan={
            "steps": 10_000,
            "batch": 32,
            "ema_decay": 0.999,
            "network": {"latent": 100, "generator_width": 16, "discriminator_width": 16, "most_channels": 256},
        },
        nnunet={"device": "cuda", "workers": 8},
    ),
}
"""Name -> profile."""

SHARED: dict[str, Any] = {
    "method": "chan-vese",
    "network": "lin2022",
    # As configs/paper.toml has it, for the same reasons.
    "learning_rate": 5e-3,
    "clip_norm": 1.0,
    "chan_vese": {"lesion_weight": 5.0},
    # At these few channels bfloat16 is not faster, and test times are of full precision.
    "bf16": False,
    "threads": 1,
    "images": {"set": "D2", "label_share": 0.37, "labelled_pairs": 1, "unlabelled_pairs": 1},
}
"""What all arms of all experiments share unless they say otherwise: the paper's model on D2 with 37 % of the labels."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training, or one pass of a method that learns nothing, and its test.

    values: keys of `TrainConfig` that differ from its defaults, without folders. identity: what its result is found by.
    """

    profile: str
    kind: Kind
    method: str
    images: SetOptions
    seed: int
    values: Mapping[str, Any] = field(repr=False)
    identity: str

    @property
    def name(self) -> str:
        """The stem of its result's file: letters, digits and hyphens."""
        what = self.method or f"{self.values['network']}-{self.values['method']}"
        return f"{what}-{self.identity}"

    def config(self, folder: str = "unset", runs: str = "runs", name: str = "run") -> TrainConfig:
        """The configuration of its training. folder: of the data set. Raises OptionError for an unknown key."""
        values = merged(self.values, {"images": {"folder": folder}, "runs": runs, "name": name})
        config: TrainConfig = config_from_dict(TrainConfig, values)
        return config

    @property
    def key(self) -> str:
        """A hash of all that its result follows from: configuration, data set and code."""
        return values_digest({"config": self.told, "set": self.set_identity, "code": self.code})

    @property
    def told(self) -> dict[str, Any]:
        """What of its configuration its result follows from, all defaults included."""
        values = told(self.config())
        if self.kind == "train":
            return values
        return {"seed": values["seed"], "images": values["images"]} if self.kind == "external" else {}

    @property
    def set_identity(self) -> str:
        """What the folder of its data set is named."""
        return set_identity(self.profile, self.images)

    @property
    def code(self) -> str:
        """A hash of the code that makes and tests it."""
        return code_digest(self.kind, self.method or str(self.values["network"]))


def find(names: Sequence[str]) -> dict[str, Experiment]:
    """The experiments of these names, all where there is no name. Raises OptionError for an unknown one."""
    for name in names:
        if name not in EXPERIMENTS:
            own = "did you mean bonescan experiment own COHORT -o OUT? Else " if name == "own" else ""
            raise OptionError(f"there is no experiment {name!r}: {own}choose of {', '.join(EXPERIMENTS)}")
    return {name: EXPERIMENTS[name] for name in names or EXPERIMENTS}


def profile_of(name: str) -> Profile:
    """The profile of that name. Raises OptionError for an unknown one."""
    if name not in PROFILES:
        raise OptionError(f"there is no profile {name!r}: choose of {', '.join(PROFILES)}")
    return PROFILES[name]


def runs_of_arm(arm: Arm, experiment: Experiment, profile: str) -> tuple[Run, ...]:
    """The runs of one arm, one a seed; one in all where nothing is random."""
    seeds = profile_of(profile).seeds[: experiment.seeds]
    return tuple(_run(arm, profile, seed) for seed in (seeds[:1] if arm.kind == "classical" else seeds))


def runs_of(experiments: Iterable[Experiment], profile: str) -> tuple[Run, ...]:
    """All runs of experiments, each once; a seed is finished for all arms before the next one begins."""
    every = [run for one in experiments for arm in one.arms for run in runs_of_arm(arm, one, profile)]
    unique = {run.identity: run for run in every}
    return tuple(sorted(unique.values(), key=lambda run: run.seed))


def merged(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings laid over one another; a later one's values come before."""
    result: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            before = result.get(key)
            if isinstance(value, Mapping):
                value = merged(before if isinstance(before, Mapping) else {}, value)
            result[key] = value
    return result


def told(config: TrainConfig) -> dict[str, Any]:
    """The configuration without folders, and without what changes no result."""
    values = {key: value for key, value in config.to_dict().items() if key not in _UNTOLD}
    for apart in ("phantoms", "cohort", "calibration"):
        del values[apart]
    del values["images"]["folder"]
    return values


def _run(arm: Arm, profile: str, seed: int) -> Run:
    sizes = profile_of(profile)
    values: dict[str, Any] = {}
    if arm.kind == "external":
        # Only which labels it learns from is ours; all else is its own.
        values = merged(
            {"images": SHARED["images"]},
            {"images": arm.overrides["images"]},
            {"seed": seed, "images": {"label_seed": seed}},
        )
    elif arm.kind == "train":
        values = merged(SHARED, sizes.config, arm.overrides, {"seed": seed, "images": {"label_seed": seed}})
        if values["images"]["label_share"] > 0:
            values["images"]["label_share"] = max(values["images"]["label_share"], sizes.least_share)
        own = merged(sizes.networks.get(values["network"], {}), values.get("network_config", {}))
        values = {**values, "network_config": own}
    stated = {
        "kind": arm.kind,
        "method": arm.method,
        "set": set_values(profile, arm.images),
        "values": {key: value for key, value in values.items() if key not in _UNTOLD},
        "seed": seed,
    }
    if arm.kind == "external":
        stated["options"] = dict(sizes.nnunet)
    return Run(profile, arm.kind, arm.method, arm.images, seed, values, values_digest(stated))


def set_values(profile: str, images: SetOptions) -> dict[str, Any]:
    """What a data set is declared by, as JSON values."""
    sizes = profile_of(profile)
    values: dict[str, Any] = {"patients": sizes.patients, "images": sizes.images, "protocol": images.protocol}
    if images.tolerance is not None:
        values["tolerance"] = images.tolerance
    if images.gan:
        values["gan"] = dict(sizes.gan)
    return values


@cache
def set_identity(profile: str, images: SetOptions) -> str:
    """A hash of what the content of a data set follows from: its options, and the code that makes it."""
    files = [*(_SOURCE / "lin2022/datasets").glob("*.py"), _SOURCE / "prepare/crop.py"]
    if images.tolerance is not None:
        files += [_SOURCE / name for name in _READERS]
    if images.gan:
        files += (_SOURCE / "lin2022/gan").glob("*.py")
    code = source_digest(files, _SOURCE)
    return values_digest({**set_values(profile, images), "code": code, "simulation": simulation_digest()})


@cache
def code_digest(kind: Kind, what: str) -> str:
    """A hash of the code that makes a run and tests it, taken once: what runs is the code as it was when it started.

    what: the network of a training, or the method's name.
    """
    making = (*_TRAINING, _NETWORKS[what]) if kind == "train" else _METHODS[kind]
    return source_digest([_SOURCE / name for name in (*_TESTING, *making)], _SOURCE)
