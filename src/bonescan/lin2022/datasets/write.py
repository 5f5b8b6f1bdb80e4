"""Write the pairs of a data set as a cohort folder: scan.npz, LabelMe files and truth.npz, each view as acquired."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.annotate import from_label_image, write_labelme
from bonescan.lin2022.datasets.index import PairRecord, Subset, write_index
from bonescan.lin2022.datasets.moves import Planes, apply_move
from bonescan.lin2022.datasets.originals import Original
from bonescan.lin2022.datasets.plan import PlannedPair
from bonescan.lin2022.datasets.statement import Statement, write_statement
from bonescan.prepare import from_pair
from bonescan.prepare.crop import EDGE_PX
from bonescan.study import View
from bonescan.train.cases import FAINT, drawn

SHAPE = (EDGE_PX, EDGE_PX)


@dataclass(frozen=True, slots=True, eq=False)
class WriteOrder:
    """All pairs of one original, to be written below `root`."""

    root: Path
    original: Original
    pairs: tuple[PlannedPair, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """One pair on disk. digest: sha256 of its files."""

    record: PairRecord
    digest: str


def write_pairs(order: WriteOrder) -> list[Written]:
    """Augment and write all pairs of one original."""
    return [_write_pair(order, pair) for pair in order.pairs]


def _write_pair(order: WriteOrder, pair: PlannedPair) -> Written:
    original = order.original
    study = f"{original.patient}/{pair.study}"
    folder = order.root / study
    folder.mkdir(parents=True)
    # Readers label the training pairs only. Test pairs keep the truth.
    read = original.agreed if pair.split is Subset.TRAIN else None
    planes = original.planes if read is None else replace(original.planes, lesions=read)
    planes = apply_move(planes, pair.move)
    present, labelled, references = original.present, original.labelled, original.references
    write_scan(folder / "scan.npz", planes.counts, present, original.spacing_mm)
    write_truth(folder, planes, labelled)
    record = PairRecord(
        study, original.patient, pair.origin, pair.split, pair.move, present, labelled, references, folder
    )
    return Written(record, digest_of(folder))


def write_scan(
    path: Path, counts: NDArray[np.uint16], present: tuple[bool, bool], spacing_mm: tuple[float, float] | None
) -> None:
    """Write the counts of a pair (2, rows, cols), the posterior mirrored, as acquired."""
    arrays: dict[str, Any] = {
        view.value: image for view, image in from_pair(counts, SHAPE, views=_wanted(present)).items()
    }
    if spacing_mm is not None:
        arrays["spacing_mm"] = np.array(spacing_mm)
    np.savez_compressed(path, **arrays)


def write_truth(folder: Path, planes: Planes, labelled: tuple[bool, bool]) -> None:
    """Write LabelMe files and truth.npz of the labelled views; nothing if none is labelled."""
    views = _wanted(labelled)
    if not views:
        return
    numbers = np.where(drawn(planes.lesions), planes.lesions, 0).astype(np.uint16)
    lesions = from_pair(numbers, SHAPE, views=views)
    faint = from_pair(planes.lesions == FAINT, SHAPE, views=views)
    for view in views:
        write_labelme(folder / f"{view}.json", from_label_image(lesions[view], f"{view}.png"))
    arrays: dict[str, Any] = {f"lesions_{view}": lesions[view] for view in views}
    arrays |= {f"faint_{view}": faint[view] for view in views}
    if planes.regions is not None:
        regions = from_pair(planes.regions, SHAPE, views=views)
        arrays |= {f"regions_{view}": regions[view] for view in views}
    np.savez_compressed(folder / "truth.npz", **arrays)


def extend(folder: Path, statement: Statement, records: Sequence[PairRecord], written: Sequence[Written]) -> Statement:
    """Add pairs, whose files are written, to the index and dataset.toml; returns the new statement."""
    added = [one.record for one in written]
    statement = statement.extended(added, [one.digest for one in written])
    everything = [*records, *added]
    write_index(folder, everything)
    write_statement(folder, statement, everything)
    return statement


def digest_of(folder: Path) -> str:
    """sha256 over the names and the content of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _wanted(flags: tuple[bool, bool]) -> list[View]:
    return [view for view, there in zip(View, flags, strict=True) if there]
