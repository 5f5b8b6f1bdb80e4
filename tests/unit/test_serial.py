"""Scans over time: alignment, change, the rule of two and two, and what is written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bonescan.commands.compare import _refuse_disorder, _refuse_strange_views
from bonescan.errors import InputError
from bonescan.lesions.contours import contour_of
from bonescan.prediction import Prediction
from bonescan.report.words import RESEARCH_USE
from bonescan.serial.align import Alignment, Seen, align
from bonescan.serial.change import ReadScan, Status, compare
from bonescan.serial.compared import LEGEND, MARKS, OTHER_PATIENT, PCWG3_LABEL, Compared
from bonescan.serial.page import picture, side_by_side
from bonescan.serial.report import comparison_document, comparison_text, write_comparison
from bonescan.serial.series import FollowUp, Step, Verdict, compare_series, two_plus_two, verdicts
from bonescan.study import (
    REGIONS,
    Candidate,
    Lesion,
    Measures,
    ModelName,
    Region,
    Result,
    Scan,
    Side,
    Spacing,
    Study,
    View,
)

SHAPE = (320, 128)
PARTS = {
    Region.SKULL: (20, 64, 14, 11),
    Region.THORACIC_SPINE: (90, 64, 34, 5),
    Region.LUMBAR_SPINE: (145, 64, 18, 5),
    Region.ILIUM: (175, 64, 10, 26),
    Region.FEMUR: (230, 64, 40, 24),
}


def body(move=(0, 0), scale=1.0, seed=0, hot=()):
    """A drawn patient, moved by (rows, cols); hot: (row, col, factor) of discs in the patient's own place."""
    rows, cols = np.indices(SHAPE)
    rows, cols = rows - move[0], cols - move[1]
    expected = np.where((rows > 4) & (rows < 290) & (np.abs(cols - 64) < 34), 4.0, 0.05)
    regions = np.zeros(SHAPE, np.uint8)
    for region, (row, col, height, width) in PARTS.items():
        part = ((rows - row) / height) ** 2 + ((cols - col) / width) ** 2 < 1
        if region in (Region.ILIUM, Region.FEMUR):
            part &= np.abs(cols - col) > 8
        expected[part], regions[part] = 20.0, REGIONS.index(region)
    for row, col, factor in hot:
        expected[np.hypot(rows - row, cols - col) < 4] *= factor
    return np.random.default_rng(seed).poisson(expected * scale).astype(float), regions


def prediction_of(regions, views):
    """Maps of a model that finds no lesion."""
    return Prediction({view: np.zeros(SHAPE, np.float32) for view in views}, dict.fromkeys(views, regions))


