"""What an adaptation may be told; `benchmarks/adapt.py` measures what the choices are worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bonescan.adapt.insertion import InsertionConfig
from bonescan.errors import OptionError

LEAST_PATIENTS = 5
"""Fewer are no sample of a department, and leave none to judge by."""


@dataclass(frozen=True, slots=True)
class AdaptConfig:
    """How a model learns from scans without labels."""

    seed: int = 1
    """Everything random follows from it."""

    steps: int = 400
    """Steps of the optimiser; fewer where `minutes` leaves no time for them."""

    minutes: float = 0.0
    """Most minutes for everything, by an estimate when it begins; 0 = no limit."""

    batch_rows: int = 1024
    """Rows of picture in a batch; a batch of crops of 512 rows has two samples, a scan's and a simulated patient's."""

    crop_rows: int = 512
    """Height of the crops, a multiple of 32."""

    crop_cols: int = 256
    """Width of the crops, a multiple of 32."""

    scan_share: float = 0.5
    """Share of a batch that shows scans; the rest shows simulated patients, so that nothing is forgotten."""

    lesions: InsertionConfig = field(default_factory=InsertionConfig)
    """What is inserted into scans without lesions."""

    learning_rate: float = 5e-4
    """Largest learning rate, after the warm-up; a quarter of that of a training from the start."""

    warmup_steps: int = 20
    """Steps of linear warm-up; a cosine to zero follows."""

    ema_decay: float = 0.98
    """Decay of the running average of the weights, which is what is judged and written."""

    threads: int = 2
    """Threads of torch; results are the same again only with the same number."""

    bf16: bool = True
    """Compute in bfloat16 while learning; weights, losses and judgements stay in float32."""

    checkpoint_every: int = 50
    """Steps between checkpoints."""

    looks: int = 3
    """How often, evenly over the steps, the scans are searched for foci that may be lesions after all."""

    suspect_probability: float = 0.7
    """What base model, updated model and updated model on the mirrored scan all state of such a focus, at least."""

    unlabelled_weight: float = 0.5
    """Weight of the loss on scans of unknown state against that on the others."""

    sure_lesion: float = 0.9
    """Probability from which the teacher's answer on them counts as lesion."""

    sure_background: float = 0.02
    """Probability up to which it counts as background; what lies between is left out."""

    variants: int = 6
    """Draws of inserted lesions for each scan that the models are judged on."""

    anatomies: int = 16
    """Simulated anatomies to learn from beside the scans."""

    patients_per_anatomy: int = 5
    """Patients of each."""

    validation_anatomies: int = 6
    """Further anatomies, to fit thresholds on and to see that nothing is forgotten."""

    most_scans: int = 200
    """Most patients that are learned from; of more, a choice by hash."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.minutes < 0:
            raise OptionError(f"steps = {self.steps} and minutes = {self.minutes:g} leave nothing to do: give more")
        if not 0 < self.scan_share <= 1:
            raise OptionError(f"scan_share is {self.scan_share}: give a share above 0 and up to 1")
        if self.crop_rows % 32 or self.crop_cols % 32 or not 0 < self.crop_rows <= self.batch_rows:
            raise OptionError("crop_rows and crop_cols are multiples of 32, and a batch holds at least one crop")


@dataclass(frozen=True, slots=True)
class AdaptRequest:
    """What to adapt to what.

    normals: files and folders of scans whose reports name no lesion. out: the bundle's folder to write; what is needed
    to go on lies beside it, in `<out>.run`. unlabelled: scans of unknown state. base: the model to begin with, by name
    or folder. phantoms: a folder that keeps simulated patients; None = inside `<out>.run`.
    accept_worse: write the bundle even where it is judged worse than its base.
    """

    normals: tuple[Path, ...]
    out: Path
    base: str | Path
    unlabelled: tuple[Path, ...] = ()
    phantoms: Path | None = None
    accept_worse: bool = False

    @property
    def work(self) -> Path:
        """The folder of the checkpoint, the page and the lists."""
        return self.out.with_name(f"{self.out.name}.run")
