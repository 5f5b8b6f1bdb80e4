"""The skeleton: every bone is there, on its side, at its place, and stays joined in every posture."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree
from tests.unit.test_phantom_anatomy import PAIR

from bonescan.phantom import axial, shoulder
from bonescan.phantom.anatomy import standard_bones
from bonescan.phantom.axial import VERTEBRAE, rib_line
from bonescan.phantom.posture import Arm, Posture, sample_build
from bonescan.phantom.uptake import TISSUE_UPTAKE
from bonescan.study import Region, Side

MIDLINE = {Side.MIDLINE}

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


@pytest.fixture(scope="module")
def bones():
    return list(standard_bones())


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


def test_radius_and_ulna_cross_as_the_palm_turns_inwards(bones, builds):
    """Seen from the front they lie side by side with the palm in front, and over one another with the palm inwards."""

    def apart(turned, end):
        arm = Arm(abduction=5, elbow=0, forward=0, hand=0, turned=turned)
        found = posed(bones, replace(builds["random 0"], arms=dict.fromkeys(PAIR, arm)))
        ulna, radius = (found[(name, Side.LEFT)] for name in ("ulna", "radius"))
        low, high = np.percentile(ulna[:, 2], (0, 20) if end == "elbow" else (80, 100))
        return abs(np.subtract(*(np.median(one[(one[:, 2] > low) & (one[:, 2] < high), 0]) for one in (radius, ulna))))

    assert apart(0, "wrist") > 15
    assert apart(90, "wrist") < 8
    assert apart(90, "elbow") > 10


def test_the_spine_of_the_loins_has_no_dots_in_its_midline(bones):
    """From behind it is one column: spinous processes, which point at the camera, are thin bone."""
    column = np.zeros((200, 120))
    for bone in bones:
        if bone.region is Region.LUMBAR_SPINE:
            x, y, z = bone.cloud.points.T
            weights = bone.cloud.weights * TISSUE_UPTAKE[bone.tissue] * np.exp(-0.01 * (y + 100))
            column += np.histogram2d(z, x, bins=[np.arange(530, 731), np.arange(-60, 61)], weights=weights)[0]
    seen = ndimage.gaussian_filter(column, 4.0)  # mm, as a camera near the back
    top, bottom = (int(axial.vertebra_levels()[name][0]) - 530 for name in ("L1", "L4"))
    middle, beside = seen[top:bottom, 57:63].mean(axis=1), seen[top:bottom, 40:50].mean(axis=1)
    assert middle.max() < 1.2 * np.median(middle)
    assert middle.max() < 1.6 * np.median(beside)


def test_a_humeral_head_is_twice_as_wide_as_the_shaft_below_it(bones):
    def width(name, low, high):
        points = next(bone for bone in bones if (bone.name, bone.side) == (name, Side.LEFT)).cloud.points
        x = points[(points[:, 2] > low) & (points[:, 2] < high), 0]
        return np.ptp(x)

    assert width("humeral head", 262, 288) > 2 * width("humeral shaft", 380, 420)
    # It narrows towards the shaft, and does not end above it.
    assert (
        width("humeral head", 262, 288) > 1.3 * width("humeral head", 305, 315) > 1.3 * width("humeral shaft", 380, 420)
    )
