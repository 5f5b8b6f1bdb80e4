"""Processes that work side by side, one thread each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

_ONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@contextmanager
def process_pool(processes: int, niceness: int = 0) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool whose processes keep to one thread each.

    niceness: by how much less than this process they are served where the processor is busy. Left by an exception or
    not, tasks that have not begun are given up, and those that have are waited for.

    Numerical libraries read their number of threads when they load, which in a child is before any code of ours
    runs: so it is stated in the environment that children inherit, and taken back afterwards. Small matrix products
    on more threads than cores are several times slower. Children are spawned, not forked: a fork of a process in
    which torch has started its threads may hang.
    """
    before = {name: os.environ.get(name) for name in _ONE}
    os.environ.update(_ONE)
    try:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_be_nice, initargs=(niceness,))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _be_nice(niceness: int) -> None:
    if niceness:
        os.nice(niceness)
