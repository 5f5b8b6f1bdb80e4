"""Being stopped: by the keyboard (SIGINT), or by a system that ends its processes (SIGTERM)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Stopped(KeyboardInterrupt):
    """Work was stopped on request. The message, if any, says what is kept and how to go on.

    number: of the signal.
    """

    def __init__(self, message: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM raise `Stopped`, so that SIGTERM stops the work as cleanly as Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number=number)

    with _handlers({signal.SIGTERM: stop}):
        yield


@contextmanager
def deferred_stop() -> Iterator[Callable[[], int]]:
    """Yield a function that returns the signal that asked to stop, 0 for none: the work ends where it is consistent.

    A second signal is not waited for: it raises `Stopped` at once.
    """
    asked = 0

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise Stopped(number=number)
        asked = number

    with _handlers({signal.SIGINT: remember, signal.SIGTERM: remember}):
        yield lambda: asked


@contextmanager
def stop_held_back() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the end of the block; processes that are started in it are deaf to SIGINT.

    A process inherits which signals are blocked, so that no SIGINT reaches it before it can state what it wants.
    """
    asked: list[int] = []
    blocks = hasattr(signal, "pthread_sigmask")  # Windows has none
    try:
        with _handlers(dict.fromkeys((signal.SIGINT, signal.SIGTERM), lambda number, frame: asked.append(number))):
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocks else set()
            try:
                yield
            finally:
                if blocks:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:
        if asked:
            signal.raise_signal(asked[0])


def ignore_interrupt() -> None:
    """Ignore SIGINT in this process from now on, also one that came while it was blocked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def going_on(done: int, steps: int) -> str:
    """What is told where a training was stopped after `done` of its steps."""
    return f"stopped after step {done} of {steps}; the checkpoint is saved, and the same command goes on from there."


@contextmanager
def _handlers(handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    """Set signal handlers and restore them; does nothing outside the main thread, because only it may set handlers."""
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
