"""A comparison drawn: both scans side by side as a picture; and with all that was found on one A4 page, as PDF.

The same comparison gives the same bytes. The page names no patient. Its figures are those of `comparison.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from bonescan._version import __version__
from bonescan.report.ink import font, wide_font
from bonescan.report.overlay import WARNING_LINE, WARNING_SIZE, bone_window, panels, warning_lines
from bonescan.report.paper import (
    ALERT,
    FAINT,
    GUTTER,
    HAIR,
    INK,
    LABEL_WIDTH,
    MARGIN,
    SMALL,
    SOFT,
    TEXT,
    WIDTH,
    Box,
    Columns,
    Paper,
    Style,
    broken,
    draw_foot,
    draw_panel,
    draw_scale,
    draw_title,
    draw_unnamed,
    heading,
    pair,
    text_width,
    warnings_within,
)
from bonescan.report.words import RESEARCH_USE
from bonescan.serial.change import LEAST_RATIO, LEAST_Z, NEW_RATIO, Change, Status
from bonescan.serial.compared import (
    BURDEN_HEADINGS,
    FIRST_NUMBER,
    HEADINGS,
    LEGEND,
    NOT_COMPARED,
    PCWG3_LABEL,
    Compared,
    acquired,
    change_cells,
)
from bonescan.study import View

TITLE = "Two whole-body bone scans compared"
_LEFT_WIDTH = 97.0
_PANEL_GAP = 3.0
_ABOVE, _BELOW = 6.0, 13.0
"""Height of the titles of the views, and of the captions and the legend under them, mm."""
_LEAST_PICTURE, _LEAST_WARNED = 95.0, 65.0
"""The least height of the views, mm, however many lesions there are, and however many warnings."""
_MOST_VERDICTS = 3
_WARNINGS_HEAD = 6.6
_SHARES = (6.0, 18.0, 36.0, 11.0, 11.0, 11.0, 9.0)
_BURDEN_SHARES = (21.0, 18.0, 18.0, 23.0)
_ROWS_MM = (2.7, 4.3)
"""The lowest and the highest row of the lesions; the size of type depends on it."""
_MOST_TYPE = 6.9
_HEAD_MM = 9.5
"""Height of the table's heading and column names."""
_CELL = Style(6.9, INK, leading=4.0)
FOOT = (
    "Old #, new #: the numbers of the lesion's outlines in the result of each scan. Uptake: counts on the lesion over "
    "those of the bones without lesions, new scan over old; z: that difference in standard deviations of counting "
    "noise. New, resolved: one scan outlines it, the model suspects nothing there in the other, and its uptake differs "
    f"by a factor of {NEW_RATIO:g} or more; growing, shrinking: the other scan shows it, too, and by "
    f"{LEAST_RATIO:g} or more; at least {LEAST_Z:g} standard deviations in any case. All others are persistent, even "
    f"where only one scan outlines them. {NOT_COMPARED}: the other scan does not show that place. A lesion that both "
    "views show is one lesion. The bone scan index is Imbriaco's (1998), the grade Soloway's (1988)."
)
_SHRINK = 0.6
"""Panels are drawn for half a page's width each, and shown four in a row, their numbers larger."""
_NUMBER = 46
_MARGIN, _GAP, _HEADER, _LEGEND_LINE = 40, 24, 90, 36


