"""Simulated patients on disk: one folder per anatomy, memory-mapped when read. Imports no torch.

The key of a cache contains everything that its patients depend on, so a configuration never reads patients of another.
An interrupted simulation continues with the missing anatomies.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bonescan import phantom
from bonescan.errors import OptionError
from bonescan.prepare import Normalisation
from bonescan.system.files import remove_left, temporary_for
from bonescan.system.fingerprint import source_digest
from bonescan.system.parallel import process_pool
from bonescan.train.cases import (
    FIRST_SOURCES,
    Case,
    CaseFacts,
    CaseList,
    Split,
    draw_counts,
    find_facts,
    pair_expected,
    pair_labels,
    pair_truth,
)
from bonescan.train.config import PhantomConfig

if TYPE_CHECKING:
    from bonescan.phantom.patient import Phantom

SimulationProgress = Callable[[int, int], None]
"""Called with the anatomies that are done, and all of them."""

_FORMAT = 3
_PLANES = ("expected", "lesions", "regions", "benign", "levels")
_VALIDATION_SEEDS = 500_000
_NICENESS = 10


@dataclass(frozen=True, slots=True)
class Shard:
    """One anatomy of the cache: its folder, its seed and the number of its patients."""

    folder: Path
    anatomy_seed: int
    patients: int
    normalisation: Normalisation

    @property
    def group(self) -> str:
        """The name of the group: a group is never both in training and in validation."""
        return f"anatomy-{self.anatomy_seed}"


class Simulation:
    """A process of low priority that simulates anatomies one by one in the background.

    A context manager. When it ends, anatomies that have not begun are dropped; after an exception the one that is being
    simulated is dropped, too.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._coming: dict[Path, Future[None]] = {}

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def begin(self, shards: Sequence[Shard]) -> None:
        """Simulate the missing shards, in this order."""
        missing = [shard for shard in shards if not shard.folder.exists()]
        if missing:
            pool = self._stack.enter_context(process_pool(1, niceness=_NICENESS))
            self._coming |= {shard.folder: pool.submit(write_shard, shard) for shard in missing}

    def wait_for(self, shard: Shard) -> None:
        """Return when the shard exists; raises what its simulation raised."""
        if not shard.folder.exists() and shard.folder in self._coming:
            self._coming[shard.folder].result()


@dataclass(frozen=True, slots=True, eq=False)
class ShardSource:
    """The cases of one shard, read on demand, after waiting for their simulation."""

    shard: Shard
    simulation: Simulation | None = None

    def __len__(self) -> int:
        return self.shard.patients

    @property
    def groups(self) -> frozenset[str]:
        """The anatomy."""
        return frozenset({self.shard.group})

    def load(self) -> list[Case]:
        """Read the cases, memory-mapped."""
        if self.simulation is not None:
            self.simulation.wait_for(self.shard)
        return read_shard(self.shard)


def phantom_split(
    config: PhantomConfig,
    normalisation: Normalisation,
    progress: SimulationProgress,
    simulation: Simulation | None = None,
) -> Split:
    """Simulate what the cache lacks, and return its cases; validation has its own anatomies.

    With a simulation and `first_anatomies`, it simulates the other anatomies, and reading a case waits for it.
    The split's lists are `CaseList`s of one source per anatomy.
    """
    training, validation = training_shards(config, normalisation), validation_shards(config, normalisation)
    now = training + validation
    if simulation is not None and 0 < config.first_anatomies < config.anatomies:
        now, later = in_order(training, validation, config.first_anatomies)
        simulate_shards(now, config.processes, progress)
        simulation.begin(later)
    else:
        simulate_shards(now, config.processes, progress)
    sources = [[ShardSource(shard, simulation) for shard in part] for part in (training, validation)]
    return Split(CaseList(sources[0]), CaseList(sources[1]))


def in_order(training: Sequence[Shard], validation: Sequence[Shard], first: int) -> tuple[list[Shard], list[Shard]]:
    """The shards that are simulated before the training begins, and the others in the order of their simulation.

    In the others, validation anatomies are spread evenly among training anatomies, so thresholds can be fitted early.
    """
    now = [*training[:first], *validation[:FIRST_SOURCES]]
    parts = (training[first:], validation[FIRST_SOURCES:])
    placed = [((number + 0.5) / len(part), shard) for part in parts for number, shard in enumerate(part)]
    return now, [shard for _, shard in sorted(placed, key=lambda entry: entry[0])]


