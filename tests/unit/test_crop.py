"""The thoracic window on a body of plain shapes: whatever the posture and the frame, the shoulders are found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from bonescan.prepare import PrepareOptions, Window, prepare
from bonescan.prepare.crop import SURE, thoracic_window
from bonescan.reading import ReadOptions, read_study
from bonescan.study import Scan, Spacing, Study, View

SHAPE = (1024, 256)
SHOULDERS_MM, THORAX_END_MM = 255.0, 600.0
"""Below the vertex."""


@dataclass(frozen=True)
class Body:
    """A patient of plain shapes; lengths in mm, counts a pixel at the trunk's soft tissue."""

    mm: float = 2.3
    first_row: int = 60
    col: float = 127.5
    level: float = 5.0
    girth: float = 1.0
    arms_up: bool = False
    shape: tuple[int, int] = SHAPE
    spacing_stated: bool = True

    def rate(self):
        """Expected counts (rows, cols), seen from the front."""
        rows, cols = np.ogrid[: self.shape[0], : self.shape[1]]
        z, x = (rows - self.first_row) * self.mm, (cols - self.col) * self.mm
        image = np.full(self.shape, 0.02)

        def box(top, bottom, left, right, uptake):
            image[(z >= top) & (z < bottom) & (x >= left) & (x < right)] = uptake

        def ellipse(z0, x0, height, width, uptake):
            image[((z - z0) / height) ** 2 + ((x - x0) / width) ** 2 <= 1] = uptake

        half = 190 * self.girth
        box(200, 300, -50, 50, 0.7)
        ellipse(330, 0, 75, half, 1)
        box(330, 850, -half + 30, half - 30, 1)
        for side in (-1, 1):
            x0 = side * half * 0.45
            box(830, 1650, x0 - 60, x0 + 60, 0.5)
            arm = side * (half + 15)
            top, bottom = (-20, 330) if self.arms_up else (300, 880)
            box(top, bottom, arm - 35, arm + 35, 0.6)
            box(840, 900, x0 - 15, x0 + 40, 3)
        ellipse(110, 0, 110, 78, 2)
        box(200, 880, -18, 18, 4)
        for z0 in range(340, int(THORAX_END_MM), 30):
            for side in (-1, 1):
                ellipse(z0, side * 90, 6, 65, 2.5)
        ellipse(870, 0, 30, 30, 20)
        return image * self.level

    def study(self, *views, seed=0, change=lambda image: image):
        rng = np.random.default_rng(seed)
        rate = self.rate()
        scans = {}
        for view in views or tuple(View):
            counts = change(rng.poisson(rate).astype(np.float32))
            scans[view] = Scan(view, counts if view is View.ANTERIOR else counts[:, ::-1])
        return Study("body", scans, Spacing(self.mm, self.mm) if self.spacing_stated else None)

    def holds_thorax(self, window, cut=0):
        """Whether the window, of a frame without its first `cut` rows, spans shoulders to lowest ribs."""
        first = self.first_row + SHOULDERS_MM / self.mm - cut
        last = self.first_row + THORAX_END_MM / self.mm - cut
        return window.rows.start <= first and window.rows.stop >= last


@pytest.mark.parametrize(
    "body",
    [
        Body(),
        Body(first_row=20),
        Body(first_row=160, mm=2.4),
        Body(col=115, mm=2.2),
        Body(level=0.8),
        Body(level=60.0),
        Body(girth=1.3),
        Body(girth=0.85),
        Body(arms_up=True),
        Body(spacing_stated=False),
        Body(first_row=120, mm=1.15, shape=(2048, 512), col=255, level=1.5),
    ],
    ids=str,
)
@pytest.mark.parametrize("views", [(), (View.ANTERIOR,), (View.POSTERIOR,)])
def test_the_window_holds_the_thorax(body, views):
    window = thoracic_window(body.study(*views))
    scale = body.shape[0] // 1024
    assert window.shape == (256 * scale, 256 * scale)
    assert body.holds_thorax(window), window
    assert window.confidence >= SURE or body.arms_up
    assert (window.note is None) == (window.confidence >= SURE)


def test_hot_spots_do_not_move_it():
    def spot(row, col):
        def add(image):
            image[row - 6 : row + 6, col - 6 : col + 6] += 20_000
            return image

        return add

    plain = thoracic_window(Body().study()).rows.start
    for row, col in ((400, 25), (250, 30), (430, 128)):
        window = thoracic_window(Body().study(change=spot(row, col)))
        assert abs(window.rows.start - plain) <= 12


def test_a_urine_bag_between_the_knees_is_no_crotch():
    def add_bag(image):
        image[560:640, 105:150] += 8
        return image

    assert Body().holds_thorax(thoracic_window(Body().study(change=add_bag)))


def test_frames_that_begin_or_end_early():
    body = Body(first_row=60)
    below_head = thoracic_window(body.study(change=lambda image: image[150:]))
    assert body.holds_thorax(below_head, cut=150)
    assert below_head.confidence < thoracic_window(body.study()).confidence
    above_feet = thoracic_window(body.study(change=lambda image: image[:600]))
    assert body.holds_thorax(above_feet)
    assert above_feet.confidence >= SURE


def test_what_cannot_be_found_says_so():
    empty = Study("empty", {View.ANTERIOR: Scan(View.ANTERIOR, np.zeros(SHAPE, np.float32))})
    window = thoracic_window(empty)
    assert window.confidence == 0.0
    assert "give the window" in window.note
    assert prepare(empty, PrepareOptions("thorax")).warnings == (window.note,)
    noise = Study("noise", {View.ANTERIOR: Scan(View.ANTERIOR, np.random.default_rng(0).poisson(2.0, SHAPE))})
    assert thoracic_window(noise).confidence < SURE


def test_a_small_frame_is_taken_whole():
    window = thoracic_window(replace(Body(), shape=(200, 128)).study())
    assert window.slices == (slice(0, 200), slice(0, 128))


def test_a_wide_frame_is_cut_about_the_midline():
    body = Body(shape=(1024, 380), col=230.0)
    window = thoracic_window(body.study())
    assert window.shape == (256, 256)
    assert abs((window.cols.start + window.cols.stop) / 2 - 230) <= 8


def test_a_stated_window_takes_the_place_of_the_found_one():
    stated = Window(slice(300, 556), slice(0, 256))
    prepared = prepare(Body().study(), PrepareOptions("thorax", stated))
    assert prepared.window == stated
    assert prepared.network_input.shape == (2, 256, 256)
    assert prepared.warnings == ()


def test_the_thorax_of_a_real_scan_is_found():
    # Shoulders at about row 185, lowest ribs at about row 340, as seen on the picture.
    study = read_study(get_testdata_file("JPEG2000.dcm"), ReadOptions(views=(View.ANTERIOR,)))
    window = thoracic_window(study)
    assert 130 <= window.rows.start <= 185
    assert window.rows.stop >= 360
    assert window.confidence >= SURE
