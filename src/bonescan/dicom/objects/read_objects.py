"""Read curves back from a structured report (TID 1500) or a segmentation, ours or corrected in another tool.

An SR's groups are found by their structure: a container with an SCOORD that is selected from an image, in itself (TID
1410) or below a number that was measured on it (TID 300, as dcmjs writes it for OHIF). A POLYLINE is a curve, which is
closed if it is open; CIRCLE and ELLIPSE become polygons; a shape without area is refused, and so is an SCOORD3D.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from bonescan.dicom.elements import guarded, integer, integers, items, load, numbers, parse, text, transfer_syntax
from bonescan.dicom.objects import codes
from bonescan.dicom.objects.common import KINDS, MANUFACTURER, MODEL_NAME, to_contour
from bonescan.dicom.values import Curve, Curves
from bonescan.errors import InputError, NoCurvesError
from bonescan.report.words import counted
from bonescan.study import Region

_REPORTS = ("1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34")
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_WITHOUT_CURVES = (
    KINDS["pdf"].sop_class,
    KINDS["capture"].sop_class,
    *(f"{KINDS['capture'].sop_class}.{number}" for number in range(1, 5)),
)
"""Encapsulated PDF, and secondary captures of one frame and of many (PS3.4 B.5)."""
_DEEPEST = 12
"""Most levels of nested containers; TID 1500 has four."""
_MOST_CURVES = 1000
_MOST_POINTS = 100_000
_MOST_PIXELS = 2**30
"""Most pixels of all frames together, one bit each."""
_CIRCLE_VERTICES = 128
_LARGEST_COORDINATE = 65536.0
_UID = re.compile(r"[0-9.]{1,64}")
_SITES = {code.value: region for region, code in codes.SITES.items()}
_READER_NAME = ("121008", "DCM")
_TRACKING_ID, _TRACKING_UID = ("112039", "DCM"), ("112040", "DCM")
_LESIONS = (codes.LESIONS.value, codes.OURS)
_FINDING_SITES = ("363698007", "G-C0E3")
_MOST_NAME_LETTERS = 64


def read_curves(path: Path) -> Curves:
    """Read the curves of an SR or SEG. Raises NoCurvesError for an object that never holds curves (a PDF, a
    secondary capture, a presentation state of bonescan's), InputError for any other file and for what cannot be used.
    """
    with guarded():
        dataset = parse(load(path))
        sop_class = text(dataset, "SOPClassUID")
        if sop_class in _REPORTS:
            return _report(dataset)
        if sop_class == _SEGMENTATION:
            return _segmentation(dataset)
        said = "the file is neither a structured report nor a segmentation; give one that holds curves"
        ours = (text(dataset, "Manufacturer"), text(dataset, "ManufacturerModelName")) == (MANUFACTURER, MODEL_NAME)
        if sop_class in _WITHOUT_CURVES or (ours and sop_class == KINDS["gsps"].sop_class):
            raise NoCurvesError(said)
        raise InputError(said)


def _uid(dataset: Dataset, keyword: str) -> str:
    uid = text(dataset, keyword)
    if not _UID.fullmatch(uid):
        raise InputError(f"the DICOM element {keyword} is missing or no UID, so the curves belong to no known image")
    return uid


def _name(said: str) -> str | None:
    """Return a person's name in its usual order, or None where there is none."""
    alphabetic = "".join(letter for letter in said.partition("=")[0] if letter.isprintable())
    return " ".join(alphabetic.replace("^", " ").split())[:_MOST_NAME_LETTERS] or None


# The structured report


def _report(dataset: Dataset) -> Curves:
    readers = [_name(text(item, "PersonName")) for item in _walk(dataset) if _concept(item) == _READER_NAME]
    curves: list[Curve] = []
    for item in _walk(dataset):
        kind = text(item, "ValueType")
        if kind == "SCOORD3D":
            raise InputError(
                "a curve of the report is in coordinates of the patient (SCOORD3D), which a planar image does not "
                "have: save it in those of the image (SCOORD)"
            )
        if kind == "CONTAINER":
            curves += _curves_of_group(item)
        if len(curves) > _MOST_CURVES:
            raise InputError(f"the report holds more than {_MOST_CURVES} curves, which no scan has")
    if not curves and not _states_no_lesion(dataset):
        raise InputError(
            "the report holds no curve and does not state that there is no lesion: save the curves as SCOORD, or give "
            "a scan without lesions as a LabelMe or COCO file without any"
        )
    return Curves(
        kind="sr",
        study_uid=_uid(dataset, "StudyInstanceUID"),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        sources=_evidence(dataset),
        reader=next((reader for reader in readers if reader), None),
        curves=tuple(curves),
    )


def _walk(dataset: Dataset, depth: int = 0) -> Iterator[Dataset]:
    """Yield a content item and all below it."""
    if depth > _DEEPEST:
        raise InputError(f"the report's content is nested more than {_DEEPEST} levels deep, which no template asks for")
    yield dataset
    for item in items(dataset, "ContentSequence"):
        yield from _walk(item, depth + 1)


def _states_no_lesion(dataset: Dataset) -> bool:
    """Tell whether a report counts its lesions, as those of bonescan do for each view, and there are none."""
    counts = [
        count
        for item in _walk(dataset)
        if _concept(item) == _LESIONS
        for measured in items(item, "MeasuredValueSequence")
        for count in numbers(measured, "NumericValue")
    ]
    return bool(counts) and not any(counts)


def _concept(item: Dataset) -> tuple[str, str]:
    """Return the code of an item's name as (value, scheme), or empty ones."""
    for code in items(item, "ConceptNameCodeSequence")[:1]:
        return text(code, "CodeValue"), text(code, "CodingSchemeDesignator")
    return "", ""


def _evidence(dataset: Dataset) -> tuple[str, ...]:
    return tuple(
        text(instance, "ReferencedSOPInstanceUID")
        for study in items(dataset, "CurrentRequestedProcedureEvidenceSequence")
        for series in items(study, "ReferencedSeriesSequence")
        for instance in items(series, "ReferencedSOPSequence")
    )


def _curves_of_group(group: Dataset) -> list[Curve]:
    """Return the curves of a group, with what the group says about them.

    dcmjs repeats a curve below each number that was measured on it: equal ones on one image are one.
    """
    inside = items(group, "ContentSequence")
    drawn = {
        (*_place(scoord), text(scoord, "GraphicType"), numbers(scoord, "GraphicData")): scoord
        for scoord in _scoords(group)
    }
    if not drawn:
        return []
    said: dict[tuple[str, str], str] = {}
    for item in inside:
        said.setdefault(_concept(item), text(item, "TextValue") or text(item, "UID"))
    return [
        Curve(
            *_place(scoord),
            contour=_contour(scoord),
            mask=None,
            tracking_id=said.get(_TRACKING_ID, ""),
            tracking_uid=said.get(_TRACKING_UID, ""),
            probability=_probability(inside),
            region=_site(inside),
        )
        for scoord in drawn.values()
    ]


def _scoords(item: Dataset) -> Iterator[Dataset]:
    """Yield the curves below a content item, without those of the groups in it. `_walk` has checked the depth."""
    for inside in items(item, "ContentSequence"):
        kind = text(inside, "ValueType")
        if kind == "SCOORD":
            yield inside
        elif kind != "CONTAINER":
            yield from _scoords(inside)


def _place(scoord: Dataset) -> tuple[str, int | None]:
    """Return the instance and the frame on which a curve was drawn; None where the frame is not stated."""
    images = [item for item in items(scoord, "ContentSequence") if text(item, "ValueType") == "IMAGE"]
    references = [reference for image in images for reference in items(image, "ReferencedSOPSequence")]
    if len(references) != 1:
        raise InputError(f"a curve of the report is drawn on {len(references)} images instead of one")
    frames = integers(references[0], "ReferencedFrameNumber")
    if len(frames) > 1:
        raise InputError(f"a curve of the report is drawn on {len(frames)} frames at once; draw one on each")
    return _uid(references[0], "ReferencedSOPInstanceUID"), frames[0] if frames else None


def _contour(scoord: Dataset) -> NDArray[np.float64]:
    kind = text(scoord, "GraphicType")
    values = numbers(scoord, "GraphicData")
    if len(values) % 2 or not 4 <= len(values) <= 2 * _MOST_POINTS:
        raise InputError(f"a curve of the report has {len(values)} coordinates, which are no curve")
    points = np.array(values, dtype=np.float64).reshape(-1, 2)
    if (np.abs(points) > _LARGEST_COORDINATE).any():
        raise InputError("a curve of the report has coordinates that are far from any image")
    if kind == "CIRCLE" and len(points) == 2:
        points = _ellipse(points[0], points[1] - points[0], _turned(points[1] - points[0]))
    elif kind == "ELLIPSE" and len(points) == 4:
        centre = (points[0] + points[1]) / 2
        points = _ellipse(centre, points[1] - centre, points[3] - (points[2] + points[3]) / 2)
    elif kind != "POLYLINE" or len(points) < 3:
        named = kind if kind in ("POINT", "MULTIPOINT", "POLYLINE", "CIRCLE", "ELLIPSE") else "of unknown kind"
        raise InputError(
            f"a curve of the report is {named} with {counted(len(points), 'point')}, which encloses nothing"
        )
    if not np.array_equal(points[0], points[-1]):
        points = np.concatenate([points, points[:1]])
    return to_contour(points)


def _turned(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([-axis[1], axis[0]])


def _ellipse(
    centre: NDArray[np.float64], major: NDArray[np.float64], minor: NDArray[np.float64]
) -> NDArray[np.float64]:
    turn = np.linspace(0.0, 2.0 * math.pi, _CIRCLE_VERTICES, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(turn) * major + np.sin(turn) * minor)


def _probability(inside: Sequence[Dataset]) -> float | None:
    for item in inside:
        if _concept(item) == (codes.PROBABILITY.value, codes.OURS):
            for measured in items(item, "MeasuredValueSequence")[:1]:
                stated = numbers(measured, "NumericValue")
                if len(stated) == 1 and 0.0 <= stated[0] <= 1.0:
                    return stated[0]
    return None


def _site(inside: Sequence[Dataset]) -> Region | None:
    for item in inside:
        if _concept(item)[0] in _FINDING_SITES:
            for code in items(item, "ConceptCodeSequence")[:1]:
                return _SITES.get(text(code, "CodeValue"))
    return None


# The segmentation


def _segmentation(dataset: Dataset) -> Curves:
    if text(dataset, "SegmentationType") != "BINARY" or integer(dataset, "BitsAllocated") != 1:
        raise InputError("the segmentation is not binary; save it as BINARY, one segment a lesion")
    if transfer_syntax(dataset).is_encapsulated:
        raise InputError("the segmentation is compressed; save it uncompressed")
    segments = {integer(item, "SegmentNumber"): item for item in items(dataset, "SegmentSequence")}
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")
    shape, stored = _stored_bits(dataset, len(groups))
    algorithms = {text(segment, "SegmentAlgorithmType") for segment in segments.values()}
    drawn = _name(text(dataset, "ContentCreatorName"))
    return Curves(
        kind="seg",
        study_uid=_uid(dataset, "StudyInstanceUID"),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        sources=tuple(
            text(instance, "ReferencedSOPInstanceUID")
            for series in items(dataset, "ReferencedSeriesSequence")
            for instance in items(series, "ReferencedInstanceSequence")
        ),
        reader=drawn if algorithms != {"AUTOMATIC"} else None,
        curves=tuple(
            _segment_curve(group, _frame_mask(stored, shape, place), segments) for place, group in enumerate(groups)
        ),
    )


def _stored_bits(dataset: Dataset, groups: int) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    """Return the shape of the frames and their packed bits, after checking that the sizes agree."""
    rows, cols, count = (integer(dataset, keyword) or 0 for keyword in ("Rows", "Columns", "NumberOfFrames"))
    pixels = rows * cols * count
    if not (0 < rows <= 65535 and 0 < cols <= 65535 and 0 < count <= _MOST_CURVES) or pixels > _MOST_PIXELS:
        raise InputError(f"the segmentation states {count} frames of {rows} x {cols} pixels, more than are read")
    if count != groups:
        raise InputError(f"the segmentation describes {groups} of its {count} frames, so it is damaged")
    stored: Any = dataset.get("PixelData")
    if not isinstance(stored, bytes) or not 0 <= len(stored) - (pixels + 7) // 8 <= 1:
        raise InputError("the segmentation's pixel data do not have the size that it states, so it is damaged")
    return (rows, cols), np.frombuffer(stored, dtype=np.uint8)


def _frame_mask(stored: NDArray[np.uint8], shape: tuple[int, int], place: int) -> NDArray[np.bool_]:
    """Unpack one frame; frames follow one another without padding, so that one may begin within a byte."""
    pixels = shape[0] * shape[1]
    first, skipped = divmod(place * pixels, 8)
    bits = np.unpackbits(stored[first : first + (skipped + pixels + 7) // 8], bitorder="little")
    return bits[skipped : skipped + pixels].reshape(shape).astype(np.bool_)


def _segment_curve(group: Dataset, mask: NDArray[np.bool_], segments: dict[int | None, Dataset]) -> Curve:
    sources = [
        source
        for derivation in items(group, "DerivationImageSequence")
        for source in items(derivation, "SourceImageSequence")
    ]
    numbers_of = [integer(one, "ReferencedSegmentNumber") for one in items(group, "SegmentIdentificationSequence")]
    if len(sources) != 1 or len(numbers_of) != 1 or numbers_of[0] not in segments:
        raise InputError("a frame of the segmentation does not say which image or which segment it is of")
    frames = integers(sources[0], "ReferencedFrameNumber")
    if len(frames) > 1:
        raise InputError(f"a frame of the segmentation is of {len(frames)} frames of its source at once")
    segment = segments[numbers_of[0]]
    site = next(iter(items(segment, "AnatomicRegionSequence")), None)
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        raise InputError("a segment holds no pixel; remove it, or draw it")
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
    return Curve(
        _uid(sources[0], "ReferencedSOPInstanceUID"),
        frames[0] if frames else None,
        contour=None,
        mask=mask[window].copy(),
        origin=(window[0].start, window[1].start),
        shape=(mask.shape[0], mask.shape[1]),
        tracking_id=text(segment, "TrackingID") or text(segment, "SegmentLabel"),
        tracking_uid=text(segment, "TrackingUID"),
        region=None if site is None else _SITES.get(text(site, "CodeValue")),
    )
