"""De-identify a bone scan: PS3.15's basic profile as a keep-list, with keyed pseudonyms and shifted dates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian
from scipy import ndimage

from bonescan.dicom import keep_list as keep
from bonescan.dicom.accept import refuse_unsuitable, refuse_unsuitable_layout, remarks
from bonescan.dicom.elements import damaged, guarded, integers, items, numbers, parse, text, texts, value
from bonescan.dicom.pixels import MAX_FRAMES, Layout, layout_of, raw_frames, rescale, sign_extended
from bonescan.dicom.pseudonyms import Pseudonyms, is_date
from bonescan.dicom.values import IMPLEMENTATION_UID
from bonescan.dicom.views import Frame, evidence, view_in_meaning, view_in_text
from bonescan.errors import InputError
from bonescan.study import View

METHOD = "bonescan keep-list by PS3.15 Annex E"
_MOST_ORDER = 99_999
"""Largest number of a series or image that is kept; a larger one may be a date or an ID."""
_MOST_SMALL = MAX_FRAMES
"""Largest number of windows, detectors or frames that is kept; the two bytes of a larger one may be letters."""
_MOST_INTEGER = 2**31 - 1
_MOST_DECIMAL_LETTERS = 16
_MEASURES = ("PixelSpacing", "RescaleSlope", "RescaleIntercept")
_VIEW_CODES = {View.ANTERIOR: ("SCT", "399321004"), View.POSTERIOR: ("SCT", "399001007")}
_VIEW_WORDS = {View.ANTERIOR: "WB ANT", View.POSTERIOR: "WB POST"}
_VIEW_TEXTS = ("ViewPosition", "ImageID", "SeriesDescription")
_SCHEMES = {"SNM3": "SRT", "99SDM": "SRT", "SNOMED-CT": "SCT"}
_LEAST_TEXT_PX = 40
_SPIKE, _NEIGHBOURS = 5, 3
"""In burned-in text, one value is this many times as frequent as the values within so many of it."""
_MOST_CORE_SHARE = 0.2


@dataclass(frozen=True, slots=True, repr=False)
class Deidentification:
    """How to de-identify. key: secret bytes. accept_burned_in: accept images that are said to contain text."""

    key: bytes
    accept_burned_in: bool = False


@dataclass(frozen=True, slots=True)
class Deidentified:
    """A scan without identity. patient, study, image: names that bonescan makes; the same source and key give the same.

    content: the DICOM file. remarks: what a person should check.
    """

    patient: str
    study: str
    image: str
    content: bytes
    remarks: tuple[str, ...]


def deidentified(content: bytes, how: Deidentification) -> Deidentified:
    """Return a scan without identity.

    Its header gives the same views as the source, or none, with a remark that says so. Raises InputError where the file
    is no readable planar bone scan, says that text is burned into it, or was already de-identified by bonescan.
    """
    with guarded():
        source = parse(content)
        if METHOD in texts(source, "DeidentificationMethod"):
            raise InputError("the file was de-identified by this program before; give the original, or leave it out")
        refuse_unsuitable(source)
        layout = layout_of(source)
        refuse_unsuitable_layout(source, layout)
        frames = raw_frames(source, layout)
        for frame in frames:
            sign_extended(frame, layout)  # refuses bits above the stored ones: an old overlay there could show a name
        if not all(text(source, keyword) for keyword in keep.UIDS):
            raise InputError("the file lacks a UID, so that its image could take another's place; export it again")
        notes = _burned_in(source, frames, layout, how)
        names = Pseudonyms(source, how.key)
        notes += [names.remark] if names.remark else []
        dataset = _new()
        _keep_into(dataset, source)
        _keep_parallel(dataset, source, layout.frames)
        _views_of_texts(dataset, source, layout.frames)
        notes += _only_views_that_were_told(dataset, source, layout.frames)
        _identity(dataset, source, names)
        _pixels(dataset, frames, layout)
        _refuse_other_measures(dataset, source)
        known = set(remarks(dataset, layout, range(layout.frames)))
        notes += [note for note in remarks(source, layout, range(layout.frames)) if note not in known]
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        return Deidentified(names.patient, names.study, names.image, file.getvalue(), tuple(notes))


def _new() -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "BONESCAN"
    return FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)


def _keep_into(dataset: Dataset, source: Dataset) -> None:
    """Copy the elements of the keep-list, at this level and below; each value is built anew, none is passed through."""
    for keyword in sorted(keep.NUMBERS):
        if keyword in source:
            _keep_numbers(dataset, source, keyword)
    for keyword, known in keep.KNOWN_TEXTS.items():
        kept = [one if one in known else "" for one in texts(source, keyword)]  # a value's meaning depends on its place
        if any(kept):
            setattr(dataset, keyword, kept if len(kept) > 1 else kept[0])
    for keyword in sorted(keep.SEQUENCES):
        if keyword in source:
            setattr(dataset, keyword, [_kept_item(item) for item in items(source, keyword)])
    for keyword in sorted(keep.CODE_SEQUENCES):
        codes = list(_known_codes(source, keyword))
        if codes:
            setattr(dataset, keyword, codes)
    tracer = text(source, "Radiopharmaceutical").upper()
    word = next((word for word in keep.TRACERS if word in re.findall("[A-Z]+", tracer)), None)
    if word is not None:
        dataset.Radiopharmaceutical = word


def _kept_item(item: Dataset) -> Dataset:
    kept = Dataset()
    _keep_into(kept, item)
    return kept


def _keep_numbers(dataset: Dataset, source: Dataset, keyword: str, frames: int = 1) -> None:
    """Keep an element's numbers; leave it out if one is invalid or may be a date or letters. An empty one stays empty.

    frames: the largest number of values of an element that has one value per frame.
    """
    if value(source, keyword) is None:
        setattr(dataset, keyword, None)
        return
    vr = dictionary_VR(keyword)
    try:
        stated = numbers(source, keyword) if vr == "DS" else integers(source, keyword)
    except InputError:
        return
    most = frames if keyword in keep.VECTORS else int(dictionary_VM(keyword).split("-")[0])
    if len(stated) > most or any(abs(one) > _largest(keyword) or is_date(f"{abs(one):.0f}") for one in stated):
        return
    written = [_decimal(one) if vr == "DS" else int(one) for one in stated]
    setattr(dataset, keyword, written if len(written) > 1 else written[0])


def _largest(keyword: str) -> int:
    if keyword in ("SeriesNumber", "InstanceNumber"):
        return _MOST_ORDER
    return _MOST_SMALL if keyword in ("NumberOfEnergyWindows", "NumberOfDetectors", *keep.VECTORS) else _MOST_INTEGER


def _decimal(number: float) -> str:
    """Return a number as a decimal string (PS3.5 6.2, DS), as exactly as its 16 characters can say it."""
    rounded = (f"{number:.{digits}g}" for digits in range(1, 18))
    return min((one for one in rounded if len(one) <= _MOST_DECIMAL_LETTERS), key=lambda one: abs(float(one) - number))


def _known_codes(source: Dataset, keyword: str) -> Iterator[Dataset]:
    for code in items(source, keyword):
        scheme = text(code, "CodingSchemeDesignator").upper()
        stated = _SCHEMES.get(scheme, scheme), text(code, "CodeValue").upper()
        if keyword == "ViewCodeSequence" and stated not in keep.VIEW_CODES:
            view = view_in_meaning(text(code, "CodeMeaning"))
            stated = ("", "") if view is None else _VIEW_CODES[view]
        if stated in keep.KNOWN_CODES:
            item = Dataset()
            item.CodingSchemeDesignator, item.CodeValue = stated
            item.CodeMeaning = keep.KNOWN_CODES[stated]
            yield item


def _keep_parallel(dataset: Dataset, source: Dataset, frames: int) -> None:
    """Keep elements with one value or item per frame completely or not at all: a gap would shift the others."""
    for keyword in keep.VECTORS:
        if keyword in source and len(texts(source, keyword)) == frames:
            _keep_numbers(dataset, source, keyword, frames)
    told = len(dataset.get("ViewCodeSequence", ()))
    if not told == len(items(source, "ViewCodeSequence")) == frames:
        dataset.pop("ViewCodeSequence", None)


def _views_of_texts(dataset: Dataset, source: Dataset, frames: int) -> None:
    """Where free text gives the views, keep the views and no other word of it."""
    for keyword in _VIEW_TEXTS:
        stated = texts(source, keyword)
        told = [view_in_text(one) for one in stated] if len(stated) == frames else []
        words = [_VIEW_WORDS[view] if view is not None else "" for view in told]
        if any(words):
            setattr(dataset, keyword, words if len(words) > 1 else words[0])


def _only_views_that_were_told(dataset: Dataset, source: Dataset, frames: int) -> list[str]:
    """Remove all statements on the views where those kept would give other views than the source; returns remarks.

    A source that contradicts itself must not become unambiguous because one of its statements was left out.
    """
    before, after = (_told(one, frames) for one in (source, dataset))
    if any(now and now != then for then, now in zip(before, after, strict=True)):
        for keyword in ("ViewCodeSequence", "PatientOrientation", *_VIEW_TEXTS):
            dataset.pop(keyword, None)
        for detector in dataset.get("DetectorInformationSequence", ()):
            detector.pop("ViewCodeSequence", None)
            detector.pop("StartAngle", None)
            detector.ImageOrientationPatient = None
        after = _told(dataset, frames)
    if after == before:
        return []
    return [
        "not all that the header says of the views could be kept, as it contradicts itself or is in unknown words: "
        "whoever reads the scan may have to give them with --views"
    ]


def _told(dataset: Dataset, frames: int) -> list[frozenset[View]]:
    """Return the views that the header gives for each frame. Raises InputError where it is damaged."""
    return [
        frozenset(statement.view for statement in evidence(Frame(dataset, index, frames))) for index in range(frames)
    ]


def _refuse_other_measures(dataset: Dataset, source: Dataset) -> None:
    """Raise InputError where counts or millimetres would no longer be those of the source."""
    rescale(source)  # refuses a slope that is not positive
    for keyword in _MEASURES:
        before, after = numbers(source, keyword), numbers(dataset, keyword)
        if len(before) != len(after) or not np.allclose(before, after, rtol=1e-12, atol=0.0):
            raise damaged(keyword)


def _identity(dataset: FileDataset, source: Dataset, names: Pseudonyms) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    for keyword in keep.EMPTY:
        setattr(dataset, keyword, "")
    for keyword in keep.DATES:
        setattr(dataset, keyword, names.moved(text(source, keyword)))
    for keyword in keep.UIDS:
        setattr(dataset, keyword, names.uid(text(source, keyword)))
    dataset.file_meta.MediaStorageSOPClassUID = UID(dataset.SOPClassUID)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    maker = text(source, "Manufacturer").upper()
    dataset.Manufacturer = next((word for word in keep.VENDORS if word in re.findall("[A-Z]+", maker)), "")
    dataset.PatientName = dataset.PatientID = names.patient
    dataset.PhotometricInterpretation = "MONOCHROME2"  # a palette, which may hold anything, is not kept
    if "PatientOrientationCodeSequence" in dataset:
        dataset.pop("PatientPosition", None)  # only one of the two may be present (PS3.3 C.7.3.1)
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD
    dataset.DeidentificationMethodCodeSequence = [_method(*method) for method in keep.METHODS]
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"


def _method(code: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meaning
    return item


def _pixels(dataset: FileDataset, frames: NDArray[Any], layout: Layout) -> None:
    """Write the stored values uncompressed, as a compressed stream may contain comments."""
    if layout.frames > 1 or "NumberOfFrames" in dataset:
        dataset.NumberOfFrames = layout.frames
        vectors = [Tag(keyword) for keyword in keep.VECTORS if keyword in dataset]
        dataset.FrameIncrementPointer = vectors if len(vectors) != 1 else vectors[0]
    stored = frames.astype(frames.dtype.newbyteorder("<"), copy=False).tobytes()
    tag = Tag("PixelData")
    content = stored + b"\0" * (len(stored) % 2)
    dataset[tag] = DataElement(tag, "OW" if layout.bits > 8 else "OB", content)


def _burned_in(source: Dataset, frames: NDArray[Any], layout: Layout, how: Deidentification) -> list[str]:
    """Refuse an image whose header says that it contains text; return a remark on one that looks as if it did."""
    stated = {one.upper() for one in texts(source, "BurnedInAnnotation")}
    says_so = "YES" in stated or text(source, "SOPClassUID") in keep.CAPTURES
    if says_so and not how.accept_burned_in:
        raise InputError(
            "the image is a screen capture, or says that text is burned into its pixels, which no header rule removes; "
            "look at it, and give --accept-burned-in if it names nobody"
        )
    if any(looks_burned_in(frame) for frame in frames):
        return ["the pixels look as if text were burned into them: look at the image before it leaves the house"]
    return []


def looks_burned_in(frame: NDArray[Any]) -> bool:
    """Tell whether an image may hold text: many pixels of one high value in thin strokes, unlike counts.

    frame: (rows, cols) of stored values. In a hot place the counts spread over many values, and none is much more
    frequent than the others. A saturated bladder has one value, but is no thin stroke.
    """
    high = frame[frame > frame.max() / 2]
    if frame.max() < 2:
        return False
    values, counts = np.unique(high, return_counts=True)
    place = int(counts.argmax())
    near = np.abs(values.astype(np.int64) - int(values[place])) <= _NEIGHBOURS
    others = (counts[near].sum() - counts[place]) / (2 * _NEIGHBOURS)
    if counts[place] < _LEAST_TEXT_PX + _SPIKE * others:
        return False
    alike = np.asarray(frame == values[place])
    core = ndimage.binary_erosion(alike, structure=np.ones((3, 3), dtype=np.bool_), iterations=2)
    return bool(core.sum() < _MOST_CORE_SHARE * alike.sum())
