"""A mask goes into a structured report or a segmentation and comes back: no pixel changes, and no view is another's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.drawn import random_masks, result_of, scan_of

from bonescan.contours import mask_of
from bonescan.dicom.objects import write_object
from bonescan.dicom.objects.read_objects import read_curves
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.study import Spacing, View

MASKS, STUDIES = 1000, 1000
SPACINGS = [None, Spacing(2.0, 2.0), Spacing(2.4, 1.8), Spacing(1.1, 4.4)]
CASES = list(itertools.product(HeaderStyle, [False, True], SPACINGS, [tuple(View), *((view,) for view in View)]))
"""Every style of header, either order of the frames, square and other pixels, both views or one."""


def pixels_of(curve, shape):
    if curve.mask is None:
        return mask_of(curve.contour, shape)
    assert curve.shape == shape
    framed = np.zeros(shape, dtype=bool)
    (row, col), (rows, cols) = curve.origin, curve.mask.shape
    framed[row : row + rows, col : col + cols] = curve.mask
    return framed


@pytest.mark.parametrize("kind", ["sr", "seg"])
def test_a_thousand_masks_come_back_without_a_pixel_changed(kind, tmp_path):
    rng = np.random.default_rng(7)
    study, origin = scan_of(rng, tmp_path, Header(HeaderStyle.STANDARD), Spacing(2.4, 1.8), shape=(300, 90))
    generator = random_masks(rng, study.shape)
    changed = border = single = 0
    for _ in range(10):
        masks = {view: [next(generator) for _ in range(MASKS // 20)] for view in View}
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
    assert border > 20
    assert single > 20


@pytest.mark.slow
def test_no_view_is_taken_for_the_other_in_a_thousand_studies(tmp_path):
    """The anterior view gets a bar in its upper left, the posterior one a block in its lower right."""
    marks = {view: np.zeros((256, 64), dtype=bool) for view in View}
    marks[View.ANTERIOR][20:23, 5:25] = True
    marks[View.POSTERIOR][200:212, 40:52] = True
    swapped = 0
    for number in range(STUDIES):
        style, posterior_first, spacing, views = CASES[number % len(CASES)]
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


def refers_to_the_pixels_of(curve, study, view, folder):
    """The frame that a curve names holds the counts of the view, by pydicom alone."""
    import pydicom

    for path in folder.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        if dataset.SOPInstanceUID == curve.sop_instance_uid:
            frames = dataset.pixel_array.reshape(-1, *study.shape)
            return np.array_equal(frames[curve.frame - 1], study.counts(view))
    return False
