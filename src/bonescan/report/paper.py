"""One A4 sheet as PDF, and what all pages have: title, band, headings, views, warnings, tables, foot.

Positions are in millimetres from the upper left corner; fonts are embedded. The same calls give the same bytes: the
file contains no time and no random number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Literal

from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas

from bonescan.report import letters
from bonescan.report.letters import BOLD, SANS
from bonescan.report.words import RESEARCH_USE
from bonescan.study import View

WIDTH_MM, HEIGHT_MM = A4[0] / mm, A4[1] / mm
Point = tuple[float, float]
Colour = tuple[float, float, float]


def grey(level: float) -> Colour:
    """A grey of 0 (black) to 1 (white)."""
    return level, level, level


@dataclass(frozen=True, slots=True)
class Style:
    """How text looks. size: points. leading: line to line, in millimetres."""

    size: float
    colour: Colour = (0.12, 0.12, 0.12)
    bold: bool = False
    leading: float = 3.6

    def coloured(self, colour: Colour) -> Style:
        """The same in another colour."""
        return replace(self, colour=colour)


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the sheet: its upper left corner and its size."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.top + self.height


MARGIN, GUTTER = 10.0, 5.0
WIDTH = WIDTH_MM - 2 * MARGIN
"""Of what is between the margins."""
INK, SOFT, FAINT, HAIR = grey(0.12), grey(0.40), grey(0.80), grey(0.92)
ALERT, BAND = (0.66, 0.13, 0.06), grey(0.955)
_ALERT_GROUND = (0.995, 0.94, 0.925)
_TITLE = Style(17, INK, bold=True)
_SUBTITLE = Style(9, SOFT)
_HEADING = Style(8.4, INK, bold=True)
TEXT = Style(7.4, INK, leading=3.7)
SMALL = Style(6.2, SOFT, leading=2.9)
LABEL_WIDTH = 19.0
_SIDE_MARKS = 5.5
"""How far inside the edges of a wide panel R and L stand."""
_SCALE_BARS_MM = (200, 100, 50, 20, 10, 5)


class Paper:
    """One sheet. Every place is (x, y) in millimetres from the upper left corner; y is the base line of text."""

    def __init__(self, title: str, subject: str, creator: str) -> None:
        letters.register()
        self._buffer = BytesIO()
        # The type stubs wrongly want a number for the font's name. Without it the page names a font that it lacks.
        self._canvas = Canvas(self._buffer, A4, invariant=1, initialFontName=SANS, lang="en")  # type: ignore[arg-type]
        self._canvas.setTitle(title)
        self._canvas.setSubject(subject)
        self._canvas.setCreator(creator)
        self._canvas.setAuthor(creator)

    def text(self, place: Point, text: str, style: Style, align: Literal["left", "centre", "right"] = "left") -> float:
        """Write one line and return its width; `place` is its left end, middle or right end."""
        width = text_width(text, style)
        x = place[0] - {"left": 0.0, "centre": 0.5, "right": 1.0}[align] * width
        line = self._canvas.beginText(x * mm, self._up(place[1]))
        line.setFillColorRGB(*style.colour)
        line.setFont(_font(style), style.size)
        line.textOut(letters.drawable(text))
        self._canvas.drawText(line)
        return width

    def paragraph(self, place: Point, lines: list[str], style: Style) -> float:
        """Write lines under one another, the first on `place`; return the y of the next line."""
        x, y = place
        for line in lines:
            self.text((x, y), line, style)
            y += style.leading
        return y

    def rule(self, start: Point, end_x: float, colour: Colour, width: float = 0.4) -> None:
        """Draw a horizontal line; width: points."""
        self._canvas.setStrokeColorRGB(*colour)
        self._canvas.setLineWidth(width)
        y = self._up(start[1])
        self._canvas.line(start[0] * mm, y, end_x * mm, y)

    def box(self, box: Box, *, fill: Colour | None = None, stroke: Colour | None = None, radius: float = 0.0) -> None:
        """A rectangle with round corners of `radius` millimetres."""
        if fill is not None:
            self._canvas.setFillColorRGB(*fill)
        if stroke is not None:
            self._canvas.setStrokeColorRGB(*stroke)
            self._canvas.setLineWidth(0.7)
        place = box.left * mm, self._up(box.bottom), box.width * mm, box.height * mm
        self._canvas.roundRect(*place, radius * mm, stroke=int(stroke is not None), fill=int(fill is not None))

    def picture(self, picture: Image.Image, box: Box) -> None:
        """Draw a picture into a box of the same proportions."""
        source = ImageReader(picture.convert("RGB"))
        self._canvas.drawImage(source, box.left * mm, self._up(box.bottom), box.width * mm, box.height * mm)

    def finish(self) -> bytes:
        """End the page; return the document."""
        self._canvas.showPage()
        self._canvas.save()
        return self._buffer.getvalue()

    @staticmethod
    def _up(y: float) -> float:
        """Convert y to PDF units: points from the lower edge."""
        return (HEIGHT_MM - y) * mm


def text_width(text: str, style: Style) -> float:
    """Width of a line in millimetres."""
    return float(pdfmetrics.stringWidth(letters.drawable(text), _font(style), style.size)) / mm


def broken(text: str, width: float, style: Style) -> list[str]:
    """Break text into lines of at most `width` millimetres, at blanks; only a longer word is broken inside."""
    return letters.broken(text, width, lambda line: text_width(line, style))


def _font(style: Style) -> str:
    return BOLD if style.bold else SANS


def draw_title(paper: Paper, title: str, subtitle: str) -> float:
    """Draw title, subtitle, and the intended use; return the y at which the page goes on."""
    paper.text((MARGIN, MARGIN + 5.4), title, _TITLE)
    said = Style(9.2, ALERT, bold=True)
    width = text_width(RESEARCH_USE, said) + 7
    left = WIDTH_MM - MARGIN - width
    paper.box(Box(left, MARGIN - 0.6, width, 8), fill=_ALERT_GROUND, stroke=ALERT, radius=1.4)
    paper.text((left + width / 2, MARGIN + 4.5), RESEARCH_USE, said, "centre")
    return paper.paragraph((MARGIN, MARGIN + 11.2), broken(subtitle, WIDTH, _SUBTITLE)[:2], _SUBTITLE)


def draw_unnamed(paper: Paper, in_header: bool, top: float) -> float:
    """Draw a band that says that the page does not name the patient; return its lower edge."""
    where = "the DICOM header of the source states it" if in_header else "its source states none"
    paper.box(Box(MARGIN, top, WIDTH, 6.4), fill=BAND, radius=1.2)
    paper.text((MARGIN + 3, top + 4.2), f"The patient's identity is left out of this page; {where}.", TEXT)
    return top + 6.4


def draw_panel(paper: Paper, picture: Image.Image, panel: Box, view: View, title: str) -> None:
    """Draw one view with its title and the patient's sides above it."""
    # On the left edge: the patient's right in the anterior view, the patient's left in the posterior view.
    sides = ("R", "L") if view is View.ANTERIOR else ("L", "R")
    inwards = min(_SIDE_MARKS, 0.11 * panel.width)
    marked = Style(min(10.5, 0.3 * panel.width), INK, bold=True)
    titled = Style(min(8.4, 0.23 * panel.width), INK)
    paper.text((panel.left + inwards, panel.top - 2), sides[0], marked, "centre")
    paper.text((panel.left + panel.width / 2, panel.top - 2), title, titled, "centre")
    paper.text((panel.right - inwards, panel.top - 2), sides[1], marked, "centre")
    paper.picture(picture, panel)
    paper.box(panel, stroke=FAINT)


