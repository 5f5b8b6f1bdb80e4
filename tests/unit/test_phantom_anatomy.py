"""The skeleton: every bone is there, on its side, at its place, and stays joined in every posture."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from bonescan.phantom import axial, make_anatomy, shoulder
from bonescan.phantom.anatomy import SHAPE, standard_bones
from bonescan.phantom.axial import VERTEBRAE, rib_line
from bonescan.phantom.body import Grid, make_body
from bonescan.phantom.bones import Segment
from bonescan.phantom.findings import FINDINGS, _Painter
from bonescan.phantom.posture import Arm, Posture, sample_build
from bonescan.phantom.uptake import TISSUE_UPTAKE
from bonescan.study import BONE_REGIONS, COARSE_REGIONS, REGIONS, Region, Side, Spacing, View

PAIR = {Side.LEFT, Side.RIGHT}
MIDLINE = {Side.MIDLINE}
SEED = 3  # arms at the sides

BONES: dict[str, tuple[Region, set[Side]]] = {
    **{f"C{i}": (Region.CERVICAL_SPINE, MIDLINE) for i in range(1, 8)},
    **{f"T{i}": (Region.THORACIC_SPINE, MIDLINE) for i in range(1, 13)},
    **{f"L{i}": (Region.LUMBAR_SPINE, MIDLINE) for i in range(1, 6)},
    **{f"rib {i}": (Region.RIBS, PAIR) for i in range(1, 13)},
    "skull": (Region.SKULL, MIDLINE | PAIR),
    "face": (Region.FACE, MIDLINE | PAIR),
    "mandible": (Region.MANDIBLE, PAIR),
    "sacrum": (Region.SACRUM, MIDLINE),
    "coccyx": (Region.SACRUM, MIDLINE),
    "sternum": (Region.STERNUM, MIDLINE),
    "clavicle": (Region.CLAVICLE, PAIR),
    "scapula": (Region.SCAPULA, PAIR),
    "humerus": (Region.HUMERUS, PAIR),
    **dict.fromkeys(("radius", "ulna"), (Region.FOREARM, PAIR)),
    "hand": (Region.HAND, PAIR),
    **dict.fromkeys(("ilium", "sacroiliac joint", "acetabulum"), (Region.ILIUM, PAIR)),
    "ischium": (Region.ISCHIUM, PAIR),
    "pubis": (Region.PUBIS, MIDLINE | PAIR),
    "femur": (Region.FEMUR, PAIR),
    "patella": (Region.FEMUR, PAIR),
    "tibia": (Region.LOWER_LEG, PAIR),
    "fibula": (Region.LOWER_LEG, PAIR),
    "foot": (Region.FOOT, PAIR),
}

NEIGHBOURS: tuple[tuple[str, str, float], ...] = (
    *((f"{a} body", f"{b} body", 12) for a, b in pairwise(VERTEBRAE)),
    *((f"{name} body", f"{name} arch", 6) for name in VERTEBRAE),
    *((f"rib {i}", f"T{i} body", 15) for i in range(1, 13)),
    *((f"rib {i}", f"rib {i} front", 3) for i in range(1, 11)),
    *((f"rib {i} front end", f"rib {i} cartilage", 6) for i in range(1, 11)),
    ("rib 1 cartilage", "manubrium", 12),
    *((f"rib {i} cartilage", "sternal body", 12) for i in range(2, 8)),
    ("vault", "skull base", 20), ("mandible", "skull base", 15), ("C1 body", "skull base", 15),
    ("zygoma", "maxilla", 15), ("sphenoid wing", "orbit", 12), ("sphenoid wing", "skull base", 12),
    ("sphenoid wing", "vault", 20), ("orbit", "zygoma", 8), ("nasal cavity", "maxilla", 8), ("occiput", "vault", 8),
    ("lambdoid suture", "vault", 6), ("coronal suture", "vault", 6), ("sagittal suture", "vault", 6),
    ("mastoid", "vault", 12), ("mastoid", "skull base", 8),
    ("humeral condyles", "radial head", 12), ("radial head", "radius", 8), ("radius", "distal forearm", 8),
    ("distal forearm", "carpus", 12),
    ("L5 body", "sacrum body", 12), ("sacrum body", "coccyx", 12),
    ("manubrium", "sternal body", 10), ("clavicle", "manubrium", 10), ("clavicle", "scapular spine", 25),
    ("coracoid", "glenoid", 10), ("scapula blade", "scapula borders", 6), ("scapular spine", "scapula borders", 8),
    ("glenoid", "scapula blade", 12),
    ("humeral head", "glenoid", 12), ("humeral head", "humeral shaft", 6), ("humeral shaft", "humeral condyles", 12),
    ("humeral condyles", "olecranon", 12), ("olecranon", "ulna", 6),
    ("radius", "carpus", 12), ("ulna", "carpus", 12), ("carpus", "fingers", 8),
    ("iliac wing", "iliac crest", 6), ("iliac wing", "posterior ilium", 6), ("posterior ilium", "sacroiliac joint", 6),
    ("sacroiliac joint", "sacrum body", 8), ("iliac wing", "acetabulum", 8), ("sacrum body", "sacral crest", 6),
    ("anterior iliac border", "iliac crest", 6), ("anterior iliac border", "acetabulum", 8),
    ("femoral head and neck", "acetabulum", 10), ("pubic rami", "acetabulum", 10), ("pubic rami", "symphysis", 10),
    ("ischium", "acetabulum", 10), ("ischial body", "ischium", 8),
    ("ischial body", "acetabulum", 8), ("ischium", "pubic rami", 10), ("trochanters", "femoral shaft", 8),
    ("femoral head and neck", "trochanters", 8), ("femoral shaft", "femoral condyles", 8),
    ("femoral condyles", "patella", 18), ("femoral condyles", "tibial plateau", 12), ("tibial plateau", "fibula", 12),
    ("tibial plateau", "tibial shaft", 8), ("tibial shaft", "tibial malleolus", 6), ("fibula", "hindfoot", 15),
    ("tibial malleolus", "hindfoot", 12), ("hindfoot", "heel", 8), ("hindfoot", "midfoot", 8),
    ("midfoot", "cuneiforms", 8), ("cuneiforms", "great toe", 8), ("cuneiforms", "forefoot", 8),
)  # fmt: skip
"""Two neighbours, and the most millimetres that may gape between them."""


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
def bones():
    return list(standard_bones())


@pytest.fixture(scope="module")
def anatomy():
    return make_anatomy(SEED)


@pytest.fixture(scope="module")
def builds():
    arms = {
        "up": Arm(abduction=160, elbow=-10, forward=10, hand=0),
        "folded": Arm(abduction=12, elbow=-60, forward=20, hand=10),
    }
    sampled = [sample_build(np.random.default_rng(seed)) for seed in range(8)]
    twisted = replace(sampled[4], head=(-20, 50, 8), scoliosis=(36, 1.5, 1.6), kyphosis=45)
    return {
        **{f"random {i}": build for i, build in enumerate(sampled[:4])},
        **{name: replace(sampled[5], arms=dict.fromkeys(PAIR, arm)) for name, arm in arms.items()},
        "twisted": twisted,
    }


def posed(bones, build):
    posture = Posture(build)
    return {(b.name, b.side): posture.apply(b.cloud.points, b.segment, b.side) for b in bones}


def test_every_bone_is_there_with_its_region_and_sides(bones):
    found: dict[str, tuple[set[Region], set[Side]]] = {}
    for bone in bones:
        regions, sides = found.setdefault(bone.bone, (set(), set()))
        regions.add(bone.region)
        sides.add(bone.side)
    assert found == {name: ({region}, sides) for name, (region, sides) in BONES.items()}
    names = {bone.name for bone in bones}
    assert {f"{name} {part}" for name in VERTEBRAE for part in ("body", "arch")} <= names


def test_left_and_right_are_mirror_images_on_their_own_sides(bones):
    by_name = {(bone.name, bone.side): bone.cloud for bone in bones}
    for (name, side), cloud in by_name.items():
        if side is Side.LEFT:
            assert cloud.points[:, 0].mean() > 5, name
            other = by_name[(name, Side.RIGHT)]
            np.testing.assert_array_equal(other.points, cloud.points * [-1, 1, 1])
        elif side is Side.MIDLINE:
            assert abs(np.average(cloud.points[:, 0], weights=cloud.weights)) < 2, name
        assert (cloud.weights > 0).all(), name


def test_the_standard_skeleton_has_an_adults_proportions(bones):
    centre = {bone.name: bone.cloud.points.mean(axis=0) for bone in bones if bone.side is not Side.RIGHT}
    heights = [centre[f"{name} body"][2] for name in VERTEBRAE]
    assert heights == sorted(heights)
    everything = np.concatenate([bone.cloud.points for bone in bones])
    tall = np.ptp(everything[:, 2])
    assert 1580 < tall < 1720
    assert centre["symphysis"][2] / tall == pytest.approx(0.485, abs=0.03)  # the middle of the body, a little above
    assert np.ptp(everything[everything[:, 2] < 190][:, 0]) == pytest.approx(154, abs=15)  # the head's width
    # y grows towards the front: sternum before spine, patella before femur, heel behind toes.
    for ahead, behind in (
        ("sternal body", "T8 body"), ("T8 body", "T8 arch"), ("patella", "femoral condyles"), ("forefoot", "hindfoot"),
        ("symphysis", "sacrum body"), ("clavicle", "scapular spine"), ("maxilla", "occiput"),
    ):  # fmt: skip
        assert centre[ahead][1] > centre[behind][1] + 10, (ahead, behind)


def test_the_thorax_has_an_adults_proportions(bones):
    left = {bone.name: bone.cloud.points for bone in bones if bone.side is Side.LEFT}
    cage = np.concatenate([left[f"rib {i}"] for i in range(1, 13)])
    assert 2 * cage[:, 0].max() == pytest.approx(242, abs=12)
    for number in range(3, 11):
        line = rib_line(number)
        turning = int(line[:, 0].argmax())
        head, lateral, front = line[0], line[turning], line[-1]
        # Down from the head to the side, and on to the front.
        assert lateral[2] > head[2] + 18, number
        assert front[2] > lateral[2] + 10, number
        np.testing.assert_allclose(left[f"rib {number}"][:, 0].max(), lateral[0], atol=8)
    tip = left["scapula borders"][:, 2].max()
    assert rib_line(6)[14, 2] < tip < rib_line(8)[14, 2]
    # The column of the neck and of the chest is as wide as that of the loins.
    widths = {
        name: np.ptp(np.concatenate([b.cloud.points for b in bones if b.bone == name])[:, 0])
        for name in ("C5", "T6", "L3")
    }
    assert widths["C5"] > 40
    assert widths["T6"] > 50
    assert widths["L3"] > 60


def test_landmarks_lie_on_the_bones_of_the_thorax(bones):
    trees = {
        side: cKDTree(np.concatenate([bone.cloud.points for bone in bones if bone.side in (side, Side.MIDLINE)]))
        for side in PAIR
    }
    marks = [mark for mark in (*axial.landmarks(), *shoulder.landmarks()) if mark.side in PAIR]
    names = ("rib ", "scap", "acromio", "coracoid", "humeral head", "greater tubercle")
    own = [mark for mark in marks if mark.name.startswith(names) or mark.name.endswith(("facet", "osteophyte"))]
    assert len(own) > 2 * (12 * 5 + 24 * 2)
    for mark in own:
        assert trees[mark.side].query(mark.point)[0] < 8, mark.name


@pytest.mark.parametrize("name", ["random 0", "random 1", "random 2", "random 3", "up", "folded", "twisted"])
def test_bones_stay_joined_in_a_posed_body(name, bones, builds):
    points = posed(bones, builds[name])
    gaps = {}
    for first, second, most in NEIGHBOURS:
        for side in Side:
            other = second if (second, side) in points else None
            if (first, side) in points:
                near = points[(second, side if other else Side.MIDLINE)]
                gap = cKDTree(near[::2]).query(points[(first, side)][::2])[0].min()
                if gap > most:
                    gaps[(first, second, side)] = round(float(gap), 1)
    assert gaps == {}


def test_arms_hang_or_are_raised(bones, builds):
    raised, hanging = (posed(bones, builds[name]) for name in ("up", "random 1"))
    for side in PAIR:
        assert raised[("fingers", side)][:, 2].max() < raised[("vault", Side.MIDLINE)][:, 2].min()
        assert hanging[("fingers", side)][:, 2].min() > hanging[("L5 body", Side.MIDLINE)][:, 2].max()
        outside = np.abs(hanging[("ulna", side)][:, 0]).min() > np.abs(hanging[("iliac wing", side)][:, 0]).max()
        assert outside


def test_an_anatomy_follows_from_its_seed_alone(anatomy):
    # Another process with another order of hashes, so that no set decides anything.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_phantom_anatomy import SEED, digest, make_anatomy; "
        "print(digest(make_anatomy(SEED)))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(anatomy)
    assert digest(make_anatomy(SEED + 1)) != digest(anatomy)


def test_every_bone_has_its_region_in_both_views(anatomy):
    for view in View:
        assert {REGIONS[value] for value in np.unique(anatomy.regions[view])} == {Region.BACKGROUND, *BONE_REGIONS} - {
            *COARSE_REGIONS
        }


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


def test_a_humeral_head_is_twice_as_wide_as_the_shaft_below_it(bones):
    def width(name, low, high):
        points = next(bone for bone in bones if (bone.name, bone.side) == (name, Side.LEFT)).cloud.points
        x = points[(points[:, 2] > low) & (points[:, 2] < high), 0]
        return np.ptp(x)

    assert width("humeral head", 262, 288) > 2 * width("humeral shaft", 380, 420)


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

    forehead, nose, chin = seen((0, 70, 70)), seen((0, 60, 130)), seen((0, 79, 188))
    assert nose > 1.4 * forehead
    assert chin > forehead * 0.7
    for side in (1, -1):
        orbit = seen((side * 32, 70, 108))
        assert orbit < 0.8 * min(nose, seen((side * 52, 40, 106)))
    arc = seen((0, 76, 172))
    assert arc < min(chin, seen((0, 74, 158)))


def test_most_benign_uptake_is_faint_and_some_of_it_hot():
    painter = _Painter(None, {}, np.random.default_rng(1), [])
    ratios = np.array([painter.ratio(4.0) for _ in range(4000)])
    assert ratios.min() >= 1 and ratios.max() <= 4
    assert np.median(ratios) < 1.4
    assert 0.05 < (ratios > 2).mean() < 0.15
    assert (ratios > 3).any()
