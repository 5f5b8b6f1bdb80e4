"""What a data set is built from, which copies are made of which study, and which pair is for training or for test."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from bonescan.annotate.consensus import FEWEST_READERS, TOLERANCE
from bonescan.dicom.values import ReadOptions
from bonescan.errors import OptionError
from bonescan.lin2022.datasets.index import Origin, Subset
from bonescan.lin2022.datasets.moves import Move, MoveLimits, sample_move
from bonescan.phantom.readers import MOST_READERS

PAPER_PATIENTS, PAPER_IMAGES = 56, 2280
"""The size of the published data set: D1 has two images a patient."""

MOST_PATIENTS = 2_000
"""More are taken for a mistake: so many take ten hours of computing, and 300 GB at twenty copies each."""

_STREAM = 0xDA7A
_SPLIT, _MOVES = 0, 1


class Protocol(StrEnum):
    """How pairs are divided into training and test."""

    BY_PATIENT = "by-patient"
    """Patients are divided before augmenting; only original pairs are tested on. Results should come from this one."""

    LEAKY = "leaky"
    """All pairs, augmented ones too, are shuffled and divided: copies of one patient are on both sides. Only for
    measuring the effect of that."""


@dataclass(frozen=True, slots=True)
class PatientOptions:
    """Which patients: simulated ones, or those of a cohort folder.

    count: patients with a thoracic lesion; None: 56 simulated, or all of the cohort.
    cohort: a folder <patient>/<study>/ with scans and truth; None: simulate.
    keep_lesion_free: also take patients of the cohort without a lesion in the thoracic window.
    only_labelled: leave out the cohort's studies without any label.
    reading: what is stated of the views of the cohort's scans.
    """

    count: int | None = None
    cohort: Path | None = None
    keep_lesion_free: bool = False
    reading: ReadOptions | None = None
    only_labelled: bool = False

    def __post_init__(self) -> None:
        if self.count is not None and not 2 <= self.count <= MOST_PATIENTS:
            raise OptionError(
                f"{self.count} patients cannot be divided into training and test: give 2 to {MOST_PATIENTS}"
            )
        if self.keep_lesion_free and self.cohort is None:
            raise OptionError("lesion-free patients are kept of a cohort, and none is stated: give --cohort")
        if self.reading is not None and self.cohort is None:
            raise OptionError("--views are those of a cohort's scans, and no cohort is stated: give --cohort")


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """protocol: see `Protocol`. test_share: of the patients, or of the pairs where the protocol is leaky; 0..1."""

    protocol: Protocol = Protocol.BY_PATIENT
    test_share: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.test_share < 1:
            raise OptionError(f"the test share is {self.test_share}: give a number between 0 and 1, as 0.3")


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """Training labels by consensus of several readers; test labels stay the truth.

    count: simulated readers; a cohort has its own. tolerance: the area difference up to which a lesion is accepted,
    0..1 (Eq. 2 of Lin et al. 2022; with the paper's 0.05 nearly everything returns to the readers).
    """

    count: int = 3
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if not FEWEST_READERS <= self.count <= MOST_READERS:
            raise OptionError(
                f"a consensus of {self.count} readers cannot be had: give {FEWEST_READERS} to {MOST_READERS}"
            )
        if not 0 <= self.tolerance <= 1:
            raise OptionError(f"the tolerance is {self.tolerance}: give an area difference from 0 to 1")


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """How to build a data set; the same options give the same bytes.

    seed: of patients, split and augmentation. images: of D2, and of D3 where there are GAN samples; even.
    readers: their consensus labels the training pairs; None: the truth does.
    gan: a folder that `bonescan gan sample` wrote; None: no D3 and D4.
    """

    seed: int
    images: int = PAPER_IMAGES
    patients: PatientOptions = field(default_factory=PatientOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    moves: MoveLimits = field(default_factory=MoveLimits)
    readers: ReaderOptions | None = None
    gan: Path | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise OptionError(f"the seed is {self.seed}: give 0 or more")
        if self.images < 2 or self.images % 2:
            raise OptionError(f"{self.images} images are no pairs of two views: give an even number")


@dataclass(frozen=True, slots=True)
class PlannedPair:
    """A pair to write: of which original (its place in the list), moved how, named how, for what."""

    original: int
    study: str
    origin: Origin
    split: Subset
    move: Move


def plan_pairs(
    names: Sequence[tuple[str, str]], options: DatasetOptions, unlabelled: Collection[int] = ()
) -> list[PlannedPair]:
    """Spread the pairs of D2 evenly over the originals, and divide them as the protocol says.

    names: patient and study of each original. D2 contains every original, and equally many copies of each; some, chosen
    at random, have one more if the number does not divide evenly. unlabelled: the places of the originals without any
    label. They are never tested on, and are learned from unless their patient is tested on. Raises OptionError if fewer
    pairs are wanted than there are originals, or if a side of the split would be empty.
    """
    pairs = options.images // 2
    if pairs < len(names):
        raise OptionError(
            f"{options.images} images are fewer than the {2 * len(names)} of the originals: give that many or more"
        )
    copies = _copies(len(names), pairs - len(names), np.random.default_rng([_STREAM, options.seed, _MOVES]))
    drafts: list[tuple[int, str, Move | None]] = []
    for original, ((_, study), number) in enumerate(zip(names, copies, strict=True)):
        drafts.append((original, study, None))
        for copy in range(1, number + 1):
            rng = np.random.default_rng([_STREAM, options.seed, _MOVES, original, copy])
            drafts.append((original, f"{study}-geometric-{copy:02d}", sample_move(rng, options.moves)))
    patients = [names[original][0] for original, _, _ in drafts]
    labelled = {name for place, (name, _) in enumerate(names) if place not in unlabelled}
    divided = [place for place, patient in enumerate(patients) if patient in labelled]
    splits = [Subset.TRAIN] * len(drafts)
    drawn = _splits([patients[place] for place in divided], [drafts[place] for place in divided], options)
    for place, split in zip(divided, drawn, strict=True):
        without = drafts[place][0] in unlabelled
        splits[place] = Subset.UNUSED if without and split is Subset.TEST else split
    return [
        PlannedPair(
            original,
            study,
            Origin.ORIGINAL if move is None else Origin.GEOMETRIC,
            split,
            Move() if move is None else move,
        )
        for (original, study, move), split in zip(drafts, splits, strict=True)
    ]


def split_patients(patients: Sequence[str], options: SplitOptions, seed: int) -> frozenset[str]:
    """The test patients: the configured share, drawn at random, with at least one patient on each side."""
    names = sorted(set(patients))
    chosen = np.random.default_rng([_STREAM, seed, _SPLIT]).permutation(len(names))[: _tested(len(names), options)]
    return frozenset(names[place] for place in chosen)


def _splits(
    patients: Sequence[str], drafts: Sequence[tuple[int, str, Move | None]], options: DatasetOptions
) -> list[Subset]:
    if options.split.protocol is Protocol.LEAKY:
        order = np.random.default_rng([_STREAM, options.seed, _SPLIT]).permutation(len(drafts))
        tested = set(order[: _tested(len(drafts), options.split)].tolist())
        return [Subset.TEST if place in tested else Subset.TRAIN for place in range(len(drafts))]
    test_patients = split_patients(patients, options.split, options.seed)
    return [
        Subset.TRAIN if patient not in test_patients else Subset.TEST if move is None else Subset.UNUSED
        for patient, (_, _, move) in zip(patients, drafts, strict=True)
    ]


def _tested(number: int, options: SplitOptions) -> int:
    if number < 2:
        raise OptionError(f"{number} of them cannot be divided into training and test: take more patients")
    return min(max(round(options.test_share * number), 1), number - 1)


def _copies(originals: int, copies: int, rng: np.random.Generator) -> list[int]:
    """How many copies each original gets."""
    number = np.full(originals, copies // originals)
    number[rng.permutation(originals)[: copies % originals]] += 1
    return [int(one) for one in number]
