"""`lesions.json`: the result of one study for programs. Written by `write_lesions`, read by `read_lesions`.

The format is described by docs/reference/lesions.schema.json; `SCHEMA` identifies its version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.errors import InputError, OutputError
from bonescan.lesions.contours import mask_of
from bonescan.study import (
    Burden,
    Candidate,
    Extent,
    Lesion,
    Level,
    Measures,
    ModelName,
    QualityCheck,
    Region,
    Result,
    RibPart,
    Side,
    SourceFrame,
    Spacing,
    View,
)

SCHEMA = "urn:bonescan:lesions:2"
_READ = (SCHEMA, "urn:bonescan:lesions:1")
"""Formats that can be read; the first one has no digests, frames and readers."""
NO_SPACING = "the input states no pixel spacing"
"""The reason that is given where the study has no spacing."""
_MOST_PIXELS = 4096 * 4096
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ViewRecord:
    """What `lesions.json` says of one view; shape: (rows, cols). counts_total: counts in the frame.

    source: None where the source is no DICOM file.
    """

    shape: tuple[int, int]
    spacing: Spacing | None
    spacing_note: str | None
    counts_total: float
    burden: Burden
    source: SourceFrame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LesionsFile:
    """A `lesions.json` as read: everything of a result except the counts.

    views: those that were acquired. window: the rows and columns that were analysed.
    digests: sha256 of each source, () where the file does not give them. reader: None where only the model drew.
    operating_point, candidates, extent, quality: as in a result; None or () in files of older versions.
    """

    key: str
    acquired: str | None
    sources: tuple[str, ...]
    view_source: str
    model: ModelName
    region: str
    window: tuple[slice, slice]
    views: Mapping[View, ViewRecord]
    lesions: tuple[Lesion, ...]
    warnings: tuple[str, ...]
    digests: tuple[str, ...] = ()
    reader: str | None = None
    operating_point: str | None = None
    candidates: tuple[Candidate, ...] = ()
    extent: Extent | None = None
    quality: tuple[QualityCheck, ...] = ()


def lesions_document(result: Result) -> dict[str, Any]:
    """The result as JSON holds it: plain dicts, lists, strings, finite numbers and None."""
    study = result.study
    rows, cols = result.window
    return {
        "schema": SCHEMA,
        "research_use_only": True,
        "study": {
            "key": study.key,
            "acquired": study.acquired,
            "sources": [_readable(name) for name in study.sources],
            "digests": list(study.digests),
            "view_source": study.view_source,
        },
        "model": {"name": result.model.name, "sha256": result.model.sha256},
        "reader": result.reader,
        "region": {"name": result.region, "rows": [rows.start, rows.stop], "cols": [cols.start, cols.stop]},
        "views": {view.value: _view(result, view) if view in study.scans else None for view in View},
        "lesions": [_lesion(lesion) for lesion in result.lesions],
        "operating_point": result.operating_point,
        "candidates": [_candidate(candidate) for candidate in result.candidates],
        "extent": None if result.extent is None else asdict(result.extent),
        "quality": [asdict(check) for check in result.quality],
        "warnings": list(result.warnings),
    }


def _readable(name: str) -> str:
    """A file's name as text; bytes that are not UTF-8, such as Latin-1 names on old shares, become U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _view(result: Result, view: View) -> dict[str, Any]:
    study = result.study
    spacing = study.spacing
    return {
        "shape": list(study.shape),
        "spacing_mm": None if spacing is None else [spacing.row_mm, spacing.col_mm],
        "spacing_note": (study.spacing_note or NO_SPACING) if spacing is None else study.spacing_note,
        "counts_total": float(study.counts(view).sum(dtype=np.float64)),
        "burden": asdict(result.burden[view]),
        "source": asdict(study.frames[view]) if view in study.frames else None,
    }


