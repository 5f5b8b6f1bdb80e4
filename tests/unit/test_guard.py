"""The guard of the test suite bites: no test talks to another machine, here or in a process that it starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ELSEWHERE = ("192.0.2.1", 9)
"""An address that documentation uses, and nobody has (RFC 5737)."""
CODE = "import socket; socket.socket().connect(('192.0.2.1', 9))"


@pytest.fixture
def violations(tmp_path, monkeypatch):
    """A place of our own, so that the run does not fail for what is meant to be refused."""
    monkeypatch.setenv("BONESCAN_TEST_VIOLATIONS", str(tmp_path / "violations"))
    return tmp_path / "violations"


def test_another_machine_is_refused_here(violations):
    with socket.socket() as one, pytest.raises(PermissionError, match="this machine alone"):
        one.connect(ELSEWHERE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, pytest.raises(PermissionError):
        one.sendto(b"x", ELSEWHERE)
    with pytest.raises(PermissionError):
        socket.getaddrinfo("example.org", 80)
    assert len(violations.read_text().splitlines()) == 3


def test_and_in_a_process_that_a_test_starts(violations):
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert "PermissionError" in run.stderr
    assert "192.0.2.1" in violations.read_text()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="a process's environment is told by /proc")
def test_and_in_the_process_that_reads_strangers_files(violations):
    from bonescan import sandbox
    from bonescan.sandbox import parent

    parent.end()
    sandbox.file_summary(Path("nothing"))
    environment = Path(f"/proc/{parent._child.process.pid}/environ").read_bytes().decode().split("\0")
    searched = next(one for one in environment if one.startswith("PYTHONPATH="))
    parent.end()
    code = f"import sys; sys.path[:0] = {searched.partition('=')[2].split(os.pathsep)!r}; import sitecustomize; {CODE}"
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert "PermissionError" in run.stderr


def test_this_machine_passes(violations, tmp_path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(("localhost", server.getsockname()[1])):
            pass
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))
    assert not violations.exists()
