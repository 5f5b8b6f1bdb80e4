"""Read a data set: its index, and its arrays on demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bonescan.errors import InputError, OptionError
from bonescan.lin2022.datasets.index import SETS, Origin, PairRecord, SetName, Subset, read_index
from bonescan.lin2022.datasets.statement import read_statement
from bonescan.lin2022.datasets.write import SHAPE
from bonescan.prepare import mirror
from bonescan.study import View
from bonescan.train.cases import FAINT, drawn, union_truth


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
