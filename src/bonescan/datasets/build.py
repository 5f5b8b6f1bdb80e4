"""Build a data set's folder: there at once and whole, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

from bonescan.datasets.gan import add_samples
from bonescan.datasets.index import INDEX, PairRecord, write_index
from bonescan.datasets.options import DatasetOptions, Protocol
from bonescan.datasets.originals import PAPER_PATIENTS, Chosen, read_originals, simulate_originals
from bonescan.datasets.plan import plan_pairs
from bonescan.datasets.sizes import SetSize, set_sizes
from bonescan.datasets.write import WriteOrder, Written, write_pairs
from bonescan.errors import InputError, OutputError
from bonescan.parallel import process_pool

TOML = "dataset.toml"
LEAKY_WARNING = (
    "LEAKY: copies of one patient are in training and in test. Scores on this split are inflated; it exists only to "
    "measure by how much."
)


class Progress(Interface):
    """Where a build says how far it is."""

    def __call__(self, done: int, total: int, last: str = "", stage: str | None = None) -> None:
        """Steps done, steps in all, what was done last, and what the steps are."""


def _silent(done: int, total: int, last: str = "", stage: str | None = None) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """What was built. left_out: patients without a thoracic lesion. digest: sha256 of the content."""

    out: Path
    protocol: Protocol
    patients: int
    left_out: int
    sizes: tuple[SetSize, ...]
    digest: str

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must not be overlooked."""
        return (LEAKY_WARNING,) if self.protocol is Protocol.LEAKY else ()

    def __str__(self) -> str:
        return (
            f"{self.patients} patients with thoracic lesions ({self.left_out} without were left out), protocol "
            f"{self.protocol}, in {self.out}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The summary as a JSON object."""
        return {
            "dataset": str(self.out),
            "protocol": str(self.protocol),
            "warnings": list(self.warnings),
            "patients": self.patients,
            "left_out": self.left_out,
            "sets": {size.name: size.numbers() for size in self.sizes},
            "digest": self.digest,
        }


def build_dataset(
    options: DatasetOptions, out: Path, progress: Progress = _silent, processes: int = 2
) -> DatasetSummary:
    """Simulate or read the patients, augment them, divide them, and write the folder `out`.

    The same options give the same bytes, whatever the number of processes. Raises OptionError for sizes that do not
    fit, InputError and LabelError for a cohort that cannot be used, and OutputError when `out` is not empty or cannot
    be written.
    """
    out = Path(out)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        _refuse_what_is_there(out)
        partial.mkdir(parents=True)
        with process_pool(processes) as pool:
            chosen = _originals(options, pool, processes, progress)
            written = _write(options, chosen, partial, pool, progress)
        records = [one.record for one in written]
        if options.gan is not None:
            records += add_samples(partial, records, options.gan, options.images)
        write_index(partial, records)
        digest = content_digest(partial, [one.digest for one in written])
        (partial / TOML).write_text(_toml(options, records, chosen, digest), encoding="utf-8")
        partial.rename(out)
    except OSError as error:
        raise OutputError(
            f"the data set cannot be written to {out} ({error.strerror}): make room there or choose another folder"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    patients = len({original.patient for original in chosen.originals})
    return DatasetSummary(out, options.split.protocol, patients, chosen.left_out, set_sizes(records), digest)


def _refuse_what_is_there(out: Path) -> None:
    if (out / TOML).exists():
        raise OutputError(f"{out} holds a data set already: choose another folder, or remove it to build it again")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists and is no empty folder: choose another one")


def _originals(options: DatasetOptions, pool: Executor, processes: int, progress: Progress) -> Chosen:
    if options.patients.cohort is not None:
        chosen = read_originals(options, pool, lambda done, total: progress(done, total, stage="studies"))
    else:
        wanted = options.patients.count or PAPER_PATIENTS
        chosen = simulate_originals(options, pool, processes, lambda done: progress(done, wanted, stage="patients"))
    patients = len({original.patient for original in chosen.originals})
    if patients < max(options.patients.count or 2, 2):
        raise InputError(
            f"{patients} patients have a lesion in the thorax and {options.patients.count or 2} are wanted: "
            "take fewer, or another cohort"
        )
    return chosen


def _write(options: DatasetOptions, chosen: Chosen, folder: Path, pool: Executor, progress: Progress) -> list[Written]:
    names = [(original.patient, original.study) for original in chosen.originals]
    plan = plan_pairs(names, options)
    orders = [
        WriteOrder(folder, original, tuple(pair for pair in plan if pair.original == number))
        for number, original in enumerate(chosen.originals)
    ]
    written: list[Written] = []
    for pairs in pool.map(write_pairs, orders):
        written += pairs
        progress(len(written), len(plan), stage="pairs")
    return written


def content_digest(folder: Path, digests: Sequence[str]) -> str:
    """sha256 over the index and the digests of the pairs, in order."""
    digest = hashlib.sha256((folder / INDEX).read_bytes())
    for one in digests:
        digest.update(one.encode())
    return digest.hexdigest()


def _toml(options: DatasetOptions, records: Sequence[PairRecord], chosen: Chosen, digest: str) -> str:
    leaky = options.split.protocol is Protocol.LEAKY
    cohort = options.patients.cohort
    lines = [
        "# A data set of thoracic pairs: index.csv has one row a pair. Research use only.",
        *([f"# {LEAKY_WARNING}"] if leaky else []),
        f"simulated = {_boolean(cohort is None)}",
        f"leaky = {_boolean(leaky)}",
        f'digest = "{digest}"',
        f"patients_left_out = {chosen.left_out}",
        "",
        "[options]",
        f"seed = {options.seed}",
        f"images = {options.images}",
        f"patients = {len({original.patient for original in chosen.originals})}",
        f"cohort = {json.dumps('' if cohort is None else str(cohort))}",
        f"keep_lesion_free = {_boolean(options.patients.keep_lesion_free)}",
        f'protocol = "{options.split.protocol}"',
        f"test_share = {options.split.test_share}",
        f"flip = {options.moves.flip}",
        f"rotation_deg = {options.moves.rotation_deg}",
        f"shift_px = {options.moves.shift_px}",
    ]
    for size in set_sizes(records):
        lines += ["", f"[sizes.{size.name}]", *(f"{name} = {value}" for name, value in size.numbers().items())]
    return "\n".join(lines) + "\n"


def _boolean(value: bool) -> str:
    return "true" if value else "false"
