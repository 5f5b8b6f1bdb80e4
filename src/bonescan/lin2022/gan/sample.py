"""Samples of a trained GAN: single views with integer counts, as a data set takes them in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bonescan.errors import OptionError, OutputError
from bonescan.lin2022.gan.config import GanConfig, gan_config_from_dict
from bonescan.lin2022.gan.dcgan import Generator
from bonescan.lin2022.gan.images import GanImages, SpacingMm, count_image
from bonescan.lin2022.gan.loop import CONFIG, GENERATOR, SOURCE
from bonescan.prepare import mirror, normalise
from bonescan.prepare.aggregate import PAIR
from bonescan.study import View
from bonescan.system.files import folder_written_whole

SampleProgress = Callable[[int, int], None]
"""Called with the number of samples done, and of all."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedGan:
    """A run's averaged generator, and what sampling needs to know of its training images.

    sha256: of generator.safetensors. images_sha256: of the training images. references, views, spacings_mm: of each
    training image; a sample takes the exposure, the view and the pixel size of one of them.
    """

    generator: nn.Module
    config: GanConfig
    sha256: str
    images_sha256: str
    references: NDArray[np.float64]
    views: NDArray[np.uint8]
    spacings_mm: tuple[SpacingMm, ...]


@dataclass(frozen=True, slots=True, eq=False)
class GanSample:
    """One sample. counts: (size, size) uint16, common orientation. reference: of its exposure, counts per pixel."""

    view: View
    reference: float
    spacing_mm: SpacingMm
    counts: NDArray[np.uint16]

    @property
    def as_acquired(self) -> NDArray[np.uint16]:
        """The counts as a camera shows them: a posterior view is mirrored back."""
        return np.ascontiguousarray(mirror(self.counts)) if self.view is View.POSTERIOR else self.counts


def load_gan(folder: Path) -> TrainedGan:
    """Read the generator of a run's folder. Raises OptionError when it holds none, or one that does not fit."""
    path = folder / GENERATOR
    if not path.is_file():
        raise OptionError(f"there is no {GENERATOR} in {folder}: give the folder of a run of `bonescan gan train`")
    try:
        config = gan_config_from_dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        source = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
        generator = Generator(config.network)
        generator.load_state_dict(load_file(path))
        references = np.array(source["references"], dtype=np.float64)
        views = np.array(source["views"], dtype=np.uint8)
        spacings = tuple(None if one is None else (float(one[0]), float(one[1])) for one in source["spacings_mm"])
        images_sha256 = str(source["images_sha256"])
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise OptionError(
            f"the run in {folder} cannot be read ({type(error).__name__}): train it again in another folder"
        ) from None
    return TrainedGan(
        generator=generator.eval().requires_grad_(False),
        config=config,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        images_sha256=images_sha256,
        references=references,
        views=views,
        spacings_mm=spacings,
    )


@torch.no_grad()
def draw_sample(gan: TrainedGan, seed: int, number: int) -> GanSample:
    """Draw one sample; the same seed and number give the same counts, however many are drawn."""
    rng = np.random.default_rng([seed, number])
    like = int(rng.integers(len(gan.references)))
    latent = rng.standard_normal((1, gan.config.network.latent), dtype=np.float32)
    view = torch.from_numpy(gan.views[like : like + 1])
    expected = gan.generator(torch.from_numpy(latent), view)[0, 0].numpy()
    reference = float(gan.references[like])
    counts = count_image(expected, reference, gan.config.normalisation, rng)
    return GanSample(PAIR[int(gan.views[like])], reference, gan.spacings_mm[like], counts)


def sample_images(gan: TrainedGan, count: int, seed: int) -> GanImages:
    """Draw samples as `check` compares them with real images. Each has a patient name of its own."""
    samples = [draw_sample(gan, seed, number) for number in range(count)]
    return GanImages(
        np.stack([normalise(one.counts, gan.config.normalisation, one.reference) for one in samples]),
        np.array([one.reference for one in samples]),
        np.array([PAIR.index(one.view) for one in samples], dtype=np.uint8),
        tuple(f"sample-{number:04d}" for number in range(count)),
        tuple(one.spacing_mm for one in samples),
    )


def write_samples(
    gan: TrainedGan, out: Path, count: int, seed: int, progress: SampleProgress = lambda done, total: None
) -> dict[str, Any]:
    """Write OUT/sample-0000/scan.npz and on, one view each as acquired, and OUT/samples.json; return the latter.

    The same arguments give the same counts. `reference` in samples.json is the exposure that a sample was drawn at.
    Raises OutputError when the folder holds anything or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists and is no empty folder: choose another one")
    try:
        with folder_written_whole(out) as partial:
            rows = []
            for number in range(count):
                sample = draw_sample(gan, seed, number)
                rows.append(_write_sample(sample, partial / f"sample-{number:04d}"))
                progress(number + 1, count)
            listed: dict[str, Any] = {
                "research_use_only": True,
                "generator_sha256": gan.sha256,
                "seed": seed,
                "count": count,
                "samples": rows,
            }
            (partial / "samples.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"the samples cannot be written to {out} ({error.strerror}): free space there or choose another folder"
        ) from error
    return listed


def _write_sample(sample: GanSample, folder: Path) -> dict[str, Any]:
    arrays: dict[str, Any] = {sample.view.value: sample.as_acquired}
    if sample.spacing_mm is not None:
        arrays["spacing_mm"] = np.array(sample.spacing_mm)
    folder.mkdir()
    np.savez_compressed(folder / "scan.npz", **arrays)
    total = int(sample.counts.sum(dtype=np.int64))
    return {"study": folder.name, "view": sample.view.value, "reference": sample.reference, "counts_total": total}
