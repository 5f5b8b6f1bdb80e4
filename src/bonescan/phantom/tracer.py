"""What is hot outside bone, and what is cold.

Kidneys, bladder, injection site, veins, urine, catheter, uptake of soft tissue; metal before the camera or in the body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from bonescan.phantom.anatomy import Anatomy
from bonescan.phantom.bones import BOTH, Segment
from bonescan.phantom.camera import VIEWS, Projection
from bonescan.phantom.foci import Images, add, make_blob, peak_ratio
from bonescan.phantom.posture import Posture
from bonescan.phantom.shapes import Cloud, Points, TubeSection, curve, ellipsoid, tube
from bonescan.study import Region, Side, View


@dataclass(frozen=True, slots=True)
class Organ:
    """A hot thing outside bone, already added to the images: its projection, strength and region."""

    region: Region
    projection: Projection
    factor: float


@dataclass(frozen=True, slots=True)
class _Scene:
    """What the makers below draw from."""

    anatomy: Anatomy
    images: Images
    typical: float
    rng: Generator

    def trunk(self, *points: tuple[float, float, float]) -> Points:
        return Posture(self.anatomy.build).apply(np.array(points, dtype=float), Segment.TRUNK)

    def add_ratio(self, region: Region, cloud: Cloud, ratio: float) -> Organ:
        """Add a cloud so that it reaches `ratio` times what lies under its peak."""
        projection = self.anatomy.camera.project(cloud)
        unit, _ = peak_ratio(projection, self.images)
        return self._add(region, projection, (ratio - 1) / max(unit, 1e-6))

    def add_level(self, region: Region, cloud: Cloud, level: float) -> Organ:
        """Add a cloud so that its peak is `level` times the typical body pixel."""
        projection = self.anatomy.camera.project(cloud)
        _, peak = peak_ratio(projection, self.images)
        return self._add(region, projection, level * self.typical / max(peak, 1e-6))

    def _add(self, region: Region, projection: Projection, factor: float) -> Organ:
        add(projection, self.images, factor)
        return Organ(region, projection, factor)

    def log_uniform(self, low: float, high: float) -> float:
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))


def add_tracer(anatomy: Anatomy, images: Images, superscan: bool, rng: Generator) -> list[Organ]:
    """Add one patient's organs and artefacts; returns those that belong on the region map."""
    body = anatomy.camera.body.inside
    scene = _Scene(anatomy, images, float(np.median(images[View.ANTERIOR][body])), rng)
    organs = [*_kidneys(scene, superscan), _bladder(scene)]
    for chance, make in _EXTRAS:
        if rng.random() < chance:
            organs += make(scene)
    return organs


def _kidneys(scene: _Scene, superscan: bool) -> Iterator[Organ]:
    rng = scene.rng
    # Nine people: peaks of 0.42 to 0.65 of the lumbar spine, three times what is beside them; some are barely seen.
    faint = 0.25 if rng.random() < 0.15 else 1.0
    strength = 1 + (faint * rng.gamma(3.0, 0.38) if not superscan else rng.uniform(0.0, 0.15))
    for side in BOTH:
        if rng.random() < 0.04:
            continue
        s = 1.0 if side is Side.LEFT else -1.0
        x, y, z = s * rng.normal(56, 6), rng.normal(-56, 7), rng.normal(532 if side is Side.LEFT else 545, 14)
        if rng.random() < 0.03:
            x, z = s * rng.uniform(10, 60), rng.uniform(620, 720)
        size = np.exp(rng.normal(0, 0.12))
        (centre,) = scene.trunk((x, y, z))
        cortex = ellipsoid(centre, np.array([27, 21, 52]) * size, hollow=0.35)
        lean = np.tan(np.radians(s * rng.normal(13, 6)))
        points = cortex.points.copy()
        points[:, 0] += (points[:, 2] - centre[2]) * lean
        own = 1 + (strength - 1) * rng.uniform(0.6, 1.4) * scene.anatomy.family.kidneys
        yield scene.add_ratio(Region.KIDNEY, Cloud(points, cortex.weights), own)
        if rng.random() < (0.1 if superscan else 0.45):
            blob = make_blob(centre + np.array([-s * 6, 0, rng.normal(0, 14)]), rng.uniform(5, 14, 3), np.eye(3), rng)
            yield scene.add_ratio(Region.KIDNEY, blob.filled(), 1 + rng.gamma(1.5, 0.5))


def _bladder(scene: _Scene) -> Organ:
    rng = scene.rng
    # Patients void before the scan: most bladders are small, wider than high, and rest on the pubic bones. Most are
    # pressed flat from above, with sides that rise around what presses on them.
    fill = rng.beta(1.2, 3.4)
    pressed = (1 - fill) * rng.uniform(0.2, 1.0)
    radii = np.array([27 + 36 * fill, 20 + 24 * fill, 15 + 38 * fill]) * np.exp(rng.normal(0, 0.12, 3))
    radii *= [1 + 0.4 * pressed, 1, 1 - 0.55 * pressed]
    low = 800 + rng.normal(0, 7) - 12 * fill
    (centre,) = scene.trunk((rng.normal(0, 6), 26 + rng.normal(0, 6), low - radii[2]))
    cloud = make_blob(centre, radii, np.eye(3), rng, irregular=0.18).filled()
    across = (cloud.points[:, 0] - centre[0]) / radii[0]
    points = cloud.points.copy()
    points[:, 2] -= pressed * rng.uniform(0, 40) * across**2 + rng.normal(0, 4) * across
    return scene.add_level(Region.BLADDER, Cloud(points, cloud.weights), scene.log_uniform(4.0, 40.0))


