"""Nodes as processes of their own, forked from one that has imported what a node needs: that takes it three seconds.

A node made so has its own memory, files, threads and signals, and ends as one that a shell started. That a node starts
in a new Python, `tests/integration/test_node.py` and the documentation's pages show.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any


class Template:
    """A process that has done the imports, and forks one child an order."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._process.communicate)  # it ends where its input does

    def ask(self, **order: object) -> int | None:
        """Send an order and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: int | None = json.loads(self._process.stdout.readline())
        return answer


template = cache(Template)
"""The template of this process."""


class Forked:
    """`bonescan ARGUMENTS` in a fork of the template, used as a `Popen` is.

    What it says is added to the file `log`; its standard output to the file `out` where there is one.
    """

    def __init__(self, arguments: Sequence[object], log: Path, out: Path | None = None) -> None:
        self.args = list(map(str, arguments))
        files = [str(out or log), str(log)]
        for one in files:
            Path(one).touch()
        pid = template().ask(arguments=self.args, files=files, folder=str(Path.cwd()), environment=dict(os.environ))
        assert pid is not None
        self.pid, self.returncode = pid, None

    returncode: int | None

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        if self.returncode is None:
            self.returncode = template().ask(ended=self.pid)
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        """Wait until it has ended."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(0.02)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def run_forked(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `bonescan ARGUMENTS` in a fork of the template."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(cwd or Path()):
        out, err = Path(name, "out"), Path(name, "err")
        code = Forked(arguments, err, out).wait(300.0)
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


def _ended(pid: int) -> int | None:
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def _become(order: dict[str, Any]) -> int:
    """Run the command line of an order; standard input and output are those of the template no more."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for at, file in enumerate(order["files"], start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), at)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.argv = ["bonescan", *order["arguments"]]
    from bonescan.cli import main

    return main(order["arguments"])


def _serve() -> int:
    """Do orders until there are no more; a fork leaves with the exit code of its command."""
    import onnxruntime  # noqa: F401  # what a node imports at its first study
    import scipy.optimize  # noqa: F401

    import bonescan.commands.node
    import bonescan.dicom.objects.documents
    import bonescan.dicom.objects.presentation
    import bonescan.dicom.objects.seg
    import bonescan.dicom.objects.sr
    import bonescan.node.check
    import bonescan.node.run
    import bonescan.report.page  # noqa: F401

    threads = Path("/proc/self/task")
    assert not threads.exists() or len(list(threads.iterdir())) == 1, "only a process of one thread may fork"
    while line := sys.stdin.readline():
        order = json.loads(line)
        answer = _ended(order["ended"]) if "ended" in order else os.fork()
        if "ended" not in order and answer == 0:
            return _become(order)
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(_serve())
