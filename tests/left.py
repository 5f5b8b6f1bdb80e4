"""What a process that was killed leaves beside what it was writing."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from bonescan.system.files import PARTIAL, temporary_for

POSIX = pytest.mark.skipif(os.name != "posix", reason="whether a process lives is asked of POSIX")


@cache
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left_by(process: int, target: Path, kind: str = PARTIAL) -> Path:
    """A folder that a process began to write in the place of `target`."""
    own = temporary_for(target, kind)
    left = own.with_name(own.name.replace(f".{os.getpid()}-", f".{process}-"))
    assert left != own
    left.mkdir(parents=True)
    (left / "a").write_text("half")
    return left
