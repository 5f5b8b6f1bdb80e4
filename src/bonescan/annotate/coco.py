"""COCO files: both views of a study as two images, their lesions as polygons or run lengths.

COCO counts (x, y) from the upper left corner of the upper left pixel, as LabelMe does. Run lengths go down the columns,
and start with the background.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.annotate.label_json import STAMP_KEY, Stamp, counts_digests, drawn_digest, read_stamp, window_of
from bonescan.errors import LabelError
from bonescan.lesions.contours import mask_of, reaches_beyond
from bonescan.study import Lesion, Mask, Result, View

CATEGORY = "bone metastasis"
"""The category that is written."""

_HALF_PIXEL = 0.5
_MOST_ANNOTATIONS = 5000
_LARGEST_COORDINATE = 1e6
_MOST_RUN_BITS = 40
_BASE = 48
"""COCO's compressed run lengths are base-32 digits as printable letters from this one on."""


@dataclass(frozen=True, slots=True, eq=False)
class CocoLesion:
    """One annotation. mask: boolean, of the image's shape. score: 0..1, or None.

    clipped: whether its outline reaches beyond the image, so that a part of it is cut off.
    """

    view: View
    mask: Mask
    score: float | None
    clipped: bool


def write_coco(result: Result, path: Path) -> None:
    """Write the lesions of a result to `path`; images are named anterior.png and posterior.png. Raises OSError.

    The stamp is written into `info`.
    """
    views = [view for view in View if view in result.study.scans]
    rows, cols = result.study.shape
    annotations = [_annotation(lesion, views.index(lesion.view) + 1) for lesion in result.lesions]
    stamp = Stamp(counts_digests(result.study), _annotations_digest(annotations), window_of(result))
    document = {
        "info": {
            "description": "Lesions of a whole-body bone scan. Research use only - not for diagnosis",
            "warnings": list(result.warnings),
            STAMP_KEY: stamp.document(),
        },
        "images": [
            {"id": number, "file_name": f"{view}.png", "height": rows, "width": cols}
            for number, view in enumerate(views, start=1)
        ],
        "categories": [{"id": 1, "name": CATEGORY}],
        "annotations": annotations,
    }
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _annotation(lesion: Lesion, image: int) -> dict[str, Any]:
    (row, col), (rows, cols) = lesion.origin, lesion.mask.shape
    points = lesion.contour[:-1, ::-1] + _HALF_PIXEL
    annotation = {
        "id": lesion.id,
        "image_id": image,
        "category_id": 1,
        "segmentation": [points.ravel().tolist()],
        "area": lesion.measures.area_px,
        "bbox": [col, row, cols, rows],
        "iscrowd": 0,
    }
    return annotation if lesion.probability is None else {**annotation, "score": lesion.probability}


def is_coco(document: Any) -> bool:
    """Tell whether a JSON document is a COCO file."""
    return isinstance(document, dict) and "annotations" in document and "images" in document


def coco_stamp(document: Mapping[str, Any]) -> Stamp | None:
    """Return the stamp of a COCO document of ours, else None."""
    info = document.get("info")
    return read_stamp(info.get(STAMP_KEY)) if isinstance(info, dict) else None


