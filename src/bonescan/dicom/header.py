"""What the header of a source says of patient, study and instances: validated text, for the objects made from it.

The patient's identity lives here and nowhere else in the program: a `Study` and a `Result` carry none of it.
Imports no pydicom.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

PATIENT_KEYWORDS = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
)
"""Of the Patient and Patient Study modules (PS3.3 C.7.1.1, C.7.2.2): what a derived object repeats."""

STUDY_KEYWORDS = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "LongitudinalTemporalInformationModified",
)
"""Of the General Study module (PS3.3 C.7.2.1), and whether its dates are the true ones."""


@dataclass(frozen=True, slots=True)
class Code:
    """A code of a dictionary: value, designator of the coding scheme, meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class SourceInstance:
    """One file that was read. frames, rows, cols: of its pixels. Counts are slope * stored + intercept."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    frames: int
    rows: int
    cols: int
    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True, repr=False)
class SourceHeader:
    """Of the files of one study, what an object derived from them repeats and refers to.

    patient, study: DICOM keyword -> value, for those of `PATIENT_KEYWORDS` and `STUDY_KEYWORDS` that are stated.
    instances: in the order of the files. deidentification: the codes of what was done to de-identify the source.
    """

    patient: Mapping[str, str]
    study: Mapping[str, str]
    instances: tuple[SourceInstance, ...]
    deidentification: tuple[Code, ...] = ()

    def __repr__(self) -> str:
        """Name nobody: a representation lands in logs and tracebacks."""
        return f"SourceHeader({len(self.instances)} instance(s))"


@dataclass(frozen=True, slots=True)
class Made:
    """When an object is made, and whether pictures and pages may name the patient."""

    at: datetime.datetime
    identify: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """What an object in DICOM needs beside the result."""

    header: SourceHeader
    made: Made
