"""The page of an adaptation: both free-response curves, the figures, and the scans whose marks changed most.

Scans are named by number. The list of files and numbers stays with the department.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bonescan.adapt.judgement import CRITERION, Curve, Verdict, shared_rates, too_few
from bonescan.lesions.delineate import Outline
from bonescan.prepare.aggregate import mirror
from bonescan.report.ink import Sheet, font
from bonescan.report.overlay import INK, bone_window
from bonescan.report.words import RESEARCH_USE
from bonescan.study import View

PAGE, PICTURE = "page.html", "page.png"
_MOST_SCANS = 4
_PANEL_HEIGHT = 900
_GAP, _TITLE = 16, 40
_CURVE = (1000, 640)
_CURVE_MARGIN = (110, 30, 60, 90)
"""Left, top, right and bottom of the axes."""
_SHOWN_WIDTH = 1068
"""Pixels of the page's column: wider pictures are shown smaller."""
_INK_WIDTH = 2.6
"""Width of the outlines in the page, in pixels."""
_MOST_RATE = 4.0
_BEFORE = (130, 130, 130)
_FINER = 2
_LETTERS = 88
"""Most letters of a line of text in the picture of the page."""

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{padding:.3em .8em;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%;height:auto}
.alert{border:1px solid #c0392b;background:#fdf0ee;padding:.6em 1em;border-radius:6px}
@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#e6e6e6}.alert{color:#222}}
"""


@dataclass(frozen=True, slots=True, eq=False)
class PagedScan:
    """One held-out scan: counts (2, rows, cols), the posterior mirrored; the outlines of both models, as acquired."""

    number: int
    counts: NDArray[np.uint16]
    before: tuple[Outline, ...]
    after: tuple[Outline, ...]

    @property
    def change(self) -> int:
        """By how much the number of marks changed."""
        return abs(len(self.before) - len(self.after))


def write_page(
    folder: Path, name: str, scans: Sequence[PagedScan], verdicts: tuple[Verdict, Verdict], worse: str | None
) -> Path:
    """Write the page as one self-contained HTML file and as one PNG; return the path of the HTML file."""
    shown = sorted(scans, key=lambda scan: (-scan.change, scan.number))[:_MOST_SCANS]
    curve = draw_curves(verdicts[0].found, verdicts[1].found)
    pictures = [draw_scan(scan) for scan in shown]
    (folder / PAGE).write_text(_page(name, shown, (curve, *pictures), verdicts, worse), encoding="utf-8")
    _sheet(name, curve, pictures, verdicts, worse).save(folder / PICTURE, format="PNG", optimize=True)
    return folder / PAGE


def rows_of(verdicts: tuple[Verdict, Verdict]) -> list[tuple[str, str, str]]:
    """The table: what, before, after."""
    before, after = verdicts
    rows = [("marks per scan without lesions", f"{before.marks_per_scan:.2f}", f"{after.marks_per_scan:.2f}")]
    for title, pick in (("inserted lesions", "found"), ("simulated patients' lesions", "phantoms")):
        curves: list[Curve] = [getattr(verdict, pick) for verdict in verdicts]
        for rate in shared_rates(*curves):
            first, second = (f"{curve.at(rate):.0%}" for curve in curves)
            rows.append((f"{title} found at {rate:.2g} false positives per scan", first, second))
    return rows


def draw_scan(scan: PagedScan) -> Image.Image:
    """Both views with the marks before, then both with the marks after, each with the patient's sides."""
    rows, cols = scan.counts.shape[1:]
    zoom = _PANEL_HEIGHT / rows
    width = round(cols * zoom)
    across = 4 * width + 3 * _GAP
    enlarged = max(1.0, across / _SHOWN_WIDTH)
    title = round(_TITLE * enlarged)
    sheet = Sheet((across, _PANEL_HEIGHT + title), INK)
    for number, (when, outlines) in enumerate((("before", scan.before), ("after", scan.after))):
        for channel, view in enumerate(View):
            left = (2 * number + channel) * (width + _GAP)
            counts = scan.counts[channel].astype(np.float32)
            counts = counts if view is View.ANTERIOR else mirror(counts)
            darkness = np.clip(counts / np.float32(bone_window(counts)), 0, 1)
            grey = Image.fromarray(np.rint(255 - 255 * darkness).astype(np.uint8))
            sheet.paste(grey.resize((width, _PANEL_HEIGHT), Image.Resampling.BICUBIC), (left, title))
            own = [outline for outline in outlines if outline.view is view]
            for outline in own:
                points = (outline.contour[:, ::-1] + 0.5) * zoom + (left, title)
                sheet.ink_line(points, _INK_WIDTH * enlarged)
            said = f"{view}, {when}: {len(own)} mark{'s' * (len(own) != 1)}"
            sheet.text((left + width / 2, title - 14 * enlarged), said, 18 * enlarged, anchor="ms")
            # On the left edge: the patient's right in the anterior view, the patient's left in the posterior view.
            sides = ("R", "L") if view is View.ANTERIOR else ("L", "R")
            for side, x in zip(sides, (left + 16 * enlarged, left + width - 16 * enlarged), strict=True):
                sheet.text((x, title + 24 * enlarged), side, 26 * enlarged, anchor="ms", grey=0)
    return sheet.picture()


def draw_curves(before: Curve, after: Curve) -> Image.Image:
    """The free-response curves of inserted lesions, with the titles of both axes."""
    size = (_CURVE[0] * _FINER, _CURVE[1] * _FINER)
    picture = Image.new("RGB", size, (255, 255, 255))
    pen = ImageDraw.Draw(picture)
    left, top, right, bottom = (value * _FINER for value in _CURVE_MARGIN)
    box = (left, top, size[0] - right, size[1] - bottom)

    def place(rate: float, sensitivity: float) -> tuple[float, float]:
        return (box[0] + (box[2] - box[0]) * rate / _MOST_RATE, box[3] - (box[3] - box[1]) * sensitivity)

    small = font(20 * _FINER)
    for tenth in range(0, 11, 2):
        y = place(0, tenth / 10)[1]
        pen.line((box[0], y, box[2], y), fill=(225, 225, 225), width=_FINER)
        pen.text((box[0] - 10 * _FINER, y), f"{tenth / 10:g}", fill=(60, 60, 60), font=small, anchor="rm")
    for rate in range(int(_MOST_RATE) + 1):
        x = place(rate, 0)[0]
        pen.line((x, box[3], x, box[3] + 6 * _FINER), fill=(60, 60, 60), width=_FINER)
        pen.text((x, box[3] + 12 * _FINER), str(rate), fill=(60, 60, 60), font=small, anchor="mt")
    for curve, colour, title, height in ((before, _BEFORE, "before", 0.12), (after, INK, "after", 0.05)):
        points = _steps(curve)
        pen.line([place(*point) for point in points], fill=colour, width=4 * _FINER, joint="curve")
        x, y = place(3.0, height)
        pen.line((x, y, x + 60 * _FINER, y), fill=colour, width=4 * _FINER)
        pen.text((x + 72 * _FINER, y), title, fill=(40, 40, 40), font=small, anchor="lm")
    pen.text(
        ((box[0] + box[2]) / 2, size[1] - 20 * _FINER),
        "false positives per scan",
        fill=(40, 40, 40),
        font=small,
        anchor="ms",
    )
    _write_upwards(picture, (34 * _FINER, (box[1] + box[3]) // 2), f"share found of {before.lesions} inserted lesions")
    return picture.reduce(_FINER)


def _write_upwards(picture: Image.Image, middle: tuple[int, int], text: str) -> None:
    """Write a line of text from bottom to top around a point (x, y)."""
    small = font(20 * _FINER)
    line = Image.new("RGB", (round(small.getlength(text)) + 2, 28 * _FINER), (255, 255, 255))
    ImageDraw.Draw(line).text((line.width / 2, line.height / 2), text, fill=(40, 40, 40), font=small, anchor="mm")
    turned = line.transpose(Image.Transpose.ROTATE_90)
    picture.paste(turned, (middle[0] - turned.width // 2, middle[1] - turned.height // 2))


def _steps(curve: Curve) -> list[tuple[float, float]]:
    points = [(point.false_per_scan, point.sensitivity) for point in curve.points if point.false_per_scan <= _MOST_RATE]
    return [*points, (_MOST_RATE, curve.at(_MOST_RATE))]


def _sheet(
    name: str,
    curve: Image.Image,
    pictures: Sequence[Image.Image],
    verdicts: tuple[Verdict, Verdict],
    worse: str | None,
) -> Image.Image:
    """All of the page as one picture."""
    lines = [f"{what}: {before} before, {after} after" for what, before, after in rows_of(verdicts)]
    said = [sentence for sentence in (f"Refused: {worse}." if worse else None, _caution(verdicts)) if sentence]
    lines = [f"{name}: before and after", RESEARCH_USE, *said, *lines, *wrap(CRITERION, _LETTERS)]
    width = max([curve.width, *(picture.width for picture in pictures)]) + 2 * _GAP
    text_height = 34 * len(lines) + 2 * _GAP
    height = text_height + curve.height + sum(picture.height + _GAP for picture in pictures) + _GAP
    sheet = Image.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        size = 30 if number == 0 else 22
        pen.text((_GAP, _GAP + 34 * number), line, fill=(30, 30, 30), font=font(size))
    y = text_height
    for picture in (curve, *pictures):
        sheet.paste(picture.convert("RGB"), ((width - picture.width) // 2, y))
        y += picture.height + _GAP
    return sheet


def _page(
    name: str,
    shown: Sequence[PagedScan],
    pictures: Sequence[Image.Image],
    verdicts: tuple[Verdict, Verdict],
    worse: str | None,
) -> str:
    rows = "".join(f"<tr><td>{what}</td><td>{a}</td><td>{b}</td></tr>" for what, a, b in rows_of(verdicts))
    scans = "".join(
        f"<h2>Scan {scan.number}: {len(scan.before)} marks before, {len(scan.after)} after</h2>"
        + _img(picture, f"both views of scan {scan.number} with the marks before and after")
        for scan, picture in zip(shown, pictures[1:], strict=True)
    )
    alerts = [f"Refused: {html.escape(worse)}."] if worse else []
    alerts += [caution] if (caution := _caution(verdicts)) else []
    said = "".join(f'<p class="alert">{alert}</p>' for alert in alerts)
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{html.escape(name)}: before and after</title><style>{_STYLE}</style></head><body>
<h1>{html.escape(name)}: before and after</h1><p>{RESEARCH_USE}.</p>{said}
<p>Measured on {len(verdicts[0].marks)} scans of patients that the model did not learn from. Lesions were inserted into
them, so these figures do not say how many true lesions a model finds. The thresholds of the adapted model were fitted
on the same scans and on simulated patients. {CRITERION}</p>
<table><tr><th></th><th>before</th><th>after</th></tr>{rows}</table>
<h2>Inserted lesions that are found</h2>
{_img(pictures[0], "free-response curves before and after")}{scans}</body></html>
"""


def _caution(verdicts: tuple[Verdict, Verdict]) -> str | None:
    """What the number of held-out scans limits, as a sentence."""
    few = too_few(len(verdicts[0].marks))
    return None if few is None else f"{few}."


def _img(picture: Image.Image, what: str) -> str:
    buffer = BytesIO()
    # A sheet has a palette of its own, which keeps the colour of the outlines.
    (picture if picture.mode == "P" else picture.quantize(128)).save(buffer, format="PNG", optimize=True)
    return f'<img alt="{what}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
