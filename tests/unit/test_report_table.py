"""The table, as text and for a terminal."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO, StringIO

import pytest
from pypdf import PdfReader
from rich.console import Console

from bonescan.report.page import page
from bonescan.report.table import HEADINGS, table, table_text
from bonescan.report.words import COLUMNS, counted
from bonescan.study import View


def test_the_text_has_a_line_for_each_lesion_and_each_view(result):
    lines = table_text(result).splitlines()
    assert lines[0] == "scan-1: 4 lesions in 5 outlines"
    assert lines[1].split() == list(HEADINGS)
    first = result.lesions[0]
    assert lines[2].split()[:6] == ["1", "1", "anterior", "rib", "2", "\u00b11"]
    assert f"{first.measures.area_mm2:.0f} mm\u00b2" in lines[2]
    front = result.burden[View.ANTERIOR]
    share = f"{front.skeleton_share:.2%} of the skeleton"
    assert lines[8] == f"anterior: 2 outlines, {front.area_mm2:.0f} mm\u00b2, {share}"
    assert lines[9].startswith("posterior: 3 outlines")
    assert lines[10].startswith("both views: 4 lesions; positive area ")
    assert lines[11:] == ["Research use only - not for diagnosis"]


def test_a_line_below_the_table_says_what_the_columns_are_as_the_page_does(result):
    lines = table_text(result).splitlines()
    assert lines[7] == COLUMNS
    for column in ("area", "max", "mean", "contrast", "mirror", "p"):
        assert column in HEADINGS
        assert f"{column}: " in COLUMNS.lower() or column == "area"
    assert COLUMNS in " ".join(PdfReader(BytesIO(page(result))).pages[0].extract_text().split())


def test_the_first_line_says_the_operating_point_and_the_reader(result):
    sensitive = table_text(replace(result, operating_point="sensitive")).splitlines()[0]
    assert sensitive == "scan-1: 4 lesions in 5 outlines; operating point sensitive"
    read = table_text(replace(result, reader="Ada Lovelace")).splitlines()[0]
    assert read == "scan-1: 4 lesions in 5 outlines by the reader Ada Lovelace"


def test_a_scan_without_lesions_says_so(make_result):
    lines = table_text(make_result(lesions={}, views=(View.ANTERIOR,))).splitlines()
    assert lines == [
        "scan-1: no lesion outlined",
        "anterior: 0 outlines, 0 mm\u00b2, 0.00% of the skeleton",
        "both views: 0 lesions; positive area 0.00 % of the skeleton; bone scan index 0.00 %, partial: 55% of the mass "
        "was seen; extent of disease grade 0 (no lesion)",
        "Research use only - not for diagnosis",
    ]


def test_a_small_share_of_the_skeleton_is_not_shown_as_none(result):
    """A lesion of 4 pixels in a skeleton of 20,000 is 0.02 %, which one decimal would show as nothing."""
    small = replace(result.burden[View.ANTERIOR], area_px=4, skeleton_px=20_000, skeleton_share=4 / 20_000)
    text = table_text(replace(result, burden={**result.burden, View.ANTERIOR: small}))
    assert "0.02% of the skeleton" in text


def test_without_spacing_areas_are_pixels(make_result):
    text = table_text(make_result(spacing=None))
    assert "mm" not in text
    assert f"{make_result(spacing=None).lesions[0].measures.area_px} px" in text


def test_the_terminal_table_says_the_same(result):
    out = StringIO()
    Console(file=out, width=120).print(table(result))
    shown = out.getvalue()
    for line in table_text(result).splitlines():
        for word in line.split():
            assert word in shown


def test_markup_in_a_name_is_shown_as_it_is(make_result):
    out = StringIO()
    Console(file=out, width=120).print(table(make_result(key="scan[red]")))
    assert "scan[red]" in out.getvalue()


@pytest.mark.parametrize(
    ("number", "word", "said"),
    [(1, "day", "1 day"), (2, "day", "2 days"), (0, "study", "0 studies"), (3, "job", "3 jobs")],
)
def test_numbers_have_the_right_plural(number, word, said):
    assert counted(number, word) == said
