"""The files of `benchmarks/fuzz_dicom.py` before they are damaged, and the kinds of damage that are done to them."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file

from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.reading import ReadOptions, read_study
from bonescan.study import Scan, Spacing, Study, View

LONG_VR = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT", "SV", "UV")


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
