"""What is written as NM Image Storage is read back: counts, spacing and views, in every style and order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonescan.dicom.write_nm import COMMENT, Header, HeaderStyle, write_nm
from bonescan.errors import OutputError, ViewError
from bonescan.reading import ReadOptions, read_study
from bonescan.study import Scan, Spacing, Study, View

ORDERS = {False: (View.ANTERIOR, View.POSTERIOR), True: (View.POSTERIOR, View.ANTERIOR)}


def a_study(seed: int, spacing: Spacing | None, shape: tuple[int, int] = (256, 64), top: int = 65535) -> Study:
    rng = np.random.default_rng(seed)
    scans = {view: Scan(view, rng.integers(0, top, shape, endpoint=True).astype(np.float32)) for view in View}
    return Study(f"case {seed}", scans, spacing, acquired="2021-03-04T05:06:07")


@given(
    seed=st.integers(0, 2**32 - 1),
    style=st.sampled_from([style for style in HeaderStyle if style is not HeaderStyle.NO_VIEWS]),
    posterior_first=st.booleans(),
    # 300 rows of 7.6 mm are 2.28 m of counts: more would be a patient that nobody believes in.
    spacing=st.none() | st.builds(Spacing, st.floats(0.5, 7.6), st.floats(0.5, 10.0)),
    shape=st.tuples(st.integers(256, 300), st.integers(64, 90)),
)
def test_write_then_read(seed, style, posterior_first, spacing, shape):
    study = a_study(seed, spacing, shape)
    with tempfile.TemporaryDirectory() as name:
        files = write_nm(study, Path(name) / "scan.dcm", Header(style, posterior_first, seed))
        back = read_study(files)
    assert len(files) == (2 if style is HeaderStyle.TWO_FILES else 1)
    for view in View:
        np.testing.assert_array_equal(back.counts(view), study.counts(view))
    if spacing is None:
        assert back.spacing is None
        assert back.spacing_note
    else:
        assert back.spacing is not None
        assert back.spacing.row_mm == pytest.approx(spacing.row_mm, rel=1e-9)
        assert back.spacing.col_mm == pytest.approx(spacing.col_mm, rel=1e-9)
    assert back.acquired == study.acquired
    assert back.warnings == (() if spacing else (back.spacing_note,))


@pytest.mark.parametrize("posterior_first", [False, True])
def test_without_view_tags_the_views_must_be_stated(tmp_path, posterior_first):
    study = a_study(1, None)
    files = write_nm(study, tmp_path / "scan.dcm", Header(HeaderStyle.NO_VIEWS, posterior_first))
    with pytest.raises(ViewError, match="--views"):
        read_study(files)
    back = read_study(files, ReadOptions(views=ORDERS[posterior_first]))
    assert back.view_source == "the user, not the header"
    for view in View:
        np.testing.assert_array_equal(back.counts(view), study.counts(view))


@pytest.mark.parametrize("style", list(HeaderStyle))
def test_same_study_and_header_give_the_same_bytes(tmp_path, style):
    study = a_study(2, Spacing(2.26, 2.26))

    def written(seed: int) -> list[bytes]:
        return [path.read_bytes() for path in write_nm(study, tmp_path / "scan.dcm", Header(style, seed=seed))]

    assert written(5) == written(5)
    assert written(5)[0] != written(6)[0]


def test_one_view_alone(tmp_path):
    whole = a_study(3, Spacing(2.4, 2.4), top=50)
    study = Study("one", {View.POSTERIOR: whole.scans[View.POSTERIOR]}, whole.spacing)
    back = read_study(write_nm(study, tmp_path / "scan.dcm"))
    assert set(back.scans) == {View.POSTERIOR}
    assert back.acquired is None
    assert back.warnings == ("the anterior view is missing",)


def test_header_names_nobody_and_says_that_it_is_simulated(tmp_path):
    import pydicom

    [path] = write_nm(a_study(4, Spacing(2.4, 2.4)), tmp_path / "scan.dcm")
    header = pydicom.dcmread(path)
    assert str(header.PatientName).startswith("PHANTOM^")
    assert header.PatientID.startswith("PHANTOM-")
    assert header.ImageComments == COMMENT == "SIMULATED, RESEARCH USE ONLY"
    assert not header.PatientBirthDate


@pytest.mark.parametrize("value", [-1.0, 0.5, 65536.0])
def test_counts_that_do_not_fit_are_refused(tmp_path, value):
    counts = np.ones((256, 64), np.float32)
    counts[3, 4] = value
    study = Study("x", {View.ANTERIOR: Scan(View.ANTERIOR, counts)})
    with pytest.raises(OutputError, match="16-bit"):
        write_nm(study, tmp_path / "scan.dcm")


def test_folder_that_is_not_there_is_one_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_nm(a_study(5, None), tmp_path / "absent" / "scan.dcm")
