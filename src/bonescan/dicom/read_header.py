"""Read what derived objects repeat from their source: the patient, the study, and the instances to refer to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from bonescan.dicom.elements import damaged, guarded, integer, items, load, parse, text
from bonescan.dicom.header import PATIENT_KEYWORDS, STUDY_KEYWORDS, Code, SourceHeader, SourceInstance
from bonescan.dicom.pixels import rescale
from bonescan.errors import InputError

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
"""Also with components that begin with 0: PS3.5 9.1 forbids them, older scanners write them."""
_MOST_UID_LETTERS = 64
_MOST_LETTERS = 324
"""The longest value that is accepted (PS3.5 6.2: a name has three groups of 64 characters, in practice also more)."""
_DATE = re.compile(r"\d{8}")
_TIME = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?")
_MOST_CODES = 32
_NO_LETTERS = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's control characters, halves of characters, and separators of lines and paragraphs."""


_FORMS = {
    "PatientBirthDate": _DATE,
    "StudyDate": _DATE,
    "StudyTime": _TIME,
    "PatientSize": _NUMBER,  # some consoles write a decimal comma, which no object can hold
    "PatientWeight": _NUMBER,
}


def read_header(paths: Sequence[Path]) -> SourceHeader:
    """Read the header of the one or two files of a study.

    Raises InputError where a file cannot be read, lacks a UID, or where the files are of different studies.
    """
    with guarded():
        datasets = [parse(load(path), pixels=False) for path in paths]
        first = datasets[0]
        studies = {_uid(dataset, "StudyInstanceUID") for dataset in datasets}
        if len(studies) != 1:
            raise InputError("the files are of different DICOM studies, so one object cannot refer to both")
        return SourceHeader(
            patient=_stated(first, PATIENT_KEYWORDS),
            study={**_stated(first, STUDY_KEYWORDS), "StudyInstanceUID": studies.pop()},
            instances=tuple(_instance(dataset) for dataset in datasets),
            deidentification=tuple(_codes(first)),
        )


def _instance(dataset: Dataset) -> SourceInstance:
    rows, cols = integer(dataset, "Rows"), integer(dataset, "Columns")
    if not rows or not cols:
        raise damaged("Rows")
    frames = integer(dataset, "NumberOfFrames")
    slope, intercept = rescale(dataset)
    return SourceInstance(
        sop_class_uid=_uid(dataset, "SOPClassUID"),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
        frames=1 if frames is None else frames,
        rows=rows,
        cols=cols,
        slope=slope,
        intercept=intercept,
    )


def _uid(dataset: Dataset, keyword: str) -> str:
    """Return a UID after checking its form (PS3.5 9.1); InputError for any other text."""
    uid = text(dataset, keyword)
    if len(uid) > _MOST_UID_LETTERS or not _UID.fullmatch(uid):
        raise InputError(f"the DICOM element {keyword} is missing or no UID, so no object can refer to the file")
    return uid


def _stated(dataset: Dataset, keywords: Sequence[str]) -> dict[str, str]:
    """Return the elements that are present, as text; dates, times and numbers that are not valid are left out."""
    found = {keyword: _clean(text(dataset, keyword)) for keyword in keywords}
    for keyword, form in _FORMS.items():
        if keyword in found and not form.fullmatch(found[keyword]):
            found[keyword] = ""
    return {keyword: stated for keyword, stated in found.items() if stated}


def _clean(stated: str) -> str:
    """Return text without control characters; InputError where it is longer than any value may be."""
    if len(stated) > _MOST_LETTERS:
        raise InputError("an element of the patient or the study is longer than DICOM allows, so the file is damaged")
    return "".join(letter for letter in stated if unicodedata.category(letter) not in _NO_LETTERS)


def _codes(dataset: Dataset) -> list[Code]:
    codes = items(dataset, "DeidentificationMethodCodeSequence")[:_MOST_CODES]
    found = [
        Code(*(_clean(text(code, word)) for word in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")))
        for code in codes
    ]
    return [code for code in found if code.value and code.scheme and code.meaning]
