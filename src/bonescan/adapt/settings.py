"""The options of an adaptation. `benchmarks/adapt.py` measures the effect of the choices."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bonescan.adapt.insertion import InsertionConfig
from bonescan.dicom.values import ReadOptions
from bonescan.errors import OptionError

LEAST_PATIENTS = 5
"""Fewer do not represent a department, and leave too few to evaluate on."""


@dataclass(frozen=True, slots=True)
class AdaptConfig:
    """How a model learns from scans without labels."""

    seed: int = 1
    """Everything random follows from it."""

    steps: int = 400
    """Steps of the optimiser; fewer where `minutes` leaves no time for them."""

    minutes: float = 0.0
    """Minutes that the whole run should take, by an estimate at the beginning; 0 = no limit. It limits the steps, of
    which 20 are the fewest; simulating patients and judging are not shortened."""

    batch_rows: int = 1024
    """Rows of all crops of a batch together. With crops of 512 rows: one of a scan and one of a simulated patient."""

    crop_rows: int = 512
    """Height of the crops, a multiple of 32."""

    crop_cols: int = 256
    """Width of the crops, a multiple of 32."""

    scan_share: float = 0.5
    """Share of scans in a batch. The rest are simulated patients, so that the model does not forget them."""

    lesions: InsertionConfig = field(default_factory=InsertionConfig)
    """What is inserted into scans without lesions."""

    learning_rate: float = 5e-4
    """Largest learning rate, after the warm-up; a quarter of that of a training from the start."""

    warmup_steps: int = 20
    """Steps of linear warm-up; a cosine to zero follows."""

    ema_decay: float = 0.98
    """Decay of the running average of the weights, which is what is judged and written."""

    base_share: float = 0.5
    """Share of the base's weights in those that are written. On scans of people the mean of both (0.5) makes fewer
    false marks than either, and finds no fewer inserted lesions (`benchmarks/adapt.py`; Wortsman et al., CVPR 2022)."""

    threads: int = 2
    """Threads of torch. Results are reproducible only with the same number."""

    bf16: bool = True
    """Compute in bfloat16 while learning; weights, losses and judgements stay in float32."""

    checkpoint_every: int = 50
    """Steps between checkpoints."""

    looks: int = 3
    """Number of searches for foci that may be lesions, evenly over the steps."""

    suspect_probability: float = 0.7
    """Least probability of such a focus: by the base model, and by the updated one on the scan and mirrored scan."""

    unlabelled_weight: float = 0.5
    """Weight of the loss on scans of unknown status against that on the others."""

    sure_lesion: float = 0.9
    """Least probability at which the teacher's answer on such scans counts as lesion."""

    sure_background: float = 0.02
    """Largest probability at which it counts as background; pixels in between are ignored."""

    variants: int = 6
    """Draws of inserted lesions for each held-out scan."""

    anatomies: int = 16
    """Simulated anatomies to learn from, besides the scans."""

    patients_per_anatomy: int = 5
    """Patients of each anatomy."""

    validation_anatomies: int = 16
    """Further anatomies, for thresholds and to check what the model has forgotten."""

    most_scans: int = 200
    """Largest number of patients to learn from; of more, some are chosen by hash."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.minutes < 0:
            raise OptionError(f"steps = {self.steps} and minutes = {self.minutes:g} leave nothing to do: give more")
        if not 0 < self.scan_share <= 1:
            raise OptionError(f"scan_share is {self.scan_share}: give a share above 0 and up to 1")
        if not 0 <= self.base_share < 1:
            raise OptionError(f"base_share is {self.base_share}: give a share from 0 to below 1")
        if self.crop_rows % 32 or self.crop_cols % 32 or not 0 < self.crop_rows <= self.batch_rows:
            raise OptionError("crop_rows and crop_cols are multiples of 32, and a batch holds at least one crop")


@dataclass(frozen=True, slots=True)
class AdaptRequest:
    """The inputs and outputs of an adaptation.

    normals: files and folders of scans whose reports name no lesion. out: the bundle's folder to write; the files for
    continuing the run are beside it, in `<out>.run`. unlabelled: scans of unknown status. base: the model to begin
    with, by name or folder. phantoms: a folder that keeps simulated patients; None = inside `<out>.run`.
    accept_worse: write the bundle even if it is worse than its base. reading: what is stated of the scans' views.
    """

    normals: tuple[Path, ...]
    out: Path
    base: str | Path
    unlabelled: tuple[Path, ...] = ()
    phantoms: Path | None = None
    accept_worse: bool = False
    reading: ReadOptions | None = None

    @property
    def work(self) -> Path:
        """The folder of the checkpoint, the page and the lists."""
        return self.out.with_name(f"{self.out.name}.run")
