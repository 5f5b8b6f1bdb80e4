"""De-identified scans: the same counts, views and spacing, known words alone, and what is refused."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from tests.drawn import dicom_errors
from tests.marked import KEY, put, scan_of

from bonescan.dicom.deidentify import Deidentification, deidentified, looks_burned_in
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.errors import InputError, ViewError
from bonescan.reading import ReadOptions, read_study
from bonescan.study import View

QUIET = "QXZW"
RETIRED = "1.2.840.10008.5.1.4.1.1.5"


def written_of(path, **elements):
    """The de-identified data set of a scan whose header has these elements besides."""
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        put(dataset, keyword, value)
    dataset.save_as(path)
    return pydicom.dcmread(BytesIO(deidentified(path.read_bytes(), Deidentification(KEY)).content))


@pytest.mark.parametrize("posterior_first", [False, True])
@pytest.mark.parametrize("style", list(HeaderStyle))
def test_counts_views_and_spacing_stay(style, posterior_first, tmp_path):
    paths = scan_of(tmp_path / "in", Header(style, posterior_first))
    written = []
    for number, path in enumerate(paths):
        written.append(tmp_path / f"{number}.dcm")
        written[-1].write_bytes(deidentified(path.read_bytes(), Deidentification(KEY)).content)
    stated = ReadOptions(tuple(View)) if style is HeaderStyle.NO_VIEWS else None
    before, after = read_study(paths, stated), read_study(written, stated)
    assert after.spacing == before.spacing
    assert list(after.scans) == list(before.scans)
    for view in View:
        np.testing.assert_array_equal(after.counts(view), before.counts(view))
    assert [note for note in after.warnings if note not in before.warnings] == []
    for path in written:
        assert dicom_errors(path) == []


def test_the_real_compressed_view_loses_its_names_and_keeps_its_counts(tmp_path):
    from pydicom.data import get_testdata_file

    source = Path(get_testdata_file("JPEG2000.dcm"))
    (tmp_path / "out.dcm").write_bytes(
        deidentified(source.read_bytes(), Deidentification(KEY, accept_burned_in=True)).content
    )
    one = ReadOptions((View.ANTERIOR,))
    before, after = read_study(source, one), read_study(tmp_path / "out.dcm", one)
    np.testing.assert_array_equal(after.counts(View.ANTERIOR), before.counts(View.ANTERIOR))
    raw = (tmp_path / "out.dcm").read_bytes()
    named = pydicom.dcmread(source)
    for keyword in ("PatientName", "PatientID", "InstitutionName", "StudyDate", "StudyInstanceUID"):
        if named.get(keyword):
            assert str(named.get(keyword)).encode() not in raw


def test_what_says_that_it_holds_text_is_refused_unless_accepted(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    dataset = pydicom.dcmread(path)
    dataset.BurnedInAnnotation = "YES"
    dataset.save_as(path)
    with pytest.raises(InputError, match="--accept-burned-in"):
        deidentified(path.read_bytes(), Deidentification(KEY))
    assert deidentified(path.read_bytes(), Deidentification(KEY, accept_burned_in=True)).content


def with_text(frame, value, size):
    picture = Image.new("1", (frame.shape[1], frame.shape[0]))
    ImageDraw.Draw(picture).text((6, 8), "DOE, JOHN 1951", fill=1, font=ImageFont.load_default(size))
    return np.where(np.asarray(picture), value, frame)


def test_burned_in_text_is_noticed_and_counts_are_not_taken_for_it(patient_of):
    """On simulated scans: at most one false alarm of a hundred, and nine texts of ten."""
    alarms = found = texts = 0
    for number in range(25):
        study = patient_of(number % 2, number // 2).study
        for view in View:
            frame = study.counts(view).astype(np.uint16)
            alarms += looks_burned_in(frame)
            for value, size in ((int(frame.max()), 14), (4095, 20)):
                texts += 1
                found += looks_burned_in(with_text(frame, value, size))
    assert alarms <= 0.02 * 50
    assert found >= 0.9 * texts


def test_bits_above_the_stored_ones_are_refused(tmp_path):
    """An old overlay lies there, and could spell a name."""
    (path,) = scan_of(tmp_path / "in")
    dataset = pydicom.dcmread(path)
    dataset.BitsStored, dataset.HighBit = 12, 11
    pixels = np.frombuffer(dataset.PixelData, dtype="<u2").copy()
    pixels[100:200] |= 1 << 12
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path)
    with pytest.raises(InputError, match="do not fit into the 12 bits"):
        deidentified(path.read_bytes(), Deidentification(KEY))


def test_a_number_of_a_series_that_is_a_date_goes_and_a_missing_uid_is_refused(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    dataset = pydicom.dcmread(path)
    dataset.SeriesNumber = 19501231
    dataset.save_as(path)
    assert b"19501231" not in deidentified(path.read_bytes(), Deidentification(KEY)).content
    dataset.StudyInstanceUID = ""
    dataset.save_as(path)
    with pytest.raises(InputError, match="lacks a UID"):
        deidentified(path.read_bytes(), Deidentification(KEY))


def test_words_of_makers_and_tracers_are_whole_and_another_tracer_does_not_become_bone(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    done = written_of(path, Manufacturer="Siemens, Germany")
    assert done.Manufacturer == "SIEMENS"
    dataset = pydicom.dcmread(path)
    for stated, kept in (("99mTc-HMDP", "HMDP"), ("MIBI after MDP", "MIBI")):
        dataset.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical = stated
        dataset.save_as(path)
        done = written_of(path)
        assert done.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical == kept


def test_a_view_code_that_contradicts_its_meaning_tells_no_view(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    dataset = pydicom.dcmread(path)
    dataset.DetectorInformationSequence[0].ViewCodeSequence[0].CodeMeaning = "POSTERIOR"
    dataset.save_as(path)
    done = deidentified(path.read_bytes(), Deidentification(KEY))
    (tmp_path / "out.dcm").write_bytes(done.content)
    assert any("--views" in remark for remark in done.remarks)
    with pytest.raises(ViewError, match="does not say which side"):
        read_study([tmp_path / "out.dcm"])
    assert read_study([tmp_path / "out.dcm"], ReadOptions(tuple(View))).scans


def test_an_unknown_item_of_the_images_view_codes_takes_all_with_it(tmp_path):
    """Else the second item would speak for the first frame."""
    (path,) = scan_of(tmp_path / "in", Header(HeaderStyle.NO_VIEWS))
    known, unknown = Dataset(), Dataset()
    known.CodeValue, known.CodingSchemeDesignator, known.CodeMeaning = "399001007", "SCT", "Posterior"
    unknown.CodeValue, unknown.CodingSchemeDesignator, unknown.CodeMeaning = "X", "99A", QUIET
    for codes in ([unknown, known], [unknown, known, known]):
        done = written_of(path, ViewCodeSequence=codes)
        assert "ViewCodeSequence" not in done
    done = written_of(path, ViewCodeSequence=[known, known])
    assert len(done.ViewCodeSequence) == 2


def test_unknown_values_leave_their_place_empty(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    done = written_of(path, ImageType=[QUIET, "ORIGINAL", "WHOLE BODY", "EMISSION"], PatientOrientation=["HL", "F"])
    assert list(done.ImageType) == ["", "ORIGINAL", "WHOLE BODY", "EMISSION"]
    assert list(done.PatientOrientation) == ["", "F"]


def test_measures_are_as_exact_as_they_were_stated(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    spacing, slope = ["2.397605895996", "2.3976058959961"], "0.0123456789012"
    done = written_of(path, PixelSpacing=spacing, RescaleSlope=slope, RescaleIntercept="0")
    assert [float(one) for one in done.PixelSpacing] == [float(one) for one in spacing]
    assert float(done.RescaleSlope) == float(slope)


def test_what_the_reader_refuses_is_refused(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    with pytest.raises(InputError, match="slope"):
        written_of(path, RescaleSlope="-1")
    dataset = pydicom.dcmread(path)
    dataset.RescaleSlope = "1"
    tag = pydicom.tag.Tag("PixelSpacing")
    dataset[tag] = pydicom.DataElement(tag, "LO", ["2.0", QUIET])
    dataset.save_as(path)
    with pytest.raises(InputError, match="PixelSpacing is damaged"):
        deidentified(path.read_bytes(), Deidentification(KEY))


def test_a_number_that_is_a_date_goes(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    done = written_of(path, CountsAccumulated=19501231, ScanLength=1950, ScanVelocity=["1"] * 9)
    assert "CountsAccumulated" not in done
    assert "ScanVelocity" not in done
    assert done.ScanLength == 1950


def test_the_retired_class_is_read_as_before(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    done = written_of(path, SOPClassUID=RETIRED)
    assert done.SOPClassUID == done.file_meta.MediaStorageSOPClassUID == RETIRED
    (tmp_path / "out.dcm").write_bytes(deidentified(path.read_bytes(), Deidentification(KEY)).content)
    assert list(read_study([tmp_path / "out.dcm"]).scans) == list(View)


def test_what_was_deidentified_here_is_refused(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    once = deidentified(path.read_bytes(), Deidentification(KEY)).content
    with pytest.raises(InputError, match="was de-identified by this program before"):
        deidentified(once, Deidentification(KEY))


@pytest.mark.parametrize("stated", ["yes", ["NO", "YES"]])
def test_text_in_the_pixels_is_refused_however_it_is_said(stated, tmp_path):
    (path,) = scan_of(tmp_path / "in")
    with pytest.raises(InputError, match="--accept-burned-in"):
        written_of(path, BurnedInAnnotation=stated)
