"""The loop of an adaptation. The checkpoint holds the whole state, so a continued run ends with the same bits."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

from torch import nn

from bonescan.adapt.batches import Material, Mixed, mixed_batch, taught
from bonescan.adapt.settings import AdaptConfig
from bonescan.adapt.suspects import Suspect, find_suspects, unknown_pixels
from bonescan.lesions.delineate import Outline
from bonescan.study import Mask, View
from bonescan.train.cases import Split
from bonescan.train.checkpoint import TrainState, load_checkpoint, mix, save_checkpoint
from bonescan.train.config import TrainConfig
from bonescan.train.loop import CHECKPOINT, start, train_step
from bonescan.train.progress import Progress, Report, silent

_NOTHING = Split([], [])

Stop = Callable[[], bool]
"""Called after every step; true = save and stop."""


class Stopped(Exception):
    """The run was told to stop; what it has learned is saved."""


def begin(network: nn.Module, train_config: TrainConfig) -> TrainState:
    """The state before the first step: the network's weights, and an average that equals them."""
    state = start(train_config)
    for copy in (state.network, state.ema.network):
        copy.load_state_dict(network.state_dict())
    return state


def learn(
    state: TrainState,
    material: Material,
    foci: Sequence[Sequence[Outline]],
    configs: tuple[AdaptConfig, TrainConfig],
    report: Report = silent,
    stop: Stop = lambda: False,
) -> TrainState:
    """Learn, or continue from the checkpoint in the run's folder.

    state: as `begin` returns it. foci: what the base model marks on each of the normal scans. Raises Stopped when
    `stop` returns true.
    """
    config, train_config = configs
    folder = train_config.folder
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT
    first = load_checkpoint(checkpoint, state) if checkpoint.exists() else 0
    began = time.monotonic()
    looks = look_steps(config)

    def unknown_after(step: int) -> Mapping[int, Mask]:
        """The pixels that the last search up to a step ignores. Makes that search where its file is missing."""
        past = [look for look in looks if look <= step]
        if not past:
            return {}
        path = folder / f"suspects-{past[-1]}.json"
        if not path.exists():
            found = find_suspects(material.normals, foci, state.ema.network, config, train_config)
            _write_suspects(path, found)
        return unknown_pixels(material.normals, foci, _read_suspects(path))

    unknown = unknown_after(first)
    for span in _spans(first, train_config.steps, looks):
        known = replace(material, unknown=unknown)
        for step, mixed in _prepared(known, configs, span):
            batch = taught(mixed, state.ema.network, config, train_config)
            losses = train_step(train_config, state, _NOTHING, step, batch)
            done = step + 1
            left = (time.monotonic() - began) / (done - first) * (train_config.steps - done)
            figures = {name: float(value) for name, value in losses.items()}
            report(Progress("learn", done, train_config.steps, left, figures))
            if done % config.checkpoint_every == 0 or done == train_config.steps:
                save_checkpoint(checkpoint, state, done)
            if done < train_config.steps and stop():
                save_checkpoint(checkpoint, state, done)
                raise Stopped
        unknown = unknown_after(span.stop)
    return state


def look_steps(config: AdaptConfig) -> tuple[int, ...]:
    """The steps after which the scans are searched for suspects; never the last step."""
    steps = {round(config.steps * look / (config.looks + 1)) for look in range(1, config.looks + 1)}
    return tuple(sorted(steps - {0, config.steps}))


def seconds_a_step(network: nn.Module, material: Material, configs: tuple[AdaptConfig, TrainConfig]) -> float:
    """The time of a step on this machine, measured on a copy: the second of two steps."""
    config, train_config = configs
    state = begin(deepcopy(network), train_config)
    seconds = 0.0
    for step in range(2):
        began = time.monotonic()
        batch = taught(mixed_batch(material, config, train_config, step), state.ema.network, config, train_config)
        train_step(train_config, state, _NOTHING, step, batch)
        seconds = time.monotonic() - began
    return seconds


def _spans(first: int, steps: int, looks: Sequence[int]) -> Iterator[range]:
    """The remaining steps, divided where the scans are searched for suspects."""
    ends = [end for end in (*looks, steps) if end > first]
    for end in ends:
        yield range(first, end)
        first = end


def _prepared(material: Material, configs: tuple[AdaptConfig, TrainConfig], span: range) -> Iterator[tuple[int, Mixed]]:
    """The batches of a span. The next one is made while the network learns from this one."""
    with ThreadPoolExecutor(1) as maker:
        coming = deque([maker.submit(mixed_batch, material, *configs, span.start)])
        try:
            for step in span:
                if step + 1 < span.stop:
                    coming.append(maker.submit(mixed_batch, material, *configs, step + 1))
                yield step, coming.popleft().result()
        finally:
            for task in coming:
                task.cancel()


def _read_suspects(path: Path) -> list[Suspect]:
    return [Suspect(**{**entry, "view": View(entry["view"])}) for entry in json.loads(path.read_text("utf-8"))]


def _write_suspects(path: Path, suspects: Sequence[Suspect]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps([asdict(suspect) for suspect in suspects], indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def averaged(state: TrainState, base: nn.Module, base_share: float) -> nn.Module:
    """The averaged network with a share of the base's weights, ready to predict."""
    network = deepcopy(state.ema.network).eval()
    mix(network, base.state_dict(), base_share)
    return network
