"""Processes that work side by side, one thread each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

_ONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@contextmanager
def process_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool whose processes keep to one thread each.

    Numerical libraries read their number of threads when they load, which in a child is before any code of ours
    runs: so it is stated in the environment that children inherit, and taken back afterwards. Small matrix products
    on more threads than cores are several times slower. Children are spawned, not forked: a fork of a process in
    which torch has started its threads may hang.
    """
    before = {name: os.environ.get(name) for name in _ONE}
    os.environ.update(_ONE)
    try:
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
