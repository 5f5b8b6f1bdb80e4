"""Pseudonyms of a patient, a study and an image under a key, and how a patient is recognised.

A pseudonym can be computed again from the patient's ID with the key, and not without it.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import re
import unicodedata

from pydicom.dataset import Dataset
from pydicom.uid import UID

from bonescan.dicom.elements import text

_MOST_DAYS = 3650
_FIRST_BIRTH = "19000102"
"""An earlier date of birth is a program's placeholder, most often the first day of 1900."""

_NO_ID = re.compile(r"0*|x+|1234567?8?9?0?|([1-9])\1{3,}")
"""Numbers and letters that people type where an ID is required but there is none."""
# fmt: off
_PLACEHOLDERS = frozenset((
    "anon", "anonim", "anonimo", "anonym", "anonyme", "anonymise", "anonymised", "anonymisiert", "anonymized",
    "anonymous", "applicable", "available", "blank", "default", "deidentified", "desconocido", "dummy", "empty",
    "id", "inconnu", "missing", "mrn", "n", "na", "name", "nan", "nil", "nn", "no", "noid", "noname", "none",
    "not", "null", "pat", "patient", "patientid", "patientname", "pid", "removed", "sconosciuto", "temp",
    "temporary", "test", "testpatient", "unbekannt", "undefined", "unk", "unknown", "withheld",
))
# fmt: on
"""Placeholder words for a missing name or ID; a name or ID that consists only of these counts as missing."""

_BY_NAME = (
    "the file has no patient ID that is one, so that the patient was told by name and date of birth: "
    "check that nobody shares both, and that a patient's name is not spelled in several ways"
)
_BY_STUDY = (
    "the file has neither a patient ID that is one nor a name with a date of birth, so that its study counts as a "
    "patient of its own: another study of the same patient gets another pseudonym and other dates"
)


class Pseudonyms:
    """Pseudonyms of one file. patient, study, image: safe as file names. days: by how many its dates move back.

    remark: what a person should know about how the patient was recognised; None where there is an ID.
    """

    def __init__(self, source: Dataset, key: bytes) -> None:
        self._key = key
        person, self.remark = _person(source)
        letters = base64.b32encode(self._digest("patient", person)).decode()
        self.patient = f"BS-{letters[:10]}"
        self.days = 1 + int.from_bytes(self._digest("days", person)[:8], "big") % _MOST_DAYS
        self.study = f"study-{self._digest('study', text(source, 'StudyInstanceUID')).hex()[:12]}"
        self.image = f"image-{self._digest('image', text(source, 'SOPInstanceUID')).hex()[:12]}"

    def uid(self, original: str) -> UID:
        """Return the UID (PS3.5 B.2) that replaces `original`."""
        return UID(f"2.25.{int.from_bytes(self._digest('uid', original)[:16], 'big') >> 1}")

    def moved(self, date: str) -> str:
        """Return a date moved back by the patient's days; "" for text that is no date."""
        try:
            moved = _day(date) - datetime.timedelta(days=self.days)
        except (ValueError, OverflowError):
            return ""
        return moved.isoformat().replace("-", "")

    def _digest(self, what: str, of: str) -> bytes:
        return hmac.new(self._key, f"{what}\0{of}".encode(), hashlib.sha256).digest()


def is_date(digits: str) -> bool:
    """Tell whether eight digits are a date of the years 1880 to 2100, as DICOM writes it."""
    try:
        return 1880 <= _day(digits).year <= 2100
    except ValueError:
        return False


def _day(digits: str) -> datetime.date:
    """Return the date that eight digits give; ValueError for text that is no date."""
    if not re.fullmatch("[0-9]{8}", digits):
        raise ValueError("no date")
    return datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))


def _person(source: Dataset) -> tuple[str, str | None]:
    """Return text that identifies the patient across files, and a remark where it may not do so.

    A valid patient ID is used alone: some of a patient's files often lack its issuer, and spellings of names vary.
    Without one, name and date of birth are used together, as several patients can share either; else the study.
    """
    patient_id = comparable_id(text(source, "PatientID"))
    if patient_id is not None:
        return f"id\0{patient_id}", None
    name, born = _name(text(source, "PatientName")), text(source, "PatientBirthDate")
    if not _is_placeholder(name) and is_date(born) and born >= _FIRST_BIRTH:
        return f"name\0{name}\0{born}", _BY_NAME
    return f"study\0{text(source, 'StudyInstanceUID')}", _BY_STUDY


def comparable_id(stated: str) -> str | None:
    """Return a Patient ID without differences of case, width and spaces; None for a placeholder."""
    patient_id = "".join(unicodedata.normalize("NFKC", stated).casefold().split())
    return None if _is_placeholder(patient_id) else patient_id


def _is_placeholder(stated: str) -> bool:
    """Tell whether an ID or a name, in lower case, is a placeholder."""
    words = re.findall(r"[^\W_]+", stated)
    together = "".join(words)
    return bool(_NO_ID.fullmatch(together)) or together in _PLACEHOLDERS or all(one in _PLACEHOLDERS for one in words)


def _name(stated: str) -> str:
    """Return the words of family and given name, sorted: in lower case, without accents and signs.

    Some of a patient's files often lack middle names and titles, and the order of the words varies.
    """
    groups = [group for group in stated.split("=") if group.strip(" ^")]
    parts = "^".join(groups[0].split("^")[:2]) if groups else ""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", parts) if not unicodedata.combining(letter))
    return " ".join(sorted(re.findall(r"[^\W_]+", plain.casefold())))
