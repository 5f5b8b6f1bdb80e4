"""Scans to de-identify; a marker wherever a header can name a patient, and the forms in which one could survive."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.study import Scan, Spacing, Study, View

KEY = bytes(range(32))
MARK = "QXZW"
"""In every value that is planted, with a number: nothing else holds these letters."""

TEXTS = [
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "OtherPatientNames",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "PatientMotherBirthName",
    "PatientBirthName",
    "CountryOfResidence",
    "EthnicGroup",
    "Occupation",
    "AdditionalPatientHistory",
    "PatientComments",
    "MilitaryRank",
    "AccessionNumber",
    "StudyID",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "NameOfPhysiciansReadingStudy",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "ImageID",
    "ImageComments",
    "DerivationDescription",
    "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
    "AdmissionID",
    "ContentCreatorName",
    "AcquisitionContext",
    "BodyPartExamined",
    "PatientPosition",
    "WholeBodyTechnique",
]
DATES = ["PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"]


def scan_of(folder, header=None, views=tuple(View), patient="A"):
    """Write a scan of noise in a header's style, of the patient with this ID; returns its files."""
    counts = np.random.default_rng(1).poisson(20, (256, 64))
    study = Study("case", {view: Scan(view, counts + number) for number, view in enumerate(views)}, Spacing(2.0, 2.5))
    folder.mkdir(exist_ok=True)
    paths = write_nm(study, folder / "scan.dcm", header or Header(HeaderStyle.STANDARD))
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.PatientID = patient
        dataset.save_as(path)
    return paths


def put(dataset, keyword, value):
    tag = pydicom.tag.Tag(keyword)
    dataset[tag] = pydicom.DataElement(tag, pydicom.datadict.dictionary_VR(tag), value, validation_mode=0)


def marked(path: Path) -> list[str]:
    """Plant a marker in every text, date, UID, nested item and private element; returns what must not be found."""
    dataset = pydicom.dcmread(path)
    planted = []

    def mark(number):
        planted.append(f"{MARK}{number:03d}")
        return planted[-1]

    for number, keyword in enumerate(TEXTS):
        if keyword != "AcquisitionContext":
            put(dataset, keyword, mark(number))
    for number, keyword in enumerate(DATES):
        put(dataset, keyword, f"194{number}0203")
        planted.append(f"194{number}0203")
    for number, keyword in enumerate(("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")):
        put(dataset, keyword, f"1.2.3.98765432{number}")
        planted.append(f"98765432{number}")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.987654399"
    planted.append("987654399")
    for number, item in enumerate(dataset.DetectorInformationSequence):
        put(item, "CollimatorGridName", mark(100 + number))
        put(item, "DetectorID", mark(110 + number))
        item.ViewCodeSequence[0].CodeMeaning += f" {mark(120 + number)}"
        nested = Dataset()
        put(nested, "PatientName", mark(130 + number))
        put(item, "RequestAttributesSequence", [nested])
    isotope = dataset.RadiopharmaceuticalInformationSequence[0]
    put(isotope, "Radiopharmaceutical", f"99mTc-MDP {mark(140)}")
    isotope.RadiopharmaceuticalCodeSequence[0].CodeMeaning = mark(141)
    dataset.EnergyWindowInformationSequence[0].EnergyWindowName = mark(142)
    request = Dataset()
    put(request, "ScheduledProcedureStepID", mark(143))
    put(dataset, "RequestAttributesSequence", [request])
    put(dataset, "ImageType", ["ORIGINAL", "PRIMARY", "WHOLE BODY", mark(144)])
    put(dataset, "OtherPatientIDs", [mark(145), mark(146)])
    block = dataset.private_block(0x0009, mark(147), create=True)
    block.add_new(1, "LO", mark(148))
    put(dataset, "IconImageSequence", [])
    dataset.add_new(0x60003000, "OW", mark(149).encode() + b"\0" * 9)
    dataset.DataSetTrailingPadding = mark(150).encode() + b"\0"
    dataset.file_meta.SourceApplicationEntityTitle = mark(151)
    dataset.preamble = mark(152).encode().ljust(128, b"\0")
    dataset.save_as(path)
    raw = path.read_bytes()
    assert all(one.encode() in raw for one in planted)
    return planted


def forms(marker):
    """The byte forms in which a marker could survive."""
    yield from (marker.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be"))
    yield marker.lower().encode()
    yield marker[::-1].encode()
    yield base64.b64encode(marker.encode())[:6]
