"""The training loop.

Everything random follows from (seed, step, place in the batch), and the checkpoint holds the whole state. So an
interrupted run ends with the same bits as an uninterrupted one.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bonescan.bundle import load_bundle, record_of
from bonescan.configuration import config_from_dict, override
from bonescan.errors import OptionError
from bonescan.models import MODELS, UNet
from bonescan.models.registry import from_bundle, take_weights
from bonescan.system.interrupts import Stopped, deferred_stop, going_on
from bonescan.train.calibrate import quick_figures
from bonescan.train.cases import Split, spread
from bonescan.train.checkpoint import Ema, TrainState, load_checkpoint, save_checkpoint, save_weights
from bonescan.train.config import TrainConfig
from bonescan.train.inference import autocast, device_of, place_of
from bonescan.train.methods import METHODS, Parts
from bonescan.train.progress import Progress, Report, silent
from bonescan.train.stream import Batch, training_batch

CHECKPOINT = "checkpoint.safetensors"
START = "start.safetensors"
"""In the folder of a run that exports a share of the weights that it began with: these weights."""
BEGINNING = "began_with.json"
"""In the folder of a run that began with a bundle: that bundle's record. Another one may have its name later."""
_FREE = ("max_minutes", "log_every", "checkpoint_every", "calibration", "device")


def train(config: TrainConfig, split: Split, report: Report = silent) -> Path:
    """Train, or go on with a run of the same name and configuration; return the run's folder.

    Raises OptionError when a run of this name was started with another configuration. On SIGINT or SIGTERM the step is
    finished and the checkpoint saved; then `Stopped` is raised and says from which step the same command continues.
    """
    torch.set_num_threads(config.threads)
    folder = open_run(config)
    state = start(config)
    checkpoint = folder / CHECKPOINT
    first = load_checkpoint(checkpoint, state) if checkpoint.exists() else 0
    if config.start_share and not first:
        save_weights(folder / START, state.network)
    if config.begin_with and not first:
        record = record_of(load_bundle(config.begin_with))
        (folder / BEGINNING).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    log = (folder / "log.jsonl").open("a", encoding="utf-8")
    began = time.monotonic()
    with log, closing(batches(config, split, first)) as prepared, deferred_stop() as asked:
        for step, batch in prepared:
            losses = train_step(config, state, split, step, batch)
            done = step + 1
            seconds = time.monotonic() - began
            out_of_time = 0 < config.max_minutes * 60 <= seconds
            stopped = asked()
            last = done == config.steps or out_of_time or stopped > 0
            if done % config.log_every == 0 or last:
                figures = {name: float(value) for name, value in losses.items()}
                left = seconds / (done - first) * (config.steps - done)
                report(Progress("train", done, config.steps, left, figures))
                said = {"step": done, "seconds": round(seconds, 1), "cases": len(split.training_at(step)), **figures}
                log.write(json.dumps(said) + "\n")
            if split.validation and not stopped and (done % config.validate_every == 0 or last):
                figures = quick_figures(state.ema.network, spread(split.validation, config.validation_cases), config)
                report(Progress("validate", done, config.steps, None, figures))
                log.write(json.dumps({"step": done, **figures}) + "\n")
                log.flush()
            if done % config.checkpoint_every == 0 or last:
                save_checkpoint(checkpoint, state, done)
            if stopped:
                raise Stopped(going_on(done, config.steps), stopped)
            if last:
                break
    return folder


def batches(config: TrainConfig, split: Split, first: int) -> Generator[tuple[int, Batch]]:
    """The steps from `first` on with their batches. The next one is made while the network learns from this one."""
    with ThreadPoolExecutor(1) as maker:
        coming = deque([maker.submit(batch_of, config, split, first)])
        try:
            for step in range(first, config.steps):
                if step + 1 < config.steps:
                    coming.append(maker.submit(batch_of, config, split, step + 1))
                yield step, coming.popleft().result()
        finally:
            for task in coming:
                task.cancel()


def batch_of(config: TrainConfig, split: Split, step: int) -> Batch:
    """The batch of one step. Waits for cases that belong to this step and are not simulated yet."""
    return training_batch(split.training_at(step), config, step)


def train_step(config: TrainConfig, state: TrainState, split: Split, step: int, batch: Batch | None = None) -> Parts:
    """One batch, one update of the weights and of their average; detached losses.

    batch: what `batch_of` gives, where that was made before.
    """
    device = place_of(state.network)
    batch = (batch_of(config, split, step) if batch is None else batch).to(device)
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(config, step)
    set_mode(state.network, frozen=step >= config.freeze_norms_after * config.steps, only=config.only)
    with torch.random.fork_rng(devices=_own_generators(device)):  # dropout follows from the step, too
        torch.manual_seed(int(np.random.SeedSequence([config.seed, step]).generate_state(1)[0]))
        with autocast(state.network, config):
            # Regions and levels have many channels: compute them only at the pixels where they are compared.
            where = {"phase": batch.phase} if isinstance(state.network, UNet) else {}
            answer = state.network(batch.image, **where)
    losses = METHODS[config.method](answer, batch, config)
    state.optimiser.zero_grad(set_to_none=True)
    losses["total"].backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.network.parameters(), config.clip_norm)
    state.optimiser.step()
    state.ema.update(state.network, step)
    return {name: part.detach() for name, part in losses.items()}


