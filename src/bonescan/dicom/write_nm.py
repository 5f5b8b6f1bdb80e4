"""Write simulated studies as NM Image Storage, with headers in the styles of several makes of scanner.

For phantoms only: every patient field clearly names a phantom, and the header says that the scan is simulated.
Follows PS3.3 A.5 and C.8.4. The same study and header give the same bytes.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from bonescan.dicom.accept import NM_IMAGE_STORAGE
from bonescan.dicom.values import IMPLEMENTATION_UID
from bonescan.errors import OutputError
from bonescan.study import Study, View
from bonescan.system.files import reason_of

COMMENT = "SIMULATED, RESEARCH USE ONLY"


class HeaderStyle(StrEnum):
    """The elements in which a header says which frame shows which side."""

    GE = "ge"
    """Only in Start Angle: no View Code Sequence."""
    SIEMENS = "siemens"
    """In Start Angle, and a View Code of a private scheme with padded meanings ("RT ANT")."""
    STANDARD = "standard"
    """In a View Code by SNOMED CT."""
    STANDARD_SRT = "standard-srt"
    """In a View Code by SNOMED RT, as older files have it."""
    TWO_FILES = "two-files"
    """In the text of Image ID, one view per file."""
    NO_VIEWS = "no-views"
    """Nowhere."""


@dataclass(frozen=True, slots=True)
class Header:
    """How to write a study. posterior_first: the posterior frame comes first. seed: changes the UIDs.

    patient: of which name and ID are made, where a patient has several studies; "": of the study's key.
    """

    style: HeaderStyle = HeaderStyle.GE
    posterior_first: bool = False
    seed: int = 0
    patient: str = ""


_CODES = {
    HeaderStyle.SIEMENS: {
        View.ANTERIOR: ("RTANT", "99NMG", "RT ANT  "),
        View.POSTERIOR: ("LTPOST", "99NMG", "LT POST "),
    },
    HeaderStyle.STANDARD: {
        View.ANTERIOR: ("399321004", "SCT", "Anterior projection"),
        View.POSTERIOR: ("399001007", "SCT", "Posterior projection"),
    },
    HeaderStyle.STANDARD_SRT: {
        View.ANTERIOR: ("G-5215", "SRT", "Anterior"),
        View.POSTERIOR: ("G-5216", "SRT", "Posterior"),
    },
}
_ANGLES = {View.ANTERIOR: 180, View.POSTERIOR: 0}
_MAKERS = {HeaderStyle.GE: "PHANTOM (GE-LIKE)", HeaderStyle.SIEMENS: "PHANTOM (SIEMENS-LIKE)"}


def write_nm(study: Study, path: Path, header: Header | None = None) -> list[Path]:
    """Write a simulated study to `path`, or with TWO_FILES to anterior.dcm and posterior.dcm beside it.

    Returns the files written. Raises OutputError where the counts are not integers of 0-65535, or where a
    file cannot be written.
    """
    header = header or Header()
    views = [view for view in View if view in study.scans]
    if header.posterior_first:
        views.reverse()
    if header.style is not HeaderStyle.TWO_FILES:
        return [_write(_dataset(study, views, header, instance=1), path)]
    return [
        _write(_dataset(study, [view], header, instance), path.with_name(f"{view}.dcm"))
        for instance, view in enumerate(views, start=1)
    ]


def _write(dataset: FileDataset, path: Path) -> Path:
    try:
        dataset.save_as(path, enforce_file_format=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({reason_of(error)}); choose another folder") from None
    return path


def _dataset(study: Study, views: Sequence[View], header: Header, instance: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(NM_IMAGE_STORAGE)
    meta.MediaStorageSOPInstanceUID = _uid(study, header, f"instance {instance}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "BONESCAN"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.InstanceNumber = instance
    _patient_and_study(dataset, study, header)
    _series_and_image(dataset, study, views, header)
    _isotope(dataset)
    _detectors(dataset, views, header)
    _pixels(dataset, study, views)
    return dataset


def _uid(study: Study, header: Header, what: str) -> UID:
    """A UUID-derived UID (PS3.5 B.2) that depends on the study's key, the header and `what`."""
    text = f"bonescan phantom|{study.key}|{header.style}|{header.posterior_first}|{header.seed}|{what}"
    return UID(f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], 'big') >> 1}")


def _patient_and_study(dataset: Dataset, study: Study, header: Header) -> None:
    number = re.sub(r"[^A-Z0-9]+", "-", (header.patient or study.key).upper()).strip("-")
    number = number.removeprefix("PHANTOM-")[:32] or "0001"
    date, time = _acquired(study)
    dataset.PatientName = f"PHANTOM^{number}"
    dataset.PatientID = f"PHANTOM-{number}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.PatientComments = COMMENT
    dataset.StudyInstanceUID = _uid(study, header, "study")
    dataset.StudyDate, dataset.StudyTime = date, time
    dataset.StudyID = "1"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "SIMULATED WHOLE BODY BONE SCAN"


