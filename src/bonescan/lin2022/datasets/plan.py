"""Which copies are made of which study, and which pair is for training and which for test. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from bonescan.errors import OptionError
from bonescan.lin2022.datasets.index import Origin, Subset
from bonescan.lin2022.datasets.moves import Move, sample_move
from bonescan.lin2022.datasets.options import DatasetOptions, Protocol, SplitOptions

_STREAM = 0xDA7A
_SPLIT, _MOVES = 0, 1


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
