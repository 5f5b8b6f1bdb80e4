"""De-identified scans: one pseudonym for each patient, and dates that keep their distance."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pydicom
import pytest
from tests.marked import KEY, put, scan_of

from bonescan.dicom.deidentify import Deidentification, deidentified
from bonescan.dicom.write_nm import Header

OTHER_KEY = bytes(32)


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


@pytest.mark.parametrize("placeholder", NO_IDS)
def test_a_placeholder_of_an_id_makes_no_patient_of_two(placeholder, tmp_path):
    (path,) = scan_of(tmp_path / "in")
    born = {"PatientID": placeholder, "PatientBirthDate": "19501231"}
    john, notes = person(path, PatientName="DOE^JOHN", **born)
    assert len(notes) == 1
    assert "name and date of birth" in notes[0]
    for spelled in ("Doe^John^^Dr", "doe^john^A", "DOE  JOHN", "Doe, John", "John^DOE", "Dóe^John=X"):
        assert person(path, PatientName=spelled, StudyInstanceUID="1.2.3", **born)[0] == john
    others = [
        person(path, PatientName="ROE^JANE", **born)[0],
        person(path, PatientName="DOE^JOHN", PatientID=placeholder, PatientBirthDate="19510101")[0],
    ]
    for lacking in (
        {"PatientName": "DOE^JOHN"},
        {"PatientName": "DOE^JOHN", "PatientBirthDate": "19000101"},
        {"PatientName": "UNKNOWN^PATIENT", "PatientBirthDate": "19501231"},
        {},
    ):
        one, notes = person(path, **{"PatientID": placeholder, "PatientName": "", **lacking})
        two, _ = person(path, **{"PatientID": placeholder, "PatientName": "", "StudyInstanceUID": "1.2.3", **lacking})
        assert "its study counts as a patient of its own" in notes[0]
        assert one != two
        others.append(two)
    assert john not in others


@pytest.mark.parametrize("real", ["A", "1", "11", "00123", "ANON001", "X1", "NA-17"])
def test_short_ids_and_numbered_ones_are_ids(real, tmp_path):
    (path,) = scan_of(tmp_path / "in")
    assert person(path, PatientID=real)[1] == ()
