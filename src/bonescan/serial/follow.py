"""A series of scans: each with the one before it, and lesions named throughout, for the PCWG3 rule."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bonescan.serial.change import Comparison, ReadScan, Status, compare
from bonescan.serial.pcwg3 import FollowUp, Step, two_plus_two


def compare_series(scans: Sequence[ReadScan]) -> tuple[Comparison, ...]:
    """Compare each scan with the one before it, oldest first."""
    return tuple(compare(old, new) for old, new in pairwise(scans))


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
