"""A data set with GAN samples: train the GAN on its training patients, sample it, and add what D3 lacks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bonescan.lin2022.datasets import Subset, read_dataset
from bonescan.lin2022.datasets.build import add_gan_samples
from bonescan.lin2022.gan.config import gan_config_from_dict
from bonescan.lin2022.gan.images import read_gan_images
from bonescan.lin2022.gan.loop import train_gan
from bonescan.lin2022.gan.sample import load_gan, write_samples
from bonescan.train.progress import Progress

SEED = 1
"""Of the samples."""


def with_samples(plain: Path, folder: Path, values: Mapping[str, Any], report: Callable[[int, int, str], None]) -> None:
    """Write `folder`: the data set `plain` and, for D3 and D4, samples of a GAN with the configuration `values`.

    The GAN's training goes on where it stopped; `folder` appears whole or not at all.
    """
    workplace = folder.with_name(f".{folder.name}.gan")
    config = gan_config_from_dict(dict(values))
    images = read_gan_images(plain, Subset.TRAIN, config.normalisation)

    def say(progress: Progress) -> None:
        report(progress.done, progress.total, f"GAN: {progress.stage}")

    train_gan(config, images, workplace / "run", say)
    wanted = sum(sum(record.present) for record in read_dataset(plain, "D2").pairs)
    wanted -= sum(sum(record.present) for record in read_dataset(plain, "D1").pairs)
    shutil.rmtree(workplace / "samples", ignore_errors=True)
    write_samples(
        load_gan(workplace / "run"),
        workplace / "samples",
        wanted,
        SEED,
        lambda done, total: report(done, total, "GAN: samples"),
    )
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        shutil.copytree(plain, partial)
        add_gan_samples(partial, workplace / "samples")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(workplace, ignore_errors=True)
