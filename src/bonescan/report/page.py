"""The report of a result on one A4 page, as PDF: the views, the lesions, how they were found.

The same result gives the same bytes. The page names the patient only where fields that do so are given.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bonescan._version import __version__
from bonescan.assess.burden import extent_words
from bonescan.report import letters
from bonescan.report.blocks import (
    ALERT,
    BAND,
    FAINT,
    GUTTER,
    INK,
    LABEL_WIDTH,
    MARGIN,
    SMALL,
    SOFT,
    TEXT,
    WIDTH,
    draw_foot,
    draw_panel,
    draw_scale,
    draw_title,
    draw_unnamed,
    heading,
    pair,
    warnings_within,
)
from bonescan.report.ink import NOT_STATED, Fields
from bonescan.report.lesion_table import draw_table
from bonescan.report.overlay import RESEARCH_USE, grey_scale, panels
from bonescan.report.paper import WIDTH_MM, Box, Paper, Style, broken
from bonescan.report.words import COLUMNS, headline, model_words, quality_words
from bonescan.study import Result, View

TITLE = "Lesions in a whole-body bone scan"
_LEFT_WIDTH = 98.0
_PATIENT_WIDTHS = {"Name": 62.0, "ID": 37.0, "Born": 20.0, "Sex": 18.0, "Accession": 27.0, "Study": 20.0}
_MOST_PATIENT_LINES = 6
_PANEL_GAP = 3.0
_LEAST_PICTURE = 110.0
"""The least height of the views, mm, however many warnings there are."""
_LEAST_SECOND_PICTURE, _SECOND_CAPTIONS = 55.0, 15.0
"""The height below which a second pair of views is left out, and that of its heading and captions."""
_MOST_WARNING_LINES = 12
_FOOT = (
    f"{COLUMNS} A lesion that both views show is outlined in each: the number in brackets behind its site is that of "
    "the pair, and it is counted once in all."
)


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
