"""Which studies are of one patient, and which are the same scan twice; what follows for a labelled cohort."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest

from bonescan.annotate import from_label_image, write_labelme
from bonescan.annotate.label_json import counts_digests
from bonescan.annotate.labelme import read_labelme, stamped
from bonescan.dicom.write_nm import Header, write_nm
from bonescan.errors import InputError, LabelError
from bonescan.prepare import Normalisation
from bonescan.reading import discover, read_study
from bonescan.reading.patients import patient_of, stated_patient
from bonescan.study import Scan, Study, View
from bonescan.train.cohort import cohort_split
from bonescan.train.config import CohortConfig

SHAPE = (256, 64)


def write_labelled(folder, patient, seed):
    """A labelled study without lesions; patient: of which its Patient ID is made."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    scans = {view: Scan(view, rng.poisson(9.0, SHAPE).astype(np.float32)) for view in View}
    write_nm(Study(folder.name, scans), folder / "scan.dcm", Header(patient=patient, seed=seed))
    for view in View:
        write_labelme(folder / f"{view}.json", from_label_image(np.zeros(SHAPE, np.uint16)))


def for_validation(name):
    """Whether the patient's folder alone would decide so at a share of one half."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32 < 0.5


def one_of(folder):
    (files,) = discover([folder])
    return files


def test_a_patient_is_known_by_the_stated_id_and_else_by_the_folder(tmp_path, monkeypatch):
    write_labelled(tmp_path / "a" / "one", "4711", 1)
    write_labelled(tmp_path / "b" / "one", " 4711", 2)
    write_labelled(tmp_path / "c" / "one", "4712", 3)
    first, second, other = (stated_patient(one_of(tmp_path / name)) for name in "abc")
    assert first == second != other
    assert "4711" not in str(first)
    assert patient_of(one_of(tmp_path / "a"), [tmp_path]) == first
    header = type("Header", (), {"patient": {"PatientID": "UNKNOWN"}})
    monkeypatch.setattr("bonescan.reading.patients.read_header", lambda paths: header)
    assert stated_patient(one_of(tmp_path / "a")) is None
    found = {patient_of(files, [tmp_path]) for files in discover([tmp_path])}
    assert len(found) == 3


def test_one_patient_in_two_folders_is_on_one_side_of_the_split(tmp_path):
    names = [f"name-{number}" for number in range(20)]
    first = names[0]
    other = next(name for name in names if for_validation(name) != for_validation(first))
    write_labelled(tmp_path / first / "study", "4711", 1)
    write_labelled(tmp_path / other / "study", "4711", 2)
    split = cohort_split(CohortConfig(str(tmp_path), validation_share=0.5), Normalisation())
    sides = [list(split.training), list(split.validation)]
    assert sorted(map(len, sides)) == [0, 2]
    assert {case.facts.group for side in sides for case in side} == {f"patient-{first}"}


def test_a_copied_folder_of_a_labelled_cohort_is_refused(tmp_path):
    write_labelled(tmp_path / "anna" / "study", "4711", 1)
    write_labelled(tmp_path / "berta" / "study", "4712", 2)
    shutil.copytree(tmp_path / "anna", tmp_path / "carla")
    with pytest.raises(InputError, match="carla/study has the same pixels as anna/study"):
        cohort_split(CohortConfig(str(tmp_path)), Normalisation())


def test_labels_of_another_scan_are_refused_and_named(tmp_path):
    for number, name in enumerate(("anna", "berta")):
        study = tmp_path / name / "study"
        write_labelled(study, f"471{number}", number)
        for view, digest in counts_digests(read_study(study)).items():
            path = study / f"{view}.json"
            write_labelme(path, stamped(read_labelme(path), {view: digest}))
    cohort = CohortConfig(str(tmp_path))
    split = cohort_split(cohort, Normalisation())
    assert len(split.training) + len(split.validation) == 2
    own = (tmp_path / "berta" / "study" / "posterior.json").read_bytes()
    for other in ("anna/study/posterior.json", "berta/study/anterior.json"):
        (tmp_path / "berta" / "study" / "posterior.json").write_bytes((tmp_path / other).read_bytes())
        with pytest.raises(LabelError, match=r"^berta/study: posterior\.json was drawn on another image than the post"):
            cohort_split(cohort, Normalisation())
        (tmp_path / "berta" / "study" / "posterior.json").write_bytes(own)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", r"anterior\.json is no JSON document"),
        ('{"shapes": [], "imageHeight": 9, "imageWidth": 9}', "the label file is for a frame of 9 x 9 pixels"),
        ('{"shapes": [{"shape_type": "line", "points": [[1, 1], [2, 2]]}]}', r"shape 1 of anterior\.json is a line"),
    ],
)
def test_whose_label_file_cannot_be_used_is_said(tmp_path, content, sentence):
    write_labelled(tmp_path / "anna" / "study", "4711", 1)
    write_labelled(tmp_path / "berta" / "study", "4712", 2)
    (tmp_path / "berta" / "study" / "anterior.json").write_text(content)
    with pytest.raises(LabelError, match=f"^berta/study: {sentence}"):
        cohort_split(CohortConfig(str(tmp_path)), Normalisation())


def test_whose_scan_cannot_be_read_is_said(tmp_path):
    write_labelled(tmp_path / "anna" / "study", "4711", 1)
    (tmp_path / "anna" / "study" / "scan.dcm").unlink()
    with pytest.raises(InputError, match=r"^anna/study: "):
        cohort_split(CohortConfig(str(tmp_path)), Normalisation())
