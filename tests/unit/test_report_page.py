"""The report: one page whatever there is to say, every number of it as text, and nobody named unless asked for."""

from __future__ import annotations

import datetime
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pypdf import PdfReader

from bonescan import __version__
from bonescan.dicom.header import Made, Origin, SourceHeader, patient_fields
from bonescan.report import page as page_module
from bonescan.report.letters import BOLD, SANS
from bonescan.report.overlay import overlay, panels
from bonescan.report.page import _COLUMNS, _LEFT_WIDTH, _MOST_TYPE, _site, page
from bonescan.report.paper import GUTTER, INK, MARGIN, WIDTH_MM, Box, Columns, Paper, Style, broken, text_width
from bonescan.report.words import RESEARCH_USE
from bonescan.study import Burden, Lesion, Level, Measures, QualityCheck, Region, RibPart, Side, View

IDENTITY = {
    "PatientName": "Łukasiewicz^Jadwiga^Ελένη=烏山^花子=からすやま^はなこ",
    "PatientID": "HOSP-00123456",
    "PatientBirthDate": "19560304",
    "PatientSex": "F",
}


def patient(**stated):
    header = SourceHeader({**IDENTITY, **stated}, {"AccessionNumber": "A2026-77", "StudyDate": "20260102"}, ())
    return patient_fields(Origin(header, Made(datetime.datetime(2026, 1, 2), identify=True)))


def text_of(document):
    reader = PdfReader(BytesIO(document))
    assert len(reader.pages) == 1
    return reader.pages[0].extract_text()


