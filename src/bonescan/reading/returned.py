"""Curves that come back from other tools: SR and SEG, LabelMe, COCO; which scan they belong to, and who drew them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bonescan.annotate.label_json import counts_digests
from bonescan.errors import InputError, LabelError
from bonescan.lesions.contours import mask_of, reaches_beyond
from bonescan.lesions.drawn import DrawnLesion
from bonescan.prepare import Window
from bonescan.reading.inputs import may_be_dicom
from bonescan.study import Mask, Study, View

if TYPE_CHECKING:
    from bonescan.annotate.label_json import Stamp
    from bonescan.dicom.header import SourceHeader
    from bonescan.dicom.values import Curve, Curves

_READER_FOLDER = "reader-"
_LONGEST = 5_000_000.0
"""Most rows, up and down, over all curves of one file; a curve along every pixel of a large frame has a fifth."""
_MOST_MASK_PIXELS = 2**29
"""A thousand lesions on frames of half a million pixels, a byte each."""


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A file that may hold curves. below: it was found below the given folder (or below a reader's folder in it).

    named: the file itself was given, not a folder with it.
    """

    path: Path
    below: bool = False
    named: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class LabelSource:
    """One file of curves. curves: of an SR or SEG; None for LabelMe and COCO files, which are read with their scan.

    reader: the name in the file, or in the folder `reader-<name>` above it; None without either.
    stamp: of a LabelMe or COCO file that bonescan wrote. below: as in `LabelFile`.
    views: that a LabelMe or COCO file is of.
    """

    path: Path
    kind: str
    curves: Curves | None
    reader: str | None
    stamp: Stamp | None = None
    below: bool = False
    views: tuple[View, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Returned:
    """What was drawn on one scan. objects: the SOP Instance UIDs of the SR or SEG that it came from, else ().

    views: those that the files are of, with or without lesions.
    """

    drawn: tuple[DrawnLesion, ...]
    reader: str | None
    objects: tuple[str, ...]
    views: frozenset[View]


def label_files(paths: Sequence[Path]) -> list[LabelFile]:
    """Return the files of curves among files and folders (searched recursively): DICOM and JSON."""
    found: dict[Path, LabelFile] = {}
    for path in paths:
        if not path.is_dir():
            found.setdefault(path, LabelFile(path))
            continue
        for folder, names, files in os.walk(path):
            names[:] = sorted(name for name in names if not name.startswith("."))
            between = Path(folder).relative_to(path).parts
            below = any(not name.startswith(_READER_FOLDER) for name in between)
            for file in (Path(folder) / name for name in sorted(files)):
                if _may_hold_curves(file):
                    found.setdefault(file, LabelFile(file, below, named=False))
    return list(found.values())


def _may_hold_curves(path: Path) -> bool:
    # Links may lead out of the folder, and reading a pipe or a device may never end.
    if path.name.startswith(".") or path.name == "lesions.json" or path.is_symlink() or not path.is_file():
        return False
    return path.suffix.lower() == ".json" or may_be_dicom(path)


def read_source(file: LabelFile) -> LabelSource:
    """Read what a file of curves is. Raises InputError where it is no such file, NoCurvesError as `read_curves`."""
    from bonescan.sandbox import label_about, read_curves

    path = file.path
    reader = _reader_of(path)
    if path.suffix.lower() == ".json":
        about = label_about(path)
        return LabelSource(path, about.kind, None, reader, about.stamp, file.below, about.views)
    curves = read_curves(path)
    return LabelSource(path, curves.kind, curves, curves.reader or reader)


def _reader_of(path: Path) -> str | None:
    """The name in the nearest folder `reader-<name>` above a file."""
    named = (name for name in reversed(path.absolute().parent.parts) if name.startswith(_READER_FOLDER))
    return next(named, "")[len(_READER_FOLDER) :] or None


def needs_counts(sources: Iterable[LabelSource]) -> bool:
    """Tell whether `belongs` needs the scan's counts."""
    return any(source.stamp is not None for source in sources)


def belongs(source: LabelSource, key: str, header: SourceHeader | None, study: Study | None, *, alone: bool) -> bool:
    """Tell whether curves were drawn on a scan.

    SR and SEG are matched by the instances to which they refer, a LabelMe or COCO file with a stamp by the counts on
    which it was drawn. A file without a stamp is matched by a folder with the study's name; or, where the scan is
    `alone`, because the file itself was given. study: None where the scan could not be read.
    """
    if source.curves is not None:
        own = set() if header is None else {instance.sop_instance_uid for instance in header.instances}
        return bool(own & _referred(source.curves))
    if source.stamp is not None:
        counts = {} if study is None else counts_digests(study)
        return all(counts.get(view) == digest for view, digest in source.stamp.counts.items())
    return (alone and not source.below) or key in source.path.absolute().parent.parts


def _referred(curves: Curves) -> set[str]:
    """The instances to which an SR or SEG refers."""
    return {*curves.sources, *(curve.sop_instance_uid for curve in curves.curves)}


def _views_of(source: LabelSource, study: Study, header: SourceHeader | None) -> set[View]:
    """The views that a file is of: an SR or SEG of those to whose images it refers."""
    if source.curves is None or header is None:
        return set(source.views)
    referred = _referred(source.curves)
    return {view for view, frame in study.frames.items() if header.instances[frame.file].sop_instance_uid in referred}


def stamped_window(sources: Sequence[LabelSource]) -> Window | None:
    """The thoracic window that the stamps of one scan's files give; None without any.

    Raises LabelError where they differ.
    """
    windows = [source.stamp.window for source in sources if source.stamp is not None]
    if any(window != windows[0] for window in windows):
        raise LabelError(
            f"{' and '.join(source.path.name for source in sources)} were drawn on different parts of the scan: say "
            "with --region or --window what was looked at"
        )
    return windows[0] if windows else None


def returned(sources: Sequence[LabelSource], study: Study, header: SourceHeader | None) -> Returned:
    """Return what was drawn on one scan.

    Raises LabelError where the files differ in kind or reader, lie in several folders or are of the same view, and
    InputError where a curve is on no view of the scan.
    """
    kinds = {source.kind for source in sources}
    if len(kinds) > 1:
        named = [source for source in sources if source.kind == "labelme"] or sources[:1]
        raise LabelError(
            f"the scan {study.key} has curves in {len(kinds)} formats ({', '.join(sorted(kinds))}): name the corrected "
            f"files, for example {' '.join(str(source.path) for source in named[: len(View)])}"
        )
    if len(sources) > 1 and kinds != {"labelme"}:
        raise LabelError(
            f"the scan {study.key} has curves in {len(sources)} files ({', '.join(sorted(kinds))}); give one of them"
        )
    readers = {source.reader for source in sources}
    if len(readers) > 1:
        raise LabelError(f"the curves of the scan {study.key} are by {len(readers)} readers; give those of one")
    folders = {source.path.absolute().parent for source in sources}
    if len(folders) > 1:
        raise LabelError(
            f"the scan {study.key} has curves in {len(folders)} folders; give those of one, or put each study's "
            "files into a folder of its name"
        )
    drawn: list[DrawnLesion] = []
    views: dict[View, str] = {}
    for source in sources:
        if source.curves is not None and header is not None:
            drawn += _from_dicom(source.curves, study, header)
            continue
        own = _from_label_file(source.path, study)
        for view in {*source.views, *(lesion.view for lesion in own)}:
            if view in views:
                raise LabelError(
                    f"{views[view]} and {source.path.name} are both of the {view} view of {study.key}; give one"
                )
            views[view] = source.path.name
        drawn += own
    missing = next((lesion.view for lesion in drawn if lesion.view not in study.scans), None)
    if missing is not None:
        raise LabelError(f"there are curves on the {missing} view, which the scan {study.key} does not have")
    objects = tuple(source.curves.sop_instance_uid for source in sources if source.curves is not None)
    given = {view for source in sources for view in _views_of(source, study, header)}
    return Returned(tuple(drawn), readers.pop(), objects, frozenset(given | {lesion.view for lesion in drawn}))


def _from_dicom(curves: Curves, study: Study, header: SourceHeader) -> list[DrawnLesion]:
    contours = (curve.contour for curve in curves.curves if curve.contour is not None)
    if sum(float(np.abs(np.diff(contour[:, 0])).sum()) for contour in contours) > _LONGEST:
        raise LabelError("the curves of the report are longer than any lesions' are; redraw them")
    _refuse_too_many(len(curves.curves), study)
    places: dict[tuple[str, int | None], View] = {}
    for view, frame in study.frames.items():
        instance = header.instances[frame.file]
        places[instance.sop_instance_uid, frame.frame] = view
        if instance.frames == 1:
            places[instance.sop_instance_uid, None] = view
    return [_from_curve(curve, study, places) for curve in curves.curves]


def _from_curve(curve: Curve, study: Study, places: Mapping[tuple[str, int | None], View]) -> DrawnLesion:
    named = curve.tracking_id if curve.tracking_id.startswith("Lesion ") else "a curve"
    view = places.get((curve.sop_instance_uid, curve.frame))
    if view is None:
        if curve.frame is None and any(curve.sop_instance_uid == uid for uid, _ in places):
            raise InputError(
                f"{named} does not state on which frame of its image it is drawn: save it with its frame's number "
                "(Referenced Frame Number)"
            )
        where = "an image" if curve.frame is None else f"frame {curve.frame} of an image"
        raise InputError(f"{named} is drawn on {where} that is no view of the scan {study.key}")
    if curve.mask is not None:
        if curve.shape != study.shape:
            raise LabelError(
                f"a mask of {curve.shape[0]} x {curve.shape[1]} pixels does not fit the scan {study.key} of "
                f"{study.shape[0]} x {study.shape[1]}: draw on the frame as acquired"
            )
        mask = _framed(curve.mask, curve.origin, study.shape)
    else:
        assert curve.contour is not None
        mask = mask_of(curve.contour, study.shape)
    if not mask.any():
        raise InputError(f"{named} holds no pixel of the {view} view; redraw or remove it")
    clipped = curve.contour is not None and reaches_beyond(curve.contour, study.shape)
    return DrawnLesion(view, mask, curve.probability, curve.region, clipped)


def _from_label_file(path: Path, study: Study) -> list[DrawnLesion]:
    from bonescan.sandbox import drawn_masks

    masks = drawn_masks(path, study.shape)
    _refuse_too_many(len(masks), study)
    return [
        DrawnLesion(one.view, _framed(one.mask, one.origin, study.shape), one.probability, None, one.clipped)
        for one in masks
    ]


def _refuse_too_many(lesions: int, study: Study) -> None:
    rows, cols = study.shape
    if lesions * rows * cols > _MOST_MASK_PIXELS:
        raise LabelError(f"there are {lesions} lesions for the scan {study.key}, which no scan of its size has")


def _framed(mask: Mask, origin: tuple[int, int], shape: tuple[int, int]) -> Mask:
    """The mask in the whole frame."""
    framed = np.zeros(shape, dtype=np.bool_)
    (row, col), (rows, cols) = origin, mask.shape
    framed[row : row + rows, col : col + cols] = mask
    return framed
