"""A series of scans: each with the one before it, and lesions named throughout, for the PCWG3 rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from bonescan.assess import assess
from bonescan.serial.change import Comparison, ReadScan, Status, compare, risen_lesions
from bonescan.serial.pcwg3 import FollowUp, Step, two_plus_two


def compare_series(scans: Sequence[ReadScan]) -> tuple[Comparison, ...]:
    """Compare each scan with the one before it, oldest first."""
    return tuple(compare(old, new) for old, new in pairwise(scans))


def with_risen(scans: Sequence[ReadScan], least_peak: float) -> tuple[ReadScan, ...]:
    """Add to each scan after the first the candidates whose uptake has risen since the scan before, oldest first.

    The two scans together show what the threshold for one scan misses. least_peak: as in `risen_lesions`. The burden
    stays that of the scan by itself.
    """
    made = list(scans[:1])
    for new in scans[1:]:
        found = risen_lesions(made[-1], new, least_peak)
        if found:
            result, numbers = new.result, frozenset(lesion.id for lesion in found)
            lesions, _ = assess(result.study, (*result.lesions, *found), new.prediction, result.region)
            new = replace(new, result=replace(result, lesions=lesions), risen=numbers)
        made.append(new)
    return tuple(made)


def verdicts(pairs: Sequence[Comparison]) -> tuple[Step, ...]:
    """Apply the rule of two and two: the first scan is the baseline, each comparison is one scan after it.

    A lesion keeps its name from its first scan on; it stays in the count until it resolves.
    """
    names: dict[int, int] = {}
    fresh: set[int] = set()
    following: list[FollowUp] = []
    last = 0
    for pair in pairs:
        after: dict[int, int] = {}
        for change in pair.changes:
            known = next((names[number] for number in change.old if number in names), None)
            if known is None:
                last += 1
                known = last
                # What no outline of before shows, and yet is not new, was there at the baseline already.
                if change.status is Status.NEW:
                    fresh.add(known)
            if change.status is Status.RESOLVED:
                fresh.discard(known)
            after |= dict.fromkeys(change.new, known)
        names = after
        following.append(FollowUp(frozenset(fresh & set(names.values()))))
    return two_plus_two(following)
