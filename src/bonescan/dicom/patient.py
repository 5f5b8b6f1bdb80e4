"""Fields that name the patient on pictures and pages; only filled on request."""

from __future__ import annotations

from bonescan.dicom.header import Origin
from bonescan.report.ink import NOT_STATED, Fields

_LABELS = {
    "PatientName": "Name",
    "PatientID": "ID",
    "PatientBirthDate": "Born",
    "PatientSex": "Sex",
    "AccessionNumber": "Accession",
    "StudyDate": "Study",
}
_DATES = ("PatientBirthDate", "StudyDate")


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
