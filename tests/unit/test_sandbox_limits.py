"""The child's limits of memory and time: bombs are refused quickly and small, and a busy machine damages no file."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import struct
import subprocess
import threading
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.drawn import changed

from bonescan import sandbox
from bonescan.dicom.values import ReadOptions
from bonescan.dicom.write_nm import write_nm
from bonescan.errors import InputError
from bonescan.reading import read_study
from bonescan.sandbox import parent
from bonescan.sandbox.child import PROCESSOR_SECONDS
from bonescan.study import Scan, Spacing, Study, View

MOST_SECONDS, MOST_MB = 2.0, 300.0
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="limits are measured through /proc")


def peak_mb(pid):
    """The most memory that a process ever had, in megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


class Watch:
    """Watches the child's memory while it reads, also where it is killed for it."""

    def __init__(self):
        parent.end()
        begun = time.perf_counter()
        with pytest.raises(InputError):
            sandbox.read_dicom([Path("/nothing")], "x", ReadOptions())  # the child is up
        self.start_seconds = time.perf_counter() - begun
        self.pid, self.peak, self.over = parent._child.process.pid, 0.0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        self.begun = time.perf_counter()
        return self

    def look(self):
        while not self.over.is_set():
            with contextlib.suppress(OSError, StopIteration):
                self.peak = max(self.peak, peak_mb(self.pid))
            time.sleep(0.005)

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self.begun
        self.over.set()
        self.thread.join()


def packed_zeros(wbits):
    """A megabyte that inflates to a gigabyte: one block again and again, since none refers to those before it."""
    squeeze = zlib.compressobj(9, wbits=wbits)
    first = squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    block = squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    packed = first + 1023 * block + squeeze.flush()
    if wbits < 0:
        return packed
    # The checksum at the end, Adler-32, of that many zeros.
    return packed[:-4] + struct.pack(">HH", 2**30 % 65521, 1)


def deflated(scan):
    """A megabyte that inflates to a gigabyte."""
    content = scan.read_bytes()
    dataset = pydicom.dcmread(scan)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    head = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(head, dataset.file_meta)
    scan.write_bytes(content[:132] + head.getvalue() + packed_zeros(wbits=-15))
    return scan


def nested(scan, levels=20_000):
    """Sequences of undefined length, one within the other."""
    item = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return with_element(scan, item * levels)


def many_items(scan):
    """A million detectors."""
    dataset = pydicom.dcmread(scan)
    del dataset.DetectorInformationSequence
    dataset.save_as(scan)
    body = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 1_000_000
    return with_element(scan, struct.pack("<HH2sHI", 0x0054, 0x0022, b"SQ", 0, len(body)) + body)


def many_values(scan):
    """A vector of five million numbers."""
    body = bytes(10_000_000)
    return with_element(scan, struct.pack("<HH2sHI", 0x0009, 0x1001, b"OW", 0, len(body)) + body, DetectorVector=None)


def lying_length(scan):
    """An element that states four gigabytes."""
    return with_element(scan, struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 0xFFFFFFF0))


def with_element(scan, element, **elements):
    changed(scan, **elements)
    content = scan.read_bytes()
    place = content.index(struct.pack("<HH2s", 0x0008, 0x0005, b"CS"))
    scan.write_bytes(content[:place] + element + content[place:])
    return scan


def rle(scan):
    """Run lengths that unpack to far more than the matrix."""
    dataset = pydicom.dcmread(scan)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.RLELossless
    segment = b"\x81\x00" * 1_000_000
    header = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13)
    dataset.PixelData = pydicom.encaps.encapsulate([header + segment + segment] * 2)
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(scan)
    return scan


def jpeg_2000(scan, side=30_000):
    """A code stream that states 30,000 x 30,000 pixels."""
    from openjpeg.utils import encode

    stream = bytearray(encode(np.zeros((64, 64), dtype=np.uint16), photometric_interpretation=2))
    place = stream.index(b"\xff\x51")
    for offset in (6, 10, 22, 26):
        stream[place + offset : place + offset + 4] = struct.pack(">I", side)
    dataset = pydicom.dcmread(scan)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    dataset.PixelData = pydicom.encaps.encapsulate([bytes(stream)] * 2)
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(scan)
    return scan


def zip_bomb(scan):
    """An npz whose member is a gigabyte of zeros, and says that it is a frame."""
    path = scan.with_name("scan.npz")
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<u2', 'fortran_order': False, 'shape': (1024, 256), }".ljust(117)
        + b"\n"
    )
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("anterior.npy", "w", force_zip64=True) as member,
    ):
        member.write(header)
        for _ in range(1024):
            member.write(bytes(2**20))
    return path


def zip_of_zips(scan):
    """Zips within a zip, many names and one body."""
    path = scan.with_name("scan.npz")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("anterior.npy", bytes(50 * 2**20))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(500):
            archive.writestr(f"{number}.zip", inner.getvalue())
        archive.writestr("anterior.npy", inner.getvalue())
    return path


