"""A stored scan in, the stored result out: what the shipped model and all stages after it say does not drift."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from bonescan.lesions.contours import mask_of
from bonescan.pipeline import load_model, segment
from bonescan.reading import read_study
from bonescan.report.lesions_json import read_lesions
from bonescan.study import View

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def found():
    return segment(read_study(HERE / "golden-phantom" / "scan.npz"), load_model())


@pytest.fixture(scope="module")
def stored():
    return read_lesions(HERE / "lesions.json")


def test_the_stored_result_is_of_the_model_that_ships(found, stored):
    assert stored.model == found.model, "run tests/golden/make_golden.py for the new model, and look at the difference"


def test_the_lesions_are_those_that_were_stored(found, stored):
    # Processors round differently: a pixel at the threshold may change sides, a lesion may not.
    assert len(stored.lesions) >= 4
    for view in View:
        before = np.zeros(found.study.shape, dtype=bool)
        for lesion in stored.lesions:
            if lesion.view is view:
                before |= mask_of(lesion.contour, found.study.shape)
        now = found.labels(view) > 0
        assert 2 * (before & now).sum() >= 0.98 * (before.sum() + now.sum())
    assert [(lesion.view, lesion.region, lesion.side) for lesion in found.lesions] == [
        (lesion.view, lesion.region, lesion.side) for lesion in stored.lesions
    ]


def test_the_measures_are_those_that_were_stored(found, stored):
    for now, before in zip(found.lesions, stored.lesions, strict=True):
        assert now.measures.area_px == pytest.approx(before.measures.area_px, rel=0.05, abs=2)
        assert now.measures.counts_max == before.measures.counts_max
        assert now.measures.counts_total == pytest.approx(before.measures.counts_total, rel=0.05)
        assert now.probability == pytest.approx(before.probability, abs=0.02)


def test_the_level_and_pair_of_each_lesion_are_those_that_were_stored(found, stored):
    assert [(lesion.level, lesion.pair) for lesion in found.lesions] == [
        (lesion.level, lesion.pair) for lesion in stored.lesions
    ]


def test_the_extent_is_that_which_was_stored(found, stored):
    now, before = asdict(found.extent), asdict(stored.extent)
    assert now.pop("intervals") == before.pop("intervals") == {}
    assert now.pop("bones") == pytest.approx(before.pop("bones"), rel=0.05)
    assert now == pytest.approx(before, rel=0.05)


def test_the_quality_is_that_which_was_stored(found, stored):
    assert [(check.name, check.poor) for check in found.quality] == [
        (check.name, check.poor) for check in stored.quality
    ]


def test_about_as_many_candidates_are_found(found, stored):
    assert abs(len(found.candidates) - len(stored.candidates)) <= 1
