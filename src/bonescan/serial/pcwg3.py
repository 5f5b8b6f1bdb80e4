"""The PCWG3 rule of two and two for progression in bone: for prostate cancer, and for clinical trials.

Scher et al., J Clin Oncol 2016;34:1402-1418. The first scan after the start of treatment may show a flare: two or more
new lesions on it are no progression yet. They are where the next scan shows at least two more; progression then dates
from the first scan. Where it does not, the first scan becomes the new baseline. On any later scan two or more lesions
that are new against that baseline are progression where the scan after it still shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

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
