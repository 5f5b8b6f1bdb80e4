"""A mask goes into a structured report or a segmentation and comes back: no pixel changes, and no view is another's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.drawn import random_masks, result_of, scan_of

from bonescan.dicom.objects import write_object
from bonescan.dicom.objects.read_objects import read_curves
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.lesions.contours import mask_of
from bonescan.study import Spacing, View

SPACINGS = [None, Spacing(2.0, 2.0), Spacing(2.4, 1.8), Spacing(1.1, 4.4)]
VIEWS = [tuple(View), *((view,) for view in View)]
CASES = list(itertools.product(HeaderStyle, [False, True], VIEWS))
"""Every style of header, either order of the frames, both views or one; a spacing for each is chosen in the test."""


def pixels_of(curve, shape):
    if curve.mask is None:
        return mask_of(curve.contour, shape)
    assert curve.shape == shape
    framed = np.zeros(shape, dtype=bool)
    (row, col), (rows, cols) = curve.origin, curve.mask.shape
    framed[row : row + rows, col : col + cols] = curve.mask
    return framed


@pytest.mark.parametrize(("kind", "a_view"), [("sr", 12), ("seg", 50)])
def test_hundreds_of_masks_come_back_without_a_pixel_changed(kind, a_view, tmp_path):
    """Four objects; a report takes longer to write, so it holds fewer."""
    rng = np.random.default_rng(7)
    study, origin = scan_of(rng, tmp_path, Header(HeaderStyle.STANDARD), Spacing(2.4, 1.8), shape=(300, 90))
    generator = random_masks(rng, study.shape)
    changed = border = single = 0
    for _ in range(4):
        masks = {view: [next(generator) for _ in range(a_view)] for view in View}
        result = result_of(study, masks)
        assert write_object(kind, result, origin, tmp_path / "object.dcm")
        curves = read_curves(tmp_path / "object.dcm").curves
        drawn = [mask for view in View for mask in masks[view]]
        assert len(curves) == len(drawn)
        for curve, mask in zip(curves, drawn, strict=True):
            changed += int((pixels_of(curve, study.shape) != mask).sum())
            border += bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
            single += int(mask.sum()) == 1
    assert changed == 0
    assert border > 5
    assert single > 5


def test_no_view_is_taken_for_the_other_whatever_the_header_and_the_pixels(tmp_path):
    """The anterior view gets a bar in its upper left, the posterior one a block in its lower right."""
    marks = {view: np.zeros((256, 64), dtype=bool) for view in View}
    marks[View.ANTERIOR][20:23, 5:25] = True
    marks[View.POSTERIOR][200:212, 40:52] = True
    swapped, met = 0, set()
    for number, (style, posterior_first, views) in enumerate(CASES):
        # Six cases a style, and every style begins one spacing later.
        spacing = SPACINGS[(number + number // 6) % len(SPACINGS)]
        met |= {(style, spacing), (posterior_first, spacing), (views, spacing)}
        rng = np.random.default_rng(number)
        study, origin = scan_of(rng, tmp_path, Header(style, posterior_first, seed=number), spacing, views=views)
        result = result_of(study, {view: [marks[view]] for view in views})
        for kind in ("sr", "seg"):
            assert write_object(kind, result, origin, tmp_path / "object.dcm")
            curves = read_curves(tmp_path / "object.dcm").curves
            assert len(curves) == len(views)
            for view, curve in zip(views, curves, strict=True):
                swapped += not np.array_equal(pixels_of(curve, study.shape), marks[view])
                swapped += not refers_to_the_pixels_of(curve, study, view, tmp_path)
    assert swapped == 0
    assert met == set(itertools.product([*HeaderStyle, False, True, *VIEWS], SPACINGS))


def refers_to_the_pixels_of(curve, study, view, folder):
    """The frame that a curve names holds the counts of the view, by pydicom alone."""
    import pydicom

    for path in folder.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        if dataset.SOPInstanceUID == curve.sop_instance_uid:
            frames = dataset.pixel_array.reshape(-1, *study.shape)
            return np.array_equal(frames[(curve.frame or 1) - 1], study.counts(view))
    return False
