"""Turn the child's answers into values: every type, length and shape is checked, as the answers are not trusted."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from bonescan.errors import InputError
from bonescan.sandbox.frames import Message
from bonescan.study import Region, Scan, SourceFrame, Spacing, Study, View

if TYPE_CHECKING:
    from bonescan.annotate.drawings import DrawnMask, LabelAbout
    from bonescan.dicom.header import SourceHeader
    from bonescan.dicom.values import Curve, Curves, FileSummary

_MOST_LETTERS = 4096
_SAFE_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_MOST_ITEMS = 10_000
_MOST_SIDE = 65535

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def _checked(make: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Turn every exception on an unexpected answer into InputError."""

    @functools.wraps(make)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
        try:
            return make(*args, **kwargs)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, MemoryError):
            raise InputError("the process that reads files gave no usable answer; the file is damaged") from None

    return guarded


def _text(value: Any, most: int = _MOST_LETTERS) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError("no text")
    return value


def _maybe(value: Any) -> str | None:
    return None if value is None else _text(value)


def _number(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError("no number in its range")
    return value


def _finite(value: Any) -> float:
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError("no finite number")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or len(values) > _MOST_ITEMS:
        raise ValueError("no list")
    return tuple(_text(value) for value in values)


def _named(values: Any) -> dict[str, str]:
    if not isinstance(values, dict) or len(values) > _MOST_ITEMS:
        raise ValueError("no table")
    return {_text(name): _text(value) for name, value in values.items()}


@_checked
def file_summary(message: Message) -> FileSummary:
    """The values of a file that are needed to group files."""
    from bonescan.dicom.values import FileSummary

    said = message.document
    return FileSummary(
        _text(said["study_uid"]),
        _text(said["series_uid"]),
        _number(said["frames"], 0, 4096),
        _maybe(said["refusal"]),
        _text(said["station"]),
    )


@_checked
def study(message: Message, key: str, names: Collection[str]) -> Study:
    """A study with its counts. key, names: the requested study's key and the names of its files."""
    said = message.document
    if said["key"] != key or not set(_texts(said["sources"])) <= set(names):
        raise ValueError("an answer to another question")
    views = [View(view) for view in _texts(said["views"])]
    scans = {view: Scan(view, array) for view, array in zip(views, message.arrays, strict=True)}
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in message.arrays):
        raise ValueError("no counts")
    stated = said["spacing"]
    return Study(
        key=key,
        scans=scans,
        spacing=None if stated is None else _spacing(stated),
        spacing_note=_maybe(said["spacing_note"]),
        view_source=_text(said["view_source"]),
        acquired=_maybe(said["acquired"]),
        sources=_texts(said["sources"]),
        warnings=_texts(said["warnings"]),
        frames={View(view): _frame(frame) for view, frame in said["frames"].items()},
    )


def _spacing(stated: Any) -> Spacing:
    row, col = (float(value) for value in stated)
    if not (0.0 < row < 1e3 and 0.0 < col < 1e3):
        raise ValueError("no spacing")
    return Spacing(row, col)


def _frame(stated: Any) -> SourceFrame:
    file, frame = stated
    return SourceFrame(_number(file, 0, 1), _number(frame, 1, 4096))


@_checked
def header(message: Message) -> SourceHeader:
    """The header whose values are repeated in DICOM objects."""
    from bonescan.dicom.header import Code, SourceHeader, SourceInstance

    said = message.document
    return SourceHeader(
        patient=_named(said["patient"]),
        study=_named(said["study"]),
        instances=tuple(
            SourceInstance(
                _text(one["sop_class_uid"]),
                _text(one["sop_instance_uid"]),
                _text(one["series_instance_uid"]),
                _number(one["frames"], 1, 4096),
                _number(one["rows"], 1, _MOST_SIDE),
                _number(one["cols"], 1, _MOST_SIDE),
                _finite(one["slope"]),
                _finite(one["intercept"]),
            )
            for one in said["instances"]
        ),
        deidentification=tuple(
            Code(_text(one["value"]), _text(one["scheme"]), _text(one["meaning"])) for one in said["deidentification"]
        ),
    )