def _own_generators(device: torch.device) -> list[torch.device]:
    """The devices besides the processor whose random numbers a step draws from."""
    return [device] if device.type == "cuda" else []


def set_mode(network: nn.Module, frozen: bool, only: str = "") -> None:
    """Training mode; with `frozen`, batch norms use and keep the statistics they have.

    only: prefix of the names of the layers that learn; all others are as in prediction.
    """
    network.train()
    for name, module in network.named_modules():
        if not name.startswith(only) or (frozen and isinstance(module, nn.BatchNorm2d)):
            module.training = False


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def start(config: TrainConfig) -> TrainState:
    """A fresh network, its average and its optimiser."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # on the processor, so that every device starts with the same weights
        network = beginning_network(config).to(device_of(config))
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in learning if parameter.ndim > 1]
    others = [parameter for parameter in learning if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return TrainState(network, Ema(network, config.ema_decay), torch.optim.AdamW(groups, lr=config.learning_rate))


def beginning_network(config: TrainConfig) -> nn.Module:
    """The network that a training begins with: with the weights of `begin_with`, and frozen but for what learns.

    Raises OptionError for a network that cannot be built, or that lacks what `only` and `start_share` speak of.
    """
    network = build_network(config)
    if config.begin_with:
        fresh = take_weights(network, from_bundle(load_bundle(config.begin_with)))
        kept = [name for name in fresh if not name.startswith(config.only)]
        if config.only and kept:
            raise OptionError(
                f"with only = {config.only!r}, all else stays as it is in {config.begin_with}, which has no {kept[0]}: "
                "choose another only, or copy the network_config of that model"
            )
        if config.start_share and fresh:
            raise OptionError(
                f"start_share mixes in the weights of {config.begin_with}, which has no {fresh[0]}: set it to 0"
            )
    for name, parameter in network.named_parameters():
        if not name.startswith(config.only):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()) and config.only:
        raise OptionError(f"only is {config.only!r}, and no layer of {config.network} is named so: correct it")
    return network


def build_network(config: TrainConfig) -> nn.Module:
    """The network that the configuration names; OptionError when there is none of that name."""
    return make_network(config.network, config.network_config, "network_config.")


def network_from(name: str, settings: Sequence[str]) -> nn.Module:
    """A network from settings of the form "field=value" (values as in TOML); OptionError as `build_network`."""
    values: dict[str, Any] = {}
    for setting in settings:
        override(values, setting)
    return make_network(name, values)


def make_network(name: str, values: Mapping[str, Any], table: str = "") -> nn.Module:
    """A network of `MODELS` with fresh weights; OptionError for an unknown name or field, or an impossible value."""
    if name not in MODELS:
        raise OptionError(f"there is no network {name!r}: choose one of {', '.join(MODELS)}")
    kind, build = MODELS[name]
    try:
        return build(config_from_dict(kind, values, table))
    except ValueError as error:
        raise OptionError(f"the network {name} cannot be built: {error}") from None


def open_run(config: TrainConfig) -> Path:
    """Make the run's folder, or check that the one that is there was started with this configuration."""
    refuse_other_run(config)
    folder = config.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
    return folder


def refuse_other_run(config: TrainConfig) -> None:
    """Raise OptionError where the run's folder holds one that was started with another configuration."""
    path = config.folder / "config.json"
    values = config.to_dict()
    if path.exists():
        before = _with_defaults(json.loads(path.read_text(encoding="utf-8")))
        changed = sorted(key for key in values.keys() | before.keys() if values.get(key) != before.get(key))
        # Duration, logging, speed and place may change when a run is continued.
        changed = [key for key in changed if key not in _FREE and not _only_speed(before.get(key), values.get(key))]
        if changed:
            raise OptionError(
                f"the run {config.name} was started with another {changed[0]}: choose another name, or remove "
                f"{config.folder}"
            )


def _with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a run of before, with the defaults of keys that there were not then."""
    defaults = TrainConfig().to_dict()
    tables = {key: {**table, **values.get(key, {})} for key, table in defaults.items() if isinstance(table, dict)}
    return {**defaults, **values, **tables}


def _only_speed(before: Any, now: Any) -> bool:
    """Whether two values are tables that differ only in how many processes simulate."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return False
    return {**before, "processes": 0} == {**now, "processes": 0}
