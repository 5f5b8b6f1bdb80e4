"""Batches: cases, crops and augmentation. They depend only on (run seed, step, place in the batch)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bonescan.prepare import normalise
from bonescan.study import FloatImage
from bonescan.train.augment.apply import Sample, apply
from bonescan.train.augment.parameters import sample
from bonescan.train.cases import FAINT, Case, drawn, union_truth
from bonescan.train.config import LossConfig, TrainConfig

_BATCH, _SAMPLE = 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The input and targets of one step.

    image: (N, 2, h, w) float32. lesion: (N, 2, h, w) float32, 0 or 1. weight: the same shape: each pixel's
    weight in the lesion loss, 0 where a view is absent or unlabelled, and on equivocal lesions. region:
    (N, 2, h/4, w/4) int64, -1 where unknown: every second row and column of the region head's output, from `phase`
    (row, col; 0 or 1) on. Regions are large: a quarter of the pixels is enough, in a quarter of the time.
    present: (N, 2) bool, which views there are.
    benign, benign_weight: as lesion and weight, of benign findings; where both overlap, lesion counts. level: as
    region, -1 off the spine and the ribs. None where no case of the batch has them.
    """

    image: Tensor
    lesion: Tensor
    weight: Tensor
    region: Tensor
    phase: tuple[int, int]
    present: Tensor
    benign: Tensor | None = None
    benign_weight: Tensor | None = None
    level: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        if device.type == self.image.device.type:
            return self
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: part.to(device) if isinstance(part, Tensor) else part for name, part in parts.items()
        }
        return Batch(**moved)


