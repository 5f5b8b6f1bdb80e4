"""The camera against values computed by hand: a slab of tissue, and a point of activity at a known depth in it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from bonescan.phantom import camera as camera_module
from bonescan.phantom.body import NOWHERE, Body, Grid, Part
from bonescan.phantom.camera import Camera, Exposure, Optics, Patch, count, sample_optics, scattered
from bonescan.phantom.shapes import Cloud
from bonescan.study import Spacing, View

SPACING = 5.0 / 2.3548 / 1.2  # mm, so that a resolution of 5 mm is a blur of 1.2 pixels
SHAPE = (208, 128)
OPTICS = Optics(mu=0.01, intrinsic=3.0, collimator=1.6, slope=0.04, gap_front=10, gap_back=30)
EXPOSURE = Exposure(counts=1e6, scatter=0.3, scatter_mm=40, background=0.0, drift=0.0, smoothed=0.0)


def plane(y):
    return np.full(SHAPE, y, dtype=np.float32)


def slab_camera(parts=((100, -100),), lungs=(NOWHERE, NOWHERE)):
    """A slab of 200 mm, in parts from front to back, whose middle is y = 0."""
    body = Body(
        plane(100), plane(-100), *map(plane, lungs), tuple(Part(f"part {f}", plane(f), plane(b)) for f, b in parts)
    )
    return Camera(OPTICS, Grid(SHAPE, Spacing(SPACING, SPACING), 100, 60), body)


def point_at(y, row=104, col=64):
    """One cm3 of unit activity at a pixel's centre, at height y."""
    return Cloud(np.array([[(col - 60) * SPACING, y, (row - 100) * SPACING]]), np.ones(1))


def canvas_of(patch):
    canvas = np.zeros(SHAPE, dtype=np.float32)
    patch.add_to(canvas)
    return canvas


def centre_and_spread(image):
    """The centroid (row, col), and the standard deviation along the rows, in pixels."""
    rows, cols = np.indices(image.shape)
    row, col = (image * rows).sum() / image.sum(), (image * cols).sum() / image.sum()
    return (row, col), float(np.sqrt((image * (rows - row) ** 2).sum() / image.sum()))


def test_a_point_is_attenuated_and_blurred_by_what_lies_before_it():
    seen = {view: canvas_of(patch) for view, patch in slab_camera().project(point_at(50.0)).items()}
    # 50 mm from the front, 150 from the back; one cm3 on a pixel of SPACING^2.
    unit = 100 / SPACING**2
    assert seen[View.ANTERIOR].sum() == pytest.approx(unit * np.exp(-0.01 * 50), rel=2e-3)
    assert seen[View.POSTERIOR].sum() == pytest.approx(unit * np.exp(-0.01 * 150), rel=2e-3)
    where, spread = centre_and_spread(seen[View.ANTERIOR])
    assert where == pytest.approx((104, 64), abs=1e-3)
    # 60 mm from the collimator: sqrt(3^2 + (1.6 + 0.04 * 60)^2) = 5 mm FWHM = 1.2 pixels.
    assert spread == pytest.approx(1.2, rel=0.02)
    where, spread = centre_and_spread(seen[View.POSTERIOR])
    assert where == pytest.approx((104, 64), abs=1e-3)
    # 180 mm: sqrt(3^2 + 8.8^2) = 9.30 mm = 2.23 pixels, which is rounded to steps of 0.4.
    assert spread == pytest.approx(9.297 / 5 * 1.2, abs=0.22)


def test_the_effective_attenuation_is_drawn_from_the_range_that_the_documentation_states():
    stated = r"(0\.\d+)-(0\.\d+) per cm in\s+tissue, less than the (0\.\d+)"
    low, high, narrow = map(float, re.search(stated, camera_module.__doc__).groups())
    rng = np.random.default_rng(0)
    per_cm = [10 * sample_optics(rng).mu for _ in range(2000)]
    assert (min(per_cm), max(per_cm)) == pytest.approx((low, high), rel=1e-3)
    assert (low, high) == (0.09, 0.12)
    assert max(per_cm) < narrow


def test_a_lung_attenuates_with_its_own_density():
    seen = slab_camera(lungs=(20, -20)).project(point_at(-50.0))
    unit = 100 / SPACING**2
    # From the front 150 mm, of which 40 are lung of 0.3; from the back 50 mm without any lung.
    assert seen[View.ANTERIOR].image.sum() == pytest.approx(unit * np.exp(-0.01 * (110 + 0.3 * 40)), rel=2e-3)
    assert seen[View.POSTERIOR].image.sum() == pytest.approx(unit * np.exp(-0.01 * 50), rel=2e-3)


def test_activity_outside_the_skin_is_not_attenuated():
    seen = slab_camera().project(point_at(120.0))
    assert seen[View.ANTERIOR].image.sum() == pytest.approx(100 / SPACING**2, rel=2e-3)


