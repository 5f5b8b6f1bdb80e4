"""Hot places of any kind: a ball, or the part of the bones that lies in a ball."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from bonescan.phantom.anatomy import Anatomy
from bonescan.phantom.body import Map
from bonescan.phantom.bones import Bone, Tissue
from bonescan.phantom.camera import VIEWS, Projection
from bonescan.phantom.shapes import Cloud, Points, ellipsoid
from bonescan.study import Side, View

Images = dict[View, Map]


@dataclass(frozen=True, slots=True)
class Focus:
    """Something hot (or cold), projected; excess in the images' units = projection times factor.

    flat: it is hot up to its edge, so that what is thin of it belongs to it, too.
    """

    projection: Projection
    factor: float
    flat: bool = False


@dataclass(frozen=True, slots=True)
class Blob:
    """An irregular ball: several overlapping ellipsoids with one axis frame.

    centres: (k, 3) mm; radii: (k, 3) mm along the columns of `axes` (3, 3). flat: as hot near its surface as at a
    centre.
    """

    centres: Points
    radii: Points
    axes: Points
    flat: bool = False

    def weight(self, points: Points) -> Points:
        """1 at a centre, 0 at the surface, for points (n, 3): falling towards it, or from near it on for a flat one."""
        best = np.zeros(len(points))
        for centre, radii in zip(self.centres, self.radii, strict=True):
            d2 = ((((points - centre) @ self.axes) / radii) ** 2).sum(axis=1)
            np.maximum(best, 1 - d2, out=best)
        return np.minimum(3 * np.sqrt(best), 1) if self.flat else np.sqrt(best)

    def filled(self) -> Cloud:
        """The blob itself as a cloud of unit density."""
        parts = [ellipsoid((0, 0, 0), r) for r in self.radii]
        return Cloud.joined(
            [Cloud(p.points @ self.axes.T + c, p.weights) for p, c in zip(parts, self.centres, strict=True)]
        )


def make_blob(
    centre: Points, radii: Points, axes: Points, rng: Generator, irregular: float = 0.5, flat: bool = False
) -> Blob:
    """Draw a blob of about these radii; `irregular` moves and sizes its parts."""
    k = 1 + int(rng.integers(0, 4)) if irregular else 1
    moves = rng.normal(0, irregular, (k, 3)) * radii
    moves[0] = 0
    sizes = np.exp(rng.normal(-0.25 * (k > 1), 0.35 * irregular, (k, 3))) * radii
    return Blob(centre + moves @ axes.T, sizes, axes, flat)


def bone_axes(points: Points, centre: Points, reach: float = 26.0) -> Points:
    """Principal directions (columns, longest first) of the bone's points around a place."""
    near = points[((points - centre) ** 2).sum(axis=1) < reach**2]
    if len(near) < 12:
        return np.eye(3)
    _, _, rows = np.linalg.svd(near - near.mean(axis=0), full_matrices=False)
    return np.asarray(rows.T)


def is_part_of(part: Bone, other: Bone) -> bool:
    """Whether two parts are of one bone and side, the first no cartilage. Those in the midline are of both sides."""
    same_side = part.side is other.side or Side.MIDLINE in (part.side, other.side)
    return part.bone == other.bone and same_side and part.tissue is not Tissue.CARTILAGE


def in_bone(anatomy: Anatomy, blob: Blob, only: Bone | None = None) -> Cloud:
    """The bones' part within a blob; the blob itself where there is hardly any bone.

    only: of the bone that this part belongs to alone, on its side and in the midline, without cartilage.
    """
    reach = blob.radii.max()
    low, high = blob.centres.min(axis=0) - reach, blob.centres.max(axis=0) + reach
    touched = ((anatomy.boxes[:, 0] < high) & (anatomy.boxes[:, 1] > low)).all(axis=1)
    clouds = []
    for i in np.flatnonzero(touched):
        part = anatomy.structures[i].bone
        if only is not None and not is_part_of(part, only):
            continue
        cloud = part.cloud
        x, y, z = cloud.points.T
        near = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1]) & (z > low[2]) & (z < high[2])
        if near.any():
            points = cloud.points[near]
            clouds.append(Cloud(points, cloud.weights[near] * blob.weight(points)))
    bone = Cloud.joined(clouds) if clouds else Cloud(np.zeros((0, 3)), np.zeros(0))
    hot = bone.weights > 0
    ball = blob.filled()
    if hot.sum() < 60:
        return ball
    if blob.flat:
        return Cloud(bone.points[hot], bone.weights[hot])
    # A little of the blob itself keeps small foci smooth and lets them swell beyond the bone.
    share = 0.15 * bone.weights.sum() / ball.weights.sum()
    return Cloud.joined([Cloud(bone.points[hot], bone.weights[hot]), Cloud(ball.points, ball.weights * share)])


def peak_ratio(projection: Projection, base: Images) -> tuple[float, float]:
    """Largest of (focus over what lies under it) over both views at unit density, and the focus' largest value."""
    best, peak = 0.0, 0.0
    for view in VIEWS:
        patch = projection[view]
        peak = max(peak, float(patch.image.max()))  # also where it lies off the frame
        rows, cols, prows, pcols = patch.window(base[view].shape)
        image = patch.image[prows, pcols]
        if not image.size:
            continue
        place = np.unravel_index(int(image.argmax()), image.shape)
        under = float(base[view][rows, cols][place])
        best = max(best, float(image[place]) / max(under, 1e-3))
    return best, peak


def add(projection: Projection, images: Images, factor: float) -> None:
    """Add a projection to both views."""
    for view in VIEWS:
        projection[view].add_to(images[view], factor)
