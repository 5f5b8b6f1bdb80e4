"""What all objects have in common: patient and study of the source, an own series, equipment, UIDs, coordinates, files.

UIDs are computed from the content of an object, not from the time: the same result of the same source has the same
UID, however often it is written or sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom import config, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from bonescan._version import __version__
from bonescan.dicom.header import Origin, SourceInstance
from bonescan.dicom.objects import codes
from bonescan.dicom.values import IMPLEMENTATION_UID
from bonescan.errors import InputError
from bonescan.report.words import RESEARCH_USE
from bonescan.study import Result, View

MANUFACTURER = "bonescan"
MODEL_NAME = "bonescan"
_SERIAL_NUMBER = "none"
"""Software has no serial number, but the element must have a value (PS3.3 C.7.5.2)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object: its SOP class, and the description of its series."""

    sop_class: str
    modality: str
    series_number: int
    description: str


KINDS: dict[str, Kind] = {
    "sr": Kind("1.2.840.10008.5.1.4.1.1.88.33", "SR", 9001, "Lesion measurements"),
    "seg": Kind("1.2.840.10008.5.1.4.1.1.66.4", "SEG", 9002, "Lesion segmentation"),
    "capture": Kind("1.2.840.10008.5.1.4.1.1.7", "OT", 9003, "Lesion overlay"),
    "pdf": Kind("1.2.840.10008.5.1.4.1.1.104.1", "DOC", 9004, "Lesion report"),
    "gsps": Kind("1.2.840.10008.5.1.4.1.1.11.1", "PR", 9005, "Lesion curves"),
}

SHORT_TEXT, LONG_TEXT = 1024, 10240
"""The most letters of a value of ST and of LT (PS3.5 6.2)."""
_HALF_PIXEL = 0.5
"""SCOORD and PIXEL graphics are (column, row) from the upper left corner of the upper left pixel, so that this pixel's
centre is at (0.5, 0.5) (PS3.3 C.18.6.1, C.10.5); here a contour is (row, col) and the same centre is at (0, 0)."""
_MOST_NAME_LETTERS = 63
_TYPE_2 = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
_STUDY_TYPE_2 = ("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber")


def derived_uid(*parts: str) -> UID:
    """Return the UUID-derived UID (PS3.5 B.2) that follows from `parts`."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big') >> 1}")


