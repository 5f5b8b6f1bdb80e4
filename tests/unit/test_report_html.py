"""The report as HTML: alone in its file, with the numbers of lesions.json."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

from bonescan.assess.site import site_words
from bonescan.report.html import html_report
from bonescan.report.lesions_json import lesions_document
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
        assert row[6] == f"{lesion['probability']:.2f}"
    extent = document["extent"]
    assert f"{extent['lesions']} lesions" in text
    assert f"bone scan index {extent['bone_scan_index']:.2f} %" in text
    assert f"grade {extent['grade']}" in text


def test_every_site_is_named_once_for_a_pair(result):
    text = unescape(html_report(result))
    for lesion in result.lesions:
        assert site_words(lesion) in text
    paired = [lesion for lesion in result.lesions if lesion.pair is not None]
    assert paired


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
    assert "Within limits: tilt." in text


def test_no_lesion_is_said_not_to_exclude_one(make_result):
    assert "does not exclude one" in html_report(make_result(lesions={}))