def _injection(scene: _Scene) -> Iterator[Organ]:
    rng = scene.rng
    side = Side.LEFT if rng.random() < 0.5 else Side.RIGHT
    name = str(
        rng.choice(
            ["antecubital fossa", "back of hand", "wrist", "forearm", "midfoot"], p=[0.46, 0.26, 0.12, 0.13, 0.03]
        )
    )
    place = scene.anatomy.landmarks[(name, side)] + rng.normal(0, 9, 3)
    port = rng.random() < 0.02
    if port:
        (place,) = scene.trunk((rng.choice([-1, 1]) * 70.0, 92, 305))  # under the skin of the chest
    radii = np.exp(rng.uniform(np.log(3), np.log(16))) * np.exp(rng.normal(0, 0.35, 3))
    level = scene.log_uniform(3.0, 200.0)
    yield scene.add_level(Region.OTHER_TRACER, make_blob(place, radii, np.eye(3), rng, irregular=0.9).filled(), level)
    if port or name == "midfoot":
        return
    if rng.random() < 0.12:
        shoulder = scene.anatomy.landmarks[("glenohumeral joint", side)]
        middle = (place + shoulder) / 2 + rng.normal(0, 10, 3)
        vein = tube(curve(np.stack([place, middle, shoulder])), TubeSection(2.5))
        yield scene.add_level(Region.OTHER_TRACER, vein, scene.log_uniform(0.4, 6.0))
    # An axillary node that drains an extravasation: small, medial of the humerus, and rare.
    if rng.random() < 0.02:
        inward = -30.0 if side is Side.LEFT else 30.0
        node = scene.anatomy.landmarks[("glenohumeral joint", side)] + np.array([inward, 0, rng.uniform(40, 80)])
        yield scene.add_level(Region.OTHER_TRACER, ellipsoid(node, (5, 5, 6)), scene.log_uniform(1.0, 8.0))


def _contamination(scene: _Scene) -> Iterator[Organ]:
    """Urine on skin and clothes: mostly between and on the thighs and at the hips, seldom over the thorax."""
    rng, body = scene.rng, scene.anatomy.camera.body
    grid = scene.anatomy.camera.grid
    for _ in range(int(rng.integers(1, 5))):
        kind = rng.choice(["perineum", "thighs", "hips", "anywhere"], p=[0.4, 0.35, 0.2, 0.05])
        x, z = {
            "perineum": (rng.normal(0, 35), rng.normal(860, 30)),
            "thighs": (rng.normal(0, 90), rng.uniform(860, 1100)),
            "hips": (rng.choice([-1, 1]) * rng.uniform(120, 190), rng.uniform(700, 900)),
            "anywhere": (rng.normal(0, 90), rng.uniform(250, 1400)),
        }[str(kind)]
        (centre,) = scene.trunk((x, 0, z))
        row, col = (
            int(np.clip(v, 0, n - 1))
            for v, n in zip(
                (centre[2] / grid.spacing.row_mm + grid.row0, centre[0] / grid.spacing.col_mm + grid.col0),
                grid.shape,
                strict=True,
            )
        )
        skin = body.front if rng.random() < 0.7 else body.back
        centre[1] = skin[row, col] if body.inside[row, col] else 0.0
        radii = np.exp(rng.uniform(np.log(2), np.log(18))) * np.exp(rng.normal(0, 0.5, 3))
        yield scene.add_level(
            Region.OTHER_TRACER,
            make_blob(centre, radii, np.eye(3), rng, irregular=1.0).filled(),
            scene.log_uniform(1.5, 40),
        )


def _catheter(scene: _Scene) -> Iterator[Organ]:
    rng = scene.rng
    s = rng.choice([-1.0, 1.0])
    start, *way = scene.trunk((0, 60, 800), (s * 40, 90, 850))
    bag_z = rng.uniform(1000, 1400) * scene.anatomy.build.height
    bag = np.array([s * rng.uniform(10, 230), 40.0, bag_z])
    line = tube(curve(np.stack([start, *way, (way[-1] + bag) / 2 + rng.normal(0, 25, 3), bag])), TubeSection(3))
    yield scene.add_level(Region.OTHER_TRACER, line, scene.log_uniform(0.8, 8))
    radii = np.array([rng.uniform(25, 55), 18, rng.uniform(30, 80)])
    yield scene.add_level(
        Region.OTHER_TRACER, make_blob(bag, radii, np.eye(3), rng, 0.3).filled(), scene.log_uniform(2, 60)
    )


