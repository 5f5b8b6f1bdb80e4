"""How long one study takes: `.venv/bin/python benchmarks/speed.py`.

Cold: the whole process of `bonescan segment` for one study, both views, whole body, all default outputs, as a
person waits for it. Further: what each further study of the same call adds, from calls of one and of several
studies in alternation. Medians; written to results/speed.json. The aims are for a machine of two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bonescan.pipeline import load_model
from common import print_verdicts, report_head, verdicts, write_report

ROOT = Path(__file__).parents[1]
STUDIES = 6
AIMS = {"cold_s": 1.0, "further_s": 0.25}
"""Medians at most, in seconds."""


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="calls of each kind")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments.repeats)
    # The command line takes the model in use.
    write_report(arguments.out, {**report_head(parser, arguments, [load_model(None).name]), **figures})
    print(f"cold {figures['cold_s']['median']:.2f} s, each further study {figures['further_s']['median']:.2f} s")
    print_verdicts(figures["aims"])


def measure(folder: Path, repeats: int) -> dict[str, Any]:
    """Simulate the studies, warm the disk's cache with one call, and time the others in alternation."""
    bonescan("simulate", "-o", folder / "cohort", "--count", STUDIES, "--seed", 2026, "--header", "ge")
    scans = sorted((folder / "cohort").rglob("*.dcm"))
    assert len(scans) == STUDIES
    segment(scans, folder / "out")
    cold, several = [], []
    for _ in range(repeats):
        cold.append(segment(scans[:1], folder / "out"))
        several.append(segment(scans, folder / "out"))
    further = [(all_of_them - one) / (STUDIES - 1) for one, all_of_them in zip(cold, several, strict=True)]
    times = {"cold_s": spread(cold), "further_s": spread(further)}
    return {
        "what": "bonescan segment, both views, whole body, outputs json, labels and png",
        "machine": {"processors": len(os.sched_getaffinity(0)), "machine": platform.machine()},
        "python": platform.python_version(),
        "repeats": repeats,
        **times,
        "aims": judged(times),
    }


def judged(times: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Each aim, the median that was reached, and whether it suffices."""
    return verdicts({name: times[name]["median"] for name in AIMS}, AIMS, tuple(AIMS))


def segment(scans: list[Path], out: Path) -> float:
    """Seconds that a child process takes for these scans, into an empty folder."""
    shutil.rmtree(out, ignore_errors=True)
    return bonescan("segment", *scans, "-o", out)


def bonescan(*arguments: object) -> float:
    """Run the command line; returns its seconds."""
    before = time.perf_counter()
    command = [sys.executable, "-m", "bonescan", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - before


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and range, in seconds."""
    return {
        "median": round(statistics.median(seconds), 3),
        "least": round(min(seconds), 3),
        "most": round(max(seconds), 3),
    }


if __name__ == "__main__":
    main()
