"""The picture of a result: both views in inverted grey, with a curve and a number for each lesion.

The picture does not name the patient, nor the study, whose name comes from a file's name. On request, a strip at the
top names the patient. All warnings are in a box at the lower edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bonescan.prepare.aggregate import window_in_view
from bonescan.prepare.normalise import body_mask
from bonescan.report import letters
from bonescan.report.ink import Sheet, patient_text_width, text_width
from bonescan.report.placement import Field, place_numbers
from bonescan.report.words import RESEARCH_USE, Fields, area_words, lesions_counted, model_words
from bonescan.study import FloatImage, Lesion, Result, Spacing, View

INK = (226, 44, 20)
"""Vermilion, which is visible on black, grey and white."""

_PANEL_HEIGHT = 1900
_MOST_ZOOM = 3.0
_LEAST_PANEL_WIDTH = 420
_MARGIN, _GAP, _HEADER, _FOOTER = 48, 36, 92, 150
_PATIENT_SIZE, _PATIENT_LINE, _PATIENT_GAP = 25, 36, 36
"""The strip that names the patient: size of type, distance of lines, and gap between two fields; sheet pixels."""
WARNING_SIZE, WARNING_LINE, _WARNING_PADDING = 23, 32, 16
_FINDINGS_SIZE, _USE_SIZE, _NOTE_SIZE, _NOTE_LINE = 27, 25, 21, 30
"""Sizes of type in the footer, and the distance of lines that say who made the result."""
_BODY_MARGIN_ROWS = 14
_WINDOW_PERCENTILE, _WINDOW_HEADROOM = 95.0, 1.8
"""Black is this percentile over the body times the headroom; a full bladder, 2 % of the body, changes it little."""
_NUMBER_SIZE, _NUMBER_SIZE_IN_PANELS, _LINE_WIDTH = 27, 36, 2.4
"""A page shows the views at half the size of a screen, so that its lesion numbers are drawn larger."""
_LEADER_WIDTH, _SHORTEST_LEADER = 1.4, 7.0
_NUMBER_PADDING = 6
_FAINT, _SOFT = 205, 110
_LOG_STEPS = 30.0
_COMPRESSION = 1
"""PNG's lowest compression: a third larger than with the highest, and ten times as fast."""
_SCALE_BARS_MM = (200, 100, 50, 20, 10, 5)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How frames lie on the sheet.

    rows: those of the frame that are shown. zoom: sheet pixels per frame pixel, (down, across).
    panel: (width, height) of a panel in sheet pixels; indent: from the panel's left edge to the frame.
    header: from the sheet's upper edge to the panels. number: the height of the lesions' numbers.
    notes: the lines below the intended use. warnings: those of the box at the lower edge.
    logarithmic: whether grey follows the logarithm of the counts.
    windows: the counts per pixel of each view that are drawn black. names: as in `panels`.
    """

    rows: slice
    cols: int
    zoom: tuple[float, float]
    panel: tuple[int, int]
    indent: int
    windows: Mapping[View, float]
    header: int = _HEADER
    number: int = _NUMBER_SIZE
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    logarithmic: bool = False
    names: Mapping[int, str] = field(default_factory=dict)

    def corner(self, view: View) -> tuple[int, int]:
        """The panel's upper left corner, (x, y)."""
        return _MARGIN + list(View).index(view) * (self.panel[0] + _GAP), self.header

    def to_sheet(self, points: NDArray[np.float64], view: View) -> NDArray[np.float64]:
        """(n, 2) of (row, col) in the frame to (n, 2) of (x, y) on the sheet."""
        left, top = self.corner(view)
        down, across = self.zoom
        x = left + self.indent + (points[:, 1] + 0.5) * across
        y = top + (points[:, 0] - self.rows.start + 0.5) * down
        return np.stack([x, y], axis=1)

    def name(self, lesion: Lesion) -> str:
        """What is written beside the curve."""
        return self.names.get(lesion.id, str(lesion.id))

    @property
    def bottom(self) -> int:
        """The y at which the footer ends."""
        return self.header + self.panel[1] + _FOOTER + _NOTE_LINE * len(self.notes)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the sheet."""
        box = WARNING_LINE * len(self.warnings) + 2 * _WARNING_PADDING if self.warnings else 0
        return 2 * _MARGIN + 2 * self.panel[0] + _GAP, self.bottom + box


@dataclass(frozen=True, slots=True, eq=False)
class Panels:
    """The views alone, for a page that has its own titles. All pictures have one size.

    windows: the counts per pixel that are shown black. pixels_per_mm: of the pictures, None without spacing.
    zoom: pixels of the pictures per column of the frame.
    """

    pictures: Mapping[View, Image.Image]
    windows: Mapping[View, float]
    pixels_per_mm: float | None
    zoom: float


def overlay(result: Result, patient: Fields = ()) -> Image.Image:
    """Draw a result as a palette picture ("P"); a view that was not acquired is an empty panel that says so.

    patient: fields that name the patient, for a strip at the top; () leaves the strip out.
    """
    layout = _layout(result)
    width = layout.size[0] - 2 * _MARGIN
    lines, notes = _patient_strip(patient, width), _notes(result, width)
    warnings = warning_lines(result.warnings, width - 2 * _WARNING_PADDING)
    layout = replace(layout, header=_HEADER + _PATIENT_LINE * len(lines), notes=notes, warnings=warnings)
    sheet = Sheet(layout.size, INK)
    for number, line in enumerate(lines):
        sheet.patient_text((_MARGIN, _MARGIN + number * _PATIENT_LINE), line, _PATIENT_SIZE)
    for view in View:
        _draw_titles(sheet, layout, view)
    _draw_views(sheet, layout, result)
    _draw_captions(sheet, layout)
    _draw_footer(sheet, layout, result)
    _draw_warnings(sheet, layout)
    return sheet.picture()


def panels(
    result: Result,
    logarithmic: bool = False,
    windows: Mapping[View, float] | None = None,
    names: Mapping[int, str] | None = None,
    number: int = _NUMBER_SIZE_IN_PANELS,
) -> Panels:
    """Draw both views with their curves and numbers, without titles and captions.

    logarithmic: grey follows the logarithm of the counts, so that faint and hot bones are both visible.
    windows: the counts per pixel that are drawn black, where they are not those of `bone_window`.
    names: what is written beside the curve of a lesion instead of its id, by id. number: its height in pixels.
    """
    layout = replace(_layout(result), number=number, logarithmic=logarithmic)
    layout = replace(layout, windows={**layout.windows, **(windows or {})}, names=names or {})
    sheet = Sheet(layout.size, INK)
    _draw_views(sheet, layout, result)
    picture, (width, height) = sheet.picture(), layout.panel
    corners = {view: layout.corner(view) for view in View}
    study = result.study
    return Panels(
        pictures={view: picture.crop((x, y, x + width, y + height)) for view, (x, y) in corners.items()},
        windows=layout.windows,
        pixels_per_mm=None if study.spacing is None else layout.zoom[1] / study.spacing.col_mm,
        zoom=layout.zoom[1],
    )


def write_overlay(result: Result, path: Path, patient: Fields = ()) -> None:
    """Write the picture as PNG to `path`; patient: as in `overlay`."""
    said = png_text(result.warnings)
    overlay(result, patient).save(path, format="PNG", compress_level=_COMPRESSION, pnginfo=said)


def png_text(warnings: Sequence[str]) -> PngInfo:
    """Text chunks for a PNG: what it may be used for (keyword Comment), and each warning (keyword Warning)."""
    said = PngInfo()
    said.add_text("Comment", RESEARCH_USE)
    for warning in warnings:
        said.add_itxt("Warning", warning)
    return said


def _patient_strip(patient: Fields, width: float) -> list[str]:
    """The fields in lines of at most `width` pixels; only a field that is longer than a line is broken."""
    if not patient:
        return []
    parts = [letters.drawable(f"{label}: {value}") for label, value in patient]
    if any(letters.has_unknown(value) for _, value in patient):
        parts.append(letters.UNKNOWN_NOTE)
    lines: list[str] = []
    gap = " " * round(_PATIENT_GAP / patient_text_width(" ", _PATIENT_SIZE))
    for part in parts:
        if lines and patient_text_width(lines[-1] + gap + part, _PATIENT_SIZE) <= width:
            lines[-1] += gap + part
        else:
            lines += letters.pieces(part, width, partial(patient_text_width, size=_PATIENT_SIZE))
    return lines


def _notes(result: Result, width: float) -> tuple[str, ...]:
    """Who made the result, in lines of at most `width` pixels; () where it fits beside the intended use."""
    said = model_words(result)
    beside = text_width(RESEARCH_USE, _USE_SIZE) + _GAP + text_width(said, _NOTE_SIZE)
    if result.reader is None and result.model.name.isascii() and beside <= width:
        return ()
    if result.reader is not None:
        said = f"curves drawn or corrected by {result.reader}; bones told apart by {said}"
    return tuple(letters.broken(letters.drawable(said), width, partial(patient_text_width, size=_NOTE_SIZE)))


def _layout(result: Result) -> _Layout:
    """Show the body's rows and all columns, as large as the panel's height allows, in their true proportions."""
    study = result.study
    height, width = study.shape
    shown = np.zeros(height, dtype=np.bool_)
    for scan in study.scans.values():
        shown |= body_mask(scan.counts).any(axis=1)
    for lesion in result.lesions:
        shown[lesion.window[0]] = True
    found = np.flatnonzero(shown)
    first, last = (int(found[0]), int(found[-1])) if found.size else (0, height - 1)
    rows = slice(max(first - _BODY_MARGIN_ROWS, 0), min(last + 1 + _BODY_MARGIN_ROWS, height))
    proportion = 1.0 if study.spacing is None else study.spacing.row_mm / study.spacing.col_mm
    across = min(_PANEL_HEIGHT / ((rows.stop - rows.start) * proportion), _MOST_ZOOM)
    panel = (max(round(width * across), _LEAST_PANEL_WIDTH), round((rows.stop - rows.start) * across * proportion))
    indent = (panel[0] - round(width * across)) // 2
    windows = {view: bone_window(scan.counts) for view, scan in study.scans.items()}
    return _Layout(rows, width, (across * proportion, across), panel, indent, windows)


def _draw_titles(sheet: Sheet, layout: _Layout, view: View) -> None:
    left, top = layout.corner(view)
    width, height = layout.panel
    sheet.rectangle((left - 1, top - 1, left + width, top + height), grey=_FAINT)
    sheet.text((left + width / 2, top - 22), view.value.upper(), 34, anchor="ms")
    # On the left edge: the patient's right in the anterior view, the patient's left in the posterior view.
    sides = ("R", "L") if view is View.ANTERIOR else ("L", "R")
    sheet.text((left + 26, top - 22), sides[0], 38, anchor="ms")
    sheet.text((left + width - 26, top - 22), sides[1], 38, anchor="ms")


def _draw_views(sheet: Sheet, layout: _Layout, result: Result) -> None:
    for view in View:
        if view in result.study.scans:
            _draw_view(sheet, layout, view, result)
        else:
            _draw_missing(sheet, layout, view)


def _draw_captions(sheet: Sheet, layout: _Layout) -> None:
    for view, upper in layout.windows.items():
        left, top = layout.corner(view)
        place = left + layout.panel[0] / 2, top + layout.panel[1] + 26
        sheet.text(place, grey_scale(upper), 19, anchor="ms", grey=_SOFT)


def grey_scale(upper: float) -> str:
    """The caption of a view whose black is `upper` counts per pixel."""
    return f"grey scale 0 to {upper:.3g} counts per pixel"


def _draw_missing(sheet: Sheet, layout: _Layout, view: View) -> None:
    left, top = layout.corner(view)
    width, height = layout.panel
    sheet.rectangle((left - 1, top - 1, left + width, top + height), grey=_FAINT, fill=246)
    sheet.text((left + width / 2, top + height / 2), "not given", 32, anchor="mm", grey=_SOFT)


def _draw_view(sheet: Sheet, layout: _Layout, view: View, result: Result) -> None:
    counts = result.study.counts(view)
    upper = layout.windows[view]
    darkness = _logarithmic(counts, upper) if layout.logarithmic else np.clip(counts / np.float32(upper), 0, 1)
    grey = Image.fromarray(np.rint(255 - 255 * darkness[layout.rows]).astype(np.uint8))
    left, top = layout.corner(view)
    size = (round(layout.cols * layout.zoom[1]), layout.panel[1])
    sheet.paste(grey.resize(size, Image.Resampling.BICUBIC), (left + layout.indent, top))
    _draw_region(sheet, layout, view, result)
    lesions = [lesion for lesion in result.lesions if lesion.view is view]
    for lesion in lesions:
        sheet.ink_line(layout.to_sheet(_rounded(lesion.contour), view), _LINE_WIDTH)
    if lesions:
        down, across = layout.zoom
        field = Field(darkness, result.labels(view) > 0, layout.rows, (layout.cols - 1) / 2, down / across)
        _draw_numbers(sheet, layout, lesions, field)


def _logarithmic(counts: FloatImage, upper: float) -> FloatImage:
    """Darkness, 0..1, by the logarithm of the counts; a thirtieth of the linear window and less is white."""
    white = np.float32(upper / _LOG_STEPS)
    steps = np.log(np.maximum(counts, white) / white)
    return np.asarray(steps / max(float(steps.max()), 1.0), dtype=np.float32)


def bone_window(counts: FloatImage) -> float:
    """The counts per pixel that are shown black: from a percentile over the body, which a hot bladder moves little."""
    inside = counts[body_mask(counts)]
    upper = float(np.percentile(inside, _WINDOW_PERCENTILE)) * _WINDOW_HEADROOM if inside.size else float(counts.max())
    return max(upper, 1.0)


def _draw_region(sheet: Sheet, layout: _Layout, view: View, result: Result) -> None:
    """Draw a thin frame around the analysed window, unless it is the whole frame."""
    rows, cols = window_in_view(result.window, result.study.shape[1], view)
    if (rows.start, rows.stop, cols.start, cols.stop) == (0, result.study.shape[0], 0, result.study.shape[1]):
        return
    corners = np.array([(rows.start - 0.5, cols.start - 0.5), (rows.stop - 0.5, cols.stop - 0.5)])
    (left, top), (right, bottom) = np.rint(layout.to_sheet(corners, view)).astype(int).tolist()
    sheet.rectangle((left, top, right - 1, bottom - 1), grey=150, width=2)


def _rounded(contour: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut the corners twice (Chaikin 1974), for display only: the curve moves by less than a quarter of a pixel."""
    for _ in range(2):
        start, end = contour[:-1], contour[1:]
        contour = np.stack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end], axis=1).reshape(-1, 2)
        contour = np.concatenate([contour, contour[:1]])
    return contour


