"""What a result warns of stands on every picture and in every file that leaves the program."""

from __future__ import annotations

import html
import io
import json

import numpy as np
import pydicom
import pytest
from pypdf import PdfReader
from tests.drawn import dicom_errors, random_masks, result_of, scan_of

from bonescan.dicom.objects.common import KINDS
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.report.ink import Sheet
from bonescan.report.overlay import overlay
from bonescan.results.folder import FORMATS, write_result
from bonescan.study import Spacing, View

WARNINGS = ("the views look swapped", "the tracer is not stated: København")


def made(folder, warnings=WARNINGS):
    rng = np.random.default_rng(4)
    study, origin = scan_of(rng, folder, Header(HeaderStyle.STANDARD), Spacing(2.4, 2.4))
    masks = random_masks(rng, study.shape)
    return result_of(study, {view: [next(masks)] for view in View}, warnings=warnings), origin


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with every file that there is."""
    result, origin = made(tmp_path_factory.mktemp("scan"))
    return write_result(result, tmp_path_factory.mktemp("out"), tuple(FORMATS), origin)


def text_of_json(path):
    return json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False)


def text_of_pdf(document):
    return " ".join(PdfReader(io.BytesIO(document)).pages[0].extract_text().split())


def text_of_dicom(path):
    dataset = pydicom.dcmread(path)
    return "\n".join(element.value for element in dataset.iterall() if isinstance(element.value, str))


def said_in(path):
    if path.suffix == ".json":
        return text_of_json(path)
    if path.suffix == ".png":
        # Pillow keeps the last of several texts of one keyword; these are stored as they are, in UTF-8.
        return path.read_bytes().decode("utf-8", "replace")
    if path.suffix == ".html":
        return html.unescape(path.read_text(encoding="utf-8"))
    if path.suffix == ".pdf":
        return text_of_pdf(path.read_bytes())
    return text_of_dicom(path)


def test_every_file_says_all_warnings(folder):
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(name for form in FORMATS.values() for name in form.files)
    silent = [(name, warning) for name in names for warning in WARNINGS if warning not in said_in(folder / name)]
    assert silent == []


def test_the_page_within_the_dicom_object_says_all_warnings(folder):
    dataset = pydicom.dcmread(folder / "report-pdf.dcm")
    text = text_of_pdf(dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength])
    assert all(warning in text for warning in WARNINGS)


def test_the_picture_shows_all_warnings_however_many_and_long(tmp_path, monkeypatch):
    many = [f"warning {number} {'of many words ' * 30}" for number in range(9)]
    lines = []
    draw = Sheet.patient_text

    def remember(self, place, text, size):
        lines.append((place, text))
        return draw(self, place, text, size)

    monkeypatch.setattr(Sheet, "patient_text", remember)
    result, _ = made(tmp_path, tuple(many))
    picture = overlay(result)
    assert " ".join(text for _, text in lines).split() == " ".join(f"Warning: {one}" for one in many).split()
    grey = np.asarray(picture.convert("L"))
    for (left, bottom), _ in lines:
        assert 0 < left < picture.width and 0 < bottom < picture.height
        assert (grey[int(bottom) - 16 : int(bottom), int(left) : int(left) + 60] < 100).any()
    assert (grey[:, -20:] > 200).all()  # nothing runs off the sheet


def test_a_result_without_warnings_has_no_box(tmp_path):
    result, _ = made(tmp_path, ())
    warned, _ = made(tmp_path)
    assert overlay(warned).height > overlay(result).height


@pytest.mark.parametrize("kind", KINDS)
def test_more_warnings_than_an_element_holds_are_valid_still(kind, tmp_path):
    result, origin = made(tmp_path, tuple(f"warning {number} {'of many words ' * 30}" for number in range(40)))
    folder = write_result(result, tmp_path / "out", (kind,), origin)
    assert [error for path in folder.glob("*.dcm") for error in dicom_errors(path)] == []


def test_another_warning_is_another_object(tmp_path):
    result, origin = made(tmp_path)
    other, _ = made(tmp_path, ("something else",))
    uids = [
        pydicom.dcmread(write_result(one, tmp_path / name, ("sr",), origin) / "lesions-sr.dcm").SOPInstanceUID
        for one, name in ((result, "a"), (other, "b"))
    ]
    assert uids[0] != uids[1]
