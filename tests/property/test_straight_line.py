"""Wherever a hot rectangle lies, in whatever frame, view and window: it comes out there, and on the right side.

The network is the one of `threshold_bundle`, which marks whatever is some four times as hot as the body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bonescan
from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.lesions.contours import mask_of
from bonescan.pipeline import Options, segment
from bonescan.prepare import Window, aggregate
from bonescan.report.lesions_json import read_lesions, write_lesions
from bonescan.study import Scan, Side, Spacing, Study, View

BOTH = (View.ANTERIOR, View.POSTERIOR)
USUAL, FLAT, FINE = Spacing(2.3, 2.3), Spacing(2.0, 2.6), Spacing(1.15, 1.15)
COARSE = Spacing(4.6, 4.6)

Box = tuple[slice, slice]


@dataclass(frozen=True)
class Frame:
    """A frame as scanners make them. binning: pixels along each edge of one that the network sees, 0.5 where one is
    split in four."""

    shape: tuple[int, int]
    spacing: Spacing | None
    binning: float = 1

    @property
    def step(self) -> int:
        """The pixels along each edge of what the network tells from its neighbours, and the frame can show."""
        return max(int(self.binning), 1)


FRAMES = [
    Frame((1024, 256), USUAL),
    Frame((1000, 250), FLAT),
    Frame((900, 200), None),
    Frame((513, 131), Spacing(2.6, 2.0)),
    Frame((1024, 512), USUAL),
    Frame((2048, 512), FINE, 2),
    Frame((1001, 511), FINE, 2),
    Frame((1024, 402), None, 2),
    Frame((501, 131), COARSE, 0.5),
]


@pytest.fixture(scope="module")
def model(threshold_bundle):
    return bonescan.load_model(threshold_bundle)


def a_study(frame: Frame, views: tuple[View, ...], hot: dict[View, list[Box]]) -> Study:
    """A slab of 10 counts a pixel in air, and rectangles of 200."""
    rows, cols = frame.shape
    scans = {}
    for view in views:
        counts = np.zeros(frame.shape, np.float32)
        counts[rows // 20 : -rows // 20, cols // 20 : -cols // 20] = 10
        for box in hot.get(view, ()):
            counts[box] = 200
        scans[view] = Scan(view, counts)
    return Study("slab", scans, frame.spacing)


def mirrored(box: Box, cols: int) -> Box:
    return box[0], slice(cols - box[1].stop, cols - box[1].start)


@st.composite
def boxes(draw, frame: Frame, view: View) -> Box:
    """A rectangle on the grid of the network's pixels, which begins at the left of the mirrored posterior view."""
    rows, cols, step = *frame.shape, frame.step
    height, width = draw(st.integers(2, 9)) * step, draw(st.integers(2, 9)) * step
    top = draw(st.integers(rows // 10 // step, (9 * rows // 10 - height) // step)) * step
    left = draw(st.integers(cols // 10 // step, (9 * cols // 10 - width) // step)) * step
    box = slice(top, top + height), slice(left, left + width)
    return box if view is View.ANTERIOR else mirrored(box, cols)


@st.composite
def cases(draw):
    frame = draw(st.sampled_from(FRAMES))
    views = draw(st.sampled_from([BOTH, BOTH, (View.ANTERIOR,), (View.POSTERIOR,)]))
    view = draw(st.sampled_from(views))
    return frame, views, view, draw(boxes(frame, view))


def side_of(frame: Frame, view: View, box: Box) -> Side | None:
    """The patient's side by the middle of the frame; None where it is too near to the midline's band to tell."""
    offset = (box[1].start + box[1].stop - 1) / 2 - (frame.shape[1] - 1) / 2
    band = 4.0 * frame.binning if frame.spacing is None else 10.0 / frame.spacing.col_mm
    if abs(abs(offset) - band) < 1.0:
        return None
    if abs(offset) < band:
        return Side.MIDLINE
    return Side.RIGHT if (offset < 0) == (view is View.ANTERIOR) else Side.LEFT


@settings(max_examples=60)
@given(cases())
def test_a_hot_rectangle_comes_out_where_it_lies(model, case):
    frame, views, view, box = case
    result = segment(a_study(frame, views, {view: [box]}), model)
    (lesion,) = result.lesions
    assert (lesion.view, lesion.window) == (view, box)
    assert lesion.mask.all()
    expected = np.zeros(frame.shape, dtype=bool)
    expected[box] = True
    for one in views:
        np.testing.assert_array_equal(result.labels(one), np.where(expected & (one is view), lesion.id, 0))
    np.testing.assert_array_equal(mask_of(lesion.contour, frame.shape), expected)
    assert lesion.measures.area_px == expected.sum()
    area = None if frame.spacing is None else expected.sum() * frame.spacing.row_mm * frame.spacing.col_mm
    assert lesion.measures.area_mm2 == (None if area is None else pytest.approx(area))
    assert lesion.measures.counts_total == 200 * expected.sum()
    side = side_of(frame, view, box)
    assert side is None or lesion.side is side


@settings(max_examples=40)
@given(cases(), st.data())
def test_a_stated_window_shows_what_is_in_it_and_nothing_else(model, case, data):
    frame, views, view, box = case
    first = data.draw(st.integers(0, frame.shape[0] - 65)) // frame.step * frame.step
    last = data.draw(st.integers(first + 64, frame.shape[0]))
    result = segment(a_study(frame, views, {view: [box]}), model, Options("thorax", (first, last)))
    assert result.window == (slice(first, last), slice(0, frame.shape[1]))
    inside = np.zeros(frame.shape, dtype=bool)
    inside[max(box[0].start, first) : min(box[0].stop, last), box[1]] = True
    found = result.labels(view) > 0
    if not inside.any():
        assert not result.lesions
    elif frame.step == 1 and inside.sum() >= model.bundle.thresholds.min_area_px:
        np.testing.assert_array_equal(found, inside)
    assert not found[:first].any()
    assert not found[last:].any()


@settings(max_examples=15)
@given(st.sampled_from(BOTH), st.integers(60, 180), st.integers(0, 20))
def test_a_window_off_the_middle_is_the_mirrored_one_in_the_posterior_view(model, view, left, offset):
    """Only the columns of a window that is no person's choice can lie off the middle."""
    from bonescan.lesions.delineate import delineate
    from bonescan.prepare import PrepareOptions, prepare

    frame = FRAMES[4]
    window = Window(slice(128, 384), slice(left, left + 256))
    in_anterior = slice(200, 206), slice(left + 20 + offset, left + 28 + offset)
    box = in_anterior if view is View.ANTERIOR else mirrored(in_anterior, frame.shape[1])
    study = a_study(frame, BOTH, {view: [box]})
    prepared = prepare(study, PrepareOptions(window=window), model.bundle.normalisation)
    (outline,) = delineate(model.predictor.predict(prepared), model.bundle.thresholds)
    assert (outline.view, outline.window) == (view, box)


@pytest.mark.parametrize(
    "frame", [frame for frame in FRAMES if frame.binning >= 1], ids=lambda frame: f"{frame.shape[0]}x{frame.shape[1]}"
)
def test_what_is_too_small_for_a_lesion_does_not_depend_on_the_matrix(model, frame):
    """The thresholds are fitted at about 2.3 mm: 3 of their pixels are no lesion, whatever the frame's pixels are.

    A pixel of a coarse matrix is four of them.
    """
    step, (row, col) = frame.step, (frame.shape[0] // 4 // 2 * 2, frame.shape[1] // 4 // 2 * 2)
    for pixels, lesions in ((3, 0), (4, 1)):
        box = slice(row, row + step), slice(col, col + pixels * step)
        assert len(segment(a_study(frame, BOTH, {View.ANTERIOR: [box]}), model).lesions) == lesions


@pytest.mark.parametrize("posterior_first", [False, True])
@pytest.mark.parametrize("style", [HeaderStyle.GE, HeaderStyle.STANDARD, HeaderStyle.TWO_FILES])
def test_the_order_of_the_frames_in_a_file_moves_no_lesion(model, tmp_path, style, posterior_first):
    frame = Frame((1000, 250), FLAT)
    hot = {View.ANTERIOR: [(slice(300, 306), slice(40, 48))], View.POSTERIOR: [(slice(500, 510), slice(60, 64))]}
    files = write_nm(a_study(frame, BOTH, hot), tmp_path / "scan.dcm", Header(style, posterior_first))
    study = bonescan.read_study(list(reversed(files)) if posterior_first else list(files))
    result = segment(study, model)
    assert [(lesion.view, lesion.window, lesion.side) for lesion in result.lesions] == [
        (View.ANTERIOR, hot[View.ANTERIOR][0], Side.RIGHT),
        (View.POSTERIOR, hot[View.POSTERIOR][0], Side.LEFT),
    ]
    assert [lesion.measures.area_mm2 for lesion in result.lesions] == pytest.approx([48 * 5.2, 40 * 5.2])
    write_lesions(result, tmp_path / "lesions.json")
    for lesion, back in zip(result.lesions, read_lesions(tmp_path / "lesions.json").lesions, strict=True):
        assert (back.id, back.view, back.window) == (lesion.id, lesion.view, lesion.window)
        np.testing.assert_array_equal(back.mask, lesion.mask)


def test_a_lesion_through_and_through_lies_over_itself_in_the_sum_of_the_views(model):
    """One place of the patient, seen from both sides: mirrored columns, one side."""
    frame = FRAMES[0]
    front = slice(300, 306), slice(60, 68)
    study = a_study(frame, BOTH, {View.ANTERIOR: [front], View.POSTERIOR: [mirrored(front, 256)]})
    first, second = segment(study, model).lesions
    assert (first.side, second.side) == (Side.RIGHT, Side.RIGHT)
    total = aggregate(study.counts(View.ANTERIOR), study.counts(View.POSTERIOR))
    assert (total == 400).sum() == first.measures.area_px
