"""Patients with square lesions and findings, to judge and to fit thresholds on."""

from __future__ import annotations

import numpy as np

from bonescan.prediction import Prediction
from bonescan.study import View
from bonescan.train.calibrate import Judged

SHAPE = (60, 40)
A, P = View.ANTERIOR, View.POSTERIOR


def judged(*blobs) -> Judged:
    """A patient; each blob is (view, row, probability, is it a lesion), a square of 5 pixels."""
    probability = {view: np.full(SHAPE, 0.02, dtype=np.float32) for view in View}
    truth = {view: np.zeros(SHAPE, dtype=np.uint8) for view in View}
    for number, (view, row, height, real) in enumerate(blobs, start=1):
        probability[view][row : row + 5, 10:15] = height
        truth[view][row : row + 5, 10:15] = number if real else 0
    maps = {view: np.zeros(SHAPE, dtype=np.uint8) for view in View}
    return Judged(Prediction(probability, maps), truth)