def read(move=(0, 0), scale=1.0, seed=0, hot=(), outlined=None):
    """A read scan of the anterior view with an outline on each hot place, or on those that are named."""
    counts, regions = body(move, scale, seed, hot)
    study = Study(f"scan-{seed}", {View.ANTERIOR: Scan(View.ANTERIOR, counts)}, spacing=Spacing(2.4, 2.4))
    lesions = []
    for row, col, _ in hot if outlined is None else outlined:
        mask = np.hypot(*(np.indices((9, 9)) - 4)) < 4
        mask = mask[1:8, 1:8]
        origin = (row + move[0] - 3, col + move[1] - 3)
        number, measures = len(lesions) + 1, Measures(int(mask.sum()), None, 1.0, 1.0, 1.0, 2.0, None)
        curve = contour_of(mask) + np.array(origin)
        lesions.append(Lesion(number, View.ANTERIOR, curve, origin, mask, 0.9, Region.ILIUM, Side.LEFT, measures))
    window = (slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    result = Result(study, ModelName("drawn", "0" * 64), tuple(lesions), {}, window)
    return ReadScan(result, prediction_of(regions, [View.ANTERIOR]))


# Alignment


@pytest.mark.parametrize("move", [(0, 0), (9, -6), (-11, 8)])
def test_the_same_patient_elsewhere_is_laid_over(move):
    old, new = Seen(*body(seed=1)), Seen(*body(move, scale=2.0, seed=2))
    places = np.array([[20.0, 64.0], [90.0, 64.0], [175.0, 80.0], [230.0, 48.0]])
    there = align(old, new).to_old(places + np.array(move))
    assert np.abs(there - places).max() < 2.5


def test_a_map_without_landmarks_is_its_affine_part():
    alignment = Alignment(np.eye(2), np.array([3.0, -2.0]), np.zeros((0, 2)), np.zeros((0, 2)))
    np.testing.assert_array_equal(alignment.to_old(np.array([[1.0, 1.0]])), [[4.0, -1.0]])


def test_empty_maps_of_bones_still_align_by_counts():
    old, new = body(seed=1), body((6, 4), seed=2)
    nothing = np.zeros(SHAPE, np.uint8)
    there = align(Seen(old[0], nothing), Seen(new[0], nothing)).to_old(np.array([[96.0, 68.0]]))
    assert np.abs(there - [[90.0, 64.0]]).max() < 3.0


# Change

HOT = (175, 80, 3.0)
OTHER = (90, 64, 3.0)


def status(old, new):
    return [change.status for change in compare(old, new).changes]


def test_the_same_lesion_at_another_dose_and_place_persists():
    old, new = read(seed=1, hot=(HOT,)), read((8, -5), scale=2.5, seed=2, hot=(HOT,))
    (change,) = compare(old, new).changes
    assert change.status is Status.PERSISTENT
    assert change.ratio == pytest.approx(1.0, abs=0.2)
    assert (change.old, change.new, change.site) == ((1,), (1,), "ilium, left")


def test_new_and_resolved_are_each_other_turned_round():
    without, having = read(seed=1), read((5, 3), seed=2, hot=(HOT,))
    assert status(without, having) == [Status.NEW]
    assert status(having, without) == [Status.RESOLVED]


def test_more_and_less_uptake():
    faint, hot = read(seed=1, hot=((175, 80, 2.0),)), read(seed=2, hot=((175, 80, 4.5),))
    assert status(faint, hot) == [Status.GROWING]
    assert status(hot, faint) == [Status.SHRINKING]


def test_a_lesion_that_only_one_scan_outlines_is_no_change_where_the_counts_are_the_same():
    hot, missed = read(seed=1, hot=(HOT,)), read(seed=2, hot=(HOT,), outlined=())
    assert status(missed, hot) == [Status.PERSISTENT]
    assert status(hot, missed) == [Status.PERSISTENT]


def test_what_noise_alone_explains_is_no_change():
    old, new = read(scale=0.02, seed=1), read(scale=0.02, seed=2, hot=((175, 80, 1.6),))
    assert status(old, new) == [Status.PERSISTENT]


def test_without_lesions_nothing_changes():
    assert compare(read(seed=1), read(seed=2)).changes == ()


def suspecting(scan, row, col, probability):
    """The scan with some probability of a lesion at a place, and the candidate that follows from it."""
    image = np.zeros(SHAPE, np.float32)
    mask = np.hypot(*(np.indices(SHAPE) - np.array([row, col])[:, None, None])) < 4
    image[mask] = probability
    candidate = Candidate(View.ANTERIOR, contour_of(mask), int(mask.sum()), probability, probability, Region.ILIUM)
    prediction = replace(scan.prediction, lesion={View.ANTERIOR: image})
    return replace(scan, result=replace(scan.result, candidates=(candidate,)), prediction=prediction)


def test_a_lesion_that_the_model_suspected_before_is_growing_and_not_new():
    before = suspecting(read(seed=1), 165, 84, 0.3)
    assert status(before, read(seed=2, hot=[(165, 84, 3.0)])) == [Status.GROWING]
    assert status(suspecting(read(seed=1), 165, 84, 0.05), read(seed=2, hot=[(165, 84, 3.0)])) == [Status.NEW]


def test_a_lesion_that_the_model_still_suspects_is_shrinking_and_not_resolved():
    after = suspecting(read(seed=2), 165, 84, 0.3)
    assert status(read(seed=1, hot=[(165, 84, 3.0)]), after) == [Status.SHRINKING]


SPOT = [(165, 84, 3.0)]


def test_a_candidate_whose_uptake_rose_is_a_new_lesion():
    old = read(seed=1, hot=[(90, 64, 3.0)])
    new = suspecting(read(seed=2, hot=[(90, 64, 3.0), *SPOT], outlined=[(90, 64, 3.0)]), 165, 84, 0.6)
    _, risen = compare_series((old, new), 0.5)[0]
    assert [lesion.id for lesion in risen.result.lesions] == [1, 2]
    assert risen.risen == {2}
    (found,) = [change for change in compare(old, risen).changes if change.status is Status.NEW]
    assert (found.old, found.new) == ((), (2,))
    assert found.ratio == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize(
    ("old", "probability"),
    [
        (read(seed=1, hot=SPOT, outlined=[]), 0.6),  # as hot before
        (read(seed=1), 0.4),  # a peak below the least one
        (suspecting(read(seed=1), 165, 84, 0.3), 0.6),  # suspected before
    ],
)
def test_any_other_candidate_is_none(old, probability):
    new = suspecting(read(seed=2, hot=SPOT, outlined=[]), 165, 84, probability)
    assert compare_series((old, new), 0.5)[0][1] is new


def test_what_rose_once_is_an_old_lesion_in_the_scan_after():
    old, later = read(seed=1), read(seed=3, hot=SPOT)
    new = suspecting(read(seed=2, hot=SPOT, outlined=[]), 165, 84, 0.6)
    first, second = compare_series((old, new, later), 0.5)[1]
    assert [change.status for change in first.changes] == [Status.NEW]
    assert [(change.status, change.old, change.new) for change in second.changes] == [(Status.PERSISTENT, (1,), (1,))]


def test_each_pair_of_views_is_aligned_once(monkeypatch):
    aligned = []

    def counted(old, new):
        aligned.append((old, new))
        return align(old, new)

    monkeypatch.setattr("bonescan.serial.change.align", counted)
    scans, pairs = compare_series((read(seed=1), suspecting(read(seed=2, hot=SPOT, outlined=[]), 165, 84, 0.6)), 0.5)
    assert len(aligned) == len(pairs[0].alignments)
    # The scale is taken without the lesion that was added.
    assert pairs[0].scales == compare(*scans).scales


def test_what_rose_is_marked_in_table_and_json():
    new = suspecting(read(seed=2, hot=SPOT, outlined=[]), 165, 84, 0.6)
    scans, pairs = compare_series((read(seed=1), new), 0.5)
    (lesion,) = comparison_document(scans, pairs, ())["comparisons"][0]["lesions"]
    assert (lesion["status"], lesion["below_threshold"]) == ("new", True)
    assert "because the uptake rose: 1; not in the burden" in comparison_text(scans, pairs, ())


def test_two_lesions_keep_apart():
    old, new = read(seed=1, hot=(HOT,)), read(seed=2, hot=(HOT, OTHER))
    found = compare(old, new)
    assert {change.status: change.new for change in found.changes} == {Status.NEW: (2,), Status.PERSISTENT: (1,)}
    assert found.number(Status.NEW) == 1


# The rule of two and two


def follow(*scans):
    return two_plus_two([FollowUp(frozenset(scan)) for scan in scans])


def test_no_new_lesions_are_no_progression():
    assert follow((), (), ()) == (Step(Verdict.NONE),) * 3


def test_two_and_two_are_progression_from_the_first_scan():
    assert follow((1, 2), (1, 2, 3, 4)) == (Step(Verdict.UNCONFIRMED), Step(Verdict.PROGRESSION, 0))


def test_two_and_one_were_a_flare():
    assert [step.verdict for step in follow((1, 2), (1, 2, 3))] == [Verdict.UNCONFIRMED, Verdict.NONE]


def test_after_a_flare_the_first_scan_is_the_baseline():
    steps = follow((1, 2), (1, 2), (1, 2, 3, 4), (1, 2, 3, 4))
    assert [step.verdict for step in steps] == [
        Verdict.UNCONFIRMED, Verdict.NONE, Verdict.UNCONFIRMED, Verdict.PROGRESSION,
    ]  # fmt: skip
    assert steps[-1].date_of == 2


def test_a_later_pair_that_does_not_persist_is_none():
    assert [step.verdict for step in follow((), (), (3, 4), (3,))][-1] is Verdict.NONE


def test_new_lesions_of_the_second_scan_are_confirmed_by_the_third():
    assert follow((), (1, 2), (1, 2)) == (
        Step(Verdict.NONE), Step(Verdict.UNCONFIRMED), Step(Verdict.PROGRESSION, 1),
    )  # fmt: skip


def test_one_new_lesion_is_never_enough():
    assert {step.verdict for step in follow((1,), (1,), (1,))} == {Verdict.NONE}


def test_progression_stays():
    assert follow((1, 2), (1, 2, 3, 4), ())[-1] == Step(Verdict.PROGRESSION, 0)


def test_a_series_of_scans_is_followed_by_lesion():
    more = [(90, 64, 3.0), (145, 64, 3.0), (60, 64, 3.0), (120, 64, 3.0)]
    scans = [read(seed=1, hot=(HOT,)), read(seed=2, hot=(HOT, *more[:2])), read(seed=3, hot=(HOT, *more))]
    assert [step.verdict for step in verdicts(compare_series(scans)[1])] == [Verdict.UNCONFIRMED, Verdict.PROGRESSION]


# What is written


def test_table_json_and_picture_say_the_same(tmp_path):
    scans = [read(seed=1, hot=(HOT,)), read(seed=2, hot=(HOT, OTHER))]
    _, pairs = compare_series(scans)
    steps = verdicts(pairs)
    write_comparison(tmp_path, scans, pairs, steps)
    document = json.loads((tmp_path / "comparison.json").read_text())
    assert document == json.loads(json.dumps(comparison_document(scans, pairs, steps)))
    assert document["research_use_only"] is True
    assert document["comparisons"][0]["numbers"]["new"] == 1
    text = comparison_text(scans, pairs, steps)
    assert "scan-1 -> scan-2: 1 new, 0 growing, 1 persistent" in text
    assert PCWG3_LABEL in text
    assert "Research use only" in text
    for ending in ("png", "pdf", "html"):
        assert (tmp_path / f"comparison-1.{ending}").stat().st_size > 10_000
    with Image.open(tmp_path / "comparison-1.png") as made:
        assert made.text["Comment"] == RESEARCH_USE


def test_the_rule_is_not_stated_unless_asked_for():
    scans = [read(seed=1), read(seed=2)]
    _, pairs = compare_series(scans)
    assert comparison_document(scans, pairs, ())["pcwg3"] is None
    assert PCWG3_LABEL not in comparison_text(scans, pairs, ())


def test_one_grey_is_one_uptake_in_both():
    """The new scan has twice the counts; the picture of its bones is as dark as the old one's."""
    old, new = read(seed=1, scale=5.0), read(seed=2, scale=10.0)
    shown = side_by_side(Compared(old, new, compare(old, new)))
    assert [each.is_new for each in shown] == [False, True]
    assert shown[1].window == pytest.approx(2 * shown[0].window, rel=0.05)
    spine = []
    for each in shown:
        grey = np.asarray(each.picture.convert("L"), dtype=float)
        middle = grey[:, grey.shape[1] // 2 - 3 : grey.shape[1] // 2 + 3].mean(axis=1)
        spine.append(middle[round(0.3 * len(middle)) : round(0.36 * len(middle))].mean())
    assert spine[0] < 200
    assert spine[0] == pytest.approx(spine[1], abs=8)


def test_a_view_that_one_scan_lacks_changes_nothing_and_is_warned_of():
    old, new = read(seed=1, hot=(HOT,)), read(seed=2, hot=(HOT,))
    study, (lesion,) = old.result.study, old.result.lesions
    scans = {**study.scans, View.POSTERIOR: Scan(View.POSTERIOR, study.counts(View.ANTERIOR))}
    more = (lesion, replace(lesion, id=2, view=View.POSTERIOR))
    result = replace(old.result, study=replace(study, scans=scans), lesions=more)
    both = ReadScan(result, prediction_of(old.prediction.region[View.ANTERIOR], View))
    found = compare(both, new)
    assert [(change.status, change.old, change.new) for change in found.changes] == [(Status.PERSISTENT, (1,), (1,))]
    (warning,) = Compared(both, new, found).warnings()
    assert warning.startswith("only the old scan has the posterior view")
    document = comparison_document([both, new], [found], ())
    assert document["comparisons"][0]["warnings"] == [warning]
    assert f"warning: {warning}" in comparison_text([both, new], [found], ())


def test_warnings_make_the_picture_higher():
    old, new = read(seed=1), read(seed=2)
    plain = Compared(old, new, compare(old, new))
    warned = replace(new, result=replace(new.result, warnings=("few counts",)))
    poor = Compared(old, warned, compare(old, warned))
    first, second = (picture(each, side_by_side(each)) for each in (plain, poor))
    assert second.height > first.height


def test_a_date_that_goes_back_is_seen_by_its_scan():
    scan = read(seed=1)
    dated = replace(scan.result.study, acquired="2024-01-02")
    _, pairs = compare_series([scan, scan])
    document = comparison_document([replace(scan, result=replace(scan.result, study=dated))] * 2, pairs, ())
    assert document["scans"][0]["acquired"] == "2024-01-02"


def test_scans_without_a_view_in_common_are_refused():
    scan = read(seed=1)
    study = scan.result.study
    turned = replace(study, scans={View.POSTERIOR: Scan(View.POSTERIOR, study.counts(View.ANTERIOR))})
    with pytest.raises(InputError, match="no view in common"):
        _refuse_strange_views([study, turned])
    _refuse_strange_views([study, study])


def test_a_newer_scan_before_an_older_one_and_one_scan_twice_are_refused():
    first, second = (replace(read(seed=1).result.study, acquired=f"2024-01-0{day}") for day in (1, 2))
    _refuse_disorder([first, second])
    with pytest.raises(InputError, match="2024-01-02, 2024-01-01: give the oldest first"):
        _refuse_disorder([second, first])
    with pytest.raises(InputError, match="a scan is given twice"):
        _refuse_disorder([replace(first, digests=("a",))] * 2)


@pytest.mark.parametrize(("old", "new", "warned"), [("a", "b", True), ("a", "a", False), (None, "b", False)])
def test_two_patients_are_warned_of_and_not_named(old, new, warned, tmp_path):
    scans = replace(read(seed=1), patient=old), replace(read(seed=2), patient=new)
    _, pairs = compare_series(scans)
    document = comparison_document(scans, pairs, ())
    assert (OTHER_PATIENT in document["comparisons"][0]["warnings"]) is warned
    assert "patient" not in document["scans"][0]
    assert (f"warning: {OTHER_PATIENT}" in comparison_text(scans, pairs, ())) is warned
    write_comparison(tmp_path, scans, pairs, ())
    assert (OTHER_PATIENT in (tmp_path / "comparison-1.html").read_text()) is warned


def test_the_marks_are_letters_that_the_legend_explains():
    """A sign such as - beside a number looks like a leader to its curve, and Pillow's font has no arrows."""
    assert all(mark.isalpha() for mark in MARKS.values())
    assert len(set(MARKS.values())) == len(Status)
    assert all(f"{mark} {status.value}" in LEGEND for status, mark in MARKS.items())
