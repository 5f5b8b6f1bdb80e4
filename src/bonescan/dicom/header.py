"""The patient, study and instances in the header of a source, as validated text for the outputs made from it.

Only these classes hold the patient's identity: a `Study` and a `Result` hold none of it.
Imports no pydicom.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from bonescan.report.words import NOT_STATED, Fields

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
"""Elements of the Patient and Patient Study modules (PS3.3 C.7.1.1, C.7.2.2) that a derived object repeats."""

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
"""Elements of the General Study module (PS3.3 C.7.2.1), and whether the dates are the true ones."""

_LABELS = {
    "PatientName": "Name",
    "PatientID": "ID",
    "PatientBirthDate": "Born",
    "PatientSex": "Sex",
    "AccessionNumber": "Accession",
    "StudyDate": "Study",
}
_DATES = ("PatientBirthDate", "StudyDate")


@dataclass(frozen=True, slots=True)
class Code:
    """A code: value, designator of the coding scheme, meaning."""

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
    """The values in the files of one study that an object derived from them repeats or refers to.

    patient, study: DICOM keyword -> value, for those of `PATIENT_KEYWORDS` and `STUDY_KEYWORDS` that are present.
    instances: in the order of the files. deidentification: the codes of the methods that de-identified the source.
    """

    patient: Mapping[str, str]
    study: Mapping[str, str]
    instances: tuple[SourceInstance, ...]
    deidentification: tuple[Code, ...] = ()

    def __repr__(self) -> str:
        """Return text without identity, as it may appear in logs and tracebacks."""
        return f"SourceHeader({len(self.instances)} instance(s))"


@dataclass(frozen=True, slots=True)
class Made:
    """When an object is made, and whether pictures and pages may name the patient."""

    at: datetime.datetime
    identify: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """What a DICOM object needs in addition to the result."""

    header: SourceHeader
    made: Made


def patient_fields(origin: Origin | None) -> Fields:
    """Return the fields that name the patient, from the header; () unless `origin.made.identify` asks for them."""
    if origin is None or not origin.made.identify:
        return ()
    stated = {**origin.header.patient, **origin.header.study}
    return tuple((label, _shown(keyword, stated.get(keyword, ""))) for keyword, label in _LABELS.items())


def _shown(keyword: str, value: str) -> str:
    if keyword == "PatientName":
        value = _name(value)
    if keyword in _DATES and len(value) == 8:
        value = f"{value[:4]}-{value[4:6]}-{value[6:]}"
    return value or NOT_STATED


def _name(value: str) -> str:
    """Return the first group of a name that is not empty: alphabetic, ideographic or phonetic (PS3.5 6.2.1)."""
    return next((shown for shown in map(_group, value.split("=")) if shown), "")


def _group(group: str) -> str:
    """Format a name's components (family, given, middle, prefix, suffix): the family name, a comma, the others."""
    family, *others = (part.strip() for part in group.split("^"))
    return ", ".join(part for part in (family, " ".join(other for other in others if other)) if part)
