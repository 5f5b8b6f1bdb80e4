"""One patient's anatomy, projected once: every bone as a small image per view.

Projection is linear, so a patient of this anatomy is a weighted sum of these images; a new one costs
milliseconds (uptake, lesions, organs, dose), while a new anatomy costs seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bonescan.phantom import appendicular, axial, shoulder
from bonescan.phantom.body import Grid, Map, make_body
from bonescan.phantom.bones import Bone, Tissue
from bonescan.phantom.camera import VIEWS, Camera, Projection, sample_optics
from bonescan.phantom.posture import Build, Posture, sample_build
from bonescan.phantom.shapes import Cloud, Points
from bonescan.study import REGIONS, Side, Spacing, View

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
    regions: per view, seen from the front, uint8 values of REGIONS (bones only).
    """

    seed: int
    build: Build
    camera: Camera
    structures: tuple[Structure, ...]
    boxes: Points
    haze: Mapping[str, Mapping[View, Map]]
    landmarks: Mapping[tuple[str, Side], Points]
    regions: Mapping[View, RegionMap]

    @property
    def spacing(self) -> Spacing:
        """The detector's pixels."""
        return self.camera.grid.spacing


def standard_bones() -> Iterator[Bone]:
    """The whole standard skeleton."""
    yield from axial.skull()
    yield from axial.spine()
    yield from axial.sacrum()
    yield from axial.ribs()
    yield from axial.sternum()
    yield from shoulder.clavicles()
    yield from shoulder.scapulae()
    yield from shoulder.humeral_heads()
    yield from appendicular.arms()
    yield from appendicular.pelvis()
    yield from appendicular.legs()


def make_anatomy(seed: int) -> Anatomy:
    """Build, pose, dress and project one body. Deterministic from the seed; about a second."""
    rng = np.random.default_rng([0xB0E, seed])
    build = sample_build(rng)
    posture = Posture(build)
    grid = _grid(build, rng)
    camera = Camera(sample_optics(rng), grid, make_body(posture, grid))
    waves = _Grain.sample(rng)
    bones = [_posed(bone, posture, waves) for bone in standard_bones()]
    structures = tuple(Structure(bone, camera.project(bone.cloud)) for bone in bones)
    places = {
        (mark.name, mark.side): posture.apply(mark.point, mark.segment, mark.side)[0]
        for mark in (*axial.landmarks(), *appendicular.landmarks(), *shoulder.landmarks())
    }
    haze = {
        part.name: camera.haze({p.name: float(p.name == part.name) for p in camera.body.parts})
        for part in camera.body.parts
    }
    boxes = np.array([[b.cloud.points.min(axis=0), b.cloud.points.max(axis=0)] for b in bones])
    return Anatomy(seed, build, camera, structures, boxes, haze, places, {v: _region_map(structures, v) for v in VIEWS})


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
    weights = bone.cloud.weights * grain.at(points) * posture.build.height * posture.build.bone_mass
    return replace(bone, cloud=Cloud(points.astype(np.float32).astype(np.float64), weights))


def _region_map(structures: tuple[Structure, ...], view: View) -> RegionMap:
    """Each pixel's region = that of the structure that shines most there, where it shines enough to be seen."""
    brightest = np.zeros(SHAPE, dtype=np.float32)
    regions = np.zeros(SHAPE, dtype=np.uint8)
    for structure in structures:
        patch = structure.projection[view]
        rows, cols, prows, pcols = patch.window(SHAPE)
        image = patch.image[prows, pcols]
        if not image.size:
            continue
        # The vault's middle is seen through its thin face, its rim along it: one edge for both would leave holes.
        share = 0.12 if structure.bone.tissue is Tissue.VAULT else 0.4
        edge = share * np.percentile(patch.image[patch.image > 0.02 * patch.image.max()], 85)
        wins = (image > brightest[rows, cols]) & (image > edge)
        brightest[rows, cols][wins] = image[wins]
        regions[rows, cols][wins] = REGIONS.index(structure.bone.region)
    return regions
