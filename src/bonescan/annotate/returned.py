"""Curves that come back from other tools: SR and SEG, LabelMe, COCO; which scan they belong to, and who drew them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bonescan.annotate.coco import is_coco, read_coco
from bonescan.annotate.labelme import label_image, read_labelme, shapes_by_lesion
from bonescan.annotate.strangers_json import load_json
from bonescan.contours import mask_of
from bonescan.drawn import DrawnLesion
from bonescan.errors import InputError, LabelError
from bonescan.study import Mask, Study, View

if TYPE_CHECKING:
    from bonescan.dicom.header import SourceHeader
    from bonescan.dicom.objects.curves import Curve, Curves

_READER_FOLDER = "reader-"
_DICOM_ENDINGS = (".dcm", ".dicom", "")


@dataclass(frozen=True, slots=True, eq=False)
class LabelSource:
    """One file of curves. curves: of an SR or SEG; None for LabelMe and COCO files, which are read with their scan.

    reader: whom the file, or the folder `reader-<name>` above it, names; None: nobody.
    """

    path: Path
    kind: str
    curves: Curves | None
    reader: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Returned:
    """What was drawn on one scan. objects: the SOP Instance UIDs of the SR or SEG that it came from, else ()."""

    drawn: tuple[DrawnLesion, ...]
    reader: str | None
    objects: tuple[str, ...]


def label_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files of curves among files and folders (searched recursively): DICOM and JSON."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        for folder, names, files in os.walk(path):
            names[:] = sorted(name for name in names if not name.startswith("."))
            found += [Path(folder) / name for name in sorted(files) if _may_hold_curves(Path(folder) / name)]
    return list(dict.fromkeys(found))


def _may_hold_curves(path: Path) -> bool:
    if path.name.startswith(".") or path.name == "lesions.json":
        return False
    if path.suffix.lower() == ".json":
        return True
    if path.suffix.lower() not in _DICOM_ENDINGS:
        return False
    from bonescan.dicom.elements import looks_like_dicom

    return looks_like_dicom(path)


def read_source(path: Path) -> LabelSource:
    """Read what a file of curves is. Raises InputError where it is none."""
    reader = (
        next(
            (name[len(_READER_FOLDER) :] for name in reversed(path.parent.parts) if name.startswith(_READER_FOLDER)),
            None,
        )
        or None
    )
    if path.suffix.lower() == ".json":
        return LabelSource(path, "coco" if is_coco(load_json(path)) else "labelme", None, reader)
    from bonescan.sandbox import read_curves

    curves = read_curves(path)
    return LabelSource(path, curves.kind, curves, curves.reader or reader)


def belongs(source: LabelSource, key: str, header: SourceHeader | None, *, alone: bool) -> bool:
    """Tell whether curves were drawn on a scan.

    SR and SEG by the instances that they refer to; LabelMe and COCO by a folder of the study's name, or where the scan
    is `alone`.
    """
    if source.curves is None:
        return alone or key in source.path.absolute().parts
    own = set() if header is None else {instance.sop_instance_uid for instance in header.instances}
    referred = set(source.curves.sources) | {curve.sop_instance_uid for curve in source.curves.curves}
    return bool(own & referred)


def returned(sources: Sequence[LabelSource], study: Study, header: SourceHeader | None) -> Returned:
    """Return what was drawn on one scan.

    Raises LabelError where the files are of different kinds or readers, InputError where a curve is on no view of it.
    """
    kinds = {source.kind for source in sources}
    if len(kinds) > 1 or (len(sources) > 1 and kinds != {"labelme"}):
        raise LabelError(
            f"the scan {study.key} has curves in {len(sources)} files ({', '.join(sorted(kinds))}); give one of them"
        )
    readers = {source.reader for source in sources}
    if len(readers) > 1:
        raise LabelError(f"the curves of the scan {study.key} are by {len(readers)} readers; give those of one")
    drawn: list[DrawnLesion] = []
    for source in sources:
        if source.curves is not None and header is not None:
            drawn += _from_dicom(source.curves, study, header)
        elif source.kind == "coco":
            drawn += [DrawnLesion(one.view, _fits(one.mask, study), one.score) for one in read_coco(source.path)]
        else:
            drawn += _from_labelme(source.path, study)
    missing = next((lesion.view for lesion in drawn if lesion.view not in study.scans), None)
    if missing is not None:
        raise LabelError(f"there are curves on the {missing} view, which the scan {study.key} does not have")
    objects = tuple(source.curves.sop_instance_uid for source in sources if source.curves is not None)
    return Returned(tuple(drawn), readers.pop(), objects)


def _from_dicom(curves: Curves, study: Study, header: SourceHeader) -> list[DrawnLesion]:
    places = {
        (header.instances[frame.file].sop_instance_uid, frame.frame): view for view, frame in study.frames.items()
    }
    return [_from_curve(curve, study, places) for curve in curves.curves]


def _from_curve(curve: Curve, study: Study, places: Mapping[tuple[str, int], View]) -> DrawnLesion:
    named = curve.tracking_id if curve.tracking_id.startswith("Lesion ") else "a curve"
    view = places.get((curve.sop_instance_uid, curve.frame))
    if view is None:
        raise InputError(f"{named} is drawn on frame {curve.frame} of an image that is no view of the scan {study.key}")
    if curve.mask is not None:
        mask = _framed(curve, curve.mask, study)
    else:
        assert curve.contour is not None
        mask = mask_of(curve.contour, study.shape)
    if not mask.any():
        raise InputError(f"{named} holds no pixel of the {view} view; redraw or remove it")
    return DrawnLesion(view, mask, curve.probability, curve.region)


def _framed(curve: Curve, mask: Mask, study: Study) -> Mask:
    """The mask in its whole frame."""
    _check_shape(curve.shape, study)
    framed = np.zeros(study.shape, dtype=np.bool_)
    (row, col), (rows, cols) = curve.origin, mask.shape
    framed[row : row + rows, col : col + cols] = mask
    return framed


def _fits(mask: Mask, study: Study) -> Mask:
    _check_shape(mask.shape, study)
    return mask


def _check_shape(shape: tuple[int, ...], study: Study) -> None:
    if shape != study.shape:
        raise LabelError(
            f"a mask of {shape[0]} x {shape[1]} pixels does not fit the scan {study.key} of "
            f"{study.shape[0]} x {study.shape[1]}: draw on the frame as acquired"
        )


def _from_labelme(path: Path, study: Study) -> list[DrawnLesion]:
    labels = read_labelme(path)
    said = f"{path.stem} {Path(labels.image_name).stem}".lower()
    views = [view for view in View if view.value in said]
    if len(views) != 1:
        raise LabelError(f"{path.name} does not say which view it is of: name it anterior.json or posterior.json")
    picture = label_image(labels, study.shape)
    numbers = range(1, len(shapes_by_lesion(labels)) + 1)
    masks = [np.asarray(picture == number) for number in numbers]
    return [DrawnLesion(views[0], mask) for mask in masks if mask.any()]
