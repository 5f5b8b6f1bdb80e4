"""Scans as npz files: their arrays are read as they are, and what is no scan is refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from tests.drawn import a_study

from bonescan.errors import InputError
from bonescan.reading import read_study
from bonescan.study import Spacing, View


class TestNpz:
    def test_round_trip(self, tmp_path):
        study = a_study("n")
        arrays = {str(view): study.counts(view).astype(np.uint16) for view in View}
        np.savez_compressed(tmp_path / "scan.npz", spacing_mm=np.array([2.2, 2.3]), **arrays)
        back = read_study(tmp_path / "scan.npz")
        assert (back.key, back.spacing, back.warnings) == ("scan", Spacing(2.2, 2.3), ())
        for view in View:
            np.testing.assert_array_equal(back.counts(view), study.counts(view))

    @pytest.mark.parametrize(
        ("arrays", "reason"),
        [
            ({"other": np.ones((4, 4))}, "neither 'anterior' nor 'posterior'"),
            ({"anterior": np.ones(4)}, "write it as numbers of 2-D"),
            ({"anterior": np.full((4, 4), "x")}, "write it as numbers"),
            ({"anterior": np.ones((1, 5000), np.uint8)}, "at most 4096"),
            ({"anterior": np.full((4, 4), np.nan)}, "not finite"),
            ({"anterior": np.zeros((4, 4))}, "no counts at all"),
            ({"anterior": np.full((4, 4), 1e30)}, "counts in one pixel"),
            ({"anterior": -np.ones((4, 4))}, "no counts at all"),
            ({"anterior": np.ones((4, 4)), "posterior": np.ones((4, 5))}, "4 x 4 and 4 x 5"),
            ({"anterior": np.ones((4, 4)), "spacing_mm": np.ones(3)}, "write two"),
        ],
    )
    def test_refused_with_the_reason(self, tmp_path, arrays, reason):
        np.savez(tmp_path / "scan.npz", **arrays)
        with pytest.raises(InputError, match=reason):
            read_study(tmp_path / "scan.npz")

    def test_pickles_are_not_read(self, tmp_path):
        np.savez(tmp_path / "scan.npz", anterior=np.array([[{}]], dtype=object))
        with pytest.raises(InputError, match="write it as numbers"):
            read_study(tmp_path / "scan.npz")

    def test_size_is_checked_before_anything_is_unpacked(self, tmp_path):
        import tracemalloc

        np.savez_compressed(tmp_path / "scan.npz", anterior=np.zeros((6000, 6000), np.uint8))
        tracemalloc.start()
        with pytest.raises(InputError, match="6000 x 6000"):
            read_study(tmp_path / "scan.npz")
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
        tracemalloc.stop()

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"x" * 400])
    def test_no_npz(self, tmp_path, content):
        (tmp_path / "scan.npz").write_bytes(content)
        with pytest.raises(InputError, match="npz file is damaged"):
            read_study(tmp_path / "scan.npz")
