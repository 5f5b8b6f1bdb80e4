"""Simulated patients on disk: one folder an anatomy, memory-mapped when read. Imports no torch.

A cache is keyed by everything that its patients follow from, so that another configuration never meets
a stale one; an interrupted simulation goes on with the anatomies that are missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from bonescan.fingerprint import source_digest
from bonescan.parallel import process_pool
from bonescan.prepare import Normalisation
from bonescan.train.cases import Case, CaseFacts, Split, find_facts, pair_counts, pair_labels, pair_truth
from bonescan.train.config import PhantomConfig

SimulationProgress = Callable[[int, int], None]
"""Called with the anatomies that are done, and all of them."""

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Shard:
    """One anatomy of the cache: its seed, the number of its patients, and where they lie."""

    folder: Path
    anatomy_seed: int
    patients: int
    normalisation: Normalisation


def phantom_split(config: PhantomConfig, normalisation: Normalisation, progress: SimulationProgress) -> Split:
    """Simulate what the cache lacks, and return its cases; validation has its own anatomies."""
    total = config.anatomies + config.validation_anatomies
    shards = [_shard(config, number, normalisation) for number in range(total)]
    simulate_shards(shards, config.processes, progress)
    cases = [read_shard(shard) for shard in shards]
    training = [case for shard in cases[: config.anatomies] for case in shard]
    return Split(training, [case for shard in cases[config.anatomies :] for case in shard])


def simulate_shards(shards: list[Shard], processes: int, progress: SimulationProgress) -> None:
    """Simulate the shards that are not there yet, in `processes` processes."""
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
    from bonescan import phantom

    anatomy = phantom.make_anatomy(shard.anatomy_seed)
    counts, lesions, regions, facts = [], [], [], []
    for number in range(shard.patients):
        patient = phantom.make_patient(anatomy, patient_seed(shard.anatomy_seed, number))
        shape = patient.study.shape
        counts.append(pair_counts(patient.study))
        lesions.append(pair_truth(patient.lesions, patient.faint, shape))
        regions.append(pair_labels(patient.regions, shape))
        facts.append(
            find_facts(patient.key, f"anatomy-{shard.anatomy_seed}", counts[-1], lesions[-1], shard.normalisation)
        )
    temporary = shard.folder.with_name(f".{shard.folder.name}.{os.getpid()}")
    temporary.mkdir(parents=True, exist_ok=True)
    for name, arrays in (("counts", counts), ("lesions", lesions), ("regions", regions)):
        np.save(temporary / f"{name}.npy", np.stack(arrays))
    (temporary / "facts.json").write_text(json.dumps([asdict(entry) for entry in facts]), encoding="utf-8")
    try:
        temporary.rename(shard.folder)
    except OSError:  # another process was faster
        shutil.rmtree(temporary)


def read_shard(shard: Shard) -> list[Case]:
    """The cases of one anatomy, memory-mapped."""
    counts, lesions, regions = (
        np.load(shard.folder / f"{name}.npy", mmap_mode="r") for name in ("counts", "lesions", "regions")
    )
    entries = json.loads((shard.folder / "facts.json").read_text(encoding="utf-8"))
    return [
        Case(counts[number], lesions[number], regions[number], CaseFacts.from_dict(entry))
        for number, entry in enumerate(entries)
    ]


def patient_seed(anatomy_seed: int, number: int) -> int:
    """The seed of an anatomy's patient."""
    return int(np.random.SeedSequence([anatomy_seed, number]).generate_state(1)[0])


def _shard(config: PhantomConfig, number: int, normalisation: Normalisation) -> Shard:

    validation = number >= config.anatomies
    patients = config.validation_patients_per_anatomy if validation else config.patients_per_anatomy
    seed = config.first_seed + (500_000 + number - config.anatomies if validation else number)
    # A finished anatomy serves every configuration that asks for the same one.
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
    from bonescan import phantom

    folder = Path(phantom.__file__).parent
    apart = {folder / name for name in ("__init__.py", "cohort.py", "readers.py", "realism.py")}
    return source_digest(set(folder.rglob("*.py")) - apart, folder)