@dataclass(frozen=True, slots=True)
class NamelessScan:
    """A de-identified file. patient, study, image: names that bonescan made, safe as file names."""

    patient: str
    study: str
    image: str
    content: bytes
    remarks: tuple[str, ...]


@_checked
def nameless(message: Message) -> NamelessScan:
    """A de-identified file and its names, which become folders."""
    said = message.document
    (content,) = message.arrays
    if content.dtype != np.uint8 or content.ndim != 1:
        raise ValueError("no file")
    patient, study, image = (_text(said[name], 64) for name in ("patient", "study", "image"))
    if not all(_SAFE_NAME.fullmatch(name) for name in (patient, study, image)):
        raise ValueError("no file name")
    return NamelessScan(patient, study, image, content.tobytes(), _texts(said["remarks"]))


@_checked
def curves(message: Message) -> Curves:
    """The curves of an SR or SEG."""
    from bonescan.dicom.values import Curves

    said = message.document
    drawn = zip(said["curves"], message.arrays, strict=True)
    return Curves(
        kind=_text(said["kind"]),
        study_uid=_text(said["study_uid"]),
        sop_instance_uid=_text(said["sop_instance_uid"]),
        sources=_texts(said["sources"]),
        reader=_maybe(said["reader"]),
        curves=tuple(_curve(one, array) for one, array in drawn),
    )


def _curve(said: Mapping[str, Any], array: Any) -> Curve:
    from bonescan.dicom.values import Curve

    is_mask = said["drawn"] == "mask"
    if array.ndim != 2 or array.dtype != (np.bool_ if is_mask else np.float64):
        raise ValueError("no curve")
    row, col = (_number(place, 0, _MOST_SIDE) for place in said["origin"])
    rows, cols = (_number(side, 0, _MOST_SIDE) for side in said["shape"])
    if is_mask and (row + array.shape[0] > rows or col + array.shape[1] > cols):
        raise ValueError("the mask leaves its frame")
    probability = said["probability"]
    if probability is not None and not 0.0 <= float(probability) <= 1.0:
        raise ValueError("no probability")
    return Curve(
        _text(said["sop_instance_uid"]),
        None if said["frame"] is None else _number(said["frame"], 1, 4096),
        contour=None if is_mask else array,
        mask=array if is_mask else None,
        origin=(row, col),
        shape=(rows, cols),
        tracking_id=_text(said["tracking_id"]),
        tracking_uid=_text(said["tracking_uid"]),
        probability=probability,
        region=None if said["region"] is None else Region(said["region"]),
    )


@_checked
def label_about(message: Message) -> LabelAbout:
    """What a label file says about itself."""
    from bonescan.annotate.drawings import LabelAbout
    from bonescan.annotate.label_json import read_stamp

    said = message.document
    if said["kind"] not in ("labelme", "coco") or not isinstance(said["edited"], bool):
        raise ValueError("no label file")
    views = tuple(View(view) for view in said["views"])
    return LabelAbout(said["kind"], read_stamp(said["stamp"]), said["edited"], views)


@_checked
def drawn_masks(message: Message, shape: tuple[int, int]) -> tuple[DrawnMask, ...]:
    """The masks of a label file, within a frame of (rows, cols)."""
    said = message.document["masks"]
    if not isinstance(said, list):
        raise ValueError("no list")
    return tuple(_drawn_mask(one, array, shape) for one, array in zip(said, message.arrays, strict=True))


def _drawn_mask(said: Mapping[str, Any], array: Any, shape: tuple[int, int]) -> DrawnMask:
    from bonescan.annotate.drawings import DrawnMask

    row, col = (_number(place, 0, _MOST_SIDE) for place in said["origin"])
    if array.ndim != 2 or array.dtype != np.bool_ or not array.any():
        raise ValueError("no mask")
    if row + array.shape[0] > shape[0] or col + array.shape[1] > shape[1]:
        raise ValueError("the mask leaves its frame")
    probability = said["probability"]
    if probability is not None and not 0.0 <= _finite(probability) <= 1.0:
        raise ValueError("no probability")
    if not isinstance(said["clipped"], bool):
        raise ValueError("no truth value")
    return DrawnMask(View(said["view"]), (row, col), array, probability, said["clipped"])
