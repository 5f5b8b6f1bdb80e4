"""What a data set is built from, and how it is divided."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bonescan.annotate.consensus import FEWEST_READERS, TOLERANCE
from bonescan.errors import OptionError
from bonescan.lin2022.datasets.moves import MoveLimits
from bonescan.phantom.readers import MOST_READERS

PAPER_PATIENTS, PAPER_IMAGES = 56, 2280
"""The size of the published data set: D1 has two images a patient."""

MOST_PATIENTS = 2_000
"""More are taken for a mistake: so many take ten hours of computing, and 300 GB at twenty copies each."""


class Protocol(StrEnum):
    """How pairs are divided into training and test."""

    BY_PATIENT = "by-patient"
    """Patients are divided before augmenting; only original pairs are tested on. Results should come from this one."""

    LEAKY = "leaky"
    """All pairs, augmented ones too, are shuffled and divided: copies of one patient are on both sides. Only for
    measuring the effect of that."""


@dataclass(frozen=True, slots=True)
class PatientOptions:
    """Which patients: simulated ones, or those of a cohort folder.

    count: patients with a thoracic lesion; None: 56 simulated, or all of the cohort.
    cohort: a folder <patient>/<study>/ with scans and truth; None: simulate.
    keep_lesion_free: also take patients of the cohort without a lesion in the thoracic window.
    """

    count: int | None = None
    cohort: Path | None = None
    keep_lesion_free: bool = False

    def __post_init__(self) -> None:
        if self.count is not None and not 2 <= self.count <= MOST_PATIENTS:
            raise OptionError(
                f"{self.count} patients cannot be divided into training and test: give 2 to {MOST_PATIENTS}"
            )
        if self.keep_lesion_free and self.cohort is None:
            raise OptionError("lesion-free patients are kept of a cohort, and none is stated: give --cohort")


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """protocol: see `Protocol`. test_share: of the patients, or of the pairs where the protocol is leaky; 0..1."""

    protocol: Protocol = Protocol.BY_PATIENT
    test_share: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.test_share < 1:
            raise OptionError(f"the test share is {self.test_share}: give a number between 0 and 1, as 0.3")


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """Training labels by consensus of several readers; test labels stay the truth.

    count: simulated readers; a cohort has its own. tolerance: the area difference up to which a lesion is accepted,
    0..1 (Eq. 2 of Lin et al. 2022; with the paper's 0.05 nearly everything returns to the readers).
    """

    count: int = 3
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if not FEWEST_READERS <= self.count <= MOST_READERS:
            raise OptionError(
                f"a consensus of {self.count} readers cannot be had: give {FEWEST_READERS} to {MOST_READERS}"
            )
        if not 0 <= self.tolerance <= 1:
            raise OptionError(f"the tolerance is {self.tolerance}: give an area difference from 0 to 1")


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """How to build a data set; the same options give the same bytes.

    seed: of patients, split and augmentation. images: of D2, and of D3 where there are GAN samples; even.
    readers: their consensus labels the training pairs; None: the truth does.
    gan: a folder that `bonescan gan sample` wrote; None: no D3 and D4.
    """

    seed: int
    images: int = PAPER_IMAGES
    patients: PatientOptions = field(default_factory=PatientOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    moves: MoveLimits = field(default_factory=MoveLimits)
    readers: ReaderOptions | None = None
    gan: Path | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise OptionError(f"the seed is {self.seed}: give 0 or more")
        if self.images < 2 or self.images % 2:
            raise OptionError(f"{self.images} images are no pairs of two views: give an even number")
