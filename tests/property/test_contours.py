"""A curve holds exactly the pixels of its mask, and a mask gives back its curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from bonescan.lesions.contours import contour_of, mask_of

EIGHT = np.ones((3, 3), dtype=bool)


@st.composite
def pieces(draw):
    """One 8-connected mask without holes of up to 24 x 24 pixels, anywhere in its frame, border included."""
    shape = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    seed = draw(st.integers(0, 2**32 - 1))
    density = draw(st.floats(0.2, 0.95))
    picture = np.random.default_rng(seed).random(shape) < density
    picture[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = True
    labels, count = ndimage.label(picture, structure=EIGHT)
    piece = labels == draw(st.integers(1, count))
    return ndimage.binary_fill_holes(piece)  # its default is a 4-connected background


@given(pieces())
def test_a_contour_gives_back_its_mask(mask):
    assert (mask_of(contour_of(mask), mask.shape) != mask).sum() == 0


@given(pieces())
def test_mask_and_contour_are_stable(mask):
    contour = contour_of(mask)
    np.testing.assert_array_equal(contour_of(mask_of(contour, mask.shape)), contour)


@given(pieces())
def test_a_contour_is_closed_and_simple(mask):
    contour = contour_of(mask)
    np.testing.assert_array_equal(contour[0], contour[-1])
    assert len(np.unique(contour[:-1], axis=0)) == len(contour) - 1
    steps = np.abs(np.diff(contour, axis=0))
    assert set(map(tuple, steps.tolist())) <= {(0.0, 1.0), (1.0, 0.0), (0.5, 0.5)}


@given(pieces(), st.tuples(st.integers(-30, 30), st.integers(-30, 30)))
def test_a_contour_may_leave_the_frame(mask, shift):
    frame = np.zeros((100, 100), dtype=bool)
    frame[40 : 40 + mask.shape[0], 40 : 40 + mask.shape[1]] = mask
    moved = contour_of(mask) + np.add((40, 40), shift)
    rows, cols = np.arange(50) - shift[0], np.arange(60) - shift[1]
    np.testing.assert_array_equal(mask_of(moved, (50, 60)), frame[np.ix_(rows, cols)])


def is_inside(points, row, col):
    """Even-odd rule for one point, edge by edge: the slow way."""
    odd = False
    for (row_0, col_0), (row_1, col_1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (row_0 <= row) != (row_1 <= row) and col_0 + (row - row_0) / (row_1 - row_0) * (col_1 - col_0) <= col:
            odd = not odd
    return odd


@given(arrays.arrays(np.int64, st.tuples(st.integers(3, 8), st.just(2)), elements=st.integers(-33, 127)))
def test_any_polygon_is_filled_by_the_even_odd_rule(tenths):
    points = tenths / 10  # vertices and edges on pixel centres included
    expected = [[is_inside(points, row, col) for col in range(10)] for row in range(10)]
    np.testing.assert_array_equal(mask_of(points, (10, 10)), expected)


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((3, 3), dtype=bool),
        np.array([[1, 0, 1]], dtype=bool),
        np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool),
        np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool),
    ],
    ids=["empty", "two pieces", "hole", "diagonal ring"],
)
def test_what_one_curve_cannot_hold_is_refused(mask):
    with pytest.raises(ValueError, match="contour"):
        contour_of(mask)