def training_batch(cases: Sequence[Case], config: TrainConfig, step: int) -> Batch:
    """The batch of one step; the same arguments give the same batch, whatever came before."""
    if config.images.folder:
        return image_batch(cases, config, step)
    rng = np.random.default_rng([config.seed, _BATCH, step])
    weights = np.asarray(config.crop_weights) / sum(config.crop_weights)
    rows = int(rng.choice(config.crop_rows, p=weights))
    chosen = rng.integers(len(cases), size=config.batch_rows // rows)
    samples = []
    for place, index in enumerate(chosen.tolist()):
        own = np.random.default_rng([config.seed, _SAMPLE, step, place])
        parameters = sample(config.augment, own)
        samples.append(apply(cases[index], (rows, config.crop_cols), parameters, config.normalisation))
    row, col = rng.integers(2, size=2).tolist()
    return collate(samples, config.loss, (row, col))


def image_batch(cases: Sequence[Case], config: TrainConfig, step: int) -> Batch:
    """The batch of one step from a data set's images: some with labels, some whose labels are not used.

    The images are not augmented: the data set contains augmented copies. Equivocal lesions are ignored.
    """
    rng = np.random.default_rng([config.seed, _BATCH, step])
    labelled = [number for number, case in enumerate(cases) if any(known_views(case, config))]
    first = config.images.labelled_pairs if labelled else 0
    second = config.images.labelled_pairs + config.images.unlabelled_pairs - first
    chosen = [labelled[index] for index in rng.integers(max(1, len(labelled)), size=first)]
    chosen += rng.integers(len(cases), size=second).tolist()
    samples = []
    for place, number in enumerate(chosen):
        case = cases[number]
        image = normalise(case.counts, config.normalisation, case.facts.references[0])
        views = known_views(case, config) if place < first else (False, False)
        samples.append(Sample(image, truth_of(case, config), np.asarray(case.regions), views, (False, False)))
    return collate(samples, config.loss)


def truth_of(case: Case, config: TrainConfig) -> NDArray[np.uint8]:
    """The lesions of a case (2, rows, cols) that the network's answer is compared with: the union for added views."""
    lesions = np.asarray(case.lesions)
    return union_truth(lesions) if config.aggregated else lesions


def judged_truth(case: Case, config: TrainConfig) -> NDArray[np.uint8]:
    """As `truth_of`, with FAINT all over a view without a label: what is predicted there is neither right nor wrong."""
    known = np.array(known_views(case, config))[:, None, None]
    return np.where(known, truth_of(case, config), FAINT).astype(np.uint8)


def known_views(case: Case, config: TrainConfig) -> tuple[bool, bool]:
    """Which channels of the network's answer have truth."""
    labelled = case.facts.labelled
    if not config.aggregated or all(labelled) or not any(labelled):
        return labelled
    # The label of one view does not label the union of both, unless the other view is absent.
    whole = not case.counts[labelled.index(False)].any()
    return whole, whole


def collate(samples: Sequence[Sample], config: LossConfig, phase: tuple[int, int] = (0, 0)) -> Batch:
    """Stack samples and weigh their pixels."""
    lesions = np.stack([entry.lesions for entry in samples])
    labelled = np.array([entry.labelled for entry in samples])
    weights = np.stack([[lesion_weights(view, config) for view in entry.lesions] for entry in samples])
    weights *= labelled[:, :, None, None]
    image = torch.from_numpy(np.stack([entry.image for entry in samples]))
    is_lesion = drawn(lesions)
    benign, benign_weight = _benign(samples, lesions, is_lesion)
    return Batch(
        image=image.contiguous(memory_format=torch.channels_last),
        lesion=torch.from_numpy(is_lesion.astype(np.float32)),
        weight=torch.from_numpy(weights),
        region=_classes([(entry.regions, entry.region_views) for entry in samples], phase),
        phase=phase,
        present=image.amax(dim=(2, 3)) > 0,
        benign=benign,
        benign_weight=benign_weight,
        level=_levels(samples, phase),
    )


def _benign(
    samples: Sequence[Sample], lesions: NDArray[np.uint8], is_lesion: NDArray[np.bool_]
) -> tuple[Tensor | None, Tensor | None]:
    """Targets and weights of benign uptake; equivocal lesions have weight 0, as in the lesion loss."""
    views = np.array([entry.benign_views for entry in samples])
    if not views.any():
        return None, None
    planes = [np.zeros_like(entry.lesions) if entry.benign is None else entry.benign for entry in samples]
    target = (np.stack(planes) > 0) & ~is_lesion
    weight = (lesions != FAINT) & views[:, :, None, None]
    return torch.from_numpy(target.astype(np.float32)), torch.from_numpy(weight.astype(np.float32))


def _levels(samples: Sequence[Sample], phase: tuple[int, int]) -> Tensor | None:
    if not any(any(entry.level_views) for entry in samples):
        return None
    planes = [np.zeros_like(entry.lesions) if entry.levels is None else entry.levels for entry in samples]
    known = [entry.level_views for entry in samples]
    levels = _classes(list(zip(planes, known, strict=True)), phase)
    return torch.where(levels == 0, -1, levels)


def _classes(planes: Sequence[tuple[NDArray[np.uint8], tuple[bool, bool]]], phase: tuple[int, int]) -> Tensor:
    """Class numbers at every second pixel of half resolution, from `phase` on; -1 in views that are not known."""
    numbers = np.stack([plane[:, 2 * phase[0] :: 4, 2 * phase[1] :: 4] for plane, _ in planes]).astype(np.int64)
    numbers[~np.array([known for _, known in planes])] = -1
    return torch.from_numpy(numbers)


def lesion_weights(lesions: NDArray[np.uint8], config: LossConfig) -> FloatImage:
    """Weight of each pixel of one view: 1 on background, 0 on equivocal lesions, else by one over the root of the area.

    So missing a large lesion costs more than missing a small one, but by less than the ratio of their areas.
    """
    areas = np.bincount(lesions.ravel(), minlength=256).astype(np.float32)
    table = np.sqrt(np.float32(config.reference_area_px) / np.maximum(areas, 1))
    table = np.clip(table, config.least_weight, config.most_weight).astype(np.float32)
    table[0], table[FAINT] = 1.0, 0.0
    weights: FloatImage = table[lesions]
    return weights