def content_digest(result: Result, origin: Origin) -> str:
    """Return a hash of the content of all objects of a result: the source's instances, the lesions, who found them.

    Without the intervals of the burden, which only the page shows.
    """
    lesions = [
        (
            lesion.id,
            lesion.view.value,
            lesion.region.value,
            lesion.side.value,
            None if lesion.level is None else (lesion.level.name, lesion.level.plus_minus, lesion.level.part),
            lesion.pair,
            lesion.origin,
            hashlib.sha256(lesion.mask.tobytes()).hexdigest(),
        )
        for lesion in result.lesions
    ]
    said = {
        "sources": [instance.sop_instance_uid for instance in origin.header.instances],
        "frames": {view.value: (frame.file, frame.frame) for view, frame in sorted(result.study.frames.items())},
        "lesions": lesions,
        "model": result.model.sha256,
        "reader": result.reader,
        "extent": None if result.extent is None else asdict(replace(result.extent, intervals={}, draws=0)),
        "warnings": list(result.warnings),
        "region": (result.region, *((side.start, side.stop) for side in result.window)),
        "identify": origin.made.identify,
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def use_and_warnings(result: Result, most_letters: int) -> str:
    """Return what an object may be used for, then all warnings of its result, in at most so many letters."""
    said = ". ".join([RESEARCH_USE, *(f"Warning: {warning}" for warning in result.warnings)])
    if len(said) <= most_letters:
        return said
    end = " ... more warnings are in the structured report"
    return said[: most_letters - len(end)] + end


def _digests(result: Result, origin: Origin, kind: str) -> tuple[str, ...]:
    """What the object of a kind is known by: the content of all objects, and of the page its intervals."""
    digest = content_digest(result, origin)
    if kind != "pdf" or result.extent is None or not result.extent.intervals:
        return (digest,)
    return digest, json.dumps(dict(result.extent.intervals), sort_keys=True)


def object_uid(result: Result, origin: Origin, kind: str) -> UID:
    """Return the SOP Instance UID of the object of a kind."""
    return derived_uid("instance", kind, *_digests(result, origin, kind))


def series_uid(result: Result, origin: Origin, kind: str) -> UID:
    """Return the Series Instance UID of the object of a kind: a series holds one object."""
    return derived_uid("series", kind, *_digests(result, origin, kind))


def tracking_uid(result: Result, origin: Origin, lesion: int) -> UID:
    """Return the UID by which SR and SEG name the same lesion."""
    return derived_uid("lesion", str(lesion), content_digest(result, origin))


def tracking_id(lesion: int) -> str:
    """Return the name of a lesion: its number."""
    return f"Lesion {lesion}"


def person_name(reader: str | None) -> str:
    """Return a reader's name as a value of PN, in one component, as it is not known which part is the family name."""
    if reader is None:
        return ""
    plain = "".join(" " if letter in "^=\\" else letter for letter in reader if letter.isprintable())
    return f"{' '.join(plain.split())[:_MOST_NAME_LETTERS]}^"


def new_object(result: Result, origin: Origin, kind: str) -> FileDataset:
    """Return an object of a kind with everything except its content: patient, study, series, equipment, SOP."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(KINDS[kind].sop_class)
    meta.MediaStorageSOPInstanceUID = object_uid(result, origin, kind)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "BONESCAN"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.update(common_modules(result, origin, kind))
    return dataset


def common_modules(result: Result, origin: Origin, kind: str) -> Dataset:
    """Return the modules that every object has (PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.7.5.1, C.7.5.2, C.12.1)."""
    what = KINDS[kind]
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    _repeat(dataset, origin.header.patient, _TYPE_2)
    _repeat(dataset, origin.header.study, _STUDY_TYPE_2)
    if origin.header.deidentification:
        dataset.DeidentificationMethodCodeSequence = [codes.item(code) for code in origin.header.deidentification]
    dataset.SOPClassUID = UID(what.sop_class)
    dataset.SOPInstanceUID = object_uid(result, origin, kind)
    dataset.SeriesInstanceUID = series_uid(result, origin, kind)
    dataset.SeriesNumber = what.series_number
    dataset.InstanceNumber = 1
    dataset.Modality = what.modality
    dataset.SeriesDescription = f"{what.description} (research use only)"
    dataset.BodyPartExamined = "WHOLEBODY"
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MODEL_NAME
    dataset.SoftwareVersions = __version__
    dataset.DeviceSerialNumber = _SERIAL_NUMBER
    date, time = origin.made.at.strftime("%Y%m%d"), origin.made.at.strftime("%H%M%S")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    dataset.SeriesDate, dataset.SeriesTime = date, time
    dataset.ContentDate, dataset.ContentTime = date, time
    return dataset


def _repeat(dataset: Dataset, stated: Mapping[str, str], required: tuple[str, ...]) -> None:
    """Repeat the source's values unchanged, even where they violate DICOM: an archive matches patients by them."""
    for keyword in dict.fromkeys((*required, *stated)):
        tag = Tag(keyword)
        dataset[tag] = DataElement(tag, dictionary_VR(tag), stated.get(keyword, ""), validation_mode=config.IGNORE)


def instance_of(result: Result, origin: Origin, view: View) -> SourceInstance:
    """Return the source instance that holds a view; InputError where result and header do not belong together."""
    frame = result.study.frames.get(view)
    if frame is None or frame.file >= len(origin.header.instances):
        raise InputError(f"the result does not say which frame the {view} view is, so no object can refer to it")
    instance = origin.header.instances[frame.file]
    if frame.frame > instance.frames or (instance.rows, instance.cols) != result.study.shape:
        raise InputError(
            f"the header is not that of the scan that was read (its frames are {instance.frames} of {instance.rows} x "
            f"{instance.cols} pixels); give the file that the result was made from"
        )
    return instance


def image_reference(result: Result, origin: Origin, view: View) -> Dataset:
    """Return the reference to a view: class, instance, and the frame's number where its file has several."""
    instance = instance_of(result, origin, view)
    reference = _instance_item(instance)
    if instance.frames > 1:
        reference.ReferencedFrameNumber = result.study.frames[view].frame
    return reference


def referenced_series(origin: Origin) -> list[Dataset]:
    """Return the items of Referenced Series Sequence: every source series with its instances."""
    return [_series_item(uid, instances) for uid, instances in _by_series(origin)]


def _by_series(origin: Origin) -> Iterator[tuple[str, list[SourceInstance]]]:
    instances = origin.header.instances
    for uid in dict.fromkeys(instance.series_instance_uid for instance in instances):
        yield uid, [instance for instance in instances if instance.series_instance_uid == uid]


def _series_item(uid: str, instances: list[SourceInstance]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = UID(uid)
    series.ReferencedInstanceSequence = [_instance_item(instance) for instance in instances]
    return series


def _instance_item(instance: SourceInstance) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = UID(instance.sop_class_uid)
    reference.ReferencedSOPInstanceUID = UID(instance.sop_instance_uid)
    return reference


def to_graphic(contour: ArrayLike) -> NDArray[np.float64]:
    """Return a contour, (n, 2) of (row, col), as (n, 2) of DICOM's (column, row)."""
    return np.asarray(contour, dtype=np.float64)[:, ::-1] + _HALF_PIXEL


def to_contour(points: ArrayLike) -> NDArray[np.float64]:
    """Return DICOM's points, (n, 2) of (column, row), as a contour, (n, 2) of (row, col)."""
    return np.asarray(points, dtype=np.float64)[:, ::-1] - _HALF_PIXEL


def save(dataset: Dataset, path: Path) -> None:
    """Write an object as a DICOM file. Raises OSError."""
    dataset.save_as(path, enforce_file_format=True)


def sop_class_of(path: Path) -> str:
    """Return the SOP Class UID from a file's meta group. Raises OSError. Only for files that bonescan wrote."""
    return str(read_file_meta_info(path).MediaStorageSOPClassUID)


def sop_instance_of(path: Path) -> str:
    """Return the SOP Instance UID from a file's meta group. Raises OSError. Only for files that bonescan wrote."""
    return str(read_file_meta_info(path).MediaStorageSOPInstanceUID)


def transfer_syntax_of(path: Path) -> str:
    """Return the Transfer Syntax UID from a file's meta group. Raises OSError. Only for files that bonescan wrote."""
    return str(read_file_meta_info(path).TransferSyntaxUID)


def uncompressed(path: Path) -> FileDataset:
    """Return a file's object in Explicit VR Little Endian: the same object and pixels. Only for files of bonescan."""
    dataset = dcmread(path)
    dataset.decompress(generate_instance_uid=False)
    return dataset
