"""Which spacings and counts are plausible, and what is left out or refused otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from bonescan.errors import InputError
from bonescan.prepare.plausibility import body_rows, checked_counts, checked_spacing
from bonescan.study import Spacing


class TestPlausibility:
    def test_body_rows_ignores_a_bag_beyond_the_feet(self):
        counts = np.zeros((1000, 200), np.float32)
        counts[100:800, 50:150] = 5
        counts[900:930, 20:60] = 50
        assert body_rows(counts) == pytest.approx(700, abs=10)

    def test_spacing(self):
        counts = np.zeros((1000, 200), np.float32)
        counts[100:800, 50:150] = 5
        assert checked_spacing([2.4, 2.4], [counts]) == (Spacing(2.4, 2.4), None)
        spacing, note = checked_spacing([3.4, 3.4], [counts])
        assert spacing is None
        assert "2.4 m tall" in (note or "")
        for wrong in ([2.4], [float("nan"), 2.4], [0.4, 0.4], [-2.4, 2.4], [11, 11]):
            assert checked_spacing(wrong, [counts])[0] is None

    def test_counts_keep_what_they_are(self):
        counts, notes = checked_counts(np.array([[0, 65535]], np.uint16))
        assert (counts.tolist(), notes) == ([[0.0, 65535.0]], ())

    def test_a_few_negatives_are_clipped_and_many_refused(self):
        counts, notes = checked_counts(np.array([[100.0, -5.0]]))
        assert counts.tolist() == [[100.0, 0.0]]
        assert "1 pixels held negative values (5.0%" in notes[0]
        with pytest.raises(InputError, match="no counts"):
            checked_counts(np.array([[100.0, -11.0]]))
