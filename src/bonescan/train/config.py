"""The configuration of a training run: frozen dataclasses, read from TOML."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bonescan.configuration import config_from_dict, override, read_toml
from bonescan.dicom.values import ReadOptions, stated_views
from bonescan.errors import OptionError
from bonescan.prepare import Normalisation
from bonescan.train.augment.parameters import AugmentConfig


@dataclass(frozen=True, slots=True)
class PhantomConfig:
    """Simulated patients to learn from. Validation anatomies differ from training anatomies."""

    anatomies: int = 0
    """Number of anatomies for training; 0 = no simulated patients at all."""

    patients_per_anatomy: int = 8
    """Patients of each anatomy; they differ in uptake, lesions, dose and noise."""

    validation_anatomies: int = 12
    """Number of further anatomies for validation and thresholds."""

    validation_patients_per_anatomy: int = 4
    """Patients of each validation anatomy."""

    first_seed: int = 1_000_000
    """Seed of the first anatomy; keep it away from the seeds of test phantoms."""

    cache: str = "runs/phantoms"
    """Folder that keeps the simulated patients between runs."""

    processes: int = 2
    """Processes that simulate before the training begins. During the training one process of low priority simulates."""

    first_anatomies: int = 0
    """Number of anatomies that the training begins with, while the others are simulated; 0 = all of them."""

    all_after: float = 0.5
    """Share of the steps after which all anatomies are used, if the training begins with fewer. Until then the others
    are added evenly, at the same steps in every run. A step waits for an anatomy that is not simulated yet."""


@dataclass(frozen=True, slots=True)
class CohortConfig:
    """Labelled patients from a cohort folder. Simulated patients are added if phantoms.anatomies is above 0."""

    folder: str = ""
    """The cohort folder; empty = none."""

    validation_share: float = 0.2
    """Share of the patients kept for validation, chosen by a hash of the patient's folder name."""

    views: tuple[Literal["anterior", "posterior"], ...] = ()
    """The views of every scan's frames or files, in their order, where the headers do not say: as
    ["anterior", "posterior"]; empty = as the headers say."""

    @property
    def reading(self) -> ReadOptions | None:
        """What is stated of every scan; OptionError for views that are none."""
        return stated_views(self.views)


@dataclass(frozen=True, slots=True)
class ImagesConfig:
    """Images of a data set folder, used instead of phantoms and cohort: Lin et al. 2022, section 3."""

    folder: str = ""
    """The data set folder that `bonescan dataset` wrote; empty = none."""

    set: Literal["D1", "D2", "D3", "D4"] = "D2"
    """Which of its sets."""

    label_share: float = 0.37
    """Labelled share of all patients of the set, test patients included, as in the paper. 0.7 = all training patients
    if the test set has the other 30 %."""

    label_unit: Literal["patient", "image"] = "patient"
    """Choose what is labelled by patient or by image. By image, augmented copies are chosen separately, so many
    patients have a labelled copy."""

    label_seed: int = 1
    """Seed of that choice. A smaller share is part of a larger one."""

    labelled_pairs: int = 1
    """Labelled patients (both views) in a step; drawn from all training patients if none is labelled."""

    unlabelled_pairs: int = 1
    """Patients (both views) in a step whose labels are not used, drawn from all training patients."""

    validation_share: float = 0.0
    """Share of the training patients kept for validation and thresholds, by a hash of the patient's name."""


@dataclass(frozen=True, slots=True)
class ChanVeseConfig:
    """The loss of Lin et al. 2022, Eq. 6-8: l = l_U + alpha l_S."""

    alpha: float = 0.4
    """Weight of the supervised term."""

    lesion_weight: float = 1.0
    """Weight of a labelled lesion pixel relative to background. 1 = Eq. 8 unchanged: it is lowest when nothing is
    marked, as long as each pixel is less likely lesion than background."""

    unsupervised: bool = True
    """Whether there is an unsupervised term; false = the supervised one alone."""

    variant: Literal["two-phase", "three-class", "fuzzy"] = "two-phase"
    """Two phases, inside and outside, as in the paper; or three classes, lesion, background and bone, hard or as
    fuzzy c-means."""

    nu: float = 0.004
    """Weight of the area inside."""

    mu: float = 0.0
    """Weight of the contour's length in the unsupervised term."""

    length: float = 0.0
    """Weight of the contour's length in the supervised term."""

    power: float = 2.0
    """Exponent that turns normalised values into the image g, scaled to 0..1: 2 = counts, 1 = their square root."""

    ancestor: bool = False
    """Compute the two means as the paper's predecessor did: of the whole batch, over its pixels that are not 0."""