def png(scan, *, rows=1024, cols=256, extra=b""):
    """A PNG of 16 bits with a body of zeros and what else is wanted."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    path = scan.with_name("anterior.png")
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", cols, rows, 16, 0, 0, 0, 0))
        + extra
        + (chunk(b"zTXt", b"a\0\0" + packed_zeros(wbits=15)) if extra == b"" and rows == 1024 else b"")
        + chunk(b"IDAT", zlib.compress(bytes(2**20)))
        + chunk(b"IEND", b"")
    )
    return path


BOMBS = {
    "deflated": deflated,
    "nested sequences": nested,
    "a million items": many_items,
    "lying length": lying_length,
    "run lengths": rle,
    "JPEG 2000": jpeg_2000,
    "rows and columns": lambda scan: changed(scan, Rows=65535, Columns=32767),
    "frames": lambda scan: changed(scan, NumberOfFrames=2_000_000_000),
    "more frames than pixels": lambda scan: changed(scan, NumberOfFrames=500),
    "vector": lambda scan: changed(scan, DetectorVector=[1] * 30_000),
    "zip bomb": zip_bomb,
    "zip of zips": zip_of_zips,
    "PNG of 65,535 rows": lambda scan: png(scan, rows=65535, cols=65535),
    "PNG text": png,
}


@LINUX
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_quickly_and_small(name, scan):
    bomb = BOMBS[name](scan)
    over = []
    # The best of three: others may have the processor, which is not the bomb's doing.
    while len(over) < 3 and min(over, default=0) >= 0:
        with Watch() as watch, pytest.raises(InputError) as refusal:
            read_study(bomb)
        assert "\n" not in str(refusal.value)
        assert watch.peak < MOST_MB
        # A child's processor time is limited; beside that it takes a time which depends on the machine, as its start.
        over.append(watch.seconds - max(MOST_SECONDS, PROCESSOR_SECONDS + 2 * watch.start_seconds))
    assert min(over) < 0
    good = Study("case", {view: Scan(view, np.full((512, 128), 3.0)) for view in View}, Spacing(2.0, 2.0))
    assert read_study(write_nm(good, scan.with_name("good.dcm"))[0]).shape == (512, 128)


@LINUX
def test_the_largest_scan_that_is_accepted_is_read_within_the_memory(scan):
    counts = np.random.default_rng(1).integers(0, 100, (4096, 512)).astype(np.float32)
    large = Study("case", {view: Scan(view, counts) for view in View}, Spacing(0.5, 0.5))
    (path,) = write_nm(large, scan.with_name("large.dcm"))
    with Watch() as watch:
        read = sandbox.read_dicom([path], "x", ReadOptions())
    assert watch.peak < MOST_MB
    np.testing.assert_array_equal(read.counts(View.POSTERIOR), counts)


class Started:
    """Children that begin with some code of ours; counts them."""

    def __init__(self, monkeypatch, code):
        self.count, self.code, self.start = 0, code, subprocess.Popen
        parent.end()
        monkeypatch.setattr(parent.subprocess, "Popen", self)

    def __call__(self, command, **options):
        self.count += 1
        code = f"import sys, time; from bonescan.sandbox import child; {self.code}; sys.exit(child.main())"
        return self.start([*command[:2], "-c", code], **options)


@pytest.fixture
def started(monkeypatch):
    yield lambda code: Started(monkeypatch, code)
    parent.end()


def test_the_time_that_a_child_takes_to_start_is_not_that_of_the_file(scan, monkeypatch, started):
    children = started("time.sleep(5)")
    monkeypatch.setattr(parent, "WALL_SECONDS", 4.0)
    assert read_study(scan).shape == (512, 128)
    assert children.count == 1


@LINUX
def test_a_child_that_was_not_given_the_time_is_replaced_once(scan, monkeypatch):
    read_study(scan)
    first = parent._child.process
    monkeypatch.setattr(parent, "WALL_SECONDS", 4.0)
    os.kill(first.pid, signal.SIGSTOP)
    assert read_study(scan).shape == (512, 128)
    assert parent._child.process.pid != first.pid


def test_a_file_that_twice_got_no_time_is_not_called_damaged(scan, monkeypatch, started):
    children = started("child._answer = lambda *_: time.sleep(60)")
    monkeypatch.setattr(parent, "WALL_SECONDS", 0.5)
    said = "^reading took longer than 0.5 s, perhaps because this machine is busy: run the same command again$"
    with pytest.raises(InputError, match=said):
        sandbox.read_dicom([scan], "x", ReadOptions())
    assert children.count == 2


@LINUX
def test_a_file_that_uses_up_the_processor_time_is_called_damaged_at_once(scan, monkeypatch, started):
    children = started("child._answer = lambda *_: sum(0 for _ in iter(int, 1))")
    monkeypatch.setattr(parent, "WALL_SECONDS", 120.0)
    with pytest.raises(InputError, match="so it is damaged or no scan"):
        sandbox.read_dicom([scan], "x", ReadOptions())
    assert children.count == 1


def test_a_child_that_cannot_start_makes_no_file_damaged(scan, started):
    started("sys.exit(3)")
    with pytest.raises(InputError, match="ended while it started: `bonescan doctor`"):
        sandbox.read_dicom([scan], "x", ReadOptions())