def is_coco_edited(document: Mapping[str, Any]) -> bool:
    """Tell whether the annotations have changed since the stamp was made; True also without a stamp."""
    stamp = coco_stamp(document)
    try:
        return stamp is None or stamp.drawn != _annotations_digest(document["annotations"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return True


def _annotations_digest(annotations: Sequence[Mapping[str, Any]]) -> str:
    return drawn_digest([[one["image_id"], one["segmentation"]] for one in annotations])


def views_of(document: Mapping[str, Any]) -> tuple[View, ...]:
    """The views after which the document's images are named, with or without lesions."""
    images = document["images"] if isinstance(document["images"], list) else []
    names = [str(image.get("file_name", "")).lower() for image in images if isinstance(image, dict)]
    return tuple(view for view in View if any(view.value in Path(name).name for name in names))


def lesions_of(document: Any, name: str, shape: tuple[int, int]) -> Iterator[CocoLesion]:
    """Yield the lesions of a COCO document whose images are named after the views.

    name: the document's name in messages. shape: (rows, cols) of the scan's frame, which every image must have.
    Raises LabelError where the document is no COCO file, or an image or annotation cannot be used.
    """
    if not is_coco(document):
        raise LabelError(f"{name} has no images and annotations, so it is no COCO file: export it again")
    try:
        yield from _read(document, name, shape)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise LabelError(
            f"{name} is damaged ({type(error).__name__} in an image or annotation): export it again"
        ) from None


def _read(document: Mapping[str, Any], name: str, shape: tuple[int, int]) -> Iterator[CocoLesion]:
    _refuse_several_studies(document["images"], name)
    images = {image["id"]: image for image in document["images"]}
    annotations = document["annotations"]
    if len(annotations) > _MOST_ANNOTATIONS:
        raise LabelError(f"{name} holds {len(annotations)} annotations, which no scan has: give one study a file")
    for annotation in annotations:
        where = f"annotation {annotation.get('id')!r:.20} of {name}"
        image = images.get(annotation["image_id"])
        if image is None:
            raise LabelError(f"{where} is of an image that the file does not list: export it again")
        stated = int(image["height"]), int(image["width"])
        if stated != shape:
            # Checked before anything is drawn: a file may give any size.
            raise LabelError(
                f"{where} is of an image of {stated[0]} x {stated[1]} pixels, and the scan has {shape[0]} x "
                f"{shape[1]}: draw on the frame as acquired"
            )
        score = annotation.get("score")
        segmentation = annotation.get("segmentation")
        yield CocoLesion(
            _view(str(image["file_name"]), where),
            _mask(segmentation, shape, where),
            float(score) if isinstance(score, int | float) and 0 <= score <= 1 else None,
            isinstance(segmentation, list)
            and any(reaches_beyond(_polygon(points, where), shape) for points in segmentation),
        )


def _refuse_several_studies(images: Sequence[Mapping[str, Any]], name: str) -> None:
    """Refuse two images of one view: the file is of several studies, whose lesions would be merged."""
    seen: set[View] = set()
    for image in images:
        named = _named_views(str(image["file_name"]))
        if len(named) == 1 and named[0] in seen:
            raise LabelError(f"{name} has two images of the {named[0]} view: give one study a file")
        seen.update(named)


def _named_views(file_name: str) -> list[View]:
    return [view for view in View if view.value in Path(file_name).name.lower()]


def _view(file_name: str, where: str) -> View:
    named = _named_views(file_name)
    if len(named) != 1:
        raise LabelError(
            f"{where} is of an image whose name is not that of a view: name it anterior.png or posterior.png"
        )
    return named[0]


def _mask(segmentation: Any, shape: tuple[int, int], where: str) -> Mask:
    if isinstance(segmentation, dict):
        mask = _run_lengths(segmentation, shape, where)
    elif isinstance(segmentation, list) and segmentation:
        mask = np.logical_or.reduce([mask_of(_polygon(points, where), shape) for points in segmentation])
    else:
        raise LabelError(f"{where} has a box alone: outline the lesion with a polygon or a mask")
    if not mask.any():
        raise LabelError(f"{where} holds no pixel of the frame: remove or redraw it")
    return mask


def _polygon(points: Any, where: str) -> NDArray[np.float64]:
    """Return (n, 2) of (row, col)."""
    flat = np.asarray(points, dtype=np.float64)
    if flat.ndim != 1 or flat.size < 6 or flat.size % 2 or not (np.abs(flat) <= _LARGEST_COORDINATE).all():
        raise LabelError(f"a polygon of {where} is no list of at least three points: redraw it")
    return flat.reshape(-1, 2)[:, ::-1] - _HALF_PIXEL


def _run_lengths(coded: Mapping[str, Any], shape: tuple[int, int], where: str) -> Mask:
    counts = coded["counts"]
    runs = _decompressed(counts) if isinstance(counts, str) else [int(run) for run in counts]
    pixels = shape[0] * shape[1]
    if [int(side) for side in coded["size"]] != list(shape) or min(runs, default=0) < 0 or sum(runs) != pixels:
        raise LabelError(f"the run lengths of {where} do not fill its image: export it again")
    values = np.arange(len(runs)) % 2 == 1
    column_by_column: NDArray[np.bool_] = np.repeat(values, runs)
    return column_by_column.reshape(shape[1], shape[0]).T.copy()


def _decompressed(text: str) -> list[int]:
    """Return COCO's compressed run lengths.

    Each letter holds five bits; a sixth bit says that more letters of this run follow. From the fourth run on, the
    number is the difference from the run two places before.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        digit = ord(letter) - _BASE
        value |= (digit & 0x1F) << shift
        shift += 5
        if shift > _MOST_RUN_BITS:
            raise ValueError("a run longer than any image")
        if digit & 0x20:
            continue
        if digit & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs
