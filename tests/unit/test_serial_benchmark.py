"""What `benchmarks/serial.py` counts: lesions that a hotter one takes in are neither new nor resolved."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from tests.scripts import script

from bonescan.phantom.truth import LesionRecord
from bonescan.serial.change import Change, Comparison, Status
from bonescan.study import Measures, Region, Side, View

PLACES = {1: 2, 2: 6, 3: 10}
"""The row of each lesion in a small frame."""


@pytest.fixture(scope="module")
def serial():
    return script("benchmarks/serial.py")


def scan(shows, statuses, equivocal=()):
    """A scan with the truth's pictures. shows: number of a lesion -> the number that its pixels have, 0 for none.

    equivocal: numbers of places where an equivocal lesion lies.
    """
    labels = np.zeros((14, 4), np.uint16)
    for number, holder in shows.items():
        labels[PLACES[number] : PLACES[number] + 2] = holder
    table = [
        LesionRecord(
            number, "rib", Region.RIBS, Side.LEFT, 5.0, 2.0,
            {View.ANTERIOR: int((labels == number).sum()), View.POSTERIOR: 0},
            part_of={View.ANTERIOR: holder, View.POSTERIOR: 0},
        )
        for number, holder in shows.items()
    ]  # fmt: skip
    faint = np.zeros_like(labels)
    for number in equivocal:
        faint[PLACES[number] + 1, :] = 1
    views = (View.ANTERIOR, View.POSTERIOR)
    phantom = SimpleNamespace(
        lesions=dict(zip(views, (labels, labels * 0), strict=True)),
        faint=dict.fromkeys(views, faint),
        table=tuple(table),
    )
    return SimpleNamespace(phantom=phantom, statuses=statuses)


def outlines(*numbers):
    """A result with an outline, numbered from 1, at the place of each of these lesions."""
    lesions = [
        SimpleNamespace(
            id=place, view=View.ANTERIOR, mask=np.ones((2, 4), bool), measures=Measures(8, None, 1, 1, 1, None, None),
            window=(slice(PLACES[number], PLACES[number] + 2), slice(0, 4)),
        )
        for place, number in enumerate(numbers, 1)
    ]  # fmt: skip
    return SimpleNamespace(result=SimpleNamespace(lesions=lesions))


def judged(serial, monkeypatch, changes, old, new, series):
    made = [Change(status, before, after, 1.0, 0.0, "rib") for status, before, after in changes]
    monkeypatch.setattr(serial, "compare", lambda *_: Comparison(tuple(made), {}, {}))
    return dict(serial.judged(old, new, series))


def test_a_lesion_that_a_hotter_one_takes_in_is_told_as_that_one_is_and_not_resolved(serial, monkeypatch):
    series = scan({1: 1, 2: 2}, {}), scan({1: 1, 2: 1}, {1: "growing", 2: "persistent"})
    changes = [(Status.GROWING, (1,), (1,)), (Status.RESOLVED, (2,), ())]
    found = judged(serial, monkeypatch, changes, outlines(1, 2), outlines(1), series)
    assert found == {("growing", Status.GROWING): 1, ("persistent", Status.GROWING): 1}


def test_a_lesion_that_parts_from_a_hotter_one_is_not_new(serial, monkeypatch):
    series = scan({1: 1, 2: 1}, {}), scan({1: 1, 2: 2}, {1: "shrinking", 2: "persistent"})
    changes = [(Status.NEW, (), (2,)), (Status.SHRINKING, (1,), (1,))]
    found = judged(serial, monkeypatch, changes, outlines(1), outlines(1, 2), series)
    assert found == {("shrinking", Status.SHRINKING): 1, ("persistent", Status.SHRINKING): 1}


def test_a_new_lesion_in_a_hotter_one_and_a_resolved_one_that_was_in_one_do_not_count(serial, monkeypatch):
    series = scan({1: 1, 3: 1}, {}), scan({1: 1, 2: 1, 3: 0}, {1: "growing", 2: "new", 3: "resolved"})
    found = judged(serial, monkeypatch, [(Status.GROWING, (1,), (1,))], outlines(1), outlines(1), series)
    assert found == {("growing", Status.GROWING): 1}


def test_lesions_with_outlines_of_their_own_count_as_before(serial, monkeypatch):
    series = scan({1: 1, 3: 3}, {}), scan({1: 1, 2: 2, 3: 0}, {1: "persistent", 2: "new", 3: "resolved"})
    changes = [(Status.NEW, (), (2,)), (Status.RESOLVED, (2,), ())]
    found = judged(serial, monkeypatch, changes, outlines(1, 3), outlines(1, 2), series)
    assert found == {("persistent", "not told"): 1, ("new", Status.NEW): 1, ("resolved", Status.RESOLVED): 1}


def test_an_outline_of_no_lesion_is_a_false_mark(serial, monkeypatch):
    series = scan({1: 1}, {}), scan({1: 1}, {1: "persistent"})
    changes = [(Status.NEW, (), (2,)), (Status.PERSISTENT, (1,), (1,))]
    found = judged(serial, monkeypatch, changes, outlines(1), outlines(1, 3), series)
    assert found == {("false mark", Status.NEW): 1, ("persistent", Status.PERSISTENT): 1}


def test_an_outline_of_an_equivocal_lesion_is_ignored(serial, monkeypatch):
    series = scan({1: 1}, {}), scan({1: 1}, {1: "persistent"}, equivocal=[3])
    changes = [(Status.NEW, (), (2,)), (Status.PERSISTENT, (1,), (1,))]
    found = judged(serial, monkeypatch, changes, outlines(1), outlines(1, 3), series)
    assert found == {("persistent", Status.PERSISTENT): 1}


def test_a_new_lesion_that_takes_in_an_old_one_is_its_growth(serial, monkeypatch):
    series = scan({1: 1}, {}), scan({1: 2, 2: 2}, {1: "persistent", 2: "new"})
    found = judged(serial, monkeypatch, [(Status.GROWING, (1,), (1,))], outlines(1), outlines(2), series)
    assert found == {("persistent", Status.GROWING): 1}


def test_an_outline_of_its_own_tells_of_a_new_lesion(serial, monkeypatch):
    series = scan({1: 1}, {}), scan({1: 1, 2: 2}, {1: "persistent", 2: "new"})
    series[1].phantom.table[1].part_of[View.POSTERIOR] = 1
    changes = [(Status.NEW, (), (2,)), (Status.PERSISTENT, (1,), (1,))]
    found = judged(serial, monkeypatch, changes, outlines(1), outlines(1, 2), series)
    assert found == {("persistent", Status.PERSISTENT): 1, ("new", Status.NEW): 1}


def test_specificity_is_of_the_lesions_of_the_new_scan(serial):
    found = Counter(
        {("new", Status.NEW): 1, ("persistent", Status.NEW): 1, ("persistent", Status.GROWING): 3,
         ("persistent", "not told"): 5, ("resolved", Status.RESOLVED): 7, ("false mark", Status.NEW): 1}
    )  # fmt: skip
    report = serial.summary(found)
    assert (report["new_lesions"], report["other_lesions"], report["sensitivity"]) == (1, 5, 1)
    assert report["specificity"] == pytest.approx(3 / 5)
    assert report["specificity_on_lesions"] == pytest.approx(3 / 4)
