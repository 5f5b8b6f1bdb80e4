"""Insert simulated lesions into the scan of a person. The noise of the result is exact.

Counts follow the Poisson distribution, and a sum of Poisson variables is a Poisson variable. So the counts of a lesion
are drawn from its mean and added to the counts of the scan, which stay unchanged.

Shapes, contrasts, camera and the rule for outlines are those of the phantom, but no lesion fills a whole bone. A lesion
lies in a bone that the region map shows, at the depth of that bone, and is seen from the front and from behind. Imports
no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bonescan.adapt.scene import Places, Scene
from bonescan.phantom.camera import VIEWS, Camera, sample_optics
from bonescan.phantom.foci import Blob, Focus, Images, add, make_blob, peak_ratio
from bonescan.phantom.metastases import Kind, Metastasis, Shape, sample_contrast, sample_shape
from bonescan.phantom.shapes import Cloud, Points
from bonescan.phantom.truth import Backdrop, LesionRecord, Truth, draw_truth
from bonescan.prepare.aggregate import from_pair
from bonescan.study import REGIONS, FloatImage, LabelImage, Mask, Region, Scan, Side, Study, View

_LONG_BONES = {Region.ARM, Region.HUMERUS, Region.FOREARM, Region.FEMUR, Region.LOWER_LEG}
_ACROSS = {Region.CERVICAL_SPINE, Region.THORACIC_SPINE, Region.LUMBAR_SPINE, Region.SACRUM}
"""Bones whose lesions stretch from side to side: end plates, and the sacrum."""
_MIDLINE = _ACROSS | {Region.STERNUM}
_DEPTH: Mapping[Region, tuple[float, float]] = {
    Region.FACE: (0.2, 0.1), Region.MANDIBLE: (0.25, 0.1), Region.CERVICAL_SPINE: (0.6, 0.08),
    Region.THORACIC_SPINE: (0.72, 0.06), Region.LUMBAR_SPINE: (0.66, 0.07), Region.SACRUM: (0.78, 0.06),
    Region.STERNUM: (0.12, 0.03), Region.CLAVICLE: (0.25, 0.08), Region.SCAPULA: (0.85, 0.06),
    Region.PUBIS: (0.35, 0.08), Region.ISCHIUM: (0.62, 0.08), Region.ILIUM: (0.6, 0.14), Region.PELVIS: (0.55, 0.16),
}  # fmt: skip
"""Depth of a bone's middle as a share of the body's thickness, 0 = anterior skin: mean and standard deviation."""
_DEPTH_OTHERWISE = (0.5, 0.07)
_FACING = {Region.RIBS: (0.13, 0.06), Region.SKULL: (0.15, 0.08)}
"""The same for bones that lie at both surfaces: depth of the part that a view shows, from the skin in that view."""
_THIN_MM = {
    Region.RIBS: 8.0, Region.STERNUM: 8.0, Region.CLAVICLE: 8.0, Region.SCAPULA: 8.0, Region.SKULL: 7.0,
    Region.MANDIBLE: 7.0,
}  # fmt: skip
_THICK_MM = 24.0
_NARROW_MM = {Region.RIBS: 9.0, Region.CLAVICLE: 10.0}
"""Largest radius across the bone, in the image plane: the region map shows the ribs as one area, which is no limit."""
_REACH_MM = 26.0
_RIB_REACH_MM = 12.0
"""Reach around a place for the direction of its rib: the next ribs lie 25 mm away."""
_BEYOND_BONE = 0.12
"""Density outside the bone's silhouette, against 1 inside: lesions swell a little, and the map's edge is not exact."""
_LEAST_EXPECTED = 1e-4


@dataclass(frozen=True, slots=True)
class InsertionConfig:
    """What is inserted into one scan."""

    none: float = 1 / 3
    """Share of draws without any lesion."""

    most: int = 14
    """Most lesions of a draw."""

    heat: float = 0.5
    """Share of lesions placed with probabilities by counts; the others are placed by area."""

    by_region: bool = True
    """Place lesions in bones, by how often each has metastases; false = anywhere in the body, for comparison."""


@dataclass(frozen=True, slots=True, eq=False)
class Inserted:
    """One draw of lesions for a scene, seen from the front in both views.

    added: (2, rows, cols) uint16 counts to add. expected: their mean, float32. lesions: uint16 numbers, from 1, of the
    lesions that stand out. faint: pixels of equivocal lesions, neither lesion nor background. table: one row per
    lesion, visible or not.
    """

    added: NDArray[np.uint16]
    expected: FloatImage
    lesions: LabelImage
    faint: Mask
    table: tuple[LesionRecord, ...]

    def counts(self, scene: Scene) -> NDArray[np.uint16]:
        """The scan's counts with those of the lesions (2, rows, cols)."""
        most = np.iinfo(np.uint16).max
        total: NDArray[np.uint16] = np.minimum(scene.counts.astype(np.uint32) + self.added, most).astype(np.uint16)
        return total

    def labels(self, study: Study) -> dict[View, LabelImage]:
        """The lesion numbers in the frames of the study that the scene was made of, as acquired."""
        return from_pair(self.lesions, study.shape, views=study.scans)

    def ignored(self, study: Study) -> dict[View, Mask]:
        """The equivocal lesions' pixels in the frames of the study, as acquired."""
        return from_pair(self.faint, study.shape, views=study.scans)

    def study(self, study: Study) -> Study:
        """The study that the scene was made of with the lesions' counts added."""
        added = from_pair(self.added, study.shape, views=study.scans)
        scans = {view: Scan(view, scan.counts + added[view]) for view, scan in study.scans.items()}
        return replace(study, scans=scans)


