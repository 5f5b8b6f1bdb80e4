"""De-identified scans: nobody's name at any depth, and the same counts, views and spacing."""

from __future__ import annotations

import errno
import json
import os
import stat
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset
from tests.drawn import dicom_errors
from tests.marked import MARK, forms, marked, put

from bonescan import sandbox
from bonescan.dicom import keep_list as keep
from bonescan.dicom.deidentify import Deidentification, deidentified, looks_burned_in
from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.errors import InputError, OutputError, ViewError
from bonescan.reading import ReadOptions, read_study
from bonescan.study import Scan, Spacing, Study, View

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
QUIET = "QXZW"
RETIRED = "1.2.840.10008.5.1.4.1.1.5"


def scan_of(folder, header=None, views=tuple(View), patient="A"):
    counts = np.random.default_rng(1).poisson(20, (256, 64))
    study = Study("case", {view: Scan(view, counts + number) for number, view in enumerate(views)}, Spacing(2.0, 2.5))
    folder.mkdir(exist_ok=True)
    paths = write_nm(study, folder / "scan.dcm", header or Header(HeaderStyle.STANDARD))
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.PatientID = patient
        dataset.save_as(path)
    return paths


def written_of(path, **elements):
    """The de-identified data set of a scan whose header has these elements besides."""
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        put(dataset, keyword, value)
    dataset.save_as(path)
    return pydicom.dcmread(BytesIO(deidentified(path.read_bytes(), Deidentification(KEY)).content))


