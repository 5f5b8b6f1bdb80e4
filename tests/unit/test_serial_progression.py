"""The rule of two and two: which new lesions of a series of scans are progression, and since when."""

from __future__ import annotations

import pytest
from tests.rescanned import HOT, read

from bonescan.serial.series import FollowUp, Step, Verdict, compare_series, two_plus_two, verdicts


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


NEW_SPOTS = ((90, 64, 3.0), (145, 64, 3.0))


def steps_of(*scans):
    """The verdicts on scans of (hot, outlined) places, beside a lesion that all of them show."""
    made = [
        read(seed=number, hot=(HOT, *hot), outlined=(HOT, *outlined)) for number, (hot, outlined) in enumerate(scans, 1)
    ]
    return verdicts(compare_series(made)[1])


@pytest.mark.parametrize("missed", [(), NEW_SPOTS[:1], NEW_SPOTS[1:]])
def test_a_new_lesion_that_persists_without_an_outline_still_counts(missed):
    steps = steps_of(((), ()), ((), ()), (NEW_SPOTS, NEW_SPOTS), (NEW_SPOTS, missed), (NEW_SPOTS, NEW_SPOTS))
    assert steps[1:] == (Step(Verdict.UNCONFIRMED), Step(Verdict.PROGRESSION, 1), Step(Verdict.PROGRESSION, 1))


def test_a_new_lesion_keeps_its_name_over_a_scan_that_does_not_outline_it():
    first, both = NEW_SPOTS[:1], NEW_SPOTS
    # The first of both is not outlined in the scan in which the second is new.
    steps = steps_of(((), ()), ((), ()), (first, first), (both, NEW_SPOTS[1:]), (both, both))
    assert steps[2:] == (Step(Verdict.UNCONFIRMED), Step(Verdict.PROGRESSION, 2))


def test_what_has_resolved_and_comes_back_is_new_again():
    both, second = NEW_SPOTS, NEW_SPOTS[1:]
    # Those of the first scan, the new baseline, come back after they have resolved; one alone is never enough.
    steps = steps_of(((), ()), (both, both), ((), ()), (both, both), (second, second))
    assert [step.verdict for step in steps] == [
        Verdict.UNCONFIRMED, Verdict.NONE, Verdict.UNCONFIRMED, Verdict.NONE,
    ]  # fmt: skip


def test_of_a_flare_what_is_outlined_again_is_not_new():
    both = NEW_SPOTS
    steps = steps_of(((), ()), (both, both), (both, ()), (both, both), (both, both))
    assert [step.verdict for step in steps] == [Verdict.UNCONFIRMED, *[Verdict.NONE] * 3]
