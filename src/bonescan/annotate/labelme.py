"""LabelMe files: one JSON document of drawn shapes for each view, as in Lin et al. 2022, section 2.2.

LabelMe counts (x, y) from the upper left corner of the upper left pixel, so that this pixel's centre is at
(0.5, 0.5); here it is at (row 0, col 0). Only `_to_contour` and `_to_points` convert between the two.
Image data is neither read nor written.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.annotate.label_json import STAMP_KEY, Stamp, counts_digest, drawn_digest, load_json, read_stamp
from bonescan.errors import LabelError, OutputError
from bonescan.lesions.contours import contour_of, mask_of
from bonescan.prepare import Window
from bonescan.study import LabelImage, Mask, Study, View, read_only
from bonescan.system.files import written_whole

VERSION = "5.5.0"
"""The version of LabelMe whose format is written."""

LESION = "lesion"
"""The label that bonescan writes."""

IGNORED = "ignored"
"""The label, in any case, of an area that is neither lesion nor background: a lesion that went back to the readers."""

INCOMPLETE = "lesions returned"
"""The flag of a consensus file: whether lesions of this view went back to the readers and are ignored areas in it."""

_HALF_PIXEL = 0.5
_CIRCLE_VERTICES = 64
_LARGEST_COORDINATE = 1e6
_EIGHT = np.ones((3, 3), dtype=np.bool_)
_OTHER_SHAPES = {
    "line": "a line encloses nothing",
    "linestrip": "a line encloses nothing",
    "point": "a point encloses nothing",
    "points": "points enclose nothing",
    "mask": "a mask is no curve",
}


@dataclass(frozen=True, slots=True, eq=False)
class LabelShape:
    """One closed curve that a reader drew.

    label: the label that the reader gave. contour: (n, 2) float64 of (row, col), closed: first point = last.
    group_id: shapes with the same label and group are one lesion; None: the shape is a lesion of its own.
    """

    label: str
    contour: NDArray[np.float64]
    group_id: int | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""

    def __post_init__(self) -> None:
        contour = np.array(self.contour, dtype=np.float64)
        if contour.ndim != 2 or contour.shape[1] != 2 or len(contour) < 3 or not np.isfinite(contour).all():
            raise ValueError(f"a contour is (n, 2) finite numbers with n >= 3, not of shape {contour.shape}")
        if not np.array_equal(contour[0], contour[-1]):
            contour = np.concatenate([contour, contour[:1]])
        object.__setattr__(self, "contour", read_only(contour))


@dataclass(frozen=True, slots=True, eq=False)
class LabelFile:
    """What one reader drew on one view; no shapes: the view was read and has no lesion.

    shape: (rows, cols) of the frame, None where the file does not give it. image_name: the labelled picture.
    stamp: in a file that was written with a result; it does not change when the shapes are changed.
    """

    shapes: tuple[LabelShape, ...]
    shape: tuple[int, int] | None
    image_name: str = ""
    flags: Mapping[str, Any] = field(default_factory=dict)
    version: str = VERSION
    stamp: Stamp | None = None

    @property
    def is_edited(self) -> bool:
        """Whether the shapes have changed since the stamp was made; True also without a stamp."""
        return self.stamp is None or self.stamp.drawn != _shapes_digest(self.shapes)


def stamped(labels: LabelFile, counts: Mapping[View, str], window: Window | None = None) -> LabelFile:
    """Return the file with a stamp of its shapes. counts: the digest of the counts on which they were drawn.

    window: the thoracic window in which they were drawn; None: the whole body.
    """
    return replace(labels, stamp=Stamp(counts, _shapes_digest(labels.shapes), window))


def another_image(name: str, labels: LabelFile, view: View, study: Study) -> str | None:
    """Say that the stamp of a view's file is of other counts than the study's; None without a stamp. name: the file."""
    if labels.stamp is None:
        return None
    own = counts_digest(study.counts(view)) if view in study.scans else None
    if own is not None and labels.stamp.counts.get(view) == own:
        return None
    return f"{name} was drawn on another image than the {view} view of the scan beside it"


def refuse_another_image(name: str, labels: LabelFile, view: View, study: Study) -> None:
    """Raise LabelError where `another_image` says so."""
    said = another_image(name, labels, view, study)
    if said is not None:
        raise LabelError(f"{said}: put each label file beside the scan that it was drawn on")


def _shapes_digest(shapes: Iterable[LabelShape]) -> str:
    return drawn_digest([[shape.label, shape.group_id, shape.contour.tolist()] for shape in shapes])


def read_labelme(path: Path) -> LabelFile:
    """Read a LabelMe file; polygons, rectangles and circles become closed contours.

    Raises LabelError for a file that cannot be read, is too large or is no LabelMe file, and for a shape without area.
    """
    return labelme_of(load_json(path), path)


def labelme_of(document: Any, path: Path) -> LabelFile:
    """Return what a JSON document holds, as `read_labelme` does. path: gives the name for messages."""
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        raise LabelError(f"{path.name} has no list of shapes, so it is no LabelMe file: save it again with LabelMe")
    shapes = tuple(
        _read_shape(shape, f"shape {number} of {path.name}") for number, shape in enumerate(document["shapes"], start=1)
    )
    return LabelFile(
        shapes=shapes,
        shape=_read_frame(document, path.name),
        image_name=_text(document.get("imagePath")),
        flags=_mapping(document.get("flags")),
        version=_text(document.get("version")),
        stamp=read_stamp(document.get(STAMP_KEY)),
    )


def write_labelme(path: Path, labels: LabelFile) -> None:
    """Write a LabelMe file, completely or not at all. Raises OutputError when it cannot be written."""
    rows, cols = labels.shape if labels.shape is not None else (None, None)
    document: dict[str, Any] = {
        "version": labels.version or VERSION,
        "flags": dict(labels.flags),
        "shapes": [_shape_document(shape) for shape in labels.shapes],
        "imagePath": labels.image_name,
        "imageData": None,
        "imageHeight": rows,
        "imageWidth": cols,
    }
    if labels.stamp is not None:
        document[STAMP_KEY] = labels.stamp.document()
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with written_whole(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise OutputError(f"the label file {path.name} cannot be written ({reason}): check the folder") from error


def label_image(
    labels: LabelFile, shape: tuple[int, int] | None = None, wanted: Collection[str] | None = None
) -> LabelImage:
    """Draw the shapes into a picture: uint16 (rows, cols), 0 = background, lesions numbered from 1 in file order.

    shape: of the frame; None: as the file gives it. wanted: only shapes of these labels; None: all but ignored areas.
    Where lesions overlap, the pixels belong to the smaller one. A curve that contains no pixel centre gets the pixel
    nearest to its middle, so that no lesion is lost. Raises LabelError for another frame or a curve outside it.
    """
    shape = frame_of(labels, shape)
    masks = [
        np.logical_or.reduce([_mask_of_shape(drawn, shape) for drawn in pieces])
        for pieces in shapes_by_lesion(labels, wanted)
    ]
    picture = np.zeros(shape, dtype=np.uint16)
    numbered = sorted(enumerate(masks, start=1), key=lambda lesion: -int(lesion[1].sum()))
    for number, mask in numbered:
        picture[mask] = number
    return picture


def shapes_by_lesion(labels: LabelFile, wanted: Collection[str] | None = None) -> list[tuple[LabelShape, ...]]:
    """The shapes of each lesion, in the order in which `label_image` numbers them from 1."""
    lesions: dict[tuple[Any, ...], tuple[LabelShape, ...]] = {}
    for number, drawn in enumerate(labels.shapes):
        if not _is_ignored(drawn) if wanted is None else drawn.label in wanted:
            key = (number,) if drawn.group_id is None else (drawn.label, drawn.group_id)
            lesions[key] = (*lesions.get(key, ()), drawn)
    return list(lesions.values())


def ignored_mask(labels: LabelFile, shape: tuple[int, int] | None = None) -> Mask:
    """Draw the ignored areas: boolean (rows, cols). shape: of the frame; None: as the file gives it.

    Raises LabelError as `label_image` does, and where lesions went back to the readers but the file does not say where:
    they would be taken for background.
    """
    shape = frame_of(labels, shape)
    areas = [drawn for drawn in labels.shapes if _is_ignored(drawn)]
    if labels.flags.get(INCOMPLETE) and not areas:
        raise LabelError(
            f"the label file has the flag {INCOMPLETE!r} and no area labelled {IGNORED!r}, so lesions in it would be "
            "taken for background: run bonescan consensus again, or remove the flag once all are drawn"
        )
    mask = np.zeros(shape, dtype=np.bool_)
    for drawn in areas:
        mask |= _mask_of_shape(drawn, shape)
    return mask


def _is_ignored(drawn: LabelShape) -> bool:
    return drawn.label.strip().lower() == IGNORED


def from_label_image(picture: NDArray[Any], image_name: str = "", label: str = LESION) -> LabelFile:
    """Outline each lesion of a label picture (rows, cols; 0 = background) so that `label_image` gives it back.

    A lesion in several pieces becomes several shapes of one group. The outline reaches a hole by a cut without width.
    Lesions keep their order; their numbers become 1, 2, ... when read back.
    """
    shapes: list[LabelShape] = []
    boxes: list[tuple[slice, ...] | None] = list(ndimage.find_objects(picture.astype(np.int64)))
    for number, box in enumerate(boxes, start=1):
        if box is None:
            continue
        origin = np.array([box[0].start, box[1].start], dtype=np.float64)
        pieces, count = ndimage.label(picture[box] == number, structure=_EIGHT)
        group = number if count > 1 else None
        shapes += [
            LabelShape(label, _outline(pieces == piece) + origin, group_id=group) for piece in range(1, count + 1)
        ]
    rows, cols = picture.shape
    return LabelFile(tuple(shapes), (rows, cols), image_name)


def _to_contour(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """LabelMe's (x, y) to (row, col)."""
    return points[:, ::-1] - _HALF_PIXEL


