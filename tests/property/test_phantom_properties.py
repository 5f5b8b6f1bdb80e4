"""Solids, posture and camera: what must hold for every body."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bonescan.phantom import bones
from bonescan.phantom.body import NOWHERE, Body, Grid
from bonescan.phantom.bones import Segment, place
from bonescan.phantom.camera import Camera, Optics
from bonescan.phantom.posture import Posture, sample_build
from bonescan.phantom.shapes import Cloud, TubeSection, ellipsoid, tube
from bonescan.study import Side, Spacing, View

SHAPE = (160, 120)
SIZES = st.floats(2, 60)
SEEDS = st.integers(0, 2**32 - 1)


def slab(gap_front=20.0, gap_back=20.0):
    front, back = (np.full(SHAPE, y, dtype=np.float32) for y in (100, -100))
    nowhere = np.full(SHAPE, NOWHERE)
    optics = Optics(mu=0.01, intrinsic=3.8, collimator=1.8, slope=0.045, gap_front=gap_front, gap_back=gap_back)
    return Camera(optics, Grid(SHAPE, Spacing(2.4, 2.4), 80, 60), Body(front, back, nowhere, nowhere, ()))


@given(st.floats(-99, 99), st.floats(-60, 60), st.floats(-80, 80))
def test_the_product_of_the_views_does_not_depend_on_depth(y, x, z):
    seen = slab().project(Cloud(np.array([[x, y, z]]), np.ones(1)))
    # The conjugate-view principle: exp(-mu d) exp(-mu (T - d)) = exp(-mu T), with T = 200 mm.
    product = float(seen[View.ANTERIOR].image.sum()) * float(seen[View.POSTERIOR].image.sum())
    np.testing.assert_allclose(product, (100 / 2.4**2) ** 2 * np.exp(-0.01 * 200), rtol=2e-3)


@given(SEEDS)
@settings(max_examples=20)
def test_a_body_turned_over_swaps_its_views(seed):
    rng = np.random.default_rng(seed)
    cloud = Cloud(rng.uniform(-90, 90, (50, 3)) * [0.6, 1, 0.8], rng.uniform(0, 1, 50))
    turned = Cloud(cloud.points * [1, -1, 1], cloud.weights)
    as_is, over = slab().project(cloud), slab().project(turned)
    np.testing.assert_allclose(as_is[View.ANTERIOR].image, over[View.POSTERIOR].image, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(as_is[View.POSTERIOR].image, over[View.ANTERIOR].image, rtol=1e-4, atol=1e-6)


@given(st.tuples(SIZES, SIZES, SIZES), st.floats(0, 0.9))
@settings(max_examples=30)
def test_an_ellipsoid_weighs_its_volume_and_stays_within_its_surface(radii, hollow):
    cloud = ellipsoid((5, -7, 11), radii, hollow)
    np.testing.assert_allclose(cloud.weights.sum(), 4 / 3 * np.pi * np.prod(radii) * (1 - hollow**3) / 1000)
    reach = np.linalg.norm((cloud.points - [5, -7, 11]) / radii, axis=1)
    assert hollow - 1e-9 <= reach.min()
    assert reach.max() <= 1 + 1e-9
    np.testing.assert_allclose(cloud.points.mean(axis=0), [5, -7, 11], atol=0.15 * max(radii))


@given(st.floats(2, 20), st.floats(30, 300), st.floats(0, 0.8))
@settings(max_examples=30)
def test_a_straight_tube_weighs_its_volume_and_keeps_its_radius(radius, length, hollow):
    cloud = tube(np.array([[0.0, 0, 0], [0, 0, length]]), TubeSection(radius, hollow=hollow))
    np.testing.assert_allclose(cloud.weights.sum(), np.pi * radius**2 * length * (1 - hollow**2) / 1000, rtol=1e-6)
    off = np.linalg.norm(cloud.points[:, :2], axis=1)
    assert hollow * radius - 1e-6 <= off.min()
    assert off.max() <= radius + 1e-6


@given(SEEDS)
@settings(max_examples=40)
def test_limbs_keep_their_joints_and_sides(seed):
    posture = Posture(sample_build(np.random.default_rng(seed)))
    joints = {
        bones.ELBOW: (Segment.UPPER_ARM, Segment.FOREARM),
        bones.WRIST: (Segment.FOREARM, Segment.HAND),
        bones.KNEE: (Segment.THIGH, Segment.LOWER_LEG),
        bones.ANKLE: (Segment.LOWER_LEG, Segment.FOOT),
    }
    for joint, (upper, lower) in joints.items():
        for side in (Side.LEFT, Side.RIGHT):
            here, there = (posture.apply(place(side, joint), segment, side) for segment in (upper, lower))
            # The leg is turned outwards below the knee, so that the ankle moves by a few millimetres.
            np.testing.assert_allclose(here, there, atol=6 if joint is bones.ANKLE else 1e-6)
    for side, sign in ((Side.LEFT, 1), (Side.RIGHT, -1)):
        (shoulder,) = posture.apply(place(side, bones.SHOULDER), Segment.UPPER_ARM, side)
        (hip,) = posture.apply(place(side, bones.HIP), Segment.THIGH, side)
        assert sign * shoulder[0] > 50
        assert sign * hip[0] > 30
        assert shoulder[2] < hip[2]
