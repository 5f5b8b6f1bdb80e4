"""The files that people look at, in one folder: the page and the picture are the same inside and outside DICOM."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_color_lut
from pypdf import PdfReader
from tests.drawn import MADE, dicom_errors, random_masks, result_of, scan_of

from bonescan.dicom.header import Made
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.errors import OptionError
from bonescan.results.folder import write_result
from bonescan.study import Spacing, View

FORMATS = ("png", "capture", "pdf", "gsps")
NAME = "Østergård^Søren^Ωμέγα"


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A result, and an origin whose header names a patient."""
    rng = np.random.default_rng(4)
    study, origin = scan_of(rng, tmp_path_factory.mktemp("scan"), Header(HeaderStyle.STANDARD), Spacing(2.4, 2.4))
    masks = random_masks(rng, study.shape)
    result = result_of(study, {view: [next(masks), next(masks)] for view in View})
    return result, replace(origin, header=replace(origin.header, patient={"PatientName": NAME, "PatientID": "P-1"}))


@pytest.fixture(scope="module", params=[False, True], ids=["nobody named", "the patient named"])
def written(request, named, tmp_path_factory):
    """The folder of the result, and whether its pictures and pages name the patient."""
    result, origin = named
    origin = replace(origin, made=Made(MADE.at, request.param))
    return write_result(result, tmp_path_factory.mktemp("out"), FORMATS, origin), request.param


def test_the_page_in_dicom_is_the_page_beside_it(written):
    folder, _ = written
    dataset = pydicom.dcmread(folder / "report-pdf.dcm")
    document = dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength]
    assert document == (folder / "report.pdf").read_bytes()
    assert dataset.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert "Research use only" in dataset.DocumentTitle


def test_the_capture_is_the_picture_beside_it(written):
    folder, _ = written
    with Image.open(folder / "overlay.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    dataset = pydicom.dcmread(folder / "overlay-capture.dcm")
    colours = apply_color_lut(dataset.pixel_array, dataset) >> 8
    np.testing.assert_array_equal(colours, pixels)
    assert dataset.ImageType == ["DERIVED", "SECONDARY"]
    assert dataset.ConversionType == "WSD"


def test_they_name_the_patient_only_where_asked_and_say_whether_they_do(written):
    folder, identify = written
    text = PdfReader(folder / "report.pdf").pages[0].extract_text()
    assert ("Østergård, Søren Ωμέγα" in text) is identify
    assert ("P-1" in text.split()) is identify
    for name in ("overlay-capture.dcm", "report-pdf.dcm"):
        dataset = pydicom.dcmread(folder / name)
        assert dataset.BurnedInAnnotation == ("YES" if identify else "NO")
        assert dataset.PatientName == NAME  # the header names the patient of the study in any case


def test_the_judge_finds_no_error_where_the_patient_is_named(written):
    folder, _ = written
    assert [error for path in sorted(folder.glob("*.dcm")) for error in dicom_errors(path)] == []


def test_a_source_that_is_no_dicom_has_the_page_alone(named, tmp_path):
    result, _ = named
    raster = replace(result, study=replace(result.study, frames={}))
    folder = write_result(raster, tmp_path, ("pdf",))
    assert [path.name for path in folder.iterdir()] == ["report.pdf"]
    with pytest.raises(OptionError, match="capture is an object in the study of a DICOM source"):
        write_result(raster, tmp_path, ("pdf", "capture"))


def test_a_source_in_two_files_is_referred_to_by_both(tmp_path):
    rng = np.random.default_rng(6)
    study, origin = scan_of(rng, tmp_path, Header(HeaderStyle.TWO_FILES), None)
    folder = write_result(result_of(study, {}), tmp_path / "out", FORMATS, origin)
    instances = {one.sop_instance_uid for one in origin.header.instances}
    assert len(instances) == 2
    for name, sequence in (
        ("overlay-capture.dcm", "SourceImageSequence"),
        ("report-pdf.dcm", "SourceInstanceSequence"),
    ):
        assert {one.ReferencedSOPInstanceUID for one in pydicom.dcmread(folder / name)[sequence]} == instances
    (series,) = pydicom.dcmread(folder / "presentation.dcm").ReferencedSeriesSequence
    assert {one.ReferencedSOPInstanceUID for one in series.ReferencedImageSequence} == instances
