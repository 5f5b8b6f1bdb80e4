"""The arms of `benchmarks/adapt.py`: ways to learn, patients of the department, the configuration of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from torch import nn

from bonescan.adapt.insertion import InsertionConfig
from bonescan.adapt.plan import training_config
from bonescan.adapt.scans import LearnedScan, ReadScan, learned_scan
from bonescan.adapt.settings import AdaptConfig, AdaptRequest
from bonescan.bundle import Bundle
from bonescan.phantom import make_anatomy, make_patient
from bonescan.phantom.family import HELD_OUT
from bonescan.phantom.patient import Phantom
from bonescan.train.cases import Case, find_facts, pair_counts, pair_labels, pair_truth
from bonescan.train.config import TrainConfig
from bonescan.train.export import network_values

FIRST_LEARNED, FIRST_TESTED = 700_000, 750_000


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to learn. normals, unlabelled, labelled: scans of each kind. diseased: share among the normals.

    published: the unlabelled scans have the unsupervised term of Lin et al. 2022 and no teacher.
    """

    name: str
    normals: int = 0
    unlabelled: int = 0
    labelled: int = 0
    diseased: float = 0.0
    published: bool = False
    learns: bool = True
    config: AdaptConfig = field(default_factory=AdaptConfig)

    def same_as(self, other: Arm) -> bool:
        """Whether both are one arm under two names."""
        return replace(other, name=self.name) == self

    def learns_as(self, other: Arm) -> bool:
        """Whether both differ at most in their names and the share of the base's weights, which is mixed in at last."""
        share = self.config.base_share
        return replace(other, name=self.name, config=replace(other.config, base_share=share)) == self


def arms() -> list[Arm]:
    """The declared arms: the comparison first, then what each choice is worth, in short runs."""
    standard, short = AdaptConfig(), AdaptConfig(steps=150)
    compared = [Arm("shipped", learns=False), *(Arm(f"adapted-{number}", normals=number) for number in (5, 10, 20, 50))]
    compared += [Arm(f"supervised-{number}", labelled=number) for number in (1, 2, 5, 10)]
    compared += [Arm("teacher-20", unlabelled=20), Arm("adapted-10-unlabelled-20", normals=10, unlabelled=20)]
    # The teacher is sure of no pixel.
    unsure = replace(standard, sure_lesion=2.0, sure_background=-1.0)
    compared += [Arm("published-20", unlabelled=20, published=True, config=unsure)]
    compared += [Arm(f"diseased-{share:.0%}"[:-1], normals=20, diseased=share) for share in (0.0, 0.05, 0.2)]
    compared += [Arm("phantoms-alone")]
    choices = [
        Arm(f"choice-share-{share:.0%}"[:-1], 10, config=replace(short, scan_share=share))
        for share in (0.25, 0.5, 0.75)
    ]
    choices += [Arm(f"choice-steps-{steps}", 10, config=replace(standard, steps=steps)) for steps in (50, 150, 800)]
    choices += [
        Arm(f"choice-base-{share:.0%}"[:-1], 10, config=replace(standard, base_share=share)) for share in (0.0, 0.25)
    ]
    anywhere, by_area = InsertionConfig(by_region=False), InsertionConfig(heat=0.0)
    choices += [Arm("choice-anywhere", 10, config=replace(short, lesions=anywhere))]
    choices += [Arm("choice-by-area", 10, config=replace(short, lesions=by_area))]
    return compared + choices


def department(first: int, number: int, diseased: bool | None) -> list[Phantom]:
    """Patients of the department, each of an anatomy of its own. diseased: None = as they come."""
    found: list[Phantom] = []
    seed = first
    while len(found) < number:
        phantom = patient_of(seed, diseased)
        found += [] if phantom is None else [phantom]
        seed += 1
    return found


@lru_cache(maxsize=300)
def patient_of(seed: int, diseased: bool | None) -> Phantom | None:
    """The first of eight patients of an anatomy who is as asked for; kept, as many cells share them."""
    anatomy = make_anatomy(seed, HELD_OUT)
    phantoms = (make_patient(anatomy, patient) for patient in range(8))
    return next((one for one in phantoms if diseased is None or bool(one.table) == diseased), None)


def as_learned(
    phantoms: Sequence[Phantom], network: nn.Module, config: TrainConfig, first: int = 1
) -> list[LearnedScan]:
    """The scans alone: nothing of the truth goes along."""
    read = [
        ReadScan(number, phantom.key, phantom.study, phantom.key, phantom.key)
        for number, phantom in enumerate(phantoms, start=first)
    ]
    return [learned_scan(scan, network, config) for scan in read]


def labelled_case(phantom: Phantom, config: TrainConfig) -> Case:
    """A patient with all of the truth: what a labelled scan would teach, and what a test compares with."""
    shape = phantom.study.shape
    counts = pair_counts(phantom.study)
    lesions = pair_truth(phantom.lesions, phantom.faint, shape)
    facts = find_facts(phantom.key, phantom.key, counts, lesions, config.normalisation)
    return Case(counts, lesions, pair_labels(phantom.regions, shape), facts)


def configs_of(
    name: str, config: AdaptConfig, base: Bundle, network: nn.Module, work: Path
) -> tuple[AdaptConfig, TrainConfig]:
    """The configurations of one run, whose checkpoint is in the folder of that name; all share simulated patients."""
    request = AdaptRequest((), work / name, base.folder, phantoms=work / "phantoms")
    return config, training_config(base, network_values(network), request, config, name)


def cell_configs(arm: Arm, seed: int, base: Bundle, network: nn.Module, work: Path) -> tuple[AdaptConfig, TrainConfig]:
    """The configurations of one cell. Cells that differ only in the share of the base continue one checkpoint."""
    name = next(one.name for one in [*arms(), arm] if arm.learns_as(one))
    return configs_of(f"{name}-{seed}", replace(arm.config, seed=seed), base, network, work)
