"""What is written of a comparison: table, JSON and picture; and what is warned of."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.rescanned import HOT, OTHER, SPOT, prediction_of, read, suspecting

from bonescan.report.words import RESEARCH_USE
from bonescan.serial.change import ReadScan, Status, compare
from bonescan.serial.compared import LEGEND, MARKS, OTHER_PATIENT, PCWG3_LABEL, Compared, verdict_lines
from bonescan.serial.page import picture, side_by_side
from bonescan.serial.report import comparison_document, comparison_text, write_comparison
from bonescan.serial.series import Step, Verdict, compare_series, verdicts
from bonescan.study import Scan, View


def test_what_rose_is_marked_in_table_and_json():
    new = suspecting(read(seed=2, hot=SPOT, outlined=[]), 165, 84, 0.6)
    scans, pairs = compare_series((read(seed=1), new), 0.5)
    (lesion,) = comparison_document(scans, pairs, ())["comparisons"][0]["lesions"]
    assert (lesion["status"], lesion["below_threshold"]) == ("new", True)
    assert (
        "note: lesion 1 is below the threshold of a single scan and outlined because its uptake rose; it is not in the "
        "burden\n"
    ) in comparison_text(scans, pairs, ())


@pytest.mark.parametrize(
    ("risen", "words"),
    [
        ((2,), "lesion 2 is below the threshold of a single scan and outlined because its uptake rose; it is not in"),
        ((2, 5), "lesions 2 and 5 are below the threshold of a single scan and outlined because their uptake rose; "),
        ((1, 2, 5), "lesions 1, 2 and 5 are below"),
        ((), None),
    ],
)
def test_the_note_on_what_rose_names_the_lesions_and_reads_as_no_count(monkeypatch, risen, words):
    monkeypatch.setattr(Compared, "risen", risen)
    scans, (pair,) = compare_series((read(seed=1), read(seed=2)))
    notes = Compared(*scans, pair).notes()
    assert [note[: len(words or "")] for note in notes] == ([] if words is None else [words])


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


def test_progression_dates_from_the_scan_after_which_it_was_suspected(tmp_path):
    """Its index among the steps is counted from the first scan after the baseline."""
    scans, pairs = compare_series([read(seed=number) for number in (1, 2, 3)])
    steps = (Step(Verdict.UNCONFIRMED), Step(Verdict.PROGRESSION, 0))
    said = comparison_document(scans, pairs, steps)["pcwg3"]["verdicts"]
    assert [(one["verdict"], one["dates_from_scan"]) for one in said] == [
        ("two or more new lesions, to be confirmed by the next scan", None), ("progression", 1),
    ]  # fmt: skip
    lines = [
        "scan-2: two or more new lesions, to be confirmed by the next scan", "scan-3: progression, from scan-2",
    ]  # fmt: skip
    assert verdict_lines(scans, steps) == tuple(lines)
    text = comparison_text(scans, pairs, steps)
    assert all(f"{PCWG3_LABEL}: {line}\n" in text for line in lines)
    write_comparison(tmp_path, scans, pairs, steps)
    for number in (1, 2):
        assert all(line in (tmp_path / f"comparison-{number}.html").read_text() for line in lines)


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
