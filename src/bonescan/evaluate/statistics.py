"""Averages with intervals. The bootstrap resamples patients, never images: two views of one patient are correlated.

Every mean, share or pooled ratio is a sum over patients divided by another sum over patients, so that one bootstrap
serves them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST_PATIENTS = 5
"""With fewer patients there is no interval: with one, all resamples are the same, and with two or three there are only
a few different ones, so that the interval is far too narrow."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are computed: the number of resamples of the patients, the interval's coverage, and the seed."""

    repeats: int = 2000
    level: float = 0.95
    seed: int = 0

    def weights(self, patients: int) -> NDArray[np.float64]:
        """How often each patient is drawn: (repeats, patients), the same for every figure of one report."""
        rng = np.random.default_rng(self.seed)
        return rng.multinomial(patients, np.full(patients, 1 / patients), size=self.repeats).astype(np.float64)

    def bounds(self, draws: NDArray[np.float64]) -> tuple[float, float]:
        """The percentile interval of the draws."""
        tail = (1 - self.level) / 2
        low, high = np.quantile(draws, [tail, 1 - tail])
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval; all None where it is undefined. n: the number of items that it averages.

    With fewer than `LEAST_PATIENTS` patients there is a value but no interval, as too little is known of how patients
    differ.
    """

    value: float | None
    low: float | None
    high: float | None
    n: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second, both on the same patients. p: two-sided bootstrap p value.

    All are None where undefined; with fewer than `LEAST_PATIENTS` patients there is only the value.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of values; without values, all but n are None. sd: standard deviation with n - 1, None for one value."""

    n: int
    mean: float | None
    median: float | None
    sd: float | None
    low: float | None
    high: float | None


def summary(values: Sequence[float | None]) -> Summary:
    """Mean, median, spread and range of values; those that are None (undefined) are left out."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if known.size == 0:
        return Summary(0, None, None, None, None, None)
    spread = float(known.std(ddof=1)) if known.size > 1 else None
    return Summary(
        known.size, float(known.mean()), float(np.median(known)), spread, float(known.min()), float(known.max())
    )


def ratio(numerators: ArrayLike, denominators: ArrayLike, bootstrap: Bootstrap | None = None) -> Estimate:
    """Sum of numerators over sum of denominators, with a bootstrap interval over patients.

    numerators, denominators: one value per patient. For a mean over images, give each patient's sum of values and
    number of images; for a pooled DSC, give 2TP and 2TP + FP + FN. The ratio is undefined where the denominators sum to
    0; draws in which they do are left out. No interval where fewer than `LEAST_PATIENTS` denominators are above 0.
    """
    over, under = _columns(numerators, denominators)
    if under.sum() == 0:
        return Estimate(None, None, None, 0)
    bootstrap = bootstrap or Bootstrap()
    value, number = float(over.sum() / under.sum()), float(under.sum())
    if np.count_nonzero(under) < LEAST_PATIENTS:
        return Estimate(value, None, None, number)
    draws = _draws(bootstrap.weights(len(over)), over, under)
    low, high = bootstrap.bounds(draws[np.isfinite(draws)])
    return Estimate(value, low, high, number)


def paired_difference(
    first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike], bootstrap: Bootstrap | None = None
) -> Difference:
    """Difference of two methods' ratios on the same patients, which are resampled together.

    first, second: (numerators, denominators) as for `ratio`, patients in the same order. Raises ValueError where the
    numbers of patients differ. The p value is twice the smaller share of draws beyond zero, at most 1. No interval
    and no p value for fewer than `LEAST_PATIENTS` patients.
    """
    bootstrap = bootstrap or Bootstrap()
    over, under = _columns(*first)
    other_over, other_under = _columns(*second)
    if len(over) != len(other_over):
        raise ValueError(f"{len(over)} patients cannot be paired with {len(other_over)}")
    if under.sum() == 0 or other_under.sum() == 0:
        return Difference(None, None, None, None)
    value = float(over.sum() / under.sum() - other_over.sum() / other_under.sum())
    if min(np.count_nonzero(under), np.count_nonzero(other_under)) < LEAST_PATIENTS:
        return Difference(value, None, None, None)
    weights = bootstrap.weights(len(over))
    draws = _draws(weights, over, under) - _draws(weights, other_over, other_under)
    draws = draws[np.isfinite(draws)]
    low, high = bootstrap.bounds(draws)
    p = min(1.0, 2 * float(min((draws <= 0).mean(), (draws >= 0).mean())))
    return Difference(value, low, high, p)


def median(values: ArrayLike, patients: Sequence[Any], bootstrap: Bootstrap | None = None) -> Estimate:
    """Median of values, with a bootstrap interval over patients; `patients` gives the patient of each value.

    No interval for fewer than `LEAST_PATIENTS` patients.
    """
    known = np.asarray(values, dtype=np.float64)
    if known.size == 0:
        return Estimate(None, None, None, 0)
    bootstrap = bootstrap or Bootstrap()
    names, owner = np.unique(np.asarray([str(patient) for patient in patients]), return_inverse=True)
    if len(names) < LEAST_PATIENTS:
        return Estimate(float(np.median(known)), None, None, float(known.size))
    order = np.argsort(known)
    weights = bootstrap.weights(len(names))[:, owner[order]].cumsum(axis=1)
    half = weights[:, -1:] / 2
    # The weighted median, with the mean of the two middle values where half the weight falls between them.
    upper = known[order][(weights > half).argmax(axis=1)]
    lower = known[order][(weights >= half).argmax(axis=1)]
    low, high = bootstrap.bounds((lower + upper) / 2)
    return Estimate(float(np.median(known)), low, high, float(known.size))


def _columns(numerators: ArrayLike, denominators: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    over, under = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if over.ndim != 1 or over.shape != under.shape:
        raise ValueError(f"one numerator and one denominator a patient, not shapes {over.shape} and {under.shape}")
    return over, under


def _draws(weights: NDArray[np.float64], over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ratio in each draw; NaN where the denominators sum to 0."""
    below = weights @ under
    draws: NDArray[np.float64] = np.full(len(weights), np.nan)
    np.divide(weights @ over, below, out=draws, where=below != 0)
    return draws
