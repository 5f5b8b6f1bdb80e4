"""The elements that a de-identified scan keeps, at every level of nesting; all others are removed (PS3.15 Annex E).

They are those needed to read a planar bone scan, to tell its views, to measure and to show it. Numbers are kept as
numbers. A text is kept only where it is in a known set, so that a person's name cannot pass as a vendor's.
"""

from __future__ import annotations

NUMBERS = frozenset(
    {
        # The pixels, how they are stored and how large they are (PS3.3 C.7.6.3, C.8.4.8).
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "NumberOfFrames",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
        "LossyImageCompressionRatio",
        # How many energies and detectors (C.8.4.8), and how long and how many counts (C.8.4.9).
        "NumberOfEnergyWindows",
        "NumberOfDetectors",
        "CountsAccumulated",
        "ActualFrameDuration",
        "ScanVelocity",
        "ScanLength",
        "EnergyWindowLowerLimit",
        "EnergyWindowUpperLimit",
        # The tracer (C.8.4.10).
        "RadionuclideTotalDose",
        "RadionuclideHalfLife",
        # The detector: its angle and orientation tell the views (C.8.4.11).
        "StartAngle",
        "FocalDistance",
        "ZoomFactor",
        "ImageOrientationPatient",
        "ImagePositionPatient",
        # Order within the study, which tells nothing about the patient.
        "SeriesNumber",
        "InstanceNumber",
    }
)

VECTORS = ("EnergyWindowVector", "DetectorVector")
"""The energy and detector of each frame (C.8.4.8): only at the root, one value per frame."""

SEQUENCES = frozenset(
    {
        "EnergyWindowInformationSequence",
        "EnergyWindowRangeSequence",
        "RadiopharmaceuticalInformationSequence",
        "DetectorInformationSequence",
    }
)

CODE_SEQUENCES = frozenset(
    {
        "ViewCodeSequence",
        "RadionuclideCodeSequence",
        "RadiopharmaceuticalCodeSequence",
        "PatientOrientationCodeSequence",
        "PatientGantryRelationshipCodeSequence",
    }
)

VIEW_CODES = {
    ("SCT", "399321004"): "Anterior projection",
    ("SCT", "399001007"): "Posterior projection",
    ("SRT", "G-5215"): "Anterior",
    ("SRT", "G-5216"): "Posterior",
}

KNOWN_CODES = VIEW_CODES | {
    ("SCT", "72454006"): "Technetium Tc^99m^",
    ("SRT", "C-163A8"): "Technetium Tc^99m^",
    ("SCT", "96390006"): "Technetium Tc^99m^ medronate",
    ("SCT", "53951001"): "Technetium Tc^99m^ oxidronate",
    ("SCT", "102538003"): "recumbent",
    ("SRT", "F-10450"): "recumbent",
    ("SCT", "102540001"): "headfirst",
    ("SRT", "F-10470"): "headfirst",
    ("SCT", "102541002"): "feet-first",
    ("SRT", "F-10480"): "feet-first",
}
"""(scheme, value) -> the meaning that is written. Other codes are left out; other view codes become one of these."""

CAPTURES = frozenset({"1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.3"})
"""SOP classes of secondary capture."""

KNOWN_TEXTS: dict[str, frozenset[str]] = {
    "Modality": frozenset({"NM"}),
    # NM images; the retired class is read in the same way and kept, as no IOD exists to convert it to.
    "SOPClassUID": CAPTURES | {"1.2.840.10008.5.1.4.1.1.20", "1.2.840.10008.5.1.4.1.1.5"},
    "ImageType": frozenset(
        {
            "ORIGINAL",
            "DERIVED",
            "PRIMARY",
            "SECONDARY",
            "WHOLE BODY",
            "STATIC",
            "EMISSION",
            "TRANSMISSION",
            "ADD",
            "MIN",
        }
    ),
    "LossyImageCompression": frozenset({"00", "01"}),
    "WholeBodyTechnique": frozenset({"1PS", "2PS", "PCN", "MSP"}),
    "CollimatorType": frozenset({"PARA", "PINH", "FANB", "CONE", "SLNT", "ASTG", "DIVG", "NONE", "UNKN"}),
    "PatientPosition": frozenset({"HFS", "HFP", "FFS", "FFP", "HFDR", "HFDL", "FFDR", "FFDL"}),
    "PatientOrientation": frozenset({"L", "R", "A", "P", "H", "F"}),
    "BodyPartExamined": frozenset({"WHOLEBODY"}),
    "BurnedInAnnotation": frozenset({"YES", "NO"}),
}
"""A value that is not in its set is left out; among several values it is left empty, so that the others keep their
places."""

VENDORS = (
    "GE",
    "SIEMENS",
    "PHILIPS",
    "MEDISO",
    "SPECTRUM",
    "ADAC",
    "PICKER",
    "ELSCINT",
    "TOSHIBA",
    "SHIMADZU",
    "PHANTOM",
)
"""Manufacturer is kept as one of these words."""

TRACERS = (
    *("MIBI", "SESTAMIBI", "TETROFOSMIN", "PERTECHNETATE", "MIBG", "IOBENGUANE", "MAA", "DMSA", "DTPA"),
    *("MDP", "HDP", "HMDP", "DPD", "HEDP", "MEDRONATE", "OXIDRONATE"),
)
"""Radiopharmaceutical is kept as the first of these words that it contains. Words of other scans come first, so that
such a scan is not taken for a bone scan."""

DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
"""Shifted back by a number of days that depends on the key and the patient; times are removed."""

EMPTY = (
    "StudyTime",
    "SeriesTime",
    "AcquisitionTime",
    "ContentTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "PatientBirthDate",
    "PatientSex",
)
"""Present but empty, as an object without them is not valid (type 2)."""

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
"""Replaced by keyed UIDs; equal UIDs stay equal."""

METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
"""The de-identification methods, as codes of PS3.16 CID 7050."""
