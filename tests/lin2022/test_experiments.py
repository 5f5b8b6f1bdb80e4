"""Every experiment, small, by the command line: cut in the middle, gone on with, tables and figures made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache, partial

import pytest

pytest.importorskip("torch")

from bonescan.lin2022.datasets import build_dataset, originals
from bonescan.lin2022.experiments import plan, runner, sets
from bonescan.lin2022.experiments.declared import EXPERIMENTS

LONGEST_S = 600
SOME = ("first-look", "table6")
"""Eight runs on one data set: trainings, methods that learn nothing, and one that is refused."""


@pytest.fixture
def quick(shared_anatomies, monkeypatch):
    """Each patient is simulated once for all data sets, and no step is timed to say how long runs will take."""
    monkeypatch.setattr(originals, "make_anatomy", cache(originals.make_anatomy))
    monkeypatch.setattr(originals, "make_patient", cache(originals.make_patient))
    monkeypatch.setattr(sets, "build_dataset", partial(build_dataset, processes=1))
    monkeypatch.setattr("bonescan.lin2022.experiments.runner._time", lambda run: 1.0)


def start(folder):
    """The runner, as a process that can be killed."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "bonescan", "experiment", "run", ",".join(SOME), "--profile", "smoke"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(folder):
    return sorted(path for path in (folder / "results").rglob("*.json") if not path.name.startswith("scans-"))


def unfinished(folder):
    """Checkpoints of trainings that have no result yet."""
    done = tuple(path.stem for path in results(folder))
    kept = []
    with suppress(FileNotFoundError):  # a training's folder goes when its result is there
        kept += (folder / "runs" / "experiments").rglob("*.safetensors")
    return [path for path in kept if not path.parent.name.startswith(done)]


def refused_of(said):
    return [line for line in said.splitlines() if "was not run" in line]


@pytest.mark.slow
def test_all_experiments_run_survive_a_kill_and_make_the_same_tables(cli, in_process, quick, tmp_path):
    some = plan.runs_of([EXPERIMENTS[name] for name in SOME], "smoke")
    sets.ensure_set(some[0], tmp_path / "runs" / "datasets", lambda *told: None)
    began = time.monotonic()
    first = start(tmp_path)
    # Killed while it trains: after the first result, with a checkpoint of the second or a later run on the disk.
    while not (results(tmp_path) and unfinished(tmp_path)) and time.monotonic() - began < LONGEST_S:
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    before = {path: path.read_bytes() for path in results(tmp_path)}
    assert 1 <= len(before) < len(some) - 1
    # Another process, this one, goes on with these runs and makes all others.
    second = in_process("experiment", "run", "all", "--profile", "smoke", cwd=tmp_path)
    # nnU-Net has an environment of its own, which is not here; everything else is.
    assert second.returncode == 1, second.stderr
    assert len(refused_of(second.stderr)) == 1, second.stderr
    assert "make nnunet" in refused_of(second.stderr)[0]
    assert {path: path.read_bytes() for path in before} == before, "what was there was not made again"
    assert not list((tmp_path / "runs" / "experiments").rglob("*.safetensors"))

    dry = in_process("experiment", "run", "all", "--profile", "smoke", "--dry-run", "--json", cwd=tmp_path)
    counts = json.loads(dry.stdout)
    assert (counts["runs"] - counts["there"], dry.returncode) == (1, 0)
    listed = json.loads(in_process("experiment", "list", "--json", cwd=tmp_path).stdout)["experiments"]
    assert {one["name"]: one["runs"]["smoke"]["runs"] - one["runs"]["smoke"]["there"] for one in listed} == {
        name: int(name == "table6") for name in EXPERIMENTS
    }
    made = []
    for folder, run in (("one", cli), ("two", in_process)):  # in two processes: sets have another order in each
        done = run("experiment", "table", "all", "--profile", "smoke", "-o", folder, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        made.append({path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()})
    assert made[0] == made[1]
    figures = {f"{name}.svg" for name, one in EXPERIMENTS.items() if one.show != "table"}
    assert set(made[0]) == {f"{name}{kind}" for name in EXPERIMENTS for kind in (".md", ".json")} | figures
    words = [claim["word"] for name in EXPERIMENTS for claim in json.loads(made[0][f"{name}.json"])["claims"]]
    # One seed decides nothing; what learns nothing has but one.
    assert set(words) <= {"undecided", "missing"}
    assert words.count("missing") == 1


def test_an_unknown_experiment_says_which_there_are(in_process, tmp_path):
    done = in_process("experiment", "run", "table9", "--profile", "smoke", cwd=tmp_path)
    assert done.returncode == 2
    assert "first-look" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "suggested"),
    [
        ((), "table6"),
        (("--profile", "smoke"), "table6 --profile smoke"),
        (("--profile", "smoke", "--results", "my results"), "table6 --profile smoke --results 'my results'"),
    ],
)
def test_the_next_command_looks_where_the_runs_are(in_process, monkeypatch, tmp_path, options, suggested):
    monkeypatch.setattr(runner, "run_all", lambda *arguments, **options: runner.Outcome())
    monkeypatch.setattr(runner, "forecast", lambda *arguments: runner.Forecast(1.0, 0, 0))
    done = in_process("experiment", "run", "table6", *options, cwd=tmp_path)
    assert f"bonescan experiment table {suggested}\n" in done.stdout, done.stderr
