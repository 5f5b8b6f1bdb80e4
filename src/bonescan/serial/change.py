"""What changed between two scans of one patient: new, persistent, growing, shrinking and resolved lesions.

Lesions are matched in each view after alignment; outlines that one pair or one match ties together are one lesion. A
lesion that only one scan outlines is checked in the other's counts: a difference that noise or normal variation can
explain is not a change. It is also checked in the other's probability map: if the model gives some probability there,
the lesion is taken to exist in that scan, too faint for an outline. If the other scan does not show the place of such
a lesion, nothing is known of it there, and it is not compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from bonescan.assess.site import site_words
from bonescan.lesions.delineate import LEAST_PEAK, outline_of
from bonescan.lesions.measure import measure
from bonescan.prediction import Prediction
from bonescan.prepare.aggregate import window_in_view
from bonescan.serial.align import Alignment, Points, Seen, Surroundings, align, smoothed
from bonescan.study import IS_BONE, FloatImage, Lesion, Result, View

SAME_PLACE_PX = 5.0
"""Outlines whose centres lie farther apart than this and their radii together are two lesions."""
LEAST_Z = 3.0
"""A change of counts of fewer standard deviations is noise (two-sided 0.3 %)."""
LEAST_RATIO = 1.3
"""Uptake relative to the skeleton must change at least so much. The uptake of normal bone also varies between scans,
and an alignment error of half a pixel changes the counts of a small lesion."""
NEW_RATIO = 1.25
"""A lesion that was not outlined before is new where its counts rose at least so much."""
LEAST_SHOWN = 0.5
"""A lesion that only one scan outlines is compared if the other scan shows at least this share of its pixels."""


class Status(StrEnum):
    """What became of a lesion."""

    NEW = "new"
    GROWING = "growing"
    PERSISTENT = "persistent"
    SHRINKING = "shrinking"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, eq=False)
class ReadScan:
    """A result with the maps that it was made from.

    risen: ids of lesions below the model's threshold that are outlined because their uptake rose (`risen_lesions`).
    patient: a hash, equal for scans of one patient, which is only compared and never shown; None: not known.
    """

    result: Result
    prediction: Prediction
    risen: frozenset[int] = frozenset()
    patient: str | None = None

    def seen(self, view: View) -> Seen:
        """Counts and regions of one view, and what was looked at."""
        counts = self.result.study.counts(view)
        return Seen(counts, self.prediction.region[view], window_in_view(self.result.window, counts.shape[1], view))


@dataclass(frozen=True, slots=True)
class Change:
    """One lesion over two scans.

    old, new: ids of its outlines in each, () where it has none. ratio: uptake over the skeleton's, new over old, on the
    outlines. z: that difference in standard deviations of counting noise. site: in words, of the newer outline.
    there: of a lesion that only one scan outlines, view and centre (row, col) of each outline in the other scan.
    """

    status: Status
    old: tuple[int, ...]
    new: tuple[int, ...]
    ratio: float | None
    z: float
    site: str
    there: tuple[tuple[View, float, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two scans of one patient compared, lesion by lesion, new ones first.

    A lesion whose place the other scan does not show is not among the changes. scales: counts of the new scan over
    those of the old on bone without lesions, per view. alignments: from the new view to the old one.
    """

    changes: tuple[Change, ...]
    scales: Mapping[View, float]
    alignments: Mapping[View, Alignment]

    def number(self, status: Status) -> int:
        """How many lesions have this status."""
        return sum(change.status is status for change in self.changes)


def align_views(old: ReadScan, new: ReadScan) -> dict[View, Alignment]:
    """Return the map from the new to the old scan of each view that both have."""
    views = [view for view in View if view in old.result.study.scans and view in new.result.study.scans]
    return {view: align(old.seen(view), new.seen(view)) for view in views}


def compare(old: ReadScan, new: ReadScan, alignments: Mapping[View, Alignment] | None = None) -> Comparison:
    """Compare two scans of one patient over what both show of the views that both have.

    alignments: what `align_views` returns, where it is known already, as it takes most of the time.
    """
    if alignments is None:
        alignments = align_views(old, new)
    context = _context(old, new, alignments)
    matches = [pair for view in alignments for pair in _matches(old.result, new.result, view, alignments[view])]
    # Of a view that one scan lacks, nothing is known in that scan.
    before, after = ([one for one in scan.result.lesions if one.view in alignments] for scan in (old, new))
    groups = _tied(before, after, matches)
    changes = [change for was, now in groups if (change := context.judge(was, now)) is not None]
    order = list(Status)
    ordered = tuple(sorted(changes, key=lambda change: order.index(change.status)))
    return Comparison(ordered, context.scales, alignments)


