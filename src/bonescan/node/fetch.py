"""Fetch bone scans from an archive by DICOMweb, into folders with names that bonescan makes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bonescan.dicom.elements import MAX_FILE_BYTES
from bonescan.errors import BonescanError, InputError, OutputError
from bonescan.node.destinations import DeliveryError
from bonescan.node.dicomweb import WebArchive, checked_uid, is_uid, value_of
from bonescan.report.words import counted
from bonescan.sandbox import file_summary
from bonescan.system.files import written_whole

_STUDY, _SERIES, _INSTANCE, _CLASS, _DESCRIPTION = "0020000D", "0020000E", "00080018", "00080016", "0008103E"
_IMAGE_CLASSES = ("1.2.840.10008.5.1.4.1.1.20", "1.2.840.10008.5.1.4.1.1.5")
_MOST_INSTANCES = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for. studies: UIDs; () = all that match. date: as DICOM matches it, 20240101-20241231, or ""."""

    studies: tuple[str, ...] = ()
    patient_ids: tuple[str, ...] = ()
    date: str = ""
    most: int = 1000


@dataclass(frozen=True, slots=True)
class Fetched:
    """One object. path: where it lies. new: it was not there before."""

    study: str
    path: Path
    new: bool


def find_studies(archive: WebArchive, wanted: Wanted) -> list[str]:
    """Return the UIDs of the matching studies that contain nuclear medicine. Raises DeliveryError, InputError."""
    if wanted.studies:
        return [_stated_uid(uid) for uid in wanted.studies]
    query = {"ModalitiesInStudy": "NM"}
    if wanted.date:
        query["StudyDate"] = wanted.date
    queries = [{**query, "PatientID": one} for one in wanted.patient_ids] or [query]
    found = [
        checked_uid(value_of(entry, _STUDY)) for one in queries for entry in archive.find("/studies", one, wanted.most)
    ]
    return list(dict.fromkeys(found))[: wanted.most]


def _stated_uid(uid: str) -> str:
    if not is_uid(uid):
        raise InputError(
            f"the study {uid!r} is no UID: give its Study Instance UID, numbers with dots between, as 1.2.840.1"
        )
    return uid


def fetch_study(archive: WebArchive, study: str, out: Path) -> Iterator[Fetched]:
    """Yield each nuclear medicine image of a study, written completely or not at all; existing files are not fetched.

    An image that the archive refuses, or that is none, does not stop the others: InputError says it at the end. Raises
    DeliveryError where the archive cannot be reached, and OutputError.
    """
    problems: list[BonescanError] = []
    for series in archive.find(f"/studies/{study}/series", {"Modality": "NM"}, _MOST_INSTANCES):
        uid = checked_uid(value_of(series, _SERIES))
        place = f"/studies/{study}/series/{uid}/instances"
        for entry in archive.find(place, {"includefield": "SOPClassUID"}, _MOST_INSTANCES):
            instance = checked_uid(value_of(entry, _INSTANCE))
            if value_of(entry, _CLASS) not in (*_IMAGE_CLASSES, ""):
                continue
            path = out / f"study-{_name(study)}" / f"image-{_name(instance)}.dcm"
            if path.exists():
                yield Fetched(path.parent.name, path, new=False)
                continue
            try:
                content = archive.fetch(study, uid, instance)
                if content[128:132] != b"DICM" or len(content) > MAX_FILE_BYTES:
                    raise InputError("the archive sent something that is no DICOM file of a bearable size")
                _write(content, path, study)
            except (InputError, DeliveryError) as error:
                if isinstance(error, DeliveryError) and error.retryable:
                    raise
                problems.append(error)
                continue
            yield Fetched(path.parent.name, path, new=True)
    if problems:
        raise InputError(f"{counted(len(problems), 'image')} could not be fetched: {problems[0]}")


def _name(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:16]


def _write(content: bytes, path: Path, study: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            temporary.write_bytes(content)
            # The UID is "" for a file that cannot be read; reading it later raises the reason.
            if file_summary(temporary).study_uid not in ("", study):
                raise InputError("the archive sent an image of another study than it was asked for")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}): choose another folder") from None
