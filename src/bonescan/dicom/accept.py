"""Check whether a DICOM file is a whole-body bone scan: refuse it with a reason, or accept it with remarks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset
from pydicom.uid import UID

from bonescan.dicom import values
from bonescan.dicom.elements import integer, items, text, texts, value
from bonescan.dicom.pixels import Layout, rescale
from bonescan.errors import InputError

NM_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.20"
_NM_RETIRED = "1.2.840.10008.5.1.4.1.1.5"
_SECONDARY_CAPTURE = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.3")

_MODALITIES = frozenset(
    {"CT", "MR", "PT", "US", "CR", "DX", "MG", "XA", "RF", "OT", "SC", "ES", "SR", "PR", "SEG", "DOC", "ST"}
)
_IMAGE_KINDS = frozenset(
    {"STATIC", "DYNAMIC", "GATED", "TOMO", "GATED TOMO", "RECON TOMO", "RECON GATED TOMO", "AXIAL", "LOCALIZER"}
)
_COLOURS = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}
)

_LEAST_ROWS, _LEAST_COLS, _MOST_PIXELS_A_SIDE = 256, 64, 4096
_LEAST_ELONGATION = 1.5
_MOST_PIXELS = 2**21
"""Twice 2048 x 512: reading takes some tens of bytes per pixel, in a process with limited memory."""

_BONE_TRACERS = re.compile(
    r"MDP|HDP|HEDP|DPD|DRON[AI]|(PH|F)OS(PH|F)(ON|AT)|BONE|KNOCHEN|SKELET|OSTEO|TECEOS", re.IGNORECASE
)
_OTHER_TRACERS = re.compile(
    r"MIBI|SESTA|TETROFOSMIN|MYOVIEW|PERTECHN|MIBG|IOBENG|IOBENGUAN|OCTREOT|GALLIUM|CITRATE|IODIDE|SULFUR|MAA|DMSA|DTPA|MAG3",
    re.IGNORECASE,
)
_NUCLIDE_ALONE = re.compile(r"technetium|99m?|tc|[^a-z0-9]", re.IGNORECASE)
"""The parts of a tracer's name that give only the nuclide; the rest is the pharmaceutical."""


def refuse_unsuitable(dataset: Dataset) -> None:
    """Raise InputError unless the header is that of a planar whole-body NM image of raw counts."""
    modality = text(dataset, "Modality")
    if "Modality" not in dataset or "SOPClassUID" not in dataset:
        raise InputError("the header is damaged or cut off (it lacks Modality or SOP Class UID); export the file again")
    if modality != "NM":
        named = _named(modality, _MODALITIES)
        raise InputError(f"the file is not nuclear medicine (Modality is {named}); give a whole-body bone scan")
    sop_class = text(dataset, "SOPClassUID")
    if sop_class not in (NM_IMAGE_STORAGE, _NM_RETIRED, *_SECONDARY_CAPTURE):
        raise InputError(
            f"the file is not an NM image (SOP class {_sop_class_name(sop_class)}); give the whole-body planar image"
        )
    _refuse_other_image_types(dataset)
    samples = integer(dataset, "SamplesPerPixel")
    colours = text(dataset, "PhotometricInterpretation")
    if samples != 1 or colours not in ("MONOCHROME2", "PALETTE COLOR"):
        named = _named(colours, _COLOURS)
        raise InputError(
            f"the file is a picture for display (colours: {named}, samples per pixel: {samples}), not counts; "
            "give the raw scan"
        )
    if value(dataset, "NumberOfFrames") is None and sop_class == NM_IMAGE_STORAGE:
        raise InputError("the file states no number of frames, which an NM scan must; give the raw whole-body scan")


def refuse_unsuitable_layout(dataset: Dataset, layout: Layout) -> None:
    """Raise InputError where the matrix is not whole body, or where a derived copy has 8 bits."""
    rows, cols = layout.rows, layout.cols
    tall = rows >= _LEAST_ELONGATION * cols
    if not (
        tall
        and rows >= _LEAST_ROWS
        and cols >= _LEAST_COLS
        and rows <= _MOST_PIXELS_A_SIDE
        and rows * cols <= _MOST_PIXELS
    ):
        raise InputError(
            f"the matrix of {rows} x {cols} pixels is not that of a whole-body scan; "
            "give a planar whole-body scan, as 1024 x 256"
        )
    if layout.stored <= 8 and not _is_original(dataset):
        raise InputError(
            "the image is a derived copy of 8 bits, whose counts are lost; give the original scan of 16 bits"
        )


def remarks(dataset: Dataset, layout: Layout, frames: Collection[int]) -> Iterator[str]:
    """Yield what a person who reads the result should know about the file, one sentence each.

    frames: the indices of those that are read.
    """
    if not _is_original(dataset):
        yield values.DERIVED
    if layout.stored <= 8:
        yield values.EIGHT_BITS
    if text(dataset, "LossyImageCompression") == "01":
        yield values.LOSSY
    if rescale(dataset) != (1.0, 0.0):
        yield values.RESCALED
    windows = texts(dataset, "EnergyWindowVector")
    if len({windows[index] for index in frames if index < len(windows)}) > 1:
        yield values.SEVERAL_ENERGIES
    tracer = _tracer(dataset)
    if not _NUCLIDE_ALONE.sub("", tracer):
        yield values.NO_TRACER
    elif _OTHER_TRACERS.search(tracer) or not _BONE_TRACERS.search(tracer):
        yield values.OTHER_TRACER


def _is_original(dataset: Dataset) -> bool:
    return texts(dataset, "ImageType")[:1] == ["ORIGINAL"]


def _refuse_other_image_types(dataset: Dataset) -> None:
    image_type = texts(dataset, "ImageType")
    kind = image_type[2].upper() if len(image_type) > 2 else ""
    if kind not in ("WHOLE BODY", ""):
        named = _named(kind, _IMAGE_KINDS)
        raise InputError(f"the image is not WHOLE BODY (Image Type, value 3, is {named}); give the whole-body scan")


def _tracer(dataset: Dataset) -> str:
    """Return everything the file says about the tracer, as one text; "" where it says nothing."""
    said: list[str] = []
    for isotope in items(dataset, "RadiopharmaceuticalInformationSequence"):
        said.append(text(isotope, "Radiopharmaceutical"))
        said.extend(text(code, "CodeMeaning") for code in items(isotope, "RadiopharmaceuticalCodeSequence"))
    return " ".join(part for part in said if part)


def _sop_class_name(uid: str) -> str:
    """Return the standard's name of a SOP class, for a message."""
    known = UID(uid)
    return known.name if known in UID_dictionary else "not a known one"


def _named(stated: str, known: frozenset[str]) -> str:
    """Return a header's code for a message only if it is known: in a damaged file it may be a person's name."""
    if not stated:
        return "not stated"
    return stated if stated in known else "not a known one"
