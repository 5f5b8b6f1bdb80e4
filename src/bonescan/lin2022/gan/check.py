"""Check whether a GAN memorises, whether it collapses, and whether its samples look like scans, with the figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bonescan.errors import OptionError
from bonescan.lin2022.gan.distances import aligned_distances, distances_within, nearest_patients
from bonescan.lin2022.gan.images import GanImages
from bonescan.lin2022.gan.measures import (
    NEAR,
    SPECIFIC,
    Diversity,
    Nearness,
    Resemblance,
    diversity,
    nearness,
    resemblance,
    shuffled,
)

LEAST_IMAGES = 8
"""Smallest number of samples, and of real images: fewer give no meaningful figures."""


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
