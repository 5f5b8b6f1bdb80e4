"""Evaluate a model on held-out scans: marks on the plain scans, and the share of inserted lesions that it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from bonescan.adapt.scans import LearnedScan, judged_case
from bonescan.adapt.settings import AdaptConfig
from bonescan.evaluate import froc
from bonescan.lesions.delineate import Outline, Thresholds, delineate
from bonescan.train.calibrate import Judged, fit, judge, matches_of, rates_of
from bonescan.train.cases import Case
from bonescan.train.config import TrainConfig
from bonescan.train.progress import Progress, Report, silent

RATES = (0.25, 0.5, 1.0, 2.0)
"""False positives per scan at which sensitivities are compared."""
_JUDGED = 31
_FEWER_FOUND, _FORGOTTEN, _MORE_MARKS = 0.03, 0.05, 0.25
CRITERION = (
    "An adapted model is judged worse than its base if it finds over "
    f"{100 * _FEWER_FOUND:g} percentage points fewer of the inserted lesions or over {100 * _FORGOTTEN:g} fewer of the "
    "simulated patients' lesions (each the mean of the sensitivities at 0.25, 0.5, 1 and 2 false positives per scan, "
    f"as far as both models make so many), or makes over {_MORE_MARKS:g} more marks per scan without lesions."
)
"""The rule of `why_worse`, in one sentence."""
_LEAST_SCANS = 5


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a free-response curve."""

    false_per_scan: float
    sensitivity: float


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A free-response curve, from the strictest threshold on. lesions: the number of true lesions."""

    points: tuple[Point, ...]
    lesions: int

    def at(self, rate: float) -> float:
        """The sensitivity at `rate` false positives per scan."""
        return max((point.sensitivity for point in self.points if point.false_per_scan <= rate), default=0.0)

    def mean(self, rates: Sequence[float]) -> float:
        """The mean of the sensitivities at these false positives per scan."""
        return float(np.mean([self.at(rate) for rate in rates]))


def shared_rates(one: Curve, other: Curve) -> tuple[float, ...]:
    """`RATES`, as far as both curves go; at least the first of them.

    A curve ends where every candidate is counted. Beyond the end of one, the models are not compared at the same number
    of false positives, and the one that makes fewer of them would look worse.
    """
    end = max(RATES[0], min(max(point.false_per_scan for point in curve.points) for curve in (one, other)))
    return tuple(sorted({min(rate, end) for rate in RATES}))


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The evaluation of one model.

    thresholds: of the balanced operating point, the model's own or fitted on these scans. operating_points: all of
    them. marks: number of outlines on each plain held-out scan, both views. outlines: these outlines, as acquired, at
    the network's pixel size. found: the curve of inserted lesions. phantoms: the curve of simulated patients.
    """

    thresholds: Thresholds
    operating_points: Mapping[str, Thresholds]
    marks: tuple[int, ...]
    outlines: tuple[tuple[Outline, ...], ...]
    found: Curve
    phantoms: Curve

    @property
    def marks_per_scan(self) -> float:
        """Mean of `marks`."""
        return float(np.mean(self.marks)) if self.marks else 0.0

    def figures(self) -> dict[str, float]:
        """The figures as JSON values."""
        figures = {"marks_per_scan": round(self.marks_per_scan, 3), "inserted_lesions": self.found.lesions}
        for rate in RATES:
            figures[f"sensitivity_at_{rate:g}"] = round(self.found.at(rate), 4)
            figures[f"phantom_sensitivity_at_{rate:g}"] = round(self.phantoms.at(rate), 4)
        return figures


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What models are evaluated on. plain: held-out scans. variants: these with lesions. phantoms: simulated."""

    plain: Sequence[Case]
    variants: Sequence[Case]
    phantoms: Sequence[Case]

    def __len__(self) -> int:
        return len(self.plain) + len(self.variants) + len(self.phantoms)


def make_bench(
    aside: Sequence[LearnedScan], phantoms: Sequence[Case], config: AdaptConfig, train_config: TrainConfig
) -> Bench:
    """Insert lesions into the held-out scans; the same ones for every model."""
    variants = [
        judged_case(scan, np.random.default_rng([config.seed, _JUDGED, number, draw]), train_config)
        for number, scan in enumerate(aside)
        for draw in range(config.variants)
    ]
    return Bench([scan.plain() for scan in aside], variants, phantoms)


def verdict(
    network: nn.Module,
    bench: Bench,
    train_config: TrainConfig,
    thresholds: Thresholds | None = None,
    report: Report = silent,
) -> Verdict:
    """Evaluate one network. thresholds: None = fit them on all cases of the bench."""
    precise = replace(train_config, bf16=False)  # as the exported graph computes
    parts: list[list[Judged]] = []
    done = 0
    for cases in (bench.plain, bench.variants, bench.phantoms):
        judged = []
        for case in cases:
            judged.append(judge(network, case, precise))
            done += 1
            report(Progress("judge", done, len(bench)))
        parts.append(judged)
    plain, variants, phantoms = parts
    points = {"balanced": thresholds} if thresholds is not None else {}
    if thresholds is None:
        points = fit([*plain, *variants, *phantoms], rates_of(train_config))
        thresholds = points["balanced"]
    outlines = tuple(delineate(entry.prediction, thresholds) for entry in plain)
    return Verdict(
        thresholds=thresholds,
        operating_points=points,
        marks=tuple(len(found) for found in outlines),
        outlines=outlines,
        found=free_response(variants, thresholds),
        phantoms=free_response(phantoms, thresholds),
    )


def free_response(judged: Sequence[Judged], thresholds: Thresholds) -> Curve:
    """The free-response curve over the candidates' peaks, matched by `evaluate.match_lesions`."""
    matches = matches_of(judged, thresholds)
    points = froc(matches, max(1, len(judged)))
    curve = [Point(point.false_positives_per_scan, point.sensitivity or 0.0) for point in reversed(points)]
    return Curve((Point(0.0, 0.0), *curve), sum(len(match.true_ids) for match in matches))


def too_few(scans: int) -> str | None:
    """A warning if too few scans were held out to compare two models, or None."""
    if scans >= _LEAST_SCANS:
        return None
    return f"{scans} scan{'s' * (scans != 1)}: too few to tell these figures apart"


def why_worse(before: Verdict, after: Verdict) -> str | None:
    """Why the adapted model is worse than its base by `CRITERION`, or None."""
    found, base_found = _means(after.found, before.found)
    if found < base_found - _FEWER_FOUND:
        return (
            f"it finds {found:.0%} of the inserted lesions where its base finds {base_found:.0%}, "
            "at the same number of false positives"
        )
    found, base_found = _means(after.phantoms, before.phantoms)
    if found < base_found - _FORGOTTEN:
        return f"it finds {found:.0%} of the simulated patients' lesions where its base finds {base_found:.0%}"
    if after.marks_per_scan > before.marks_per_scan + _MORE_MARKS:
        return f"it makes {after.marks_per_scan:.2f} marks per normal scan, and its base {before.marks_per_scan:.2f}"
    return None


def _means(one: Curve, other: Curve) -> tuple[float, float]:
    rates = shared_rates(one, other)
    return one.mean(rates), other.mean(rates)