def _draw_numbers(sheet: Sheet, layout: _Layout, lesions: Sequence[Lesion], field: Field) -> None:
    down, across = layout.zoom
    sizes = [
        (layout.number / down, (text_width(layout.name(lesion), layout.number) + _NUMBER_PADDING) / across)
        for lesion in lesions
    ]
    for lesion, place in zip(lesions, place_numbers(field, lesions, sizes), strict=True):
        leader = layout.to_sheet(place.leader, lesion.view)
        if place.is_doubtful or np.hypot(*(leader[1] - leader[0])) >= _SHORTEST_LEADER:
            sheet.ink_line(leader, _LEADER_WIDTH)
        x, y = layout.to_sheet(np.array([place.centre]), lesion.view)[0].tolist()
        sheet.ink_text((x, y), layout.name(lesion), layout.number)


def _draw_footer(sheet: Sheet, layout: _Layout, result: Result) -> None:
    top = layout.corner(View.ANTERIOR)[1] + layout.panel[1]
    right = layout.size[0] - _MARGIN
    width = _draw_scale(sheet, layout, result.study.spacing, (right, top + 72)) - _GAP / 2 - _MARGIN
    findings = _findings(result)
    size = min(_FINDINGS_SIZE, int(_FINDINGS_SIZE * width / text_width(findings, _FINDINGS_SIZE)))
    sheet.text_with_squares((_MARGIN, top + 72), findings, size)
    sheet.text((_MARGIN, top + 112), RESEARCH_USE, _USE_SIZE)
    if not layout.notes:
        sheet.text((right, top + 112), model_words(result), _NOTE_SIZE, anchor="rs", grey=_SOFT)
    for number, line in enumerate(layout.notes, start=1):
        # Names need a font with more than English letters.
        sheet.patient_text((_MARGIN, top + 116 + number * _NOTE_LINE), line, _NOTE_SIZE)


