"""The parent's side: one child, started on first use or before, used for many files, replaced when a file exceeds a
limit."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bonescan import errors
from bonescan.errors import InputError
from bonescan.sandbox.frames import Message, ProtocolError, read_message, write_message

WALL_SECONDS = 20.0
"""For one request to a child that has started: more than its processor time, as a file may be on a slow share."""
START_SECONDS = 120.0
"""For the start of a child, which imports the libraries that read files."""
_ERRORS = ("InputError", "ViewError", "LabelError", "NoCurvesError", "OptionError")
_MOST_SENTENCE = 2000
_REQUESTS_A_CHILD = 5000
"""A child is replaced after so many requests, so that memory leaks of a library do not add up."""


_ENVIRONMENT = {
    "PYTHONWARNINGS": "ignore",
    # Each thread of a linear algebra library would claim memory.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


_HAS_PROCESSOR_LIMIT = hasattr(signal, "setitimer")


class _Child:
    """One running child process."""

    def __init__(self) -> None:
        searched = os.pathsep.join(entry for entry in sys.path if entry)
        # -P: do not import from the current folder; a folder of scans may hold a module of any name.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bonescan.sandbox.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": searched},
        )
        self.requests = 0
        self.is_ready = False
        self.late_after: float | None = None
        """The seconds of the clock that killed this child; None where none did."""

    def wait_until_ready(self) -> None:
        """Wait until the child can take requests. Raises ProtocolError or OSError where it ends before."""
        assert self.process.stdout is not None
        with self._at_most(START_SECONDS):
            read_message(self.process.stdout)  # type: ignore[arg-type]
        self.is_ready = True

    def ask(self, request: Message) -> Message:
        """Send a request and return the answer. Raises ProtocolError or OSError where the child is gone."""
        self.requests += 1
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self._at_most(WALL_SECONDS):
            write_message(self.process.stdin, request)  # type: ignore[arg-type]
            return read_message(self.process.stdout)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def _at_most(self, seconds: float) -> Iterator[None]:
        """Kill the child where the body takes longer than so many seconds by the clock."""
        watch = threading.Timer(seconds, self._kill_as_late, (seconds,))
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()

    def _kill_as_late(self, seconds: float) -> None:
        self.late_after = seconds
        self.process.kill()

    def waited_for(self) -> float | None:
        """Return the seconds after which the clock alone ended this child; None where a limit or a crash did.

        A child that has used up its processor time is ended by SIGPROF, not by the clock. Where the system has no such
        limit (Windows), the clock is the limit on the processor time, too. Call this after `end`.
        """
        killed_for_time = _HAS_PROCESSOR_LIMIT and self.process.returncode == -signal.SIGKILL
        return self.late_after if killed_for_time else None

    def end(self) -> None:
        """End the process and close its pipes."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def let_go(self) -> None:
        """Leave the process to the parent after a fork; closing the streams could wait for a thread of the parent."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None and not stream.closed:
                os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


_lock = threading.Lock()
_child: _Child | None = None
_not_ours: list[_Child] = []
"""Children of the process from which this one was forked; kept so that they are neither closed nor waited for."""


def start() -> None:
    """Start the child while the caller does something else, where files are sure to be read.

    Its libraries are slow to import. Does nothing where one runs already.
    """
    with _lock:
        _running()


def ask(task: str, paths: Sequence[Path], **arguments: Any) -> Message:
    """Run a task of `tasks.TASKS` on files in the child, and return its values and arrays, not yet checked.

    Raises the task's own InputError (or a subclass), and InputError where the file exceeds a limit or ends the child,
    or where the clock alone ended the child twice.
    """
    absolute = [os.fsencode(Path(path).absolute()).hex() for path in paths]
    with _lock:
        answer = _answer(Message({"task": task, "paths": absolute, "arguments": arguments}))
    return _done(answer)


def _answer(request: Message) -> Message:
    """Return the child's answer; a request that the clock alone ended is made a second time. Raises InputError."""
    global _child  # noqa: PLW0603  # one child a process, whoever asks
    is_second_try = False
    while True:
        child = _running()
        has_served = child.requests > 0
        try:
            if not child.is_ready:
                child.wait_until_ready()
            return child.ask(request)
        except BaseException as error:
            # Also after an interruption: a late answer of the child must not be taken for that to the next request.
            child.end()
            _child = None
            if not isinstance(error, ProtocolError | OSError):
                raise
            # The child died before it took the request, so the file is not the cause: ask a new child once.
            if isinstance(error, BrokenPipeError) and has_served:
                continue
            seconds = child.waited_for()
            if seconds is None:
                raise (_limits_broken() if child.is_ready else _not_started()) from None
            if is_second_try:
                raise _too_slow(seconds) from None
            is_second_try = True


def _running() -> _Child:
    """Return a running child; a new one where the system has ended the old one since the last request."""
    global _child  # noqa: PLW0603
    child = _child
    if child is not None and (child.requests >= _REQUESTS_A_CHILD or child.process.poll() is not None):
        child.end()
        child = None
    if child is None:
        child = _child = _Child()
    return child


def _done(answer: Message) -> Message:
    document = answer.document
    if "error" not in document:
        if not isinstance(document.get("done"), dict):
            raise _limits_broken()
        return Message(document["done"], answer.arrays)
    name, sentence = document["error"], document.get("sentence")
    if name not in _ERRORS or not isinstance(sentence, str) or not 0 < len(sentence) <= _MOST_SENTENCE:
        raise _limits_broken()
    found: type[InputError] = getattr(errors, name)
    raise found(sentence)


def _limits_broken() -> InputError:
    return InputError(
        "the file asks for more memory or time than any scan needs, or crashes the library that reads it, so it is "
        "damaged or no scan; export it again, uncompressed"
    )


def _too_slow(seconds: float) -> InputError:
    return InputError(
        f"reading took longer than {seconds:g} s, perhaps because this machine is busy: run the same command again"
    )


def _not_started() -> InputError:
    return InputError("the process that reads files ended while it started: `bonescan doctor` says what is missing")


def end() -> None:
    """End the child, if there is one; the next request starts another."""
    global _child  # noqa: PLW0603
    if _child is not None:
        _child.end()
        _child = None


def _after_fork() -> None:
    """Forget the parent's child in a forked process, and make a new lock: another thread may have held the old one."""
    global _lock, _child  # noqa: PLW0603
    _lock = threading.Lock()
    if _child is not None:
        _child.let_go()
        _not_ours.append(_child)
        _child = None


atexit.register(end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
