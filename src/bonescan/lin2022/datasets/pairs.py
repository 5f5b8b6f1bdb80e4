"""The pairs of a data set on disk: written as a cohort folder, and read on demand.

A pair's folder has scan.npz, LabelMe files and truth.npz, each view as acquired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bonescan.annotate import from_label_image, write_labelme
from bonescan.errors import InputError, OptionError
from bonescan.lin2022.datasets.index import SETS, Origin, PairRecord, SetName, Subset, read_index, write_index
from bonescan.lin2022.datasets.moves import Planes, apply_move
from bonescan.lin2022.datasets.originals import Original
from bonescan.lin2022.datasets.plan import PlannedPair
from bonescan.lin2022.datasets.statement import Statement, read_statement, write_statement
from bonescan.prepare import from_pair, mirror
from bonescan.prepare.crop import EDGE_PX
from bonescan.study import View
from bonescan.train.cases import FAINT, drawn, union_truth

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


class LoadedPair(NamedTuple):
    """One pair in the common orientation.

    counts: (2, 256, 256) uint16, anterior and mirrored posterior, zeros where a view is absent.
    lesions: uint8 of the same shape, lesion numbers, 0 = none, FAINT = no truth; zeros where a view is not labelled.
    present: which views there are.
    """

    counts: NDArray[np.uint16]
    lesions: NDArray[np.uint8]
    present: tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class DataSet:
    """One set of a data set's folder. digest: of its content. leaky: patients are both in training and in test."""

    folder: Path
    name: SetName
    pairs: tuple[PairRecord, ...]
    digest: str
    leaky: bool

    def of(self, split: Subset) -> tuple[PairRecord, ...]:
        """The pairs of one side of the split."""
        return tuple(record for record in self.pairs if record.split is split)

    def load(self, record: PairRecord) -> LoadedPair:
        """Read one pair. Raises InputError when its files are gone or damaged."""
        counts = _pair(_arrays(record.path / "scan.npz", list(View)), "{}")
        lesions = np.zeros((2, *SHAPE), dtype=np.uint8)
        if any(record.labelled):
            truth = _arrays(
                record.path / "truth.npz", [f"{kind}_{view}" for kind in ("lesions", "faint") for view in View]
            )
            lesions = _pair(truth, "lesions_{}").astype(np.uint8)
            lesions[_pair(truth, "faint_{}") > 0] = FAINT
        return LoadedPair(counts, lesions, record.present)

    def load_regions(self, record: PairRecord) -> NDArray[np.uint8] | None:
        """The region maps (2, 256, 256) of one pair, uint8 into `REGIONS`; None where they are not known."""
        if not any(record.labelled):
            return None
        maps = _arrays(record.path / "truth.npz", [f"regions_{view}" for view in View])
        return _pair(maps, "regions_{}").astype(np.uint8) if maps else None


def read_dataset(folder: Path | str, name: SetName) -> DataSet:
    """Read the index of one set of a folder that `bonescan dataset` wrote.

    Raises OptionError for a set that does not exist, InputError for a folder that is no data set.
    """
    folder = Path(folder)
    if name not in SETS:
        raise OptionError(f"there is no set {name!r}: choose {', '.join(SETS)}")
    statement = read_statement(folder)
    records = read_index(folder)
    pairs = tuple(record for record in records if name in record.sets)
    if name in ("D3", "D4") and not any(record.origin is Origin.GAN for record in pairs):
        raise OptionError(
            f"{folder} has no GAN samples, so there is no {name}: add them with bonescan dataset --add-gan"
        )
    return DataSet(folder, name, pairs, statement.digest, statement.leaky)


def aggregate_pair(
    counts: NDArray[np.uint16], lesions: NDArray[np.uint8]
) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Add a pair up to one image of D2_Agg, as `prepare.aggregate` does; its truth is the union. Eq. 4.

    counts, lesions: (2, rows, cols) in the common orientation. Returns counts (rows, cols), and truth (rows, cols):
    1 where a view has a lesion, FAINT where only an equivocal lesion lies, else 0.
    """
    union = union_truth(lesions)[0]
    union[drawn(union)] = 1
    return counts.sum(axis=0, dtype=np.uint32), union


def _arrays(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    """The named arrays, as far as they exist."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names if name in archive}
    except Exception as error:
        raise InputError(
            f"{'/'.join(path.parts[-3:])} cannot be read ({type(error).__name__}): build the data set again"
        ) from None


def _pair(arrays: dict[str, NDArray[Any]], name: str) -> NDArray[np.uint16]:
    """The arrays of a name of both views, as acquired, as a pair; zeros for a missing view."""
    pair = np.zeros((2, *SHAPE), dtype=np.uint16)
    for channel, view in enumerate(View):
        image = arrays.get(name.format(view))
        if image is not None:
            pair[channel] = image if view is View.ANTERIOR else mirror(image)
    return pair