def comparison_page(compared: Compared, shown: Sequence[Shown]) -> bytes:
    """Return the page as PDF. shown: what `side_by_side` returns."""
    paper = Paper(TITLE, RESEARCH_USE, f"bonescan {__version__}")
    old, new = (f"{scan.result.study.key} ({acquired(scan)})" for _, scan in compared.scans)
    top = draw_title(paper, "Bone scans compared", f"{old} and {new}: {compared.counted}")
    top = draw_unnamed(paper, bool(compared.new.result.study.frames), top) + 4
    bottom = draw_foot(paper, FOOT)
    right = Box(MARGIN + _LEFT_WIDTH + GUTTER, 0, WIDTH - _LEFT_WIDTH - GUTTER, 0)
    facts = _height(lambda scrap: _draw_facts(scrap, compared, right))
    around = _ABOVE + _BELOW + 4
    bottom = _draw_warnings(paper, compared, bottom, bottom - top - around - facts - _LEAST_WARNED)
    table = min(_HEAD_MM + _ROWS_MM[1] * max(len(compared.changed), 3), bottom - top - around - _LEAST_PICTURE)
    views = Box(MARGIN, top, WIDTH, bottom - 4 - top - max(facts, table))
    y = _draw_views(paper, compared, shown, views) + 2
    _draw_changes(paper, compared, Box(MARGIN, y, _LEFT_WIDTH, bottom - 2 - y))
    _draw_facts(paper, compared, Box(right.left, y, right.width, 0))
    return paper.finish()


def _draw_warnings(paper: Paper, compared: Compared, bottom: float, most_mm: float) -> float:
    """Draw the warnings above `bottom`, at most `most_mm` high, in smaller type if they are many; return their top."""
    warnings = compared.warnings()
    if not warnings:
        return bottom
    style = TEXT
    lines = warnings_within(warnings, WIDTH, len(" ".join(warnings)), "comparison.json", style)
    if _WARNINGS_HEAD + len(lines) * style.leading > most_mm:
        style = SMALL.coloured(INK)
        most = int((most_mm - _WARNINGS_HEAD) / style.leading)
        lines = warnings_within(warnings, WIDTH, most, "comparison.json", style)
    top = bottom - _WARNINGS_HEAD - len(lines) * style.leading
    y = heading(paper, MARGIN, MARGIN + WIDTH, top + 2, "Warnings", ALERT)
    paper.paragraph((MARGIN, y), lines, style)
    return top


def _height(draw: Callable[[Paper], float]) -> float:
    """How far down something reaches that is drawn from the upper edge on."""
    return draw(Paper(TITLE, RESEARCH_USE, ""))


def _draw_views(paper: Paper, compared: Compared, shown: Sequence[Shown], box: Box) -> float:
    """All views in a row, at one scale; returns the lower edge of what stands under them."""
    wide = [each.picture.width / each.scale for each in shown]
    high = [each.picture.height / each.scale for each in shown]
    gaps = _PANEL_GAP * (len(shown) - 1)
    # Millimetres of paper per unit of `Shown.scale`.
    across = min((box.width - gaps) / sum(wide), (box.height - _ABOVE - _BELOW) / max(high))
    left, top = box.left + (box.width - gaps - across * sum(wide)) / 2, box.top + _ABOVE
    row = Box(left, top, gaps + across * sum(wide), across * max(high))
    for each, width, height in zip(shown, wide, high, strict=True):
        panel = Box(left, top, across * width, across * height)
        _draw_view(paper, each, panel, row.bottom)
        left = panel.right + _PANEL_GAP
    spaced = all(scan.result.study.spacing is not None for _, scan in compared.scans)
    draw_scale(paper, Box(box.left, row.top, box.width, row.height), across if spaced else None)
    paper.text((box.left, row.bottom + 7.4), LEGEND, SMALL.coloured(INK))
    return row.bottom + _BELOW - 3


def _draw_view(paper: Paper, each: Shown, panel: Box, bottom: float) -> None:
    draw_panel(paper, each.picture, panel, each.view, f"{'NEW' if each.is_new else 'OLD'} {each.view.value}")
    paper.text(
        (panel.left + panel.width / 2, bottom + 3.4), f"0 to {each.window:.3g} counts per pixel", SMALL, "centre"
    )