def test_no_marker_is_left_at_any_depth(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    planted = marked(path)
    assert len(planted) > 60
    done = deidentified(path.read_bytes(), Deidentification(KEY))
    found = [one for one in planted if any(form in done.content for form in forms(one))]
    assert found == []
    assert MARK.encode() not in done.content
    assert not any(one in f"{done.patient} {done.study} {done.image} {done.remarks}" for one in planted)


LETTERS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
BYTES = {"OB", "OW", "OB or OW", "UN"}
READ = {
    "PixelData",
    "SpecificCharacterSet",
    "Modality",
    "SOPClassUID",
    "PhotometricInterpretation",
    "BurnedInAnnotation",
}


KEPT = keep.NUMBERS | set(keep.VECTORS)
"""Kept as the numbers that they are; what else could lie there is tried below."""


def plant_everywhere(dataset, planted):
    """Put a marker into every element of the standard's dictionary of texts, bytes, UIDs, dates and numbers."""
    for tag, (vr, *_, keyword) in DicomDictionary.items():
        if tag < 0x00080000 or not keyword or keyword in READ | KEPT:
            continue
        place = len(planted)
        mark = f"{MARK}{place:05d}"
        value = {
            **dict.fromkeys(LETTERS, mark),
            **dict.fromkeys(BYTES, mark.encode() + b"\0"),
            **{"UI": f"1.2.3.76543{place:05d}", "DA": f"19{place % 90 + 10}0203", "DS": f"7654.3{place:05d}"},
            **{"IS": f"76543{place:05d}", "TM": f"0102{place % 60:02d}.7654", "DT": f"194{place % 10}0203040506.7654"},
        }.get(vr)
        if value is not None:
            dataset[tag] = pydicom.DataElement(tag, "OB" if vr in BYTES else vr, value, validation_mode=0)
            planted.append(mark if vr in BYTES or vr in LETTERS else value)
    for group in (0x5000, 0x501E, 0x6000, 0x601E):
        for element, vr in ((0x0022, "LO"), (0x1500, "LO"), (0x2500, "LO"), (0x3000, "OW"), (0x0110, "OW")):
            planted.append(f"{MARK}{len(planted):05d}")
            value = planted[-1] if vr == "LO" else planted[-1].encode() + b"\0"
            dataset.add_new((group << 16) | element, vr, value)
    planted.append(f"{MARK}{len(planted):05d}")
    block = dataset.private_block(0x0051, planted[-1], create=True)
    for number, vr in enumerate(("LO", "UN", "PN", "UT")):
        planted.append(f"{MARK}{len(planted):05d}")
        block.add_new(number + 1, vr, planted[-1].encode() + b"\0" if vr == "UN" else planted[-1])


def test_no_marker_is_left_of_any_element_of_the_dictionary_at_any_depth(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    dataset = pydicom.dcmread(path)
    planted = []
    isotope = dataset.RadiopharmaceuticalInformationSequence[0]
    window = dataset.EnergyWindowInformationSequence[0]
    for item in (
        *dataset.DetectorInformationSequence,
        *(detector.ViewCodeSequence[0] for detector in dataset.DetectorInformationSequence),
        isotope,
        isotope.RadiopharmaceuticalCodeSequence[0],
        isotope.RadionuclideCodeSequence[0],
        window,
        window.EnergyWindowRangeSequence[0],
        dataset.PatientOrientationCodeSequence[0],
        dataset,
    ):
        plant_everywhere(item, planted)
    assert len(planted) > 28_000
    dataset.file_meta.PrivateInformationCreatorUID = "1.2.3.765439999"
    dataset.file_meta.PrivateInformation = f"{MARK}PRIVATE".encode() + b"\0"
    dataset.preamble = f"{MARK}PREAMBLE".encode().ljust(128, b"\0")
    file = BytesIO()
    dataset.save_as(file)
    source = file.getvalue()
    assert all(one.encode() in source for one in planted[:: len(planted) // 500])
    done = deidentified(source, Deidentification(KEY))
    out = pydicom.dcmread(BytesIO(done.content))
    kept = BytesIO()
    del out.PixelData
    out.save_as(kept)
    assert MARK.encode() not in kept.getvalue()
    assert b"7654" not in kept.getvalue()
    assert {str(one.value) for one in out.iterall() if one.VR != "SQ"} & set(planted) == set()
    assert MARK not in f"{done.patient} {done.study} {done.image} {done.remarks}"


@pytest.mark.parametrize("vr", ["LO", "UN", "PN", "DS"])
def test_no_marker_passes_in_an_element_that_is_kept(vr, tmp_path):
    """Text in the place of a number, a code or a date; a file that is refused for it names the element alone."""
    (path,) = scan_of(tmp_path / "in")
    known = {*keep.NUMBERS, *keep.VECTORS, *keep.KNOWN_TEXTS, *keep.DATES, *keep.UIDS, *keep.EMPTY}
    for keyword in sorted({*known, "PatientID", "PatientName", "ViewPosition", "ImageID", "Manufacturer"}):
        dataset = pydicom.dcmread(path)
        tag = pydicom.tag.Tag(keyword)
        spoilt = pydicom.dataelem.RawDataElement(tag, vr, 8, b"QXZW4711", 0, False, True)
        if keyword in ("BitsAllocated", "PixelRepresentation"):
            continue  # pydicom needs these to write the file
        dataset._dict[tag] = spoilt
        for item in dataset.DetectorInformationSequence:
            item._dict[tag] = spoilt
        file = BytesIO()
        dataset.save_as(file)
        assert file.getvalue().count(b"QXZW4711") >= 3
        try:
            done = deidentified(file.getvalue(), Deidentification(KEY))
        except InputError as refusal:
            assert "QXZW" not in str(refusal)
        else:
            assert b"QXZW" not in done.content


def test_what_follows_the_pixels_and_the_data_set_goes(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    dataset = pydicom.dcmread(path)
    whole = path.read_bytes()
    for tail in (b"QXZW", b"QXZW" * 5, b"\xfc\xff\xfc\xffOB\0\0\x08\0\0\0QXZWQXZW"):
        try:
            assert b"QXZW" not in deidentified(whole + tail, Deidentification(KEY)).content
        except InputError as refusal:
            assert "QXZW" not in str(refusal)
    dataset.PixelData += b"QXZW"
    dataset.save_as(path)
    with pytest.raises(InputError, match="truncated or damaged"):
        deidentified(path.read_bytes(), Deidentification(KEY))


@pytest.mark.parametrize("charset", ["ISO_IR 192", "GB18030", ["", "ISO 2022 IR 87"], "QXZW"])
def test_no_marker_passes_in_any_character_set(charset, tmp_path):
    (path,) = scan_of(tmp_path / "in")
    planted = marked(path)
    dataset = pydicom.dcmread(path)
    put(dataset, "SpecificCharacterSet", charset)
    dataset.PatientName = f"{MARK}^ヤマダ=山田^太郎"
    file = BytesIO()
    dataset.save_as(file) if charset != "QXZW" else file.write(path.read_bytes().replace(b"ISO_IR 192", b"QXZW      "))
    done = deidentified(file.getvalue(), Deidentification(KEY))
    assert MARK.encode() not in done.content
    assert not any(form in done.content for one in planted for form in forms(one))


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


def test_pseudonyms_follow_from_key_and_patient(tmp_path):
    first, second, other = (
        deidentified(
            scan_of(tmp_path / name, Header(seed=seed), patient=patient)[0].read_bytes(), Deidentification(KEY)
        )
        for name, seed, patient in (("a", 1, "A"), ("b", 2, "A"), ("c", 3, "B"))
    )
    assert first.patient == second.patient != other.patient
    assert first.study != second.study
    keyed = deidentified((tmp_path / "a" / "scan.dcm").read_bytes(), Deidentification(OTHER_KEY))
    assert keyed.patient != first.patient
    assert keyed.study != first.study


def test_dates_of_a_patient_keep_their_distance_and_move_back(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    dataset = pydicom.dcmread(path)
    dataset.StudyDate, dataset.AcquisitionDate = "20240228", "20240302"
    dataset.save_as(path)
    done = pydicom.dcmread(
        pydicom.filebase.DicomBytesIO(deidentified(path.read_bytes(), Deidentification(KEY)).content)
    )
    days = [np.datetime64(f"{one[:4]}-{one[4:6]}-{one[6:]}") for one in (done.StudyDate, done.AcquisitionDate)]
    assert (days[1] - days[0]).astype(int) == 3
    assert days[0] < np.datetime64("2024-02-28")
    assert done.LongitudinalTemporalInformationModified == "MODIFIED"
    assert done.PatientIdentityRemoved == "YES"
    assert [code.CodeValue for code in done.DeidentificationMethodCodeSequence] == ["113100", "113107"]


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


def test_burned_in_text_is_noticed_and_counts_are_not_taken_for_it():
    """On simulated scans: at most one false alarm of a hundred, and nine texts of ten."""
    from bonescan.phantom import make_anatomy, make_patient

    alarms = found = texts = 0
    anatomy = make_anatomy(5)
    for seed in range(25):
        study = make_patient(anatomy, seed).study
        for view in View:
            frame = study.counts(view).astype(np.uint16)
            alarms += looks_burned_in(frame)
            for value, size in ((int(frame.max()), 14), (4095, 20)):
                texts += 1
                found += looks_burned_in(with_text(frame, value, size))
    assert alarms <= 0.02 * 50
    assert found >= 0.9 * texts


def test_the_command_writes_one_folder_a_patient_and_names_what_it_refuses(cli, tmp_path):
    scan_of(tmp_path / "in")
    (tmp_path / "in" / "broken.dcm").write_bytes((tmp_path / "in" / "scan.dcm").read_bytes()[:900])
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    run = cli("deidentify", "in", "-o", "out", "--key-file", "key", "--json", cwd=tmp_path)
    assert run.returncode == 1
    report = json.loads(run.stdout)
    assert [Path(one["file"]).name for one in report["failures"]] == ["broken.dcm"]
    (written,) = (tmp_path / "out").rglob("*.dcm")
    assert written.relative_to(tmp_path / "out").parts[0] == report["files"][0]["patient"]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    again = cli("deidentify", "in/scan.dcm", "-o", "out", "--key-file", "key", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert list((tmp_path / "out").rglob("*.dcm")) == [written]
    assert cli("segment", "out", "-o", "result", cwd=tmp_path).returncode == 0
    other = cli("deidentify", "in/scan.dcm", "-o", "thrown-away", cwd=tmp_path)
    assert other.returncode == 0
    assert "no key was kept: the same patient gets another pseudonym next time; give --key-file" in other.stderr
    assert "no key was kept" not in again.stderr
    assert report["files"][0]["patient"] not in {path.name for path in (tmp_path / "thrown-away").iterdir()}
    (tmp_path / "key").write_text("short")
    assert cli("deidentify", "in", "-o", "out", "--key-file", "key", cwd=tmp_path).returncode == 2


def test_a_link_in_the_output_is_not_followed(in_process, tmp_path):
    (path,) = scan_of(tmp_path / "in")
    name = sandbox.deidentified(path, KEY, accept_burned_in=False).patient
    (tmp_path / "key").write_text(KEY.hex())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    run = in_process("deidentify", "in", "-o", "out", "--key-file", "key", cwd=tmp_path)
    assert run.returncode == 2
    assert "symbolic link" in run.stderr
    assert not list((tmp_path / "elsewhere").rglob("*.dcm"))


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


def person(path, **elements):
    """The pseudonym, the days and the remarks of a scan of another study with these elements."""
    dataset = pydicom.dcmread(path)
    dataset.PatientBirthDate, dataset.StudyDate = "", "20200101"
    for keyword, value in elements.items():
        put(dataset, keyword, value)
    file = BytesIO()
    dataset.save_as(file)
    done = deidentified(file.getvalue(), Deidentification(KEY))
    return (done.patient, pydicom.dcmread(BytesIO(done.content)).StudyDate), done.remarks


def test_a_patient_with_an_id_has_one_pseudonym_however_else_the_header_is_filled_in(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    first, notes = person(path, PatientID="h 4711 ", PatientName="DOE^JOHN")
    assert notes == ()
    for other in (
        {"IssuerOfPatientID": "X"},
        {"PatientName": "Doe, J."},
        {"PatientBirthDate": "19501231"},
        {"StudyInstanceUID": "1.2.3"},
    ):
        assert person(path, PatientID="H4711", **other)[0] == first
    assert person(path, PatientID="H4712", PatientName="DOE^JOHN")[0] != first


NO_IDS = ["", "0", "0000", "UNKNOWN", "None", "ANONYMOUS", "N/A", "no id", "-", "xxx", "123456789", "9999", "^"]


@pytest.mark.parametrize("nobody", NO_IDS)
def test_a_placeholder_of_an_id_makes_no_patient_of_two(nobody, tmp_path):
    (path,) = scan_of(tmp_path / "in")
    born = {"PatientID": nobody, "PatientBirthDate": "19501231"}
    john, notes = person(path, PatientName="DOE^JOHN", **born)
    assert len(notes) == 1
    assert "name and date of birth" in notes[0]
    for spelled in ("Doe^John^^Dr", "doe^john^A", "DOE  JOHN", "Doe, John", "John^DOE", "Dóe^John=X"):
        assert person(path, PatientName=spelled, StudyInstanceUID="1.2.3", **born)[0] == john
    others = [
        person(path, PatientName="ROE^JANE", **born)[0],
        person(path, PatientName="DOE^JOHN", PatientID=nobody, PatientBirthDate="19510101")[0],
    ]
    for lacking in (
        {"PatientName": "DOE^JOHN"},
        {"PatientName": "DOE^JOHN", "PatientBirthDate": "19000101"},
        {"PatientName": "UNKNOWN^PATIENT", "PatientBirthDate": "19501231"},
        {},
    ):
        one, notes = person(path, **{"PatientID": nobody, "PatientName": "", **lacking})
        two, _ = person(path, **{"PatientID": nobody, "PatientName": "", "StudyInstanceUID": "1.2.3", **lacking})
        assert "its study counts as a patient of its own" in notes[0]
        assert one != two
        others.append(two)
    assert john not in others


@pytest.mark.parametrize("real", ["A", "1", "11", "00123", "ANON001", "X1", "NA-17"])
def test_short_ids_and_numbered_ones_are_ids(real, tmp_path):
    (path,) = scan_of(tmp_path / "in")
    assert person(path, PatientID=real)[1] == ()


def test_what_an_earlier_run_wrote_below_the_input_is_not_read_again(in_process, tmp_path):
    scan_of(tmp_path / "in")
    for _ in range(2):
        run = in_process("deidentify", "in", "-o", "in/out", "--key-file", "key", "--json", cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        assert len(json.loads(run.stdout)["files"]) == 1
    assert len(list((tmp_path / "in" / "out").rglob("*.dcm"))) == 1
    elsewhere = in_process("deidentify", "in", "-o", "out", "--key-file", "key", cwd=tmp_path)
    assert elsewhere.returncode == 1
    assert "de-identified by this program before" in elsewhere.stderr
    for inside in ("in", "in/out", "in/scan.dcm"):
        run = in_process("deidentify", inside, "-o", "in/out" if inside == "in/out" else "in", cwd=tmp_path)
        assert run.returncode == 2
        assert "lies in the output folder" in run.stderr
    (tmp_path / "link").symlink_to(tmp_path / "in" / "out")
    assert in_process("deidentify", "link", "-o", "in/out", cwd=tmp_path).returncode == 2


def test_a_key_among_the_scans_is_refused(in_process, tmp_path):
    scan_of(tmp_path / "in")
    run = in_process("deidentify", "in", "-o", "out", "--key-file", "out/key", cwd=tmp_path)
    assert run.returncode == 2
    assert "keep it elsewhere" in run.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_with_other_content_stays(in_process, tmp_path):
    scan_of(tmp_path / "in")
    arguments = ("deidentify", "in", "-o", "out", "--key-file", "key")
    assert in_process(*arguments, cwd=tmp_path).returncode == 0
    (written,) = (tmp_path / "out").rglob("*.dcm")
    before = written.stat()
    assert in_process(*arguments, cwd=tmp_path).returncode == 0
    assert (written.stat().st_ino, written.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    for other in (b"mine", written.read_bytes()[:-1] + b"\7"):
        written.write_bytes(other)
        run = in_process(*arguments, cwd=tmp_path)
        assert run.returncode == 2
        assert "holds something else" in run.stderr
        assert written.read_bytes() == other
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == [written.name]


@pytest.mark.parametrize("links", [True, False])
def test_writing_leaves_a_whole_file_or_none(links, tmp_path, monkeypatch):
    from bonescan.commands import deidentify as command

    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "p" / "s" / "i.dcm"
    command._write(b"one", target)
    command._write(b"one", target)
    with pytest.raises(OutputError, match="holds something else"):
        command._write(b"two", target)
    assert target.read_bytes() == b"one"
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match="cannot be written"):
        command._write(b"three", target.with_name("j.dcm"))
    assert [path.name for path in target.parent.iterdir()] == ["i.dcm"]