def _to_points(contour: NDArray[np.float64]) -> NDArray[np.float64]:
    """(row, col) to LabelMe's (x, y)."""
    return contour[:, ::-1] + _HALF_PIXEL


def _read_shape(shape: Any, where: str) -> LabelShape:
    if not isinstance(shape, dict):
        raise LabelError(f"{where} is no object: save the file again with LabelMe")
    kind = shape.get("shape_type", "polygon")
    points = _read_points(shape.get("points"), where)
    if kind in _OTHER_SHAPES:
        raise LabelError(f"{where} is a {kind} and {_OTHER_SHAPES[kind]}: draw a polygon around the lesion")
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    elif kind == "circle" and len(points) == 2:
        angles = np.linspace(0, 2 * np.pi, _CIRCLE_VERTICES, endpoint=False)
        radius = np.hypot(*(points[1] - points[0]))
        points = points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    elif kind not in ("polygon", "rectangle"):
        raise LabelError(f"{where} is of the kind {kind!r}, which is not read: draw a polygon around the lesion")
    if len(points) < 3:
        raise LabelError(f"{where} has {len(points)} points and encloses nothing: draw a polygon of at least 3")
    group = shape.get("group_id")
    return LabelShape(
        label=_text(shape.get("label")),
        contour=_to_contour(points),
        group_id=group if isinstance(group, int) and not isinstance(group, bool) else None,
        flags=_mapping(shape.get("flags")),
        description=_text(shape.get("description")),
    )


