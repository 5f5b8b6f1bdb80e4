"""The report of a result on one A4 page, as PDF: the picture, the lesions, how they were found.

The same result gives the same bytes. Nothing on it says who the patient is, unless lines that do are handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import reportlab
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from bonescan import __version__
from bonescan.report.overlay import RESEARCH_USE, overlay
from bonescan.study import Lesion, Region, Result, Side, View

_WIDTH, _HEIGHT = A4
_MARGIN = 12 * mm
_PICTURE_WIDTH = 114 * mm
_COLUMN_GAP = 5 * mm
_FOOTER = 18 * mm
_SANS, _BOLD = "Vera", "VeraBd"
_INK, _SOFT, _RULE = 0.12, 0.42, 0.78
_ALERT = (0.70, 0.13, 0.05)
_LINE = 3.6 * mm
_SMALL, _TEXT, _HEADING, _TITLE = 5.6, 6.8, 8.0, 15.0
_ROW = 3.15 * mm
_NONE = "–"
_MOST_WARNINGS = 6
_SHORT_REGIONS = {
    Region.CERVICAL_SPINE: "C spine",
    Region.THORACIC_SPINE: "T spine",
    Region.LUMBAR_SPINE: "L spine",
    Region.LOWER_LEG: "lower leg",
}
_COLUMNS = (
    ("", 4),
    ("view", 7),
    ("site", 13),
    ("side", 6.5),
    ("area", 13),
    ("max", 7.5),
    ("contrast", 9.5),
    ("p", 6.5),
)
"""Headings and widths in millimetres of the table of lesions."""


def write_page(result: Result, path: Path, patient: Sequence[str] = ()) -> None:
    """Write the page to `path`; patient: as in `page`."""
    path.write_bytes(page(result, patient))


def page(result: Result, patient: Sequence[str] = ()) -> bytes:
    """Return the one-page report as PDF. patient: lines that name the patient; () leaves the identity out."""
    _register_fonts()
    buffer = BytesIO()
    # Invariant: no time and no random number in the file, so that the same result is the same document.
    canvas = Canvas(buffer, pagesize=A4, invariant=1)
    canvas.setTitle("Lesions in a whole-body bone scan")
    canvas.setSubject(RESEARCH_USE)
    canvas.setCreator(f"bonescan {__version__}")
    canvas.setAuthor("bonescan")
    top = _head(canvas, result, patient)
    bottom = _MARGIN + _FOOTER
    _picture(canvas, result, top, bottom)
    column = _Column(canvas, _MARGIN + _PICTURE_WIDTH + _COLUMN_GAP, _WIDTH - _MARGIN, top, bottom)
    _facts(column, result)
    _burden(column, result)
    warnings = _warning_lines(column, result)
    _table(column, result, below=len(warnings) * _LINE)
    _warnings(column, warnings)
    _foot(canvas, result)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _register_fonts() -> None:
    """Embed fonts that come with the library: the page looks alike everywhere."""
    if _SANS in pdfmetrics.getRegisteredFontNames():
        return
    fonts = Path(reportlab.__file__).parent / "fonts"
    for name in (_SANS, _BOLD):
        pdfmetrics.registerFont(TTFont(name, str(fonts / f"{name}.ttf")))


def _printable(text: str) -> str:
    """Replace what the font has no sign for; silence or a box would look like another name."""
    known = pdfmetrics.getFont(_SANS).face.charToGlyph  # type: ignore[attr-defined]
    return "".join(letter if ord(letter) in known else "?" for letter in text)


@dataclass(slots=True)
class _Column:
    """The right-hand column, written from the top down. left, right, top, bottom: in points, from the lower left."""

    canvas: Canvas
    left: float
    right: float
    top: float
    bottom: float

    def heading(self, text: str) -> None:
        """A heading with a line under it."""
        self.top -= 5.2 * mm
        self.canvas.setFont(_BOLD, _HEADING)
        self.canvas.setFillGray(_INK)
        self.canvas.drawString(self.left, self.top, text)
        self.canvas.setStrokeGray(_RULE)
        self.canvas.setLineWidth(0.4)
        self.canvas.line(self.left, self.top - 1.3 * mm, self.right, self.top - 1.3 * mm)
        self.top -= 1.6 * mm

    def pair(self, name: str, text: str) -> None:
        """A name and what it is, broken into as many lines as it takes."""
        indent = self.left + 16 * mm
        for number, line in enumerate(_broken(_printable(text), self.right - indent, _TEXT)):
            self.top -= _LINE
            self.canvas.setFont(_SANS, _TEXT)
            if number == 0:
                self.canvas.setFillGray(_SOFT)
                self.canvas.drawString(self.left, self.top, name)
            self.canvas.setFillGray(_INK)
            self.canvas.drawString(indent, self.top, line)

    def line(self, text: str, grey: float = _INK) -> None:
        """One line of text that fits."""
        self.top -= _LINE
        self.canvas.setFont(_SANS, _TEXT)
        self.canvas.setFillGray(grey)
        self.canvas.drawString(self.left, self.top, text)


def _broken(text: str, width: float, size: float) -> list[str]:
    """Break text into lines of at most `width` points, at blanks, and inside a word that is longer."""
    lines, line = [], ""
    for word in text.split():
        while pdfmetrics.stringWidth(word, _SANS, size) > width:
            fits = next(n for n in range(len(word), 0, -1) if pdfmetrics.stringWidth(word[:n], _SANS, size) <= width)
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:fits])
            word = word[fits:]
        longer = f"{line} {word}".strip()
        if pdfmetrics.stringWidth(longer, _SANS, size) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line] if line or not lines else lines


def _head(canvas: Canvas, result: Result, patient: Sequence[str]) -> float:
    """The title and who; returns where the page goes on."""
    top = _HEIGHT - _MARGIN
    canvas.setFillGray(_INK)
    canvas.setFont(_BOLD, _TITLE)
    canvas.drawString(_MARGIN, top - 6 * mm, "Whole-body bone scan")
    canvas.setFont(_SANS, _HEADING)
    canvas.setFillGray(_SOFT)
    count = len(result.lesions)
    found = "no lesion outlined" if not count else f"{count} lesion{'s' if count > 1 else ''} outlined"
    canvas.drawString(_MARGIN, top - 11 * mm, f"{found}{'' if result.reader is None else ' by a reader'}")
    canvas.setFillColorRGB(*_ALERT)
    canvas.setFont(_BOLD, _HEADING)
    canvas.drawRightString(_WIDTH - _MARGIN, top - 6 * mm, RESEARCH_USE)
    canvas.setFont(_SANS, _TEXT)
    canvas.setFillGray(_SOFT)
    lines = [_printable(line) for line in patient] or ["The patient's identity is left out of this page on purpose."]
    for number, line in enumerate(lines):
        canvas.drawRightString(_WIDTH - _MARGIN, top - 11 * mm - number * _LINE, line)
    top -= 14 * mm + max(len(lines) - 1, 0) * _LINE
    canvas.setStrokeGray(_RULE)
    canvas.line(_MARGIN, top, _WIDTH - _MARGIN, top)
    return float(top)


def _picture(canvas: Canvas, result: Result, top: float, bottom: float) -> None:
    """Both views, as large as the left column holds."""
    picture = overlay(result)
    scale = min(_PICTURE_WIDTH / picture.width, (top - bottom - 2 * mm) / picture.height)
    width, height = picture.width * scale, picture.height * scale
    left = _MARGIN + (_PICTURE_WIDTH - width) / 2
    canvas.drawImage(ImageReader(picture.convert("RGB")), left, top - 2 * mm - height, width, height)


def _facts(column: _Column, result: Result) -> None:
    study = result.study
    column.heading("Study")
    column.pair("study", study.key)
    column.pair("acquired", (study.acquired or "not stated").replace("T", " "))
    rows, cols = study.shape
    column.pair("matrix", f"{rows} × {cols} pixels")
    spacing = study.spacing
    stated = "not known: areas in pixels" if spacing is None else f"{spacing.row_mm:.3g} × {spacing.col_mm:.3g} mm"
    column.pair("spacing", stated)
    column.pair("views by", study.view_source)
    column.pair("looked at", result.region)
    column.heading("Found by")
    if result.reader is not None:
        column.pair("reader", result.reader)
    column.pair("model", f"{result.model.name} ({result.model.sha256[:16]})")
    column.pair("software", f"bonescan {__version__}")


def _burden(column: _Column, result: Result) -> None:
    column.heading("Burden")
    for view, burden in result.burden.items():
        if burden.lesions == 0:
            column.pair(view.value, "no lesion")
            continue
        area = f"{burden.area_px} px" if burden.area_mm2 is None else f"{burden.area_mm2 / 100:.1f} cm²"
        share = "" if burden.skeleton_share is None else f", {burden.skeleton_share:.1%} of the skeleton"
        plural = "s" if burden.lesions > 1 else ""
        column.pair(view.value, f"{burden.lesions} lesion{plural}, {area}{share}")


def _table(column: _Column, result: Result, below: float) -> None:
    """The lesions, the largest where they do not all fit. below: points to leave free under the table."""
    column.heading("Lesions")
    if not result.lesions:
        column.line("No lesion was outlined. That does not exclude one.")
        return
    column.top -= _ROW
    _row(column, [name for name, _ in _COLUMNS], _SOFT)
    room = int((column.top - column.bottom - below - 9 * mm) / _ROW)
    shown = sorted(result.lesions, key=lambda lesion: -lesion.measures.area_px)[: max(room, 1)]
    for lesion in sorted(shown, key=lambda lesion: lesion.id):
        column.top -= _ROW
        _row(column, _cells(lesion), _INK)
    hidden = len(result.lesions) - len(shown)
    if hidden:
        column.line(f"and {hidden} smaller ones: see lesions.json", _SOFT)


def _row(column: _Column, cells: Sequence[str], grey: float) -> None:
    column.canvas.setFont(_SANS, _SMALL)
    column.canvas.setFillGray(grey)
    left = column.left
    for number, (text, (_, width)) in enumerate(zip(cells, _COLUMNS, strict=True)):
        if number < 4:
            column.canvas.drawString(left, column.top, text)
        else:
            column.canvas.drawRightString(left + width * mm - 1, column.top, text)
        left += width * mm


def _cells(lesion: Lesion) -> list[str]:
    measures = lesion.measures
    region = _SHORT_REGIONS.get(lesion.region, lesion.region.value)
    return [
        str(lesion.id),
        "ant" if lesion.view is View.ANTERIOR else "post",
        _NONE if lesion.region is Region.BACKGROUND else region,
        _NONE if lesion.side is Side.MIDLINE else lesion.side.value,
        f"{measures.area_px} px" if measures.area_mm2 is None else f"{measures.area_mm2:.0f} mm²",
        f"{measures.counts_max:.0f}",
        _NONE if measures.contrast is None else f"{measures.contrast:.1f}",
        _NONE if lesion.probability is None else f"{lesion.probability:.2f}",
    ]


def _warning_lines(column: _Column, result: Result) -> list[str]:
    lines = []
    for warning in result.warnings[:_MOST_WARNINGS]:
        lines += _broken(_printable(f"• {warning}"), column.right - column.left, _TEXT)
    if len(result.warnings) > _MOST_WARNINGS:
        lines.append(f"and {len(result.warnings) - _MOST_WARNINGS} more in lesions.json")
    return lines


def _warnings(column: _Column, lines: Sequence[str]) -> None:
    if lines:
        column.heading("Remarks")
    for line in lines:
        column.line(line)


def _foot(canvas: Canvas, result: Result) -> None:
    """How to read the page, and what it is not."""
    said = [
        "Outlined by software on planar counts. Area and counts are of the outlined pixels; max: counts of the hottest "
        "pixel; contrast: mean counts over those of the bone around; p: the model's mean probability.",
        "A lesion that both views show is outlined, and counted, in each. This is no medical device and no basis for a "
        "diagnosis.",
    ]
    top = _MARGIN + _FOOTER - 5 * mm
    canvas.setStrokeGray(_RULE)
    canvas.line(_MARGIN, top + 3.4 * mm, _WIDTH - _MARGIN, top + 3.4 * mm)
    canvas.setFont(_SANS, _SMALL)
    canvas.setFillGray(_SOFT)
    for text in said:
        for line in _broken(text, _WIDTH - 2 * _MARGIN, _SMALL):
            canvas.drawString(_MARGIN, top, line)
            top -= 3.1 * mm
