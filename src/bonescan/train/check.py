"""Check a configuration before anything is simulated, read or trained."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from bonescan.errors import OptionError
from bonescan.train.config import TrainConfig
from bonescan.train.loop import build_network, refuse_other_run
from bonescan.train.methods import METHODS

_SMALL = 64
"""Rows and columns of the image that the network is tried on; every network takes multiples of 32."""


def check_config(config: TrainConfig) -> None:
    """Raise OptionError for a network that cannot be built or run, and for numbers and folders that cannot be used."""
    _check_numbers(config)
    if config.method not in METHODS:
        raise OptionError(f"there is no method {config.method!r} here: choose one of {', '.join(METHODS)}")
    network = build_network(config).eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 2, _SMALL, _SMALL))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(f"the network {config.network} cannot run with this network_config: {reason}") from None
    _check_folders(config)
    refuse_other_run(config)


def _check_numbers(config: TrainConfig) -> None:
    phantoms = config.phantoms
    least = {
        "warmup_steps": (config.warmup_steps, 0),
        "threads": (config.threads, 1),
        "checkpoint_every": (config.checkpoint_every, 1),
        "validate_every": (config.validate_every, 1),
        "validation_cases": (config.validation_cases, 1),
        "log_every": (config.log_every, 1),
        "phantoms.anatomies": (phantoms.anatomies, 0),
        "phantoms.patients_per_anatomy": (phantoms.patients_per_anatomy, 1),
        "phantoms.validation_anatomies": (phantoms.validation_anatomies, 0),
        "phantoms.validation_patients_per_anatomy": (phantoms.validation_patients_per_anatomy, 1),
        "phantoms.first_seed": (phantoms.first_seed, 0),
        "phantoms.processes": (phantoms.processes, 1),
    }
    for name, (value, lowest) in least.items():
        if value < lowest:
            raise OptionError(f"{name} is {value}: give a number from {lowest}")
    if config.learning_rate <= 0:
        raise OptionError(f"learning_rate is {config.learning_rate}: give a number above 0")
    if not 0 <= config.start_share < 1:
        raise OptionError(f"start_share is {config.start_share}: give a share from 0 to below 1")
    if config.start_share and not config.begin_with:
        raise OptionError("start_share mixes in the weights of begin_with, which is empty: name a bundle there")
    if not 0 <= config.cohort.validation_share < 1:
        raise OptionError(
            f"cohort.validation_share is {config.cohort.validation_share}: give a share from 0 to below 1"
        )
    if min(config.crop_weights) < 0 or not sum(config.crop_weights):
        raise OptionError(f"crop_weights is {list(config.crop_weights)}: give weights of at least 0, one above it")
    if not (config.images.folder or config.cohort.folder or phantoms.anatomies):
        raise OptionError(
            "the configuration names nothing to learn from: set cohort.folder to labelled scans, phantoms.anatomies to "
            "a number of simulated anatomies, or images.folder to a data set"
        )


def _check_folders(config: TrainConfig) -> None:
    for name, folder in (("cohort.folder", config.cohort.folder), ("images.folder", config.images.folder)):
        if folder and not Path(folder).is_dir():
            raise OptionError(f"{name} is {folder!r}, and there is no such folder: correct it")
    written = {"runs": config.runs}
    if config.phantoms.anatomies and not config.images.folder:
        written["phantoms.cache"] = config.phantoms.cache
    for name, folder in written.items():
        there = Path(folder).absolute()
        while not there.exists() and there != there.parent:
            there = there.parent
        if not (there.is_dir() and os.access(there, os.W_OK)):
            raise OptionError(f"{name} is {folder!r}, where nothing can be written: choose another folder")
