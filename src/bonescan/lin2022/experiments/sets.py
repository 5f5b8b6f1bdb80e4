"""The data sets of experiments: each is built once, when a run first needs it, in a folder named by what it is of."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bonescan.lin2022.datasets import (
    DatasetOptions,
    PatientOptions,
    ReaderOptions,
    SplitOptions,
    Subset,
    build_dataset,
    read_dataset,
)
from bonescan.lin2022.datasets import Protocol as SplitProtocol
from bonescan.lin2022.datasets.build import add_gan_samples
from bonescan.lin2022.experiments.declared import SetOptions
from bonescan.lin2022.experiments.plan import Run, profile_of, set_identity
from bonescan.lin2022.experiments.results import held
from bonescan.lin2022.gan.config import gan_config_from_dict
from bonescan.lin2022.gan.images import read_gan_images
from bonescan.lin2022.gan.loop import train_gan
from bonescan.lin2022.gan.sample import load_gan, write_samples
from bonescan.system.files import folder_written_whole
from bonescan.train.progress import Progress

SEED = 1
"""Of all data sets, and of their GAN samples: other data sets are another experiment."""

Report = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what the steps are."""


def ensure_set(run: Run, root: Path, report: Report) -> Path:
    """Return the folder of a run's data set below `root`, and build it first where there is none.

    Whoever comes second waits. Raises OptionError where a part that it needs is not available.
    """
    return _ensure(run.profile, run.images, root, report)


def options_of(profile: str, images: SetOptions) -> DatasetOptions:
    """How the images are made, before GAN samples come in."""
    sizes = profile_of(profile)
    return DatasetOptions(
        seed=SEED,
        images=sizes.images,
        patients=PatientOptions(count=sizes.patients),
        split=SplitOptions(protocol=SplitProtocol(images.protocol)),
        readers=None if images.tolerance is None else ReaderOptions(tolerance=images.tolerance),
    )


def _ensure(profile: str, images: SetOptions, root: Path, report: Report) -> Path:
    folder = root / set_identity(profile, images)
    with held(root / f".{folder.name}.lock", wait=True):
        if (folder / "dataset.toml").exists():
            return folder
        if not images.gan:
            build_dataset(
                options_of(profile, images),
                folder,
                lambda done, total, last="", stage=None: report(done, total, f"data set: {stage or 'pairs'}"),
            )
            return folder
        plain = _ensure(profile, replace(images, gan=False), root, report)
        with_samples(plain, folder, profile_of(profile).gan, report)
    return folder


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
    with folder_written_whole(folder) as partial:
        shutil.copytree(plain, partial, dirs_exist_ok=True)
        add_gan_samples(partial, workplace / "samples")
    shutil.rmtree(workplace, ignore_errors=True)