def simulate_shards(shards: Sequence[Shard], processes: int, progress: SimulationProgress) -> None:
    """Simulate the missing shards, in `processes` processes."""
    missing = [shard for shard in shards if not shard.folder.exists()]
    done = len(shards) - len(missing)
    if not missing:
        return
    progress(done, len(shards))
    if processes <= 1:
        for shard in missing:
            write_shard(shard)
            progress(done := done + 1, len(shards))
        return
    with process_pool(processes) as pool:
        for task in as_completed([pool.submit(write_shard, shard) for shard in missing]):
            task.result()
            progress(done := done + 1, len(shards))


def write_shard(shard: Shard) -> None:
    """Simulate one anatomy's patients; the folder appears under its name when it is complete."""
    anatomy = phantom.make_anatomy(shard.anatomy_seed)
    planes: dict[str, list[NDArray[Any]]] = {name: [] for name in _PLANES}
    facts = []
    for number in range(shard.patients):
        patient = phantom.make_patient(anatomy, patient_seed(shard.anatomy_seed, number))
        own = patient_planes(patient)
        # References are taken from counts, as for a scan: noise raises a high percentile a little.
        counts = draw_counts(own["expected"], patient.key)
        found = find_facts(patient.key, shard.group, counts, own["lesions"], shard.normalisation, own["benign"])
        own["benign"] = (own["benign"] > 0).astype(np.uint8)
        for name, plane in own.items():
            planes[name].append(plane)
        facts.append(found)
    remove_left(shard.folder)
    temporary = temporary_for(shard.folder)
    temporary.mkdir(parents=True)
    for name, arrays in planes.items():
        np.save(temporary / f"{name}.npy", np.stack(arrays))
    (temporary / "facts.json").write_text(json.dumps([asdict(entry) for entry in facts]), encoding="utf-8")
    try:
        temporary.rename(shard.folder)
    except OSError:  # another process was faster
        shutil.rmtree(temporary)


def patient_planes(patient: Phantom) -> dict[str, NDArray[Any]]:
    """The stored planes of a phantom, each (2, rows, cols); benign findings by number."""
    shape = patient.study.shape
    return {
        "expected": pair_expected(patient.expected, shape),
        "lesions": pair_truth(patient.lesions, patient.faint, shape),
        "regions": pair_labels(patient.regions, shape),
        "benign": pair_labels(patient.benign, shape),
        "levels": pair_labels(patient.levels, shape),
    }


def read_shard(shard: Shard) -> list[Case]:
    """The cases of one anatomy, memory-mapped."""
    if not shard.folder.exists():
        raise OptionError(f"the {shard.group} is not simulated yet: start the training again")
    planes = {name: np.load(shard.folder / f"{name}.npy", mmap_mode="r") for name in _PLANES}
    entries = json.loads((shard.folder / "facts.json").read_text(encoding="utf-8"))
    return [
        Case(
            image=planes["expected"][number],
            lesions=planes["lesions"][number],
            regions=planes["regions"][number],
            facts=CaseFacts.from_dict(entry),
            benign=planes["benign"][number],
            levels=planes["levels"][number],
        )
        for number, entry in enumerate(entries)
    ]


def patient_seed(anatomy_seed: int, number: int) -> int:
    """The seed of an anatomy's patient."""
    return int(np.random.SeedSequence([anatomy_seed, number]).generate_state(1)[0])


def training_shards(config: PhantomConfig, normalisation: Normalisation) -> list[Shard]:
    """The training anatomies, in the order in which they are added."""
    seeds = range(config.first_seed, config.first_seed + config.anatomies)
    return [_shard(config, seed, config.patients_per_anatomy, normalisation) for seed in seeds]


def validation_shards(config: PhantomConfig, normalisation: Normalisation) -> list[Shard]:
    """The validation anatomies."""
    first = config.first_seed + _VALIDATION_SEEDS
    seeds = range(first, first + config.validation_anatomies)
    return [_shard(config, seed, config.validation_patients_per_anatomy, normalisation) for seed in seeds]


def _shard(config: PhantomConfig, seed: int, patients: int, normalisation: Normalisation) -> Shard:
    # Configurations that need the same anatomy share it.
    key = {
        "format": _FORMAT,
        "phantom": simulation_digest(),
        "patients": patients,
        "normalisation": normalisation.to_dict(),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
    return Shard(Path(config.cache) / digest / f"anatomy-{seed}", seed, patients, normalisation)


@cache
def simulation_digest() -> str:
    """A hash of the simulation's own source: a changed simulation makes other patients from the same seeds."""
    folder = Path(phantom.__file__).parent
    apart = {folder / name for name in ("__init__.py", "cohort.py", "readers.py", "realism.py", "series.py")}
    return source_digest(set(folder.rglob("*.py")) - apart, folder)
