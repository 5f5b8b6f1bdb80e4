"""The report as HTML: alone in its file, with the numbers of lesions.json."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from io import BytesIO

from pypdf import PdfReader

from bonescan.assess.site import site_words
from bonescan.report.html import html_report
from bonescan.report.lesions_json import lesions_document
from bonescan.report.page import page
from bonescan.report.words import COLUMNS
from bonescan.study import QualityCheck, View


def test_it_needs_no_other_file_and_runs_nothing(result):
    text = html_report(result)
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]+)"', text))
    assert not re.search(r"<script|<link|https?://", text)
    assert text.count("<img") == 2 * len(View)
    assert "Research use only" in text


def test_its_numbers_are_those_of_lesions_json(result):
    text, document = unescape(html_report(result)), lesions_document(result)
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr><td.*", text)]
    by_id = {int(row[2]): row for row in rows}
    assert set(by_id) == {lesion["id"] for lesion in document["lesions"]}
    for lesion in document["lesions"]:
        row = by_id[lesion["id"]]
        assert row[1] == lesion["view"]
        assert row[3] == f"{lesion['area_mm2']:.0f}"
        assert row[4] == f"{lesion['counts_max']:.0f}"
        assert row[5] == f"{lesion['counts_mean']:.1f}"
        for place, name in ((6, "contrast"), (7, "contrast_mirror")):
            assert row[place] == ("–" if lesion[name] is None else f"{lesion[name]:.1f}")
        assert row[8] == f"{lesion['probability']:.2f}"
    extent = document["extent"]
    assert f"{extent['lesions']} lesions" in text
    assert f"bone scan index {extent['bone_scan_index']:.2f} %" in text
    assert f"grade {extent['grade']}" in text


def test_every_site_is_named_once_for_a_pair(result):
    """A pair's two rows have one cell of the site."""
    table = html_report(result).partition("<h2>Lesions</h2>")[2].partition("</table>")[0]
    cells = re.findall(r"<tr><td[^>]*>([^<]*)</td>", unescape(table))
    assert len(cells) == len(result.lesions)
    sites = {lesion.pair or f"alone {lesion.id}": site_words(lesion) for lesion in result.lesions}
    assert len(sites) < len(result.lesions)
    assert sorted(filter(None, cells)) == sorted(sites.values())


def test_a_readers_curves_are_said_to_be_the_readers(result):
    assert "curves: drawn or corrected by Ada Lovelace" in html_report(replace(result, reader="Ada Lovelace"))


def test_what_comes_from_a_file_is_escaped(result):
    named = replace(result, study=replace(result.study, key="<b>x"), warnings=("a <script> in it",))
    text = html_report(named)
    assert "<script" not in text
    assert "&lt;b&gt;x" in text


def test_poor_quality_is_a_warning_and_good_is_named(result):
    checks = (
        QualityCheck("counts", 2e5, 3e5, True, "few counts"),
        QualityCheck("tilt", 1.0, 6.0, False, "askew"),
    )
    text = html_report(replace(result, quality=checks, warnings=("few counts",)))
    assert text.count("few counts") == 1
    assert "1 of 2 checks within limits; poor: counts. Within limits: tilt." in text


def test_checks_have_plain_names_for_people_and_stable_ones_for_machines(result):
    checks = tuple(
        QualityCheck(name, 0.08, 0.03, poor, "8% of the counts lie in one place")
        for name, poor in (("other tracer", True), ("vertex", False))
    )
    named = replace(result, quality=checks)
    text = html_report(named)
    assert "1 of 2 checks within limits; poor: tracer outside bone. Within limits: top of the skull." in text
    assert "other tracer" not in text
    assert [check["name"] for check in lesions_document(named)["quality"]] == ["other tracer", "vertex"]


def test_no_lesion_is_said_not_to_exclude_one(make_result):
    assert "does not exclude one" in html_report(make_result(lesions={}))


def test_it_says_the_columns_the_headline_and_the_operating_point_in_the_words_of_the_page(result):
    checks = (QualityCheck("feet", 1.0, 3.0, True, "no feet"), QualityCheck("tilt", 1.0, 6.0, False, "askew"))
    point = replace(result, operating_point="specific", quality=checks)
    undated = replace(point, study=replace(point.study, acquired=None))
    as_page = " ".join(PdfReader(BytesIO(page(undated))).pages[0].extract_text().split())
    as_html = unescape(html_report(undated))
    for said in ("4 lesions in 5 outlines; date not stated", COLUMNS, "1 of 2 checks within limits; poor: feet"):
        assert said in as_page
        assert said in as_html
    assert f"phantom-unet, sha256 {result.model.sha256}, specific" in as_html
    assert f"phantom-unet, sha256 {result.model.sha256[:16]}…, specific" in as_page


def test_each_view_has_its_name_between_the_sides_above_it(result):
    text = html_report(result)
    figures = re.findall(r"<figure>(.*?)</figure>", text)
    assert len(figures) == 4
    for number, figure in enumerate(figures):
        sides = re.findall(r'<b class="side">(.)</b>', figure)
        view = list(View)[number % 2]
        assert sides == (["R", "L"] if view is View.ANTERIOR else ["L", "R"])
        assert figure.index("<figcaption>") < figure.index(f"<span>{view}, ") < figure.index("<img")
    assert "R and L are the patient's right and left." in text
    assert "grid-template-columns:repeat(2,1fr)" in text
