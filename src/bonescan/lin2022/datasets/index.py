"""index.csv: one row per pair of a data set; the definitions of the sets D1 to D4 and D2_Agg, and how large each is.

Table 1 of Lin et al. 2022 (doi 10.3389/fmolb.2022.956720): D1 = originals; D2 = D1 and geometric copies; D3 = D1 and
GAN samples; D4 = all of these; D2_Agg = the pairs of D2, each added up to one image.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from bonescan.errors import InputError
from bonescan.lin2022.datasets.moves import Move
from bonescan.study import View

INDEX = "index.csv"
COLUMNS = (
    "study", "patient", "origin", "split", "sets", "flip", "rotation_deg", "shift_rows_px", "shift_cols_px",
    "views", "labelled", "reference", "reference_anterior", "reference_posterior",
)  # fmt: skip

SetName = Literal["D1", "D2", "D3", "D4", "D2_Agg"]
SETS: tuple[SetName, ...] = ("D1", "D2", "D3", "D4", "D2_Agg")
AGGREGATED: SetName = "D2_Agg"


class Origin(StrEnum):
    """Where a pair comes from."""

    ORIGINAL = "original"
    GEOMETRIC = "geometric"
    GAN = "gan"


class Subset(StrEnum):
    """What a pair is for. UNUSED: an augmented copy of a test patient, which is neither trained nor tested on."""

    TRAIN = "train"
    TEST = "test"
    UNUSED = "unused"


SETS_OF: dict[Origin, tuple[SetName, ...]] = {
    Origin.ORIGINAL: ("D1", "D2", "D3", "D4", "D2_Agg"),
    Origin.GEOMETRIC: ("D2", "D4", "D2_Agg"),
    Origin.GAN: ("D3", "D4"),
}
"""The sets that a pair belongs to by its origin."""


@dataclass(frozen=True, slots=True)
class PairRecord:
    """One row of the index.

    study: folder of the pair, relative to the data set's. move: how a geometric copy was made; its rounding seed is
    not kept. present, labelled: which views (anterior, posterior) there are, and which have lesion truth.
    references: skeletal references of the whole frame that the window was cut from: of both views together, of the
    anterior alone, of the posterior alone. path: the folder.
    """

    study: str
    patient: str
    origin: Origin
    split: Subset
    move: Move
    present: tuple[bool, bool]
    labelled: tuple[bool, bool]
    references: tuple[float, float, float]
    path: Path

    @property
    def sets(self) -> tuple[SetName, ...]:
        """The sets that it belongs to."""
        return SETS_OF[self.origin]


def row_of(record: PairRecord) -> list[str]:
    """Its row of the index, in the order of `COLUMNS`."""
    move = record.move
    return [
        record.study,
        record.patient,
        record.origin,
        record.split,
        " ".join(record.sets),
        str(int(move.flip)),
        f"{move.rotation_deg:g}",
        str(move.shift_rows_px),
        str(move.shift_cols_px),
        _views(record.present),
        _views(record.labelled),
        *(repr(reference) for reference in record.references),
    ]


def write_index(folder: Path, records: Iterable[PairRecord]) -> None:
    """Write the index of a data set's folder atomically."""
    partial = folder / f".{INDEX}.partial"
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row_of(record) for record in records)
    partial.replace(folder / INDEX)


def read_index(folder: Path) -> tuple[PairRecord, ...]:
    """Read the index of a data set's folder. Raises InputError if it is missing, damaged or of another version."""
    path = folder / INDEX
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise InputError(f"{path} is no index of a data set of this version: build the data set again")
            return tuple(_record(folder, row) for row in reader)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): give a folder that bonescan dataset wrote"
        ) from None
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}): build the data set again") from None


def _record(folder: Path, row: dict[str, str]) -> PairRecord:
    references = float(row["reference"]), float(row["reference_anterior"]), float(row["reference_posterior"])
    return PairRecord(
        study=row["study"],
        patient=row["patient"],
        origin=Origin(row["origin"]),
        split=Subset(row["split"]),
        move=Move(
            flip=row["flip"] == "1",
            rotation_deg=float(row["rotation_deg"]),
            shift_rows_px=int(row["shift_rows_px"]),
            shift_cols_px=int(row["shift_cols_px"]),
        ),
        present=_flags(row["views"]),
        labelled=_flags(row["labelled"]),
        references=references,
        path=folder / row["study"],
    )


def _views(flags: tuple[bool, bool]) -> str:
    return " ".join(view for view, there in zip(View, flags, strict=True) if there)


def _flags(text: str) -> tuple[bool, bool]:
    views = {View(word) for word in text.split()}
    return View.ANTERIOR in views, View.POSTERIOR in views


@dataclass(frozen=True, slots=True)
class SetSize:
    """The size of one set. images: views, or sums of two in D2_Agg; pairs: studies with both views.

    labelled, train, test, unused: images. patients: without GAN samples, which have no patient.
    """

    name: SetName
    images: int
    pairs: int
    patients: int
    labelled: int
    train: int
    test: int
    unused: int

    def numbers(self) -> dict[str, int]:
        """All but the name."""
        return {key: value for key, value in asdict(self).items() if key != "name"}


def set_sizes(records: Sequence[PairRecord]) -> tuple[SetSize, ...]:
    """Count the sets. Those that need GAN samples are left out if there are none."""
    has_samples = any(record.origin is Origin.GAN for record in records)
    names = [name for name in SETS if has_samples or name not in ("D3", "D4")]
    return tuple(_size(name, [record for record in records if name in record.sets]) for name in names)


def _size(name: SetName, records: Sequence[PairRecord]) -> SetSize:
    def images(chosen: Iterable[PairRecord]) -> int:
        return sum(1 if name == AGGREGATED else sum(record.present) for record in chosen)

    return SetSize(
        name=name,
        images=images(records),
        pairs=sum(all(record.present) for record in records),
        patients=len({record.patient for record in records if record.origin is not Origin.GAN}),
        labelled=sum(any(r.labelled) if name == AGGREGATED else sum(r.labelled) for r in records),
        train=images(record for record in records if record.split is Subset.TRAIN),
        test=images(record for record in records if record.split is Subset.TEST),
        unused=images(record for record in records if record.split is Subset.UNUSED),
    )


def table(sizes: Sequence[SetSize]) -> str:
    """Table 1 as text."""
    columns = ("set", "images", "pairs", "patients", "labelled", "train", "test", "unused")
    rows = [columns, *((size.name, *map(str, size.numbers().values())) for size in sizes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
