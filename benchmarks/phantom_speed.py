"""How fast patients are simulated: `.venv/bin/python benchmarks/phantom_speed.py`.

Two processes, one for each core: anatomies a second, then patients a second (both views, new uptake, findings, lesions
and noise) of prepared anatomies, and the largest memory of a process. Written to results/phantom_speed.json.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import time
from pathlib import Path

from bonescan.phantom import Anatomy, make_anatomy, make_patient
from bonescan.system.parallel import process_pool
from common import report_head, write_report

ROOT = Path(__file__).parents[1]
FIRST_SEED = 920_000
PROCESSES = 2
_prepared: list[Anatomy] = []


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--anatomies", type=int, default=4, help="of each process")
    parser.add_argument("--patients", type=int, default=60, help="of each process")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "phantom_speed.json")
    arguments = parser.parse_args()
    with process_pool(PROCESSES) as pool:
        orders = [(number, arguments.anatomies, arguments.patients) for number in range(PROCESSES)]
        measured = list(pool.map(measure, orders))
    anatomy_s = statistics.median(seconds for each, _, _ in measured for seconds in each)
    patients = sum(arguments.patients / seconds for _, seconds, _ in measured)
    memory = max(peak for _, _, peak in measured)
    print(f"one anatomy in {anatomy_s:.2f} s; {patients:.1f} patients a second; {memory:.0f} MB a process at most")
    report = {
        **report_head(parser, arguments),
        "machine": {"processors": len(os.sched_getaffinity(0)), "machine": platform.machine()},
        "processes": PROCESSES,
        "anatomy_s": round(anatomy_s, 3),
        "patients_per_s": round(patients, 2),
        "peak_memory_mb": round(memory),
    }
    write_report(arguments.out, report)


def measure(order: tuple[int, int, int]) -> tuple[list[float], float, float]:
    """(seconds of each anatomy, seconds of all patients, peak memory in MB) of one process."""
    number, anatomies, patients = order
    each = []
    for i in range(anatomies):
        began = time.perf_counter()
        _prepared.append(make_anatomy(FIRST_SEED + 100 * number + i))
        each.append(time.perf_counter() - began)
    began = time.perf_counter()
    for i in range(patients):
        make_patient(_prepared[i % anatomies], i)
    return each, time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