def _acquired(study: Study) -> tuple[str, str]:
    """Return DICOM's date and time; both empty where the study states none."""
    found = re.match(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d))?", study.acquired or "")
    if not found:
        return "", ""
    return "".join(found.groups()[:3]), "".join(part or "" for part in found.groups()[3:])


def _series_and_image(dataset: Dataset, study: Study, views: Sequence[View], header: Header) -> None:
    dataset.Modality = "NM"
    dataset.Manufacturer = _MAKERS.get(header.style, "PHANTOM")
    dataset.SeriesInstanceUID = _uid(study, header, "series")
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "WHOLE BODY BONE"
    dataset.BodyPartExamined = "WHOLEBODY"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"]
    dataset.ImageComments = COMMENT
    dataset.AcquisitionDate, dataset.AcquisitionTime = _acquired(study)
    dataset.ContentDate, dataset.ContentTime = _acquired(study)
    # GE counts both frames, Siemens leaves it empty; the element is of type 2.
    dataset.CountsAccumulated = (
        None if header.style is HeaderStyle.SIEMENS else int(sum(study.counts(view).sum(dtype=float) for view in views))
    )
    dataset.WholeBodyTechnique = "1PS"
    dataset.ScanVelocity, dataset.ScanLength = None, None
    dataset.ActualFrameDuration = 1_000_000
    dataset.PatientOrientationCodeSequence = [_code("102538003", "SCT", "recumbent")]
    dataset.PatientGantryRelationshipCodeSequence = [_code("102540001", "SCT", "headfirst")]
    dataset.LossyImageCompression = "00"
    if header.style is HeaderStyle.TWO_FILES:
        dataset.ImageID = {View.ANTERIOR: "WB ANT", View.POSTERIOR: "WB POST"}[views[0]]


def _isotope(dataset: Dataset) -> None:
    window = Dataset()
    window.EnergyWindowName = "Tc99m"
    limits = Dataset()
    limits.EnergyWindowLowerLimit, limits.EnergyWindowUpperLimit = 126.0, 154.0
    window.EnergyWindowRangeSequence = [limits]
    dataset.EnergyWindowInformationSequence = [window]
    isotope = Dataset()
    isotope.Radiopharmaceutical = "99mTc-MDP"
    isotope.RadionuclideCodeSequence = [_code("72454006", "SCT", "Technetium Tc^99m^")]
    isotope.RadiopharmaceuticalCodeSequence = [_code("96390006", "SCT", "Technetium Tc^99m^ medronate")]
    dataset.RadiopharmaceuticalInformationSequence = [isotope]


def _detectors(dataset: Dataset, views: Sequence[View], header: Header) -> None:
    # The anterior detector is always the first; the Detector Vector gives each frame's detector.
    detectors = [view for view in View if view in views]
    dataset.DetectorInformationSequence = [_detector(view, header) for view in detectors]
    dataset.DetectorVector = [detectors.index(view) + 1 for view in views]
    dataset.NumberOfDetectors = len(views)
    dataset.EnergyWindowVector = [1] * len(views)
    dataset.NumberOfEnergyWindows = 1
    dataset.FrameIncrementPointer = [Tag("EnergyWindowVector"), Tag("DetectorVector")]


def _detector(view: View, header: Header) -> Dataset:
    detector = Dataset()
    detector.CollimatorGridName = "LEHR"
    detector.CollimatorType = "PARA"
    detector.FocalDistance = 0
    detector.ZoomFactor = [1, 1]
    detector.ImageOrientationPatient, detector.ImagePositionPatient = None, None
    if header.style in (HeaderStyle.GE, HeaderStyle.SIEMENS):
        detector.StartAngle = _ANGLES[view]
    if header.style in _CODES:
        detector.ViewCodeSequence = [_code(*_CODES[header.style][view])]
    return detector


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _pixels(dataset: Dataset, study: Study, views: Sequence[View]) -> None:
    frames = np.stack([study.counts(view) for view in views])
    stored = frames.astype(np.uint16)
    if not np.array_equal(stored, frames):
        raise OutputError("the counts are not whole numbers of 0 to 65535; DICOM NM stores 16-bit counts")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.NumberOfFrames = len(views)
    dataset.Rows, dataset.Columns = study.shape
    dataset.PixelSpacing = [_decimal(study.spacing.row_mm), _decimal(study.spacing.col_mm)] if study.spacing else None
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 0
    dataset.PixelData = stored.astype("<u2").tobytes()


def _decimal(value: float) -> str:
    """Return a number as a decimal string of at most 16 characters (PS3.5 6.2, DS)."""
    if not math.isfinite(value):
        raise OutputError(f"a pixel spacing of {value} cannot be written")
    return repr(value) if len(repr(value)) <= 16 else f"{value:.10g}"
