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
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.tag import Tag

from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.errors import InputError
from bonescan.reading import ReadOptions, read_study
from bonescan.sandbox import parent
from bonescan.study import Scan, Spacing, Study, View

WATCHDOG_SECONDS = 5.0
MOST_MEMORY_MB = 1024.0
LONG_VR = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT", "SV", "UV")

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


@dataclass(frozen=True)
class Element:
    """Where one top-level element lies in the file."""

    tag: int
    vr: str
    start: int
    value: int
    end: int


@dataclass(frozen=True)
class Original:
    """An undamaged file. partner: the other file of its study. study: what reading it gives."""

    name: str
    content: bytes
    elements: tuple[Element, ...]
    partner: bytes | None
    options: ReadOptions | None
    study: Study


@dataclass(frozen=True)
class Mutant:
    """A damaged file. touched: the elements whose values may differ; None where any may."""

    content: bytes
    touched: frozenset[int] | None


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


def simulated_study(seed: int) -> Study:
    """Return a study of two bodies of blobs, 1024 x 256: enough for a reader, which does not look at the bones."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[:1024, :256]
    body = 0.2 + 6.0 * ((((row - 440) / 360) ** 2 + ((col - 128) / 100) ** 2) < 1)
    hot = 40.0 * np.exp(-(((row - 430) / 12) ** 2) - ((col - 128) / 10) ** 2)
    scans = {
        view: Scan(view, rng.poisson(body + share * hot).astype(np.float32))
        for view, share in ((View.ANTERIOR, 1.0), (View.POSTERIOR, 0.3))
    }
    return Study("0001", scans, Spacing(2.4, 2.4), acquired="2020-01-02T10:20:30")


def originals(folder: Path, seed: int) -> list[Original]:
    """Write and read one undamaged file of each header style, and pydicom's real view where it is installed."""
    study = simulated_study(seed)
    made = []
    for style in HeaderStyle:
        files = write_nm(study, folder / f"{style}.dcm", Header(style, posterior_first=style is HeaderStyle.STANDARD))
        options = ReadOptions(views=(View.ANTERIOR, View.POSTERIOR)) if style is HeaderStyle.NO_VIEWS else None
        partner = files[1].read_bytes() if len(files) == 2 else None
        made.append(_original(style, files[0].read_bytes(), partner, options, read_study(files, options)))
    real = get_testdata_file("JPEG2000.dcm", download=False)
    if real:
        options, path = ReadOptions(views=(View.ANTERIOR,)), Path(str(real))
        made.append(_original("real JPEG 2000", path.read_bytes(), None, options, read_study(path, options)))
    return made


def _original(name: str, content: bytes, partner: bytes | None, options: ReadOptions | None, study: Study) -> Original:
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        Path(file.name).write_bytes(content)
        dataset = pydicom.dcmread(file.name)
    begun = []
    for element in (*dataset.file_meta, *dataset):
        value = int(element.file_tell or 0)
        begun.append((value - (12 if element.VR in LONG_VR else 8), value, int(element.tag), str(element.VR)))
    begun.sort()
    ends = [start for start, *_ in begun[1:]] + [len(content)]
    elements = tuple(
        Element(tag, vr, start, value, end) for (start, value, tag, vr), end in zip(begun, ends, strict=True)
    )
    return Original(name, content, elements, partner, options, study)


def flip_bits(original: Original, rng: np.random.Generator) -> Mutant:
    """Flip one to eight bits; every other time in the header alone, since nearly all of a file is pixels."""
    content = bytearray(original.content)
    last = original.elements[-1].value if rng.random() < 0.5 else len(content)
    touched: set[int] = set()
    structural = False
    for _ in range(int(rng.integers(1, 9))):
        place = int(rng.integers(0, last))
        content[place] ^= 1 << int(rng.integers(0, 8))
        element = next((one for one in original.elements if one.start <= place < one.end), None)
        if element is not None:
            in_sequence = element.vr == "SQ"
            structural |= place < element.value or element.tag < 0x00080000 or in_sequence
            touched.add(element.tag)
    return Mutant(bytes(content), None if structural else frozenset(touched))


