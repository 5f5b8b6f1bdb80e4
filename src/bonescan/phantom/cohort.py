"""Write simulated patients as a cohort folder: DICOM as several makers write it, LabelMe truth, and a table.

OUT/patient-0000/study/scan.dcm (or anterior.dcm and posterior.dcm)
                       anterior.json, posterior.json     LabelMe truth; no shapes = no lesion
                       truth.npz                         label pictures and region maps, exact
                       reader-a/anterior.json ...        what simulated readers drew, where readers were asked for
OUT/lesions.csv                                          one row a lesion, seen or not
OUT/cohort.toml                                          how it was made
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.annotate import from_label_image, write_labelme
from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.errors import OptionError, OutputError
from bonescan.phantom.anatomy import make_anatomy
from bonescan.phantom.patient import Phantom, make_patient
from bonescan.phantom.readers import MOST_READERS, Reader, make_reader, read_patient
from bonescan.phantom.truth import LesionRecord
from bonescan.report.pictures import write_pictures
from bonescan.study import View
from bonescan.system.parallel import process_pool

Progress = Callable[[int, int], None]
MIXED = "mixed"
_MIXED_STYLES = tuple(style for style in HeaderStyle if style is not HeaderStyle.NO_VIEWS)
"""The styles that `mixed` takes in turn: those that can be read without stating the views."""

MOST_PATIENTS = 100_000
"""Larger counts are probably a typing error (a week of computing, 100 GB)."""

MOST_SCANS = 12
"""Most scans of one patient; more is unusual in treatment."""

TABLE_COLUMNS = (
    "patient", "lesion", "bone", "region", "side", "radius_mm", "contrast", "anterior_px", "posterior_px",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CohortOptions:
    """out: the folder to make. count: patients, each of an anatomy of its own. header: a HeaderStyle, or "mixed".

    readers: how many simulated readers label each patient; the same ones first, however many there are.
    series: how many scans each patient has over time; 1: a single study.
    """

    out: Path
    count: int
    seed: int
    header: str = MIXED
    readers: int = 0
    series: int = 1


@dataclass(frozen=True, slots=True)
class CohortSummary:
    """What was written."""

    out: Path
    patients: int
    lesion_free: int
    lesions: int


@dataclass(frozen=True, slots=True)
class _Order:
    """One patient to simulate and write."""

    folder: Path
    number: int
    seed: int
    style: HeaderStyle
    readers: int


def write_cohort(options: CohortOptions, progress: Progress = lambda done, total: None) -> CohortSummary:
    """Simulate and write a cohort; the same options give the same bytes.

    Each patient's folder appears when it is complete. Raises OptionError for an unknown header style or a count that
    cannot be meant, and OutputError when the folder holds anything but this cohort or cannot be written.
    """
    styles = _styles(options.header)
    if options.seed < 0:
        raise OptionError(f"the seed is {options.seed}: give 0 or more")
    if not 1 <= options.count <= MOST_PATIENTS:
        raise OptionError(f"{options.count} patients cannot be simulated at once: give 1 to {MOST_PATIENTS}")
    if not 0 <= options.readers <= MOST_READERS:
        raise OptionError(f"{options.readers} readers cannot be simulated: give 0 to {MOST_READERS}")
    if options.series > 1:
        return _write_series_cohort(options, styles, progress)
    out = Path(options.out)
    stated = _cohort_toml(options)
    toml = out / "cohort.toml"
    try:
        out.mkdir(parents=True, exist_ok=True)
        _refuse_what_is_not_this_cohort(out, toml, stated)
        toml.write_text(stated, encoding="utf-8")
        orders = [_Order(out, i, options.seed, styles[i % len(styles)], options.readers) for i in range(options.count)]
        rows: list[list[str]] = []
        for done, table in enumerate(_made(orders), 1):
            rows += table
            progress(done, options.count)
        _write_table(out / "lesions.csv", rows)
    except OSError as error:
        raise OutputError(f"the cohort cannot be written to {out}: {error.strerror}") from None
    visible = {row[0] for row in rows if row[7] != "0" or row[8] != "0"}
    seen = sum(row[7] != "0" or row[8] != "0" for row in rows)
    return CohortSummary(out, options.count, options.count - len(visible), seen)


def _write_series_cohort(options: CohortOptions, styles: tuple[HeaderStyle, ...], progress: Progress) -> CohortSummary:
    from bonescan.phantom.series import write_series, write_statuses

    if options.readers or options.series > MOST_SCANS:
        raise OptionError(f"a series has 2 to {MOST_SCANS} scans and no simulated readers: leave --readers out")
    out = Path(options.out)
    stated = _cohort_toml(options)
    rows: list[list[str]] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        _refuse_what_is_not_this_cohort(out, out / "cohort.toml", stated)
        (out / "cohort.toml").write_text(stated, encoding="utf-8")
        for number in range(options.count):
            shutil.rmtree(out / f"patient-{number:04d}", ignore_errors=True)
            style = styles[number % len(styles)]
            rows += write_series(out, number, options.seed, options.series, style, write_patient)
            progress(number + 1, options.count)
        write_statuses(out / "series.csv", rows)
    except OSError as error:
        raise OutputError(f"the cohort cannot be written to {out}: {error.strerror}") from None
    seen = [row for row in rows if row[4:] != ["0", "0"]]
    return CohortSummary(out, options.count, options.count - len({row[0] for row in seen}), len(seen))


def _refuse_what_is_not_this_cohort(out: Path, toml: Path, stated: str) -> None:
    """Patients' folders are replaced, so that only a folder that is empty or began as this very cohort will do."""
    if toml.exists():
        if toml.read_bytes() != stated.encode():
            raise OutputError(f"{out} holds another cohort: choose an empty folder")
    elif any(not path.name.startswith(".") for path in out.iterdir()):
        raise OutputError(f"{out} holds files that are no simulated cohort: choose an empty folder")


