"""Agreement of readers: figures worked out by hand, kappa against scikit-learn, and images without lesions."""

from __future__ import annotations

import json
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from tests import labelled

from bonescan.evaluate import Bootstrap, ImageName
from bonescan.evaluate.agreement import (
    TOLERANCES,
    agreement_text,
    cohen_kappa,
    compare_readings,
    fleiss_kappa,
    summarise_agreement,
)
from bonescan.study import View

QUICK = Bootstrap(repeats=100)
SHAPE = (10, 10)
EMPTY = np.zeros(SHAPE, np.uint16)


picture = partial(labelled.picture, shape=SHAPE)


def report_of(*images):
    """A report; images: (patient, readings)."""
    compared = [
        compare_readings(ImageName(patient, f"{patient}/{number}", View.ANTERIOR), readings)
        for number, (patient, readings) in enumerate(images)
    ]
    return summarise_agreement(compared, QUICK)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_cohens_kappa_is_that_of_scikit_learn(said):
    first, second = np.array(said).T
    table = [(first & second).sum(), (first & ~second).sum(), (second & ~first).sum(), (~first & ~second).sum()]
    ours = float(cohen_kappa(np.array(table)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = cohen_kappa_score(first, second)
    if len(set(first) | set(second)) == 1:
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(theirs)
        assert -1 <= ours <= 1


def test_kappa_by_hand():
    """Of 50, 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: observed 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5."""
    assert cohen_kappa(np.array([20, 5, 10, 15])) == pytest.approx(0.4)
    assert np.isnan(cohen_kappa(np.array([0, 0, 0, 100])))
    assert np.isnan(cohen_kappa(np.array([100, 0, 0, 0])))


def test_fleiss_kappa_by_hand():
    """Three readers, items with 0, 1, 2, 3 times yes: 4, 2, 1, 3.

    Agreement of an item: 1, 1/3, 1/3, 1, mean 0.8; share of yes 13/30, so that chance is (13^2 + 17^2) / 900.
    """
    chance = (13**2 + 17**2) / 900
    assert fleiss_kappa(np.array([4, 2, 1, 3])) == pytest.approx((0.8 - chance) / (1 - chance))
    assert fleiss_kappa(np.array([5, 0, 5])) == 1
    assert np.isnan(fleiss_kappa(np.array([7, 0, 0])))


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.booleans()] * 3), min_size=2, max_size=20))
def test_fleiss_kappa_is_the_plain_definition(said):
    yes = np.array(said).sum(axis=1)
    share = yes.sum() / (3 * len(yes))
    ours = fleiss_kappa(np.bincount(yes, minlength=4))
    if share in (0, 1):
        assert np.isnan(ours)
        return
    agreed = np.mean((yes * (yes - 1) + (3 - yes) * (2 - yes)) / 6)
    chance = share**2 + (1 - share) ** 2
    assert ours == pytest.approx((agreed - chance) / (1 - chance))


def test_a_pair_by_hand():
    """Image 1: 16 and 16 pixels, 8 shared. Image 2: nobody. Image 3: b alone, 4 pixels."""
    report = report_of(
        ("p1", {"a": picture((1, 0, 0, 4, 4)), "b": picture((1, 0, 2, 4, 4))}),
        ("p2", {"a": EMPTY, "b": EMPTY}),
        ("p3", {"a": EMPTY, "b": picture((1, 5, 5, 2, 2))}),
    )
    (pair,) = report["pairs"]
    assert pair["readers"] == ["a", "b"]
    assert pair["dsc_pooled"]["value"] == pytest.approx(16 / 36)
    assert (pair["dsc"]["value"], pair["dsc"]["n"]) == (pytest.approx((0.5 + 1 + 0) / 3), 3)
    assert (pair["dsc_with_lesions"]["value"], pair["dsc_with_lesions"]["n"]) == (0.25, 2)
    assert pair["lesion_f1"]["value"] == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert pair["area_difference"]["median"]["value"] == pytest.approx(1 - 8 / 24)
    assert pair["area_difference"]["median"]["n"] == 1
    assert pair["kappa_pixel"]["value"] == pytest.approx(float(cohen_kappa(np.array([8, 8, 12, 272]))))
    assert pair["kappa_image"]["value"] == pytest.approx(float(cohen_kappa(np.array([1, 0, 1, 1]))))
    assert pair["kappa_place"]["value"] is None
    assert (report["patients"], report["images"], report["images_without_marks"]) == (3, 3, 1)
    assert (report["places"], report["places_drawn_by_all"]) == (2, 1)
    assert (report["lesions"], report["area_px"]) == ({"a": 1, "b": 2}, {"a": 16, "b": 20})
    assert report["overall"]["dsc_pooled"] == pair["dsc_pooled"]
    assert (pair["dsc_pooled"]["low"], pair["dsc_pooled"]["high"]) == (None, None)  # of three patients


