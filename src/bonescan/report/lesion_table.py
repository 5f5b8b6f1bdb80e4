"""The lesions of a result as a table that fills a box of a page, however many there are."""

from __future__ import annotations

from itertools import pairwise

from bonescan.assess.site import bone_words
from bonescan.report.blocks import HAIR, INK, SOFT, Columns, heading
from bonescan.report.paper import Box, Paper, Style
from bonescan.report.words import counted
from bonescan.study import Lesion, Region, Result, Side, View

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
_MOST_TYPE = 6.9
_WHOLE_COUNTS = 1000.0
"""From this value on, counts are shown without decimals, which would tell nothing and not fit the column."""
_HEAD_ROWS = 2.4
_VIEW_ROWS = 1.7
"""Height of the headings, and of the line of each view, in rows."""


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