def _draw_changes(paper: Paper, compared: Compared, box: Box) -> None:
    """The table of the lesions, in rows as high as the box allows; where not all fit, those that changed come first."""
    y = heading(paper, box.left, box.right, box.top + 3, "Lesions")
    if not compared.changed:
        paper.text((box.left, y + 1), compared.no_lesion, Style(9.4, INK, bold=True))
        paper.text((box.left, y + 5.4), "That does not exclude one.", TEXT.coloured(SOFT))
        return
    columns = Columns(paper, box, _SHARES, FIRST_NUMBER)
    columns.draw(HEADINGS, y - 0.6, Style(6.4, SOFT))
    height = box.height - _HEAD_MM
    most = int(height / _ROWS_MM[0])
    shown = _foremost(compared, most if most >= len(compared.changed) else max(most - 1, 1))
    hidden = len(compared.changed) - len(shown)
    row = min(max(height / (len(shown) + (1 if hidden else 0)), _ROWS_MM[0]), _ROWS_MM[1])
    style = Style(min(row * 2.05, _MOST_TYPE), INK)
    for number, change in shown:
        y += row
        cells = change_cells(number, change)
        cells = tuple(_cut(cell, width - 1, style) for cell, width in zip(cells, columns.widths, strict=True))
        columns.draw(cells, y - 0.6, style)
        paper.rule((box.left, y + 0.32 * row - 0.6), box.right, HAIR, 0.3)
    if hidden:
        said = f"{hidden} more {'is' if hidden == 1 else 'are'} not listed here: comparison.json lists all."
        paper.text((box.left, y + row - 0.6), said, Style(6.6, SOFT))


def _foremost(compared: Compared, most: int) -> list[tuple[int, Change]]:
    """At most so many lesions, in their order; persistent ones are left out first."""
    ranked = sorted(compared.changed, key=lambda one: one[1].status is Status.PERSISTENT)[:most]
    return sorted(ranked, key=lambda one: one[0])


def _cut(text: str, width: float, style: Style) -> str:
    if text_width(text, style) <= width:
        return text
    return next((f"{text[:n]}…" for n in range(len(text), 0, -1) if text_width(f"{text[:n]}…", style) <= width), "…")


def _draw_facts(paper: Paper, compared: Compared, column: Box) -> float:
    """Burden, the rule where it was asked for, and how it was found; returns the y under all."""
    y = _draw_burden(paper, compared, column, column.top + 3)
    if compared.verdicts:
        y = heading(paper, column.left, column.right, y + 3, "Progression")
        earlier = ("– of earlier scans: comparison.json",) if len(compared.verdicts) > _MOST_VERDICTS else ()
        said_after = (f"– {verdict}" for verdict in compared.verdicts[-_MOST_VERDICTS:])
        for said in (f"{PCWG3_LABEL}:", *earlier, *said_after):
            y = paper.paragraph((column.left, y), broken(said, column.width, TEXT), TEXT)
    y = heading(paper, column.left, column.right, y + 3, "How it was found")
    for label, text in compared.facts():
        y = pair(paper, (column.left, y), label, broken(text, column.width - LABEL_WIDTH, TEXT)[:3])
    return y