def insert(scene: Scene, rng: Generator, config: InsertionConfig | None = None) -> Inserted:
    """Draw lesions for a scene: number, places, shapes and contrasts; then draw their counts."""
    config = config or InsertionConfig()
    # One camera for the whole scan: all its lesions are equally sharp.
    camera = Camera(sample_optics(rng), scene.grid, scene.body)
    groups = scene.places if config.by_region else (scene.anywhere(),)
    number = _number(rng, config) if any(group.index.size for group in groups) else 0
    drawn = [_lesion(scene, camera, groups, config, rng) for _ in range(number)]
    lesions = [lesion for lesion in drawn if lesion is not None]
    excess: Images = {view: np.zeros(scene.shape, dtype=np.float32) for view in VIEWS}
    for lesion in lesions:
        add(lesion.focus.projection, excess, lesion.focus.factor)
    expected = np.stack([excess[view] * scene.passed[view] for view in VIEWS])
    added = np.zeros(expected.shape, dtype=np.uint16)
    some = expected > _LEAST_EXPECTED
    added[some] = np.minimum(rng.poisson(expected[some]), np.iinfo(np.uint16).max)
    truth = truth_of(scene, lesions, expected)
    return Inserted(
        added,
        expected,
        np.stack([truth.lesions[view] for view in VIEWS]),
        np.stack([truth.faint[view] for view in VIEWS]),
        truth.table,
    )


def truth_of(scene: Scene, lesions: list[Metastasis], expected: FloatImage) -> Truth:
    """What a physician would outline of the lesions on the scan they were added to, by the phantom's rule."""
    under, passed = dict(scene.under), dict(scene.passed)
    over = {view: under[view] + expected[channel] for channel, view in enumerate(VIEWS)}
    regions = {view: scene.regions[channel] for channel, view in enumerate(VIEWS)}
    return draw_truth(lesions, Backdrop(under, over, np.ones(scene.shape, dtype=np.float32), regions, passed))


def _number(rng: Generator, config: InsertionConfig) -> int:
    if rng.random() < config.none:
        return 0
    low, high = ((1, 3), (3, 8), (8, 15))[int(rng.choice(3, p=[0.45, 0.4, 0.15]))]
    return min(int(rng.integers(low, high)), config.most)


def _lesion(
    scene: Scene, camera: Camera, groups: tuple[Places, ...], config: InsertionConfig, rng: Generator
) -> Metastasis | None:
    """One lesion, or None where it would lie off the frame."""
    channel, row, col = _place(scene, groups, config.heat, rng)
    region = REGIONS[int(scene.regions[channel, row, col])]
    shape = _shape(region, rng)
    spacing = scene.grid.spacing
    depth = _depth(scene, (channel, row, col), region, rng)
    centre = np.array([col * spacing.col_mm, depth, row * spacing.row_mm])
    radii = np.minimum(shape.radii, [np.inf, _NARROW_MM.get(region, np.inf), _THIN_MM.get(region, _THICK_MM)])
    axes = _axes(scene, (channel, row, col), region)
    blob = make_blob(centre, radii, axes, rng, irregular=shape.irregular, flat=shape.flat)
    silhouette = scene.silhouette(channel, region) if config.by_region else None
    cloud = _in_silhouette(scene, blob, silhouette)
    projection = camera.project(cloud)
    seen = {view: np.where(scene.passed[view] > 0, scene.under[view], np.inf) for view in VIEWS}
    unit, _ = peak_ratio(projection, seen)
    if not 0 < unit < np.inf:
        return None
    contrast = sample_contrast(shape, rng)
    return Metastasis(
        bone=str(region),
        region=region,
        side=_side(scene, col, region),
        radius_mm=shape.radius_mm,
        contrast=contrast,
        focus=Focus(projection, (contrast - 1) / unit, shape.flat),
        volume_cm3=float(cloud.weights.sum()),
        bone_cm3=0.0,
    )


