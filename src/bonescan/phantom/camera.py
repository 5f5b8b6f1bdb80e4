"""A two-headed gamma camera: attenuation, blur that grows with depth, scatter, counting noise.

Physics (bone-scan practice with a low-energy high-resolution collimator, 140 keV): intrinsic resolution 3.8 mm FWHM,
collimator 1.8 mm + 0.045 of the distance, then Poisson noise. Attenuation is the effective one, 0.09-0.12 per cm in
tissue, less than the 0.154 of a narrow beam because scattered photons are counted, too. So scatter adds no counts: it
moves a share of 4-30 % of them into a broad tail; what is scattered by small angles counts as unscattered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from bonescan.phantom.body import Body, Grid, Map
from bonescan.phantom.shapes import Cloud, Points
from bonescan.study import View

VIEWS = (View.ANTERIOR, View.POSTERIOR)
_SIGMA_STEP = 0.4
_FWHM = 2.3548
LUNG_DENSITY = 0.3
_EDGE_DEPTH = 65.0
"""How far (mm) behind the nearest skin the body's outline lies, roughly; it is as sharp as the camera is there."""


@dataclass(frozen=True, slots=True)
class Optics:
    """How sharply, and through how much, the camera sees.

    mu: effective attenuation per mm, scattered photons included. intrinsic, collimator (mm), slope: resolution (FWHM),
    at a distance d from the collimator the root of intrinsic^2 + (collimator + slope d)^2. gap_front, gap_back: mm from
    skin to collimator. table: share of the posterior view's counts that pass the table on which the patient lies.
    """

    mu: float
    intrinsic: float
    collimator: float
    slope: float
    gap_front: float
    gap_back: float
    table: float = 1.0


def sample_optics(rng: Generator, slope: tuple[float, float] = (0.038, 0.055)) -> Optics:
    """Draw a camera and how close it came. slope: lowest and highest of the field of that name."""
    return Optics(
        mu=float(rng.uniform(0.009, 0.012)),
        intrinsic=float(rng.uniform(3.4, 4.4)),
        collimator=float(rng.uniform(1.5, 2.6)),
        slope=float(rng.uniform(*slope)),
        gap_front=float(rng.uniform(15, 80)),
        gap_back=float(rng.uniform(20, 60)),
        table=float(rng.uniform(0.76, 0.94)),
    )


@dataclass(frozen=True, slots=True)
class Patch:
    """A piece of a projection: a small image and the (row, col) of its first pixel.

    Seen from the front in both views.
    """

    row: int
    col: int
    image: Map

    def add_to(self, canvas: Map, factor: float = 1.0) -> None:
        """Add the patch, times a factor, to a canvas; what lies off the canvas is lost, as on a detector."""
        rows, cols = self.image.shape
        r0, c0 = max(0, -self.row), max(0, -self.col)
        r1, c1 = min(rows, canvas.shape[0] - self.row), min(cols, canvas.shape[1] - self.col)
        if r0 < r1 and c0 < c1:
            canvas[self.row + r0 : self.row + r1, self.col + c0 : self.col + c1] += self.image[
                r0:r1, c0:c1
            ] * np.float32(factor)

    def window(self, shape: tuple[int, int]) -> tuple[slice, slice, slice, slice]:
        """Slices of the canvas and of the patch where both overlap."""
        rows, cols = self.image.shape
        r0, c0 = max(0, -self.row), max(0, -self.col)
        r1, c1 = max(r0, min(rows, shape[0] - self.row)), max(c0, min(cols, shape[1] - self.col))
        return (slice(self.row + r0, self.row + r1), slice(self.col + c0, self.col + c1), slice(r0, r1), slice(c0, c1))


Projection = dict[View, Patch]