def with_lesions(result, count):
    """As many lesions as wanted, each with numbers of its own: the id goes into each."""
    (example, *_) = result.lesions
    lesions = []
    for number in range(1, count + 1):
        view = View.ANTERIOR if number <= count // 2 else View.POSTERIOR
        row, col = divmod(number, 10)
        mask = np.ones((3, 3), dtype=bool)
        corner = (30 + 9 * row, 8 + 11 * col)
        contour = np.array([(-0.5, -0.5), (-0.5, 2.5), (2.5, 2.5), (2.5, -0.5), (-0.5, -0.5)]) + corner
        measures = Measures(9 + number, 1000.0 + number, 5e4, 0.1 + number, 2000.0 + number, 1.5, None)
        lesions.append(Lesion(number, view, contour, corner, mask, 0.5, Region.PELVIS, Side.LEFT, measures))
    assert example.id == 1
    burden = {view: Burden(count // 2, 9 * count, 5000.0, 40000, 0.012) for view in View}
    return replace(result, lesions=tuple(lesions), burden=burden)


def test_it_says_what_it_is_what_it_is_for_and_how_it_came_about(result):
    text = text_of(page(result))
    for said in (
        "Whole-body bone scan",
        RESEARCH_USE,
        "4 lesions in 5 outlines; 2021-05-06",
        "scan-1",
        "2021-05-06",
        "2.4 × 2.4 mm",
        "320 × 128 pixels",
        result.model.sha256[:16],
        "Detector Vector and View Code Sequence",
        f"bonescan {__version__}",
        "the tracer is not stated",
        "ANTERIOR",
        "POSTERIOR",
        "100 mm",
        "no basis for a diagnosis",
    ):
        assert said in text


@pytest.mark.parametrize("count", [2, 20, 60])
def test_each_lesions_numbers_are_on_it(result, count):
    many = with_lesions(result, count)
    words = text_of(page(many)).split()
    for lesion in many.lesions:
        for number in (f"{lesion.measures.area_mm2:.0f}", f"{lesion.measures.counts_mean:.1f}"):
            assert number in words
        assert f"{lesion.measures.counts_max:.0f}" in words
    assert "not listed" not in " ".join(words)


def test_of_more_than_fit_the_largest_are_shown_and_the_others_counted(result):
    many = with_lesions(result, 150)
    text = text_of(page(many))
    shown = [one.id for one in many.lesions if f"{one.measures.area_mm2:.0f}" in text.split()]
    assert len(shown) >= 60
    assert shown == list(range(150 - len(shown) + 1, 151))  # the later ones are larger
    assert f"{150 - len(shown)} smaller outlines are not listed here: lesions.json lists all." in text
    assert "150 outlines" in text


def test_the_sites_sides_and_what_is_not_known_are_on_it(result):
    bone = replace(result.lesions[0], probability=None, region=Region.THORACIC_SPINE, side=Side.MIDLINE, level=None)
    placed = replace(bone, level=Level("T8", 2), pair=None)
    text = text_of(page(replace(result, lesions=(bone, placed))))
    assert "thoracic spine" in text
    assert "T8 \u00b12" in text
    assert "–" in text


def test_the_part_of_a_rib_is_on_it_and_fits_its_column(result):
    rib = replace(result.lesions[0], region=Region.RIBS, side=Side.RIGHT, pair=28)
    placed = [replace(rib, level=Level("rib 10", 2, part)) for part in RibPart]
    text = text_of(page(replace(result, lesions=tuple(placed))))
    paper = Paper("title", "subject", "by")
    width = WIDTH_MM - MARGIN - (MARGIN + _LEFT_WIDTH + GUTTER)
    columns = Columns(paper, Box(0, 0, width, 0), [share for *_, share in _COLUMNS], 3)
    for lesion in placed:
        assert f"rib 10 \u00b12 {lesion.level.part} (28)" in text
        assert text_width(_site(lesion), Style(_MOST_TYPE, INK)) < columns.widths[1]


def test_the_quality_of_the_scan_is_on_it(result):
    checks = (QualityCheck("feet", 1.0, 3.0, True, "no feet"), QualityCheck("tilt", 1.0, 6.0, False, "askew"))
    assert "1 of 2 checks within limits; poor: feet" in text_of(page(replace(result, quality=checks)))
    assert "1 of 1 checks within limits" in text_of(page(replace(result, quality=checks[1:])))
    assert "within limits" not in text_of(page(result))


def test_a_scan_without_lesions_says_so_and_excludes_nothing(make_result):
    text = text_of(page(make_result(lesions={})))
    assert "No lesion outlined; 2021-05-06" in text
    assert "No lesion was outlined." in text
    assert "That does not exclude one." in text


def test_one_view_and_no_spacing_are_said(make_result):
    text = text_of(page(make_result(views=(View.POSTERIOR,), spacing=None)))
    assert "not given" in text
    assert "not known, so that areas are in pixels" in text
    assert "no scale: the pixel spacing is not known" in text
    assert "mm²" not in text


def test_a_reader_is_named_and_the_models_part_said(result):
    text = " ".join(text_of(page(replace(result, reader="Ada Lovelace"))).split())
    assert "outlines by the reader Ada Lovelace" in text
    assert "drawn or corrected by Ada Lovelace" in text
    assert "told the bones apart" in text


def test_warnings_stay_on_the_page_and_the_others_are_counted(result):
    long = tuple(f"warning {number} " + "that goes on and on " * 12 for number in range(40))
    text = text_of(page(replace(result, warnings=long)))
    assert "warning 0" in text
    shown = [number for number in range(40) if f"warning {number} that" in text.replace("\n", " ")]
    assert f"and {40 - len(shown)} more: lesions.json lists all" in text


def test_a_warning_longer_than_its_room_does_not_leave_the_page(result):
    text = text_of(page(replace(result, warnings=("word " * 3000,))))
    assert "word word … lesions.json lists all" in text


def test_without_identify_it_names_nobody_and_says_where_the_identity_is(result):
    text = text_of(page(result))
    assert "The patient's identity is left out of this page; the DICOM header of the source states it." in text
    raster = replace(result, study=replace(result.study, frames={}))
    assert "identity is left out of this page; its source states none." in text_of(page(raster))


def test_with_identify_it_names_the_patient_in_latin_greek_and_cyrillic(result):
    text = text_of(page(result, patient()))
    for said in ("Łukasiewicz, Jadwiga Ελένη", "HOSP-00123456", "1956-03-04", "A2026-77", "2026-01-02"):
        assert said in text
    assert "left out" not in text
    assert "烏" not in text
    assert "?" not in text
    assert "Иванова, Анна" in text_of(page(result, patient(PatientName="Иванова^Анна")))


@pytest.mark.parametrize("name", ["=山田^太郎", "محمد^مريم", "a\U0001f600b"])
def test_letters_that_the_font_lacks_are_question_marks_and_a_line_says_so(result, name):
    text = text_of(page(result, patient(PatientName=name)))
    assert "?" in text
    assert "stands for a letter that cannot be drawn here" in text


def test_accents_that_come_apart_are_put_together(result):
    assert "Jöns" in text_of(page(result, patient(PatientName="Jo\u0308ns")))


@pytest.mark.parametrize("count", [0, 20, 60])
def test_a_name_as_long_as_a_header_can_hold_stays_on_the_page(result, count):
    text = text_of(page(with_lesions(result, count), patient(PatientName="W" * 324, PatientID="M" * 64)))
    assert "WWW…" in text.replace("\n", "")
    assert "mean probability" in text.replace("\n", " ")


def test_what_is_not_stated_is_said(result):
    stated, scarce = (
        text_of(page(result, patient(**some))) for some in ({}, {"PatientSex": "", "PatientBirthDate": ""})
    )
    assert scarce.count("not stated") == stated.count("not stated") + 2


def test_the_same_result_gives_the_same_bytes(result):
    assert page(result) == page(result)
    assert page(result) != page(replace(result, lesions=result.lesions[:-1]))


def test_every_font_is_embedded(result):
    resources = PdfReader(BytesIO(page(result))).pages[0]["/Resources"]
    fonts = [font.get_object() for font in resources["/Font"].get_object().values()]
    assert {font["/BaseFont"].partition("+")[2] for font in fonts} == {SANS, BOLD}
    assert all("/FontFile2" in font["/FontDescriptor"].get_object() for font in fonts)


def test_it_shows_the_views_as_the_overlay_does(result):
    drawn = panels(result)
    assert {picture.size for picture in drawn.pictures.values()} == {drawn.pictures[View.ANTERIOR].size}
    pictures = PdfReader(BytesIO(page(result))).pages[0].images
    shown = [np.asarray(one.image.convert("RGB")) for one in pictures]
    for picture in drawn.pictures.values():
        assert any(np.array_equal(np.asarray(picture.convert("RGB")), one) for one in shown)


@pytest.mark.parametrize("count", [2, 20, 60])
def test_the_views_are_as_wide_as_the_table_leaves_them(result, monkeypatch, count):
    drawn = []
    monkeypatch.setattr(page_module, "draw_panel", lambda paper, picture, panel, *_: drawn.append(panel))
    page(with_lesions(result, count))
    assert len(drawn) == 2
    assert all(panel.width >= 52 for panel in drawn)


def test_a_second_window_without_curves_stands_where_the_table_leaves_room(result):
    said = "Without curves, at a logarithmic window"
    few, many = page(with_lesions(result, 4)), page(with_lesions(result, 60))
    assert said in text_of(few)
    assert said not in text_of(many)
    shown = PdfReader(BytesIO(few)).pages[0].images
    assert len(shown) == 4
    plain = panels(replace(result, lesions=()), logarithmic=True).pictures[View.ANTERIOR]
    assert any(np.array_equal(np.asarray(one.image.convert("RGB")), np.asarray(plain.convert("RGB"))) for one in shown)


@pytest.mark.parametrize("width", [10.0, 25.0, 60.0])
def test_broken_lines_fit_and_lose_nothing(width):
    style = Style(8)
    text = "a few words and onethatismuchlongerthanalineandgoesonwithoutablank, then more"
    lines = broken(text, width, style)
    assert max(text_width(line, style) for line in lines) <= width
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_picture_names_the_patient_on_top_alone_where_asked(result):
    plain, named = overlay(result), overlay(result, patient())
    assert overlay(result, ()).tobytes() == plain.tobytes()
    added = named.height - plain.height
    assert added > 0
    assert named.crop((0, added + 48, *named.size)).tobytes() == plain.crop((0, 48, *plain.size)).tobytes()
    long = overlay(result, patient(PatientName="W" * 324))
    strip = np.asarray(long.convert("L").crop((0, 0, long.width, long.height - plain.height)))
    assert (strip[:, -24:] == 255).all()