def _shape(region: Region, rng: Generator) -> Shape:
    """A lesion's form. None fills a whole bone: the region map does not separate the bones of one region."""
    while (shape := sample_shape(region, region in _LONG_BONES, rng)).kind is Kind.WHOLE:
        pass
    return shape


def _place(scene: Scene, groups: tuple[Places, ...], heat: float, rng: Generator) -> tuple[int, int, int]:
    """A pixel (channel, row, col) of bone."""
    chances = np.array([group.chance for group in groups])
    group = groups[int(rng.choice(len(groups), p=chances / chances.sum()))]
    flat = group.draw(bool(rng.random() < heat), rng)
    channel, row, col = np.unravel_index(flat, scene.counts.shape)
    return int(channel), int(row), int(col)


def _depth(scene: Scene, place: tuple[int, int, int], region: Region, rng: Generator) -> float:
    """Where the bone lies from back to front, in mm, in the body's coordinates."""
    channel, row, col = place
    mean, spread = _DEPTH.get(region, _DEPTH_OTHERWISE)
    if region in _FACING:
        mean, spread = _FACING[region]
        mean = mean if channel == 0 else 1 - mean
    share = float(np.clip(rng.normal(mean, spread), 0.04, 0.96))
    front, back = float(scene.body.front[row, col]), float(scene.body.back[row, col])
    return front - share * (front - back) if front > back else 0.0


def _axes(scene: Scene, place: tuple[int, int, int], region: Region) -> Points:
    """Axes (columns): along the bone in the image's plane, across it, and through the body."""
    channel, row, col = place
    along = np.array([1.0, 0.0])
    if region is Region.RIBS:
        along = _along_the_rib(scene, place)
    elif region not in _ACROSS:
        rows, cols = _window(scene, row, col, _REACH_MM)
        rows_of, cols_of = np.nonzero(scene.regions[channel, rows, cols] == scene.regions[channel, row, col])
        if rows_of.size >= 12:
            points = np.stack([cols_of, rows_of], axis=1) * _pixel(scene)
            along = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]
    return np.array([[along[0], -along[1], 0.0], [0.0, 0.0, 1.0], [along[1], along[0], 0.0]])


def _along_the_rib(scene: Scene, place: tuple[int, int, int]) -> NDArray[np.float64]:
    """Unit vector (x, z) in which the scan changes least around a place.

    The region map does not show the direction: it has the ribs as one area.
    """
    channel, row, col = place
    rows, cols = _window(scene, row, col, _RIB_REACH_MM)
    by_row, by_col = np.gradient(scene.under[VIEWS[channel]][rows, cols])
    slopes = np.stack([by_col.ravel(), by_row.ravel()]) / _pixel(scene)[:, None]
    return np.linalg.eigh(slopes @ slopes.T)[1][:, 0]


def _pixel(scene: Scene) -> NDArray[np.float64]:
    """Size of a pixel along x and z, mm."""
    return np.array([scene.grid.spacing.col_mm, scene.grid.spacing.row_mm])


def _window(scene: Scene, row: int, col: int, reach_mm: float) -> tuple[slice, slice]:
    """Rows and columns within a reach of a pixel."""
    reach_cols, reach_rows = np.rint(reach_mm / _pixel(scene)).astype(int).tolist()
    return (
        slice(max(0, row - reach_rows), row + reach_rows + 1),
        slice(max(0, col - reach_cols), col + reach_cols + 1),
    )


def _in_silhouette(scene: Scene, blob: Blob, silhouette: FloatImage | None) -> Cloud:
    """The blob, denser towards its centre, and thin where the region map shows no bone."""
    ball = blob.filled()
    weights = ball.weights * (0.15 + 0.85 * blob.weight(ball.points))
    if silhouette is not None:
        rows, cols = scene.grid.pixels(ball.points)
        last = np.array(scene.shape) - 1
        inside = silhouette[
            np.clip(np.rint(rows).astype(int), 0, last[0]), np.clip(np.rint(cols).astype(int), 0, last[1])
        ]
        weights = weights * (_BEYOND_BONE + (1 - _BEYOND_BONE) * inside)
    return Cloud(ball.points, weights)


def _side(scene: Scene, col: int, region: Region) -> Side:
    """The side of the body. Seen from the front, the patient's left is on the right."""
    if region in _MIDLINE:
        return Side.MIDLINE
    inside = np.flatnonzero((scene.body.front > scene.body.back).any(axis=0))
    middle = (inside[0] + inside[-1]) / 2 if inside.size else scene.shape[1] / 2
    return Side.LEFT if col > middle else Side.RIGHT
