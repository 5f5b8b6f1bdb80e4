"""The table of a result for a terminal, and the same as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bonescan.assess.burden import extent_words
from bonescan.assess.site import bone_words
from bonescan.report.words import COLUMNS, RESEARCH_USE, counted, found
from bonescan.study import Lesion, Region, Result, Side

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = ("#", "pair", "view", "site", "side", "area", "max", "mean", "contrast", "mirror", "p")
"""Number, number of the pair of outlines that show one lesion, view, bone or level, the patient's side, area, counts of
the hottest pixel, counts per pixel, contrast to the bone around and to the mirrored bone, mean probability."""
_TO_THE_RIGHT = frozenset({"#", "pair", "area", "max", "mean", "contrast", "mirror", "p"})
_NONE = "-"


def table(result: Result) -> Table:
    """The outlines as a `rich` table; the caption says what the columns are and the burden. Needs the package rich."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, title=Text(title_line(result)), title_justify="left", pad_edge=False)
    made.caption, made.caption_justify = Text("\n".join(summary_lines(result))), "left"
    for heading in HEADINGS:
        made.add_column(heading, justify="right" if heading in _TO_THE_RIGHT else "left", no_wrap=True)
    for lesion in result.lesions:
        made.add_row(*_cells(lesion))
    return made


def table_text(result: Result) -> str:
    """The same as plain text, ending with a new line."""
    lines = [title_line(result)]
    if result.lesions:
        rows = [HEADINGS, *(_cells(lesion) for lesion in result.lesions)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["  ".join(map(_justify, HEADINGS, row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, *summary_lines(result)]) + "\n"


def title_line(result: Result) -> str:
    """How many lesions and outlines, in which study, and at which operating point of the model."""
    point = "" if result.operating_point is None else f"; operating point {result.operating_point}"
    return f"{result.study.key}: {found(result)}{point}"


def summary_lines(result: Result) -> list[str]:
    """What the columns are, the burden of each view and of the patient, and what the result may be used for."""
    lines = [COLUMNS] if result.lesions else []
    for view, burden in result.burden.items():
        area = f"{burden.area_px} px" if burden.area_mm2 is None else f"{burden.area_mm2:.0f} mm\u00b2"
        share = "" if burden.skeleton_share is None else f", {burden.skeleton_share:.2%} of the skeleton"
        # A view's burden counts outlines: a lesion that both views show is in both.
        lines.append(f"{view}: {counted(burden.lesions, 'outline')}, {area}{share}")
    if result.extent is not None:
        lines.append(f"both views: {'; '.join(extent_words(result.extent))}")
    return [*lines, RESEARCH_USE]


def site_cell(lesion: Lesion) -> str:
    """The vertebra or rib with its uncertainty, else the bone."""
    return _NONE if lesion.region is Region.BACKGROUND else bone_words(lesion)


def _justify(heading: str, cell: str, width: int) -> str:
    return cell.rjust(width) if heading in _TO_THE_RIGHT else cell.ljust(width)


def _cells(lesion: Lesion) -> tuple[str, ...]:
    measures = lesion.measures
    area = f"{measures.area_px} px" if measures.area_mm2 is None else f"{measures.area_mm2:.0f} mm\u00b2"
    side = _NONE if lesion.side is Side.MIDLINE else lesion.side.value
    return (
        str(lesion.id),
        _NONE if lesion.pair is None else str(lesion.pair),
        lesion.view.value,
        site_cell(lesion),
        side,
        area,
        f"{measures.counts_max:.0f}",
        f"{measures.counts_mean:.1f}",
        _NONE if measures.contrast is None else f"{measures.contrast:.1f}",
        _NONE if measures.contrast_mirror is None else f"{measures.contrast_mirror:.1f}",
        _NONE if lesion.probability is None else f"{lesion.probability:.2f}",
    )