def _draw_scale(sheet: Sheet, layout: _Layout, spacing: Spacing | None, place: tuple[int, int]) -> float:
    """Draw the scale, or that there is none, up to the right end of a base line; return where it begins."""
    right, base = place
    if spacing is None:
        said = "no scale: pixel spacing unknown"
        sheet.text(place, said, _NOTE_SIZE, anchor="rs", grey=_SOFT)
        return right - text_width(said, _NOTE_SIZE)
    across = layout.zoom[1] / spacing.col_mm
    length = next((bar for bar in _SCALE_BARS_MM if bar * across <= layout.panel[0] / 3), _SCALE_BARS_MM[-1])
    left, middle = right - round(length * across), base - 8
    sheet.text((left - 14, middle), f"{length} mm", _NOTE_SIZE, anchor="rm")
    sheet.rectangle((left, middle - 2, right, middle + 1), grey=30, fill=30)
    for end in (left, right - 2):
        sheet.rectangle((end, middle - 9, end + 2, middle + 8), grey=30, fill=30)
    return left - 14 - text_width(f"{length} mm", _NOTE_SIZE)


def warning_lines(warnings: Sequence[str], width: float) -> tuple[str, ...]:
    """Return all warnings, each in lines of at most `width` pixels; none is cut, as the sheet gets higher instead."""
    said = [f"Warning: {warning}" for warning in warnings]
    measure = partial(patient_text_width, size=WARNING_SIZE)
    return tuple(line for warning in said for line in letters.broken(warning, width, measure))


def _draw_warnings(sheet: Sheet, layout: _Layout) -> None:
    if not layout.warnings:
        return
    top = layout.bottom - _WARNING_PADDING
    bottom = top + WARNING_LINE * len(layout.warnings) + 2 * _WARNING_PADDING - 4
    sheet.rectangle((_MARGIN, top, layout.size[0] - _MARGIN, bottom), grey=30, fill=236, width=3)
    for number, line in enumerate(layout.warnings, start=1):
        # The warnings may quote a file's contents, which need a font with more than English letters.
        place = _MARGIN + _WARNING_PADDING, top + _WARNING_PADDING // 2 + number * WARNING_LINE - 4
        sheet.patient_text(place, line, WARNING_SIZE)


def _findings(result: Result) -> str:
    """One line: how many lesions, and how many outlines of which area in each view (both may show a lesion)."""
    if not result.lesions:
        return "No lesion found"
    parts = []
    for view, burden in result.burden.items():
        parts.append(f"{view} {burden.lesions} ({area_words(burden)})" if burden.lesions else f"{view} none")
    return f"{lesions_counted(result)}: {', '.join(parts)}"
