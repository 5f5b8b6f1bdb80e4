"""A series of scans: each compared with the one before it, and the PCWG3 rule of two and two for progression in bone.

The rule is for prostate cancer, and for clinical trials: Scher et al., J Clin Oncol 2016;34:1402-1418. The first scan
after the start of treatment may show a flare: two or more new lesions on it are no progression yet. If the next scan
shows at least two more new lesions, this is progression, dated to the first scan. If not, the first scan becomes the
new baseline. On a later scan, two or more lesions that are new against this baseline are progression if the scan after
it still shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import hypot

from bonescan.assess import assess
from bonescan.serial.change import (
    SAME_PLACE_PX,
    Change,
    Comparison,
    ReadScan,
    Status,
    align_views,
    compare,
    risen_lesions,
)
from bonescan.study import Lesion

NEW_LESIONS = 2
"""At least so many."""


class Verdict(StrEnum):
    """What the rule says after a scan."""

    NONE = "no progression"
    UNCONFIRMED = "two or more new lesions, to be confirmed by the next scan"
    PROGRESSION = "progression"


@dataclass(frozen=True, slots=True)
class FollowUp:
    """New lesions of one scan after the start of treatment.

    since_baseline: names of the lesions that the baseline, the last scan before treatment, does not show.
    A lesion keeps its name from scan to scan.
    """

    since_baseline: frozenset[int]


@dataclass(frozen=True, slots=True)
class Step:
    """The verdict after one scan. date_of: index of the scan from which progression dates, None without progression."""

    verdict: Verdict
    date_of: int | None = None


def two_plus_two(scans: Sequence[FollowUp]) -> tuple[Step, ...]:
    """Return the verdict after each scan that follows the baseline, in order. Progression, once stated, stays."""
    steps: list[Step] = []
    reference: frozenset[int] = frozenset()
    pending: tuple[int, frozenset[int]] | None = None
    for number, scan in enumerate(scans):
        if steps and steps[-1].verdict is Verdict.PROGRESSION:
            steps.append(steps[-1])
            continue
        if pending is not None and _confirmed(number, pending, scan, reference):
            steps.append(Step(Verdict.PROGRESSION, pending[0]))
            continue
        if number == 1:
            # The first scan is the new baseline: what it showed was a flare, or was too little.
            reference = scans[0].since_baseline
        fresh = scan.since_baseline - reference
        pending = (number, fresh) if len(fresh) >= NEW_LESIONS else None
        steps.append(Step(Verdict.UNCONFIRMED if pending else Verdict.NONE))
    return tuple(steps)


def _confirmed(number: int, pending: tuple[int, frozenset[int]], scan: FollowUp, reference: frozenset[int]) -> bool:
    """Whether a scan confirms what the one before it showed."""
    if number == 1:
        return len(scan.since_baseline - pending[1]) >= NEW_LESIONS
    # Later, the same lesions that were new must persist.
    return len(pending[1] & (scan.since_baseline - reference)) >= NEW_LESIONS


def compare_series(
    scans: Sequence[ReadScan], risen_from: float | None = None
) -> tuple[tuple[ReadScan, ...], tuple[Comparison, ...]]:
    """Compare each scan with the one before it, oldest first; return the scans as they were compared, and each pair.

    risen_from: add to each scan after the first the candidates of at least this peak probability whose uptake has risen
    since the scan before; None: none. The two scans together show what the threshold for one scan misses. The burden
    stays that of the scan by itself.
    """
    compared, pairs = list(scans[:1]), []
    for new in scans[1:]:
        old = compared[-1]
        alignments = align_views(old, new)
        if risen_from is not None:
            new = _with_risen(new, risen_lesions(old, new, alignments, risen_from))
        compared.append(new)
        pairs.append(compare(old, new, alignments))
    return tuple(compared), tuple(pairs)


def _with_risen(scan: ReadScan, found: Sequence[Lesion]) -> ReadScan:
    if not found:
        return scan
    result, numbers = scan.result, frozenset(lesion.id for lesion in found)
    lesions, _ = assess(result.study, (*result.lesions, *found), scan.prediction, result.region)
    return replace(scan, result=replace(result, lesions=lesions), risen=numbers)


def verdicts(pairs: Sequence[Comparison]) -> tuple[Step, ...]:
    """Apply the rule of two and two: the first scan is the baseline, each comparison is one scan after it.

    A lesion keeps its name from its first scan on; it stays in the count until it resolves, also on a scan that does
    not outline it but whose counts still show it. It has the same name if the scan after that outlines it again.
    """
    names: dict[int, int] = {}
    fresh: set[int] = set()
    following: list[FollowUp] = []
    unoutlined: list[tuple[int, Change]] = []
    last = 0
    for pair in pairs:
        after: dict[int, int] = {}
        present: dict[int, Change] = {}
        for change in pair.changes:
            known = next((names[number] for number in change.old if number in names), None)
            if known is None:
                known = next((name for name, earlier in unoutlined if _same_place(earlier, change)), None)
            if known is None:
                last += 1
                known = last
                # A lesion without an earlier outline that is not "new" is taken to have been present at the baseline.
                if change.status is Status.NEW:
                    fresh.add(known)
            if change.status is Status.RESOLVED:
                fresh.discard(known)
            else:
                present[known] = change
            after |= dict.fromkeys(change.new, known)
        names = after
        unoutlined = [(name, change) for name, change in present.items() if not change.new]
        following.append(FollowUp(frozenset(fresh & present.keys())))
    return two_plus_two(following)


def _same_place(earlier: Change, later: Change) -> bool:
    """Whether a lesion that the scan between two comparisons does not outline lies at one place of it in both."""
    return any(
        view is other and hypot(row - there_row, col - there_col) <= SAME_PLACE_PX
        for view, row, col in earlier.there
        for other, there_row, there_col in later.there
    )
