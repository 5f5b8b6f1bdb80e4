"""Old and new scan side by side, view by view, at one window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from bonescan.report.ink import font, wide_font
from bonescan.report.overlay import RESEARCH_USE, WARNING_LINE, WARNING_SIZE, bone_window, panels, warning_lines
from bonescan.serial.compared import LEGEND, Compared, acquired
from bonescan.study import View

_SHRINK = 0.6
"""Panels are drawn for half a page's width each, and shown four in a row, their numbers larger."""
_NUMBER = 46
_MARGIN, _GAP, _HEADER, _LEGEND_LINE = 40, 24, 90, 36


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
