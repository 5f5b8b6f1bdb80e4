"""ONNX Runtime leaves no file about its use: it is told before it is imported, whatever command imports it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SEGMENT = """
import os
import sys
import numpy as np
import bonescan

class Told:
    def find_spec(self, name, *_):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY"))

assert "onnxruntime" not in sys.modules
sys.meta_path.insert(0, Told())
from bonescan.study import Scan, Study, View
counts = np.random.default_rng(0).poisson(3.0, (64, 64)).astype(np.float32)
bonescan.segment(Study("one", {view: Scan(view, counts) for view in View}), bonescan.load_model())
"""


@pytest.mark.parametrize("stated", [None, "0"])
def test_a_session_leaves_no_file_in_the_home_and_among_the_temporary_files(stated, tmp_path):
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    environment |= {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    environment |= {} if stated is None else {"ORT_DISABLE_TELEMETRY": stated}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SEGMENT], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