def _ureters(scene: _Scene) -> Iterator[Organ]:
    rng = scene.rng
    s = rng.choice([-1.0, 1.0])
    line = curve(scene.trunk((s * 45, -40, 580), (s * 38, -20, 650), (s * 48, -10, 720), (s * 25, 10, 770)))
    start = int(rng.integers(0, 40))
    piece = line[start : start + int(rng.integers(6, 30))]
    if len(piece) > 3:
        yield scene.add_level(Region.OTHER_TRACER, tube(piece, TubeSection(3.5)), scene.log_uniform(1, 6))


def _soft(
    places: tuple[tuple[float, float, float], ...], radius: tuple[float, float], ratio: float
) -> Callable[[_Scene], Iterator[Organ]]:
    """Soft tissue that is hazy at one or more places; too faint for the region map unless it is focal."""

    def make(scene: _Scene) -> Iterator[Organ]:
        rng = scene.rng
        strength = 1 + (ratio - 1) * rng.beta(1.0, 2.0)
        for place in scene.trunk(*places):
            radii = rng.uniform(*radius) * np.exp(rng.normal(0, 0.15, 3))
            blob = make_blob(place + rng.normal(0, 6, 3), radii, np.eye(3), rng, 0.3)
            scene.add_ratio(Region.BACKGROUND, blob.filled(), 1 + (strength - 1) * rng.uniform(0.5, 1.3))
        yield from ()

    return make


_EXTRAS: tuple[tuple[float, Callable[[_Scene], Iterator[Organ]]], ...] = (
    (0.60, _injection),
    (0.22, _contamination),
    (0.06, _catheter),
    (0.08, _ureters),
    (0.30, _soft(((75, 105, 370), (-75, 105, 370)), (45, 75), 1.8)),  # breasts
    (0.10, _soft(((17, 8, 240), (-17, 8, 240)), (7, 13), 2.2)),  # thyroid
    (0.12, _soft(((-70, 10, 500),), (55, 80), 1.6)),  # liver
    (0.05, _soft(((35, 55, 400),), (35, 50), 1.8)),  # heart
    (0.05, _soft(((60, 20, 520),), (25, 45), 2.4)),  # stomach, spleen
    (0.06, _soft(((30, 40, 640), (-40, 40, 660), (0, 50, 700)), (15, 40), 2.4)),  # gut
    (0.03, _soft(((75, -10, 430),), (60, 80), 1.9)),  # pleural effusion
    (0.03, _soft(((-75, -10, 430),), (60, 80), 1.9)),
    (0.04, _soft(((60, 10, 350),), (10, 32), 2.2)),  # a tumour that takes up tracer itself
    (0.04, _soft(((-60, 10, 330),), (10, 32), 2.2)),
)


def metal(anatomy: Anatomy, rng: Generator) -> Images:
    """Metal before the camera or in the body: the share of counts that passes, per view; sharp-edged, 1 where none is.

    It lies over all that is under it, lesions included.
    """
    grid = anatomy.camera.grid
    passed: Images = {view: np.ones(grid.shape, dtype=np.float32) for view in VIEWS}
    rows, cols = np.mgrid[0 : grid.shape[0], 0 : grid.shape[1]].astype(np.float32)

    def shade(view: View, place: Points, half: tuple[float, float], left: float) -> None:
        row, col = (float(v[0]) for v in grid.pixels(place[None]))
        square = rng.random() < 0.5
        r, c = np.abs(rows - row) * grid.spacing.row_mm / half[0], np.abs(cols - col) * grid.spacing.col_mm / half[1]
        inside = (np.maximum(r, c) if square else np.hypot(r, c)) < 1
        passed[view][inside] *= np.float32(left)

    posture = Posture(anatomy.build)
    spots = (
        (0.05, (0, 90, 690), (18, 26)),
        (0.05, (70, 95, 310), (22, 24)),
        (0.05, (-100, 60, 730), (12, 12)),
        (0.04, (0, 80, 300), (9, 9)),
    )
    for chance, point, half in spots:
        if rng.random() < chance:
            (place,) = posture.apply(np.array([point], dtype=float), Segment.TRUNK)
            shade(View.ANTERIOR, place + rng.normal(0, 12, 3), half, float(rng.uniform(0.15, 0.7)))
    if rng.random() < 0.06:
        side = Side.LEFT if rng.random() < 0.5 else Side.RIGHT
        knee = rng.random() < 0.5
        name = "patella" if knee else "hip joint"
        place = anatomy.landmarks[(name, side)] + np.array([0, 0, 16.0 if knee else 14.0])
        left = float(rng.uniform(0.25, 0.6))
        for view in VIEWS:
            shade(view, place, (24, 34) if knee else (27, 27), left)
            if not knee:
                shade(view, place + np.array([30.0 if side is Side.LEFT else -30.0, 0, 90.0]), (75, 9), left)
    # Its edge is as sharp as the camera sees what lies on the skin.
    return {view: ndimage.gaussian_filter(image, 1.1) for view, image in passed.items()}
