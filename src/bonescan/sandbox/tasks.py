"""The tasks of the child: name -> function of paths and plain arguments that returns plain values and arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.annotate.drawings import drawn_masks, label_about
from bonescan.dicom.deidentify import Deidentification, deidentified
from bonescan.dicom.elements import load
from bonescan.dicom.objects.read_objects import read_curves
from bonescan.dicom.pixels import load_codecs
from bonescan.dicom.read import file_summary, read_dicom
from bonescan.dicom.read_header import read_header
from bonescan.dicom.values import ReadOptions
from bonescan.sandbox.frames import Message
from bonescan.sandbox.rasters import read_npz, read_png
from bonescan.study import Study, View


def load_libraries() -> None:
    """Import the libraries that tasks import on use, before memory is limited."""
    import_module("PIL.PngImagePlugin")
    load_codecs()


def _summary(paths: Sequence[Path]) -> Message:
    return Message(asdict(file_summary(paths[0])))


def _study(paths: Sequence[Path], key: str, options: Mapping[str, Any]) -> Message:
    views, frames = options["views"], options["frames"]
    read = ReadOptions(
        None if views is None else tuple(View(view) for view in views), None if frames is None else tuple(frames)
    )
    return _study_message(read_dicom(paths, key, read))


def _study_message(study: Study) -> Message:
    spacing = study.spacing
    document = {
        "key": study.key,
        "views": [view.value for view in study.scans],
        "spacing": None if spacing is None else [spacing.row_mm, spacing.col_mm],
        "spacing_note": study.spacing_note,
        "view_source": study.view_source,
        "acquired": study.acquired,
        "sources": list(study.sources),
        "warnings": list(study.warnings),
        "frames": {view.value: [frame.file, frame.frame] for view, frame in study.frames.items()},
    }
    return Message(document, tuple(scan.counts for scan in study.scans.values()))


def _header(paths: Sequence[Path]) -> Message:
    header = read_header(paths)
    return Message(
        {
            "patient": dict(header.patient),
            "study": dict(header.study),
            "instances": [asdict(instance) for instance in header.instances],
            "deidentification": [asdict(code) for code in header.deidentification],
        }
    )


def _curves(paths: Sequence[Path]) -> Message:
    curves = read_curves(paths[0])
    document = {
        "kind": curves.kind,
        "study_uid": curves.study_uid,
        "sop_instance_uid": curves.sop_instance_uid,
        "sources": list(curves.sources),
        "reader": curves.reader,
        "curves": [
            {
                "sop_instance_uid": curve.sop_instance_uid,
                "frame": curve.frame,
                "drawn": "contour" if curve.mask is None else "mask",
                "origin": curve.origin,
                "shape": curve.shape,
                "tracking_id": curve.tracking_id,
                "tracking_uid": curve.tracking_uid,
                "probability": curve.probability,
                "region": None if curve.region is None else curve.region.value,
            }
            for curve in curves.curves
        ],
    }
    arrays = (curve.contour if curve.mask is None else curve.mask for curve in curves.curves)
    return Message(document, tuple(array for array in arrays if array is not None))


def _label_about(paths: Sequence[Path]) -> Message:
    about = label_about(paths[0])
    stamp = None if about.stamp is None else about.stamp.document()
    views = [view.value for view in about.views]
    return Message({"kind": about.kind, "stamp": stamp, "edited": about.edited, "views": views})


def _drawn_masks(paths: Sequence[Path], shape: Sequence[int]) -> Message:
    rows, cols = shape
    masks = drawn_masks(paths[0], (rows, cols))
    said = [
        {
            "view": one.view.value,
            "origin": one.origin,
            "probability": one.probability,
            "clipped": one.clipped,
        }
        for one in masks
    ]
    return Message({"masks": said}, tuple(one.mask for one in masks))


def _png(paths: Sequence[Path], key: str) -> Message:
    return _study_message(read_png(paths, key))


def _npz(paths: Sequence[Path], key: str) -> Message:
    return _study_message(read_npz(paths[0], key))


def _deidentify(paths: Sequence[Path], key: str, accept_burned_in: bool) -> Message:
    done = deidentified(load(paths[0]), Deidentification(bytes.fromhex(key), accept_burned_in))
    document = {"patient": done.patient, "study": done.study, "image": done.image, "remarks": list(done.remarks)}
    return Message(document, (np.frombuffer(done.content, dtype=np.uint8),))


TASKS: dict[str, Callable[..., Message]] = {
    "file_summary": _summary,
    "study": _study,
    "header": _header,
    "curves": _curves,
    "label_about": _label_about,
    "drawn_masks": _drawn_masks,
    "png": _png,
    "npz": _npz,
    "deidentify": _deidentify,
}
