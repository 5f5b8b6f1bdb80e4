"""What is measured of a GAN's samples: nearness to training images, diversity, resemblance. Imports no torch.

A copy that is mirrored, shifted or noisy is still a copy, and training itself mirrors and shifts. So images are blurred
first, which removes the noise, and the distance is the smallest over mirroring and small shifts. Every figure is also
taken of real images, as a reference: of patients that the GAN never saw, or else of the training images themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

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

NEAR = 0.5
"""Images are too near below this share of the usual distance to the nearest real image."""
SPECIFIC = 0.75
"""A copy's distance to its original is below this share of its distance to any other patient; a mean image's is not."""

COMPONENTS, NEIGHBOURS = 12, 3
"""Principal components and neighbours of the coverage."""
BANDS_PX = (2.0, 4.0, 8.0, 16.0)
"""Standard deviations between which bands of detail lie."""
FREQUENCIES = (0.02, 0.1, 0.25, 0.75)
"""Cycles per pixel between which bands of the power spectrum lie: anatomy, edges, noise (and checkerboards, in the
corners of the spectrum)."""

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


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near images are to training images.

    ratio: median, over the images, of the distance to the nearest training image, over the median distance of training
    images to their nearest other patient. specificity: median of that distance over the one to the nearest
    other patient; about 1 if no patient is copied. copies: share of the images that are copies.
    """

    ratio: float
    specificity: float
    copies: float


@dataclass(frozen=True, slots=True)
class Diversity:
    """How unlike samples are among one another, against training images of as many patients.

    spread: median distance among samples over that among real images. twins: share of the samples whose nearest
    other sample is nearer than NEAR times what real images' nearest others are. real_twins: the same share of real
    images. bands: standard deviation over the samples in each band of detail, finest first, over the real one.
    """

    spread: float
    twins: float
    real_twins: float
    bands: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Resemblance:
    """How much images look like training images.

    precision: share of the images within the training images' neighbourhoods; coverage: share of the
    training images that have one of them in theirs (Naeem et al., ICML 2020; of principal components of blurred images,
    as many images of either kind). spectrum: mean power in each band of frequencies over the training images'.
    profile: root mean square difference of mean uptake by rows and by columns, over the real spread of it.
    """

    precision: float
    coverage: float
    spectrum: tuple[float, ...]
    profile: float


def nearness(distances: Distances, scale: float, reference: Distances) -> Nearness:
    """How near images are to training images.

    distances, reference: (n, 2) from `nearest_patients`; the reference is that of real images that are no copies.
    scale: the distance of ratio 1.
    """
    specificity = distances[:, 0] / distances[:, 1]
    near = distances[:, 0] < NEAR * np.median(reference[:, 0])
    return Nearness(
        ratio=float(np.median(distances[:, 0])) / scale,
        specificity=float(np.median(specificity)),
        copies=float(np.mean(near & (specificity < SPECIFIC))),
    )


def diversity(samples: GanImages, training: GanImages, real: Distances) -> Diversity:
    """How unlike samples are among one another. Nearest neighbours are searched among as many of either kind.

    real: `distances_within` of the training images.
    """
    among = distances_within(samples)
    nearest: list[NDArray[np.float64]] = []
    real_nearest: list[NDArray[np.float64]] = []
    for view in np.unique(training.views):
        ours, theirs = np.flatnonzero(samples.views == view), np.flatnonzero(training.views == view)
        number = min(len(ours), len(theirs))
        nearest.append(_nearest_of(among, ours[:number]))
        real_nearest.append(_nearest_of(real, theirs[:number]))
    limit = NEAR * np.median(np.concatenate(real_nearest))
    return Diversity(
        spread=float(np.median(among[np.isfinite(among)]) / np.median(real[np.isfinite(real)])),
        twins=float(np.mean(np.concatenate(nearest) < limit)),
        real_twins=float(np.mean(np.concatenate(real_nearest) < limit)),
        bands=tuple(
            float(ours / theirs) for ours, theirs in zip(_band_spread(samples), _band_spread(training), strict=True)
        ),
    )


def _nearest_of(distances: Distances, chosen: NDArray[np.intp]) -> Distances:
    nearest: Distances = distances[np.ix_(chosen, chosen)].min(axis=1, initial=np.inf)
    return nearest


