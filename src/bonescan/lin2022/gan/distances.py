"""Distances between images, independent of noise, mirroring and small shifts. Imports no torch.

A copy that is mirrored, shifted or noisy is still a copy, and training itself mirrors and shifts. So images are blurred
first, which removes the noise, and the distance is the smallest over mirroring and small shifts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.lin2022.gan.images import GanImages
from bonescan.prepare import mirror
from bonescan.study import FloatImage, Mask

BLUR_PX = 3.0
"""Standard deviation of the blur: noise falls to a tenth, a rib stays."""
STEP_PX = 2
"""Every second pixel is kept: the blur removes finer detail."""
REACH_PX = 6
"""Largest shift, in pixels, over which the smallest distance is searched."""

Distances = NDArray[np.float64]


def blurred(images: FloatImage) -> FloatImage:
    """Images (n, rows, cols), blurred and subsampled: (n, rows / STEP_PX, cols / STEP_PX)."""
    smooth: FloatImage = ndimage.gaussian_filter(images, (0, BLUR_PX, BLUR_PX), mode="nearest")
    return smooth[:, ::STEP_PX, ::STEP_PX]


def aligned_distances(one: GanImages, other: GanImages) -> Distances:
    """Root mean square difference of blurred images, the smallest over mirroring and shifts: (len(one), len(other)).

    In normalised intensity, over the pixels that every shift keeps in the image. Infinite between different views.
    """
    reach = REACH_PX // STEP_PX
    moving, still = blurred(one.images), blurred(other.images)
    middle = still.mean(axis=0)  # taken off both, so that the squares below do not cancel
    rows, cols = (size - 2 * reach for size in middle.shape)
    target = _flat(still - middle, (reach, reach), (rows, cols))
    target_squares = _squares(target)
    least = np.full((len(moving), len(still)), np.inf)
    for turned in (moving, mirror(moving)):
        for top in range(2 * reach + 1):
            for left in range(2 * reach + 1):
                window = turned[:, top : top + rows, left : left + cols] - middle[reach:-reach, reach:-reach]
                flat = window.reshape(len(window), -1)
                squares = _squares(flat)[:, None] + target_squares - 2.0 * (flat @ target.T)
                np.minimum(least, squares, out=least)
    distances: Distances = np.sqrt(np.maximum(least, 0.0) / (rows * cols))
    distances[one.views[:, None] != other.views] = np.inf
    return distances


def distances_within(images: GanImages) -> Distances:
    """Aligned distances between images of one set, made symmetric, (n, n).

    The distance is infinite from an image to itself and to the other images of its patient.
    """
    distances = aligned_distances(images, images)
    distances = np.minimum(distances, distances.T)
    distances[_same_patient(images)] = np.inf
    return distances


def nearest_patients(distances: Distances, patients: tuple[str, ...]) -> Distances:
    """Distance to the nearest image and to the nearest of any *other* patient's images, (n, 2).

    distances: (n, m) to the images of `patients`. The second is infinite if there is only one patient.
    """
    names = np.array(patients)
    nearest = distances.argmin(axis=1)
    of_others = np.where(names[nearest][:, None] == names, np.inf, distances)
    return np.stack([distances.min(axis=1), of_others.min(axis=1)], axis=1)


def _same_patient(images: GanImages) -> Mask:
    names = np.array(images.patients)
    return np.asarray(names[:, None] == names)


def _flat(images: FloatImage, corner: tuple[int, int], size: tuple[int, int]) -> FloatImage:
    window = images[:, corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
    return window.reshape(len(images), -1)


def _squares(flat: FloatImage) -> Distances:
    squares: Distances = np.einsum("ij,ij->i", flat, flat).astype(np.float64)
    return squares