def test_five_patients_have_intervals():
    same = {"a": picture((1, 0, 0, 4, 4)), "b": picture((1, 0, 2, 4, 4))}
    apart = {"a": EMPTY, "b": picture((1, 5, 5, 2, 2))}
    report = report_of(*((f"p{number}", apart if number == 5 else same) for number in range(1, 6)))
    pooled = report["overall"]["dsc_pooled"]
    assert pooled["value"] == pytest.approx(64 / 132)
    assert pooled["low"] <= 64 / 132 <= pooled["high"]


def test_what_each_tolerance_would_accept():
    """Differences of 0 and of 4/10, and a lesion that one reader missed."""
    report = report_of(
        ("p1", {"a": picture((1, 0, 0, 4, 5)), "b": picture((1, 0, 0, 4, 5))}),
        ("p1", {"a": picture((1, 0, 0, 2, 4)), "b": picture((1, 0, 1, 2, 4))}),
        ("p2", {"a": picture((1, 0, 0, 4, 4)), "b": EMPTY}),
    )
    accepted = {row["tolerance"]: row["accepted"]["value"] for row in report["tolerances"]}
    assert set(accepted) == set(TOLERANCES)
    assert [accepted[tolerance] for tolerance in (0.05, 0.35, 0.4, 0.6)] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    quartiles = report["overall"]["area_difference"]
    assert (quartiles["lower_quartile"], quartiles["median"]["value"], quartiles["upper_quartile"]) == pytest.approx(
        (0.1, 0.2, 0.3)
    )


def test_three_readers_are_averaged_over_their_pairs():
    lesion = picture((1, 0, 0, 4, 4))
    report = report_of(("p1", {"a": lesion, "b": lesion, "c": EMPTY}), ("p2", {"a": EMPTY, "b": EMPTY, "c": lesion}))
    values = [pair["dsc_pooled"]["value"] for pair in report["pairs"]]
    assert [pair["readers"] for pair in report["pairs"]] == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert values == [1, 0, 0]
    assert report["overall"]["dsc_pooled"]["value"] == pytest.approx(1 / 3)
    # Two places: a and b drew the first, c the second.
    assert [pair["kappa_place"]["value"] for pair in report["pairs"]] == [1, None, None]
    assert report["overall"]["fleiss_kappa_place"]["value"] == pytest.approx(float(fleiss_kappa([0, 1, 1, 0])))
    assert report["overall"]["fleiss_kappa_pixel"]["value"] == pytest.approx(float(fleiss_kappa([168, 16, 16, 0])))


def test_readers_of_nothing_agree_and_have_no_kappa():
    report = report_of(("p1", {"a": EMPTY, "b": EMPTY}), ("p2", {"a": EMPTY, "b": EMPTY}))
    overall = report["overall"]
    assert overall["dsc"]["value"] == 1
    undefined = ("dsc_pooled", "dsc_with_lesions", "lesion_f1", "kappa_pixel", "kappa_place", "kappa_image")
    assert [overall[key]["value"] for key in undefined] == [None] * len(undefined)
    assert overall["area_difference"]["median"]["value"] is None
    assert {row["accepted"]["value"] for row in report["tolerances"]} == {None}
    text = agreement_text(report)
    assert "2 images (2 without marks), 0 places" in text
    assert "overall" in text
    json.dumps(report, allow_nan=False)


def test_one_patient_has_figures_without_intervals():
    report = report_of(("p1", {"a": picture((1, 0, 0, 4, 4)), "b": picture((1, 0, 2, 4, 4))}))
    assert (report["overall"]["dsc_pooled"]["value"], report["overall"]["dsc_pooled"]["low"]) == (0.5, None)


def test_other_readers_are_no_report():
    name = ImageName("p", "s", View.ANTERIOR)
    images = [compare_readings(name, {"a": EMPTY, other: EMPTY}) for other in "bc"]
    with pytest.raises(ValueError, match="2 groups"):
        summarise_agreement(images)
    with pytest.raises(ValueError, match="0 groups"):
        summarise_agreement([])


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(1, 3)), max_size=3), st.integers(0, 5))
def test_agreement_is_symmetric_bounded_and_full_with_oneself(squares, seed):
    ours = picture(*((number, row, col, edge, edge) for number, (row, col, edge) in enumerate(squares, start=1)))
    theirs = np.roll(ours, seed, axis=0)
    there, back = report_of(("p", {"a": ours, "b": theirs})), report_of(("p", {"a": theirs, "b": ours}))
    for key in ("dsc_pooled", "dsc", "lesion_f1", "kappa_pixel", "kappa_image"):
        one, other = there["overall"][key]["value"], back["overall"][key]["value"]
        assert one == other or one == pytest.approx(other)
        assert one is None or -1 <= one <= 1
    alike = report_of(("p", {"a": ours, "b": ours.copy()}))["overall"]
    assert alike["dsc_pooled"]["value"] in (None, 1)
    assert alike["kappa_pixel"]["value"] in (None, pytest.approx(1))
