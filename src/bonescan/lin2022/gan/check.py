"""Check whether a GAN memorises, whether it collapses, and whether its samples look like scans.

The samples of a run are compared with the data set that it was trained on. The sheet shows samples above and real
images below.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bonescan.errors import OptionError
from bonescan.lin2022.datasets import Subset, read_dataset
from bonescan.lin2022.gan.images import GanImages, read_gan_images
from bonescan.lin2022.gan.measures import (
    NEAR,
    SPECIFIC,
    Diversity,
    Nearness,
    Resemblance,
    aligned_distances,
    distances_within,
    diversity,
    nearest_patients,
    nearness,
    resemblance,
    shuffled,
)
from bonescan.lin2022.gan.sample import load_gan, sample_images
from bonescan.prepare import mirror
from bonescan.prepare.aggregate import PAIR
from bonescan.report.ink import Sheet
from bonescan.report.overlay import INK
from bonescan.report.words import RESEARCH_USE
from bonescan.study import FloatImage, View

LEAST_IMAGES = 8
"""Smallest number of samples, and of real images: fewer give no meaningful figures."""
COLUMNS, ROWS = 8, 2
_TILE, _GAP, _MARGIN, _TITLE, _CAPTION = 256, 10, 40, 64, 26
_BLACK = 2.0
"""Normalised intensity that is shown black: four times the skeletal reference."""


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


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the verdicts."""

    copies: float = 0.05
    """Largest share of samples that are copies of a training image."""

    spread: float = 0.5
    """Smallest distance among samples, relative to that among real images."""

    twins: float = 0.2
    """Largest share of samples with a twin, beyond that of real images."""

    neighbourhood: float = 0.5
    """Smallest precision and coverage, relative to those of real images."""

    power: float = 2.0
    """Largest factor between the samples' and the real power in a band of frequencies, either way."""

    profile: float = 0.6
    """Largest difference of mean profiles, in standard deviations of real ones."""

    distance: float = 1.2
    """Largest distance to the nearest training image, relative to that of real images. Neighbourhoods compare large
    shapes only: samples without ribs lie well within them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer with its reasons: the limits that were exceeded; none if the answer is the good one."""

    answer: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GanCheck:
    """The figures of samples, and the same figures of real images.

    held_out: whether the reference is of patients outside the training (else training patients, left out one by one).
    samples, training, reference_images: how many images there were of each.
    """

    samples: int
    training: int
    reference_images: int
    held_out: bool
    nearness: Nearness
    real_nearness: Nearness
    diversity: Diversity
    resemblance: Resemblance
    real_resemblance: Resemblance
    limits: Limits

    @property
    def memorises(self) -> Verdict:
        """Whether samples are copies of training images."""
        copies = self.nearness.copies
        reasons = [f"{copies:.0%} of the samples are copies of a training image"] if copies > self.limits.copies else []
        return Verdict(bool(reasons), tuple(reasons))

    @property
    def collapses(self) -> Verdict:
        """Whether samples are too much alike."""
        measured, limits = self.diversity, self.limits
        reasons = []
        if measured.spread < limits.spread:
            reasons.append(f"samples differ {measured.spread:.2f} times as much as real images do")
        if measured.twins > measured.real_twins + limits.twins:
            reasons.append(f"{measured.twins:.0%} of the samples have a twin")
        return Verdict(bool(reasons), tuple(reasons))

    @property
    def resembles(self) -> Verdict:
        """Whether samples look like training images, as far as simple figures say."""
        ours, real, limits = self.resemblance, self.real_resemblance, self.limits
        reasons = [
            f"{name} is {one:.2f} and that of real images {other:.2f}"
            for name, one, other in (
                ("precision", ours.precision, real.precision),
                ("coverage", ours.coverage, real.coverage),
            )
            if one < limits.neighbourhood * other
        ]
        reasons += [
            f"power of {name} is {ratio:.2f} times the real one"
            for name, ratio in zip(("anatomy", "edges", "noise"), ours.spectrum, strict=True)
            if not 1 / limits.power <= ratio <= limits.power
        ]
        farther = self.nearness.ratio / self.real_nearness.ratio
        if farther > limits.distance:
            reasons.append(f"training images are {farther:.2f} times as far as from real images")
        if ours.profile > limits.profile:
            reasons.append(f"mean profiles are {ours.profile:.2f} standard deviations off")
        return Verdict(not reasons, tuple(reasons))

    def to_dict(self) -> dict[str, Any]:
        """Verdicts, figures and limits as JSON values."""
        verdicts = {
            name: {"answer": "yes" if verdict.answer else "no", "reasons": list(verdict.reasons)}
            for name, verdict in self._verdicts()
        }
        return {**verdicts, **asdict(self), "near": NEAR, "specific": SPECIFIC}

    def __str__(self) -> str:
        near, real_near, varied = self.nearness, self.real_nearness, self.diversity
        ours, real, limits = self.resemblance, self.real_resemblance, self.limits
        reference = "of other patients" if self.held_out else "of training patients, left out one by one"
        lines = [f"{self.samples} samples, {self.training} training images, {self.reference_images} images {reference}"]
        for name, verdict in self._verdicts():
            why = f" ({'; '.join(verdict.reasons)})" if verdict.reasons else ""
            lines.append(f"{name}: {'yes' if verdict.answer else 'no'}{why}")
        bands = ", ".join(f"{ratio:.2f}" for ratio in varied.bands)
        power, real_power = (", ".join(f"{ratio:.2f}" for ratio in one.spectrum) for one in (ours, real))
        lines += [
            "figure: samples, real images, limit",
            f"copies of a training image: {near.copies:.0%}, {real_near.copies:.0%}, at most {limits.copies:.0%}",
            f"distance to the nearest training image: {near.ratio:.2f}, {real_near.ratio:.2f} "
            f"(1 = training images to the nearest other patient), at most {limits.distance:g} times the real one",
            f"the same over the distance to another patient: {near.specificity:.2f}, {real_near.specificity:.2f} "
            f"(a copy is under {SPECIFIC}, and nearer than {NEAR} times what real images are)",
            f"distance among one another: {varied.spread:.2f}, 1, at least {limits.spread:.2f}",
            f"samples with a twin: {varied.twins:.0%}, {varied.real_twins:.0%}, at most {limits.twins:.0%} more",
            f"spread by band of detail, finest first: {bands} (real 1)",
            f"precision: {ours.precision:.2f}, {real.precision:.2f}, at least {limits.neighbourhood} of it",
            f"coverage: {ours.coverage:.2f}, {real.coverage:.2f}, at least {limits.neighbourhood} of it",
            f"power of anatomy, edges, noise over real: {power}; {real_power}; within a factor {limits.power:g}",
            f"difference of mean profiles: {ours.profile:.2f}, {real.profile:.2f}, at most {limits.profile:g}",
        ]
        return "\n".join(lines)

    def _verdicts(self) -> tuple[tuple[str, Verdict], ...]:
        return ("memorises", self.memorises), ("collapses", self.collapses), ("resembles", self.resembles)


