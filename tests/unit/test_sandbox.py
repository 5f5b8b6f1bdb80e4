"""Strangers' files in a child: it dies, forks, threads share it, its answers are checked, and the parent goes on."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.drawn import changed

from bonescan.errors import InputError, OptionError, ViewError
from bonescan.reading import read_study
from bonescan.sandbox import frames, parent, wire


def test_one_child_reads_many_files_and_errors_keep_their_class(scan):
    parent.end()
    read_study(scan)
    child = parent._child.process.pid
    changed(scan, Modality="CT")
    with pytest.raises(InputError, match="not nuclear medicine"):
        read_study(scan)
    dataset = pydicom.dcmread(scan)
    dataset.Modality = "NM"
    for detector in dataset.DetectorInformationSequence:
        del detector.ViewCodeSequence
    dataset.save_as(scan)
    with pytest.raises(ViewError, match="--views"):
        read_study(scan)
    assert parent._child.process.pid == child


def test_a_child_that_was_started_before_reads_the_first_file(scan):
    parent.end()
    parent.start()
    child = parent._child
    parent.start()
    assert parent._child is child
    assert not child.is_ready, "start does not wait"
    assert read_study(scan).shape == (512, 128)
    assert parent._child is child


def test_a_child_that_dies_as_it_starts_costs_no_file(scan):
    parent.end()
    parent.start()
    parent._child.process.kill()
    parent._child.process.wait()
    assert read_study(scan).shape == (512, 128)


def test_a_child_that_dies_while_idle_costs_no_file(scan):
    read_study(scan)
    first = parent._child.process
    first.kill()
    first.wait()
    assert read_study(scan).shape == (512, 128)
    assert parent._child.process.pid != first.pid


def test_a_child_that_dies_as_it_is_asked_is_replaced_once(scan, monkeypatch):
    read_study(scan)
    first = parent._child.process
    first.kill()
    first.wait()
    monkeypatch.setattr(first, "poll", lambda: None)  # it still seemed to live
    assert read_study(scan).shape == (512, 128)


def test_a_child_that_dies_over_a_file_costs_that_file_and_the_next_is_read_by_another(scan):
    read_study(scan)
    first = parent._child.process
    os.kill(first.pid, signal.SIGSTOP)
    timer = threading.Timer(0.3, first.kill)
    timer.start()
    with pytest.raises(InputError, match="crashes the library"):
        read_study(scan)
    timer.join()
    assert read_study(scan).shape == (512, 128)


def test_the_child_ends_with_its_parent(scan):
    code = (
        "import sys, os; from pathlib import Path; from bonescan.reading import read_study; "
        "read_study(Path(sys.argv[1])); from bonescan.sandbox import parent; "
        "print(parent._child.process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(scan)], capture_output=True, text=True, check=False)
    child = int(run.stdout)
    for _ in range(100):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the child lives on")


def in_a_fork(scan, answers):
    answers.put((read_study(scan).shape, parent._child.process.pid))


def test_a_fork_has_a_child_of_its_own(scan):
    read_study(scan)
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    answers = context.Queue()
    with (
        pytest.warns(DeprecationWarning)
        if threading.active_count() > 1 and sys.version_info >= (3, 12)
        else contextlib.nullcontext()
    ):
        process = context.Process(target=in_a_fork, args=(scan, answers))
        process.start()
    shape, pid = answers.get(timeout=30)
    process.join(timeout=30)
    assert (shape, process.exitcode) == ((512, 128), 0)
    assert pid != parent._child.process.pid
    assert read_study(scan).shape == (512, 128)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_waits_for_the_child_does_not_hang(scan):
    read_study(scan)
    os.kill(parent._child.process.pid, signal.SIGSTOP)
    shapes = []
    waiting = threading.Thread(target=lambda: shapes.append(read_study(scan).shape))
    waiting.start()
    while not parent._lock.locked():
        time.sleep(0.01)
    time.sleep(0.1)  # until it waits within the pipe
    forked = os.fork()
    if forked == 0:
        signal.alarm(25)
        correct = read_study(scan).shape == (512, 128)
        parent.end()
        os._exit(0 if correct else 1)
    _, status = os.waitpid(forked, 0)
    os.kill(parent._child.process.pid, signal.SIGCONT)
    waiting.join()
    assert (os.waitstatus_to_exitcode(status), shapes) == (0, [(512, 128)])


def test_threads_share_the_child(scan):
    read_study(scan)
    shapes = []
    threads = [threading.Thread(target=lambda: shapes.append(read_study(scan).shape)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shapes == [(512, 128)] * 8


def test_a_folder_of_scans_cannot_bring_its_own_modules(scan, cli, tmp_path):
    for name in ("pydicom", "numpy", "json", "bonescan"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('loaded from the folder of scans')\n")
    parent.end()
    code = "import sys; from bonescan.reading import read_study; print(read_study(sys.argv[1]).shape)"
    run = subprocess.run(
        [sys.executable, "-P", "-c", code, str(scan)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "(512, 128)", run.stderr


def message(document, arrays=()):
    stream = io.BytesIO()
    frames.write_message(stream, frames.Message(document, arrays))
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\2[]",
        b"\0\0\0\2{}",
        struct.pack(">I", 60) + b'{"document": {}, "arrays": [{"dtype": "|O", "shape": [1]}]}'.ljust(60),
        struct.pack(">I", 70) + b'{"document": {}, "arrays": [{"dtype": "<f4", "shape": [99999, 99999]}]}'[:70],
        struct.pack(">I", 64) + b'{"document": {}, "arrays": [{"dtype": "<f4", "shape": [-1]}]}'.ljust(64),
        struct.pack(">I", 63) + b'{"document": {}, "arrays": [{"dtype": "|b1", "shape": [1]}]}'.ljust(63) + b"\x07",
    ],
)
def test_what_is_no_message_is_refused_before_memory_is_taken(content):
    with pytest.raises(frames.ProtocolError):
        frames.read_message(io.BytesIO(content))


def test_a_message_comes_as_it_went():
    arrays = (np.eye(3, dtype=np.float32), np.zeros((0, 2)), np.array([[True, False]]))
    back = frames.read_message(io.BytesIO(message({"a": "ü\udcff"}, arrays)))
    assert back.document == {"a": "ü\udcff"}
    for one, other in zip(back.arrays, arrays, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "change",
    [
        {"views": ["anterior"]},
        {"views": ["sideways", "anterior"]},
        {"key": 3},
        {"key": "other"},
        {"sources": ["else.dcm"]},
        {"spacing": [0.0, 1.0]},
        {"spacing": "wide"},
        {"warnings": ["x" * 10_000]},
        {"frames": {"anterior": [7, 1]}},
        {"sources": {}},
    ],
)
def test_a_childs_answer_is_not_trusted(scan, change):
    answer = parent.ask("study", [scan], key="x", options={"views": None, "frames": None})
    assert wire.study(answer, "x", {scan.name}).shape == (512, 128)
    with pytest.raises(InputError, match="no usable answer"):
        wire.study(frames.Message({**answer.document, **change}, answer.arrays), "x", {scan.name})


def test_a_child_cannot_raise_what_it_likes():
    for document in ({"error": "SystemExit", "sentence": "x"}, {"error": "InputError", "sentence": 3}, {}):
        with pytest.raises(InputError, match="memory or time"):
            parent._done(frames.Message(document))
    with pytest.raises(OptionError):
        parent._done(frames.Message({"error": "OptionError", "sentence": "wrong"}))
