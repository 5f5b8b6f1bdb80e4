"""The images of a data set folder as cases: which are learned from, which have a label, which are tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bonescan.errors import OptionError
from bonescan.lin2022.datasets import DataSet, PairRecord, read_dataset
from bonescan.lin2022.datasets.index import Subset
from bonescan.train.cases import Case, CaseFacts, Split
from bonescan.train.config import ImagesConfig

Labelled = tuple[bool, bool]
"""Whether the label of the (anterior, posterior) view is used."""


def image_split(config: ImagesConfig) -> Split:
    """Training and validation cases of the configured set, with the chosen labels only.

    Raises OptionError and InputError as `read_dataset` does, and OptionError if no patient or no label is left.
    """
    dataset = read_dataset(config.folder, config.set)
    labels = draw_labels(dataset, config)
    training = [read_pair(dataset, record, labels[record.study]) for record in _learned_from(dataset, config)]
    # Validation uses original pairs only, with all their labels.
    validation = [
        read_pair(dataset, record)
        for record in dataset.of(Subset.TRAIN)
        if record.origin == "original" and any(record.labelled) and _validates(dataset, config, record)
    ]
    if not training:
        raise OptionError(
            f"images.validation_share = {config.validation_share:g} leaves no image to learn from: give a smaller one"
        )
    if config.label_share and not any(any(case.facts.labelled) for case in training):
        raise OptionError(
            f"images.label_share = {config.label_share:g} leaves no label among the images to learn from: give a "
            "larger one, or 0 to learn without labels"
        )
    return Split(training, validation)


def held_out(config: ImagesConfig) -> list[Case]:
    """The test pairs of a data set's folder, with their true labels."""
    dataset = read_dataset(config.folder, config.set)
    return [read_pair(dataset, record) for record in dataset.of(Subset.TEST)]


def draw_labels(dataset: DataSet, config: ImagesConfig) -> dict[str, Labelled]:
    """Which labels of each pair that is learned from are used, by study.

    Units (patients, or images) are ordered by a hash with the seed, and the first ones are labelled. So a smaller share
    is part of a larger one. The share is of all units of the set, as in the paper, including those of test and
    validation patients, which are never chosen.
    """
    learned = _learned_from(dataset, config)
    training = [record for record in learned if record.origin != "gan" and any(record.labelled)]
    everything = [record for record in dataset.pairs if record.origin != "gan"]
    none = {record.study: (False, False) for record in learned}
    if config.label_unit == "patient":
        wanted = round(config.label_share * len({record.patient for record in everything}))
        chosen = set(_first(sorted({record.patient for record in training}), wanted, config.label_seed))
        return none | {record.study: record.labelled for record in training if record.patient in chosen}
    wanted = round(config.label_share * sum(sum(record.labelled) for record in everything))
    images = [f"{record.study}:{view}" for record in training for view in range(2) if record.labelled[view]]
    drawn = set(_first(images, wanted, config.label_seed))
    return none | {record.study: (f"{record.study}:0" in drawn, f"{record.study}:1" in drawn) for record in training}


def read_pair(dataset: DataSet, record: PairRecord, labelled: Labelled | None = None) -> Case:
    """One pair as a case. labelled: None = every label there is."""
    pair = dataset.load(record)
    rows = pair.counts.shape[1]
    facts = CaseFacts(
        key=record.study,
        group=f"patient-{record.patient or record.study}",
        references=record.references,
        body_rows=(0, rows),
        lesion_rows=(),
        labelled=record.labelled,
        has_regions=False,
    )
    if labelled is not None:
        facts = replace(facts, labelled=labelled)
    return Case(pair.counts, pair.lesions, np.zeros_like(pair.lesions), facts)


def _learned_from(dataset: DataSet, config: ImagesConfig) -> list[PairRecord]:
    return [record for record in dataset.of(Subset.TRAIN) if not _validates(dataset, config, record)]


def _validates(dataset: DataSet, config: ImagesConfig, record: PairRecord) -> bool:
    """Whether a training pair's patient is kept for validation. A leaky data set has no validation patients."""
    return record.origin != "gan" and not dataset.leaky and _share(0, record.patient) < config.validation_share


def _first(units: Sequence[str], number: int, seed: int) -> list[str]:
    return sorted(units, key=lambda unit: _share(seed, unit))[:number]


def _share(seed: int, name: str) -> float:
    """A number in 0..1 that only the seed and the name decide."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


class DataSetImages:
    """The source of images for trainings with `images.folder` (`train.run.ImageSource`)."""

    def split(self, config: ImagesConfig) -> Split:
        """See `image_split`."""
        return image_split(config)

    def digest(self, config: ImagesConfig) -> str:
        """The digest of the data set's content."""
        return read_dataset(config.folder, config.set).digest


SOURCE = DataSetImages()
