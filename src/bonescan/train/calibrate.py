"""Judge a network on validation patients, and fit thresholds on them, never on test patients.

All three operating points, which the bundle keeps, come from one free-response curve: candidates are outlined once,
from a low threshold on, matched by the same rules as in `evaluate`, and ranked by their highest probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bonescan.evaluate import LesionCounts, LesionMatch, PixelCounts, count_pixels, froc
from bonescan.evaluate.matching import match_beside_ignored, sensitivity_at
from bonescan.lesions.delineate import OPERATING_POINTS, Thresholds, delineate
from bonescan.prediction import Prediction
from bonescan.prepare import mirror
from bonescan.study import View
from bonescan.train.cases import FAINT, Case, drawn
from bonescan.train.config import TrainConfig
from bonescan.train.inference import predict_case
from bonescan.train.progress import Progress, Report, silent
from bonescan.train.stream import judged_truth

LOWS = tuple(round(0.2 + 0.05 * step, 2) for step in range(11))
LEAST_HIGH = 0.2
"""Candidates with a lower peak are ignored."""
QUICK = Thresholds(low=0.5, high=0.5)
"""The thresholds of `quick_figures`."""
CURVE = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""False positives per scan at which the curve is stated."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One validation patient: what the network said, and the truth, both as acquired."""

    prediction: Prediction
    lesions: dict[View, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a pair of thresholds on validation patients.

    dice: pooled over all pixels of all patients. sensitivity: share of lesions (of each view) that are found, each by
    one outline. precision: share of outlines that touch a lesion; None where there is none. false_per_scan: the other
    outlines per scan (both views). false_per_lesion_free_scan: the same over scans without any lesion (0 if there is
    none). on_faint_per_scan: outlines that touch only an equivocal lesion, neither true nor false positives.
    curve: sensitivity at `CURVE` false positives per scan.
    """

    patients: int
    lesions: int
    dice: float
    sensitivity: float
    precision: float | None
    false_per_scan: float
    false_per_lesion_free_scan: float
    on_faint_per_scan: float
    curve: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """One view's candidates against its truth.

    match: of the candidates that are not on equivocal lesions alone; scores are peaks. on_faint: number of the others.
    numbers: label picture of the candidates in `match`.
    """

    match: LesionMatch
    on_faint: int
    numbers: NDArray[np.int32]
    truth: NDArray[np.uint8]


def calibrate(
    network: nn.Module, cases: Sequence[Case], config: TrainConfig, report: Report = silent
) -> tuple[dict[str, Thresholds], Figures]:
    """Predict all cases and fit the operating points to them; also measure the balanced one."""
    judged = []
    precise = replace(config, bf16=False)  # as the exported graph computes
    for done, case in enumerate(cases, start=1):
        judged.append(judge(network, case, precise))
        report(Progress("calibrate", done, len(cases)))
    points = fit(judged, rates_of(config), report)
    return points, measure(judged, points["balanced"], report)


def rates_of(config: TrainConfig) -> dict[str, float]:
    """The most false positives per scan of each operating point, as configured."""
    rates = config.calibration
    return {
        "sensitive": rates.sensitive_false_positives,
        "balanced": rates.most_false_positives,
        "specific": rates.specific_false_positives,
    }


def fit(judged: Sequence[Judged], rates: Mapping[str, float], report: Report = silent) -> dict[str, Thresholds]:
    """Fit the thresholds of each operating point; rates: most false positives per scan, by name.

    report: told of every case, each time all are outlined from another lower threshold. A network that has learned
    nothing marks so much that this takes minutes.

    The lower threshold maximises the pooled Dice of pixels. The upper threshold is the lowest one within the rate.
    If all candidates at that lower threshold stay within the rate, it is lowered while that adds false positives, until
    the rate is reached.
    """
    best = best_low(judged)
    curves = {best: _curve_of_highs(judged, best, report)}
    points = {}
    for name in OPERATING_POINTS:
        chosen = best
        for low in reversed([low for low in LOWS if low < best]):
            if curves[chosen][1][0] >= rates[name]:
                break
            if low not in curves:
                curves[low] = _curve_of_highs(judged, low, report)
            if curves[low][1][0] > curves[chosen][1][0]:
                chosen = low
        highs, rate = curves[chosen]
        within = highs[rate <= rates[name]]
        high = float(within[0] if within.size else highs[-1])  # a false peak of 1 stays whatever the threshold
        points[name] = replace(Thresholds(), low=chosen, high=round(max(high, chosen), 4))
    return points


def _curve_of_highs(
    judged: Sequence[Judged], low: float, report: Report = silent
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Upper thresholds that differ in what they keep, ascending, and the false positives per scan of each.

    The last keeps nothing.
    """
    base = replace(Thresholds(), low=low, high=max(low, LEAST_HIGH))
    found = [view for views in _all_candidates(judged, base, report) for view in views]
    peaks = np.unique(np.concatenate([np.array([base.high]), *(view.match.scores for view in found)]))
    # A candidate is kept when its peak reaches the threshold, which lies midway between two neighbouring peaks.
    highs = np.concatenate([peaks[:1], (peaks[1:] + peaks[:-1]) / 2, (peaks[-1:] + 1) / 2])
    false = np.sort(np.concatenate([np.zeros(0), *(_false_scores(view.match) for view in found)]))
    return highs, (false.size - np.searchsorted(false, highs)) / max(1, len(judged))


def matches_of(judged: Sequence[Judged], thresholds: Thresholds) -> list[LesionMatch]:
    """The candidates of every view, from a low peak on, matched with the truth. Their scores are their peaks."""
    low = _from_low_peaks(thresholds)
    return [view.match for entry in judged for view in _candidates(entry, low)]


def _from_low_peaks(thresholds: Thresholds) -> Thresholds:
    return replace(thresholds, high=max(thresholds.low, min(LEAST_HIGH, thresholds.high)))


def _false_scores(match: LesionMatch) -> NDArray[np.float64]:
    return match.scores[~match.touches.any(axis=1)]


def _all_candidates(judged: Sequence[Judged], thresholds: Thresholds, report: Report) -> list[list[_Candidates]]:
    """The candidates of every patient's views; report: told of every patient, with the lower threshold."""
    found = []
    for done, entry in enumerate(judged, start=1):
        found.append(_candidates(entry, thresholds))
        report(Progress("thresholds", done, len(judged), None, {"from a probability of": thresholds.low}))
    return found


def _candidates(entry: Judged, thresholds: Thresholds) -> list[_Candidates]:
    """The candidates of both views, matched with the truth."""
    outlines = delineate(entry.prediction, thresholds)
    views = []
    for view, truth in entry.lesions.items():
        numbers = np.zeros(truth.shape, dtype=np.int32)
        peaks: dict[int, float] = {}
        for number, outline in enumerate((one for one in outlines if one.view is view), start=1):
            numbers[outline.window][outline.mask] = number
            peaks[number] = float(entry.prediction.lesion[view][outline.window][outline.mask].max())
        lesions = np.where(drawn(truth), truth, 0)
        match, numbers, doubtful = match_beside_ignored(numbers, lesions, truth == FAINT, peaks)
        views.append(_Candidates(match, doubtful.size, numbers, truth))
    return views


def judge(network: nn.Module, case: Case, config: TrainConfig) -> Judged:
    """Predict one case; both views are returned as acquired."""
    probability, regions = predict_case(network, case, config)
    truth = judged_truth(case, config)
    return Judged(
        Prediction(
            {View.ANTERIOR: probability[0], View.POSTERIOR: mirror(probability[1])},
            {View.ANTERIOR: regions[0], View.POSTERIOR: mirror(regions[1])},
        ),
        {View.ANTERIOR: truth[0], View.POSTERIOR: mirror(truth[1])},
    )


def best_low(judged: Sequence[Judged]) -> float:
    """The probability at which the Dice of all pixels of all patients is best; 0.4 where there is no lesion at all."""
    common, predicted, lesion = np.zeros(len(LOWS)), np.zeros(len(LOWS)), 0
    for entry in judged:
        for view, truth in entry.lesions.items():
            probability = entry.prediction.lesion[view]
            inside = probability[drawn(truth)]
            lesion += inside.size
            likely = probability[(probability >= LOWS[0]) & (truth != FAINT)]
            common += [(inside >= low).sum() for low in LOWS]
            predicted += [(likely >= low).sum() for low in LOWS]
    if lesion == 0:
        return 0.4
    return LOWS[int((2 * common / (predicted + lesion)).argmax())]


def measure(judged: Sequence[Judged], thresholds: Thresholds, report: Report = silent) -> Figures:
    """Pooled Dice, lesion-level figures of these thresholds, and the free-response curve around them."""
    found = _all_candidates(judged, thresholds, report)
    total, pixels, false_on_free, free = LesionCounts(), PixelCounts(), 0, 0
    for views in found:
        counts = sum((view.match.counts() for view in views), LesionCounts())
        total += counts
        for view in views:
            pixels += count_pixels(view.numbers, drawn(view.truth), view.truth == FAINT)
        if counts.true == 0:
            free += 1
            false_on_free += counts.false_positives
    scans = max(1, len(judged))
    on_faint = sum(view.on_faint for views in found for view in views)
    low = _from_low_peaks(thresholds)
    # Where to split depends on the upper threshold, so the curve's candidates are outlined on their own.
    ranked = found if low == thresholds else _all_candidates(judged, low, report)
    return Figures(
        patients=len(judged),
        lesions=total.true,
        dice=pixels.dsc,
        sensitivity=1.0 if total.sensitivity is None else total.sensitivity,
        precision=total.precision,
        false_per_scan=total.false_positives / scans,
        false_per_lesion_free_scan=false_on_free / max(1, free),
        on_faint_per_scan=on_faint / scans,
        curve=_curve([view.match for views in ranked for view in views], scans),
    )


def _curve(matches: Sequence[LesionMatch], scans: int) -> dict[str, float]:
    """Sensitivity at each rate of `CURVE`; 1 where there is no lesion."""
    points = froc(matches, scans)
    nothing = 0.0 if any(len(match.true_ids) for match in matches) else 1.0
    found = {rate: sensitivity_at(points, rate) for rate in CURVE}
    return {f"{rate:g}": round(nothing if value is None else value, 4) for rate, value in found.items()}


def quick_figures(network: nn.Module, cases: Sequence[Case], config: TrainConfig) -> dict[str, float]:
    """Dice, sensitivity and false positives per scan of `measure`, of outlines at a probability of 0.5.

    Also the region accuracy, and that on lesions, where the cases have a true region map.
    """
    judged = [judge(network, case, config) for case in cases]
    measured = measure(judged, QUICK)
    right = bone = named = hot = 0
    for case, entry in zip(cases, judged, strict=True):
        for view, regions in zip(View, np.asarray(case.regions), strict=True):
            true = regions if view is View.ANTERIOR else mirror(regions)
            same, lesion = (entry.prediction.region[view] == true)[true > 0], drawn(entry.lesions[view])[true > 0]
            right, bone = right + int(same.sum()), bone + same.size
            named, hot = named + int(same[lesion].sum()), hot + int(lesion.sum())
    figures = {
        "dice": measured.dice,
        "sensitivity": measured.sensitivity,
        "false_per_scan": measured.false_per_scan,
    }
    # Scans of people have no true region map, so nothing was measured there.
    figures |= {"region_accuracy": right / bone} if bone else {}
    return figures | ({"lesion_region_accuracy": named / hot} if hot else {})
