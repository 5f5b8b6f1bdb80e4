"""One patient's anatomy, projected once: every bone as a small image per view.

Projection is linear, so a patient of this anatomy is a weighted sum of these images; a new one costs
milliseconds (uptake, lesions, organs, dose), while a new anatomy costs seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bonescan.phantom import arms, axial, head, legs, pelvis, shoulder
from bonescan.phantom.body import Grid, Map, make_body
from bonescan.phantom.bones import Bone, Landmark, Tissue
from bonescan.phantom.camera import VIEWS, Camera, Projection, sample_optics
from bonescan.phantom.family import STANDARD, Family
from bonescan.phantom.posture import Build, Posture, sample_build
from bonescan.phantom.shapes import Cloud, Points
from bonescan.study import LEVELS, REGIONS, Region, Side, Spacing, View

SHAPE = (1024, 256)
RegionMap = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Structure:
    """A bone in its place.

    bone: its cloud holds its points in the patient's body (mm). projection: both views at density 1.
    """

    bone: Bone
    projection: Projection


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """A body that was projected; make patients of it with `make_patient`.

    boxes: (structures, 2, 3) lowest and highest coordinates of each structure, mm.
    haze: soft tissue at concentration 1, per part and view.
    landmarks: (name, side) -> point (3,) mm.
    regions: per view, seen from the front, uint8 values of REGIONS (bones only), named as `region_from` does.
    levels: likewise, values of LEVELS.
    """

    seed: int
    family: Family
    build: Build
    camera: Camera
    structures: tuple[Structure, ...]
    boxes: Points
    haze: Mapping[str, Mapping[View, Map]]
    landmarks: Mapping[tuple[str, Side], Points]
    regions: Mapping[View, RegionMap]
    levels: Mapping[View, RegionMap]

    @property
    def spacing(self) -> Spacing:
        """The detector's pixels."""
        return self.camera.grid.spacing


def standard_bones() -> Iterator[Bone]:
    """The whole standard skeleton."""
    yield from head.bones()
    yield from axial.spine()
    yield from pelvis.sacrum()
    yield from axial.ribs()
    yield from axial.sternum()
    yield from shoulder.clavicles()
    yield from shoulder.scapulae()
    yield from shoulder.humeral_heads()
    yield from arms.bones()
    yield from pelvis.pelvis()
    yield from legs.legs()


def _landmarks() -> Iterator[Landmark]:
    for part in (head, axial, shoulder, arms, pelvis, legs):
        yield from part.landmarks()


def make_anatomy(seed: int, family: Family = STANDARD) -> Anatomy:
    """Build, pose, dress and project one body. Deterministic from the seed and the family; about two seconds."""
    rng = np.random.default_rng([0xB0E, seed, *family.key])
    build = _of_family(sample_build(rng), family)
    posture = Posture(build)
    grid = _grid(build, rng)
    camera = Camera(sample_optics(rng, family.slope), grid, make_body(posture, grid))
    waves = _Grain.sample(rng)
    bones = [_posed(bone, posture, waves) for bone in standard_bones()]
    structures = tuple(Structure(bone, camera.project(bone.cloud)) for bone in bones)
    places = {(mark.name, mark.side): posture.apply(mark.point, mark.segment, mark.side)[0] for mark in _landmarks()}
    haze = {
        part.name: camera.haze({p.name: float(p.name == part.name) for p in camera.body.parts})
        for part in camera.body.parts
    }
    boxes = np.array([[b.cloud.points.min(axis=0), b.cloud.points.max(axis=0)] for b in bones])
    shown = {view: _shown(structures, view) for view in VIEWS}
    regions = {
        view: _look_up(shown[view], [REGIONS.index(region_from(view, bone.region)) for bone in bones]) for view in VIEWS
    }
    levels = {view: _look_up(shown[view], [_level(bone) for bone in bones]) for view in VIEWS}
    return Anatomy(seed, family, build, camera, structures, boxes, haze, places, regions, levels)


