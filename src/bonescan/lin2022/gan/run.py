"""Check a run: its samples against the data set that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from bonescan.errors import OptionError
from bonescan.lin2022.datasets import Subset, read_dataset
from bonescan.lin2022.gan.check import LEAST_IMAGES, GanCheck, check_samples
from bonescan.lin2022.gan.images import GanImages, read_gan_images
from bonescan.lin2022.gan.sample import load_gan, sample_images
from bonescan.lin2022.gan.sheet import draw_sheet


@dataclass(frozen=True, slots=True, eq=False)
class CheckedRun:
    """The figures of a run's samples, and their sheet. sha256: of the generator."""

    check: GanCheck
    sheet: Image.Image
    sha256: str


def check_run(folder: Path, dataset: Path, count: int = 128, seed: int = 0) -> CheckedRun:
    """Draw `count` samples of a run and compare them with the training and the test images of its data set.

    Without enough test images the training images are their own reference. Raises OptionError if the run cannot be
    read or was trained on other images, or if there are too few images.
    """
    gan = load_gan(folder)
    torch.set_num_threads(gan.config.threads)
    normalisation = gan.config.normalisation
    training = read_gan_images(dataset, Subset.TRAIN, normalisation)
    if training.digest != gan.images_sha256:
        raise OptionError(f"the run in {folder} was trained on other images than {dataset} has: give its own data set")
    samples = sample_images(gan, count, seed)
    held_out: GanImages | None = None
    if read_dataset(dataset, "D1").of(Subset.TEST):
        test = read_gan_images(dataset, Subset.TEST, normalisation)
        held_out = test if len(test) >= LEAST_IMAGES else None
    return CheckedRun(check_samples(samples, training, held_out), draw_sheet(samples, training, gan.sha256), gan.sha256)
