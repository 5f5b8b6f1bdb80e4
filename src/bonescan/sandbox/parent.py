"""The parent's side: one child, started on first use, used for many files, replaced when a file exceeds a limit."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bonescan import errors
from bonescan.errors import InputError
from bonescan.sandbox.frames import Message, ProtocolError, read_message, write_message

WALL_SECONDS = 20.0
"""More than the child's processor time, as a file may be on a slow share."""
_ERRORS = ("InputError", "ViewError", "LabelError", "OptionError")
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

    def ask(self, request: Message) -> Message:
        """Send a request and return the answer. Raises ProtocolError or OSError where the child is gone."""
        self.requests += 1
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        watch = threading.Timer(WALL_SECONDS, self.process.kill)
        watch.daemon = True
        watch.start()
        try:
            write_message(self.process.stdin, request)  # type: ignore[arg-type]
            return read_message(self.process.stdout)  # type: ignore[arg-type]
        finally:
            watch.cancel()

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


def ask(task: str, paths: Sequence[Path], **arguments: Any) -> Message:
    """Run a task of `tasks.TASKS` on files in the child, and return its values and arrays, not yet checked.

    Raises the task's own InputError (or a subclass), and InputError where the file exceeds a limit or ends the child.
    """
    global _child  # noqa: PLW0603  # one child a process, whoever asks
    absolute = [os.fsencode(Path(path).absolute()).hex() for path in paths]
    request = Message({"task": task, "paths": absolute, "arguments": arguments})
    with _lock:
        while True:
            child = _running()
            has_served = child.requests > 0
            try:
                answer = child.ask(request)
                break
            except BaseException as error:
                # Also after an interruption: a late answer of the child must not be taken for that to the next request.
                child.end()
                _child = None
                # The child died before it took the request, so the file is not the cause: ask a new child once.
                if isinstance(error, BrokenPipeError) and has_served:
                    continue
                if isinstance(error, ProtocolError | OSError):
                    raise _limits_broken() from None
                raise
    return _done(answer)


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
