"""nnU-Net by its own package, on the same pairs: Table 6 of Lin et al. 2022. Imports no torch.

Isensee F. et al., nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation, Nature
Methods 18, 203-211 (2021). The package `nnunetv2` lives in an environment of its own, which `make nnunet` makes;
`nnunet_program.py` runs there, step by step, and this module talks to it by files. A work folder goes on where it
stopped: step by step, and within the training epoch by epoch.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.errors import OptionError, OutputError
from bonescan.lin2022.datasets import DataSet, Origin, PairRecord, SetName, Subset, read_dataset
from bonescan.lin2022.experiments.nnunet_raw import (
    NnunetInput,
    RawPicture,
    masks_of,
    pictures_of,
    write_test,
    write_training,
)
from bonescan.lin2022.experiments.results import held, write_text
from bonescan.study import Mask

Report = Callable[[str], None]
"""Takes one line on what is done."""

PROGRAM = Path(__file__).with_name("nnunet_program.py")
DATASET = "Dataset001_bonescan"
STEPS = ("plan", "train", "predict")
_SAID = "bonescan: "
_MADE_FOR = "made-for.json"


@dataclass(frozen=True, slots=True)
class NnunetOptions:
    """How nnU-Net is used; the defaults are its own.

    epochs: of `iterations` steps each. inputs: single views, or pairs as two channels. memory_gb: the GPU memory that
    it plans the batch for. device: "cpu" or "cuda". threads: of torch, on a CPU. workers: processes that augment, 0:
    none beside. seed: of everything that it draws; nnU-Net itself has none. images: the set that it learns from.
    environment: what `make nnunet` made.
    """

    epochs: int = 1000
    iterations: int = 250
    inputs: NnunetInput = NnunetInput.VIEWS
    memory_gb: float = 8.0
    device: str = "cpu"
    threads: int = 1
    workers: int = 0
    seed: int = 0
    images: SetName = "D2"
    environment: Path = Path(".venv-nnunet")

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", NnunetInput(self.inputs))
        least = {"epochs": 1, "iterations": 1, "threads": 1, "workers": 0, "seed": 0}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise OptionError(f"nnU-Net's {name} are {getattr(self, name)}: give {limit} or more")
        if not self.memory_gb > 0:
            raise OptionError(f"nnU-Net cannot be planned for {self.memory_gb} GB: give a number above 0")
        if self.device not in ("cpu", "cuda"):
            raise OptionError(f"nnU-Net's device is {self.device!r}: give cpu or cuda")
        if self.images not in ("D1", "D2"):
            raise OptionError(f"nnU-Net cannot learn from {self.images}: give D1 or D2, where every pair has labels")

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.environment.absolute() / "bin" / "python"


@dataclass(frozen=True, slots=True, eq=False)
class NnunetOutcome:
    """What nnU-Net made of the original test pairs.

    masks: (2, 256, 256) by study, in the common orientation. seconds_training: of all epochs, planning and
    preprocessing apart. seconds_test_per_image: median over pictures, its own preprocessing included.
    parameters: weights of its network. note: its version and what it planned, for a reader of the table.
    """

    masks: Mapping[str, Mask]
    seconds_training: float
    seconds_test_per_image: float
    parameters: int
    note: str


def run_nnunet(
    dataset: Path, labelled: Sequence[str], options: NnunetOptions, work: Path, report: Report
) -> NnunetOutcome:
    """Plan, train and test nnU-Net, or go on where it stopped.

    dataset: a folder that `bonescan dataset` wrote. labelled: the patients whose training pairs it learns from. work:
    its folder, kept between calls. report: takes a line now and then. Raises OptionError without the environment or
    without a labelled pair, OutputError when the folder is in use or holds another run, or nnU-Net fails.
    """
    if not options.python.is_file():
        raise OptionError(f"there is no nnU-Net environment {options.environment}: run make nnunet")
    source = read_dataset(dataset, options.images)
    training = [record for record in source.of(Subset.TRAIN) if record.patient in set(labelled)]
    tested = [record for record in source.of(Subset.TEST) if record.origin is Origin.ORIGINAL]
    if not training:
        raise OptionError(f"{dataset} has no training pair of the {len(labelled)} labelled patients: name others")
    with held(work / ".lock", wait=False) as alone:
        if not alone:
            raise OutputError(f"{work} is in use by another run: wait for it, or choose another folder")
        _refuse_another_run(work, _statement(source, training, options))
        made = {step: _left(work, step) for step in STEPS}
        for step in STEPS:
            if not made[step]:
                report(f"nnU-Net: {step}")
                _write_pictures(source, training, tested, options, work)
                _write_order(work, options)
                _run_step(step, work, options, report)
                made[step] = _left(work, step)
        # Every picture that nnU-Net has preprocessed is kept twice, and nothing of it is asked for again.
        for spent in ("raw", "preprocessed"):
            shutil.rmtree(work / spent, ignore_errors=True)
        return _outcome(source, tested, options, work, made)


def _statement(source: DataSet, training: Sequence[PairRecord], options: NnunetOptions) -> dict[str, Any]:
    """What the result follows from."""
    stated = asdict(options)
    for name in ("threads", "workers", "environment"):
        del stated[name]
    return stated | {"dataset": source.digest, "patients": sorted({record.patient for record in training})}


def _refuse_another_run(work: Path, statement: Mapping[str, Any]) -> None:
    file, stated = work / _MADE_FOR, json.dumps(statement, indent=2) + "\n"
    if file.exists():
        if file.read_text(encoding="utf-8") != stated:
            raise OutputError(f"{work} holds an nnU-Net run with other images or options: choose an empty folder")
        return
    write_text(file, stated)


def _write_pictures(
    source: DataSet,
    training: Sequence[PairRecord],
    tested: Sequence[PairRecord],
    options: NnunetOptions,
    work: Path,
) -> None:
    """Write the pictures that are not there yet."""
    if not (work / "raw" / DATASET).exists() and not _left(work, "train"):
        written = write_training(work / "raw" / DATASET, _pictures(source, training, options.inputs), options.inputs)
        if not written:
            raise OptionError(f"the {len(training)} training pairs have no view with counts and labels: name others")
    if not (work / "images").exists():
        numbered = enumerate(tested)
        write_test(
            work / "images",
            (picture for n, record in numbered for picture in pictures_of(n, source.load(record), options.inputs)),
        )


def _pictures(source: DataSet, records: Sequence[PairRecord], inputs: NnunetInput) -> Iterator[RawPicture]:
    """Training pictures; a view without labels is none, and nor is a pair with such a view."""
    for number, record in enumerate(records):
        known = tuple(there and seen for there, seen in zip(record.present, record.labelled, strict=True))
        pair = source.load(record)
        if inputs is NnunetInput.VIEWS:
            yield from pictures_of(number, pair._replace(present=(known[0], known[1])), inputs)
        elif known == record.present:
            yield from pictures_of(number, pair, inputs)


def _write_order(work: Path, options: NnunetOptions) -> None:
    here = work.absolute()
    wanted = ("epochs", "iterations", "memory_gb", "device", "threads", "seed")
    order = {name: getattr(options, name) for name in wanted}
    order |= {folder: str(here / folder) for folder in ("preprocessed", "results", "images", "predicted")}
    write_text(work / "order.json", json.dumps(order, indent=2) + "\n")


def _run_step(step: str, work: Path, options: NnunetOptions, report: Report) -> None:
    """Run one step in nnU-Net's environment; what it prints goes to `log.txt`, and its news to `report`.

    The child ends when its standard input does, so that none is left behind, however this process ends.
    """
    command = [str(options.python), "-I", str(PROGRAM), step, str(work.absolute() / "order.json")]
    last = ""
    with (work / "log.txt").open("a", encoding="utf-8") as log:
        with subprocess.Popen(
            command,
            env=_child_environment(step, work.absolute(), options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                log.write(line)
                last = line.strip() or last
                if line.startswith(_SAID):
                    report(f"nnU-Net: {line.removeprefix(_SAID).strip()}")
        code = child.returncode
    if code or not _left(work, step):
        raise OutputError(f"nnU-Net's step {step} ended with code {code} ({last}): read {work / 'log.txt'}")


def _child_environment(step: str, work: Path, options: NnunetOptions) -> dict[str, str]:
    """The environment of one step: the caller's, but nothing in it that nnU-Net would take for a setting."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(options.threads))
    return {
        **ours,
        **threads,
        "nnUNet_raw": str(work / "raw"),
        "nnUNet_preprocessed": str(work / "preprocessed"),
        "nnUNet_results": str(work / "results"),
        # The planner takes this number for torch's threads, of which there must be one.
        "nnUNet_n_proc_DA": str(max(1, options.workers) if step == "plan" else options.workers),
        "nnUNet_def_n_proc": "1",
        # It would need a C compiler.
        "nnUNet_compile": "f",
        "MPLBACKEND": "Agg",
    }


def _outcome(
    source: DataSet,
    tested: Sequence[PairRecord],
    options: NnunetOptions,
    work: Path,
    made: Mapping[str, Mapping[str, Any]],
) -> NnunetOutcome:
    labels = {path.stem: np.load(path, allow_pickle=False) for path in sorted((work / "predicted").glob("*.npy"))}
    masks = {}
    for number, record in enumerate(tested):
        shape = source.load(record).counts.shape
        masks[record.study] = masks_of(number, labels, options.inputs, (shape[1], shape[2]))
    plan, train = made["plan"], made["train"]
    patch = " x ".join(str(edge) for edge in plan["patch"])
    note = (
        f"nnunetv2 {plan['version']}, {options.inputs}, {options.epochs} x {options.iterations} steps, "
        f"batch {plan['batch']}, patch {patch}, {options.device}"
    )
    return NnunetOutcome(
        masks, float(train["seconds"]), float(made["predict"]["seconds_per_image"]), int(train["parameters"]), note
    )


def _left(work: Path, step: str) -> dict[str, Any]:
    """What a step left when it was done; nothing before."""
    file = work / f"{step}.json"
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return read