def risen_lesions(
    old: ReadScan, new: ReadScan, alignments: Mapping[View, Alignment], least_peak: float
) -> tuple[Lesion, ...]:
    """Candidates of the new scan, measured, that are new by the rise of their uptake since the old scan.

    alignments: what `align_views` returns. least_peak: the candidates' least peak probability. They are numbered after
    the lesions of the new scan.
    """
    result, context = new.result, _context(old, new, alignments)
    candidates = [one for one in result.candidates if one.peak >= least_peak and one.view in alignments]
    outlines = [outline_of(one, result.study.shape) for one in candidates]
    measured, _ = measure(result.study, outlines, new.prediction)
    changes = [(lesion, context.judge((), (lesion,))) for lesion in measured]
    found = [lesion for lesion, change in changes if change is not None and change.status is Status.NEW]
    last = max((lesion.id for lesion in result.lesions), default=0)
    return tuple(replace(lesion, id=last + number) for number, lesion in enumerate(found, 1))


def _context(old: ReadScan, new: ReadScan, alignments: Mapping[View, Alignment]) -> _Context:
    scales = {view: _scale(old, new, view, alignment) for view, alignment in alignments.items()}
    roots = {
        view: (smoothed(old.result.study.counts(view)), smoothed(new.result.study.counts(view))) for view in alignments
    }
    return _Context(old, new, alignments, scales, roots)


def _scale(old: ReadScan, new: ReadScan, view: View, alignment: Alignment) -> float:
    """New over old counts on bone without lesions, of what both scans show of it: legs have less than a spine."""
    levels = []
    for scan, other, mapped in ((old, new, alignment.to_new), (new, old, alignment.to_old)):
        bone = IS_BONE[scan.prediction.region[view]] & (scan.result.labels(view) == 0)
        shown = other.seen(view).shows(mapped(np.argwhere(bone).astype(np.float64)))
        counts = ndimage.uniform_filter(scan.result.study.counts(view), 5)[bone][shown]
        levels.append(float(np.median(counts)) if counts.size else 0)
    return levels[1] / levels[0] if min(levels) > 0 else 1.0


def _matches(old: Result, new: Result, view: View, alignment: Alignment) -> list[tuple[int, int]]:
    """Pairs (old id, new id) of one view: a one-to-one assignment of the least distance."""
    before = [lesion for lesion in old.lesions if lesion.view is view]
    after = [lesion for lesion in new.lesions if lesion.view is view]
    if not before or not after:
        return []
    there = alignment.to_old(np.array([_centre(lesion) for lesion in after]))
    here = np.array([_centre(lesion) for lesion in before])
    radii = np.add.outer(*([np.sqrt(one.mask.sum() / np.pi) for one in group] for group in (before, after)))
    cost = np.linalg.norm(here[:, None] - there[None], axis=2) / (SAME_PLACE_PX + radii)
    return [
        (before[a].id, after[b].id)
        for a, b in zip(*linear_sum_assignment(np.minimum(cost, 10.0)), strict=True)
        if cost[a, b] <= 1.0
    ]


def _centre(lesion: Lesion) -> NDArray[np.float64]:
    rows, cols = np.nonzero(lesion.mask)
    return np.array([rows.mean() + lesion.origin[0], cols.mean() + lesion.origin[1]])


def _tied(
    old: Sequence[Lesion], new: Sequence[Lesion], matches: Sequence[tuple[int, int]]
) -> list[tuple[tuple[Lesion, ...], tuple[Lesion, ...]]]:
    """Groups of outlines that pairs and matches tie together, each the old and the new outlines of one lesion."""
    nodes = [(0, lesion) for lesion in old] + [(1, lesion) for lesion in new]
    leader = {(scan, lesion.id): (scan, lesion.id) for scan, lesion in nodes}

    def lead(node: tuple[int, int]) -> tuple[int, int]:
        while leader[node] != node:
            node = leader[node]
        return node

    first_of_pair: dict[tuple[int, int], tuple[int, int]] = {}
    for scan, lesion in nodes:
        if lesion.pair is not None:
            first = first_of_pair.setdefault((scan, lesion.pair), (scan, lesion.id))
            leader[lead((scan, lesion.id))] = lead(first)
    for before, after in matches:
        leader[lead((1, after))] = lead((0, before))
    groups: dict[tuple[int, int], tuple[list[Lesion], list[Lesion]]] = {}
    for scan, lesion in nodes:
        groups.setdefault(lead((scan, lesion.id)), ([], []))[scan].append(lesion)
    return [(tuple(before), tuple(after)) for before, after in groups.values()]