def truncate(original: Original, rng: np.random.Generator) -> Mutant:
    """Cut the file off somewhere; every other time within the header."""
    last = original.elements[-1].value if rng.random() < 0.5 else len(original.content)
    cut = int(rng.integers(0, last))
    return Mutant(original.content[:cut], frozenset(one.tag for one in original.elements if one.end > cut))


def delete_element(original: Original, rng: np.random.Generator) -> Mutant:
    """Take one element out."""
    one = _any(original.elements, rng)
    return Mutant(original.content[: one.start] + original.content[one.end :], frozenset([one.tag]))


def duplicate_element(original: Original, rng: np.random.Generator) -> Mutant:
    """Put a copy of one element before another."""
    one, before = _any(original.elements, rng), _any(original.elements, rng)
    copy = original.content[one.start : one.end]
    content = original.content[: before.start] + copy + original.content[before.start :]
    in_meta = one.tag < 0x00080000 or before.tag < 0x00080000
    return Mutant(content, None if in_meta else frozenset())


def change_length(original: Original, rng: np.random.Generator) -> Mutant:
    """State another length of one element than it has."""
    one = _any(original.elements, rng)
    size = 4 if one.vr in LONG_VR else 2
    top = 256**size - 1
    choices = [0, 1, one.end - one.value + 2, one.end - one.value - 2, top, top - 1, int(rng.integers(0, top))]
    length = choices[int(rng.integers(len(choices)))] % (top + 1)
    content = bytearray(original.content)
    content[one.value - size : one.value] = length.to_bytes(size, "little")
    return Mutant(bytes(content), None)


def swap_values(original: Original, rng: np.random.Generator) -> Mutant:
    """Exchange the values of two elements of one kind, lengths included."""
    first = _any(original.elements, rng)
    alike = [one for one in original.elements if one.vr == first.vr and one.tag != first.tag]
    second = _any(alike or original.elements, rng)
    low, high = sorted((first, second), key=lambda one: one.start)
    content = original.content
    new_low, new_high = content[high.value : high.end], content[low.value : low.end]
    mutated = (
        content[: low.start]
        + _with_value(content, low, new_low)
        + content[low.end : high.start]
        + (_with_value(content, high, new_high) + content[high.end :] if low != high else b"")
    )
    return Mutant(mutated, None if low.tag < 0x00080000 else frozenset([low.tag, high.tag]))


def replace_value(original: Original, rng: np.random.Generator) -> Mutant:
    """Give one element a value at the edge of what it may hold, or nonsense."""
    one = _any(original.elements, rng)
    size = one.end - one.value
    texts = [
        b"",
        b"nan ",
        b"1e99",
        b"-1",
        b"0 ",
        b"inf ",
        b"1\\2\\3 ",
        b"2.4\\nan ",
        b"9" * 64,
        b"\xff\xfe\x00\x00",
        b"ANT ",
    ]
    binary = [
        struct.pack("<H", int(rng.choice([0, 1, 2, 3, 255, 256, 1024, 32767, 65535]))),
        rng.integers(0, 256, min(size, 4096), dtype=np.uint8).tobytes(),
        b"\xff" * min(size, 4096),
    ]
    choices = binary if one.vr in ("US", "SS", "UL", "AT") else texts + binary
    value = choices[int(rng.integers(len(choices)))]
    content = original.content[: one.start] + _with_value(original.content, one, value) + original.content[one.end :]
    return Mutant(content, None if one.tag < 0x00080000 else frozenset([one.tag]))


def _any(elements: Sequence[Element], rng: np.random.Generator) -> Element:
    return elements[int(rng.integers(len(elements)))]


def _with_value(content: bytes, one: Element, value: bytes) -> bytes:
    """Return the element with another value, its stated length made to fit."""
    value = value if one.vr in LONG_VR else value[:65534]
    size = 4 if one.vr in LONG_VR else 2
    return content[one.start : one.value - size] + len(value).to_bytes(size, "little") + value


MUTATIONS: dict[str, Callable[[Original, np.random.Generator], Mutant]] = {
    "bits flipped": flip_bits,
    "truncated": truncate,
    "element deleted": delete_element,
    "element duplicated": duplicate_element,
    "length changed": change_length,
    "values swapped": swap_values,
    "value replaced": replace_value,
}


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