def test_projection_is_linear():
    rng = np.random.default_rng(1)
    camera = slab_camera()
    one, two = (Cloud(rng.uniform(-60, 60, (300, 3)), rng.uniform(0, 2, 300)) for _ in range(2))
    both = camera.project(Cloud.joined([one, Cloud(two.points, 3 * two.weights)]))
    first, second = camera.project(one), camera.project(two)
    for view in View:
        total = canvas_of(first[view])
        second[view].add_to(total, 3.0)
        np.testing.assert_allclose(canvas_of(both[view]), total, rtol=1e-4, atol=1e-5)


def test_soft_tissue_attenuates_itself_and_what_lies_behind_it():
    camera = slab_camera(parts=((100, 0), (0, -100)))
    middle = (104, 64)
    near = (1 - np.exp(-1)) / 0.1  # (1 - exp(-mu T)) / mu of 100 mm, in cm
    front, back = (camera.haze({"part 100": a, "part 0": 1 - a}) for a in (1.0, 0.0))
    assert front[View.ANTERIOR][middle] == pytest.approx(near, rel=1e-3)
    assert back[View.ANTERIOR][middle] == pytest.approx(near * np.exp(-1), rel=1e-3)
    assert back[View.POSTERIOR][middle] == pytest.approx(near, rel=1e-3)
    whole = slab_camera().haze({"part 100": 1.0})
    np.testing.assert_allclose(
        whole[View.ANTERIOR],
        front[View.ANTERIOR] + back[View.ANTERIOR],
        rtol=1e-4,
        err_msg="halves add up to the whole",
    )


def test_the_edge_of_the_body_is_as_sharp_as_the_camera_is_there():
    """A body that ends at a column; the width of its edge follows from the gap between skin and collimator."""
    camera = slab_camera()
    inside = np.arange(SHAPE[1])[None, :] < 64
    part = Part("part", np.where(inside, plane(100), NOWHERE), np.where(inside, plane(-100), NOWHERE))
    camera = Camera(OPTICS, camera.grid, replace(camera.body, parts=(part,)))
    widths = []
    for view, gap in ((View.ANTERIOR, 10), (View.POSTERIOR, 30)):
        row = camera.haze({"part": 1.0})[view][104].astype(float)
        steps = np.diff(row / row[20])
        at = np.arange(len(steps))
        middle = (steps * at).sum() / steps.sum()
        widths.append(np.sqrt((steps * (at - middle) ** 2).sum() / steps.sum()))
        fwhm = np.hypot(3.0, 1.6 + 0.04 * (gap + 65))
        assert widths[-1] == pytest.approx(fwhm / 2.3548 / SPACING, rel=0.05)
    assert widths[0] < widths[1] < 2.2


def test_scatter_moves_its_share_of_the_counts_into_a_broad_tail():
    image = np.zeros((512, 512), dtype=np.float32)
    image[256:264, 256:264] = 100.0
    seen = scattered(image, EXPOSURE, 2.4)
    assert seen.sum() == pytest.approx(image.sum(), rel=0.01)  # effective attenuation holds scattered photons already
    tail = seen - 0.7 * image
    assert tail.min() >= -1e-4
    assert tail.max() < 0.02 * image.max()
    rows, _ = np.nonzero(tail > 0.5 * tail.max())
    assert 2.0 < np.ptp(rows) * 2.4 / EXPOSURE.scatter_mm < 3.2  # full width at half maximum over sigma: about 2.35


def test_the_table_weakens_the_posterior_view_alone():
    camera = slab_camera()
    weak = replace(camera, optics=replace(OPTICS, table=0.8))
    for view, share in ((View.ANTERIOR, 1.0), (View.POSTERIOR, 0.8)):
        bare, lying = (each.project(point_at(0.0))[view].image.sum() for each in (camera, weak))
        assert lying == pytest.approx(share * bare, rel=1e-5)
        haze, dim = (each.haze({"part 100": 1.0})[view].sum() for each in (camera, weak))
        assert dim == pytest.approx(share * haze, rel=1e-5)


def test_counts_are_whole_numbers_with_poisson_noise():
    expected = np.full((300, 300), 9.0, dtype=np.float32)
    counts = count(expected, EXPOSURE, np.random.default_rng(0))
    assert counts.mean() == pytest.approx(9.0, abs=0.05)
    assert counts.var() == pytest.approx(9.0, abs=0.2)
    smooth = count(expected, replace(EXPOSURE, smoothed=0.8), np.random.default_rng(0))
    for image in (counts, smooth):
        np.testing.assert_array_equal(image, np.rint(image))
    assert smooth.var() < 0.4 * counts.var()


@pytest.mark.parametrize(
    ("row", "col", "kept"),
    [(0, 0, 12), (-1, -2, 4), (SHAPE[0] - 2, 5, 8), (5, SHAPE[1] - 1, 3), (-3, 0, 0), (0, SHAPE[1], 0)],
)
def test_a_patch_loses_what_lies_off_the_canvas(row, col, kept):
    canvas = np.zeros(SHAPE, dtype=np.float32)
    patch = Patch(row, col, np.ones((3, 4), dtype=np.float32))
    patch.add_to(canvas, 2.0)
    assert canvas.sum() == 2 * kept
    rows, cols, patch_rows, patch_cols = patch.window(SHAPE)
    assert canvas[rows, cols].size == patch.image[patch_rows, patch_cols].size == kept
    assert (canvas[rows, cols] == 2).all()
