"""Where tracer outside bone lies, in the patient's coordinates: x to the left, y to the front, z to the feet, in mm."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bonescan.phantom import tracer
from bonescan.phantom.bones import BOTH
from bonescan.phantom.shapes import Cloud
from bonescan.study import Region, Side

SITES = {"antecubital fossa": 0.46, "back of hand": 0.26, "wrist": 0.12, "forearm": 0.13, "midfoot": 0.03}
PATIENTS = 300


@pytest.fixture(scope="module")
def anatomy(bodies):
    return bodies[0]


@pytest.fixture(scope="module")
def draw(anatomy):
    """Draw a maker for many patients: draw(make) -> for each patient the clouds of what is hot, blobs as their middle.

    Nothing is projected: images and strengths play no part.
    """

    def add_level(scene, region, cloud, level):
        assert region is Region.OTHER_TRACER
        assert level > 0
        return cloud.points

    def make_blob(centre, *shape, **more):
        return SimpleNamespace(filled=lambda: Cloud(centre[None].copy(), np.ones(1)))

    def drawn(make):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tracer._Scene, "add_level", add_level)
            patch.setattr(tracer, "make_blob", make_blob)
            scenes = (tracer._Scene(anatomy, {}, 1.0, np.random.default_rng([5, seed])) for seed in range(PATIENTS))
            return [list(make(scene)) for scene in scenes]

    return drawn


@pytest.fixture(scope="module")
def injections(draw):
    return draw(tracer._injection)


def site_of(anatomy, place):
    """The nearest site of injection, its side, and how far it is."""
    gaps = {(name, side): np.linalg.norm(anatomy.landmarks[(name, side)] - place) for name in SITES for side in BOTH}
    (name, side), gap = min(gaps.items(), key=lambda item: item[1])
    return name, side, gap


def gap_to(anatomy, bones, side, place):
    points = [s.bone.cloud.points for s in anatomy.structures if s.bone.bone in bones and s.bone.side is side]
    return np.linalg.norm(np.concatenate(points) - place, axis=1).min()


def test_injections_are_in_the_arm_seldom_in_the_foot_or_a_port_of_the_chest(anatomy, injections):
    found = [site_of(anatomy, clouds[0][0]) for clouds in injections]
    arms = [(name, side) for name, side, gap in found if gap < 45]
    for name, share in SITES.items():
        assert sum(own == name for own, _ in arms) / PATIENTS == pytest.approx(share, abs=0.07), name
    assert np.mean([side is Side.LEFT for _, side in arms]) == pytest.approx(0.5, abs=0.08)
    ports = [clouds[0][0] for clouds, (_, _, gap) in zip(injections, found, strict=True) if gap >= 45]
    assert 0 < len(ports) < 0.05 * PATIENTS
    sternum = np.concatenate([s.bone.cloud.points for s in anatomy.structures if s.bone.bone == "sternum"])
    for place in ports:
        assert sternum[:, 2].min() - 30 < place[2] < sternum[:, 2].max() + 30
        assert abs(place[0] - sternum[:, 0].mean()) < 100
        assert place[1] > np.median(sternum[:, 1])


def test_an_injection_at_the_elbow_or_forearm_lies_outside_bone(anatomy):
    for name in ("antecubital fossa", "forearm"):
        for side in BOTH:
            assert gap_to(anatomy, {"humerus", "forearm"}, side, anatomy.landmarks[(name, side)]) > 12, (name, side)


def test_a_vein_runs_from_the_injection_to_the_shoulder_of_its_side(anatomy, injections):
    veins = [(clouds[0][0], cloud) for clouds in injections for cloud in clouds[1:] if np.ptp(cloud, axis=0).max() > 30]
    assert len(veins) / PATIENTS == pytest.approx(0.12, abs=0.05)
    for start, cloud in veins:
        _, side, _ = site_of(anatomy, start)
        for end in (start, anatomy.landmarks[("glenohumeral joint", side)]):
            assert np.linalg.norm(cloud - end, axis=1).min() < 5


def test_a_node_lies_in_the_axilla_of_the_injected_arm_outside_the_humerus(anatomy, injections):
    nodes = [(clouds[0][0], cloud) for clouds in injections for cloud in clouds[1:] if np.ptp(cloud, axis=0).max() < 15]
    assert 2 < len(nodes) < 0.05 * PATIENTS
    for start, cloud in nodes:
        _, side, gap = site_of(anatomy, start)
        assert gap < 45
        inward, _, down = cloud.mean(axis=0) - anatomy.landmarks[("glenohumeral joint", side)]
        assert inward == pytest.approx(-30 if side is Side.LEFT else 30, abs=1)
        assert 39 < down < 81
        assert gap_to(anatomy, {"humerus"}, side, cloud.mean(axis=0)) > 6  # a node is of 6 mm


def test_urine_lies_on_the_skin_mostly_between_hips_and_knees(anatomy, draw):
    patients = draw(tracer._contamination)
    assert {len(spots) for spots in patients} == {1, 2, 3, 4}
    places = np.array([spot[0] for spots in patients for spot in spots])
    grid, body = anatomy.camera.grid, anatomy.camera.body
    rows, cols = (np.clip(v.astype(int), 0, n - 1) for v, n in zip(grid.pixels(places), grid.shape, strict=True))
    inside = body.inside[rows, cols]
    front, back = (np.abs(skin[rows, cols] - places[:, 1]) < 1e-3 for skin in (body.front, body.back))
    assert (front | back)[inside].all()
    assert front[inside].mean() == pytest.approx(0.7, abs=0.05)
    assert 0.5 < inside.mean() < 1  # the rest lies on the table beside the patient
    hip, knee = (anatomy.landmarks[(name, Side.LEFT)][2] for name in ("hip joint", "patella"))
    assert ((places[:, 2] > hip - 150) & (places[:, 2] < knee)).mean() > 0.9
