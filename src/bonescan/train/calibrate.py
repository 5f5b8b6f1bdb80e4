"""Thresholds fitted on validation patients, never on test patients; they are kept in the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bonescan.delineate import Outline, Thresholds, delineate
from bonescan.prediction import Prediction
from bonescan.prepare import mirror
from bonescan.study import View
from bonescan.train.cases import FAINT, Case, drawn
from bonescan.train.config import TrainConfig
from bonescan.train.progress import Progress, Report, silent
from bonescan.train.stream import truth_of
from bonescan.train.validate import predict_case

LOWS = tuple(round(0.2 + 0.05 * step, 2) for step in range(11))
HIGHS = (0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.94, 0.97, 0.98, 0.99)
LEAST_AREAS = (3, 4, 6, 8, 10, 12)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One validation patient: what the network said, and the truth, both as acquired."""

    prediction: Prediction
    lesions: dict[View, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What some thresholds come to on validation patients.

    dice: pooled over all pixels of all patients. sensitivity: share of lesions (each view's own) that an outline
    touches. precision: share of outlines that touch a lesion. false_per_scan: the others, a scan of both views.
    false_per_lesion_free_scan: the same over scans without any lesion (0 where there is none).
    on_faint_per_scan: outlines that touch nothing but a faint lesion; they count neither as right nor as false.
    """

    patients: int
    lesions: int
    dice: float
    sensitivity: float
    precision: float
    false_per_scan: float
    false_per_lesion_free_scan: float
    on_faint_per_scan: float


def calibrate(
    network: nn.Module, cases: Sequence[Case], config: TrainConfig, report: Report = silent
) -> tuple[Thresholds, Figures]:
    """Predict all cases and fit thresholds to them; also say what these come to."""
    judged = []
    precise = replace(config, bf16=False)  # as the exported graph computes
    for done, case in enumerate(cases, start=1):
        judged.append(judge(network, case, precise))
        report(Progress("calibrate", done, len(cases)))
    return fit(judged, config.calibration.most_false_positives)


def fit(judged: Sequence[Judged], most_false_positives: float) -> tuple[Thresholds, Figures]:
    """Fit thresholds and say what they come to.

    The lower one is where the pooled Dice of pixels is best; upper one and least area are those with the best sum of
    sensitivity and Dice among those that keep to the allowed number of false lesions a scan, or, where none does,
    those with the fewest.
    """
    low = best_low(judged)
    tried = []
    for high in (value for value in HIGHS if value >= low):
        for area in LEAST_AREAS:
            thresholds = replace(Thresholds(), low=low, high=high, min_area_px=area)
            tried.append((thresholds, measure(judged, thresholds)))
    within = [entry for entry in tried if entry[1].false_per_scan <= most_false_positives]
    if within:
        return max(within, key=lambda entry: entry[1].sensitivity + entry[1].dice)
    return min(tried, key=lambda entry: entry[1].false_per_scan)


def judge(network: nn.Module, case: Case, config: TrainConfig) -> Judged:
    """Predict one case and turn both views to how they were acquired."""
    probability, regions = predict_case(network, case, config)
    truth = truth_of(case, config)
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


def measure(judged: Sequence[Judged], thresholds: Thresholds) -> Figures:
    """Pooled Dice and lesion-level figures of these thresholds."""
    common = either = found = lesions = right = false = aside = false_on_free = free = 0
    for entry in judged:
        outlines, missed = delineate(entry.prediction, thresholds), 0
        for view, truth in entry.lesions.items():
            touched: set[int] = set()
            for outline in (outline for outline in outlines if outline.view is view):
                under = _under(truth, outline)
                numbers = {int(number) for number in np.unique(under[drawn(under)])}
                touched |= numbers
                if numbers:
                    right += 1
                elif (under == FAINT).any():
                    aside += 1
                    continue  # none of its pixels is right or wrong
                else:
                    missed += 1
                common += int(drawn(under).sum())
                either += int((under != FAINT).sum())
            found += len(touched)
            lesions += len(np.unique(truth[drawn(truth)]))
            either += int(drawn(truth).sum())
        false += missed
        if not any(drawn(truth).any() for truth in entry.lesions.values()):
            free += 1
            false_on_free += missed
    return Figures(
        patients=len(judged),
        lesions=lesions,
        dice=2 * common / either if either else 1.0,
        sensitivity=found / lesions if lesions else 1.0,
        precision=right / (right + false) if right + false else 1.0,
        false_per_scan=false / max(1, len(judged)),
        false_per_lesion_free_scan=false_on_free / max(1, free),
        on_faint_per_scan=aside / max(1, len(judged)),
    )


def _under(truth: NDArray[np.uint8], outline: Outline) -> NDArray[np.uint8]:
    under: NDArray[np.uint8] = truth[outline.window][outline.mask]
    return under
