"""The data sets of experiments: each is built once, when a run first needs it, in a folder named by what it is of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bonescan.lin2022.datasets import DatasetOptions, PatientOptions, ReaderOptions, SplitOptions, build_dataset
from bonescan.lin2022.datasets import Protocol as SplitProtocol
from bonescan.lin2022.experiments.lock import held
from bonescan.lin2022.experiments.plan import Run, profile_of, set_identity
from bonescan.lin2022.experiments.question import SetOptions
from bonescan.lin2022.experiments.samples import with_samples

SEED = 1
"""Of all data sets: other data sets are another experiment."""

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
