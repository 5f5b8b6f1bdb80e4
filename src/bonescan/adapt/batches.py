"""Batches of scans and simulated patients. They depend only on (seed, step, place in the batch) and ignored pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from bonescan.adapt.material import LearnedScan, told_by
from bonescan.adapt.settings import AdaptConfig
from bonescan.study import Mask
from bonescan.train.augment.apply import Sample, apply
from bonescan.train.augment.parameters import AugmentConfig, Parameters, sample
from bonescan.train.cases import Case
from bonescan.train.config import TrainConfig
from bonescan.train.precision import autocast
from bonescan.train.stream import Batch, collate

_BATCH, _SAMPLE, _LESIONS = 21, 22, 23
"""Random streams, other than those of a training."""

ON_SCANS = AugmentConfig(
    focus=0.6, warp=0.0, thin=0.4, blur=0.0, smoothed=0.0, view_gain=0.0, tone=0.3, cold=0.0, hot=0.2, mottle=0.0
)
"""Augmentations that keep Poisson noise: flips, shifts by whole pixels, thinning, and additions with own counts."""

_WEAK = ("position", "focus", "flip", "shift_cols_px")
"""The parameters that teacher and student share: the place of the crop."""


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
