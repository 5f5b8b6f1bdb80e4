"""De-identified scans: nobody's name at any depth, and the same counts, views and spacing."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.drawn import dicom_errors
from tests.marked import MARK, forms, marked

from bonescan import sandbox
from bonescan.dicom.deidentify import Deidentification, deidentified, looks_burned_in
from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.errors import InputError
from bonescan.reading import ReadOptions, read_study
from bonescan.study import Scan, Spacing, Study, View

KEY = bytes(range(32))
OTHER_KEY = bytes(32)


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


def test_no_marker_is_left_at_any_depth(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    planted = marked(path)
    assert len(planted) > 60
    done = deidentified(path.read_bytes(), Deidentification(KEY))
    found = [one for one in planted if any(form in done.content for form in forms(one))]
    assert found == []
    assert MARK.encode() not in done.content
    assert not any(one in f"{done.patient} {done.study} {done.image} {done.remarks}" for one in planted)


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
    assert report["files"][0]["patient"] not in {path.name for path in (tmp_path / "thrown-away").iterdir()}
    (tmp_path / "key").write_text("short")
    assert cli("deidentify", "in", "-o", "out", "--key-file", "key", cwd=tmp_path).returncode == 2


def test_a_link_in_the_output_is_not_followed(cli, tmp_path):
    (path,) = scan_of(tmp_path / "in")
    name = sandbox.deidentified(path, KEY, accept_burned_in=False).patient
    (tmp_path / "key").write_text(KEY.hex())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    run = cli("deidentify", "in", "-o", "out", "--key-file", "key", cwd=tmp_path)
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


def test_a_view_code_that_contradicts_its_meaning_is_refused_and_words_are_whole(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    dataset = pydicom.dcmread(path)
    dataset.Manufacturer = "Siemens, Germany"
    dataset.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical = "99mTc-HMDP"
    dataset.save_as(path)
    (tmp_path / "out.dcm").write_bytes(deidentified(path.read_bytes(), Deidentification(KEY)).content)
    done = pydicom.dcmread(tmp_path / "out.dcm")
    assert done.Manufacturer == "SIEMENS"
    assert done.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical == "HMDP"
    dataset.DetectorInformationSequence[0].ViewCodeSequence[0].CodeMeaning = "POSTERIOR"
    dataset.save_as(path)
    with pytest.raises(InputError, match="says one side"):
        deidentified(path.read_bytes(), Deidentification(KEY))