def check_samples(
    samples: GanImages, training: GanImages, held_out: GanImages | None = None, limits: Limits | None = None
) -> GanCheck:
    """Compare samples with the training images, and real images that were not trained on in the same way.

    held_out: images of other patients. None: the training images are the reference, each patient's against all
    others'. Raises OptionError if there are too few images, or training images of fewer than three patients.
    """
    for name, images in (("samples", samples), ("training images", training), ("held-out images", held_out)):
        if images is not None and len(images) < LEAST_IMAGES:
            raise OptionError(f"there are {len(images)} {name}: a check takes at least {LEAST_IMAGES}")
    if len(set(training.patients)) < 3:
        raise OptionError("the training images are of fewer than 3 patients: a check has nothing to compare with")
    training = shuffled(training)
    real = training if held_out is None else shuffled(held_out)
    # Neighbourhoods depend on the number of images: take as many samples as real images.
    number = min(len(samples), len(training) // (2 if held_out is None else 1), len(real))
    within = distances_within(training)
    scale = float(np.median(within.min(axis=1)))
    to_training = nearest_patients(aligned_distances(samples, training), training.patients)
    reference = within if held_out is None else aligned_distances(held_out, training)
    real_to_training = nearest_patients(reference, training.patients)
    return GanCheck(
        samples=len(samples),
        training=len(training),
        reference_images=len(real),
        held_out=held_out is not None,
        nearness=nearness(to_training, scale, real_to_training),
        real_nearness=nearness(real_to_training, scale, real_to_training),
        diversity=diversity(samples, training, within),
        resemblance=resemblance(samples, training, number),
        real_resemblance=_real_resemblance(training, held_out, number),
        limits=limits or Limits(),
    )


def _real_resemblance(training: GanImages, held_out: GanImages | None, number: int) -> Resemblance:
    """Held-out images against the training images; without any, one half of the training patients against the other."""
    if held_out is not None:
        return resemblance(shuffled(held_out), training, number)
    names = sorted(set(training.patients))
    first = set(names[: len(names) // 2])
    chosen = [patient in first for patient in training.patients]
    return resemblance(_part(training, chosen), _part(training, [not one for one in chosen]), number)


def _part(images: GanImages, chosen: list[bool]) -> GanImages:
    return GanImages(
        images.images[chosen],
        images.references[chosen],
        images.views[chosen],
        tuple(name for name, one in zip(images.patients, chosen, strict=True) if one),
        tuple(spacing for spacing, one in zip(images.spacings_mm, chosen, strict=True) if one),
    )


def draw_sheet(samples: GanImages, training: GanImages, sha256: str) -> Image.Image:
    """Two rows of samples and two of training images, every view as acquired, in inverted grey (hot is dark).

    All on one grey scale. sha256: of the generator, for the footer. A palette picture ("P").
    """
    part = _TITLE + ROWS * (_TILE + _CAPTION + _GAP)
    size = (2 * _MARGIN + COLUMNS * (_TILE + _GAP) - _GAP, 2 * part + 2 * _MARGIN)
    sheet = Sheet(size, INK)
    _draw_part(sheet, samples, 0, "Samples of the generator: not scans of patients")
    _draw_part(sheet, training, part, "Real: images that it was trained on")
    sheet.text((_MARGIN, size[1] - 30), RESEARCH_USE, 25)
    caption = f"generator {sha256[:12]}; grey scale 0 to {_BLACK**2:g} times the skeletal reference"
    sheet.text((size[0] - _MARGIN, size[1] - 30), caption, 21, anchor="rs", grey=110)
    return sheet.picture()


def _draw_part(sheet: Sheet, images: GanImages, top: int, title: str) -> None:
    sheet.text((_MARGIN, top + 46), title, 27)
    for place, index in enumerate(_chosen(images)):
        row, column = divmod(place, COLUMNS)
        corner = (_MARGIN + column * (_TILE + _GAP), top + _TITLE + row * (_TILE + _CAPTION + _GAP))
        view = PAIR[int(images.views[index])]
        sheet.paste(_tile(images.images[index], view), corner)
        sheet.text((corner[0] + _TILE / 2, corner[1] + _TILE + 18), view.value, 17, anchor="ms", grey=110)


def _chosen(images: GanImages) -> list[int]:
    """A row of anterior views and a row of posterior ones: the first ones, not selected."""
    return [index for view in range(len(PAIR)) for index in np.flatnonzero(images.views == view)[:COLUMNS].tolist()]


def _tile(image: FloatImage, view: View) -> Image.Image:
    acquired = mirror(image) if view is View.POSTERIOR else image
    grey = 255.0 * (1.0 - np.clip(acquired / _BLACK, 0.0, 1.0))
    return Image.fromarray(np.rint(grey).astype(np.uint8)).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