@dataclass(frozen=True, slots=True)
class Camera:
    """Sees one body from the front and from the back."""

    optics: Optics
    grid: Grid
    body: Body

    def project(self, cloud: Cloud) -> Projection:
        """Both views of a cloud of activity, in attenuated, blurred line integrals per pixel."""
        rows, cols = self.grid.pixels(cloud.points)
        r = np.clip(np.rint(rows).astype(int), 0, self.grid.shape[0] - 1)
        c = np.clip(np.rint(cols).astype(int), 0, self.grid.shape[1] - 1)
        y = cloud.points[:, 1]
        lung_front, lung_back = self.body.lung_front[r, c], self.body.lung_back[r, c]
        skin = {View.ANTERIOR: self.body.front[r, c], View.POSTERIOR: self.body.back[r, c]}
        inside = skin[View.ANTERIOR] > skin[View.POSTERIOR]
        seen: Projection = {}
        for view in VIEWS:
            facing = 1.0 if view is View.ANTERIOR else -1.0
            depth = np.where(inside, np.clip((skin[view] - y) * facing, 0, None), 0.0)
            if view is View.ANTERIOR:
                air = np.clip(lung_front - np.maximum(y, lung_back), 0, None)
            else:
                air = np.clip(np.minimum(y, lung_front) - lung_back, 0, None)
            path = np.clip(depth - (1 - LUNG_DENSITY) * air, 0, None)
            gap = self.optics.gap_front if view is View.ANTERIOR else self.optics.gap_back
            weights = cloud.weights * np.exp(-self.optics.mu * path)
            if view is View.POSTERIOR:
                weights = weights * self.optics.table
            seen[view] = self._splat(rows, cols, weights, self._sigma(depth + gap))
        return seen

    def _sigma(self, distance: Points) -> Points:
        """Blur (standard deviation, pixels) at a distance (mm) from the collimator."""
        o = self.optics
        fwhm = np.sqrt(o.intrinsic**2 + (o.collimator + o.slope * distance) ** 2)
        return np.asarray(fwhm / _FWHM / self.grid.spacing.row_mm)

    def _splat(self, rows: Points, cols: Points, weights: Points, sigma: Points) -> Patch:
        level = np.rint(sigma / _SIGMA_STEP).astype(int)
        margin = int(np.ceil(3.2 * level.max() * _SIGMA_STEP)) + 2
        row0, col0 = int(np.floor(rows.min())) - margin, int(np.floor(cols.min())) - margin
        shape = (int(rows.max()) - row0 + margin + 2, int(cols.max()) - col0 + margin + 2)
        total = np.zeros(shape, dtype=np.float32)
        for one in np.unique(level):
            pick = level == one
            image = _bilinear_histogram(rows[pick] - row0, cols[pick] - col0, weights[pick], shape)
            total += ndimage.gaussian_filter(image, one * _SIGMA_STEP, truncate=3.2, mode="constant")
        # cm3 per pixel -> per cm2, so that the image is concentration times path length in cm.
        return Patch(row0, col0, total * np.float32(100.0 / self.grid.spacing.pixel_area_mm2))

    def haze(self, concentration: dict[str, float]) -> dict[View, Map]:
        """Soft tissue of each part, attenuated in itself: (1 - exp(-mu T)) / mu a pixel, in concentration times cm."""
        mu = self.optics.mu
        out = {view: np.zeros(self.grid.shape, dtype=np.float32) for view in VIEWS}
        for part in self.body.parts:
            inside = part.front > part.back
            thick = np.where(inside, part.front - part.back, 0)
            own = (1 - np.exp(-mu * thick)) / mu / 10 * concentration[part.name]
            ahead = np.where(inside, self.body.front - part.front, 0)
            behind = np.where(inside, part.back - self.body.back, 0)
            out[View.ANTERIOR] += (own * np.exp(-mu * ahead)).astype(np.float32)
            out[View.POSTERIOR] += (own * np.exp(-mu * behind) * self.optics.table).astype(np.float32)
        gaps = {View.ANTERIOR: self.optics.gap_front, View.POSTERIOR: self.optics.gap_back}
        sigma = self._sigma(np.array([gaps[view] + _EDGE_DEPTH for view in VIEWS]))
        return {view: ndimage.gaussian_filter(out[view], s) for view, s in zip(VIEWS, sigma, strict=True)}


def _bilinear_histogram(rows: Points, cols: Points, weights: Points, shape: tuple[int, int]) -> Map:
    r, c = rows.astype(int), cols.astype(int)
    fr, fc = rows - r, cols - c
    size, flat = shape[0] * shape[1], r * shape[1] + c
    total = np.bincount(flat, weights * (1 - fr) * (1 - fc), size)
    total += np.bincount(flat + 1, weights * (1 - fr) * fc, size)[:size]
    total += np.bincount(flat + shape[1], weights * fr * (1 - fc), size)[:size]
    total += np.bincount(flat + shape[1] + 1, weights * fr * fc, size)[:size]
    return total.reshape(shape).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Exposure:
    """How long and how well a patient was counted.

    counts: wanted in the hotter view, before drift and air. scatter: share of the counts in the tail. scatter_mm: its
    spread (standard deviation). background: counts in air over those of the median body pixel. drift: relative change
    of sensitivity from the middle row to the last. smoothed: standard deviation (pixels) of the scanner's own filter,
    0 = none. length: where the scan ended, as a share of the way to the toes, 1 = at the end of the frame.
    """

    counts: float
    scatter: float
    scatter_mm: float
    background: float
    drift: float
    smoothed: float
    length: float = 1.0


def sample_exposure(
    rng: Generator, counts: tuple[float, float] = (0.4e6, 6.0e6), scatter: tuple[float, float] = (0.04, 0.30)
) -> Exposure:
    """Draw how long and how well the patient was counted. counts, scatter: lowest and highest of those fields."""
    return Exposure(
        counts=float(np.exp(rng.uniform(np.log(counts[0]), np.log(counts[1])))),
        scatter=float(np.exp(rng.uniform(np.log(scatter[0]), np.log(scatter[1])))),
        scatter_mm=float(rng.uniform(20, 60)),
        background=float(np.exp(rng.uniform(np.log(0.0015), np.log(0.035)))),
        drift=float(rng.normal(0, 0.04)),
        smoothed=float(rng.uniform(0.5, 0.9)) if rng.random() < 0.12 else 0.0,
        length=float(rng.uniform(0.62, 0.97)) if rng.random() < 0.08 else 1.0,
    )


def scattered(image: Map, exposure: Exposure, spacing_mm: float) -> Map:
    """An image of which a share is moved into a broad tail; the sum stays, but for what leaves the frame."""
    coarse = image.reshape(image.shape[0] // 8, 8, image.shape[1] // 8, 8).mean(axis=(1, 3))
    sigma = exposure.scatter_mm / (8 * spacing_mm)
    tail = 0.75 * ndimage.gaussian_filter(coarse, sigma, mode="constant")
    tail += 0.25 * ndimage.gaussian_filter(coarse, 2.5 * sigma, mode="constant")
    broad = ndimage.zoom(tail, 8, order=1, grid_mode=True, mode="nearest")
    return np.asarray((1 - exposure.scatter) * image + exposure.scatter * broad, dtype=np.float32)


def count(expected: Map, exposure: Exposure, rng: Generator) -> Map:
    """Integer counts of an expected image; some scanners store a smoothed one."""
    counts = rng.poisson(expected).astype(np.float32)
    if exposure.smoothed:
        counts = np.rint(ndimage.gaussian_filter(counts, exposure.smoothed)).astype(np.float32)
    return counts
