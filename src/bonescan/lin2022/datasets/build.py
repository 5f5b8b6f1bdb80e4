"""Build a data set's folder, complete or not at all; add GAN samples to it.

GAN samples are unlabelled training images, single views, which join D3 and D4.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bonescan.errors import InputError, OptionError, OutputError
from bonescan.lin2022.datasets.index import Origin, PairRecord, SetSize, Subset, read_index, set_sizes
from bonescan.lin2022.datasets.moves import Move
from bonescan.lin2022.datasets.originals import (
    GAN,
    Chosen,
    Given,
    Made,
    Spread,
    read_originals,
    references_of,
    simulate_originals,
)
from bonescan.lin2022.datasets.pairs import SHAPE, WriteOrder, Written, digest_of, extend, write_pairs, write_scan
from bonescan.lin2022.datasets.plan import PAPER_PATIENTS, DatasetOptions, plan_pairs
from bonescan.lin2022.datasets.statement import TOML, Statement, read_statement, state
from bonescan.reading import read_study
from bonescan.study import Study, View
from bonescan.system.files import folder_written_whole
from bonescan.system.parallel import process_pool
from bonescan.train.cases import pair_counts

_SAMPLES = "samples.json"
"""In the folder of GAN samples: the exposure of each."""


class Progress(Protocol):
    """A function that receives the progress of a build."""

    def __call__(self, done: int, total: int, last: str = "", stage: str | None = None) -> None:
        """Steps done, steps in all, what was done last, and what the steps are."""


def _silent(done: int, total: int, last: str = "", stage: str | None = None) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """What a data set's folder holds."""

    out: Path
    statement: Statement
    sizes: tuple[SetSize, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings that must be shown."""
        return self.statement.warnings

    def __str__(self) -> str:
        options, left_out = self.statement.options, self.statement.patients_left_out
        unlabelled = self.statement.unlabelled_patients
        told = f", {unlabelled} of them without labels, to learn from" if unlabelled else ""
        why = "without a lesion in the thorax" if self.statement.simulated else "as said below"
        said = "".join(f"\n  left out: {reason}" for reason in self.statement.left_out)
        return (
            f"{options['patients']} patients{told} ({left_out} left out{f', {why}' if left_out else ''}), protocol "
            f"{options['protocol']}, in {self.out}{said}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The summary as a JSON object."""
        return {
            "dataset": str(self.out),
            "warnings": list(self.warnings),
            **asdict(self.statement),
            "sets": {size.name: size.numbers() for size in self.sizes},
        }


def build_dataset(
    options: DatasetOptions, out: Path, progress: Progress = _silent, processes: int = 2
) -> DatasetSummary:
    """Simulate or read the patients, augment them, divide them, and write the folder `out`.

    The same options give the same bytes for any number of processes. Raises OptionError for sizes that do not
    fit, InputError and LabelError for a cohort that cannot be used, and OutputError when `out` is not empty or cannot
    be written.
    """
    out = Path(out)
    try:
        _refuse_what_is_there(out)
        with folder_written_whole(out) as partial:
            with _spread(processes) as spread:
                chosen = _originals(options, spread, processes, progress)
                written = _write(options, chosen, partial, spread, progress)
            statement = extend(partial, state(options, chosen), (), written)
            if options.gan is not None:
                statement = add_samples(partial, statement, options.gan)
    except OSError as error:
        raise OutputError(
            f"the data set cannot be written to {out} ({error.strerror}): free space there or choose another folder"
        ) from error
    return summarise(out)


def add_gan_samples(out: Path, samples: Path) -> DatasetSummary:
    """Add samples of a GAN to the data set `out` that it was trained on. This adds the sets D3 and D4.

    The folder then has the same bytes as one that was built with these samples. Raises InputError if `out` is no data
    set or there are too few samples, and OutputError if it has samples already.
    """
    out = Path(out)
    try:
        add_samples(out, read_statement(out), Path(samples))
    except OSError as error:
        raise OutputError(f"the samples cannot be added to {out} ({error.strerror}): free space there") from error
    return summarise(out)


def summarise(out: Path) -> DatasetSummary:
    """What the folder of a data set holds. Raises InputError if it is no data set."""
    statement, records = read_statement(out), read_index(out)
    return DatasetSummary(out, statement, set_sizes(records))


@contextmanager
def _spread(processes: int) -> Iterator[Spread]:
    """A `map` over this many processes; 1 = in this process."""
    if processes <= 1:
        yield _one_by_one
        return
    with process_pool(processes) as pool:
        yield pool.map


def _one_by_one(work: Callable[[Given], Made], orders: Iterable[Given]) -> Iterator[Made]:
    return map(work, orders)


def _refuse_what_is_there(out: Path) -> None:
    if (out / TOML).exists():
        raise OutputError(f"{out} holds a data set already: choose another folder, or remove it to build it again")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists and is no empty folder: choose another one")


def _originals(options: DatasetOptions, spread: Spread, processes: int, progress: Progress) -> Chosen:
    if options.patients.cohort is not None:
        chosen = read_originals(options, spread, lambda done, total: progress(done, total, stage="studies"))
    else:
        wanted = options.patients.count or PAPER_PATIENTS
        chosen = simulate_originals(options, spread, processes, lambda done: progress(done, wanted, stage="patients"))
    patients = len(chosen.patients - chosen.unlabelled)
    if patients < max(options.patients.count or 2, 2):
        raise InputError(
            f"{patients} patients have a lesion in the thorax and {options.patients.count or 2} are wanted: "
            "take fewer, or another cohort"
        )
    return chosen


def _write(options: DatasetOptions, chosen: Chosen, folder: Path, spread: Spread, progress: Progress) -> list[Written]:
    names = [(original.patient, original.study) for original in chosen.originals]
    without = {number for number, original in enumerate(chosen.originals) if not original.is_labelled}
    plan = plan_pairs(names, options, without)
    orders = [
        WriteOrder(folder, original, tuple(pair for pair in plan if pair.original == number))
        for number, original in enumerate(chosen.originals)
    ]
    written: list[Written] = []
    for pairs in spread(write_pairs, orders):
        written += pairs
        progress(len(written), len(plan), stage="pairs")
    return written


def add_samples(folder: Path, statement: Statement, samples: Path) -> Statement:
    """Copy as many samples as D3 lacks into a data set's folder, and enter them; returns the new statement.

    samples: the folder that `bonescan gan sample` wrote. A sample has no frame around it: its reference is the one in
    samples.json, or else the one of its own pixels.
    Raises InputError if there are too few samples, or one is not a single view of 256 x 256, OptionError if the
    originals alone fill D3, and OutputError if the data set has samples already.
    """
    records = read_index(folder)
    if any(record.origin is Origin.GAN for record in records):
        raise OutputError(f"{folder} has GAN samples already: build the data set again to take others")
    sources = _sources(samples, records, int(statement.options["images"]))
    # A folder that is there but not in the index was left by an interrupted run.
    with folder_written_whole(folder / GAN, replace=True) as partial:
        drawn_at = _references(samples / _SAMPLES)
        written = [
            _add(partial / f"sample-{number:04d}", source, drawn_at.get(source.name))
            for number, source in enumerate(sources)
        ]
    return extend(folder, statement, records, written)


def _sources(samples: Path, records: tuple[PairRecord, ...], images: int) -> list[Path]:
    """The folders of as many samples as D3 lacks to `images`."""
    originals = sum(sum(record.present) for record in records if record.origin is Origin.ORIGINAL)
    wanted = images - originals
    if wanted < 1:
        raise OptionError(f"the originals alone are {originals} images: give more than that, or no GAN samples")
    sources = sorted(path.parent for path in samples.glob("sample-*/scan.npz"))
    if len(sources) < wanted:
        raise InputError(
            f"{samples} holds {len(sources)} GAN samples and D3 of {images} images needs {wanted}: sample more, or "
            "build a data set of fewer images"
        )
    return sources[:wanted]


def _references(path: Path) -> dict[str, float]:
    """The reference that each sample was drawn at, by its folder's name; empty if there is no list."""
    if not path.exists():
        return {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["samples"]
        return {str(sample["study"]): float(sample["reference"]) for sample in listed}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be used ({type(error).__name__}): sample again") from None


def _add(folder: Path, source: Path, drawn_at: float | None) -> Written:
    study = read_study(source / "scan.npz")
    counts = _checked(study, source)
    present = (View.ANTERIOR in study.scans, View.POSTERIOR in study.scans)
    folder.mkdir(parents=True)
    spacing = None if study.spacing is None else (study.spacing.row_mm, study.spacing.col_mm)
    write_scan(folder / "scan.npz", counts, present, spacing)
    record = PairRecord(
        study=f"{GAN}/{folder.name}",
        patient=GAN,
        origin=Origin.GAN,
        split=Subset.TRAIN,
        move=Move(),
        present=present,
        labelled=(False, False),
        references=references_of(counts) if drawn_at is None else (drawn_at, drawn_at, drawn_at),
        path=folder,
    )
    return Written(record, digest_of(folder))


def _checked(study: Study, source: Path) -> NDArray[np.uint16]:
    if len(study.scans) != 1 or study.shape != SHAPE:
        raise InputError(
            f"{source.name} has {len(study.scans)} views of {study.shape[0]} x {study.shape[1]} pixels and a sample is "
            f"one view of {SHAPE[0]} x {SHAPE[1]}: give the folder that bonescan gan sample wrote"
        )
    return pair_counts(study)
