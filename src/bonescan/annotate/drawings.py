"""What a LabelMe or COCO file holds: which scan it says that it belongs to, and the masks that were drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.annotate import coco, labelme
from bonescan.annotate.label_json import Stamp, load_json
from bonescan.errors import LabelError
from bonescan.lesions.contours import mask_of, reaches_beyond
from bonescan.study import Mask, View

_MOST_LESIONS = 5000


@dataclass(frozen=True, slots=True)
class LabelAbout:
    """What a file is. kind: "labelme" or "coco". stamp: None in files that bonescan did not write.

    edited: its curves have changed since the stamp was made, or it has no stamp.
    views: those that it is of, with or without lesions; () where the names in it say none.
    """

    kind: str
    stamp: Stamp | None
    edited: bool
    views: tuple[View, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class DrawnMask:
    """One lesion of a file. mask: boolean bounding box, with at least one pixel. origin: (row, col) of its first pixel.

    probability: 0..1, or None. clipped: whether its curve reaches beyond the frame.
    """

    view: View
    origin: tuple[int, int]
    mask: Mask
    probability: float | None
    clipped: bool


def label_about(path: Path) -> LabelAbout:
    """Read what a label file says about itself. Raises LabelError where it is no label file."""
    document = load_json(path)
    if coco.is_coco(document):
        return LabelAbout("coco", coco.coco_stamp(document), coco.is_coco_edited(document), coco.views_of(document))
    labels = labelme.labelme_of(document, path)
    try:
        views: tuple[View, ...] = (_view(labels, path),)
    except LabelError:  # raised again where the curves are read
        views = ()
    return LabelAbout("labelme", labels.stamp, labels.is_edited, views)


def drawn_masks(path: Path, shape: tuple[int, int]) -> tuple[DrawnMask, ...]:
    """Draw the lesions of a label file in a frame of (rows, cols); they may overlap.

    Raises LabelError where it is no label file, is for another frame or does not say the view, or where a lesion has no
    pixel.
    """
    document = load_json(path)
    found = _of_coco(document, path, shape) if coco.is_coco(document) else _of_labelme(document, path, shape)
    return tuple(found)


def _of_coco(document: Any, path: Path, shape: tuple[int, int]) -> Iterator[DrawnMask]:
    for lesion in coco.lesions_of(document, path.name, shape):
        yield _cropped(lesion.view, lesion.mask, lesion.score, lesion.clipped)


def _of_labelme(document: Any, path: Path, shape: tuple[int, int]) -> Iterator[DrawnMask]:
    labels = labelme.labelme_of(document, path)
    view = _view(labels, path)
    labelme.frame_of(labels, shape)
    lesions = labelme.shapes_by_lesion(labels)
    if len(lesions) > _MOST_LESIONS:
        raise LabelError(f"{path.name} holds {len(lesions)} lesions, which no scan has: draw each as one shape")
    for number, shapes in enumerate(lesions, start=1):
        mask = np.logical_or.reduce([mask_of(drawn.contour, shape) for drawn in shapes])
        if not mask.any():
            raise LabelError(f"lesion {number} of {path.name} holds no pixel of the frame: remove or redraw it")
        yield _cropped(view, mask, None, any(reaches_beyond(drawn.contour, shape) for drawn in shapes))


def _view(labels: labelme.LabelFile, path: Path) -> View:
    """The view that the name of the file or of its picture gives, else the stamp; the two must not contradict."""
    said = f"{path.stem} {Path(labels.image_name).stem}".lower()
    views = [view for view in View if view.value in said]
    if not views and labels.stamp is not None and len(labels.stamp.counts) == 1:
        views = list(labels.stamp.counts)
    if len(views) != 1:
        raise LabelError(f"{path.name} does not say which view it is of: name it anterior.json or posterior.json")
    if labels.stamp is not None and views[0] not in labels.stamp.counts:
        raise LabelError(f"{path.name} was written for the other view than its name says: give it the name that it had")
    return views[0]


def _cropped(view: View, mask: Mask, probability: float | None, clipped: bool) -> DrawnMask:
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
    return DrawnMask(view, (window[0].start, window[1].start), mask[window].copy(), probability, clipped)
