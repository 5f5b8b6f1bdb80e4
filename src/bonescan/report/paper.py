"""One A4 sheet as PDF: positions in millimetres from the upper left corner, text in embedded fonts.

The same calls give the same bytes: the file contains no time and no random number.
"""

from __future__ import annotations

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
from bonescan.report.fonts import BOLD, SANS

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
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if text_width(longer, style) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, width, style)
        lines += whole
    return [*lines, line] if line or not lines else lines


def _pieces(word: str, width: float, style: Style) -> list[str]:
    """Cut a word into pieces that fit a line; a word that fits is one piece."""
    pieces = []
    while text_width(word, style) > width and len(word) > 1:
        fits = next((n for n in range(len(word) - 1, 1, -1) if text_width(word[:n], style) <= width), 1)
        pieces.append(word[:fits])
        word = word[fits:]
    return [*pieces, word]


def _font(style: Style) -> str:
    return BOLD if style.bold else SANS
