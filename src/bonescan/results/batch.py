"""Tables of many results: a row for each outline, a row for each study, and statistics over all. CSV or Parquet.

The tables are made from the `lesions.json` of each result, whichever program run wrote it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.assess.site import site_words
from bonescan.errors import InputError, OutputError
from bonescan.report.lesions_json import LesionsFile, read_lesions
from bonescan.results.folder import LESIONS_JSON, result_folders
from bonescan.study import Lesion, View
from bonescan.system.files import written_whole

LESIONS, STUDIES, STATISTICS = "lesions.csv", "studies.csv", "statistics.csv"
Row = dict[str, Any]

_FORMULA = ("=", "+", "-", "@", "\t")
"""A spreadsheet takes text that begins with one of these for a formula."""
_MEASURES = ("area_px", "area_mm2", "counts_total", "counts_mean", "counts_max", "contrast", "contrast_mirror")
_EXTENT = ("lesions", "positive_share", "bone_scan_index", "mass_seen", "grade")
"""Columns for the patient, over both views: a lesion that both views show is counted once."""
_OF_A_VIEW = {
    "outlines": "lesions",
    "area_px": "area_px",
    "area_mm2": "area_mm2",
    "skeleton_share": "skeleton_share",
}
"""Column for a view -> field of its burden, which counts outlines."""
_STATISTICS = ("quantity", "n", "mean", "sd", "median", "q1", "q3", "min", "max")


def write_batch_tables(
    results: Path, out: Path, parquet: bool = False, unreadable: Callable[[str], None] | None = None
) -> int:
    """Write the three tables of all results below a folder into `out`; return how many results are in them.

    parquet: write Parquet instead of CSV, with numbers as numbers and null for unknown values.
    unreadable: is called with a sentence on each result that cannot be read, and the others go on.
    Raises InputError where there is none that can be read or, without `unreadable`, where one cannot, OutputError where
    nothing can be written, and ModuleNotFoundError for Parquet without pyarrow.
    """
    write = parquet_writer() if parquet else _write
    files = _readable(results, unreadable)
    lesions = [row for file in files for row in lesion_rows(file)]
    studies = [study_row(file) for file in files]
    try:
        out.mkdir(parents=True, exist_ok=True)
        write(out / LESIONS, lesion_columns(), lesions)
        write(out / STUDIES, tuple(studies[0]), studies)
        write(out / STATISTICS, _STATISTICS, statistics_rows(studies, lesions))
    except OSError as error:
        raise OutputError(
            f"the tables cannot be written to {out} ({error.strerror or error}): choose another folder"
        ) from error
    return len(files)


def _readable(results: Path, unreadable: Callable[[str], None] | None) -> list[LesionsFile]:
    files: list[LesionsFile] = []
    for folder in result_folders([results]):
        try:
            files.append(read_lesions(folder / LESIONS_JSON))
        except InputError as error:
            if unreadable is None:
                raise
            unreadable(str(error))
    if not files:
        raise InputError(f"no result in {results} can be read: segment the scans again")
    return files


def lesion_columns() -> tuple[str, ...]:
    """The columns of lesions.csv."""
    who = ("model", "reader")
    where = ("region", "side", "site", "level", "level_plus_minus", "pair")
    return ("study", "outline", "view", *where, "row", "col", *_MEASURES, "probability", *who)


def lesion_rows(file: LesionsFile) -> list[Row]:
    """A row for each outline of a result.

    row, col: the centroid in the frame as acquired, pixels. site: bone, side and level in words. pair: the number that
    both outlines of one lesion have.
    """
    return [_lesion_row(file, lesion) for lesion in file.lesions]


def study_row(file: LesionsFile) -> Row:
    """The row of a result: the patient's totals, those of each view's outlines, how it was made, and its warnings."""
    row: Row = {"study": file.key, "acquired": file.acquired}
    for name in _EXTENT:
        row[f"patient_{name}"] = None if file.extent is None else getattr(file.extent, name)
    row["outlines"] = len(file.lesions)
    for view in View:
        burden = file.views[view].burden if view in file.views else None
        for column, name in _OF_A_VIEW.items():
            row[f"{view}_{column}"] = None if burden is None else getattr(burden, name)
    return row | {
        "region": file.region,
        "model": file.model.name,
        "model_sha256": file.model.sha256,
        "operating_point": file.operating_point,
        "reader": file.reader,
        "views_told_by": file.view_source,
        "warnings": "; ".join(file.warnings),
    }


def statistics_rows(studies: Sequence[Row], lesions: Sequence[Row]) -> list[Row]:
    """Mean, standard deviation (n - 1), quartiles and range of all measures of studies and outlines, then counts.

    An unknown value (a view that is missing, millimetres without spacing) is in no figure; n is the number of known
    values.
    """
    rows = [_figures(f"{name} per study", (row[name] for row in studies)) for name in _study_quantities()]
    rows += [_figures(f"{name} per outline", (row[name] for row in lesions)) for name in (*_MEASURES, "probability")]
    rows.append({"quantity": "studies without lesions", "n": sum(not row["outlines"] for row in studies)})
    rows.append({"quantity": "studies with warnings", "n": sum(bool(row["warnings"]) for row in studies)})
    regions = Counter(str(row["region"]) for row in lesions)
    rows += [{"quantity": f"outlines in {region}", "n": number} for region, number in sorted(regions.items())]
    return rows


def _study_quantities() -> tuple[str, ...]:
    patient = tuple(f"patient_{name}" for name in _EXTENT)
    return (*patient, "outlines", *(f"{view}_{column}" for view in View for column in _OF_A_VIEW))


def _lesion_row(file: LesionsFile, lesion: Lesion) -> Row:
    row, col = np.argwhere(lesion.mask).mean(axis=0) + lesion.origin
    return {
        "study": file.key,
        "outline": lesion.id,
        "view": lesion.view.value,
        "region": lesion.region.value,
        "side": lesion.side.value,
        "site": site_words(lesion),
        "level": None if lesion.level is None else lesion.level.name,
        "level_plus_minus": None if lesion.level is None else lesion.level.plus_minus,
        "pair": lesion.pair,
        "row": round(float(row), 2),
        "col": round(float(col), 2),
        **{name: getattr(lesion.measures, name) for name in _MEASURES},
        "probability": lesion.probability,
        "model": file.model.name,
        "reader": file.reader,
    }


def _figures(quantity: str, values: Iterable[float | None]) -> Row:
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    row: Row = {"quantity": quantity, "n": len(known)}
    if not known.size:
        return row
    q1, median, q3 = np.percentile(known, [25, 50, 75])
    row |= {"mean": known.mean(), "median": median, "q1": q1, "q3": q3, "min": known.min(), "max": known.max()}
    return row | ({"sd": known.std(ddof=1)} if known.size > 1 else {})


def parquet_writer() -> Callable[[Path, Sequence[str], Iterable[Mapping[str, Any]]], None]:
    """Return the function that writes a table as Parquet, under the CSV's name with another ending; needs pyarrow."""
    from pyarrow import Table
    from pyarrow.parquet import write_table

    def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        kept = list(rows)
        table = Table.from_pydict({column: [row.get(column) for row in kept] for column in columns})
        with written_whole(path.with_suffix(".parquet")) as temporary:
            write_table(table, temporary)

    return write


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
