"""A comparison for people and for machines: table, `comparison.json`, HTML, and the files of each pair of scans."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from bonescan._version import __version__
from bonescan.assess.burden import extent_words
from bonescan.report.html import embedded, figure, html_page, table, warnings_box
from bonescan.report.overlay import png_text
from bonescan.report.words import RESEARCH_USE
from bonescan.serial.change import Comparison, ReadScan, Status
from bonescan.serial.compared import (
    BURDEN_HEADINGS,
    FIRST_NUMBER,
    HEADINGS,
    LEGEND,
    PCWG3_LABEL,
    Compared,
    acquired,
    change_cells,
    compared_series,
    verdict_lines,
)
from bonescan.serial.page import FOOT, Shown, comparison_page, picture, side_by_side
from bonescan.serial.series import Step

SCHEMA = "urn:bonescan:comparison:1"


def comparison_document(
    scans: Sequence[ReadScan], pairs: Sequence[Comparison], steps: Sequence[Step]
) -> dict[str, Any]:
    """Return all comparisons, each scan with the one before it, as plain JSON values.

    scans: oldest first. steps: the verdicts after each scan that follows the first, empty where no rule was asked for.
    """
    series = compared_series(scans, pairs, steps)
    return {
        "schema": SCHEMA,
        "research_use_only": True,
        "software": f"bonescan {__version__}",
        "scans": [_scan(scan) for scan in scans],
        "comparisons": [_compared(number, compared) for number, compared in enumerate(series)],
        "pcwg3": None
        if not steps
        else {
            "rule": PCWG3_LABEL,
            "verdicts": [{"verdict": step.verdict.value, "dates_from_scan": _scan_number(step)} for step in steps],
        },
    }


def _scan(scan: ReadScan) -> dict[str, Any]:
    result = scan.result
    return {
        "key": result.study.key,
        "acquired": result.study.acquired,
        "model": asdict(result.model),
        "operating_point": result.operating_point,
        "extent": None if result.extent is None else asdict(result.extent),
        "quality": [asdict(check) for check in result.quality],
        "warnings": list(result.warnings),
    }


def _compared(number: int, compared: Compared) -> dict[str, Any]:
    pair = compared.comparison
    return {
        "old": number,
        "new": number + 1,
        "counts_scale": {view.value: scale for view, scale in pair.scales.items()},
        "numbers": {status.value: pair.number(status) for status in Status},
        "lesions": [
            {
                "number": place,
                "status": change.status.value,
                "site": change.site,
                "old": list(change.old),
                "new": list(change.new),
                "uptake_ratio": change.ratio,
                "z": change.z,
                "below_threshold": place in compared.risen,
            }
            for place, change in compared.changed
        ],
        "burden": {name: asdict(figure) for name, figure in compared.burden().items()},
        "warnings": compared.warnings(),
    }


def _scan_number(step: Step) -> int | None:
    """Index in `scans` of the scan from which progression dates; the baseline is scan 0."""
    return None if step.date_of is None else step.date_of + 1


def comparison_text(scans: Sequence[ReadScan], pairs: Sequence[Comparison], steps: Sequence[Step]) -> str:
    """Return the same as plain text, ending with a new line."""
    lines = []
    for compared in compared_series(scans, pairs, steps):
        lines.append(f"{compared.old.result.study.key} -> {compared.new.result.study.key}: {compared.counted}")
        rows = [HEADINGS, *(change_cells(number, change) for number, change in compared.changed)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        if compared.changed:
            lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines += [f"note: {note}" for note in compared.notes()]
        lines += [f"warning: {warning}" for warning in compared.warnings()]
    for scan in scans:
        if scan.result.extent is not None:
            lines.append(f"{scan.result.study.key}: {'; '.join(extent_words(scan.result.extent))}")
    lines += [f"{PCWG3_LABEL}: {verdict}" for verdict in verdict_lines(scans, steps)]
    return "\n".join([*lines, RESEARCH_USE]) + "\n"


def comparison_html(compared: Compared, shown: Sequence[Shown]) -> str:
    """Return the file's text; it loads nothing and runs no script. shown: what `side_by_side` returns."""
    old, new = (f"{scan.result.study.key} ({acquired(scan)})" for _, scan in compared.scans)
    return html_page(
        "Bone scans compared",
        f"{old} and {new}: {compared.counted}",
        (
            *_views(compared, shown),
            f'<p class="soft">{escape(LEGEND)}</p>',
            *warnings_box(compared.warnings()),
            *_changes(compared),
            *_burden(compared),
            *_progression(compared),
            *_facts(compared),
        ),
    )


def _views(compared: Compared, shown: Sequence[Shown]) -> Iterable[str]:
    yield '<div class="views">'
    for each in shown:
        scan = compared.new if each.is_new else compared.old
        named = f"{'NEW' if each.is_new else 'OLD'} {each.view.value}, {acquired(scan)}"
        yield figure(each.view, embedded(each.picture), f"{named}, black: {each.window:.3g} counts per pixel")
    yield "</div>"


def _changes(compared: Compared) -> Iterable[str]:
    yield "<h2>Lesions</h2>"
    if not compared.changed:
        yield f"<p><b>{escape(compared.no_lesion)}</b> That does not exclude one.</p>"
        return
    yield from table(HEADINGS, [change_cells(number, change) for number, change in compared.changed], FIRST_NUMBER)


def _burden(compared: Compared) -> Iterable[str]:
    rows = compared.burden_rows()
    if rows:
        yield "<h2>Burden over both views</h2>"
        yield from table(BURDEN_HEADINGS, rows, 1)
        yield from (f'<p class="soft">{escape(note)}</p>' for note in compared.burden_notes())


def _progression(compared: Compared) -> Iterable[str]:
    if compared.verdicts:
        yield f"<h2>Progression</h2><p>{escape(PCWG3_LABEL)}:</p><ul>"
        yield from (f"<li>{escape(verdict)}</li>" for verdict in compared.verdicts)
        yield "</ul>"


def _facts(compared: Compared) -> Iterable[str]:
    yield '<h2>How it was found</h2><p class="soft">'
    yield "<br>".join(f"{label}: {escape(text)}" for label, text in compared.facts())
    yield f"</p><p class='soft'>{escape(FOOT)} Not a medical device; no basis for a diagnosis.</p>"


def write_comparison(out: Path, scans: Sequence[ReadScan], pairs: Sequence[Comparison], steps: Sequence[Step]) -> None:
    """Write `comparison.json`, and for each pair `comparison-1.png`, `.pdf` and `.html`, into an existing folder."""
    document = comparison_document(scans, pairs, steps)
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    (out / "comparison.json").write_text(text, encoding="utf-8")
    for number, compared in enumerate(compared_series(scans, pairs, steps), 1):
        shown = side_by_side(compared)
        picture(compared, shown).save(out / f"comparison-{number}.png", pnginfo=png_text(compared.warnings()))
        (out / f"comparison-{number}.pdf").write_bytes(comparison_page(compared, shown))
        (out / f"comparison-{number}.html").write_text(comparison_html(compared, shown), encoding="utf-8")
