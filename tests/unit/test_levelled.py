"""Lesions brought down to what lies beside them, and the bones that are then named beneath them."""

from __future__ import annotations

import numpy as np
import pytest

import bonescan
from bonescan.lesions.delineate import Outline, contour_of
from bonescan.lesions.drawn import DrawnLesion
from bonescan.lesions.levelled import levelled
from bonescan.pipeline import Model, adopt
from bonescan.prediction import Prediction
from bonescan.study import LEVELS, REGIONS, Region, Scan, Spacing, Study, View

SHAPE = (64, 64)
HOT = (slice(30, 34), slice(20, 25))


def study(inside: float, spacing: float = 2.4) -> Study:
    counts = np.full(SHAPE, 10.0, np.float32)
    counts[:, 22:] = 20.0
    counts[HOT] = inside
    flat = np.full(SHAPE, 10.0, np.float32)
    return Study(
        "flat", {View.ANTERIOR: Scan(View.ANTERIOR, counts), View.POSTERIOR: Scan(View.POSTERIOR, flat)},
        spacing=Spacing(spacing, spacing),
    )  # fmt: skip


def outline() -> Outline:
    mask = np.ones((4, 5), dtype=bool)
    return Outline(View.ANTERIOR, (30, 20), mask, contour_of(mask) + np.array([30.0, 20.0]), 0.9, Region.RIBS)


def test_a_hot_lesion_comes_down_to_the_mean_of_its_ring():
    before = study(200.0)
    after = levelled(before, [outline()])
    counts = after.counts(View.ANTERIOR)
    # The margin reaches two pixels beyond the outline, without corners, and the ring around it keeps its counts.
    changed = counts != before.counts(View.ANTERIOR)
    assert counts[changed].mean() == pytest.approx(15, abs=2), "between the 10 and the 20 counts to either side"
    assert changed[28:36, 18:27].any()
    changed[28:36, 18:27] = False
    assert not changed.any()
    assert after.counts(View.POSTERIOR) is before.counts(View.POSTERIOR)
    assert before.counts(View.ANTERIOR)[HOT].min() == 200, "the study itself stays"


def test_what_is_colder_than_its_ring_stays():
    before = study(2.0)
    assert np.array_equal(levelled(before, [outline()]).counts(View.ANTERIOR), before.counts(View.ANTERIOR))


def test_a_lesion_does_not_come_down_to_another_hot_lesion():
    before = study(200.0)
    counts = before.counts(View.ANTERIOR).copy()
    counts[30:34, 30:35] = 300.0
    both = Study("two", {View.ANTERIOR: Scan(View.ANTERIOR, counts)}, spacing=before.spacing)
    contour = outline().contour + np.array([0.0, 10.0])
    other = Outline(View.ANTERIOR, (30, 30), outline().mask, contour, 0.9, Region.RIBS)
    counts = levelled(both, [outline(), other]).counts(View.ANTERIOR)
    for cols in (slice(18, 27), slice(28, 37)):
        assert counts[28:36, cols].mean() < 21


def test_the_margin_is_as_wide_in_millimetres_on_fine_pixels():
    fine = levelled(study(200.0, spacing=1.2), [outline()]).counts(View.ANTERIOR)
    assert (fine != study(200.0, 1.2).counts(View.ANTERIOR))[26:28].any()


class Misled:
    """A predictor that takes bone for ribs as long as something in the scan is hot, else for the sternum."""

    def predict(self, prepared):
        lesion, region, level = {}, {}, {}
        for view, scan in prepared.study.scans.items():
            hot = scan.counts > 100
            lesion[view] = np.where(hot, 0.99, 0.0).astype(np.float32)
            shown = Region.RIBS if hot.any() else Region.STERNUM
            region[view] = np.full(scan.counts.shape, REGIONS.index(shown), np.uint8)
            level[view] = np.full(scan.counts.shape, LEVELS.index("rib 4") if hot.any() else 0, np.uint8)
        return Prediction(lesion, region, level=level)


@pytest.fixture
def misled(threshold_bundle):
    return Model(bonescan.load_model(threshold_bundle).bundle, Misled())


def test_a_lesion_is_named_by_the_bone_beneath_its_heat(misled):
    (lesion,) = bonescan.segment(study(200.0), misled).lesions
    assert (lesion.region, lesion.level) == (Region.STERNUM, None)
    assert lesion.window == HOT, "its outline comes from the scan as it is"
    assert lesion.measures.counts_total == 200 * 20


def test_so_is_a_lesion_that_a_person_drew_unless_its_bone_is_stated(misled):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[HOT] = True
    (drawn,) = adopt(study(200.0), [DrawnLesion(View.ANTERIOR, mask)], misled, "Ada").lesions
    assert drawn.region is Region.STERNUM
    (stated,) = adopt(study(200.0), [DrawnLesion(View.ANTERIOR, mask, region=Region.CLAVICLE)], misled, "Ada").lesions
    assert stated.region is Region.CLAVICLE