def _styles(header: str) -> tuple[HeaderStyle, ...]:
    if header == MIXED:
        return _MIXED_STYLES
    try:
        return (HeaderStyle(header),)
    except ValueError:
        raise OptionError(f"there is no header style {header!r}: choose {MIXED}, {', '.join(HeaderStyle)}") from None


def _cohort_toml(options: CohortOptions) -> str:
    return (
        "# Simulated patients. Research use only.\n"
        "simulated = true\n"
        f"count = {options.count}\nseed = {options.seed}\n"
        f'header = "{options.header}"\n'
        + (f"readers = {options.readers}\n" if options.readers else "")
        + (f"series = {options.series}\n" if options.series > 1 else "")
    )


def _made(orders: list[_Order]) -> Iterator[list[list[str]]]:
    """Each patient's rows of the table, in order; two processes where there is enough to do."""
    if len(orders) < 4:
        yield from map(_make, orders)
        return
    with process_pool(2) as pool:
        yield from pool.map(_make, orders)


def _make(order: _Order) -> list[list[str]]:
    """Simulate and write one patient; returns its rows of the table."""
    name = f"patient-{order.number:04d}"
    anatomy_seed = int(np.random.SeedSequence([order.seed, order.number]).generate_state(1)[0])
    phantom = make_patient(make_anatomy(anatomy_seed), 0)
    final = order.folder / name
    temporary = order.folder / f".{name}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    write_patient(phantom, temporary / "study", Header(order.style, seed=order.seed))
    if order.readers:
        write_pictures(phantom.study, temporary / "study")
    for number in range(order.readers):
        write_reading(phantom, make_reader(order.seed, number), temporary / "study")
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    return [_row(name, record) for record in phantom.table]


def write_patient(phantom: Phantom, folder: Path, header: Header) -> None:
    """Write one phantom's scan and truth into a new folder."""
    folder.mkdir(parents=True)
    write_nm(phantom.study, folder / "scan.dcm", header)
    for view in View:
        write_labelme(folder / f"{view}.json", from_label_image(phantom.lesions[view], f"{view}.png"))
    arrays: dict[str, Any] = {f"lesions_{view}": phantom.lesions[view] for view in View}
    arrays |= {f"faint_{view}": phantom.faint[view] for view in View}
    arrays |= {f"regions_{view}": phantom.regions[view] for view in View}
    arrays |= {f"benign_{view}": phantom.benign[view] for view in View}
    arrays |= {f"levels_{view}": phantom.levels[view] for view in View}
    np.savez_compressed(folder / "truth.npz", **arrays)


def write_reading(phantom: Phantom, reader: Reader, folder: Path) -> None:
    """Write what one simulated reader draws on a phantom beside its truth: `folder`/reader-<name>/."""
    own = folder / f"reader-{reader.name}"
    own.mkdir()
    for view, picture in read_patient(phantom, reader).items():
        write_labelme(own / f"{view}.json", from_label_image(picture, f"../{view}.png"))


def _row(patient: str, record: LesionRecord) -> list[str]:
    areas = [str(record.area_px[view]) for view in View]
    size, contrast = f"{record.radius_mm:.1f}", f"{record.contrast:.2f}"
    return [patient, str(record.number), record.bone, record.region, record.side, size, contrast, *areas]


def _write_table(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(TABLE_COLUMNS)
        writer.writerows(rows)