def _draw_burden(paper: Paper, compared: Compared, column: Box, y: float) -> float:
    rows = compared.burden_rows()
    if not rows:
        return y
    y = heading(paper, column.left, column.right, y, "Burden over both views")
    columns = Columns(paper, column, _BURDEN_SHARES, 1)
    columns.draw(BURDEN_HEADINGS, y - 0.6, Style(6.4, SOFT))
    for cells in rows:
        y += _CELL.leading
        values = [cells[0], *(cell.partition(" ")[0] for cell in cells[1:])]
        columns.draw(values, y - 0.6, _CELL)
        between = ["", *(cell.partition(" ")[2] for cell in cells[1:])]
        if any(between):
            y += SMALL.leading
            columns.draw(between, y - 0.6, SMALL)
        paper.rule((column.left, y + 0.6), column.right, FAINT, 0.3)
    notes = [line for note in compared.burden_notes() for line in broken(note, column.width, SMALL)]
    return paper.paragraph((column.left, y + 3), notes, SMALL)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One view of one scan. window: the counts drawn black. scale: pixels of the picture per millimetre; per column of
    the frame where a scan states no spacing."""

    view: View
    is_new: bool
    picture: Image.Image
    window: float
    scale: float


def side_by_side(compared: Compared) -> list[Shown]:
    """Draw the views that both scans have, the old one before the new one.

    Counts are over those of the skeleton, so that one grey is one uptake in both. Curves carry the lesion's number in
    the comparison and the mark of its change.
    """
    old, new, scales = compared.old.result, compared.new.result, compared.comparison.scales
    black = {view: bone_window(old.study.counts(view)) for view in scales}
    same = {view: black[view] * scales[view] for view in scales}
    drawn = {
        False: panels(old, windows=black, names=compared.names(False), number=_NUMBER),
        True: panels(new, windows=same, names=compared.names(True), number=_NUMBER),
    }
    spaced = all(one.pixels_per_mm is not None for one in drawn.values())
    return [
        Shown(
            view,
            is_new,
            _resized(each.pictures[view], _SHRINK),
            each.windows[view],
            _SHRINK * ((spaced and each.pixels_per_mm) or each.zoom),
        )
        for view in scales
        for is_new, each in drawn.items()
    ]


def picture(compared: Compared, shown: Sequence[Shown]) -> Image.Image:
    """Draw what `side_by_side` returns, with dates, sides, legend, intended use and warnings."""
    parts = [_resized(each.picture, shown[0].scale / each.scale) for each in shown]
    width = 2 * _MARGIN + sum(part.width + _GAP for part in parts) - _GAP
    width = max(width, round(font(20).getlength(LEGEND)) + 2 * _MARGIN)
    below = _HEADER + max((part.height for part in parts), default=0)
    warnings = warning_lines(compared.warnings(), width - 2 * _MARGIN)
    sheet = Image.new("RGB", (width, below + 3 * _LEGEND_LINE + WARNING_LINE * len(warnings)), "white")
    pen, left = ImageDraw.Draw(sheet), _MARGIN
    for each, part in zip(shown, parts, strict=True):
        sheet.paste(part, (left, _HEADER))
        pen.rectangle((left - 1, _HEADER - 1, left + part.width, _HEADER + part.height), outline=(205, 205, 205))
        middle, right = left + part.width / 2, left + part.width - 14
        scan = compared.new if each.is_new else compared.old
        named = f"{'NEW' if each.is_new else 'OLD'} {each.view.value}"
        pen.text((middle, _HEADER - 34), named, fill=30, font=font(26), anchor="ms")
        pen.text((middle, _HEADER - 10), acquired(scan), fill=30, font=font(18), anchor="ms")
        sides = ("R", "L") if each.view is View.ANTERIOR else ("L", "R")
        for side, place in zip(sides, (left + 14, right), strict=True):
            pen.text((place, _HEADER - 10), side, fill=30, font=font(24), anchor="ms")
        left += part.width + _GAP
    pen.text((_MARGIN, below + _LEGEND_LINE), LEGEND, fill=30, font=font(20), anchor="ls")
    pen.text((_MARGIN, below + 2 * _LEGEND_LINE), RESEARCH_USE, fill=30, font=font(22), anchor="ls")
    for number, line in enumerate(warnings, 1):
        start = _MARGIN, below + 2 * _LEGEND_LINE + number * WARNING_LINE
        pen.text(start, line, fill=30, font=wide_font(WARNING_SIZE), anchor="ls")
    return sheet


def _resized(drawn: Image.Image, factor: float) -> Image.Image:
    size = max(round(drawn.width * factor), 1), max(round(drawn.height * factor), 1)
    return drawn.convert("RGB").resize(size, Image.Resampling.LANCZOS)
