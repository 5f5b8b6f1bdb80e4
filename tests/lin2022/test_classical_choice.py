"""The benchmark that chose the classical baselines' numbers runs, and counts what it says it counts."""

from __future__ import annotations

import numpy as np
import pytest
from tests.scripts import script

from bonescan.train.cases import FAINT


@pytest.fixture(scope="module")
def choice():
    return script("benchmarks/classical_choice.py")


def test_faint_lesions_are_set_aside_and_views_without_lesions_count(choice):
    lesions = np.zeros((2, 8, 8), np.uint8)
    lesions[0, 2, 2:6] = 1
    lesions[0, 5] = FAINT
    pair = choice.Pair(np.zeros((2, 8, 8), np.uint16), lesions)

    def half_and_the_faint(counts):
        masks = np.zeros(counts.shape, bool)
        masks[0, 2, 2:4], masks[0, 5] = True, True
        return masks

    # Two of four pixels: Dice 2/3; nothing in the second view, and nothing there: 1.
    assert choice.compare([pair], half_and_the_faint) == {"dsc_pooled": 0.6667, "dsc_mean": 0.8333}


def test_every_combination_is_tried_on_a_training_patient(choice, monkeypatch):
    monkeypatch.setattr(choice, "LEVELS", (2.5, 3.0))
    monkeypatch.setattr(choice, "AREAS", (300,))
    monkeypatch.setattr(choice, "ITERATIONS", (1,))
    pair = choice.simulate(choice.FIRST_ANATOMY + 1)
    assert pair.counts.shape == pair.lesions.shape == (2, 256, 256)
    assert pair.lesions.any()
    found = list(choice.rows([pair]))
    assert [row["baseline"] for row in found] == ["two-means", "morphological-chan-vese", *["region-growing-41"] * 2]
    assert all(0 <= row["dsc_pooled"] <= 1 for row in found)
