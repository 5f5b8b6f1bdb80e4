"""COCO files: both views of a study as two images, their lesions as polygons or run lengths.

COCO counts (x, y) from the upper left corner of the upper left pixel, as LabelMe does. Run lengths go down the columns,
and start with the background.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.annotate.strangers_json import load_json
from bonescan.contours import mask_of
from bonescan.errors import LabelError
from bonescan.study import Lesion, Mask, Result, View

CATEGORY = "bone metastasis"
"""The category that is written."""

_HALF_PIXEL = 0.5
_MOST_ANNOTATIONS = 5000
_LARGEST_SIDE = 16384
_LARGEST_COORDINATE = 1e6
_BASE = 48
"""COCO's compressed run lengths are base-32 digits as printable letters from this one on."""


@dataclass(frozen=True, slots=True, eq=False)
class CocoLesion:
    """One annotation. mask: boolean, of the image's shape. score: 0..1, or None."""

    view: View
    mask: Mask
    score: float | None


def write_coco(result: Result, path: Path) -> None:
    """Write the lesions of a result to `path`; images are named anterior.png and posterior.png. Raises OSError."""
    views = [view for view in View if view in result.study.scans]
    rows, cols = result.study.shape
    document = {
        "info": {"description": "Lesions of a whole-body bone scan. Research use only - not for diagnosis"},
        "images": [
            {"id": number, "file_name": f"{view}.png", "height": rows, "width": cols}
            for number, view in enumerate(views, start=1)
        ],
        "categories": [{"id": 1, "name": CATEGORY}],
        "annotations": [_annotation(lesion, views.index(lesion.view) + 1) for lesion in result.lesions],
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


def read_coco(path: Path) -> tuple[CocoLesion, ...]:
    """Read the lesions of a COCO file whose images are named after the views.

    Raises LabelError where the file is none, or an annotation cannot be used.
    """
    document = load_json(path)
    if not is_coco(document):
        raise LabelError(f"{path.name} has no images and annotations, so it is no COCO file: export it again")
    try:
        return tuple(_read(document, path.name))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise LabelError(
            f"{path.name} is damaged ({type(error).__name__} in an image or annotation): export it again"
        ) from None


def _read(document: Mapping[str, Any], name: str) -> Iterator[CocoLesion]:
    images = {image["id"]: image for image in document["images"]}
    annotations = document["annotations"]
    if len(annotations) > _MOST_ANNOTATIONS:
        raise LabelError(f"{name} holds {len(annotations)} annotations, which no scan has: give one study a file")
    for annotation in annotations:
        where = f"annotation {annotation.get('id')!r:.20} of {name}"
        image = images.get(annotation["image_id"])
        if image is None:
            raise LabelError(f"{where} is of an image that the file does not list: export it again")
        shape = int(image["height"]), int(image["width"])
        if not all(0 < side <= _LARGEST_SIDE for side in shape):
            raise LabelError(f"{where} is of an image of {shape[0]} x {shape[1]} pixels: no scan has that size")
        score = annotation.get("score")
        yield CocoLesion(
            _view(str(image["file_name"]), where),
            _mask(annotation.get("segmentation"), shape, where),
            float(score) if isinstance(score, int | float) and 0 <= score <= 1 else None,
        )


def _view(file_name: str, where: str) -> View:
    named = [view for view in View if view.value in Path(file_name).name.lower()]
    if len(named) != 1:
        raise LabelError(
            f"{where} is of an image whose name is not that of a view: name it anterior.png or posterior.png"
        )
    return named[0]


def _mask(segmentation: Any, shape: tuple[int, int], where: str) -> Mask:
    if isinstance(segmentation, dict):
        mask = _run_lengths(segmentation, shape, where)
    elif isinstance(segmentation, list) and segmentation:
        mask = np.logical_or.reduce([_polygon(points, shape, where) for points in segmentation])
    else:
        raise LabelError(f"{where} has a box alone: outline the lesion with a polygon or a mask")
    if not mask.any():
        raise LabelError(f"{where} holds no pixel of the frame: remove or redraw it")
    return mask


def _polygon(points: Any, shape: tuple[int, int], where: str) -> Mask:
    flat = np.asarray(points, dtype=np.float64)
    if flat.ndim != 1 or flat.size < 6 or flat.size % 2 or not (np.abs(flat) <= _LARGEST_COORDINATE).all():
        raise LabelError(f"a polygon of {where} is no list of at least three points: redraw it")
    return mask_of(flat.reshape(-1, 2)[:, ::-1] - _HALF_PIXEL, shape)


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
    """Return COCO's compressed run lengths: five bits a letter, the sixth says that more follow; the fourth and later
    runs are differences to the one two before."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        digit = ord(letter) - _BASE
        value |= (digit & 0x1F) << shift
        shift += 5
        if digit & 0x20:
            continue
        if digit & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs
