"""Counting noise: from the expected image that a generator draws to an image of counts.

A scan is one Poisson draw of an expected image. A DCGAN learns that noise badly: it has some dozens of latent numbers
for 65,536 independent ones, and imitates them by texture that it repeats in every sample. So the noise is not learned
but added. The generator draws expected uptake. Counts are drawn from it before the discriminator sees it in training,
and before it is written in sampling (a known measurement inside a GAN: Bora, Price, Dimakis, AmbientGAN, ICLR 2018).
So samples have exactly the noise of their exposure, and the generator only has to learn smooth images.

Exposures are those of the training images: a sample takes the skeletal reference of one of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bonescan.prepare import Normalisation, denormalise, normalise
from bonescan.study import FloatImage

_MOST_COUNTS = np.iinfo(np.uint16).max


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
