"""The presentation state as another program sees it: DCMTK checks it, and renders the source by it."""

from __future__ import annotations

import subprocess

import numpy as np
import pydicom
import pytest
from PIL import Image
from tests.drawn import MADE, needs, random_masks, result_of, scan_of

from bonescan.dicom.header import Origin
from bonescan.dicom.objects import write_object
from bonescan.dicom.read_header import read_header
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.reading import read_study
from bonescan.report.overlay import bone_window
from bonescan.study import Spacing, View

SPACING = Spacing(2.4, 1.8)


def presented(folder, header, lesions=2, spacing=SPACING, rescale=None):
    """A result, its presentation state, and the source files by view."""
    rng = np.random.default_rng(8)
    scan_of(rng, folder, header, spacing)
    paths = sorted(folder.glob("*.dcm"))
    for path in paths if rescale else ():
        dataset = pydicom.dcmread(path)
        dataset.RescaleSlope, dataset.RescaleIntercept = rescale
        dataset.save_as(path)
    study, origin = read_study(paths), Origin(read_header(paths), MADE)
    masks = random_masks(rng, study.shape)
    result = result_of(study, {view: [next(masks) for _ in range(lesions)] for view in View})
    state = folder / "state.pre"
    assert write_object("gsps", result, origin, state)
    return result, state, {view: paths[study.frames[view].file] for view in View}


@pytest.mark.parametrize("style", [HeaderStyle.GE, HeaderStyle.TWO_FILES])
@pytest.mark.parametrize("case", [{}, {"lesions": 0}, {"spacing": None}], ids=["usual", "no lesion", "no spacing"])
def test_dcmtk_finds_nothing_wrong(style, case, tmp_path):
    _, state, _ = presented(tmp_path, Header(style), **case)
    run = subprocess.run([needs("dcmpschk"), str(state)], capture_output=True, text=True, check=False)
    said = run.stdout + run.stderr
    assert run.returncode == 0, said
    assert "Test passed" in said
    assert "E:" not in said


@pytest.mark.parametrize("rescale", [None, (0.5, 3.0)], ids=["counts as stored", "rescaled counts"])
@pytest.mark.parametrize("posterior_first", [False, True])
@pytest.mark.parametrize("style", [HeaderStyle.STANDARD, HeaderStyle.TWO_FILES])
def test_dcmtk_renders_each_view_in_inverted_grey_on_the_overlays_window(style, posterior_first, rescale, tmp_path):
    result, state, paths = presented(tmp_path, Header(style, posterior_first), rescale=rescale)
    for view in View:
        frame, picture = result.study.frames[view].frame, tmp_path / f"{view}.pgm"
        command = [needs("dcmp2pgm"), "-p", state, "-f", frame, paths[view], picture]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        shown = np.asarray(Image.open(picture), dtype=float)
        counts = result.study.counts(view)
        grey = 255 * np.clip(1 - counts / bone_window(counts), 0, 1)
        # A count is darker than the next lower one; DCMTK rounds to its own 256 levels.
        assert np.abs(shown - grey).max() < 3
