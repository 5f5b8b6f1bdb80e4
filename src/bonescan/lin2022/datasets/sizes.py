"""Table 1: how large each set is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from bonescan.lin2022.datasets.index import AGGREGATED, SETS, Origin, PairRecord, SetName, Subset


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
