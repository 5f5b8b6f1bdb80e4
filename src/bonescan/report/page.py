"""The report of a result on one A4 page, as PDF: the views, the lesions, how they were found.

The same result gives the same bytes. The page names the patient only where fields that do so are given.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from bonescan._version import __version__
from bonescan.assess.burden import extent_words
from bonescan.assess.site import bone_words
from bonescan.report import letters
from bonescan.report.overlay import grey_scale, panels
from bonescan.report.paper import (
    ALERT,
    BAND,
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
    WIDTH_MM,
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
    warnings_within,
)
from bonescan.report.words import (
    COLUMNS,
    NOT_STATED,
    RESEARCH_USE,
    Fields,
    counted,
    headline,
    model_words,
    quality_words,
)
from bonescan.study import Lesion, Region, Result, Side, View

TITLE = "Lesions in a whole-body bone scan"
_LEFT_WIDTH = 109.0
_PATIENT_WIDTHS = {"Name": 62.0, "ID": 37.0, "Born": 20.0, "Sex": 18.0, "Accession": 27.0, "Study": 20.0}
_MOST_PATIENT_LINES = 6
_PANEL_GAP = 3.0
_LEAST_PICTURE = 110.0
"""The least height of the views, mm, however many warnings there are."""
_LEAST_SECOND_PICTURE, _SECOND_CAPTIONS = 55.0, 15.0
"""The height below which a second pair of views is left out, and that of its heading and captions."""
_MOST_WARNING_LINES = 12
_FOOT = (
    f"{COLUMNS} A lesion that both views show is outlined in each. Two outlines with the same number in brackets "
    "behind the site are one lesion."
)
_NONE = "–"
_COLUMNS = (
    ("", "", 4.5),
    ("", "site", 26.5),
    ("", "side", 6.5),
    ("area", "", 7.0),
    ("counts", "max", 7.0),
    ("counts", "mean", 7.5),
    ("contrast", "bone", 6.5),
    ("contrast", "mirror", 7.5),
    ("", "p", 7.0),
)
"""Upper heading, heading, and share of the width. The first three columns are aligned to the left."""
_LEFT = 3
_ROWS_MM = (2.7, 4.3)
"""The lowest and the highest row; the size of type depends on it."""
_MOST_TYPE = 6.6
_WHOLE_COUNTS = 1000.0
"""From this value on, counts are shown without decimals, which would tell nothing and not fit the column."""
_HEAD_ROWS = 2.4
_VIEW_ROWS = 1.7
"""Height of the headings, and of the line of each view, in rows."""


def write_page(result: Result, path: Path, patient: Fields = ()) -> None:
    """Write the page to `path`; patient: as in `page`."""
    path.write_bytes(page(result, patient))


def page(result: Result, patient: Fields = ()) -> bytes:
    """Return the one-page report as PDF. patient: fields that name the patient; () leaves the identity out."""
    paper = Paper(TITLE, RESEARCH_USE, f"bonescan {__version__}")
    top = draw_title(paper, "Whole-body bone scan", headline(result))
    top = _draw_patient(paper, result, patient, top) + 5
    bottom = draw_foot(paper, _FOOT)
    warnings = warnings_within(result.warnings, _LEFT_WIDTH, _MOST_WARNING_LINES, "lesions.json")
    below = _height_of_provenance(result, warnings)
    views_bottom = _draw_views(paper, result, Box(MARGIN, top, _LEFT_WIDTH, bottom - top - below))
    _draw_provenance(paper, result, warnings, views_bottom + 7)
    right = MARGIN + _LEFT_WIDTH + GUTTER
    width = WIDTH_MM - MARGIN - right
    table_top = _draw_facts(paper, result, Box(right, top, width, 0))
    table_bottom = draw_table(paper, result, Box(right, table_top, width, bottom - 3 - table_top))
    _draw_second_window(paper, result, Box(right, table_bottom + 6, width, bottom - 9 - table_bottom))
    return paper.finish()


def _draw_patient(paper: Paper, result: Result, patient: Fields, top: float) -> float:
    """Draw a band that names the patient, or says that the page does not; returns its lower edge."""
    if not patient:
        return draw_unnamed(paper, bool(result.study.frames), top)
    left, cells = MARGIN + 3, []
    for label, value in patient:
        style = Style(8.4, INK if value != NOT_STATED else SOFT, bold=label == "Name", leading=3.9)
        cells.append((left, label, style, _cut(broken(value, _PATIENT_WIDTHS[label] - 3, style))))
        left += _PATIENT_WIDTHS[label]
    unknown = any(letters.has_unknown(value) for _, value in patient)
    height = 7.4 + 3.9 * max(len(lines) for *_, lines in cells) + (3.2 if unknown else 0)
    paper.box(Box(MARGIN, top, WIDTH, height), fill=BAND, radius=1.2)
    for left, label, style, lines in cells:
        paper.text((left, top + 3.9), label, SMALL)
        paper.paragraph((left, top + 8.2), lines, style)
    if unknown:
        paper.text((MARGIN + 3, top + height - 2), letters.UNKNOWN_NOTE, SMALL)
    return top + height


def _cut(lines: list[str]) -> list[str]:
    """Limit the lines of the patient, so that the content stays on the page; a cut ends with an ellipsis."""
    if len(lines) <= _MOST_PATIENT_LINES:
        return lines
    return [*lines[: _MOST_PATIENT_LINES - 1], f"{lines[_MOST_PATIENT_LINES - 1][:-1]}…"]


def _draw_views(paper: Paper, result: Result, box: Box) -> float:
    """Both views side by side with titles, side marks, captions and the scale; returns the lower edge of all."""
    drawn = panels(result)
    pixels = drawn.pictures[View.ANTERIOR]
    # Leave space for the titles above and the captions below.
    scale = min((box.width - _PANEL_GAP) / 2 / pixels.width, max(box.height - 18, _LEAST_PICTURE) / pixels.height)
    width, height = pixels.width * scale, pixels.height * scale
    left, top = box.left + (box.width - 2 * width - _PANEL_GAP) / 2, box.top + 6
    for number, view in enumerate(View):
        panel = Box(left + number * (width + _PANEL_GAP), top, width, height)
        draw_panel(paper, drawn.pictures[view], panel, view, view.value.upper())
        if view in drawn.windows:
            caption = grey_scale(drawn.windows[view])
            paper.text((panel.left + width / 2, panel.bottom + 3.4), caption, SMALL, "centre")
    across = None if drawn.pixels_per_mm is None else drawn.pixels_per_mm * scale
    draw_scale(paper, Box(left, top + height, 2 * width + _PANEL_GAP, 0), across)
    return top + height + 8


def _draw_second_window(paper: Paper, result: Result, box: Box) -> None:
    """Both views without curves, grey by the logarithm of the counts, where the table leaves enough space."""
    if box.height - _SECOND_CAPTIONS < _LEAST_SECOND_PICTURE:
        return
    drawn = panels(replace(result, lesions=()), logarithmic=True)
    pixels = drawn.pictures[View.ANTERIOR]
    scale = min((box.width - _PANEL_GAP) / 2 / pixels.width, (box.height - _SECOND_CAPTIONS) / pixels.height)
    width, height = pixels.width * scale, pixels.height * scale
    if height < _LEAST_SECOND_PICTURE:
        return
    top = heading(paper, box.left, box.right, box.top + 3, "Without curves, at a logarithmic window")
    left = box.left + (box.width - 2 * width - _PANEL_GAP) / 2
    for number, view in enumerate(View):
        panel = Box(left + number * (width + _PANEL_GAP), top, width, height)
        paper.picture(drawn.pictures[view], panel)
        paper.box(panel, stroke=FAINT)
        caption = f"R – {view.value} – L" if view is View.ANTERIOR else f"L – {view.value} – R"
        paper.text((panel.left + width / 2, panel.bottom + 3.4), caption, SMALL, "centre")


def _draw_facts(paper: Paper, result: Result, column: Box) -> float:
    """Draw the facts on the scan; returns the y at which the column goes on."""
    study, spacing = result.study, result.study.spacing
    rows, cols = study.shape
    unknown = "not known, so that areas are in pixels"
    facts = [
        ("study", study.key),
        ("acquired", (study.acquired or NOT_STATED).replace("T", " ")),
        ("matrix", f"{rows} × {cols} pixels"),
        ("pixel spacing", unknown if spacing is None else f"{spacing.row_mm:.4g} × {spacing.col_mm:.4g} mm"),
        ("looked at", "the whole body" if result.region == "whole-body" else f"the {result.region}"),
    ]
    if result.extent is not None:
        facts.append(("in all", "; ".join(extent_words(result.extent))))
    y = heading(paper, column.left, column.right, column.top + 3, "Scan")
    for label, text in facts:
        y = pair(paper, (column.left, y), label, broken(text, column.width - LABEL_WIDTH, TEXT)[:6])
    return y + 1


def _provenance(result: Result) -> list[tuple[str, str]]:
    """How the result was made, as (label, text)."""
    model, quality = model_words(result, 16), quality_words(result)
    who = [] if result.reader is None else [("curves", f"drawn or corrected by {result.reader}")]
    return [
        *who,
        ("model", model if result.reader is None else f"{model}; it told the bones apart"),
        ("views told by", result.study.view_source),
        *([] if quality is None else [("quality", quality)]),
        ("software", f"bonescan {__version__}"),
    ]


def _broken_provenance(result: Result) -> list[tuple[str, list[str]]]:
    return [(label, broken(text, _LEFT_WIDTH - LABEL_WIDTH, TEXT)[:3]) for label, text in _provenance(result)]


def _height_of_provenance(result: Result, warnings: list[str]) -> float:
    lines = sum(len(lines) for _, lines in _broken_provenance(result)) + len(warnings)
    return 7 + 5.6 + (8.6 if warnings else 0) + TEXT.leading * lines


def _draw_provenance(paper: Paper, result: Result, warnings: list[str], top: float) -> None:
    right = MARGIN + _LEFT_WIDTH
    y = heading(paper, MARGIN, right, top, "How it was found")
    for label, lines in _broken_provenance(result):
        y = pair(paper, (MARGIN, y), label, lines)
    if warnings:
        y = heading(paper, MARGIN, right, y + 3, "Warnings", ALERT)
        paper.paragraph((MARGIN, y), warnings, TEXT)


def draw_table(paper: Paper, result: Result, box: Box) -> float:
    """Draw a heading, then for each view its burden and its lesions, in rows as high as the box allows.

    Where not all fit, the largest are shown, and a line says how many more there are.
    """
    heading(paper, box.left, box.right, box.top + 3, "Lesions")
    top, height = box.top + 5.5, box.height - 5.5
    if not result.lesions:
        return _draw_none(paper, result, Box(box.left, top, box.width, height))
    extra = _HEAD_ROWS + _VIEW_ROWS * len(View)
    most = int(height / _ROWS_MM[0] - extra)
    shown = _largest(result, most if most >= len(result.lesions) else max(most - 2, 1))
    hidden = len(result.lesions) - len(shown)
    row = min(max(height / (len(shown) + extra + (2 if hidden else 0)), _ROWS_MM[0]), _ROWS_MM[1])
    y = _Rows(paper, box, row, result.study.spacing is not None).draw(result, shown, top)
    if hidden:
        said = f"{hidden} smaller outline{'s are' if hidden > 1 else ' is'} not listed here: lesions.json lists all."
        y += row
        paper.text((box.left, y), said, Style(6.6, SOFT))
    return y


def _largest(result: Result, count: int) -> list[Lesion]:
    """The `count` largest lesions, in their own order."""
    largest = sorted(result.lesions, key=lambda lesion: (-lesion.measures.area_px, lesion.id))[:count]
    return sorted(largest, key=lambda lesion: lesion.id)


def _draw_none(paper: Paper, result: Result, box: Box) -> float:
    """Draw the table of a scan without lesions, the common case."""
    y = box.top + 5
    for view in View:
        _draw_view(paper, result, view, Box(box.left, y - 4, box.width, 0), _MOST_TYPE)
        y += 5.4
    paper.text((box.left, y + 3), "No lesion was outlined.", Style(9.4, INK, bold=True))
    paper.text((box.left, y + 7.4), "That does not exclude one.", Style(7.4, SOFT))
    return y + 7.4


def _draw_view(paper: Paper, result: Result, view: View, line: Box, size: float) -> None:
    """Draw the line of a view: its name and the totals of its outlines."""
    paper.text((line.left, line.top + 4), view.value.capitalize(), Style(size, INK, bold=True))
    paper.text((line.right, line.top + 4), _burden(result, view), Style(size, SOFT), "right")


def _burden(result: Result, view: View) -> str:
    if view not in result.burden:
        return "not given"
    burden = result.burden[view]
    if not burden.lesions:
        return "no outline"
    area = f"{burden.area_px} px" if burden.area_mm2 is None else f"{burden.area_mm2 / 100:.1f} cm²"
    share = "" if burden.skeleton_share is None else f", {burden.skeleton_share:.2%} of the skeleton"
    return f"{counted(burden.lesions, 'outline')}, {area}{share}"


class _Rows:
    """The rows of one table. row: millimetres from one to the next. millimetres: whether areas are in mm²."""

    def __init__(self, paper: Paper, box: Box, row: float, millimetres: bool) -> None:
        self._paper, self._box, self._row, self._millimetres = paper, box, row, millimetres
        self._size = min(row * 2.05, _MOST_TYPE)
        self._columns = Columns(paper, box, [share for *_, share in _COLUMNS], _LEFT)

    def draw(self, result: Result, shown: list[Lesion], top: float) -> float:
        """Draw all; returns the base line of the last row."""
        y = top + self._draw_headings(top)
        for view in View:
            y += _VIEW_ROWS * self._row
            _draw_view(self._paper, result, view, Box(self._box.left, y - 4, self._box.width, 0), self._size)
            for lesion in shown:
                if lesion.view is view:
                    self._paper.rule((self._box.left, y + 0.32 * self._row), self._box.right, HAIR, 0.3)
                    y += self._row
                    self._columns.draw(_cells(lesion), y, Style(self._size, INK))
        return y

    def _draw_headings(self, top: float) -> float:
        size = Style(min(self._size, 6.4), SOFT)
        line = min(self._row, 2.9)
        above = [*(upper for upper, *_ in _COLUMNS), ""]
        for number, (upper, following) in enumerate(pairwise(above)):
            # A heading over two columns is aligned to the right end of both, like their numbers.
            if upper != following:
                self._paper.text((self._columns.rights[number], top + line), upper, size, "right")
        unit = "mm²" if self._millimetres else "px"
        named = [unit if upper == "area" else name for upper, name, _ in _COLUMNS]
        self._columns.draw(named, top + 2 * line, size)
        return 2 * line


def _site(lesion: Lesion) -> str:
    """The vertebra or rib with its uncertainty, else the bone; and the pair, where the other view shows the lesion."""
    if lesion.region is Region.BACKGROUND:
        return _NONE
    site = bone_words(lesion)
    return site if lesion.pair is None else f"{site} ({lesion.pair})"


def _cells(lesion: Lesion) -> list[str]:
    measures = lesion.measures
    return [
        str(lesion.id),
        _site(lesion),
        _NONE if lesion.side is Side.MIDLINE else lesion.side.value,
        f"{measures.area_px}" if measures.area_mm2 is None else f"{measures.area_mm2:.0f}",
        f"{measures.counts_max:.0f}",
        f"{measures.counts_mean:.1f}" if measures.counts_mean < _WHOLE_COUNTS else f"{measures.counts_mean:.0f}",
        _NONE if measures.contrast is None else f"{measures.contrast:.1f}",
        _NONE if measures.contrast_mirror is None else f"{measures.contrast_mirror:.1f}",
        _NONE if lesion.probability is None else f"{lesion.probability:.2f}",
    ]
