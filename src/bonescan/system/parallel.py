"""Processes that work side by side, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import InvalidStateError, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess

from bonescan.system.interrupts import ignore_interrupt, stop_held_back

_ONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_MANAGER_SECONDS = 5.0
"""A pool's thread ends at once when its children have ended; it is not waited for longer than this."""


class _Child(SpawnProcess):
    """A process whose start cannot be interrupted: a terminal sends Ctrl-C to it as well as to its parent.

    The child, still importing, would print a traceback. The parent would lose sight of a child that is half started,
    and could not end it.
    """

    def start(self) -> None:
        """Start the process; a signal to stop is acted on afterwards."""
        with stop_held_back():
            super().start()


class _Context(SpawnContext):
    Process = _Child


def _begin_child(niceness: int) -> None:
    """In a child: ignore Ctrl-C (the parent also receives it), and end when the parent has ended."""
    if niceness and hasattr(os, "nice"):  # Windows has none
        os.nice(niceness)
    ignore_interrupt()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _failing_at_cancelled_tasks() -> Iterator[None]:
    """Without the traceback that a pool's thread prints when it hears of a child's end before it has removed the tasks
    that are cancelled: in Python 3.11 it fails at them.
    """
    usual = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if not issubclass(failure.exc_type, InvalidStateError):
            usual(failure)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = usual


@contextmanager
def process_pool(processes: int, niceness: int = 0) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool whose processes keep to one thread each.

    niceness: by how much less than this process they are served where the processor is busy.

    Numerical libraries read their number of threads when they load, which in a child is before any code of ours
    runs: so it is stated in the environment that children inherit, and taken back afterwards. Small matrix products
    on more threads than cores are several times slower. Children are spawned, not forked: a fork of a process in
    which torch has started its threads may hang.

    At the end of the block, tasks that have not started are cancelled; running ones are finished. An exception that
    leaves the block, as Ctrl-C does, ends the children at once: what they had not finished is lost. They also end when
    this process is killed.
    """
    before = {name: os.environ.get(name) for name in _ONE}
    os.environ.update(_ONE)
    try:
        pool = ProcessPoolExecutor(processes, mp_context=_Context(), initializer=_begin_child, initargs=(niceness,))
        before_it, threads = set(multiprocessing.active_children()), set(threading.enumerate())
        try:
            yield pool
        except BaseException:
            # Using the executor as a context manager would wait for all tasks.
            children = set(multiprocessing.active_children()) - before_it
            with _failing_at_cancelled_tasks():
                pool.shutdown(wait=False, cancel_futures=True)
                for child in children:
                    child.terminate()
                for child in children:
                    child.join()
                for thread in set(threading.enumerate()) - threads:
                    if type(thread).__module__ == ProcessPoolExecutor.__module__:
                        thread.join(_MANAGER_SECONDS)
            raise
        pool.shutdown(cancel_futures=True)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
