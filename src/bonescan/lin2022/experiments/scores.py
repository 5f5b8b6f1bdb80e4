"""Scores of a run and of an arm, from its test images; differences of arms, and the verdict on a claim.

Every score is a sum over patients divided by another sum over patients. A difference is drawn anew with its patients
and its seeds, both the same for both arms where they were tested on the same images: three seeds that happen to agree
are not certainty. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bonescan.evaluate.statistics import Bootstrap, ratio
from bonescan.lin2022.experiments.declared import Measure, Target
from bonescan.lin2022.experiments.results import UNION, ImageResult

MEASURES: tuple[Measure, ...] = get_args(Measure)
LEAST_SEEDS = 3
"""One training says nothing of how trainings differ."""
LEAST_PATIENTS = 2

Word = Literal["confirmed", "contradicted", "undecided", "missing"]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One arm's images, all seeds, as sums: (seeds, patients) each.

    patients: the names along the second axis. images: names of the test images, to know whether two arms' are the same.
    """

    over: NDArray[np.float64]
    under: NDArray[np.float64]
    patients: tuple[str, ...]
    images: frozenset[tuple[str, str]]

    @property
    def value(self) -> float | None:
        """The mean over seeds of the score; None where no seed's is defined."""
        known = [value for value in self.by_seed if value is not None]
        return float(np.mean(known)) if known else None

    @property
    def by_seed(self) -> list[float | None]:
        """The score of each seed; None where it is undefined."""
        pairs = zip(self.over.sum(axis=1), self.under.sum(axis=1), strict=True)
        return [None if under == 0 else float(over / under) for over, under in pairs]

    def draws(self, seeds: NDArray[np.float64], patients: NDArray[np.float64]) -> NDArray[np.float64]:
        """The score in each draw: the mean over the drawn seeds; NaN where a drawn seed's is undefined.

        seeds: (draws, seeds), patients: (draws, patients): how often each is drawn.
        """
        over, under = patients @ self.over.T, patients @ self.under.T
        each = np.divide(over, under, out=np.full_like(over, np.nan), where=under != 0)
        total: NDArray[np.float64] = np.where(seeds > 0, seeds * each, 0.0).sum(axis=1) / seeds.sum(axis=1)
        return total


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the results say of a claim. difference: better minus worse, with its interval; None where undefined.

    word: "confirmed" or "contradicted" where the interval holds no zero and each arm has three seeds (or none to
    have): an interval from two is far too narrow.
    paired: whether both arms were tested on the same images.
    """

    word: Word
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    paired: bool = True


def term(image: ImageResult, measure: Measure) -> tuple[float, float] | None:
    """What one image adds to numerator and denominator of a score; None where its value is undefined."""
    pixels, lesions = image.pixels, image.lesions
    if measure in ("dsc", "cpa", "recall"):
        value = {"dsc": pixels.dsc, "cpa": pixels.cpa, "recall": pixels.recall}[measure]
        return None if value is None else (value, 1.0)
    sums: dict[str, tuple[float, float]] = {
        "dsc_pooled": (2 * pixels.true_positive, pixels.predicted + pixels.true),
        "sensitivity": (lesions.found, lesions.true),
        "precision": (lesions.correct, lesions.predicted),
    }
    return sums[measure]


def of_target(images: Sequence[ImageResult], target: Target) -> list[ImageResult]:
    """The images that a target is about: those of single views, or of both together."""
    return [image for image in images if (image.view == UNION) == (target == UNION)]


def scored(runs: Sequence[Sequence[ImageResult]], measure: Measure) -> Scored:
    """Sum up the test images of one arm's runs, one run a seed. Raises ValueError without a run."""
    if not runs:
        raise ValueError("an arm without a run has no score")
    patients = tuple(sorted({image.patient for images in runs for image in images}))
    place = {name: number for number, name in enumerate(patients)}
    over, under = np.zeros((2, len(runs), len(patients)))
    for seed, images in enumerate(runs):
        for image in images:
            both = term(image, measure)
            if both is not None:
                over[seed, place[image.patient]] += both[0]
                under[seed, place[image.patient]] += both[1]
    return Scored(over, under, patients, frozenset((image.study, image.view) for images in runs for image in images))


def summarised(images: Sequence[ImageResult], bootstrap: Bootstrap) -> dict[str, Any]:
    """All scores of one run with their intervals over patients, for single views and for both together."""
    section: dict[str, Any] = {}
    for target in get_args(Target):
        chosen = of_target(images, target)
        if chosen:
            sums = {measure: scored([chosen], measure) for measure in MEASURES}
            section[target] = {
                measure: ratio(one.over[0], one.under[0], bootstrap).to_dict() for measure, one in sums.items()
            }
    return section


def judge(better: Scored, worse: Scored, bootstrap: Bootstrap, needs_seeds: Mapping[str, bool]) -> Verdict:
    """Compare two arms. needs_seeds: whether "better" and "worse" are random at all, so that one run is too few."""
    seeds = min(
        [len(one.over) for name, one in (("better", better), ("worse", worse)) if needs_seeds[name]],
        default=LEAST_SEEDS,
    )
    paired = better.images == worse.images
    if better.value is None or worse.value is None:
        return Verdict("undecided", None, None, None, seeds, paired)
    difference = better.value - worse.value
    # A seed without a value would leave the others to speak for it.
    if None in better.by_seed or None in worse.by_seed:
        return Verdict("undecided", difference, None, None, seeds, paired)
    first, second = _draws(better, worse, bootstrap, paired)
    draws = first - second
    draws = draws[np.isfinite(draws)]
    if min(len(better.patients), len(worse.patients)) < LEAST_PATIENTS or not draws.size:
        return Verdict("undecided", difference, None, None, seeds, paired)
    low, high = bootstrap.bounds(draws)
    word: Word = "undecided"
    if seeds >= LEAST_SEEDS:
        word = "confirmed" if low > 0 else "contradicted" if high < 0 else "undecided"
    return Verdict(word, difference, low, high, seeds, paired)


def interval(one: Scored, bootstrap: Bootstrap) -> tuple[float | None, float | None]:
    """The interval of an arm's score over patients and seeds; None for one patient, and where a seed's is undefined."""
    if len(one.patients) < LEAST_PATIENTS or None in one.by_seed:
        return None, None
    draws = one.draws(_second(bootstrap, 1).weights(len(one.over)), bootstrap.weights(len(one.patients)))
    draws = draws[np.isfinite(draws)]
    return bootstrap.bounds(draws) if draws.size else (None, None)


def _draws(
    better: Scored, worse: Scored, bootstrap: Bootstrap, paired: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both arms' scores in each draw; the same patients and seeds are drawn where both have the same."""
    same = paired and len(better.over) == len(worse.over)
    draws = []
    for number, one in enumerate((better, worse)):
        patients = bootstrap if paired else _second(bootstrap, 2 * number)
        seeds = _second(bootstrap, 1 if same else 1 + 2 * number)
        draws.append(one.draws(seeds.weights(len(one.over)), patients.weights(len(one.patients))))
    return draws[0], draws[1]


def _second(bootstrap: Bootstrap, number: int) -> Bootstrap:
    """Draws that know nothing of the first ones."""
    return Bootstrap(bootstrap.repeats, bootstrap.level, bootstrap.seed + number)
