"""The report of a result on one A4 page, as PDF: the views, the lesions, how they were found.

The same result gives the same bytes. The page names the patient only where fields that do so are given.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bonescan._version import __version__
from bonescan.assess.burden import extent_words
from bonescan.report import letters
from bonescan.report.ink import NOT_STATED, Fields
from bonescan.report.lesion_table import draw_table
from bonescan.report.overlay import RESEARCH_USE, Panels, grey_scale, panels
from bonescan.report.paper import HEIGHT_MM, WIDTH_MM, Box, Colour, Paper, Style, broken, grey, text_width
from bonescan.study import Result, View

TITLE = "Lesions in a whole-body bone scan"
_MARGIN, _GUTTER = 13.0, 6.0
_LEFT_WIDTH = 105.0
_INK, _SOFT, _FAINT = grey(0.12), grey(0.40), grey(0.80)
_ALERT, _ALERT_GROUND, _BAND = (0.66, 0.13, 0.06), (0.995, 0.94, 0.925), grey(0.955)
_TITLE = Style(17, _INK, bold=True)
_SUBTITLE = Style(9, _SOFT)
_HEADING = Style(8.4, _INK, bold=True)
_TEXT = Style(7.4, _INK, leading=3.7)
_SMALL = Style(6.2, _SOFT, leading=2.9)
_LABEL_WIDTH = 19.0
_PATIENT_WIDTHS = {"Name": 62.0, "ID": 37.0, "Born": 20.0, "Sex": 18.0, "Accession": 27.0, "Study": 20.0}
_MOST_PATIENT_LINES = 6
_PANEL_GAP, _SIDE_MARKS = 3.0, 5.5
_LEAST_PICTURE = 110.0
"""The least height of the views, mm, however many remarks there are."""
_LEAST_SECOND_PICTURE, _SECOND_CAPTIONS = 55.0, 15.0
"""The height below which a second pair of views is left out, and that of its heading and captions."""
_MOST_REMARK_LINES = 12
_SCALE_BARS_MM = (200, 100, 50, 20, 10, 5)


def write_page(result: Result, path: Path, patient: Fields = ()) -> None:
    """Write the page to `path`; patient: as in `page`."""
    path.write_bytes(page(result, patient))


def page(result: Result, patient: Fields = ()) -> bytes:
    """Return the one-page report as PDF. patient: fields that name the patient; () leaves the identity out."""
    paper = Paper(TITLE, RESEARCH_USE, f"bonescan {__version__}")
    top = _draw_patient(paper, result, patient, _draw_title(paper, result)) + 5
    bottom = _draw_foot(paper)
    remarks = _remarks(result)
    below = _height_of_provenance(result, remarks)
    views_bottom = _draw_views(paper, result, Box(_MARGIN, top, _LEFT_WIDTH, bottom - top - below))
    _draw_provenance(paper, result, remarks, views_bottom + 7)
    right = _MARGIN + _LEFT_WIDTH + _GUTTER
    width = WIDTH_MM - _MARGIN - right
    table_top = _draw_facts(paper, result, Box(right, top, width, 0))
    table_bottom = draw_table(paper, result, Box(right, table_top, width, bottom - 3 - table_top))
    _draw_second_window(paper, result, Box(right, table_bottom + 6, width, bottom - 9 - table_bottom))
    return paper.finish()


def _draw_title(paper: Paper, result: Result) -> float:
    """Draw the title, the number of lesions, and the intended use; returns the y at which the page goes on."""
    top = _MARGIN
    paper.text((_MARGIN, top + 5.4), "Whole-body bone scan", _TITLE)
    count = len(result.lesions)
    found = "No lesion outlined" if not count else f"{count} lesion{'s' if count > 1 else ''} outlined"
    if result.extent is not None and result.extent.lesions != count:
        found = f"{result.extent.lesions} lesion{'s' if result.extent.lesions > 1 else ''} in {count} outlines"
    by = f"by the model {result.model.name}" if result.reader is None else f"by the reader {result.reader}"
    subtitle = broken(f"{found} {by}", WIDTH_MM - 2 * _MARGIN, _SUBTITLE)
    said = Style(9.2, _ALERT, bold=True)
    width = text_width(RESEARCH_USE, said) + 7
    left = WIDTH_MM - _MARGIN - width
    paper.box(Box(left, top - 0.6, width, 8), fill=_ALERT_GROUND, stroke=_ALERT, radius=1.4)
    paper.text((left + width / 2, top + 4.5), RESEARCH_USE, said, "centre")
    return paper.paragraph((_MARGIN, top + 11.2), subtitle[:2], _SUBTITLE)


def _draw_patient(paper: Paper, result: Result, patient: Fields, top: float) -> float:
    """Draw a band that names the patient, or says that the page does not; returns its lower edge."""
    width = WIDTH_MM - 2 * _MARGIN
    if not patient:
        where = "the DICOM header of the source states it" if result.study.frames else "its source states none"
        paper.box(Box(_MARGIN, top, width, 6.4), fill=_BAND, radius=1.2)
        paper.text((_MARGIN + 3, top + 4.2), f"The patient's identity is left out of this page; {where}.", _TEXT)
        return top + 6.4
    left, cells = _MARGIN + 3, []
    for label, value in patient:
        style = Style(8.4, _INK if value != NOT_STATED else _SOFT, bold=label == "Name", leading=3.9)
        cells.append((left, label, style, _cut(broken(value, _PATIENT_WIDTHS[label] - 3, style))))
        left += _PATIENT_WIDTHS[label]
    unknown = any(letters.has_unknown(value) for _, value in patient)
    height = 7.4 + 3.9 * max(len(lines) for *_, lines in cells) + (3.2 if unknown else 0)
    paper.box(Box(_MARGIN, top, width, height), fill=_BAND, radius=1.2)
    for left, label, style, lines in cells:
        paper.text((left, top + 3.9), label, _SMALL)
        paper.paragraph((left, top + 8.2), lines, style)
    if unknown:
        paper.text((_MARGIN + 3, top + height - 2), letters.UNKNOWN_NOTE, _SMALL)
    return top + height


def _cut(lines: list[str]) -> list[str]:
    """Limit the lines of the patient, so that the content stays on the page; a cut ends with an ellipsis."""
    if len(lines) <= _MOST_PATIENT_LINES:
        return lines
    return [*lines[: _MOST_PATIENT_LINES - 1], f"{lines[_MOST_PATIENT_LINES - 1][:-1]}…"]


def _draw_views(paper: Paper, result: Result, room: Box) -> float:
    """Both views side by side with titles, side marks, captions and the scale; returns the lower edge of all."""
    drawn = panels(result)
    pixels = drawn.pictures[View.ANTERIOR]
    # Leave space for the titles above and the captions below.
    scale = min((room.width - _PANEL_GAP) / 2 / pixels.width, max(room.height - 18, _LEAST_PICTURE) / pixels.height)
    width, height = pixels.width * scale, pixels.height * scale
    left, top = room.left + (room.width - 2 * width - _PANEL_GAP) / 2, room.top + 6
    for number, view in enumerate(View):
        panel = Box(left + number * (width + _PANEL_GAP), top, width, height)
        # On the left edge: the patient's right in the anterior view, the patient's left in the posterior view.
        sides = ("R", "L") if view is View.ANTERIOR else ("L", "R")
        paper.text((panel.left + _SIDE_MARKS, panel.top - 2), sides[0], Style(10.5, _INK, bold=True), "centre")
        paper.text((panel.left + width / 2, panel.top - 2), view.value.upper(), Style(8.4, _INK), "centre")
        paper.text((panel.right - _SIDE_MARKS, panel.top - 2), sides[1], Style(10.5, _INK, bold=True), "centre")
        paper.picture(drawn.pictures[view], panel)
        paper.box(panel, stroke=_FAINT)
        if view in drawn.windows:
            caption = grey_scale(drawn.windows[view])
            paper.text((panel.left + width / 2, panel.bottom + 3.4), caption, _SMALL, "centre")
    _draw_scale(paper, drawn, Box(left, top + height, 2 * width + _PANEL_GAP, 0), scale)
    return top + height + 8


def _draw_second_window(paper: Paper, result: Result, room: Box) -> None:
    """Both views without curves, grey by the logarithm of the counts, where the table leaves enough space."""
    if room.height - _SECOND_CAPTIONS < _LEAST_SECOND_PICTURE:
        return
    drawn = panels(replace(result, lesions=()), logarithmic=True)
    pixels = drawn.pictures[View.ANTERIOR]
    scale = min((room.width - _PANEL_GAP) / 2 / pixels.width, (room.height - _SECOND_CAPTIONS) / pixels.height)
    width, height = pixels.width * scale, pixels.height * scale
    if height < _LEAST_SECOND_PICTURE:
        return
    top = _heading(paper, room.left, room.right, room.top + 3, "Without curves, at a logarithmic window")
    left = room.left + (room.width - 2 * width - _PANEL_GAP) / 2
    for number, view in enumerate(View):
        panel = Box(left + number * (width + _PANEL_GAP), top, width, height)
        paper.picture(drawn.pictures[view], panel)
        paper.box(panel, stroke=_FAINT)
        caption = f"R – {view.value} – L" if view is View.ANTERIOR else f"L – {view.value} – R"
        paper.text((panel.left + width / 2, panel.bottom + 3.4), caption, _SMALL, "centre")


def _draw_scale(paper: Paper, drawn: Panels, views: Box, scale: float) -> None:
    """Draw a scale bar of a round length at the right, and the legend of the frames on the views."""
    line = views.bottom + 7.4
    if drawn.pixels_per_mm is None:
        paper.text((views.right, line), "no scale: the pixel spacing is not known", _SMALL, "right")
        return
    across = drawn.pixels_per_mm * scale
    length = next((bar for bar in _SCALE_BARS_MM if bar * across <= views.width / 6), _SCALE_BARS_MM[-1])
    left = views.right - length * across
    paper.text((left - 2, line), f"{length} mm", _SMALL.coloured(_INK), "right")
    paper.rule((left, line - 0.8), views.right, _INK, 1.1)
    for end in (left, views.right - 0.3):
        paper.box(Box(end, line - 1.8, 0.3, 2), fill=_INK)


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
    y = _heading(paper, column.left, column.right, column.top + 3, "Scan")
    for label, text in facts:
        y = _pair(paper, (column.left, y), label, broken(text, column.width - _LABEL_WIDTH, _TEXT)[:6])
    return y + 1


def _provenance(result: Result) -> list[tuple[str, str]]:
    """How the result was made, as (label, text)."""
    who = [] if result.reader is None else [("curves", f"drawn or corrected by {result.reader}")]
    use = "outlined the lesions" if result.reader is None else "told the bones apart"
    return [
        *who,
        ("model", f"{result.model.name}, sha256 {result.model.sha256[:16]}…, {use}"),
        ("views told by", result.study.view_source),
        ("software", f"bonescan {__version__}"),
    ]


def _broken_provenance(result: Result) -> list[tuple[str, list[str]]]:
    return [(label, broken(text, _LEFT_WIDTH - _LABEL_WIDTH, _TEXT)[:3]) for label, text in _provenance(result)]


def _height_of_provenance(result: Result, remarks: list[str]) -> float:
    lines = sum(len(lines) for _, lines in _broken_provenance(result)) + len(remarks)
    return 7 + 5.6 + (8.6 if remarks else 0) + _TEXT.leading * lines


def _draw_provenance(paper: Paper, result: Result, remarks: list[str], top: float) -> None:
    right = _MARGIN + _LEFT_WIDTH
    y = _heading(paper, _MARGIN, right, top, "How it was found")
    for label, lines in _broken_provenance(result):
        y = _pair(paper, (_MARGIN, y), label, lines)
    if remarks:
        y = _heading(paper, _MARGIN, right, y + 3, "Warnings", _ALERT)
        paper.paragraph((_MARGIN, y), remarks, _TEXT)


def _remarks(result: Result) -> list[str]:
    """The warnings in lines: as many complete ones as there is space for, then the number of the others."""
    lines: list[str] = []
    for number, warning in enumerate(result.warnings):
        these = broken(f"– {warning}", _LEFT_WIDTH, _TEXT)
        if len(result.warnings) == 1 and len(these) > _MOST_REMARK_LINES:
            *whole, last = these[:_MOST_REMARK_LINES]
            return [*whole, f"{last[: len(last) // 2].rstrip()} … lesions.json lists all"]
        if len(result.warnings) > 1 and len(lines) + len(these) >= _MOST_REMARK_LINES:
            return [*lines, f"– and {len(result.warnings) - number} more: lesions.json lists all"]
        lines += these
    return lines


def _heading(paper: Paper, left: float, right: float, y: float, text: str, colour: Colour = _INK) -> float:
    """Draw a heading on `y` with a line under it; returns the y of the first line of text."""
    paper.text((left, y), text, _HEADING.coloured(colour))
    paper.rule((left, y + 1.5), right, _FAINT)
    return y + 5.6


def _pair(paper: Paper, place: tuple[float, float], label: str, lines: list[str]) -> float:
    """Draw a label and its text; returns the y of the next label."""
    paper.text(place, label, _TEXT.coloured(_SOFT))
    return paper.paragraph((place[0] + _LABEL_WIDTH, place[1]), lines, _TEXT)


def _draw_foot(paper: Paper) -> float:
    """Draw how to read the page, and what it may not be used for; returns the upper edge."""
    said = (
        "Area and counts are of the outlined pixels. Max: counts of the hottest pixel; mean: counts per pixel; "
        "contrast: mean counts over those of the bone around the lesion, and of the bone at the place mirrored about "
        "the midline; p: the model's mean probability. A lesion that both views show is outlined in each: the number "
        "in brackets behind its site is that of the pair, and it is counted once in all. "
        "Not a medical device; no basis for a diagnosis."
    )
    lines = broken(said, WIDTH_MM - 2 * _MARGIN, _SMALL)
    top = HEIGHT_MM - _MARGIN - len(lines) * _SMALL.leading - 1.5
    paper.rule((_MARGIN, top), WIDTH_MM - _MARGIN, _FAINT)
    paper.paragraph((_MARGIN, top + 4.2), lines, _SMALL)
    return top
