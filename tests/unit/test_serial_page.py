"""The page of a comparison, as PDF and HTML: the figures of comparison.json and all warnings, on one page."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from io import BytesIO

import numpy as np
import pytest
from pypdf import PdfReader

from bonescan import __version__
from bonescan.assess.burden import with_intervals
from bonescan.prediction import Prediction
from bonescan.report.words import RESEARCH_USE
from bonescan.serial.change import Change, Comparison, ReadScan, Status, compare
from bonescan.serial.compared import PCWG3_LABEL, Compared, compared_series
from bonescan.serial.page import comparison_page, side_by_side
from bonescan.serial.report import comparison_document, comparison_html
from bonescan.serial.series import Step, Verdict
from bonescan.study import REGIONS, QualityCheck, Region, View

LATER = {
    View.ANTERIOR: [(75, 40, 2.5), (165, 84, 4.0)],
    View.POSTERIOR: [(112, 63, 2.5), (75, 88, 2.0), (230, 44, 4.0)],
}
"""As the first scan of conftest, without its (90, 64) and with a new one in the femur."""
STEPS = (Step(Verdict.UNCONFIRMED),)


def as_read(result, lesions, share):
    """A scan with intervals of its burden; share: by which the drawn figures differ."""
    extent = result.extent
    drawn = [
        replace(extent, lesions=extent.lesions + n, bone_scan_index=extent.bone_scan_index + share * n) for n in (0, 1)
    ]
    ilium = np.zeros(result.study.shape, np.uint8)
    ilium[150:180, 40:90] = REGIONS.index(Region.ILIUM)
    checks = (QualityCheck("tilt", 1.0, 6.0, False, "askew"), QualityCheck("counts", 2e5, 3e5, True, "few counts"))
    made = replace(
        result, lesions=lesions, extent=with_intervals(extent, drawn), quality=checks, operating_point="balanced"
    )
    nothing = np.zeros(ilium.shape, np.float32)
    return ReadScan(made, Prediction(dict.fromkeys(View, nothing), dict.fromkeys(View, ilium)))


@pytest.fixture(scope="module")
def scans(make_result):
    old, new = make_result(), make_result(lesions=LATER, key="scan-2")
    new = replace(new, study=replace(new.study, acquired="2021-11-06"), warnings=(*new.warnings, "few counts"))
    return as_read(old, old.lesions, 0.1), as_read(new, new.lesions, 0.2)


@pytest.fixture(scope="module")
def compared(scans):
    return compared_series(scans, (compare(*scans),), STEPS)[0]


@pytest.fixture(scope="module")
def document(scans, compared):
    return comparison_document(scans, (compared.comparison,), STEPS)


def text_of(page):
    reader = PdfReader(BytesIO(page))
    assert len(reader.pages) == 1
    return " ".join(reader.pages[0].extract_text().split())


def both(compared):
    """The words of the PDF, and those of the HTML without its markup."""
    html = unescape(re.sub(r"<[^>]+>", " ", comparison_html(compared, side_by_side(compared)).partition("<body>")[2]))
    return text_of(comparison_page(compared, side_by_side(compared))), " ".join(html.split())


def signed(value, digits):
    return f"{value:+z.{digits}f}"


def test_its_figures_are_those_of_the_json(compared, document):
    (pair,) = document["comparisons"]
    assert {lesion["status"] for lesion in pair["lesions"]} >= {"new", "resolved"}
    for text in both(compared):
        for lesion in pair["lesions"]:
            old, new = (", ".join(map(str, lesion[when])) or "-" for when in ("old", "new"))
            ratio = "-" if lesion["uptake_ratio"] is None else f"x{lesion['uptake_ratio']:.2f}"
            row = (lesion["number"], lesion["status"], lesion["site"], old, new, ratio, f"{lesion['z']:+.1f}")
            assert " ".join(map(str, row)) in text
        assert ", ".join(f"{number} {status}" for status, number in pair["numbers"].items()) in text


def test_the_burden_and_its_difference_are_those_of_the_json(compared, document):
    (pair,) = document["comparisons"]
    figures = pair["burden"]
    assert set(figures) == {"lesions", "positive_share", "bone_scan_index", "grade"}
    old, new = (scan["extent"] for scan in document["scans"])
    for name, figure in figures.items():
        assert (figure["old"], figure["new"]) == (old[name], new[name])
        assert figure["difference"] == new[name] - old[name]
    index = figures["bone_scan_index"]
    for text in both(compared):
        assert f"bone scan index, % {index['old']:.2f}" in text
        assert signed(index["difference"], 2) in text
        for low, high in (old["intervals"]["bone_scan_index"], new["intervals"]["bone_scan_index"]):
            assert f"({low:.2f} to {high:.2f})" in text
        low, high = index["interval"]
        assert f"({signed(low, 2)} to {signed(high, 2)})" in text
        assert "95 % intervals by Poisson bootstrap, 2 draws" in text


def test_the_interval_of_a_difference_adds_the_squares_of_both(compared):
    old, new = (scan.result.extent for _, scan in compared.scans)
    reaches = [extent.intervals["bone_scan_index"][1] - extent.bone_scan_index for extent in (old, new)]
    figure = compared.burden()["bone_scan_index"]
    assert reaches[1] == pytest.approx(2 * reaches[0])
    assert figure.interval[1] - figure.difference == pytest.approx(reaches[0] * 5**0.5)
    assert figure.difference - figure.interval[0] == pytest.approx(reaches[0] * 5**0.5)


def test_without_intervals_it_says_so(scans):
    plain = [
        replace(scan, result=replace(scan.result, extent=replace(scan.result.extent, intervals={}, draws=0)))
        for scan in scans
    ]
    compared = Compared(*plain, compare(*plain))
    assert all(figure.interval is None for figure in compared.burden().values())
    for text in both(compared):
        assert "without intervals" in text
        assert "bootstrap" not in text


def test_it_says_what_it_is_what_it_is_for_and_how_it_came_about(compared):
    for text in both(compared):
        for said in (
            RESEARCH_USE,
            "scan-1 (2021-05-06) and scan-2 (2021-11-06)",
            "OLD anterior",
            "NEW posterior",
            "One grey is one uptake",
            "identity",
            f"{PCWG3_LABEL}:",
            "scan-2: two or more new lesions, to be confirmed by the next scan",
            "1 of 2 checks within limits; poor: counts",
            "phantom-unet, sha256 0123456789ab…, balanced",
            f"bonescan {__version__}",
            "no basis for a diagnosis",
        ):
            assert said in text
    silent = replace(compared, verdicts=())
    assert all("PCWG3" not in text for text in both(silent))


def test_the_checks_of_quality_have_plain_names_on_it(compared):
    spilt = (QualityCheck("other tracer", 0.08, 0.03, True, "8% of the counts lie in one place"),)
    new = replace(compared.new, result=replace(compared.new.result, quality=spilt))
    for text in both(replace(compared, new=new)):
        assert "0 of 1 checks within limits; poor: tracer outside bone" in text
        assert "other tracer" not in text


def test_every_warning_stands_on_it_once_with_its_scan(compared):
    for text in both(compared):
        assert text.count("the tracer is not stated") == 1
        assert "both scans: the tracer is not stated" in text
        assert "new scan: few counts" in text


@pytest.mark.parametrize("count", [1, 30, 200])
def test_of_more_lesions_than_fit_those_that_changed_stand_on_the_one_page(compared, count):
    of = [Change(Status.PERSISTENT, (1,), (1,), 1.0, 0.1, f"site {n}") for n in range(count)]
    of += [Change(Status.RESOLVED, (1,), (), 0.5, -9.0, f"gone {n}") for n in range(8)]
    many = replace(compared, comparison=Comparison(tuple(of), compared.comparison.scales, {}))
    long = tuple(f"warning {n} {'that goes on ' * 12}" for n in range(6))
    many = replace(many, new=replace(many.new, result=replace(many.new.result, warnings=long)))
    text = text_of(comparison_page(many, side_by_side(many)))
    shown = sum(f"site {n} " in text for n in range(count))
    assert all(f"gone {n} " in text for n in range(8))
    assert all(f"warning {n} that" in text for n in range(6))
    assert (f"{count - shown} more are not listed here: comparison.json lists all" in text) == (shown < count)
    assert shown >= min(count, 12)


def test_however_many_warnings_nothing_lies_over_them(compared):
    long = tuple(f"warning {n} {'that goes on ' * 12}" for n in range(60))
    said = tuple(f"scan-{n}: two or more new lesions, to be confirmed by the next scan" for n in range(12))
    many = replace(
        compared, verdicts=said, new=replace(compared.new, result=replace(compared.new.result, warnings=long))
    )
    places = {}

    def visit(text, _, matrix, *__):
        places.setdefault(text.strip().partition(" ")[0], []).append(matrix[5])

    page = comparison_page(many, side_by_side(many))
    PdfReader(BytesIO(page)).pages[0].extract_text(visitor_text=visit)
    (heading,) = places["Warnings"]
    assert min(places["software"]) > heading
    text = text_of(page)
    shown = sum(f"warning {n} that" in text for n in range(60))
    assert shown >= 2
    assert f"and {60 - shown} more: comparison.json lists all" in text
    assert "of earlier scans: comparison.json" in text
    assert "scan-11: two" in text
    html = comparison_html(many, side_by_side(many))
    assert all(f"warning {n} that" in html for n in range(60))


def test_no_lesion_is_said_not_to_exclude_one(make_result):
    nothing = make_result(lesions={})
    scan = as_read(nothing, (), 0.0)
    for text in both(Compared(scan, scan, compare(scan, scan))):
        assert "No lesion was outlined in either scan." in text
        assert "does not exclude one" in text


def test_the_pictures_are_those_of_both_scans_and_numbered_as_the_table(compared):
    shown = side_by_side(compared)
    page = PdfReader(BytesIO(comparison_page(compared, shown))).pages[0]
    on_page = [one.image.convert("RGB").tobytes() for one in page.images]
    assert [(each.view, each.is_new) for each in shown] == [(view, new) for view in View for new in (False, True)]
    assert all(each.picture.tobytes() in on_page for each in shown)
    names = compared.names(True)
    for number, change in compared.changed:
        mark = {"new": "N", "persistent": "P"}.get(change.status.value)
        assert all(names[outline].startswith(f"{number}{mark or ''}") for outline in change.new)
    assert comparison_html(compared, side_by_side(compared)).count("<img") == 4


def test_the_same_comparison_gives_the_same_bytes(compared):
    shown = side_by_side(compared)
    assert comparison_page(compared, shown) == comparison_page(compared, side_by_side(compared))
    assert comparison_page(compared, shown) != comparison_page(replace(compared, verdicts=()), shown)


def test_the_html_needs_no_other_file_and_escapes_what_comes_from_one(compared):
    study = replace(compared.old.result.study, key="<script>x")
    named = replace(compared, old=replace(compared.old, result=replace(compared.old.result, study=study)))
    text = comparison_html(named, side_by_side(named))
    assert not re.search(r"<script|<link|https?://", text)
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]+)"', text))
