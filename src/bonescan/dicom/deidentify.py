"""De-identify a bone scan: PS3.15's basic profile as a keep-list, with keyed pseudonyms and moved dates.

Whoever has the key can compute a patient's pseudonym from the patient's ID again; whoever has not, cannot.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian
from scipy import ndimage

from bonescan.dicom import keep_list as keep
from bonescan.dicom.accept import NM_IMAGE_STORAGE, refuse_unsuitable, refuse_unsuitable_layout
from bonescan.dicom.elements import guarded, integers, items, numbers, parse, text, texts, value
from bonescan.dicom.pixels import Layout, layout_of, raw_frames, sign_extended
from bonescan.dicom.views import view_in_meaning, view_in_text
from bonescan.errors import InputError
from bonescan.study import View

METHOD = "bonescan keep-list by PS3.15 Annex E"
_IMPLEMENTATION = UID("2.25.236019573810549632201345781265390114407")
_MOST_DAYS = 3650
_MOST_ORDER = 100_000
"""A larger number of a series or an image may be a date or an ID, not an order."""
_VIEW_CODES = {View.ANTERIOR: ("SCT", "399321004"), View.POSTERIOR: ("SCT", "399001007")}
_VIEWS_BY_CODE = {
    ("SCT", "399321004"): View.ANTERIOR,
    ("SCT", "399001007"): View.POSTERIOR,
    ("SRT", "G-5215"): View.ANTERIOR,
    ("SRT", "G-5216"): View.POSTERIOR,
}
_VIEW_WORDS = {View.ANTERIOR: "WB ANT", View.POSTERIOR: "WB POST"}
_SCHEMES = {"SNM3": "SRT", "99SDM": "SRT", "SNOMED-CT": "SCT"}
_LEAST_TEXT_PX = 40
_SPIKE, _NEIGHBOURS = 5, 3
"""Text makes one value at least so many times as frequent as those within this many of it."""
_MOST_CORE_SHARE = 0.2


@dataclass(frozen=True, slots=True, repr=False)
class Deidentification:
    """How to de-identify. key: secret bytes. accept_burned_in: also images that say that they hold text."""

    key: bytes
    accept_burned_in: bool = False


@dataclass(frozen=True, slots=True)
class Deidentified:
    """A scan without identity. patient, study, image: names of our own making, the same for the same under one key.

    content: the DICOM file. remarks: what a person should look at.
    """

    patient: str
    study: str
    image: str
    content: bytes
    remarks: tuple[str, ...]


def deidentified(content: bytes, how: Deidentification) -> Deidentified:
    """Return a scan without identity.

    Raises InputError where the file is no planar bone scan that could be read, or says that text is burned into it.
    """
    with guarded():
        source = parse(content)
        refuse_unsuitable(source)
        layout = layout_of(source)
        refuse_unsuitable_layout(source, layout)
        frames = raw_frames(source, layout)
        for frame in frames:
            sign_extended(frame, layout)  # refuses bits above the stored ones: an old overlay could spell a name there
        if not all(text(source, keyword) for keyword in keep.UIDS):
            raise InputError("the file lacks a UID, so that its image could take another's place; export it again")
        remarks = _burned_in(source, frames, layout, how)
        names = _Pseudonyms(source, how.key)
        dataset = _new(names)
        _keep_into(dataset, source)
        _views_of_texts(dataset, source, layout.frames)
        _identity(dataset, source, names)
        _pixels(dataset, frames, layout)
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        return Deidentified(names.patient, names.study, names.image, file.getvalue(), tuple(remarks))


class _Pseudonyms:
    """What stands for a patient, a study and an image, under a key."""

    def __init__(self, source: Dataset, key: bytes) -> None:
        self._key = key
        stated = [text(source, keyword) for keyword in ("PatientID", "IssuerOfPatientID")]
        if not stated[0]:
            # Without an ID, as a phantom or an emergency: by what there is, and else a patient for each study.
            stated = [text(source, keyword) for keyword in ("PatientName", "PatientBirthDate")]
        person = "|".join(stated) if any(stated) else text(source, "StudyInstanceUID")
        letters = base64.b32encode(self._digest("patient", person)).decode()
        self.patient = f"BS-{letters[:10]}"
        self.days = 1 + int.from_bytes(self._digest("days", person)[:8], "big") % _MOST_DAYS
        self.study = f"study-{self._digest('study', text(source, 'StudyInstanceUID')).hex()[:12]}"
        self.image = f"image-{self._digest('image', text(source, 'SOPInstanceUID')).hex()[:12]}"

    def uid(self, original: str) -> UID:
        """Return the UID (PS3.5 B.2) that takes another's place."""
        return UID(f"2.25.{int.from_bytes(self._digest('uid', original)[:16], 'big') >> 1}")

    def moved(self, date: str) -> str:
        """Return a date moved back by the patient's days; "" for what is no date."""
        try:
            day = datetime.datetime.strptime(date, "%Y%m%d").date()
            return (day - datetime.timedelta(days=self.days)).strftime("%Y%m%d")
        except (ValueError, OverflowError):
            return ""

    def _digest(self, what: str, of: str) -> bytes:
        return hmac.new(self._key, f"{what}\0{of}".encode(), hashlib.sha256).digest()


def _new(names: _Pseudonyms) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = "BONESCAN"
    return FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)


