"""Which studies are of one patient, and which are the same scan twice.

Patients are told apart by hashes that are only kept in memory: no patient's identity is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bonescan.errors import InputError
from bonescan.reading.inputs import StudyFiles
from bonescan.sandbox import read_header
from bonescan.study import Study, View


def digest_of(study: Study) -> str:
    """A hash of the counts of both views."""
    digest = hashlib.sha256()
    for view in View:
        if view in study.scans:
            digest.update(np.ascontiguousarray(study.counts(view)).tobytes())
    return digest.hexdigest()


def stated_patient(files: StudyFiles) -> str | None:
    """A hash of the Patient ID in the header; None where there is no header, no ID, or a placeholder of one."""
    if files.kind != "dicom":
        return None
    from bonescan.dicom.pseudonyms import comparable_id  # pydicom is for DICOM files alone

    try:
        stated = read_header(files.paths).patient.get("PatientID", "")
    except InputError:  # an element is missing that only derived objects need
        return None
    known = comparable_id(stated)
    return None if known is None else _hashed(known)


def patient_of(files: StudyFiles, given: Sequence[Path]) -> str:
    """A hash of the patient's identity: the Patient ID of the header, else the first folder below the given one."""
    return stated_patient(files) or _hashed(_folder_of(files, given) or files.key)


@dataclass(slots=True)
class KnownPatients:
    """The patients and scans that were met so far in a cohort, by the names of folders."""

    _patients: dict[str, str] = field(default_factory=dict)
    _scans: dict[str, str] = field(default_factory=dict)

    def first_name(self, patient: str | None, folder: str) -> str:
        """The first folder of this patient. patient: as `stated_patient` returns; None: known by the folder alone."""
        return folder if patient is None else self._patients.setdefault(patient, folder)

    def twin(self, digest: str, study: str) -> str | None:
        """The study of before with the same pixels, if there is one. digest: as `digest_of` returns."""
        first = self._scans.setdefault(digest, study)
        return None if first == study else first


def same_pixels(study: str, twin: str) -> str:
    """The sentence about a labelled study that is in a cohort twice."""
    return (
        f"{study} has the same pixels as {twin}, so one scan could be both learned from and tested on: keep one of them"
    )


def _hashed(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()


def _folder_of(files: StudyFiles, given: Sequence[Path]) -> str | None:
    """The first folder below the given one, if the study lies two folders deep: <patient>/<study>/."""
    for root in given:
        if files.paths and files.paths[0].is_relative_to(root):
            below = files.paths[0].relative_to(root).parts
            return str((root / below[0]).resolve()) if len(below) > 2 else None
    return None
