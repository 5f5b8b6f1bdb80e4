"""Thresholds are fitted to what the fit is told to keep."""

import pytest

pytest.importorskip("torch")

from tests.judged import A, P, judged

from bonescan.lesions.delineate import Thresholds
from bonescan.train.calibrate import best_low, fit, measure


def test_figures_by_hand():
    patients = [
        judged((A, 5, 0.9, True), (P, 20, 0.7, True), (A, 30, 0.8, False)),
        judged((A, 5, 0.1, True)),
        judged((P, 5, 0.95, False)),
        judged(),
    ]
    figures = measure(patients, Thresholds(low=0.5, high=0.6))
    assert (figures.patients, figures.lesions) == (4, 3)
    assert figures.sensitivity == pytest.approx(2 / 3)
    assert figures.precision == pytest.approx(2 / 4)
    assert figures.false_per_scan == pytest.approx(2 / 4)
    assert figures.false_per_lesion_free_scan == pytest.approx(1 / 2)
    # 25 pixels a square: 2 common, 3 of truth, 4 outlined.
    assert figures.dice == pytest.approx(2 * 2 / (3 + 4))


def test_figures_of_no_lesion_and_no_finding():
    figures = measure([judged()], Thresholds())
    assert (figures.dice, figures.sensitivity, figures.precision, figures.false_per_scan) == (1.0, 1.0, None, 0.0)


def test_the_lower_threshold_is_where_dice_is_best():
    assert best_low([judged((A, 5, 0.55, True), (A, 30, 0.42, False))]) == pytest.approx(0.45)
    assert best_low([judged()]) == 0.4


RATES = {"sensitive": 1.0, "balanced": 0.5, "specific": 0.1}


def test_each_operating_point_keeps_false_positives_to_its_rate():
    patients = [judged((A, 5, 0.95, True), (P, 20, 0.72, True), (A, 30, 0.78, False)) for _ in range(3)]
    points = fit(patients, RATES)
    specific, sensitive = measure(patients, points["specific"]), measure(patients, points["sensitive"])
    assert points["specific"].high > 0.78
    assert (specific.sensitivity, specific.false_per_scan) == (pytest.approx(0.5), 0.0)
    assert points["sensitive"].high <= 0.72
    assert (sensitive.sensitivity, sensitive.false_per_scan) == (1.0, 1.0)
    assert points["sensitive"].high <= points["balanced"].high <= points["specific"].high
    assert len({point.low for point in points.values()}) == 1


def test_a_rate_that_the_best_lower_threshold_does_not_reach_lowers_it():
    patients = [judged((A, 5, 0.9, True), (A, 20, 0.9, True), (P, 30, 0.42, False), (P, 5, 0.22, False))]
    assert best_low(patients) == pytest.approx(0.45)
    points = fit(patients, {"sensitive": 2.0, "balanced": 1.0, "specific": 0.1})
    assert [points[name].low for name in ("sensitive", "balanced", "specific")] == [0.2, 0.4, 0.4]
    assert [measure(patients, points[name]).false_per_scan for name in ("sensitive", "balanced")] == [2.0, 1.0]


def test_every_case_is_reported_while_thresholds_are_fitted_and_measured():
    patients = [judged((A, 5, 0.9, True), (A, 20, 0.9, True), (P, 30, 0.42, False), (P, 5, 0.22, False))] * 3
    reports = []
    points = fit(patients, {"sensitive": 2.0, "balanced": 1.0, "specific": 0.1}, reports.append)
    fitted = len(reports)
    assert fitted >= 6  # every case from two lower thresholds at least
    measure(patients, points["balanced"], reports.append)
    assert len(reports) == fitted + 3  # the outlines are the candidates of the curve, too
    measure(patients, points["specific"], reports.append)
    assert len(reports) == fitted + 3 + 6
    assert {report.stage for report in reports} == {"thresholds"}
    assert [report.done for report in reports] == [1, 2, 3] * (len(reports) // 3)
    assert {report.total for report in reports} == {3}
    assert str(reports[0]) == "thresholds 1/3, from a probability of 0.45"


def test_where_no_peak_keeps_to_the_rate_nothing_is_marked():
    patients = [judged((A, 5, 0.99, False), (A, 30, 0.5, False))]
    assert measure(patients, fit(patients, RATES)["specific"]).false_per_scan == 0.0


def test_equivocal_lesions_count_neither_as_right_nor_as_false():
    patient = judged((A, 5, 0.9, True), (A, 30, 0.8, False))
    patient.lesions[A][30:35, 10:15] = 255
    figures = measure([patient], Thresholds(low=0.5, high=0.6))
    assert (figures.sensitivity, figures.false_per_scan, figures.on_faint_per_scan) == (1.0, 0.0, 1.0)
    assert figures.dice == 1.0


def test_the_curve_says_what_is_found_at_each_rate():
    patients = [judged((A, 5, 0.95, True), (P, 20, 0.72, True), (A, 30, 0.78, False)) for _ in range(2)]
    curve = measure(patients, Thresholds(low=0.5, high=0.6)).curve
    assert curve["0.1"] == curve["0.5"] == 0.5
    assert curve["1"] == curve["4"] == 1.0
