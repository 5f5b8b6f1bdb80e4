"""Being stopped: what runs side by side ends soon, training keeps what it has learned and says where."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file

from bonescan.system.interrupts import Stopped, termination_as_interrupt
from bonescan.system.parallel import process_pool
from bonescan.train.cases import Split
from bonescan.train.config import TrainConfig
from bonescan.train.loop import CHECKPOINT, train

POSIX = pytest.mark.skipif(os.name != "posix", reason="processes are looked up by their group")
SECONDS = 30.0
"""It takes less than two, but the machine that tests may be busy; what goes on would take many minutes."""


def group_of(process) -> list[int]:
    """The processes of a group that are alive, whoever their parent is now."""
    listed = subprocess.run(["ps", "-eo", "pid,pgid,stat"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()[1:]]
    return [int(pid) for pid, group, state in rows if int(group) == process.pid and not state.startswith("Z")]


@pytest.fixture
def start_simulating(tmp_path):
    """Start a command that simulates many patients in processes of its own, and wait for some of these."""
    begun = []

    def start(processes):
        process = subprocess.Popen(
            [sys.executable, "-m", "bonescan", "simulate", "-o", "cohort", "--count", "500", "--seed", "1"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            # A shell in the background ignores the signal, and children inherit that; there are no threads here.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )
        begun.append(process)
        until = time.monotonic() + 300
        while len(group_of(process)) < processes and time.monotonic() < until:
            time.sleep(0.1)
        assert len(group_of(process)) >= processes
        return process

    yield start
    for process in begun:
        if group_of(process):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


@pytest.fixture
def simulating(start_simulating):
    """Such a command whose processes are at work."""
    process = start_simulating(4)  # itself, the resource tracker, two workers
    assert process.stderr.readline().startswith("patients ")
    return process


def is_gone(process) -> bool:
    """Whether the group ends before the time is up."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        process.poll()
        if not group_of(process):
            return True
        time.sleep(0.05)
    return False


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("everybody", [True, False], ids=["the whole group, as a terminal does", "the process alone"])
def test_a_simulation_that_is_stopped_ends_with_its_workers(simulating, number, code, everybody):
    (os.killpg if everybody else os.kill)(simulating.pid, number)
    assert is_gone(simulating)
    assert simulating.wait() == code
    said = [line for line in simulating.stderr.read().splitlines() if not line.startswith("patients ")]
    assert said == ["bonescan: stopped; what was finished is complete, and nothing is half written."]


@POSIX
@pytest.mark.slow
def test_workers_end_where_their_command_was_killed(simulating):
    os.kill(simulating.pid, signal.SIGKILL)
    assert is_gone(simulating)


def tiny(folder) -> TrainConfig:
    return TrainConfig(
        name="tiny",
        runs=str(folder),
        network_config={"widths": (8, 8), "decoder_widths": (8,)},
        steps=6,
        batch_rows=64,
        crop_rows=(32,),
        crop_weights=(1.0,),
        crop_cols=32,
        warmup_steps=2,
        checkpoint_every=100,
        validate_every=100,
        log_every=1,
        threads=1,
    )


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_stopped_keeps_its_steps_and_says_where_it_goes_on(make_case, tmp_path, number):
    split = Split([make_case(seed) for seed in range(3)], [make_case(90)])
    config = tiny(tmp_path / "stopped")
    stages = []

    def report(progress):
        stages.append((progress.stage, progress.done))
        if (progress.stage, progress.done) == ("train", 3):
            os.kill(os.getpid(), number)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match=r"stopped after step [34] of 6; .* the same command goes on") as raised:
        train(config, split, report)
    assert raised.value.number == number
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert ("validate", stages[-1][1]) not in stages
    done = []
    train(config, split, lambda progress: done.append(progress.done) if progress.stage == "train" else None)
    assert done == list(range(stages[-1][1] + 1, 7))
    whole = replace(config, runs=str(tmp_path / "whole"))
    train(whole, split)
    one, two = (load_file(run.folder / CHECKPOINT) for run in (config, whole))
    assert all(torch.equal(one[key], two[key]) for key in one)


@POSIX
def test_a_worker_that_is_starting_does_not_hear_ctrl_c():
    """A terminal sends Ctrl-C to workers too, long before they have imported anything that could ignore it."""
    with process_pool(1) as pool:
        task = pool.submit(os.getpid)
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGINT)
        assert task.result(timeout=60) == worker.pid


@pytest.fixture
def heard():
    """SIGINT raises KeyboardInterrupt, also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@POSIX
@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_a_worker_starts_ends_it(monkeypatch, capfd, number):
    spawn, begun = multiprocessing.util.spawnv_passfds, []

    def interrupted(*arguments):
        begun.append(spawn(*arguments))
        signal.raise_signal(number)
        return begun[-1]

    def first_use(pool):
        monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", interrupted)
        pool.submit(os.getpid)

    with pytest.raises(KeyboardInterrupt), termination_as_interrupt(), process_pool(1) as pool:
        first_use(pool)
    until = time.monotonic() + SECONDS
    while multiprocessing.active_children() and time.monotonic() < until:
        time.sleep(0.05)
    with pytest.raises(ChildProcessError):  # ended, and waited for
        os.waitpid(begun[0], os.WNOHANG)
    assert capfd.readouterr().err == ""


@POSIX
def test_a_pool_that_hears_of_its_childs_end_before_its_tasks_are_removed_prints_nothing(monkeypatch, capfd):
    def late(pool, **how):
        (child,) = multiprocessing.active_children()
        child.kill()
        child.join()
        time.sleep(0.3)  # the pool's thread wakes, and finds a task that is cancelled

    with pytest.raises(KeyboardInterrupt), process_pool(1) as pool:
        assert pool.submit(os.getpid).result(timeout=60)
        [pool.submit(time.sleep, 60) for _ in range(4)][-1].cancel()
        monkeypatch.setattr(ProcessPoolExecutor, "shutdown", late)
        raise KeyboardInterrupt
    assert capfd.readouterr().err == ""


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("after", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_a_simulation_that_is_stopped_while_its_workers_start_says_one_line(start_simulating, after):
    process = start_simulating(3)  # itself, the resource tracker, the first worker
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    assert is_gone(process)
    assert process.wait() == 130
    said = [line for line in process.stderr.read().splitlines() if not line.startswith("patients ")]
    assert said == ["bonescan: stopped; what was finished is complete, and nothing is half written."]