@dataclass(frozen=True, slots=True, eq=False)
class _There:
    """An outline of one scan in the other. places: (n, 2), of the outline's pixels. shown: (n,) which of them the other
    scan shows."""

    outline: Lesion
    places: Points
    shown: NDArray[np.bool_]

    def centre(self) -> tuple[float, float]:
        """The middle of all its places."""
        row, col = self.places.mean(axis=0)
        return float(row), float(col)

    def of(self, image: FloatImage) -> NDArray[np.float32]:
        """An image of the other scan at the places that it shows."""
        places = self.places[self.shown]
        return np.asarray(ndimage.map_coordinates(image, places.T, order=1, mode="nearest"), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Context:
    """Both scans and how they lie over one another."""

    old: ReadScan
    new: ReadScan
    alignments: Mapping[View, Alignment]
    scales: Mapping[View, float]
    roots: Mapping[View, tuple[Points, Points]]

    def judge(self, before: Sequence[Lesion], after: Sequence[Lesion]) -> Change | None:
        """What became of one lesion, whose outlines lie in views that both scans have.

        The place of the newer outlines is looked up in the old scan; a resolved lesion's own in the new one. None: only
        one scan outlines the lesion, and the other does not show its place.
        """
        outlines, is_new = after or before, bool(after)
        found = [self._there(outline, is_new) for outline in outlines]
        centres: tuple[tuple[View, float, float], ...] = ()
        if not (before and after):
            if np.concatenate([each.shown for each in found]).mean() < LEAST_SHOWN:
                return None
            centres = tuple((each.outline.view, *each.centre()) for each in found)
        ratio, z = self._uptake(found, is_new)
        risen, fallen = z >= LEAST_Z, z <= -LEAST_Z
        if not before:
            status = Status.NEW if ratio is None or (risen and ratio >= NEW_RATIO) else Status.PERSISTENT
        elif not after:
            status = Status.RESOLVED if ratio is None or (fallen and ratio <= 1 / NEW_RATIO) else Status.PERSISTENT
        elif ratio is not None and risen and ratio >= LEAST_RATIO:
            status = Status.GROWING
        elif ratio is not None and fallen and ratio <= 1 / LEAST_RATIO:
            status = Status.SHRINKING
        else:
            status = Status.PERSISTENT
        if status in (Status.NEW, Status.RESOLVED) and self._suspected(found, is_new):
            status = Status.GROWING if is_new else Status.SHRINKING
        was, now = (tuple(one.id for one in group) for group in (before, after))
        return Change(status, was, now, ratio, z, site_words(outlines[0]), centres)

    def _there(self, outline: Lesion, is_new: bool) -> _There:
        """Where an outline lies in the other scan. is_new: the outline is of the new scan."""
        old, new = self.roots[outline.view]
        alignment = self.alignments[outline.view]
        around = Surroundings(new, old, alignment.to_old) if is_new else Surroundings(old, new, alignment.to_new)
        places = around.places(outline)
        other = self.old if is_new else self.new
        return _There(outline, places, other.seen(outline.view).shows(places))

    def _uptake(self, found: Sequence[_There], is_new: bool) -> tuple[float | None, float]:
        """New over old counts on the lesion, relative to the skeleton, and the difference over its counting noise; on
        the part of it that both scans show."""
        was, now, noise = 0.0, 0.0, 0.0
        mine, others = (self.new, self.old) if is_new else (self.old, self.new)
        for each in found:
            outline = each.outline
            own = mine.result.study.counts(outline.view)[outline.window][outline.mask][each.shown]
            other = each.of(others.result.study.counts(outline.view))
            scale = self.scales[outline.view]
            new_counts, old_counts = (own, other) if is_new else (other, own)
            now += float(new_counts.sum()) / scale
            was += float(old_counts.sum())
            noise += float(new_counts.sum()) / scale**2 + float(old_counts.sum())
        if was <= 0 or noise <= 0:
            return None, 0.0
        return now / was, (now - was) / float(np.sqrt(noise))

    def _suspected(self, found: Sequence[_There], is_new: bool) -> bool:
        """Whether the model of the other scan found some probability of a lesion at the place of every outline that the
        other scan shows."""
        lesion = (self.old if is_new else self.new).prediction.lesion
        peaks = [float(each.of(lesion[each.outline.view]).max()) for each in found if each.shown.any()]
        return min(peaks) >= LEAST_PEAK
