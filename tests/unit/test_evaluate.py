"""Metrics with values worked out by hand, and what each does where there are no lesions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.scored import EMPTY, QUICK
from tests.scored import picture as _picture

from bonescan.evaluate import (
    ImageName,
    LesionCounts,
    LesionMatch,
    PixelCounts,
    ViewTruth,
    compare_image,
    count_pixels,
    froc,
    match_lesions,
    paired_difference,
    ratio,
    report_text,
    summarise,
    summary,
)
from bonescan.evaluate.matching import FrocPoint, sensitivity_at, thinned
from bonescan.evaluate.statistics import median
from bonescan.study import REGIONS, Region, View


def test_pixel_metrics_by_hand():
    counts = count_pixels(_picture((1, 0, 0, 4)), _picture((7, 0, 2, 4)))
    assert counts == PixelCounts(true_positive=8, false_positive=8, false_negative=8)
    assert (counts.dsc, counts.cpa, counts.recall) == (0.5, 0.5, 0.5)
    uneven = PixelCounts(3, 1, 5)
    assert (uneven.dsc, uneven.cpa, uneven.recall) == (6 / 12, 3 / 4, 3 / 8)


def test_pixel_metrics_without_lesions():
    both, lesion = count_pixels(EMPTY, EMPTY), _picture((1, 2, 2, 3))
    assert (both.dsc, both.cpa, both.recall) == (1.0, None, None)
    false = count_pixels(lesion, EMPTY)
    assert (false.dsc, false.cpa, false.recall) == (0.0, 0.0, None)
    missed = count_pixels(EMPTY, lesion)
    assert (missed.dsc, missed.cpa, missed.recall) == (0.0, None, 0.0)


def test_two_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        count_pixels(EMPTY, EMPTY[:5])
    with pytest.raises(ValueError, match="shape"):
        match_lesions(EMPTY, EMPTY[:5])


def test_a_lesion_is_found_by_overlap_or_by_a_near_centroid():
    truth = _picture((1, 5, 5, 1))
    assert match_lesions(_picture((9, 4, 4, 2)), truth).counts() == LesionCounts(1, 1, 1, 1)
    assert match_lesions(_picture((9, 5, 9, 1)), truth).counts() == LesionCounts(1, 1, 1, 1)
    assert match_lesions(_picture((9, 5, 10, 1)), truth).counts() == LesionCounts(1, 0, 1, 0)
    assert match_lesions(_picture((9, 8, 8, 1)), truth).counts() == LesionCounts(1, 0, 1, 0)


def test_one_prediction_over_two_lesions_finds_one_of_them():
    truth = _picture((3, 2, 2, 2), (8, 2, 6, 2))
    match = match_lesions(_picture((1, 0, 0, 10)), truth)
    assert match.true_ids.tolist() == [3, 8]
    assert match.true_px.tolist() == [4, 4]
    assert match.predicted_px.tolist() == [100]
    assert match.counts() == LesionCounts(true=2, found=1, predicted=1, correct=1)
    assert match.found.sum() == 1


def test_a_further_mark_on_a_found_lesion_counts_neither_way():
    truth = _picture((3, 2, 2, 6))
    counts = match_lesions(_picture((1, 2, 2, 2), (2, 6, 6, 2)), truth).counts()
    assert counts == LesionCounts(true=1, found=1, predicted=2, correct=2)
    assert counts.false_positives == 0


def test_as_many_lesions_are_found_as_pairs_can_be_made():
    # The first mark touches both lesions, the second one only the left: taking the left for the first would lose one.
    truth = _picture((1, 2, 2, 2), (2, 2, 6, 2))
    predicted = np.zeros_like(truth)
    predicted[2, 2:8], predicted[3, 2:4] = 1, 2
    assert match_lesions(predicted, truth, tolerance_px=0.0).counts().found == 2


@pytest.mark.parametrize("seed", range(20))
def test_the_matching_is_that_of_an_assignment_of_least_cost(seed):
    from scipy.optimize import linear_sum_assignment

    touches = np.random.default_rng(seed).random((6, 5)) < 0.3
    match = LesionMatch(np.arange(1, 6), np.arange(1, 7), np.ones(5), np.ones(6), touches, np.ones(6))
    assert match.found.sum() == touches[linear_sum_assignment(~touches)].sum()


def test_lesion_metrics_without_lesions():
    none = match_lesions(EMPTY, EMPTY).counts()
    assert (none.sensitivity, none.precision, none.f1, none.false_positives) == (None, None, None, 0)
    false = match_lesions(_picture((1, 0, 0, 2)), EMPTY).counts()
    assert (false.sensitivity, false.precision, false.f1, false.false_positives) == (None, 0.0, 0.0, 1)
    missed = match_lesions(EMPTY, _picture((1, 0, 0, 2))).counts()
    assert (missed.sensitivity, missed.precision, missed.f1) == (0.0, None, 0.0)


def test_lesion_metrics_by_hand():
    counts = LesionCounts(true=4, found=3, predicted=5, correct=2)
    assert (counts.sensitivity, counts.precision, counts.false_positives) == (0.75, 0.4, 3)
    assert counts.f1 == pytest.approx(2 * 0.75 * 0.4 / 1.15)


def test_froc_by_hand():
    truth = _picture((1, 0, 0, 3), (2, 15, 15, 3))
    predicted = _picture((1, 0, 0, 3), (2, 15, 15, 3), (3, 0, 15, 3))
    match = match_lesions(predicted, truth, {1: 0.9, 2: 0.3, 3: 0.6})
    points = froc([match, match_lesions(EMPTY, EMPTY)], scans=2)
    found = [(point.threshold, point.sensitivity, point.false_positives_per_scan) for point in points]
    assert found == [(0.3, 1.0, 0.5), (0.6, 0.5, 0.5), (0.9, 0.5, 0.0)]
    assert sensitivity_at(points, 0.5) == 1.0
    assert sensitivity_at(points, 0.4) == 0.5
    assert froc([match_lesions(EMPTY, EMPTY)], scans=1) == []
    assert sensitivity_at([], 1.0) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_curve_has_every_distinct_score_and_the_counts_there(seed):
    rng = np.random.default_rng(seed)
    matches = []
    for _ in range(30):
        predicted, true = rng.integers(0, 7, 2)
        scores = rng.integers(0, 60, predicted) / 60
        touches = rng.random((predicted, true)) < 0.3
        ids = np.arange(1, true + 1), np.arange(1, predicted + 1)
        matches.append(LesionMatch(*ids, np.ones(true), np.ones(predicted), touches, scores))
    points = froc(matches, 15)
    levels = np.unique(np.concatenate([match.scores for match in matches]))
    assert len(levels) > 20
    assert [point.threshold for point in points] == levels.tolist()
    for point in [*points, *froc(matches, 15, [2.0, -1.0, 0.505])]:
        total = sum((match.counts(point.threshold) for match in matches), LesionCounts())
        assert (point.sensitivity, point.false_positives_per_scan) == (total.sensitivity, total.false_positives / 15)


def test_a_listed_curve_keeps_its_ends_and_most_points_at_low_rates():
    points = [FrocPoint(-false, min(1.0, 0.2 + false / 200), false / 10) for false in range(1000, -1, -1)]
    listed = thinned(points)
    assert 20 < len(listed) <= 40
    assert (listed[0], listed[-1]) == (points[0], points[-1])
    assert [point.threshold for point in listed] == sorted({point.threshold for point in listed})
    assert sum(point.false_positives_per_scan <= 16 for point in listed) > len(listed) / 2
    assert thinned(points[:40]) == points[:40]
    step = [FrocPoint(level / 99, 0.5 if level < 50 else 0.4, 1.0) for level in range(100)]
    assert [point.sensitivity for point in thinned(step)] == [0.5, 0.5, 0.4, 0.4]  # no slope between two levels
    flat = [FrocPoint(level, None, 0.0) for level in range(50)]
    assert thinned(flat) == [flat[0], flat[-1]]


def test_a_report_lists_few_points_and_its_sensitivities_are_exact():
    lesion = _picture((1, 3, 3, 4))
    images = [
        compare_image(ImageName(str(n), "s", View.ANTERIOR), lesion, ViewTruth(lesion if n % 2 else EMPTY), {1: n / 99})
        for n in range(100)
    ]
    section = summarise(images, QUICK)["froc"]
    assert len(section["points"]) <= 40
    assert (section["points"][0]["threshold"], section["points"][-1]["threshold"]) == (0.0, 1.0)
    # The 25 false positives of the highest scores are allowed, and 26 of the lesions score higher than the next one.
    assert section["sensitivity_at"]["0.25"] == 26 / 50


def test_summary_leaves_the_undefined_out():
    found = summary([1.0, None, 3.0])
    assert (found.n, found.mean, found.median, found.low, found.high) == (2, 2.0, 2.0, 1.0, 3.0)
    assert found.sd == pytest.approx(np.sqrt(2))
    assert summary([None]).mean is None
    assert summary([2.0]).sd is None


def test_ratio_is_pooled_and_its_interval_holds_it():
    estimate = ratio([1, 0, 3, 1, 0], [2, 2, 4, 1, 1], QUICK)
    assert estimate.value == 0.5
    assert estimate.low <= 0.5 <= estimate.high
    assert ratio([1, 1], [0, 0]).value is None
    same = ratio([1, 2, 4, 1, 1], [2, 4, 8, 2, 2], QUICK)
    assert (same.low, same.high) == (0.5, 0.5)


def test_the_interval_of_a_mean_is_the_one_of_theory():
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    estimate = ratio(values, np.ones(400))
    half = 1.96 * values.std(ddof=1) / 20
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.04)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.04)


def test_patients_not_images_are_drawn():
    values, patients = [0.0, 0.0, 0.0, 1.0, 1.0] * 10, list("abcde") * 10
    assert median(values, patients, QUICK).low == 0.0
    assert median(values, patients, QUICK).high == 1.0
    assert median([], []).value is None
    assert median([1.0, 2.0, 4.0, 8.0], list("abcd"), QUICK).value == 3.0


def test_fewer_than_five_patients_have_figures_and_no_intervals():
    four, five = np.array([1.0, 0, 0, 1]), np.array([1.0, 0, 0, 1, 0])
    for estimate in (
        ratio([1.0], [2.0], QUICK),
        ratio([*four, 0.0], [1.0] * 4 + [0.0], QUICK),
        median([0.5] * 8, "aabbccdd", QUICK),
    ):
        assert (estimate.value, estimate.low, estimate.high) == (0.5, None, None)
    assert ratio(five, np.ones(5), QUICK).low == 0.0
    assert median([0.5] * 5, "abcde", QUICK).low == 0.5
    difference = paired_difference((four, np.ones(4)), (0 * four, np.ones(4)), QUICK)
    assert (difference.value, difference.low, difference.high, difference.p) == (0.5, None, None, None)


def test_paired_differences_see_what_is_paired():
    rng = np.random.default_rng(0)
    base = rng.uniform(0, 1, 50)
    ones = np.ones(50)
    better = paired_difference((base + 0.05 + rng.normal(0, 0.01, 50), ones), (base, ones), QUICK)
    assert better.value == pytest.approx(0.05, abs=0.01)
    assert better.low > 0
    assert better.p == 0.0
    assert paired_difference((base, ones), (base, ones), QUICK).p == 1.0
    assert paired_difference((base, 0 * ones), (base, ones)).value is None
    with pytest.raises(ValueError, match="paired"):
        paired_difference((base, ones), (base[:5], ones[:5]))


def _compared(patient, predicted, truth, regions=None, scores=None, view=View.ANTERIOR):
    return compare_image(ImageName(patient, "s", view), predicted, ViewTruth(truth, regions), scores)


def test_a_mark_on_a_faint_lesion_is_neither_right_nor_wrong():
    truth, faint = _picture((1, 0, 0, 3)), _picture((1, 10, 10, 3), (2, 3, 3, 2)) > 0
    # The first finds the true lesion and touches a faint one; the second touches a faint one only; the third nothing.
    predicted = _picture((1, 0, 0, 4), (2, 11, 11, 3), (3, 0, 15, 2))
    image = compare_image(ImageName("a", "s", View.ANTERIOR), predicted, ViewTruth(truth, None, faint))
    assert image.on_faint == 1
    assert image.match.counts() == LesionCounts(true=1, found=1, predicted=2, correct=1)
    # Of the first one, 9 pixels are on the lesion, one is on the faint one, and 6 are on neither.
    assert (image.pixels.true_positive, image.pixels.predicted) == (9, 15 + 4)
    lesion = summarise([image], QUICK)["lesion"]
    assert lesion["false_positives_per_scan"]["value"] == 1.0
    assert lesion["on_faint_per_scan"]["value"] == 1.0


def test_pixels_on_ignored_areas_count_neither_way():
    truth, faint = _picture((1, 0, 0, 5)), _picture((1, 0, 5, 10)) > 0
    predicted = np.zeros((20, 20), np.uint16)
    predicted[:5, :15] = 1
    view = ViewTruth(truth, None, faint)
    assert compare_image(ImageName("a", "s", View.ANTERIOR), predicted, view).pixels.dsc == 1.0
    # A lesion drawn within an ignored area is a lesion, as in training.
    within = ViewTruth(truth, None, faint | (truth > 0))
    assert compare_image(ImageName("a", "s", View.ANTERIOR), predicted, within).pixels == PixelCounts(25, 0, 0)
    assert compare_image(ImageName("a", "s", View.ANTERIOR), EMPTY, within).pixels == PixelCounts(0, 0, 25)


def test_the_report_of_a_small_cohort_by_hand():
    regions = np.full((20, 20), REGIONS.index(Region.RIBS), np.uint8)
    regions[10:] = REGIONS.index(Region.PELVIS)
    truth = _picture((1, 0, 0, 3), (2, 15, 15, 4))
    report = summarise(
        [
            _compared("a", _picture((1, 0, 0, 3)), truth, regions),
            _compared("a", EMPTY, EMPTY, regions, view=View.POSTERIOR),
            _compared("b", _picture((1, 12, 0, 2)), EMPTY, regions),
        ],
        QUICK,
    )
    assert (report["patients"], report["scans"], report["lesion_free_scans"], report["images"]) == (2, 2, 1, 3)
    assert report["lesion_free_images"] == 2
    pixel, lesion = report["pixel"], report["lesion"]
    assert pixel["dsc_pooled"]["value"] == pytest.approx(18 / (9 + 25 + 4))
    assert pixel["dsc"]["value"] == pytest.approx((18 / 34 + 1 + 0) / 3)
    assert pixel["dsc_with_lesions"]["value"] == pytest.approx(18 / 34)
    assert pixel["cpa"]["value"] == pytest.approx((1 + 0) / 2)
    assert pixel["recall"]["value"] == pytest.approx(9 / 25)
    assert lesion["sensitivity"]["value"] == 0.5
    assert lesion["precision"]["value"] == 0.5
    assert lesion["false_positives_per_scan"]["value"] == 0.5
    assert lesion["false_positives_per_lesion_free_scan"]["value"] == 1.0
    assert lesion["lesion_free_scans_left_empty"]["value"] == 0.0
    assert report["errors"]["count_bias"]["value"] == 0.0
    assert report["errors"]["count_absolute"]["value"] == 1.0
    assert report["errors"]["area_px_bias"]["value"] == (-16 + 4) / 2
    assert report["by_size_px"]["1-9"]["sensitivity"]["value"] == 1.0
    assert report["by_size_px"]["10-24"]["sensitivity"]["value"] == 0.0
    assert report["by_size_px"]["25-59"]["sensitivity"]["value"] is None
    assert report["by_region"]["ribs"] == {
        "true": 1,
        "sensitivity": report["by_region"]["ribs"]["sensitivity"],
        "false_positives": 0,
        "false_positives_per_scan": 0.0,
    }
    assert report["by_region"]["pelvis"]["false_positives_per_scan"] == 0.5
    text = report_text(report)
    assert "2 patients, 2 scans (1 without lesions), 3 images" in text
    assert "pelvis" in text
    lines = {line[:38].strip(): line[39:] for line in text.splitlines()}
    assert lines["DSC, pooled"] == "0.474  n = 38 pixels"
    assert lines["DSC, per image"] == "0.510  n = 3 images"
    assert lines["DSC, per image with lesions"] == "0.529  n = 1 image"
    assert lines["lesion sensitivity"] == "0.500  n = 2 outlines"
    assert lines["false positives per scan"] == "0.500  n = 2 scans"
    assert lines["ribs"] == "1.000  n = 1 outline"
    assert "Outlines are counted in each view: a lesion that both views show counts twice." in text
    assert "2 images without lesions: in the DSC per image each counts 1 where nothing is marked and 0" in text
    assert "No intervals: they need at least 5 patients." in text
    json.dumps(report, allow_nan=False)


def test_five_patients_have_intervals_and_a_note_says_what_they_are():
    lesion = _picture((1, 3, 3, 4))
    text = report_text(summarise([_compared(str(number), lesion, lesion) for number in range(5)], QUICK))
    assert "lesion sensitivity                     1.000  (1.000 to 1.000)  n = 5 outlines" in text
    assert "95 % intervals over patients" in text
    assert "images without lesions" not in text


def test_reports_without_lesions_and_without_images():
    report = summarise([_compared("a", EMPTY, EMPTY)], QUICK)
    assert report["pixel"]["dsc"]["value"] == 1.0
    assert report["pixel"]["dsc_pooled"]["value"] is None
    assert report["pixel"]["cpa"]["value"] is None
    assert report["lesion"]["sensitivity"]["value"] is None
    assert report["lesion"]["f1"]["value"] is None
    assert report["lesion"]["false_positives_per_lesion_free_scan"]["value"] == 0.0
    assert report["by_region"] == {}
    nothing = summarise([])
    assert nothing["pixel"]["dsc"]["value"] is None
    assert "undefined" in report_text(nothing)
