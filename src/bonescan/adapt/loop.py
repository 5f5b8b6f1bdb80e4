"""The loop of an adaptation, and its batches of scans and simulated patients.

A batch depends only on (seed, step, place in the batch) and ignored pixels. The checkpoint holds the whole state, so a
continued run ends with the same bits.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bonescan.adapt.scans import LearnedScan, told_by
from bonescan.adapt.settings import AdaptConfig
from bonescan.adapt.suspects import Suspect, find_suspects, unknown_pixels
from bonescan.lesions.delineate import Outline
from bonescan.study import Mask, View
from bonescan.system.files import written_whole
from bonescan.train.augment.apply import Sample, apply
from bonescan.train.augment.parameters import AugmentConfig, Parameters, sample
from bonescan.train.cases import Case, Split
from bonescan.train.checkpoint import TrainState, load_checkpoint, mix, save_checkpoint
from bonescan.train.config import TrainConfig
from bonescan.train.inference import autocast
from bonescan.train.loop import CHECKPOINT, start, train_step
from bonescan.train.progress import Progress, Report, silent
from bonescan.train.stream import Batch, collate

_BATCH, _SAMPLE, _LESIONS = 21, 22, 23
"""Random streams, other than those of a training."""

ON_SCANS = AugmentConfig(
    focus=0.6, warp=0.0, thin=0.4, blur=0.0, smoothed=0.0, view_gain=0.0, tone=0.3, cold=0.0, hot=0.2, mottle=0.0
)
"""Augmentations that keep Poisson noise: flips, shifts by whole pixels, thinning, and additions with own counts."""

_WEAK = ("position", "focus", "flip", "shift_cols_px")
"""The parameters that teacher and student share: the place of the crop."""

_NOTHING = Split([], [])

Stop = Callable[[], bool]
"""Called after every step; true = save and stop."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What is learned from.

    normals: scans without lesions. unknown: their ignored pixels, by the scan's number. unlabelled: scans of unknown
    status. phantoms: simulated patients.
    """

    normals: Sequence[LearnedScan]
    phantoms: Sequence[Case]
    unlabelled: Sequence[LearnedScan] = ()
    unknown: Mapping[int, Mask] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """One step's batch. weak: (N, 2, h, w), what the teacher sees of the last samples, which are of unknown status."""

    batch: Batch
    weak: Tensor | None


def mixed_batch(material: Material, config: AdaptConfig, train_config: TrainConfig, step: int) -> Mixed:
    """The batch of one step; the same arguments give the same batch."""
    rng = np.random.default_rng([config.seed, _BATCH, step])
    size = (config.crop_rows, config.crop_cols)
    total = config.batch_rows // config.crop_rows
    scans = round(total * config.scan_share) if material.normals or material.unlabelled else 0
    scans = scans if material.phantoms else total
    from_normals = scans if material.normals else 0
    samples: list[Sample] = []
    for place in range(total if material.normals else total - scans):
        own = np.random.default_rng([config.seed, _SAMPLE, step, place])
        if place < from_normals:
            case = _normal(material, config, (step, place), rng)
            parameters = sample(ON_SCANS, own)
        else:
            case = material.phantoms[int(rng.integers(len(material.phantoms)))]
            parameters = sample(train_config.augment, own)
        made = apply(case, size, parameters, train_config.normalisation)
        samples.append(replace(made, regions=told_by(made.regions, train_config.network_config)))
    weak: list[Sample] = []
    for place in range(scans if material.unlabelled else 0):
        own = np.random.default_rng([config.seed, _SAMPLE, step, total + place])
        pair = _weak_and_strong(material, own, size, train_config)
        weak.append(pair[0])
        samples.append(pair[1])
    row, col = rng.integers(2, size=2).tolist()
    batch = collate(samples, train_config.loss, (row, col))
    return Mixed(batch, torch.from_numpy(np.stack([entry.image for entry in weak])) if weak else None)


def _normal(material: Material, config: AdaptConfig, place: tuple[int, int], rng: np.random.Generator) -> Case:
    scan = material.normals[int(rng.integers(len(material.normals)))]
    own = np.random.default_rng([config.seed, _LESIONS, *place])
    return scan.with_lesions(own, config.lesions, material.unknown.get(scan.number))


def _weak_and_strong(
    material: Material, rng: np.random.Generator, size: tuple[int, int], train_config: TrainConfig
) -> tuple[Sample, Sample]:
    """One crop twice: plain for the teacher, augmented for the student. Its lesions are not known."""
    scan = material.unlabelled[int(rng.integers(len(material.unlabelled)))]
    strong = replace(sample(ON_SCANS, rng), focus=None, missing=None, cut=(0.0, 1.0))
    weak = Parameters(**{name: getattr(strong, name) for name in _WEAK})
    made = [apply(scan.plain(), size, parameters, train_config.normalisation) for parameters in (weak, strong)]
    return made[0], replace(made[1], labelled=(False, False))


@torch.no_grad()
def taught(mixed: Mixed, teacher: nn.Module, config: AdaptConfig, train_config: TrainConfig) -> Batch:
    """The batch with the teacher's labels for the samples of unknown status, where the teacher is sure.

    Each class has its own threshold: a common one would keep only background.
    """
    if mixed.weak is None:
        return mixed.batch
    with autocast(teacher, train_config):
        logits = teacher.eval()(mixed.weak.contiguous(memory_format=torch.channels_last))[0]
    probability = torch.sigmoid(logits.float())
    first = mixed.batch.image.shape[0] - mixed.weak.shape[0]
    lesion, weight = mixed.batch.lesion.clone(), mixed.batch.weight.clone()
    sure = (probability >= config.sure_lesion) | (probability <= config.sure_background)
    lesion[first:] = (probability >= config.sure_lesion).float()
    weight[first:] = config.unlabelled_weight * sure.float() * mixed.batch.present[first:, :, None, None]
    return replace(mixed.batch, lesion=lesion, weight=weight)


class Stopped(Exception):
    """The run was told to stop; what it has learned is saved. learned: whether it has learned anything."""

    def __init__(self, learned: bool) -> None:
        super().__init__("stopped")
        self.learned = learned


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
                raise Stopped(learned=True)
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
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps([asdict(suspect) for suspect in suspects], indent=1) + "\n", encoding="utf-8")


def averaged(state: TrainState, base: nn.Module, base_share: float) -> nn.Module:
    """The averaged network with a share of the base's weights, ready to predict."""
    network = deepcopy(state.ema.network).eval()
    mix(network, base.state_dict(), base_share)
    return network
