"""dataset.toml: how a data set was made, how large its sets are, and the digest of its content."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bonescan.errors import InputError
from bonescan.lin2022.datasets.index import PairRecord, row_of, set_sizes
from bonescan.lin2022.datasets.originals import Chosen
from bonescan.lin2022.datasets.plan import DatasetOptions, Protocol

TOML = "dataset.toml"
LEAKY_WARNING = (
    "LEAKY: copies of one patient are in training and in test. Scores on this split are inflated; it exists only to "
    "measure by how much."
)


@dataclass(frozen=True, slots=True)
class Statement:
    """The content of dataset.toml without the sizes, which follow from the index.

    digest: sha256 of the content. patients_left_out: their number. options: as they were given. left_out: for a
    cohort, sentences about who was left out and why. unlabelled_patients: number of patients without a label, who are
    learned from. doubts: for a cohort, sentences about scans whose views may be the wrong way round.
    """

    simulated: bool
    leaky: bool
    digest: str
    patients_left_out: int
    options: dict[str, Any]
    left_out: tuple[str, ...] = ()
    unlabelled_patients: int = 0
    doubts: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings that must be shown."""
        return (LEAKY_WARNING,) if self.leaky else ()

    def extended(self, records: Iterable[PairRecord], digests: Iterable[str]) -> Statement:
        """The statement after these pairs were added: the digest covers their rows and files."""
        return replace(self, digest=chained_digest(self.digest, records, digests))


def chained_digest(before: str, records: Iterable[PairRecord], digests: Iterable[str]) -> str:
    """sha256 over an earlier digest, and the rows and the files' digests of further pairs, in order."""
    digest = hashlib.sha256(before.encode())
    for record, files in zip(records, digests, strict=True):
        digest.update("\0".join((*row_of(record), files)).encode() + b"\n")
    return digest.hexdigest()


def state(options: DatasetOptions, chosen: Chosen) -> Statement:
    """The statement of a data set of these originals, without pairs."""
    cohort = options.patients.cohort
    stated = {
        "seed": options.seed,
        "images": options.images,
        "patients": len(chosen.patients),
        "cohort": "" if cohort is None else str(cohort),
        **({} if options.patients.reading is None else {"views": options.patients.reading.views}),
        "keep_lesion_free": options.patients.keep_lesion_free,
        **({"only_labelled": True} if options.patients.only_labelled else {}),
        "protocol": str(options.split.protocol),
        "test_share": options.split.test_share,
        "labels": "truth" if options.readers is None else "readers",
        **({} if options.readers is None else asdict(options.readers)),
        "flip": options.moves.flip,
        "rotation_deg": options.moves.rotation_deg,
        "shift_px": options.moves.shift_px,
    }
    leaky = options.split.protocol is Protocol.LEAKY
    numbers = (chosen.left_out, stated, chosen.reasons, len(chosen.unlabelled))
    return Statement(cohort is None, leaky, "", *numbers, chosen.doubts)


def write_statement(folder: Path, statement: Statement, records: Sequence[PairRecord]) -> None:
    """Write dataset.toml atomically."""
    lines = [
        "# A data set of thoracic pairs: index.csv has one row a pair. Research use only.",
        *(f"# {warning}" for warning in statement.warnings),
        f"simulated = {json.dumps(statement.simulated)}",
        f"leaky = {json.dumps(statement.leaky)}",
        f"digest = {json.dumps(statement.digest)}",
        f"patients_left_out = {statement.patients_left_out}",
        f"unlabelled_patients = {statement.unlabelled_patients}",
        f"left_out = {json.dumps(statement.left_out, ensure_ascii=False)}",
        *([f"doubts = {json.dumps(statement.doubts, ensure_ascii=False)}"] if statement.doubts else ()),
        *_lines("options", statement.options),
    ]
    for size in set_sizes(records):
        lines += _lines(f"sizes.{size.name}", size.numbers())
    partial = folder / f".{TOML}.partial"
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(folder / TOML)


def read_statement(folder: Path) -> Statement:
    """Read dataset.toml. Raises InputError for a folder that is no data set."""
    try:
        stated = tomllib.loads((folder / TOML).read_text(encoding="utf-8"))
        return Statement(
            simulated=bool(stated["simulated"]),
            leaky=bool(stated["leaky"]),
            digest=str(stated["digest"]),
            patients_left_out=int(stated["patients_left_out"]),
            options=dict(stated["options"]),
            left_out=tuple(str(reason) for reason in stated.get("left_out", ())),
            unlabelled_patients=int(stated.get("unlabelled_patients", 0)),
            doubts=tuple(str(doubt) for doubt in stated.get("doubts", ())),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder} is no data set: give a folder that bonescan dataset wrote") from None


def _lines(table: str, values: dict[str, Any]) -> list[str]:
    """A table of TOML. Its strings, numbers and booleans have the same form as in JSON."""
    return ["", f"[{table}]", *(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())]
