"""Solids as evenly spread points, used to build the skeleton.

Patient coordinates, in millimetres: x towards the patient's left, y towards the front, z towards the
feet. A solid is a cloud of points whose weights add up to its volume in cubic centimetres times its
uptake density, so that a projection of the points is a line integral of activity.

Points come from a low-discrepancy sequence (Roberts' R-sequence, a Kronecker sequence on the generalised
golden ratio), which is far smoother than random points at the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]

POINTS_PER_CM3 = 200.0
"""Enough for a projection that is smooth after the camera's blur."""
MIN_POINTS = 240


@dataclass(frozen=True, slots=True)
class Cloud:
    """points: (n, 3) mm; weights: (n,), adding up to volume in cm3 times density."""

    points: Points
    weights: Points

    @staticmethod
    def joined(clouds: Sequence[Cloud]) -> Cloud:
        """One cloud of several."""
        return Cloud(np.concatenate([c.points for c in clouds]), np.concatenate([c.weights for c in clouds]))


def spread(n: int, dimensions: int) -> Points:
    """Return (n, dimensions) evenly spread points in the unit cube."""
    phi = 2.0
    for _ in range(32):
        phi = (1 + phi) ** (1 / (dimensions + 1))
    steps = (1 / phi) ** np.arange(1, dimensions + 1)
    # The regular lattice makes stripes in thin tubes; a random shift of up to half a cell each way removes them.
    jitter = np.random.default_rng(n).uniform(-0.5, 0.5, (n, dimensions)) * n ** (-1 / dimensions)
    return np.asarray((0.5 + np.outer(np.arange(1, n + 1), steps) + jitter) % 1.0)


def point_count(volume_cm3: float) -> int:
    """How many points a solid of this volume gets."""
    return int(max(MIN_POINTS, min(9000, POINTS_PER_CM3 * volume_cm3)))


def curve(knots: ArrayLike, n: int = 60) -> Points:
    """Return n points of a smooth curve (centripetal-free cubic spline by chord length) through the knots (k, 3)."""
    from scipy.interpolate import CubicSpline

    knots = np.asarray(knots, dtype=float)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    line = np.linspace(0, chord[-1], n)
    if len(knots) == 2:
        return np.asarray(knots[0] + (knots[1] - knots[0]) * (line / chord[-1])[:, None])
    return np.asarray(CubicSpline(chord, knots)(line))


@dataclass(frozen=True, slots=True)
class TubeSection:
    """A tube's cross-section along its course.

    radius: mm, one value or one per knot spread evenly over the course, in the direction across `flat`.
    flat: radius in the direction of `normal` over `radius` (1 = round).
    normal: direction (3,) that the flat radius follows, made perpendicular to the course.
    hollow: inner over outer radius (0 = filled).
    profile: uptake density along the course, evenly spread knots.
    """

    radius: float | Sequence[float]
    flat: float = 1.0
    normal: tuple[float, float, float] = (0.0, 1.0, 0.0)
    hollow: float = 0.0
    profile: Sequence[float] = (1.0,)


def _along(values: float | Sequence[float], t: Points) -> Points:
    knots = np.atleast_1d(np.asarray(values, dtype=float))
    return np.interp(t, np.linspace(0, 1, len(knots)), knots) if len(knots) > 1 else np.full(len(t), knots[0])