def _of_family(build: Build, family: Family) -> Build:
    return replace(
        build,
        height=build.height * family.height,
        girth=build.girth * family.girth,
        chest=build.chest * family.chest,
        pelvis=build.pelvis * family.pelvis,
        leg_length=build.leg_length * family.leg_length,
        fat=build.fat + family.fat,
    )


def _grid(build: Build, rng: Generator) -> Grid:
    """Choose pixel size and place the patient: usually whole in the field, sometimes with feet or a hand outside."""
    pixel = float(rng.choice([2.26, 2.4, 2.21, 2.33])) if rng.random() < 0.85 else float(rng.uniform(2.2, 2.4))
    row0 = rng.uniform(19, 160)
    stretch = 1640 * build.height / pixel
    if row0 + stretch > 1010 and rng.random() < 0.7:
        row0 = max(12.0, 1010 - stretch)
    col0 = 127.5 + rng.normal(0, 3.0)
    return Grid(SHAPE, Spacing(pixel, pixel), float(row0), float(col0))


@dataclass(frozen=True, slots=True)
class _Grain:
    """Smooth texture of a bone's uptake: a sum of waves in space."""

    waves: Points
    phases: Points
    strength: float

    @staticmethod
    def sample(rng: Generator) -> _Grain:
        direction = rng.normal(size=(10, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = np.exp(rng.uniform(np.log(14), np.log(90), 10))
        return _Grain(
            direction * (2 * np.pi / length)[:, None], rng.uniform(0, 2 * np.pi, 10), float(rng.uniform(0.03, 0.13))
        )

    def at(self, points: Points) -> Points:
        """Factor around 1 for each point."""
        return np.asarray(np.exp(self.strength * np.sin(points @ self.waves.T + self.phases).sum(axis=1) / 1.5))


def _posed(bone: Bone, posture: Posture, grain: _Grain) -> Bone:
    points = posture.apply(bone.cloud.points, bone.segment, bone.side)
    # The vault is even on people's scans.
    texture = grain.at(points) ** (0.35 if bone.tissue is Tissue.VAULT else 1.0)
    weights = bone.cloud.weights * texture * posture.build.height * posture.build.bone_mass
    return replace(bone, cloud=Cloud(points.astype(np.float32).astype(np.float64), weights))


def region_from(view: View, region: Region) -> Region:
    """What a map calls a region in a view: from behind, the face is hidden by the skull and is taken for it."""
    return Region.SKULL if view is View.POSTERIOR and region is Region.FACE else region


def _shown(structures: tuple[Structure, ...], view: View) -> NDArray[np.int32]:
    """Each pixel's structure: of those above their own minimum, that with the highest projected value; -1 = none."""
    brightest = np.zeros(SHAPE, dtype=np.float32)
    shown = np.full(SHAPE, -1, dtype=np.int32)
    for number, structure in enumerate(structures):
        patch = structure.projection[view]
        rows, cols, prows, pcols = patch.window(SHAPE)
        image = patch.image[prows, pcols]
        if not image.size:
            continue
        # The middle of vault and iliac wing is seen through the thin face, the rim along it: one edge for both would
        # leave holes.
        thin = structure.bone.tissue is Tissue.VAULT or structure.bone.name == "iliac wing"
        share = 0.12 if thin else 0.4
        edge = share * np.percentile(patch.image[patch.image > 0.02 * patch.image.max()], 85)
        wins = (image > brightest[rows, cols]) & (image > edge)
        brightest[rows, cols][wins] = image[wins]
        shown[rows, cols][wins] = number
    return shown


def _look_up(shown: NDArray[np.int32], values: Sequence[int]) -> RegionMap:
    """The value of each pixel's structure; 0 where there is none."""
    return np.array([*values, 0], dtype=np.uint8)[shown]


def _level(bone: Bone) -> int:
    return LEVELS.index(bone.bone) if bone.bone in LEVELS else 0
