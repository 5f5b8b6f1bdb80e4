"""Who the patient is, in lines for pictures and pages: only where it was asked for."""

from __future__ import annotations

from bonescan.dicom.header import Origin

_LABELS = {
    "PatientName": "Name",
    "PatientID": "ID",
    "PatientBirthDate": "Born",
    "PatientSex": "Sex",
    "AccessionNumber": "Accession",
    "StudyDate": "Study",
}
_DATES = ("PatientBirthDate", "StudyDate")


def patient_lines(origin: Origin | None) -> tuple[str, ...]:
    """Return what names the patient, two lines; () unless the maker asked for it."""
    if origin is None or not origin.made.identify:
        return ()
    stated = {**origin.header.patient, **origin.header.study}
    said = [f"{label}: {_shown(keyword, stated.get(keyword, ''))}" for keyword, label in _LABELS.items()]
    return "    ".join(said[:3]), "    ".join(said[3:])


def _shown(keyword: str, value: str) -> str:
    if not value:
        return "not stated"
    if keyword in _DATES and len(value) == 8:
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    # A person's name has groups for alphabets, ideographs and sounds (PS3.5 6.2.1): the first is for every reader.
    return ", ".join(part.replace("^", " ").strip() for part in value.split("=")[:1]) if "Name" in keyword else value