def draw_scale(paper: Paper, views: Box, across: float | None) -> None:
    """Draw a scale bar of a round length under the right end of the views. across: mm of paper per mm of the patient,
    None where the spacing is not known."""
    line = views.bottom + 7.4
    if across is None:
        paper.text((views.right, line), "no scale: the pixel spacing is not known", SMALL, "right")
        return
    length = next((bar for bar in _SCALE_BARS_MM if bar * across <= views.width / 6), _SCALE_BARS_MM[-1])
    left = views.right - length * across
    paper.text((left - 2, line), f"{length} mm", SMALL.coloured(INK), "right")
    paper.rule((left, line - 0.8), views.right, INK, 1.1)
    for end in (left, views.right - 0.3):
        paper.box(Box(end, line - 1.8, 0.3, 2), fill=INK)


def heading(paper: Paper, left: float, right: float, y: float, text: str, colour: Colour = INK) -> float:
    """Draw a heading on `y` with a line under it; return the y of the first line of text."""
    paper.text((left, y), text, _HEADING.coloured(colour))
    paper.rule((left, y + 1.5), right, FAINT)
    return y + 5.6


def pair(paper: Paper, place: Point, label: str, lines: list[str]) -> float:
    """Draw a label and its text; return the y of the next label."""
    paper.text(place, label, TEXT.coloured(SOFT))
    return paper.paragraph((place[0] + LABEL_WIDTH, place[1]), lines, TEXT)


def warnings_within(warnings: Sequence[str], width: float, most: int, file: str, style: Style = TEXT) -> list[str]:
    """The warnings in at most `most` lines: as many complete ones as fit, then the number of those that `file` adds."""
    lines: list[str] = []
    for number, warning in enumerate(warnings):
        these = broken(f"– {warning}", width, style)
        if len(warnings) == 1 and len(these) > most:
            *whole, last = these[:most]
            cut = last[: len(last) // 2]
            return [*whole, f"{cut.rpartition(' ')[0] or cut} … {file} lists all"]
        if len(warnings) > 1 and len(lines) + len(these) >= most:
            return [*lines, f"– and {len(warnings) - number} more: {file} lists all"]
        lines += these
    return lines


def draw_foot(paper: Paper, said: str) -> float:
    """Draw how to read the page, and what it may not be used for; return the upper edge."""
    lines = broken(f"{said} Not a medical device; no basis for a diagnosis.", WIDTH, SMALL)
    top = HEIGHT_MM - MARGIN - len(lines) * SMALL.leading - 1.5
    paper.rule((MARGIN, top), WIDTH_MM - MARGIN, FAINT)
    paper.paragraph((MARGIN, top + 4.2), lines, SMALL)
    return top


class Columns:
    """The columns of a table in a box: the first `left` ones start at their left edge, the others end at their right.

    shares: of the box's width, in any unit.
    """

    def __init__(self, paper: Paper, box: Box, shares: Sequence[float], left: int) -> None:
        self._paper, self._left = paper, left
        self.widths = [box.width * share / sum(shares) for share in shares]
        self.lefts = [box.left + sum(self.widths[:number]) for number in range(len(shares))]
        self.rights = [start + width for start, width in zip(self.lefts, self.widths, strict=True)]

    def draw(self, cells: Sequence[str], y: float, style: Style) -> None:
        """Write one row on the base line `y`."""
        for number, cell in enumerate(cells):
            if number < self._left:
                self._paper.text((self.lefts[number], y), cell, style)
            else:
                self._paper.text((self.rights[number], y), cell, style, "right")
