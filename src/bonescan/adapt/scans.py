"""Read the scans to learn from. Unsuitable scans are left out, each with a sentence that says why.

Patients are told apart by hashes that are only kept in memory: no patient's identity is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.dicom import sentences
from bonescan.errors import InputError
from bonescan.reading import discover, read_files
from bonescan.reading.patients import digest_of, patient_of
from bonescan.study import Study, View

SMOOTHED_BELOW, NOT_COUNTS_ABOVE = 0.8, 1.3
"""Limits of variance over mean, which is 1 for counts as acquired. Nine scans of people had 0.98 to 1.03."""
_LEAST_BLOCKS = 40


@dataclass(frozen=True, slots=True, eq=False)
class ReadScan:
    """One scan that is suitable to learn from.

    number: on the page and in the lists, from 1. name: of the input; only for the department's own lists.
    patient: a hash, equal for scans of one patient. digest: of the counts.
    """

    number: int
    name: str
    study: Study
    patient: str
    digest: str


@dataclass(frozen=True, slots=True)
class Scans:
    """What was read. left_out, warnings: sentences, each about one input by its name."""

    scans: tuple[ReadScan, ...]
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def patients(self) -> tuple[str, ...]:
        """The hashes of the patients, each once, in the order of their scans."""
        return tuple(dict.fromkeys(scan.patient for scan in self.scans))


def read_scans(paths: Sequence[Path], report: Callable[[int, int], None] = lambda done, total: None) -> Scans:
    """Read every scan among files and folders. report: called with the number of studies done, and of all."""
    found: list[ReadScan] = []
    left_out: list[str] = []
    warnings: list[str] = []
    studies = discover(paths)
    seen: dict[str, ReadScan] = {}
    said: Counter[str] = Counter()
    for done, files in enumerate(studies, start=1):
        report(done, len(studies))
        try:
            study = read_files(files)
        except InputError as error:
            left_out.append(f"{files.key} was left out: {error}")
            continue
        reason = why_unfit(study)
        if reason is not None:
            left_out.append(f"{files.key} was left out: {reason}")
            continue
        scan = ReadScan(len(found) + 1, files.key, study, patient_of(files, paths), digest_of(study))
        twin = seen.setdefault(scan.digest, scan)
        if twin is not scan:
            other = "" if twin.patient == scan.patient else ", as if of another patient"
            left_out.append(f"{files.key} was left out: it has the same pixels as {twin.name}{other}")
            continue
        found.append(scan)
        said.update(set(study.warnings))
    if said[sentences.NO_TRACER]:
        warnings.append(
            f"{said[sentences.NO_TRACER]} of {len(found)} files do not state the tracer: make sure that they are "
            "bone scans"
        )
    return Scans(tuple(found), tuple(left_out), tuple(warnings))


def why_unfit(study: Study) -> str | None:
    """Why a study is unsuitable to learn from, or None."""
    missing = [view for view in View if view not in study.scans]
    if missing:
        return f"the {missing[0]} view is missing, and lesions are inserted into both: give scans of both views"
    for sentence in (sentences.OTHER_TRACER, sentences.DERIVED, sentences.LOSSY, sentences.SEVERAL_ENERGIES):
        if sentence in study.warnings:
            return sentence
    ratios = [ratio for scan in study.scans.values() if (ratio := noise_ratio(scan.counts)) is not None]
    if any(ratio < SMOOTHED_BELOW for ratio in ratios):
        return f"its noise is {min(ratios):.2f} of that of counting, so the frames were filtered: give them as acquired"
    if any(ratio > NOT_COUNTS_ABOVE for ratio in ratios):
        return f"its noise is {max(ratios):.2f} times that of counting, so the values are no counts: give the raw scan"
    return None


def noise_ratio(counts: NDArray[Any]) -> float | None:
    """Variance over mean of a view (rows, cols) at the finest scale: 1 where counts are Poisson, less where filtered.

    The diagonal difference of 2 x 2 pixels cancels any slope. The median over blocks is robust against edges.
    None where too few blocks hold counts.
    """
    rows, cols = (length - length % 16 for length in counts.shape)
    tiles = np.asarray(counts[:rows, :cols], dtype=np.float64).reshape(rows // 2, 2, cols // 2, 2)
    a, b, c, d = tiles[:, 0, :, 0], tiles[:, 0, :, 1], tiles[:, 1, :, 0], tiles[:, 1, :, 1]
    squares, means = ((a - b - c + d) / 2) ** 2, (a + b + c + d) / 4
    blocks = [part.reshape(rows // 16, 8, cols // 16, 8).mean(axis=(1, 3)) for part in (squares, means)]
    counted = blocks[1] > 1
    if counted.sum() < _LEAST_BLOCKS:
        return None
    return float(np.median(blocks[0][counted] / blocks[1][counted]))
