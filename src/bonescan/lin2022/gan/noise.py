"""Counting noise: from the expected picture that a generator draws to one that a camera could have counted.

A scan is one Poisson draw from an expected picture. A DCGAN could be left to learn that noise, and does it badly: it
has some dozens of latent numbers for 65,536 independent ones, and fakes them with texture that it repeats from sample
to sample. So noise is not learned but added: the generator draws expected uptake, and the same draw of counts stands
between it and the discriminator in training as between it and the file in sampling (a known measurement inside a
GAN: Bora, Price, Dimakis, AmbientGAN, ICLR 2018). The discriminator then compares like with like, samples have exactly
the noise of their exposure, and what the generator must learn is smooth.

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
    """Draw counts (rows, cols) of an expected normalised image at the exposure that `reference` stands for."""
    counts = rng.poisson(denormalise(expected, reference, normalisation))
    return np.minimum(counts, _MOST_COUNTS).astype(np.uint16)


def noise_of(
    expected: FloatImage, references: NDArray[np.float64], normalisation: Normalisation, rng: np.random.Generator
) -> FloatImage:
    """What counting adds to expected normalised images (n, rows, cols), each at its own reference: the same shape.

    The gradient of a draw is not known; the square root of `normalise` makes its spread all but the same at every
    level, so that training takes the noise for a constant and the gradient for that of the expected image.
    """
    noise = np.empty_like(expected)
    for number, reference in enumerate(references.tolist()):
        counts = count_image(expected[number], reference, normalisation, rng)
        noise[number] = normalise(counts, normalisation, reference) - expected[number]
    return noise
