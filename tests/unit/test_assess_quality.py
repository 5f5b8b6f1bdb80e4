"""Checks of a scan's quality, each on a drawn scan that has the fault and on one that has not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bonescan.assess.quality import check_quality
from bonescan.phantom import make_anatomy, make_patient
from bonescan.prediction import Prediction
from bonescan.prepare import order, prepare, to_pair
from bonescan.study import REGIONS, Region, Scan, Spacing, Study, View

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
    assert set(found) == {
        "counts", "saturation", "body", "upright", "vertex", "feet", "tilt", "other tracer", "motion", "bladder"
    }  # fmt: skip
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


PATIENT = 6_900_003
"""Seen from head to toes, 1.68 m long; upside down, the order of its views looks exchanged."""


@pytest.fixture(scope="module")
def patient():
    """A simulated patient: the study, and the true region maps."""
    phantom = make_patient(make_anatomy(PATIENT), 0)
    return phantom.study, phantom.regions


def changed(study, change, **others):
    return replace(study, scans={view: Scan(view, change(scan.counts)) for view, scan in study.scans.items()}, **others)


def checked(study, regions, region="whole-body"):
    probability = {view: np.zeros(study.shape, np.float32) for view in study.scans}
    return {check.name: check for check in check_quality(study, Prediction(probability, regions), region)}


def test_a_whole_adult_is_seen_upright_and_of_an_adults_length(patient):
    found = checked(*patient)
    assert {"body", "upright", "vertex", "feet", "length"} <= set(found)
    assert [name for name, check in found.items() if check.poor] == []
    assert found["length"].value == pytest.approx(1.69, abs=0.03)


@pytest.mark.parametrize(("missing_mm", "poor"), [(-5, False), (0, False), (15, True), (40, True)])
def test_a_head_at_the_first_rows_is_whole_or_cut(patient, missing_mm, poor):
    study, regions = patient
    skull = np.isin(regions[View.ANTERIOR], [REGIONS.index(Region.SKULL)]).any(axis=1)
    first = int(np.argmax(skull)) + round(missing_mm / study.spacing.row_mm)
    found = checked(changed(study, lambda counts: counts[first:]), {v: m[first:] for v, m in regions.items()})
    assert found["vertex"].poor is poor
    assert ("length" in found) is not poor


@pytest.mark.parametrize("level", [0.1, 5.0, 60.0])
@pytest.mark.parametrize("shape", [(1024, 256), (256, 256)])
def test_noise_shows_no_body(level, shape):
    rng = np.random.default_rng(2)
    study = Study("noise", {view: Scan(view, rng.poisson(level, shape)) for view in View}, Spacing(2.4, 2.4))
    for region in ("whole-body", "thorax"):
        found = checked(study, {view: np.zeros(shape, np.uint8) for view in View}, region)
        assert found["body"].poor
        assert found["body"].said.startswith("no body is seen: ")
        # What depends on a body is not judged without one.
        assert set(found) == {"counts", "saturation", "body"}
    assert order.EXCHANGED not in prepare(study).warnings


@pytest.mark.parametrize(
    "negative",
    [
        lambda counts: counts.max() - counts,
        lambda counts: np.rint(255 * (1 - np.clip(counts / np.percentile(counts, 99.5), 0, 1))),
    ],
)
def test_a_negative_picture_shows_no_body(patient, negative):
    study, regions = patient
    found = checked(changed(study, negative), regions)
    assert found["body"].poor
    assert "negative picture" in found["body"].said


def test_arms_and_hips_at_the_sides_of_a_narrow_frame_are_a_body(patient):
    study, regions = patient
    cols = np.flatnonzero(regions[View.ANTERIOR].any(axis=0))
    narrow = slice(int(cols[0]), int(cols[-1]) + 1)
    found = checked(changed(study, lambda counts: counts[:, narrow]), {v: m[:, narrow] for v, m in regions.items()})
    assert not found["body"].poor


def test_a_patient_upside_down_is_said_to_be_that_and_nothing_else(patient):
    study, regions = patient
    turned = changed(study, lambda counts: counts[::-1])
    found = checked(turned, {view: region_map[::-1] for view, region_map in regions.items()})
    assert [name for name, check in found.items() if check.poor] == ["upright"]
    assert found["upright"].said.startswith("the head seems to be at the bottom: ")
    assert not {"vertex", "feet", "tilt"} & set(found)
    assert order.order_score(to_pair(turned).counts) < order.LEAST_SCORE
    assert order.EXCHANGED not in prepare(turned).warnings


@pytest.mark.parametrize("view", View)
def test_one_view_tells_where_the_head_is(patient, view):
    study, regions = patient
    alone = replace(study, scans={view: study.scans[view]})
    assert not checked(alone, {view: regions[view]})["upright"].poor
    assert checked(changed(alone, lambda counts: counts[::-1]), {view: regions[view][::-1]})["upright"].poor


def ended_at(patient, row):
    """The scan that ended at a row."""
    study, regions = patient
    return checked(changed(study, lambda counts: counts[:row]), {view: m[:row] for view, m in regions.items()})


def rows_of(patient, region):
    shown = np.any([(m == REGIONS.index(region)).any(axis=1) for m in patient[1].values()], axis=0)
    return np.flatnonzero(shown)


@pytest.mark.parametrize("margin", [0, 2, 4, 8])
def test_toes_at_the_edge_of_the_frame_are_not_missing(patient, margin):
    found = ended_at(patient, int(rows_of(patient, Region.FOOT)[-1]) + 1 + margin)
    assert not found["feet"].poor
    assert not found["length"].poor


def test_feet_that_were_cut_off_are_missing(patient):
    ankles = int(rows_of(patient, Region.FOOT)[0])
    knees = int(rows_of(patient, Region.LOWER_LEG)[0])
    for row in (ankles, (ankles + knees) // 2, knees):
        found = ended_at(patient, row)
        assert found["feet"].poor, row
        # A body that goes on has no length.
        assert "length" not in found


@pytest.mark.parametrize(("spacing", "length"), [(1.0, 0.75), (1.4, 1.05), (3.0, 2.25)])
def test_a_body_that_is_no_adults_is_said(patient, spacing, length):
    study, regions = patient
    found = checked(replace(study, spacing=Spacing(spacing, spacing)), regions)["length"]
    assert found.poor
    assert found.value == pytest.approx(length, rel=0.03)
    assert f"{found.value:.2f} m" in found.said
    assert f"{spacing:.3g} mm" in found.said


def test_without_a_spacing_or_with_raised_arms_there_is_no_length(patient):
    study, regions = patient
    assert "length" not in checked(replace(study, spacing=None), regions)
    raised = {view: region_map.copy() for view, region_map in regions.items()}
    for region_map in raised.values():
        region_map[region_map == REGIONS.index(Region.SKULL)] = REGIONS.index(Region.HAND)
        region_map[region_map == REGIONS.index(Region.FACE)] = REGIONS.index(Region.HAND)
    assert "length" not in checked(study, raised)
