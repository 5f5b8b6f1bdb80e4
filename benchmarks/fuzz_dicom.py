"""Read thousands of damaged DICOM files and count what comes of them.

    python benchmarks/fuzz_dicom.py --count 5000 --seed 1 --json results/fuzz_dicom.json

A file of each header style (full frames of 1024 x 256), and the real view that pydicom ships, are damaged by
seeded mutations and read as `bonescan segment` reads, in a limited child process, under a watchdog. Each reading ends
as one of

- right: accepted, and the result is right. What it holds is valid (whole-body frames of finite counts of at
  least 0, views that are known, a spacing that is plausible or none), and counts, views and spacing are those
  of the undamaged file wherever the mutation did not touch the elements they come from;
- refused: InputError, whose message is one sentence that holds no name or id of the header; stopped: so, because
  the child broke a limit of memory or time, or died;
- wrong: accepted, and not right;
- crash: any other exception; hang: longer than the watchdog's 5 seconds.

Exits with 1 unless every file was read right or refused, within 1 GB.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pydicom
from pydicom.tag import Tag

from bonescan.errors import InputError
from bonescan.reading import read_study
from bonescan.sandbox import parent
from bonescan.study import Study
from fuzz_dicom_damage import MUTATIONS, Mutant, Original, originals

WATCHDOG_SECONDS = 5.0
MOST_MEMORY_MB = 1024.0

VIEW_TAGS = frozenset(
    {Tag("NumberOfFrames"), Tag("DetectorVector"), Tag("DetectorInformationSequence"), Tag("ViewCodeSequence")}
    | {Tag("ViewPosition"), Tag("ImageID"), Tag("SeriesDescription"), Tag("PatientOrientation")}
    | {Tag("SpecificCharacterSet")}
)
PIXEL_TAGS = frozenset(
    {Tag("Rows"), Tag("Columns"), Tag("NumberOfFrames"), Tag("BitsAllocated"), Tag("BitsStored"), Tag("HighBit")}
    | {Tag("PixelRepresentation"), Tag("PixelData")}
)
SPACING_TAGS = frozenset([Tag("PixelSpacing")])


@dataclass
class Tally:
    """What came of the files so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    by_mutation: dict[str, Counter[str]] = field(default_factory=dict)
    by_file: dict[str, Counter[str]] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_child_mb: float = 0.0

    def add(self, outcome: str, original: str, mutation: str, example: str | None) -> None:
        """Count one file."""
        self.outcomes[outcome] += 1
        self.by_mutation.setdefault(mutation, Counter())[outcome] += 1
        self.by_file.setdefault(original, Counter())[outcome] += 1
        if example:
            self.examples.append(example)


class HangError(BaseException):
    """The watchdog; not an Exception, so that no reader can take it for a damaged file."""


@contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """Raise HangError in this thread after `seconds`; end the process where even that does not get through."""

    def bark(_signal: int, _frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(10 * seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fault_of(study: Study, original: Original, touched: frozenset[int] | None) -> str | None:
    """Return what is wrong with a result that was accepted, or None."""
    for scan in study.scans.values():
        rows, cols = scan.shape
        if rows < 1.5 * cols or rows < 256:
            return f"frames of {rows} x {cols}"
        if not np.isfinite(scan.counts).all() or scan.counts.min() < 0:
            return "counts that are not finite or negative"
    spacing = study.spacing
    if spacing and not (0.5 <= spacing.row_mm <= 10 and 0.5 <= spacing.col_mm <= 10):
        return "a spacing that cannot be"
    if touched is None:
        return None
    expected = original.study
    if not touched & (VIEW_TAGS | PIXEL_TAGS):
        if set(study.scans) != set(expected.scans):
            return "other views"
        if any(not np.array_equal(study.counts(view), expected.counts(view)) for view in expected.scans):
            return "other counts"
    if not touched & (SPACING_TAGS | PIXEL_TAGS) and study.spacing != expected.spacing:
        return "another spacing"
    return None


def read_one(original: Original, mutant: Mutant, folder: Path) -> tuple[str, str | None]:
    """Read one damaged file; return the outcome, and what happened where it is not as it should be."""
    path = folder / "mutant.dcm"
    path.write_bytes(mutant.content)
    paths = [path]
    if original.partner is not None:
        paths.append(folder / "partner.dcm")
        paths[1].write_bytes(original.partner)
    try:
        with watchdog(WATCHDOG_SECONDS):
            study = read_study(paths, original.options)
    except InputError as error:
        said = str(error)
        leaks = "\n" in said or len(said) > 400 or any(name in said for name in ("PHANTOM", "Compressed", "2.25."))
        if leaks:
            return "wrong", f"the message: {said}"
        return ("stopped" if "asks for more memory or time" in said else "refused"), None
    except HangError:
        return "hang", "hang"
    except Exception as error:
        return "crash", f"{type(error).__name__}: {error}"
    fault = fault_of(study, original, mutant.touched)
    return ("wrong", fault) if fault else ("right", None)


def child_peak_mb() -> float:
    """Return the most memory that the child, which is replaced now and then, ever had."""
    child = parent._child
    status = Path(f"/proc/{child.process.pid}/status") if child else Path()
    if not status.is_file():
        return 0.0
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024


def fuzz(count: int, seed: int) -> tuple[Tally, dict[str, Any]]:
    """Read `count` damaged files; the same seed damages them in the same way."""
    tally = Tally()
    begun = time.perf_counter()
    names = list(MUTATIONS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = originals(folder, seed)
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            original = files[number % len(files)]
            mutation = names[(number // len(files)) % len(names)]
            mutant = MUTATIONS[mutation](original, rng)
            started = time.perf_counter()
            outcome, what = read_one(original, mutant, folder)
            tally.slowest_s = max(tally.slowest_s, time.perf_counter() - started)
            example = f"file {number} ({original.name}, {mutation}): {outcome}, {what}" if what else None
            tally.add(outcome, original.name, mutation, example)
            if number % 100 == 99:
                tally.peak_child_mb = max(tally.peak_child_mb, child_peak_mb())
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return tally, {
        "count": count,
        "seed": seed,
        "pydicom": pydicom.__version__,
        "outcomes": {key: tally.outcomes[key] for key in ("right", "refused", "stopped", "wrong", "crash", "hang")},
        "by_mutation": {key: dict(sorted(one.items())) for key, one in tally.by_mutation.items()},
        "by_file": {key: dict(sorted(one.items())) for key, one in tally.by_file.items()},
        "slowest_s": round(tally.slowest_s, 2),
        "seconds": round(time.perf_counter() - begun, 1),
        "peak_memory_mb": round(own),
        "peak_memory_of_child_mb": round(tally.peak_child_mb),
        "not_as_it_should_be": tally.examples[:50],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Read damaged DICOM files and count what comes of them.")
    parser.add_argument("--count", type=int, default=5000, help="damaged files to read")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    chosen = parser.parse_args(arguments)
    faulthandler.enable()
    tally, report = fuzz(chosen.count, chosen.seed)
    text = json.dumps(report, indent=2)
    print(text)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(text + "\n", encoding="utf-8")
    bad = tally.outcomes["wrong"] + tally.outcomes["crash"] + tally.outcomes["hang"]
    too_much = report["peak_memory_mb"] + report["peak_memory_of_child_mb"] > MOST_MEMORY_MB
    return 1 if bad or too_much else 0


if __name__ == "__main__":
    sys.exit(main())
