"""A comparison as one self-contained HTML file; its figures are those of `comparison.json`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from bonescan.report.html import embedded, figure, html_page, table, warnings_box
from bonescan.serial.compared import (
    BURDEN_HEADINGS,
    FIRST_NUMBER,
    HEADINGS,
    LEGEND,
    NO_LESION,
    PCWG3_LABEL,
    Compared,
    acquired,
    change_cells,
)
from bonescan.serial.page import FOOT
from bonescan.serial.picture import Shown


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
        yield f"<p><b>{NO_LESION}</b> That does not exclude one.</p>"
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