def _band_spread(images: GanImages) -> list[float]:
    """Standard deviation over the images of each view, root mean square over pixels and views, in each band."""
    finest, *widths = BANDS_PX
    # After the finest blur every second pixel is enough. The wider blurs start from it.
    scales = [ndimage.gaussian_filter(images.images, (0, finest, finest), mode="nearest")[:, ::2, ::2]]
    for width in widths:
        more = np.sqrt(width**2 - finest**2) / 2
        scales.append(ndimage.gaussian_filter(scales[0], (0, more, more), mode="nearest", truncate=3.0))
    bands = [fine - coarse for fine, coarse in pairwise(scales)] + [scales[-1]]
    views = [images.views == view for view in np.unique(images.views)]
    return [float(np.sqrt(np.mean([band[view].var(axis=0).mean() for view in views]))) for band in bands]


def resemblance(images: GanImages, training: GanImages, number: int) -> Resemblance:
    """How much `images` look like training images; precision and coverage of the first `number` of either kind.

    `training` must be in random order, see `shuffled`.
    """
    ours, theirs = _components(images, training)
    precision, coverage = _precision_and_coverage(ours[:number], theirs[:number])
    return Resemblance(
        precision=precision,
        coverage=coverage,
        spectrum=tuple((_band_power(images.images) / _band_power(training.images)).tolist()),
        profile=_profile_difference(images, training),
    )


def shuffled(images: GanImages) -> GanImages:
    """The same images in a random order, as they are read sorted by patient. Only their number decides the order."""
    order = np.random.default_rng(len(images)).permutation(len(images))
    return GanImages(
        images.images[order],
        images.references[order],
        images.views[order],
        tuple(images.patients[index] for index in order),
        tuple(images.spacings_mm[index] for index in order),
    )


def _components(images: GanImages, training: GanImages) -> tuple[Distances, Distances]:
    """Both sets, blurred, as principal components of the training images."""
    theirs = blurred(training.images).reshape(len(training), -1).astype(np.float64)
    middle = theirs.mean(axis=0)
    _, _, axes = np.linalg.svd(theirs - middle, full_matrices=False)
    axes = axes[:COMPONENTS]
    ours = blurred(images.images).reshape(len(images), -1)
    return (ours - middle) @ axes.T, (theirs - middle) @ axes.T


def _precision_and_coverage(ours: Distances, theirs: Distances) -> tuple[float, float]:
    """See `Resemblance`. The neighbourhood of a real image reaches to its NEIGHBOURS-th nearest other real image."""
    among = np.linalg.norm(theirs[:, None] - theirs, axis=-1)
    # Place 0 is the image itself.
    radii = np.sort(among, axis=1)[:, min(NEIGHBOURS, len(theirs) - 1)]
    inside = np.linalg.norm(ours[:, None] - theirs, axis=-1) <= radii
    return float(inside.any(axis=1).mean()), float(inside.any(axis=0).mean())


def _band_power(images: FloatImage) -> NDArray[np.float64]:
    """Mean power of the images in each band of radial frequency, tapered at the edges."""
    rows, cols = images.shape[1:]
    taper = np.outer(np.hanning(rows), np.hanning(cols)).astype(np.float32)
    power = (np.abs(np.fft.rfft2(images * taper)) ** 2).mean(axis=0)
    radius = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols))
    edges = pairwise(FREQUENCIES)
    return np.array([power[(radius >= low) & (radius < high)].mean() for low, high in edges])


def _profile_difference(images: GanImages, training: GanImages) -> float:
    """The `profile` of `Resemblance`, by view, so that another mix of views makes no difference."""
    squares = []
    for view in np.unique(training.views):
        ours, theirs = images.images[images.views == view], training.images[training.views == view]
        if not len(ours):
            continue
        for axis in (1, 2):
            profiles, real = ours.mean(axis=axis), theirs.mean(axis=axis)
            spread = np.sqrt(real.var(axis=0).mean())
            squares.append(np.mean(((profiles.mean(axis=0) - real.mean(axis=0)) / spread) ** 2))
    return float(np.sqrt(np.mean(squares)))