def _keep_into(dataset: Dataset, source: Dataset) -> None:
    """Copy what is on the keep-list, at this level and below; each value is rebuilt, none is passed through."""
    for keyword in sorted(keep.NUMBERS):
        if keyword in source:
            _keep_numbers(dataset, source, keyword)
    for keyword, known in keep.KNOWN_TEXTS.items():
        kept = [one for one in texts(source, keyword) if one in known]
        if kept:
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


def _keep_numbers(dataset: Dataset, source: Dataset, keyword: str) -> None:
    """Keep numbers as numbers; what is none is left out, and an empty element stays empty."""
    if value(source, keyword) is None:
        setattr(dataset, keyword, None)
        return
    tag = Tag(keyword)
    vr = str(source[tag].VR)
    try:
        stated: tuple[float, ...] = (
            integers(source, keyword) if vr in ("US", "IS", "SS", "UL") else numbers(source, keyword)
        )
    except InputError:
        return
    if keyword in ("SeriesNumber", "InstanceNumber") and any(abs(one) >= _MOST_ORDER for one in stated):
        return
    if vr in ("DS", "IS"):
        written: list[Any] = [f"{one:.10g}" for one in stated]
    else:
        written = list(stated)
    dataset[tag] = DataElement(tag, vr, written if len(written) > 1 else written[0])


def _known_codes(source: Dataset, keyword: str) -> Iterator[Dataset]:
    for code in items(source, keyword):
        scheme = text(code, "CodingSchemeDesignator").upper()
        known = _SCHEMES.get(scheme, scheme), text(code, "CodeValue").upper()
        view = view_in_meaning(text(code, "CodeMeaning")) if keyword == "ViewCodeSequence" else None
        if view is not None and _VIEWS_BY_CODE.get(known, view) is not view:
            raise InputError("a view code says one side and its meaning the other; the views would be a guess")
        if known not in keep.KNOWN_CODES and view is not None:
            known = _VIEW_CODES[view]
        if known in keep.KNOWN_CODES:
            item = Dataset()
            item.CodingSchemeDesignator, item.CodeValue = known
            item.CodeMeaning = keep.KNOWN_CODES[known]
            yield item


def _views_of_texts(dataset: Dataset, source: Dataset, frames: int) -> None:
    """Where free text tells the views, keep that and no other word of it."""
    for keyword in ("ViewPosition", "ImageID", "SeriesDescription"):
        stated = texts(source, keyword)
        told = [view_in_text(one) for one in stated] if len(stated) == frames else []
        words = [_VIEW_WORDS[view] if view is not None else "" for view in told]
        if any(words):
            setattr(dataset, keyword, words if len(words) > 1 else words[0])


def _identity(dataset: FileDataset, source: Dataset, names: _Pseudonyms) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    for keyword in keep.EMPTY:
        setattr(dataset, keyword, "")
    for keyword in keep.DATES:
        setattr(dataset, keyword, names.moved(text(source, keyword)))
    for keyword in keep.UIDS:
        setattr(dataset, keyword, names.uid(text(source, keyword)))
    dataset.SOPClassUID = dataset.get("SOPClassUID", NM_IMAGE_STORAGE)
    dataset.file_meta.MediaStorageSOPClassUID = UID(dataset.SOPClassUID)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    maker = text(source, "Manufacturer").upper()
    dataset.Manufacturer = next((word for word in keep.VENDORS if word in re.findall("[A-Z]+", maker)), "")
    dataset.PatientName = dataset.PatientID = names.patient
    if "PatientOrientationCodeSequence" in dataset:
        dataset.pop("PatientPosition", None)  # one of the two says it (PS3.3 C.7.3.1)
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD
    dataset.DeidentificationMethodCodeSequence = [_method(*method) for method in keep.METHODS]
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"


def _method(code: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meaning
    return item


def _pixels(dataset: FileDataset, frames: NDArray[Any], layout: Layout) -> None:
    """Write the stored values, uncompressed: a code stream may carry comments."""
    if layout.frames > 1 or "NumberOfFrames" in dataset:
        dataset.NumberOfFrames = layout.frames
        dataset.FrameIncrementPointer = [Tag("EnergyWindowVector"), Tag("DetectorVector")]
    stored = frames.astype(frames.dtype.newbyteorder("<"), copy=False).tobytes()
    tag = Tag("PixelData")
    content = stored + b"\0" * (len(stored) % 2)
    dataset[tag] = DataElement(tag, "OW" if layout.bits > 8 else "OB", content)


def _burned_in(source: Dataset, frames: NDArray[Any], layout: Layout, how: Deidentification) -> list[str]:
    """Refuse an image that says that it holds text, and remark on one that looks as if it did."""
    says_so = text(source, "BurnedInAnnotation") == "YES" or text(source, "SOPClassUID") != NM_IMAGE_STORAGE
    if says_so and not how.accept_burned_in:
        raise InputError(
            "the image is a screen capture, or says that text is burned into its pixels, which no header rule removes; "
            "look at it, and give --accept-burned-in if it names nobody"
        )
    if any(looks_burned_in(frame) for frame in frames):
        return ["the pixels look as if text were burned into them: look at the image before it leaves the house"]
    return []


def looks_burned_in(frame: NDArray[Any]) -> bool:
    """Tell whether an image may hold text: many pixels of one high value in thin strokes, which counts never are.

    frame: (rows, cols) of stored values. Counts of a hot place spread over many values, of which none stands out. A
    saturated bladder is of one value, and no stroke.
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
