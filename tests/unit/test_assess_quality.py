"""Checks of a scan's quality, each on a drawn scan that has the fault and on one that has not."""

from __future__ import annotations

import numpy as np
import pytest

from bonescan.assess.quality import check_quality
from bonescan.prediction import Prediction
from bonescan.study import REGIONS, Region, Scan, Study, View

SHAPE = (400, 120)


def drawn():
    """Expected counts of a body in rows 40 to 339, and its region map, seen from the front."""
    rows, cols = np.indices(SHAPE)
    inside = (rows >= 40) & (rows < 340) & (np.abs(cols - 60) < 30)
    expected = np.where(inside, 12.0 + 6.0 * np.cos((cols - 60) / 5.0), 0.05)
    regions = np.zeros(SHAPE, np.uint8)
    regions[100:240, 56:65] = REGIONS.index(Region.THORACIC_SPINE)
    regions[240:280, 40:81] = REGIONS.index(Region.ILIUM)
    regions[200:240, 31:38] = REGIONS.index(Region.FOREARM)
    return expected, regions


def checks(expected, regions, *, views=tuple(View), region="whole-body", scale=1.0, change=None):
    rng = np.random.default_rng(3)
    scans, maps = {}, {}
    for view in views:
        counts = rng.poisson(expected * scale).astype(float)
        if change is not None:
            counts = change(counts)
        turn = slice(None, None, -1 if view is View.POSTERIOR else 1)
        scans[view], maps[view] = Scan(view, counts[:, turn]), regions[:, turn]
    study = Study("drawn", scans)
    probability = dict.fromkeys(views, np.zeros(SHAPE, np.float32))
    return {check.name: check for check in check_quality(study, Prediction(probability, maps), region)}


def test_a_good_scan_passes_every_check():
    expected, regions = drawn()
    found = checks(expected, regions, scale=3.0)
    assert set(found) == {"counts", "tilt", "other tracer", "saturation", "motion", "vertex", "feet", "bladder"}
    assert [name for name, check in found.items() if check.poor] == []


def test_few_counts():
    found = checks(*drawn())["counts"]
    assert found.poor
    assert "million counts" in found.said


def test_a_patient_who_lies_askew():
    expected, regions = drawn()
    for row in range(SHAPE[0]):
        regions[row] = np.roll(regions[row], round((row - 200) * 0.15))
    assert checks(expected, regions)["tilt"].value == pytest.approx(np.degrees(np.arctan(0.15)), abs=1.5)
    assert checks(expected, regions)["tilt"].poor


@pytest.mark.parametrize(("col", "words"), [(33, "at an arm"), (86, "contamination")])
def test_tracer_in_one_place_says_where(col, words):
    expected, regions = drawn()
    expected[205:215, col : col + 5] = 900.0
    regions[205:215, col : col + 5] = REGIONS.index(Region.OTHER_TRACER)
    found = checks(expected, regions)["other tracer"]
    assert found.poor
    assert words in found.said


def test_counts_that_are_cut_off():
    expected, regions = drawn()
    expected[205:215, 60:70] = 900.0
    assert not checks(expected, regions)["saturation"].poor
    assert checks(expected, regions, change=lambda counts: np.minimum(counts, 255))["saturation"].poor


def jumped(counts, columns=8, row=200):
    counts = counts.copy()
    counts[row:] = np.roll(counts[row:], columns, axis=1)
    return counts


class AtFirst:
    """Changes the first view alone."""

    def __init__(self, change):
        self.waiting = [change]

    def __call__(self, counts):
        return self.waiting.pop()(counts) if self.waiting else counts


def test_a_body_that_jumps_in_both_views_alike_moved():
    expected, regions = drawn()
    found = checks(expected, regions, change=jumped)["motion"]
    assert found.poor
    assert found.value >= 6


def test_a_jump_in_one_view_is_no_motion_of_the_patient():
    expected, regions = drawn()
    found = checks(expected, regions, change=AtFirst(jumped))
    assert not found["motion"].poor


def test_one_view_is_not_checked_for_motion():
    assert "motion" not in checks(*drawn(), views=(View.POSTERIOR,))


@pytest.mark.parametrize(("name", "move"), [("vertex", -40), ("feet", 62)])
def test_a_body_that_goes_on_beyond_the_frame(name, move):
    expected, regions = drawn()
    found = checks(np.roll(expected, move, axis=0), np.roll(regions, move, axis=0))
    assert found[name].poor
    assert not found["feet" if name == "vertex" else "vertex"].poor


def test_a_full_bladder_over_the_pelvis():
    expected, regions = drawn()
    regions[240:275, 42:79] = REGIONS.index(Region.BLADDER)
    assert checks(expected, regions)["bladder"].poor


def test_a_thorax_has_no_feet_to_miss():
    assert not {"vertex", "feet", "bladder"} & set(checks(*drawn(), region="thorax"))