@dataclass(frozen=True, slots=True)
class LossConfig:
    """How the parts of the loss are weighted."""

    dice: float = 1.0
    """Weight of the soft Dice over the batch."""

    pixel: float = 1.0
    """Weight of the binary cross-entropy, which penalises false lesions on scans without lesions."""

    pixel_scale: float = 100.0
    """Factor of the cross-entropy's mean over pixels: about 1 divided by the share of relevant pixels."""

    region: float = 0.4
    """Weight of the cross-entropy of the region map. Background weighs as much as bone: with less weight on it, a
    network draws bones larger than they are."""

    benign: float = 0.3
    """Weight of benign uptake's Dice and cross-entropy, where the network knows it."""

    level: float = 0.1
    """Weight of the cross-entropy of the level map, on pixels of the spine and the ribs."""

    lesion_region: float = 1.0
    """Weight of the cross-entropy of the bones of lesions, where the network tells them."""

    lesion_level: float = 0.5
    """The same of their levels."""

    reference_area_px: float = 60.0
    """Area of lesions whose pixels have weight 1; for others the weight is the square root of the ratio of areas."""

    least_weight: float = 0.6
    """Smallest weight a lesion pixel has."""

    most_weight: float = 4.0
    """Largest weight a lesion pixel has."""


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """How thresholds are fitted on validation patients."""

    most_false_positives: float = 0.5
    """Most false positives per scan (both views) that the balanced thresholds may leave on validation patients."""

    sensitive_false_positives: float = 2.0
    """The same for the sensitive operating point."""

    specific_false_positives: float = 0.1
    """The same for the specific operating point."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run."""

    name: str = "unet"
    """Name of the run and of the bundle made from it: letters, digits, - and _."""

    runs: str = "runs"
    """Folder that holds the run's folder."""

    seed: int = 1
    """Everything random follows from it."""

    method: Literal["supervised", "chan-vese"] = "supervised"
    """Dice with cross-entropy and regions (table `loss`), or the semi-supervised loss of the paper (`chan_vese`)."""

    network: str = "unet"
    """Name in `models.MODELS`."""

    network_config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the network's own configuration."""

    begin_with: str = ""
    """Bundle (name or folder) whose weights the training begins with, for the layers that both networks have;
    empty = fresh weights."""

    only: str = ""
    """Prefix: only layers whose names begin with it learn, and the others keep the weights of `begin_with`; empty = all
    learn."""

    start_share: float = 0.0
    """Share of the weights of `begin_with` in those that are exported; the rest are the run's averaged ones. The mean
    of both (0.5) is less sensitive than either to what the training patients lack (Wortsman et al., CVPR 2022)."""

    steps: int = 4000
    """Number of optimiser steps."""

    max_minutes: float = 0.0
    """Stop after this many minutes of training and keep the checkpoint; 0 = no limit."""

    batch_rows: int = 4096
    """Rows of all crops of a batch together; with crops of 512 rows it has batch_rows / 512 samples."""

    crop_rows: tuple[int, ...] = (512, 1024)
    """Heights of the crops; one is drawn for each batch."""

    crop_weights: tuple[float, ...] = (3.0, 1.0)
    """Relative frequency of each height."""

    crop_cols: int = 256
    """Width of the crops, a multiple of 32."""

    learning_rate: float = 2e-3
    """Largest learning rate, after the warm-up."""

    warmup_steps: int = 150
    """Steps of linear warm-up; a cosine to zero follows."""

    weight_decay: float = 0.02
    """Weight decay of AdamW; not applied to biases and norms."""

    freeze_norms_after: float = 0.6
    """Share of the steps after which batch norms keep their running statistics, as in prediction. Crops and whole
    frames have different shares of air, and the training should end in the state that predictions use."""

    clip_norm: float = 5.0
    """Largest norm of the gradient."""

    ema_decay: float = 0.998
    """Decay of the running average of the weights, which is what is validated and exported. At step n it is at most
    (1 + n) / (10 + n), so that 0.999 is reached after 9,000 steps."""

    bf16: bool = True
    """Compute in bfloat16 where that is safe (not in `lin2022`) and the processor has instructions for it; weights and
    losses stay in float32."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the network is computed; auto = on a graphics processor where torch finds one. A run may go on on another
    device; its weights then differ in the last bits."""

    threads: int = 2
    """Threads of torch. Results are reproducible only with the same number."""

    checkpoint_every: int = 200
    """Steps between checkpoints."""

    validate_every: int = 500
    """Steps between validations."""

    validation_cases: int = 24
    """Largest number of patients in a validation during training. Thresholds are fitted on all patients."""

    log_every: int = 20
    """Steps between progress lines."""

    phantoms: PhantomConfig = field(default_factory=PhantomConfig)
    cohort: CohortConfig = field(default_factory=CohortConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    chan_vese: ChanVeseConfig = field(default_factory=ChanVeseConfig)
    normalisation: Normalisation = field(default_factory=Normalisation)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)

    def __post_init__(self) -> None:
        if not self.name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in self.name):
            raise OptionError(
                f"the run's name {self.name!r} is not made of letters, digits, - and _ only: choose another"
            )
        if len(self.crop_rows) != len(self.crop_weights):
            raise OptionError(
                f"crop_rows has {len(self.crop_rows)} values and crop_weights has {len(self.crop_weights)}: "
                "give both the same number"
            )
        for rows in self.crop_rows:
            if rows % 32 or rows <= 0 or self.batch_rows < rows:
                raise OptionError(
                    f"crop_rows holds {rows}, and batch_rows is {self.batch_rows}: crops are multiples of 32, and the "
                    "largest is at most batch_rows"
                )
        if self.crop_cols % 32 or self.crop_cols <= 0:
            raise OptionError(f"crop_cols is {self.crop_cols}: use a multiple of 32")
        if self.steps < 1:
            raise OptionError(f"steps is {self.steps}: train at least one step")
        self._check_images()

    def _check_images(self) -> None:
        images = self.images
        if not images.folder and self.method != "supervised":
            raise OptionError(f"the method {self.method} learns from a data set folder: set images.folder")
        if not images.folder and self.aggregated:
            raise OptionError("network_config.aggregation adds the views of a data set's images: set images.folder")
        if images.folder and self.cohort.folder:
            raise OptionError(
                "images.folder takes the place of cohort.folder: set one of them (bonescan dataset reads a cohort)"
            )
        for name, share in (("label_share", images.label_share), ("validation_share", images.validation_share)):
            if not 0 <= share <= 1:
                raise OptionError(f"images.{name} is {share}: give a share from 0 to 1")
        if (
            min(images.labelled_pairs, images.unlabelled_pairs) < 0
            or not images.labelled_pairs + images.unlabelled_pairs
        ):
            raise OptionError("images.labelled_pairs and images.unlabelled_pairs leave the batch empty: give 1 or more")
        without = not images.label_share or not images.labelled_pairs
        if images.folder and without and (self.method == "supervised" or not self.chan_vese.unsupervised):
            raise OptionError(
                "a supervised loss alone learns nothing without labels: set images.label_share and "
                "images.labelled_pairs above 0"
            )
        if images.label_seed < 1:  # 0 is the seed of the hash that chooses the validation patients
            raise OptionError(f"images.label_seed is {images.label_seed}: give a whole number from 1")
        if self.chan_vese.power <= 0:
            raise OptionError(f"chan_vese.power is {self.chan_vese.power}: give a number above 0")

    @property
    def aggregated(self) -> bool:
        """Whether the network gives one answer for the sum of both views."""
        return bool(self.network_config.get("aggregation", "none") != "none")

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.runs) / self.name

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON values."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=dict))
        return values


def read_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a TOML file and apply overrides of the form "key=value" or "table.key=value" (values as in TOML).

    Raises OptionError: the file cannot be read, a key is not known, a value is of the wrong type.
    """
    values = read_toml(path)
    for setting in overrides:
        override(values, setting)
    config: TrainConfig = config_from_dict(TrainConfig, values)
    return config
