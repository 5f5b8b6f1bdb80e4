"""The images that a GAN learns from and is compared with, and the counting noise of its own. Imports no torch.

A scan is one Poisson draw of an expected image. A DCGAN learns that noise badly: it has some dozens of latent numbers
for 65,536 independent ones, and imitates them by texture that it repeats in every sample. So the noise is not learned
but added. The generator draws expected uptake. Counts are drawn from it before the discriminator sees it in training,
and before it is written in sampling (a known measurement inside a GAN: Bora, Price, Dimakis, AmbientGAN, ICLR 2018).
So samples have exactly the noise of their exposure, and the generator only has to learn smooth images.

Exposures are those of the training images: a sample takes the skeletal reference of one of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonescan.errors import OptionError
from bonescan.lin2022.datasets import DataSet, Origin, PairRecord, Subset, read_dataset
from bonescan.prepare import Normalisation, denormalise, normalise
from bonescan.study import FloatImage, read_only

SpacingMm = tuple[float, float] | None

_MOST_COUNTS = np.iinfo(np.uint16).max


@dataclass(frozen=True, slots=True, eq=False)
class GanImages:
    """Images of one view each, in the common orientation: the posterior ones are mirrored.

    So the two views of a patient coincide, and the networks learn one anatomy instead of two.
    images: (n, rows, cols) float32, normalised by the reference of their own frame. references: (n,) float64, counts
    per pixel. views: (n,) uint8, 0 = anterior, 1 = posterior. patients: of each image. spacings_mm: (row, col) of each,
    or None where a scan states none.
    """

    images: FloatImage
    references: NDArray[np.float64]
    views: NDArray[np.uint8]
    patients: tuple[str, ...]
    spacings_mm: tuple[SpacingMm, ...]

    def __post_init__(self) -> None:
        counted = {len(one) for one in (self.images, self.references, self.views, self.patients, self.spacings_mm)}
        if len(counted) != 1:
            raise ValueError("every image has one reference, one view, one patient and one spacing")
        for name in ("images", "references", "views"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> str:
        """A sha256 of images, references and views."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        for array in (self.images, self.references, self.views):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def read_gan_images(folder: Path, split: Subset, normalisation: Normalisation) -> GanImages:
    """Read the originals (D1) of one side of a data set's split, every view by itself.

    A GAN learns from `Subset.TRAIN` alone: a sample that copied a test patient would carry the test into the training.
    Raises OptionError where that side has no image, or the data set has patients on both sides; InputError for a
    folder that is no data set.
    """
    data = read_dataset(folder, "D1")
    if data.leaky:
        raise OptionError(f"{folder} has patients in training and in test at once: take a data set that is not leaky")
    records = [record for record in data.of(split) if record.origin is Origin.ORIGINAL]
    if not records:
        raise OptionError(f"{folder} has no {split} patient: build a data set with some")
    return _stacked(data, records, normalisation)


def _stacked(data: DataSet, records: Iterable[PairRecord], normalisation: Normalisation) -> GanImages:
    images, references, views, patients = [], [], [], []
    spacings: list[SpacingMm] = []
    for record in records:
        counts, _, present = data.load(record)
        # One reference for both views keeps the difference between them.
        normalised = normalise(counts, normalisation, record.references[0])
        spacing = _spacing(record.path / "scan.npz")
        for view in np.flatnonzero(present).tolist():
            images.append(normalised[view])
            references.append(record.references[0])
            views.append(view)
            patients.append(record.patient)
            spacings.append(spacing)
    return GanImages(
        np.stack(images), np.array(references), np.array(views, dtype=np.uint8), tuple(patients), tuple(spacings)
    )


def _spacing(path: Path) -> SpacingMm:
    with np.load(path, allow_pickle=False) as scan:
        if "spacing_mm" not in scan:
            return None
        row_mm, col_mm = scan["spacing_mm"].tolist()
    return float(row_mm), float(col_mm)


def count_image(
    expected: FloatImage, reference: float, normalisation: Normalisation, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Draw counts (rows, cols) of an expected normalised image at the exposure given by `reference`."""
    counts = rng.poisson(denormalise(expected, reference, normalisation))
    return np.minimum(counts, _MOST_COUNTS).astype(np.uint16)


def noise_of(
    expected: FloatImage, references: NDArray[np.float64], normalisation: Normalisation, rng: np.random.Generator
) -> FloatImage:
    """The noise of expected normalised images (n, rows, cols), each at its own reference, in the same shape.

    The gradient of a draw is not known. The square root of `normalise` makes the noise almost equally strong at every
    level, so training treats it as a constant and uses the gradient of the expected image.
    """
    noise = np.empty_like(expected)
    for number, reference in enumerate(references.tolist()):
        counts = count_image(expected[number], reference, normalisation, rng)
        noise[number] = normalise(counts, normalisation, reference) - expected[number]
    return noise
