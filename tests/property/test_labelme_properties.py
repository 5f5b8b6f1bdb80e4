"""Label pictures survive a LabelMe file exactly."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bonescan.annotate import from_label_image, label_image, read_labelme, write_labelme

PICTURES = npst.arrays(np.uint16, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 3))


def _renumbered(picture):
    numbers = np.unique(picture[picture > 0])
    return np.where(picture > 0, np.searchsorted(numbers, picture) + 1, 0)


@settings(deadline=None)
@given(PICTURES)
def test_a_label_picture_comes_back_from_the_file(tmp_path_factory, picture):
    path = tmp_path_factory.mktemp("labelme") / "anterior.json"
    write_labelme(path, from_label_image(picture))
    np.testing.assert_array_equal(label_image(read_labelme(path), picture.shape), _renumbered(picture))


@settings(deadline=None)
@given(PICTURES)
def test_contours_come_back_bit_by_bit(tmp_path_factory, picture):
    path = tmp_path_factory.mktemp("labelme") / "anterior.json"
    labels = from_label_image(picture)
    write_labelme(path, labels)
    again = read_labelme(path)
    assert len(again.shapes) == len(labels.shapes)
    for before, after in zip(labels.shapes, again.shapes, strict=True):
        np.testing.assert_array_equal(before.contour, after.contour)