def tube(line: Points, section: TubeSection) -> Cloud:
    """Fill a tube around a curve (k, 3)."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    length = float(steps.sum())
    place = np.concatenate([[0.0], np.cumsum(steps)]) / length
    fine = np.linspace(0, 1, 200)
    area = np.pi * _along(section.radius, fine) ** 2 * section.flat * (1 - section.hollow**2)
    volume = float(area.mean()) * length / 1000
    n = point_count(volume + length * 0.012)
    u = spread(n, 3)
    course = np.cumsum(area)
    t = np.interp(u[:, 0] * course[-1], course, fine)
    centre = np.stack([np.interp(t, place, line[:, k]) for k in range(3)], axis=1)
    tangent = np.gradient(line, axis=0)
    along = np.stack([np.interp(t, place, tangent[:, k]) for k in range(3)], axis=1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    normal = np.asarray(section.normal, dtype=float)
    normal = normal - along * (along @ normal)[:, None]
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    across = np.cross(along, normal)
    reach = np.sqrt(section.hollow**2 + (1 - section.hollow**2) * u[:, 1]) * _along(section.radius, t)
    angle = 2 * np.pi * u[:, 2]
    points = centre + across * (reach * np.cos(angle))[:, None]
    points += normal * (reach * section.flat * np.sin(angle))[:, None]
    return Cloud(points, volume / n * _along(section.profile, t))


def ellipsoid(centre: ArrayLike, radii: ArrayLike, hollow: float = 0.0) -> Cloud:
    """Fill an ellipsoid, or its shell from `hollow` (0..1) of the radii outwards."""
    radii = np.asarray(radii, dtype=float)
    volume = float(4 / 3 * np.pi * np.prod(radii) * (1 - hollow**3) / 1000)
    surface = float((radii[0] * radii[1] + radii[1] * radii[2] + radii[0] * radii[2]) / 3 * 4 * np.pi)
    n = point_count(max(volume, surface * 0.0012 if hollow else 0.0))
    u = spread(n, 3)
    height = 1 - 2 * u[:, 0]
    ring = np.sqrt(1 - height**2)
    angle = 2 * np.pi * u[:, 1]
    reach = np.cbrt(hollow**3 + (1 - hollow**3) * u[:, 2])
    ball = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1) * reach[:, None]
    return Cloud(np.asarray(centre, dtype=float) + ball * radii, np.full(n, volume / n))


def drum(centre: ArrayLike, radii: ArrayLike, rim: float = 0.0) -> Cloud:
    """Fill an upright elliptic cylinder of half sizes (x, y, z); `rim` adds density towards both end plates."""
    radii = np.asarray(radii, dtype=float)
    volume = float(2 * np.pi * np.prod(radii) / 1000)
    n = point_count(volume)
    u = spread(n, 3)
    reach, angle, height = np.sqrt(u[:, 0]), 2 * np.pi * u[:, 1], 2 * u[:, 2] - 1
    unit = np.stack([reach * np.cos(angle), reach * np.sin(angle), height], axis=1)
    density = 1 + rim * (np.abs(height) ** 4 - 0.2)
    return Cloud(np.asarray(centre, dtype=float) + unit * radii, volume / n * density)


def sheet(edges: Sequence[Points], thickness: float | Sequence[float], density: Sequence[float] = (1.0,)) -> Cloud:
    """Fill a curved plate between curves.

    edges: the curves, (k, 3) mm each, from v = 0 to v = 1. thickness (mm), density: over v, evenly spread.
    """
    rows = np.stack([curve(edge, 40) for edge in edges])
    places = np.linspace(0, 1, len(rows))
    v_fine = np.linspace(0, 1, 24)
    grid = np.stack(
        [[[np.interp(v, places, rows[:, i, k]) for k in range(3)] for i in range(40)] for v in v_fine],
    )
    du, dv = np.gradient(grid, axis=1), np.gradient(grid, axis=0)
    normal = np.cross(du, dv)
    area = np.linalg.norm(normal, axis=2)
    normal /= np.maximum(area[..., None], 1e-9)
    total_area = float(area[:-1, :-1].sum())
    thick = _along(thickness, v_fine)
    volume = total_area * float(thick.mean()) / 1000
    n = point_count(volume + total_area * 0.0015)
    u = spread(n, 3)
    weight = area * thick[:, None]
    v_mass = np.cumsum(weight.sum(axis=1))
    v = np.interp(u[:, 0] * v_mass[-1], v_mass, v_fine)
    i_v, i_u = v * 23, u[:, 1] * 39
    centre = np.stack([_bilinear(grid[..., k], i_v, i_u) for k in range(3)], axis=1)
    across = np.stack([_bilinear(normal[..., k], i_v, i_u) for k in range(3)], axis=1)
    local = _bilinear(area, i_v, i_u) / np.maximum(_bilinear(np.tile(area.mean(axis=1)[:, None], 40), i_v, i_u), 1e-9)
    points = centre + across * ((u[:, 2] - 0.5) * _along(thickness, v))[:, None]
    return Cloud(points, volume / n * local * _along(density, v))


def _bilinear(grid: Points, row: Points, col: Points) -> Points:
    r, c = np.clip(row.astype(int), 0, grid.shape[0] - 2), np.clip(col.astype(int), 0, grid.shape[1] - 2)
    fr, fc = row - r, col - c
    top = grid[r, c] * (1 - fc) + grid[r, c + 1] * fc
    bottom = grid[r + 1, c] * (1 - fc) + grid[r + 1, c + 1] * fc
    return np.asarray(top * (1 - fr) + bottom * fr)
