"""What all tests share."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# The same examples on every machine and in every run: a failure is the code's, not the draw's.
settings.register_profile("bonescan", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bonescan")

GUARD = Path(__file__).with_name("guard")
# Every Python process that a test starts finds the guard first; this one loads it here.
os.environ["PYTHONPATH"] = os.pathsep.join(
    part for part in (str(GUARD), os.environ.get("PYTHONPATH", "").replace(f"{GUARD}{os.pathsep}", "")) if part
)
if "BONESCAN_TEST_VIOLATIONS" not in os.environ:
    os.environ["BONESCAN_TEST_VIOLATIONS"] = str(Path(tempfile.mkdtemp(prefix="bonescan-")) / "violations")
sys.path.append(str(GUARD))  # the process that reads strangers' files gets our search path
runpy.run_path(str(GUARD / "sitecustomize.py"))
# Tests start some two hundred Python processes: each would compile our sources anew where the environment forbids to
# keep the bytecode.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every worker begin with what is slow: else one ends with it while the others have nothing left to do.

    At first each worker gets as many tests as another, one stretch of the list each; who is done takes from the end of
    another's. So each stretch begins with its share of the slow tests; those of one file stay together, as they share
    what is made for them.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow: list[list[pytest.Item]] = [[] for _ in range(workers)]
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("slow"):
            files.setdefault(item.path, []).append(item)
    for own in sorted(files.values(), key=len, reverse=True):
        min(slow, key=len).extend(own)
    others = [item for item in items if not item.get_closest_marker("slow")]
    ordered: list[pytest.Item] = []
    for number, first in enumerate(slow):
        size = (len(items) - len(ordered)) // (workers - number)
        ordered += first
        taken = max(0, size - len(first))
        ordered += others[:taken]
        del others[:taken]
    items[:] = ordered + others


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run where anything tried to leave this machine, also where nobody noticed."""
    place = Path(os.environ["BONESCAN_TEST_VIOLATIONS"])
    if place.exists() and not hasattr(session.config, "workerinput"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write(f"\nconnections to other machines were tried:\n{place.read_text()}")


Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def run_child(*arguments: object, cwd: Path | None = None, shadow: Path | None = None):
    """Run `bonescan ARGUMENTS` as a child process."""
    searched = [str(shadow)] if shadow else []
    searched += [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "bonescan", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100", "PYTHONPATH": os.pathsep.join(searched)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def run_here(*arguments: object, cwd: Path | None = None, shadow: Path | None = None):
    """Run `bonescan ARGUMENTS` in this process."""
    if shadow is not None:
        return run_child(*arguments, cwd=cwd, shadow=shadow)
    from bonescan.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        contextlib.chdir(cwd or Path()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
        Path(os.devnull).open() as nothing,
    ):
        patch.setenv("COLUMNS", "100")
        patch.setattr(sys, "stdin", nothing)
        try:
            code = main([str(one) for one in arguments])
        except SystemExit as stopped:  # argparse, after --help or a wrong option
            code = stopped.code
    said = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(arguments, code, *said)


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run `bonescan ARGUMENTS` as a child process in `cwd`, with warnings as errors; no input, both streams as text.

    shadow: a folder whose modules are found before those that are installed.
    """
    return run_child


@pytest.fixture(scope="session")
def in_process() -> Cli:
    """Run `bonescan ARGUMENTS` in this process: as `cli`, without the imports of a new process at each call.

    For tests of what a command does; that it does so when a shell starts it, `cli` and the documentation's pages show.
    With `shadow` it is a child process, since this one has imported the modules already.
    """
    return run_here


@pytest.fixture(scope="session")
def forked() -> Cli:
    """As `cli`, in a fork of a process that has done a node's imports: for commands of a node that need a process."""
    from tests.warm import run_forked

    return run_forked


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Make something slow once a run: made_once(name, make); other workers of the run read what the first one made."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def once(name, make):
        made = folder / f"{name}.pickle"
        with held(folder / f"{name}.lock"):
            if not made.exists():
                made.write_bytes(pickle.dumps(make()))
        return pickle.loads(made.read_bytes())

    return once


@contextlib.contextmanager
def held(lock):
    """Keep other processes out, where the system can."""
    with lock.open("wb") as file:
        with contextlib.suppress(ModuleNotFoundError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def bodies(made_once):
    """Two bodies of phantoms, which take a while to make: those of the seeds 1 and 2."""
    from bonescan.phantom import make_anatomy

    return [made_once(f"body-{seed}", partial(make_anatomy, seed)) for seed in (1, 2)]


@pytest.fixture(scope="session")
def patient_of(bodies, made_once):
    """A simulated patient of one of the two bodies, which tests share and must not change: patient_of(body, seed)."""
    from bonescan.phantom import make_patient

    @cache
    def patient(body, seed):
        return made_once(f"patient-{body}-{seed}", lambda: make_patient(bodies[body], seed))

    return patient


@pytest.fixture(scope="session")
def sharing(bodies):
    """Within `with sharing():` patients simulated in this process share two bodies, and no other process is used.

    Each still has its own uptake, lesions and noise. Making a body takes ten times as long as making a patient of it.
    Other tests make bodies, and in other processes.
    """
    from bonescan.phantom.family import STANDARD

    def make(seed, family=STANDARD):
        assert family == STANDARD
        return replace(bodies[seed % len(bodies)], seed=seed)

    @contextlib.contextmanager
    def shared():
        with pytest.MonkeyPatch.context() as patch:
            for module in ("phantom", "phantom.cohort", "phantom.series", "lin2022.datasets.originals"):
                patch.setattr(f"bonescan.{module}.make_anatomy", make)
            for module in ("phantom.cohort", "lin2022.datasets.build"):
                patch.setattr(f"bonescan.{module}.process_pool", lambda processes: contextlib.nullcontext(PoolHere()))
            yield

    return shared


@pytest.fixture
def shared_anatomies(sharing):
    """Patients simulated in this process share two bodies."""
    with sharing():
        yield


class PoolHere:
    """In the place of a pool of processes; what passes to these and back is pickled all the same."""

    def map(self, work, orders):
        return (copied(work(copied(order))) for order in orders)


def copied(value):
    return pickle.loads(pickle.dumps(value))


@pytest.fixture(scope="session")
def threshold_bundle(tmp_path_factory) -> Path:
    """A bundle whose network is one that can be computed by hand: lesion = clip(counts - 2, 0, 1), region = sternum.

    `counts` are the normalised ones: 1 is the skeletal reference, so that whatever is some four times as hot and
    more is a lesion.
    """
    from onnx import TensorProto, helper, numpy_helper

    from bonescan.bundle import write_bundle
    from bonescan.lesions.delineate import Thresholds
    from bonescan.prepare import Normalisation
    from bonescan.study import REGIONS, Region

    shape = ["n", 2, "rows", "cols"]
    constants = {"two": 2.0, "zero": 0.0, "one": 1.0, "sternum": float(REGIONS.index(Region.STERNUM))}
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["counts", "two"], ["above"]),
            helper.make_node("Clip", ["above", "zero", "one"], ["lesion"]),
            helper.make_node("Mul", ["counts", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "sternum"], ["bone"]),
            helper.make_node("Cast", ["bone"], ["region"], to=TensorProto.UINT8),
        ],
        "threshold",
        [helper.make_tensor_value_info("counts", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("lesion", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("region", TensorProto.UINT8, shape),
        ],
        [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    description = {
        "name": "threshold",
        "network": {"name": "none", "config": {}},
        "normalisation": Normalisation().to_dict(),
        "thresholds": Thresholds(low=0.5, high=0.9, min_area_px=4).to_dict(),
    }
    files = {"model.onnx": model.SerializeToString(), "model.safetensors": b"", "card.md": b"# threshold\n"}
    return write_bundle(tmp_path_factory.mktemp("bundle") / "threshold", description, files).folder


@pytest.fixture(scope="session")
def rewritten():
    """Write a bundle again with another description: rewritten(bundle's folder, folder, files={}, region="thorax")."""
    from bonescan.bundle import Bundle, load_bundle, write_bundle

    def rewrite(given: Path, folder: Path, files: Mapping[str, bytes] | None = None, **changes: object) -> Bundle:
        bundle = load_bundle(given)
        kept = {name: bundle.read(name) for name in bundle.raw["files"]}
        return write_bundle(folder, {**bundle.raw, **changes}, kept | dict(files or {}))

    return rewrite


@pytest.fixture(scope="session")
def pointed_bundle(threshold_bundle, rewritten, tmp_path_factory) -> Path:
    """The threshold bundle with three operating points: a lesion's peak is 0.6, 0.9 or 0.98 at least."""
    points = {name: {"low": 0.5, "high": high} for name, high in (("sensitive", 0.6), ("specific", 0.98))}
    folder = tmp_path_factory.mktemp("bundle") / "threshold"
    return rewritten(threshold_bundle, folder, operating_points=points).folder


@pytest.fixture(scope="session")
def make_case() -> Callable[..., object]:
    """Make a training case, a bright ladder with hot lesions, quickly: make_case(seed, lesions=3, shape=(64, 32))."""
    from bonescan.prepare import Normalisation
    from bonescan.train.cases import Case, find_facts

    def make(seed: int, lesions: int = 3, shape: tuple[int, int] = (64, 32)) -> Case:
        rng = np.random.default_rng(seed)
        row, col = np.indices(shape)
        bone = (abs(col - shape[1] / 2) < 3) | ((row % 16 < 3) & (abs(col - shape[1] / 2) < shape[1] / 3))
        mean = np.broadcast_to(np.where(bone, 30.0, 6.0), (2, *shape)).copy()
        regions = np.broadcast_to(np.where(bone, 3, 0), (2, *shape)).astype(np.uint8)
        labels = np.zeros((2, *shape), dtype=np.uint8)
        for number in range(1, lesions + 1):
            where = rng.integers((4, shape[1] // 2 - 2), (shape[0] - 4, shape[1] // 2 + 3))
            near = np.hypot(row - where[0], col - where[1]) < 2.5
            view = int(rng.integers(2))
            mean[view][near], labels[view][near] = 150.0, number
        counts = rng.poisson(mean).astype(np.uint16)
        return Case(
            counts, labels, regions, find_facts(f"case-{seed}", f"group-{seed}", counts, labels, Normalisation())
        )

    return make
