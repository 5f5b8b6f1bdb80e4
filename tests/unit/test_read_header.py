"""What derived objects repeat of their source: validated, and shown to nobody."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from bonescan.dicom.read_header import read_header
from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.errors import InputError
from bonescan.reading import read_study
from bonescan.study import Scan, SourceFrame, Spacing, Study, View


def written(tmp_path, header=None, views=tuple(View), **elements):
    counts = np.random.default_rng(1).integers(0, 100, (256, 64))
    study = Study("case", {view: Scan(view, counts) for view in views}, Spacing(2.0, 2.5))
    paths = write_nm(study, tmp_path / "scan.dcm", header)
    for path in paths if elements else ():
        dataset = pydicom.dcmread(path)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    return paths


def test_patient_study_and_instances_are_read(tmp_path):
    paths = written(tmp_path, PatientName="Müller^Jörg", AccessionNumber="A1", StudyTime="101112.5")
    header, dataset = read_header(paths), pydicom.dcmread(paths[0])
    assert header.patient["PatientName"] == "Müller^Jörg"
    assert (header.study["AccessionNumber"], header.study["StudyTime"]) == ("A1", "101112.5")
    assert header.study["StudyInstanceUID"] == dataset.StudyInstanceUID
    (instance,) = header.instances
    assert (instance.sop_instance_uid, instance.series_instance_uid) == (
        dataset.SOPInstanceUID,
        dataset.SeriesInstanceUID,
    )
    assert (instance.frames, instance.rows, instance.cols) == (2, 256, 64)


def test_its_representation_names_nobody(tmp_path):
    header = read_header(written(tmp_path, PatientName="Secret^Name"))
    assert "Secret" not in repr(header)


@pytest.mark.parametrize("value", ["", "../../evil", "1.2.3/4", "1." + "2" * 70, "a.b"])
def test_what_is_no_uid_is_refused(tmp_path, value):
    paths = written(tmp_path)
    dataset = pydicom.dcmread(paths[0])
    dataset["SOPInstanceUID"] = pydicom.DataElement("SOPInstanceUID", "UI", value, validation_mode=0)
    dataset.save_as(paths[0])
    with pytest.raises(InputError, match="SOPInstanceUID is missing or no UID"):
        read_header(paths)


def test_a_uid_with_a_leading_zero_is_repeated_as_it_is(tmp_path):
    """PS3.5 9.1 forbids it; older scanners write it, and archives take it."""
    paths = written(tmp_path)
    dataset = pydicom.dcmread(paths[0])
    said = "1.2.840.0123.7"
    dataset["SOPInstanceUID"] = pydicom.DataElement("SOPInstanceUID", "UI", said, validation_mode=0)
    dataset.save_as(paths[0])
    assert read_header(paths).instances[0].sop_instance_uid == said


def test_a_decimal_comma_is_left_out(tmp_path):
    paths = written(tmp_path, PatientSex="F")
    dataset = pydicom.dcmread(paths[0])
    for keyword, said in (("PatientWeight", "70,5"), ("PatientSize", "1.75")):
        dataset.add(pydicom.DataElement(keyword, "SH", said))  # as text, since no DS may hold it
    dataset.save_as(paths[0])
    content = paths[0].read_bytes().replace(b"SH\x04\x0070,5", b"DS\x04\x0070,5")
    paths[0].write_bytes(content.replace(b"SH\x04\x001.75", b"DS\x04\x001.75"))
    patient = read_header(paths).patient
    assert "PatientWeight" not in patient
    assert (patient["PatientSize"], patient["PatientSex"]) == ("1.75", "F")


@pytest.mark.parametrize("said", ["山田\u3000太郎", "علی\u200cرضا", "Jean\u00a0Paul"])
def test_a_name_is_repeated_letter_by_letter(tmp_path, said):
    """An archive matches patients by the name: a wide blank or a joiner belongs to it."""
    paths = written(tmp_path, SpecificCharacterSet="ISO_IR 192", PatientName=said)
    assert read_header(paths).patient["PatientName"] == said


def test_files_of_two_studies_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    paths = written(tmp_path, Header(HeaderStyle.TWO_FILES))
    others = written(tmp_path / "other", Header(HeaderStyle.TWO_FILES, seed=1))
    with pytest.raises(InputError, match="different DICOM studies"):
        read_header([paths[0], others[1]])


@pytest.mark.parametrize("posterior_first", [False, True])
@pytest.mark.parametrize("style", [HeaderStyle.GE, HeaderStyle.STANDARD, HeaderStyle.TWO_FILES])
def test_a_study_says_which_frame_each_view_is(tmp_path, style, posterior_first):
    paths = written(tmp_path, Header(style, posterior_first))
    first, second = (View.POSTERIOR, View.ANTERIOR) if posterior_first else tuple(View)
    places = [SourceFrame(0, 1), SourceFrame(1, 1) if style is HeaderStyle.TWO_FILES else SourceFrame(0, 2)]
    study = read_study(paths)
    if style is HeaderStyle.TWO_FILES:
        assert {view: study.sources[study.frames[view].file] for view in View} == {v: f"{v}.dcm" for v in View}
    else:
        assert study.frames == {first: places[0], second: places[1]}
    assert len(study.digests) == len(paths)
    assert all(len(digest) == 64 for digest in study.digests)
