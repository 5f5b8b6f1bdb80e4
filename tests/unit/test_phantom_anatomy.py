"""An anatomy from its seed: every bone in its region and at its place, in a body that follows the build."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bonescan.phantom.anatomy import SHAPE
from bonescan.phantom.body import Grid, make_body
from bonescan.phantom.bones import Segment
from bonescan.phantom.findings import FINDINGS, _Painter
from bonescan.phantom.posture import Posture, sample_build
from bonescan.phantom.uptake import TISSUE_UPTAKE
from bonescan.study import BONE_REGIONS, COARSE_REGIONS, REGIONS, Region, Side, Spacing, View

PAIR = {Side.LEFT, Side.RIGHT}
SEED = 1  # of the first of `bodies`; arms at the sides


def digest(anatomy) -> str:
    """A hash of the bones' places and projections, the landmarks and the region maps."""
    found = hashlib.sha256()
    for structure in anatomy.structures:
        found.update(structure.bone.name.encode() + structure.bone.cloud.points.tobytes())
        for view in View:
            found.update(structure.projection[view].image.tobytes())
    for place in anatomy.landmarks.values():
        found.update(place.tobytes())
    for view in View:
        found.update(anatomy.regions[view].tobytes() + anatomy.haze["torso"][view].tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def anatomy(bodies):
    return bodies[0]


def test_an_anatomy_follows_from_its_seed_alone(anatomy, bodies):
    # Another process with another order of hashes, so that no set decides anything.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_phantom_anatomy import SEED, digest; "
        "from bonescan.phantom import make_anatomy; print(digest(make_anatomy(SEED)))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(anatomy)
    assert digest(bodies[1]) != digest(anatomy)


def test_every_bone_has_its_region_in_both_views(anatomy):
    for view in View:
        bones = {*BONE_REGIONS} - {*COARSE_REGIONS}
        if view is View.POSTERIOR:
            bones.remove(Region.FACE)  # the skull hides it
        assert {REGIONS[value] for value in np.unique(anatomy.regions[view])} == {Region.BACKGROUND, *bones}


@pytest.mark.parametrize(
    ("name", "side", "view"),
    [
        ("maxilla", Side.MIDLINE, View.ANTERIOR),
        ("occiput", Side.MIDLINE, View.POSTERIOR),
        ("sternal body", Side.MIDLINE, View.ANTERIOR),
        ("T8 body", Side.MIDLINE, View.POSTERIOR),
        ("L3 body", Side.MIDLINE, View.ANTERIOR),
        ("L3 body", Side.MIDLINE, View.POSTERIOR),
        ("sacrum body", Side.MIDLINE, View.POSTERIOR),
        ("iliac wing", Side.LEFT, View.ANTERIOR),
        ("iliac wing", Side.RIGHT, View.POSTERIOR),
        ("posterior ilium", Side.LEFT, View.POSTERIOR),
        ("anterior iliac border", Side.RIGHT, View.ANTERIOR),
        ("acetabulum", Side.LEFT, View.ANTERIOR),
        ("ischium", Side.RIGHT, View.POSTERIOR),
        ("symphysis", Side.MIDLINE, View.ANTERIOR),
        ("trochanters", Side.RIGHT, View.POSTERIOR),
        ("heel", Side.LEFT, View.POSTERIOR),
        ("humeral head", Side.RIGHT, View.ANTERIOR),
        ("radius", Side.LEFT, View.ANTERIOR),
        ("clavicle", Side.LEFT, View.ANTERIOR),
        ("femoral shaft", Side.LEFT, View.ANTERIOR),
        ("tibial shaft", Side.RIGHT, View.POSTERIOR),
        ("patella", Side.RIGHT, View.ANTERIOR),
    ],
)
def test_the_middle_of_a_bone_is_its_region(anatomy, name, side, view):
    (bone,) = (s.bone for s in anatomy.structures if (s.bone.name, s.bone.side) == (name, side))
    rows, cols = anatomy.camera.grid.pixels(np.median(bone.cloud.points, axis=0)[None])
    assert REGIONS[anatomy.regions[view][int(rows[0] + 0.5), int(cols[0] + 0.5)]] is bone.region


def test_the_bones_lie_within_the_body_and_the_frame(anatomy):
    inside = anatomy.camera.body.inside
    for structure in anatomy.structures:
        rows, cols = (np.rint(v).astype(int) for v in anatomy.camera.grid.pixels(structure.bone.cloud.points))
        within = (rows >= 0) & (rows < SHAPE[0]) & (cols >= 0) & (cols < SHAPE[1])
        assert within.all(), structure.bone.name
        share = inside[rows, cols].mean()
        assert share > 0.8, (structure.bone.name, share)


def bone_images(anatomy):
    """Both views of the skeleton alone with the median uptake, counts seen from the front."""
    images = {view: np.zeros(SHAPE, dtype=np.float32) for view in View}
    for structure in anatomy.structures:
        for view, image in images.items():
            structure.projection[view].add_to(image, TISSUE_UPTAKE[structure.bone.tissue])
    return images


def level(anatomy, image, name, share=95):
    """A high percentile of an image over a left or midline structure."""
    (bone,) = (s.bone for s in anatomy.structures if s.bone.name == name and s.bone.side is not Side.RIGHT)
    rows, cols = (np.rint(v).astype(int) for v in anatomy.camera.grid.pixels(bone.cloud.points))
    return float(np.percentile(image[rows, cols], share))


def test_the_posterior_ilium_is_the_hottest_of_the_pelvis_from_behind_and_the_front_border_from_the_front(anatomy):
    images = bone_images(anatomy)
    behind, front = (
        {
            name: level(anatomy, images[view], name, share)
            for name, share in {
                **dict.fromkeys(("L3 body", "posterior ilium", "ischium", "acetabulum", "anterior iliac border"), 95),
                **dict.fromkeys(("iliac wing", "sacrum body", "femoral head and neck", "symphysis"), 50),
            }.items()
        }
        for view in (View.POSTERIOR, View.ANTERIOR)
    )
    assert 0.6 < behind["posterior ilium"] / behind["L3 body"] < 1.4
    assert behind["iliac wing"] < 0.35 * behind["posterior ilium"]
    for part in ("ischium", "acetabulum", "sacrum body"):
        assert behind["iliac wing"] < behind[part] < behind["posterior ilium"], part
    assert front["anterior iliac border"] > 1.5 * front["posterior ilium"]
    assert front["iliac wing"] < 0.4 * front["anterior iliac border"]
    assert front["acetabulum"] > front["femoral head and neck"] > 0


def test_the_obturator_foramen_is_a_gap_between_ischium_and_pubis(anatomy):
    image = bone_images(anatomy)[View.ANTERIOR]
    place = Posture(anatomy.build).apply(np.array([[40.0, 20.0, 799.0]]), Segment.TRUNK)
    rows, cols = (round(float(v[0])) for v in anatomy.camera.grid.pixels(place))
    around = level(anatomy, image, "pubic rami", 50)
    assert image[rows - 1 : rows + 2, cols - 1 : cols + 2].mean() < 0.6 * around


@pytest.mark.parametrize(
    ("name", "bone"),
    [
        ("anterior iliac spine", "ilium"), ("iliac crest top", "ilium"), ("iliac crest front", "ilium"),
        ("iliac crest side", "ilium"), ("posterior iliac spine", "ilium"), ("sacroiliac joint", "sacroiliac joint"),
        ("sacroiliac joint below", "sacroiliac joint"), ("acetabular roof", "acetabulum"),
        ("acetabular edge", "acetabulum"), ("pubic bone", "pubis"), ("ischial tuberosity", "ischium"),
        ("hip joint", "femur"), ("greater trochanter", "femur"), ("lesser trochanter", "femur"),
        ("medial femoral condyle", "femur"), ("lateral femoral condyle", "femur"), ("patella", "patella"),
        ("medial tibial plateau", "tibia"), ("lateral tibial plateau", "tibia"), ("tibial tuberosity", "tibia"),
        ("fibular head", "fibula"), ("shin", "tibia"), ("ankle", "tibia"), ("heel", "foot"), ("midfoot", "foot"),
        ("great toe joint", "foot"),
    ],
)  # fmt: skip
def test_landmarks_lie_on_their_bones(anatomy, name, bone):
    for side in PAIR:
        points = np.concatenate(
            [s.bone.cloud.points for s in anatomy.structures if (s.bone.bone, s.bone.side) == (bone, side)]
        )
        gap = np.linalg.norm(points - anatomy.landmarks[(name, side)], axis=1).min()
        assert gap < 8, (name, side)


def test_every_place_of_benign_uptake_is_a_landmark(anatomy):
    known = {name for name, _ in anatomy.landmarks}
    assert {name for finding in FINDINGS for name in finding.landmarks} <= known


def test_soft_parts_do_not_share_a_space(anatomy):
    parts = anatomy.camera.body.parts
    for i, one in enumerate(parts):
        for other in parts[:i]:
            both = (one.front > one.back) & (other.front > other.back)
            shared = np.minimum(one.front, other.front) - np.maximum(one.back, other.back)
            assert not (shared[both] > 0.01).any(), (one.name, other.name)


def test_soft_tissue_follows_the_build():
    lean = replace(
        sample_build(np.random.default_rng(1)), female=True, fat=0.2, hips=0.0, belly=0.0, breasts=0.0, limbs=1.0
    )
    grid = Grid(SHAPE, Spacing(2.4, 2.4), 20.0, 127.5)

    def body(**changes):
        return make_body(Posture(replace(lean, **changes)), grid)

    plain = body()
    inside = plain.inside
    for change in ({"fat": 1.2}, {"belly": 30.0}, {"breasts": 1.5}):
        grown = body(**change)
        assert (grown.front - plain.front)[inside].max() > 15, change
    for change in ({"fat": 1.2}, {"hips": 20.0}, {"limbs": 1.2}):
        assert body(**change).inside.sum() > 1.01 * inside.sum(), change


def test_the_head_shows_what_peoples_scans_show(anatomy):
    """From the front the nose outshines the forehead and the orbits are paler than what surrounds them."""
    image = np.zeros(SHAPE, dtype=np.float32)
    for structure in anatomy.structures:
        if structure.bone.segment is Segment.HEAD:
            structure.projection[View.ANTERIOR].add_to(image, TISSUE_UPTAKE[structure.bone.tissue])

    def seen(point):
        place = Posture(anatomy.build).apply(np.array([point], dtype=float), Segment.HEAD)
        rows, cols = anatomy.camera.grid.pixels(place)
        row, col = int(rows[0] + 0.5), int(cols[0] + 0.5)
        return image[row - 1 : row + 2, col - 1 : col + 2].mean()

    forehead, nose, chin = seen((0, 70, 70)), seen((0, 60, 130)), seen((0, 76, 202))
    assert nose > 1.4 * forehead
    assert chin > forehead * 0.7
    for side in (1, -1):
        orbit = seen((side * 32, 70, 113))
        assert orbit < 0.8 * min(nose, seen((side * 48, 40, 111)))
    between_the_teeth = seen((0, 76, 186))
    assert between_the_teeth < min(chin, seen((0, 74, 172)))
    # The vault darkens from the brow to the vertex.
    assert seen((0, 70, 88)) < 0.8 * forehead < 0.8 * seen((0, 30, 12))


def test_most_benign_uptake_is_faint_and_some_of_it_hot():
    painter = _Painter(None, {}, np.random.default_rng(1), [])
    ratios = np.array([painter.ratio(4.0) for _ in range(4000)])
    assert ratios.min() >= 1 and ratios.max() <= 4
    assert np.median(ratios) < 1.4
    assert 0.05 < (ratios > 2).mean() < 0.15
    assert (ratios > 3).any()
