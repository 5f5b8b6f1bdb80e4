"""Scans of which one shows more of the body: what the other does not show is neither new nor resolved."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from io import BytesIO

import numpy as np
import pytest
from pypdf import PdfReader
from tests.rescanned import HOT, KNEES, LEGS, SHAPE, ending_above, prediction_of, read, suspecting

from bonescan.serial.change import ReadScan, Status, compare
from bonescan.serial.compared import LEGEND, Compared
from bonescan.serial.page import comparison_page, side_by_side
from bonescan.serial.report import comparison_document, comparison_html, comparison_text
from bonescan.serial.series import Verdict, compare_series, verdicts
from bonescan.study import REGIONS, Region, Scan, View


def nothing_counted_below(scan: ReadScan) -> ReadScan:
    """The scan with a frame as before, in which nothing was counted below the knees."""
    study, kept = scan.result.study, ending_above(scan).result.lesions
    above = np.arange(SHAPE[0])[:, None] < KNEES
    scans = {View.ANTERIOR: Scan(View.ANTERIOR, study.counts(View.ANTERIOR) * above)}
    result = replace(scan.result, study=replace(study, scans=scans), lesions=kept)
    return ReadScan(result, prediction_of(scan.prediction.region[View.ANTERIOR] * above, [View.ANTERIOR]))


def not_looked_at_below(scan: ReadScan) -> ReadScan:
    """The scan of a whole body, of which the model looked only at what lies above the knees."""
    above, row = ending_above(scan).result, np.arange(SHAPE[0])[:, None]
    result = replace(scan.result, lesions=above.lesions, window=above.window)
    return ReadScan(result, prediction_of(scan.prediction.region[View.ANTERIOR] * (row < KNEES), [View.ANTERIOR]))


SHORTER = pytest.mark.parametrize("shorter", [ending_above, nothing_counted_below, not_looked_at_below])


@SHORTER
def test_what_the_other_scan_does_not_show_is_neither_new_nor_resolved(shorter):
    short, long = shorter(read(seed=1, hot=(HOT, *LEGS))), read(seed=2, hot=(HOT, *LEGS))
    for scans in ((short, long), (long, short)):
        (change,) = compare(*scans).changes
        assert (change.status, change.old, change.new) == (Status.PERSISTENT, (1,), (1,))


@SHORTER
def test_legs_that_a_scan_shows_for_the_first_time_are_no_progression(shorter):
    scans = [shorter(read(seed=1, hot=(HOT, *LEGS))), *(read(seed=seed, hot=(HOT, *LEGS)) for seed in (2, 3, 4))]
    assert {step.verdict for step in verdicts(compare_series(scans)[1])} == {Verdict.NONE}


@SHORTER
def test_new_lesions_that_the_next_scan_does_not_show_are_not_confirmed_by_it(shorter):
    plain, legs = ([read(seed=seed, hot=(HOT, *hot)) for seed in (1, 2, 3)] for hot in ((), LEGS))
    steps = verdicts(compare_series([*plain[:2], legs[2], shorter(legs[0])])[1])
    assert [step.verdict for step in steps] == [Verdict.NONE, Verdict.UNCONFIRMED, Verdict.NONE]


@SHORTER
def test_a_candidate_whose_place_the_older_scan_does_not_show_has_not_risen(shorter):
    new = suspecting(read(seed=2, hot=LEGS, outlined=()), *LEGS[1][:2], 0.6)
    assert compare_series((shorter(read(seed=1)), new), 0.5)[0][1] is new


@pytest.mark.parametrize(("row", "compared"), [(213, True), (216, False)])
def test_of_a_lesion_across_the_edge_what_both_show_is_compared_if_it_is_the_greater_part(row, compared):
    spot = ((row, 80, 3.0),)
    short, long = ending_above(read(scale=4.0, seed=1, hot=spot)), read(scale=4.0, seed=2, hot=spot)
    assert short.result.lesions == ()
    for scans in ((short, long), (long, short)):
        changes = compare(*scans).changes
        assert [change.status for change in changes] == [Status.PERSISTENT] * compared
        assert all(change.ratio == pytest.approx(1.0, abs=0.1) for change in changes)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_warning_and_a_mark_say_what_is_not_compared(is_new):
    short, long = ending_above(read(seed=1, hot=(HOT, *LEGS))), read(seed=2, hot=(HOT, *LEGS))
    scans, (mine, other) = ((short, long), ("new", "old")) if is_new else ((long, short), ("old", "new"))
    pair = compare(*scans)
    compared = Compared(*scans, pair)
    (warning,) = compared.warnings()
    assert warning == (
        f"2 outlines of the {mine} scan (ilium, left) lie outside the part of the body that the {other} scan shows: "
        f"they are not compared, are marked X in the picture, and count in the burden of the {mine} scan alone"
    )
    assert compared.names(is_new) == {1: "1P", 2: "X", 3: "X"}
    assert compared.names(not is_new) == {1: "1P"}
    assert "X not compared" in LEGEND
    assert comparison_document(scans, [pair], ())["comparisons"][0]["warnings"] == [warning]
    assert f"warning: {warning}\n" in comparison_text(scans, [pair], ())
    shown = side_by_side(compared)
    page = PdfReader(BytesIO(comparison_page(compared, shown))).pages[0].extract_text()
    for text in (page, unescape(re.sub(r"<[^>]+>", " ", comparison_html(compared, shown)))):
        said = " ".join(text.split())
        assert warning in said
        assert LEGEND in said


def test_one_outline_is_spoken_of_as_one():
    short, long = ending_above(read(seed=1, hot=LEGS[:1])), read(seed=2, hot=LEGS[:1])
    (warning,) = Compared(short, long, compare(short, long)).warnings()
    assert warning.startswith("1 outline of the new scan (ilium, left) lies outside the part of the body that the old")
    assert "it is not compared, is marked X in the picture, and counts in the burden" in warning


def test_where_nothing_can_be_compared_it_does_not_say_that_nothing_was_outlined():
    short, long = ending_above(read(seed=1, hot=LEGS)), read(seed=2, hot=LEGS)
    compared = Compared(short, long, compare(short, long))
    shown = side_by_side(compared)
    page = PdfReader(BytesIO(comparison_page(compared, shown))).pages[0].extract_text()
    for text in (page, comparison_html(compared, shown)):
        assert "No lesion was outlined where both scans show the body." in " ".join(text.split())
        assert "in either scan" not in text


def test_a_scan_without_any_counts_shows_nothing():
    empty, full = read(seed=1), read(seed=2, hot=(HOT,))
    study = empty.result.study
    blank = replace(study, scans={View.ANTERIOR: Scan(View.ANTERIOR, 0 * study.counts(View.ANTERIOR))})
    empty = replace(empty, result=replace(empty.result, study=blank))
    assert compare(empty, full).changes == compare(full, empty).changes == ()
    assert empty.result.study.shape == SHAPE


@SHORTER
def test_bones_that_one_scan_alone_shows_do_not_scale_the_counts(shorter):
    """Legs have less uptake than a spine: with them, all else would look hotter in the scan that shows them."""

    def with_paler_legs(seed):
        scan = read(scale=4.0, seed=seed)
        study, legs = scan.result.study, scan.prediction.region[View.ANTERIOR] == REGIONS.index(Region.FEMUR)
        scans = {View.ANTERIOR: Scan(View.ANTERIOR, np.rint(study.counts(View.ANTERIOR) * np.where(legs, 0.3, 1)))}
        return replace(scan, result=replace(scan.result, study=replace(study, scans=scans)))

    short, long = shorter(with_paler_legs(1)), with_paler_legs(2)
    for scans in ((short, long), (long, short)):
        assert compare(*scans).scales[View.ANTERIOR] == pytest.approx(1.0, abs=0.05)
