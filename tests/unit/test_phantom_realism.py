"""The figures of a scan, computed by hand on a body of even strips."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bonescan.phantom.realism import BANDS, PROFILES, SCALARS, body_of, cells, figures
from bonescan.study import Scan, Study, View

TOP, LEFT, ROWS, COLS = 100, 78, 600, 100
AIR = 0.25


def strips():
    """A body of 10 counts; its middle 11 columns of 30, and 20 where it is low (75-90 %) in columns 15-38 off."""
    counts = np.zeros((1024, 256), dtype=np.float32)
    counts[TOP : TOP + ROWS, LEFT : LEFT + COLS] = 10
    middle = LEFT + COLS // 2
    counts[TOP : TOP + ROWS, middle - 5 : middle + 6] = 30
    low = slice(TOP + ROWS * 75 // 100, TOP + ROWS * 90 // 100)
    counts[low, middle + 15 : middle + 39] = 20
    return counts


@pytest.fixture(scope="module")
def found():
    anterior = strips()
    posterior = 2 * anterior
    posterior[950:1000] = AIR
    study = Study("s", {View.ANTERIOR: Scan(View.ANTERIOR, anterior), View.POSTERIOR: Scan(View.POSTERIOR, posterior)})
    return dict(zip((cell.name for cell in cells()), figures(study), strict=True))


def test_the_body_is_found_and_islands_are_not():
    counts = strips()
    counts[900:905, 20:25] = 50  # a drop of urine beside the feet
    body = body_of(counts)
    expected = np.zeros_like(body)
    expected[TOP : TOP + ROWS, LEFT : LEFT + COLS] = True
    assert not body[880:925].any()
    assert (body & expected).sum() > 0.999 * expected.sum()
    assert (body & ~expected).sum() < 4 * 2 * (ROWS + COLS)  # blur widens the body by a few pixels at most


def test_whole_frame_figures(found):
    total = strips().sum()
    assert found["anterior: counts (million)"] == pytest.approx(total / 1e6)
    assert found["posterior: counts (million)"] == pytest.approx((2 * total + 50 * 256 * AIR) / 1e6)
    assert found["anterior: median body pixel (counts)"] == 10
    assert found["posterior: median body pixel (counts)"] == 20
    for view in View:
        # 11 % of the body are three times as hot, 3.6 % twice.
        assert found[f"{view}: 75th percentile / median"] == 1
        assert found[f"{view}: 90th percentile / median"] == 3
        assert found[f"{view}: 99th percentile / median"] == 3
        assert found[f"{view}: body height (rows)"] == pytest.approx(ROWS, abs=6)
        assert found[f"{view}: body width (columns)"] == pytest.approx(COLS, abs=6)
        assert found[f"{view}: first body row"] == pytest.approx(TOP, abs=3)
    assert found["posterior: maximum (counts)"] == 60
    assert found["anterior: air (counts)"] == 0
    away = 1024 * 256 - (ROWS + 14) * (COLS + 14)
    assert found["posterior: air (counts)"] == pytest.approx(50 * 256 * AIR / away, rel=0.03)


def test_profiles_by_height(found):
    for view in View:
        for low, high in BANDS[1:-1]:  # the blur's rim takes part in the first and the last
            assert found[f"{view} midline {low}-{high} %"] == pytest.approx(3, rel=0.02)
            # Of both sides' columns 15 to 38, one side is twice as hot at the height of the legs.
            paramedian = 1.5 if (low, high) == (75, 90) else 1.0
            assert found[f"{view} paramedian {low}-{high} %"] == pytest.approx(paramedian, rel=0.04)


def test_the_table_of_real_scans_is_whole():
    names = [cell.name for cell in cells()]
    assert len(names) == len(set(names)) == 2 * len(SCALARS) + 4 * len(BANDS)
    assert all(low < high for low, high in (cell.real for cell in cells()))
    assert BANDS[0][0] == 0
    assert BANDS[-1][1] == 100
    assert all(before[1] == after[0] for before, after in pairwise(BANDS))
    # The published table, at three of its corners.
    assert PROFILES[(View.ANTERIOR, "midline")][9] == (2.9, 15.4)
    assert PROFILES[(View.POSTERIOR, "paramedian")][-1] == (0.1, 1.5)
    assert SCALARS["97th percentile / median"] == (4.2, 5.7)