def _read_points(points: Any, where: str) -> NDArray[np.float64]:
    pairs = isinstance(points, list) and all(isinstance(point, list) and len(point) == 2 for point in points)
    if not pairs or not all(_is_coordinate(value) for point in points for value in point):
        raise LabelError(f"the points of {where} are not pairs of numbers: save the file again with LabelMe")
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _is_coordinate(value: Any) -> bool:
    # The comparison is false for NaN, and for every integer that is too large for a float.
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and -_LARGEST_COORDINATE <= value <= _LARGEST_COORDINATE
    )


def _read_frame(document: Mapping[str, Any], name: str) -> tuple[int, int] | None:
    rows, cols = document.get("imageHeight"), document.get("imageWidth")
    if rows is None or cols is None:
        return None
    for extent in (rows, cols):
        if not isinstance(extent, int) or isinstance(extent, bool) or not 0 < extent <= _LARGEST_COORDINATE:
            raise LabelError(f"{name} states an image of {rows} x {cols} pixels: save it again with LabelMe")
    return rows, cols


def _shape_document(shape: LabelShape) -> dict[str, Any]:
    return {
        "label": shape.label,
        "points": _to_points(shape.contour[:-1]).tolist(),  # LabelMe closes a polygon by itself
        "group_id": shape.group_id,
        "description": shape.description,
        "shape_type": "polygon",
        "flags": dict(shape.flags),
    }


def frame_of(labels: LabelFile, shape: tuple[int, int] | None) -> tuple[int, int]:
    """Return the frame on which both agree, or the other where one is None. Raises LabelError where they differ."""
    if shape is None and labels.shape is None:
        raise LabelError("the label file states no image size: add imageHeight and imageWidth")
    if shape is not None and labels.shape is not None and shape != labels.shape:
        raise LabelError(
            f"the label file is for a frame of {labels.shape[0]} x {labels.shape[1]} pixels and the scan has "
            f"{shape[0]} x {shape[1]}: label the frame as acquired"
        )
    frame = shape if shape is not None else labels.shape
    assert frame is not None
    return frame


def _mask_of_shape(drawn: LabelShape, shape: tuple[int, int]) -> Mask:
    mask = mask_of(drawn.contour, shape)
    if mask.any():
        return mask
    row, col = (int(place) for place in np.rint(drawn.contour[:-1].mean(axis=0)))
    if not (0 <= row < shape[0] and 0 <= col < shape[1]):
        raise LabelError(f"a curve around row {row}, column {col} lies outside the frame: remove or redraw it")
    mask[row, col] = True
    return mask


def _outline(mask: Mask) -> NDArray[np.float64]:
    """Return one closed curve around one 8-connected piece with its holes, by the even-odd rule."""
    filled = ndimage.binary_fill_holes(mask)
    curve = contour_of(filled)
    holes, count = ndimage.label(filled & ~mask)
    for number in range(1, count + 1):
        filled = filled & (holes != number)
        curve = _cut_to(curve, contour_of(holes == number), filled)
    return curve


def _cut_to(curve: NDArray[np.float64], hole: NDArray[np.float64], mask: Mask) -> NDArray[np.float64]:
    """Join the curve of a hole to the closed curve around it by a line there and the same line back."""
    for start in range(len(curve) - 1):
        around = np.roll(curve[:-1], -start, axis=0)
        joined = np.concatenate([around, around[:1], hole, around[:1]])
        # A slanted line through a pixel's centre may round differently there and back: take a line that does not.
        if np.array_equal(mask_of(joined, (mask.shape[0], mask.shape[1])), mask):
            return joined
    raise AssertionError("no cut from the hole to the curve around it gives the mask back")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
