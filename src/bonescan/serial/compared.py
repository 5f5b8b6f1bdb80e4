"""Two scans compared, in the words and figures of everything that is written of them: JSON, table, picture, pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot

from bonescan._version import __version__
from bonescan.assess.burden import GRADES, WHOLE_SEEN
from bonescan.assess.site import site_words
from bonescan.report.words import model_words, quality_words
from bonescan.serial.change import Change, Comparison, ReadScan, Status
from bonescan.serial.series import Step
from bonescan.study import Extent, Lesion, View

PCWG3_LABEL = "PCWG3 2+2 rule, for prostate cancer in clinical trials only"
MARKS = {
    Status.NEW: "N", Status.GROWING: "G", Status.PERSISTENT: "P", Status.SHRINKING: "S", Status.RESOLVED: "R",
}  # fmt: skip
"""Letter after a lesion's number in the pictures. A sign such as "-" could be taken for the line that joins number and
curve."""
NOT_COMPARED = "X"
"""Stands at an outline whose place the other scan does not show: it has no number in the comparison."""
LEGEND = (
    f"N new, G growing, P persistent, S shrinking, R resolved, {NOT_COMPARED} not compared. "
    "One grey is one uptake relative to the bones."
)
HEADINGS = ("#", "change", "site", "old #", "new #", "uptake", "z")
"""Number in the comparison; change; site; numbers of its outlines in the old and the new scan; uptake, new over old,
relative to the skeleton's; that difference in standard deviations of counting noise."""
FIRST_NUMBER = 3
"""The index of the first of these columns that is aligned to the right."""
BURDEN_HEADINGS = ("", "old", "new", "new - old")
NO_LESION = "No lesion was outlined in either scan."
NONE_IN_BOTH = "No lesion was outlined where both scans show the body."
NONE = "-"
OTHER_PATIENT = (
    "the headers of the two scans state different Patient IDs: unless they are of one patient all the same, nothing "
    "here is a change over time"
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the burden. difference: new less old. interval: of the difference, 95 %, taking the noise of the
    two scans as independent; None where either has no interval."""

    old: float
    new: float
    difference: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Two scans of one patient, what changed, and the verdicts of the 2+2 rule, () if it was not asked for."""

    old: ReadScan
    new: ReadScan
    comparison: Comparison
    verdicts: tuple[str, ...] = ()

    @property
    def scans(self) -> tuple[tuple[str, ReadScan], ...]:
        """Both scans with what they are called."""
        return ("old", self.old), ("new", self.new)

    @property
    def changed(self) -> tuple[tuple[int, Change], ...]:
        """What became of each lesion, numbered from 1: the numbers of table and pictures."""
        return tuple(enumerate(self.comparison.changes, 1))

    @property
    def no_lesion(self) -> str:
        """What is said where there is no lesion to compare."""
        return NONE_IN_BOTH if any(scan.result.lesions for _, scan in self.scans) else NO_LESION

    def names(self, is_new: bool) -> dict[int, str]:
        """What stands at the outlines of one scan, by their ids: number and mark of the change."""
        return {lesion.id: NOT_COMPARED for lesion in self._not_compared(is_new)} | {
            outline: f"{number}{MARKS[change.status]}"
            for number, change in self.changed
            for outline in (change.new if is_new else change.old)
        }

    def _not_compared(self, is_new: bool) -> list[Lesion]:
        """The outlines of one scan, in views that both have, whose place the other scan does not show."""
        lesions = (self.new if is_new else self.old).result.lesions
        known = {number for _, change in self.changed for number in (change.new if is_new else change.old)}
        return [one for one in lesions if one.view in self.comparison.scales and one.id not in known]

    @property
    def counted(self) -> str:
        """How many lesions changed in which way."""
        return ", ".join(f"{self.comparison.number(status)} {status.value}" for status in Status)

    def burden(self) -> dict[str, Figure]:
        """The figures of both scans that both have, by the names of the extent's fields."""
        old, new = self.old.result.extent, self.new.result.extent
        if old is None or new is None:
            return {}
        found = {}
        for name in ("lesions", "positive_share", "bone_scan_index", "grade"):
            was, now = getattr(old, name), getattr(new, name)
            if was is not None and now is not None:
                found[name] = Figure(was, now, now - was, _interval(name, old, new))
        return found

    def burden_rows(self) -> list[tuple[str, ...]]:
        """The same in words, under `BURDEN_HEADINGS`; in brackets the 95 % intervals, where there are any."""
        old, new = self.old.result.extent, self.new.result.extent
        rows = []
        for name, figure in self.burden().items():
            label, form, factor = _FIGURES[name]
            spans = [None if one is None else one.intervals.get(name) for one in (old, new)]
            cells = [_spanned(form, factor, figure.old, spans[0]), _spanned(form, factor, figure.new, spans[1])]
            rows.append((label, *cells, _spanned(f"+{form}", factor, figure.difference, figure.interval)))
        return rows

    def burden_notes(self) -> list[str]:
        """How to read the burden."""
        notes = [
            f"grade {grade}: {GRADES[int(grade)]}"
            for grade in sorted({one.result.extent.grade for _, one in self.scans if one.result.extent is not None})
        ]
        draws = {scan.result.extent.draws for _, scan in self.scans if scan.result.extent is not None}
        between = f"in brackets: 95 % intervals by Poisson bootstrap, {max(draws, default=0)} draws"
        return ["; ".join(notes), between if max(draws, default=0) else "without intervals (--intervals gives them)"]

    def warnings(self) -> list[str]:
        """The warnings: first of the comparison, then of both scans, then of each scan."""
        said = list(self._own_warnings())
        both = [one for one in self.old.result.warnings if one in self.new.result.warnings]
        said += [f"both scans: {one}" for one in dict.fromkeys(both)]
        for name, scan in self.scans:
            said += [f"{name} scan: {one}" for one in dict.fromkeys(scan.result.warnings) if one not in both]
        return said

    def _own_warnings(self) -> list[str]:
        said = []
        patients = {scan.patient for _, scan in self.scans} - {None}
        if len(patients) > 1:
            said.append(OTHER_PATIENT)
        for view in View:
            having = [name for name, scan in self.scans if view in scan.result.study.scans]
            if len(having) == 1:
                said.append(f"only the {having[0]} scan has the {view.value} view: what it alone shows is not compared")
        for name, other in (("old", "new"), ("new", "old")):
            outlines = self._not_compared(name == "new")
            if outlines:
                said.append(_not_shown(outlines, name, other))
        for name, scan in self.scans:
            extent = scan.result.extent
            if extent is not None and extent.bone_scan_index is not None and extent.mass_seen <= WHOLE_SEEN:
                said.append(
                    f"{name} scan: the bone scan index is partial, as {extent.mass_seen:.0%} of the mass was seen"
                )
        return said

    @property
    def risen(self) -> tuple[int, ...]:
        """The numbers of the lesions that are outlined because their uptake rose, and for no other reason."""
        return tuple(number for number, change in self.changed if change.new and self.new.risen.issuperset(change.new))

    def notes(self) -> list[str]:
        """Explains the lesions in the table that are below the threshold in the newer scan alone."""
        if not self.risen:
            return []
        *first, last = map(str, self.risen)
        if not first:
            return [
                f"lesion {last} is below the threshold of a single scan and outlined because its uptake rose; it is "
                "not in the burden"
            ]
        return [
            f"lesions {', '.join(first)} and {last} are below the threshold of a single scan and outlined because "
            "their uptake rose; they are not in the burden"
        ]

    def facts(self) -> list[tuple[str, str]]:
        """Which scans these are and how they were read, as (label, text)."""
        said = []
        for name, scan in self.scans:
            study, quality = scan.result.study, quality_words(scan.result)
            spacing = "spacing not known" if study.spacing is None else f"{study.spacing.row_mm:.2f} mm"
            rows, cols = study.shape
            said.append((f"{name} scan", f"{study.key}, {acquired(scan)}, {rows} × {cols}, {spacing}"))
            said += [("quality", quality)] if quality else []
        said += [("lesions", note) for note in self.notes()]
        for model, names in self._models().items():
            said.append(("model", model if len(names) > 1 else f"{names[0]} scan: {model}"))
        return [*said, ("software", f"bonescan {__version__}")]

    def _models(self) -> Mapping[str, Sequence[str]]:
        """The scans by the model that read them."""
        found: dict[str, list[str]] = {}
        for name, scan in self.scans:
            found.setdefault(model_words(scan.result), []).append(name)
        return found


_FIGURES = {
    "lesions": ("lesions", "z.0f", 1.0),
    "positive_share": ("positive area, %", "z.2f", 100.0),
    "bone_scan_index": ("bone scan index, %", "z.2f", 1.0),
    "grade": ("extent grade", "z.0f", 1.0),
}
"""Label, format and factor of each figure of the burden."""


def acquired(scan: ReadScan) -> str:
    """Date and, to the minute, time of acquisition."""
    return (scan.result.study.acquired or "date not stated").replace("T", " ")[:16]


def change_cells(number: int, change: Change) -> tuple[str, ...]:
    """The row of a lesion under `HEADINGS`."""
    return (
        str(number),
        change.status.value,
        change.site,
        ", ".join(map(str, change.old)) or NONE,
        ", ".join(map(str, change.new)) or NONE,
        NONE if change.ratio is None else f"x{change.ratio:.2f}",
        f"{change.z:+.1f}",
    )


def _not_shown(outlines: Sequence[Lesion], name: str, other: str) -> str:
    """The warning of outlines of one scan whose place the other scan does not show."""
    sites = "; ".join(dict.fromkeys(map(site_words, outlines)))
    alone = f"in the burden of the {name} scan alone"
    outside = f"outside the part of the body that the {other} scan shows"
    if len(outlines) == 1:
        return (
            f"1 outline of the {name} scan ({sites}) lies {outside}: it is not compared, is marked {NOT_COMPARED} in "
            f"the picture, and counts {alone}"
        )
    return (
        f"{len(outlines)} outlines of the {name} scan ({sites}) lie {outside}: they are not compared, are marked "
        f"{NOT_COMPARED} in the picture, and count {alone}"
    )


def verdict_lines(scans: Sequence[ReadScan], steps: Sequence[Step]) -> tuple[str, ...]:
    """What the rule of two and two says after each scan that follows the first."""
    lines = []
    for number, step in enumerate(steps, 1):
        dated = "" if step.date_of is None else f", from {scans[step.date_of + 1].result.study.key}"
        lines.append(f"{scans[number].result.study.key}: {step.verdict.value}{dated}")
    return tuple(lines)


def compared_series(
    scans: Sequence[ReadScan], pairs: Sequence[Comparison], steps: Sequence[Step]
) -> tuple[Compared, ...]:
    """Each comparison with its scans; scans: oldest first, one more than pairs."""
    said = verdict_lines(scans, steps)
    return tuple(Compared(old, new, pair, said) for old, new, pair in zip(scans, scans[1:], pairs, strict=False))


def _interval(name: str, old: Extent, new: Extent) -> tuple[float, float] | None:
    if name not in old.intervals or name not in new.intervals:
        return None
    # The lower ends stop at 0: the upper ones tell how far an interval reaches.
    reach = hypot(*(extent.intervals[name][1] - getattr(extent, name) for extent in (old, new)))
    difference = getattr(new, name) - getattr(old, name)
    return difference - reach, difference + reach


def _spanned(form: str, factor: float, value: float, interval: tuple[float, float] | None) -> str:
    words = format(factor * value, form)
    if interval is None:
        return words
    low, high = (format(factor * end, form) for end in interval)
    return f"{words} ({low} to {high})"