def _lesion(lesion: Lesion) -> dict[str, Any]:
    return {
        "id": lesion.id,
        "view": lesion.view.value,
        "region": lesion.region.value,
        "side": lesion.side.value,
        "probability": lesion.probability,
        "level": None if lesion.level is None else asdict(lesion.level),
        "pair": lesion.pair,
        **asdict(lesion.measures),
        "contour": lesion.contour.tolist(),
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    """A candidate as JSON: no lesion, but it would be one at a threshold of `peak` or less."""
    return {
        "view": candidate.view.value,
        "region": candidate.region.value,
        "area_px": candidate.area_px,
        "probability": candidate.probability,
        "peak": candidate.peak,
        "contour": candidate.contour.tolist(),
    }


def lesions_text(result: Result) -> str:
    """The text of `lesions.json`: one line for each view and each lesion, the same for the same result.

    Raises OutputError when a number is not finite.
    """
    document = lesions_document(result)
    try:
        lines = [f"  {json.dumps(name)}: {_dump(name, value)}" for name, value in document.items()]
    except ValueError:
        raise OutputError(
            f"the result of {result.study.key} holds a number that is not finite and is not written: check the counts"
        ) from None
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _dump(name: str, value: Any) -> str:
    def dump(part: Any) -> str:
        return json.dumps(part, ensure_ascii=False, allow_nan=False)

    if name == "views":
        return "{\n" + ",\n".join(f"    {dump(view)}: {dump(record)}" for view, record in value.items()) + "\n  }"
    if name in ("lesions", "candidates") and value:
        return "[\n" + ",\n".join(f"    {dump(lesion)}" for lesion in value) + "\n  ]"
    return dump(value)


def write_lesions(result: Result, path: Path) -> None:
    """Write `lesions.json` (UTF-8) to `path`."""
    path.write_text(lesions_text(result), encoding="utf-8")


_REMEDY = "segment the scan again, or move the folder away"


def read_lesions(path: Path) -> LesionsFile:
    """Read a `lesions.json`; the masks come from the contours, which hold them exactly.

    Raises InputError when the file is missing, damaged or of another format; its sentence names the folder, too.
    """
    name = f"{path.absolute().parent.name}/{path.name}"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{name} has more than {_MOST_BYTES >> 20} MB, which no result has: {_REMEDY}")
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise InputError(f"{name} cannot be read as the lesions of a study ({reason}): {_REMEDY}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema not in _READ:
        raise InputError(f"{name} is of the format {schema!r}, and this version reads {SCHEMA!r}: {_REMEDY}")
    try:
        return _parse(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{name} does not hold the lesions of a study as {SCHEMA!r} says ({type(error).__name__}: {error}): "
            f"{_REMEDY}"
        ) from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _parse(document: Mapping[str, Any]) -> LesionsFile:
    study, region = document["study"], document["region"]
    views = {View(name): _parse_view(record) for name, record in document["views"].items() if record is not None}
    return LesionsFile(
        key=study["key"],
        acquired=study["acquired"],
        sources=tuple(study["sources"]),
        view_source=study["view_source"],
        model=ModelName(**document["model"]),
        region=region["name"],
        window=(slice(*region["rows"]), slice(*region["cols"])),
        views=views,
        lesions=tuple(_parse_lesion(record, views) for record in document["lesions"]),
        warnings=tuple(document["warnings"]),
        digests=tuple(study.get("digests", ())),
        reader=document.get("reader"),
        operating_point=document.get("operating_point"),
        candidates=tuple(_parse_candidate(record) for record in document.get("candidates", ())),
        extent=None if document.get("extent") is None else _parse_extent(document["extent"]),
        quality=tuple(QualityCheck(**record) for record in document.get("quality", ())),
    )


def _parse_extent(record: Mapping[str, Any]) -> Extent:
    intervals = {str(name): (float(low), float(high)) for name, (low, high) in record["intervals"].items()}
    bones = {str(name): float(share) for name, share in record["bones"].items()}
    return Extent(**{**record, "bones": bones, "intervals": intervals})


def _parse_level(record: Mapping[str, Any] | None) -> Level | None:
    if record is None:
        return None
    part = None if record["part"] is None else RibPart(record["part"])
    return Level(str(record["name"]), int(record["plus_minus"]), part)


def _parse_candidate(record: Mapping[str, Any]) -> Candidate:
    contour = np.asarray(record["contour"], dtype=np.float64)
    if contour.ndim != 2 or contour.shape[1] != 2 or not np.isfinite(contour).all():
        raise ValueError("the contour of a candidate is no list of places")
    peak, mean = float(record["peak"]), float(record["probability"])
    if not 0 <= mean <= peak <= 1:
        raise ValueError(f"a candidate states the probability {mean} and the peak {peak}")
    return Candidate(View(record["view"]), contour, int(record["area_px"]), mean, peak, Region(record["region"]))


def _parse_view(record: Mapping[str, Any]) -> ViewRecord:
    rows, cols = record["shape"]
    if not 1 <= rows * cols <= _MOST_PIXELS:
        raise ValueError(f"a frame of {rows} x {cols} pixels is none of a bone scan")
    spacing = None if record["spacing_mm"] is None else Spacing(*record["spacing_mm"])
    burden = Burden(**record["burden"])
    source = None if record.get("source") is None else SourceFrame(**record["source"])
    return ViewRecord((rows, cols), spacing, record["spacing_note"], record["counts_total"], burden, source)


def _parse_lesion(record: Mapping[str, Any], views: Mapping[View, ViewRecord]) -> Lesion:
    view = View(record["view"])
    contour = np.asarray(record["contour"], dtype=np.float64)
    shape = views[view].shape
    if (contour < -0.5).any() or (contour > np.array(shape) - 0.5).any():
        raise ValueError(f"the contour of lesion {record['id']} leaves the frame")
    first, last = np.ceil(contour.min(axis=0)).astype(int), np.floor(contour.max(axis=0)).astype(int)
    rows, cols = (last - first + 1).tolist()
    mask = mask_of(contour - first, (rows, cols))
    if not mask.any() or mask.sum() != record["area_px"]:
        raise ValueError(f"lesion {record['id']} states {record['area_px']} pixels, its contour holds {mask.sum()}")
    return Lesion(
        id=record["id"],
        view=view,
        contour=contour,
        origin=(int(first[0]), int(first[1])),
        mask=mask,
        probability=record["probability"],
        region=Region(record["region"]),
        side=Side(record["side"]),
        measures=Measures(**{name: record[name] for name in Measures.__dataclass_fields__}),
        level=_parse_level(record.get("level")),
        pair=record.get("pair"),
    )
