"""A drawn patient, scanned again and again: moved, at another dose, with hot places and outlines on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bonescan.lesions.contours import contour_of
from bonescan.prediction import Prediction
from bonescan.serial.change import ReadScan
from bonescan.study import (
    REGIONS,
    Candidate,
    Lesion,
    Measures,
    ModelName,
    Region,
    Result,
    Scan,
    Side,
    Spacing,
    Study,
    View,
)

SHAPE = (320, 128)
PARTS = {
    Region.SKULL: (20, 64, 14, 11),
    Region.THORACIC_SPINE: (90, 64, 34, 5),
    Region.LUMBAR_SPINE: (145, 64, 18, 5),
    Region.ILIUM: (175, 64, 10, 26),
    Region.FEMUR: (230, 64, 40, 24),
}


def body(move=(0, 0), scale=1.0, seed=0, hot=()):
    """A drawn patient, moved by (rows, cols); hot: (row, col, factor) of discs in the patient's own place.

    seed: of the noise; None: none.
    """
    rows, cols = np.indices(SHAPE)
    rows, cols = rows - move[0], cols - move[1]
    expected = np.where((rows > 4) & (rows < 290) & (np.abs(cols - 64) < 34), 4.0, 0.05)
    regions = np.zeros(SHAPE, np.uint8)
    for region, (row, col, height, width) in PARTS.items():
        part = ((rows - row) / height) ** 2 + ((cols - col) / width) ** 2 < 1
        if region in (Region.ILIUM, Region.FEMUR):
            part &= np.abs(cols - col) > 8
        expected[part], regions[part] = 20.0, REGIONS.index(region)
    for row, col, factor in hot:
        expected[np.hypot(rows - row, cols - col) < 4] *= factor
    counts = expected * scale
    return counts if seed is None else np.random.default_rng(seed).poisson(counts).astype(float), regions


def prediction_of(regions, views):
    """Maps of a model that finds no lesion."""
    return Prediction({view: np.zeros(SHAPE, np.float32) for view in views}, dict.fromkeys(views, regions))


def read(move=(0, 0), scale=1.0, seed=0, hot=(), outlined=None):
    """A read scan of the anterior view with an outline on each hot place, or on those that are named."""
    counts, regions = body(move, scale, seed, hot)
    study = Study(f"scan-{seed}", {View.ANTERIOR: Scan(View.ANTERIOR, counts)}, spacing=Spacing(2.4, 2.4))
    lesions = []
    for row, col, _ in hot if outlined is None else outlined:
        mask = np.hypot(*(np.indices((9, 9)) - 4)) < 4
        mask = mask[1:8, 1:8]
        origin = (row + move[0] - 3, col + move[1] - 3)
        number, measures = len(lesions) + 1, Measures(int(mask.sum()), None, 1.0, 1.0, 1.0, 2.0, None)
        curve = contour_of(mask) + np.array(origin)
        lesions.append(Lesion(number, View.ANTERIOR, curve, origin, mask, 0.9, Region.ILIUM, Side.LEFT, measures))
    window = (slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    result = Result(study, ModelName("drawn", "0" * 64), tuple(lesions), {}, window)
    return ReadScan(result, prediction_of(regions, [View.ANTERIOR]))


HOT = (175, 80, 3.0)
OTHER = (90, 64, 3.0)

SPOT = [(165, 84, 3.0)]


def suspecting(scan, row, col, probability):
    """The scan with some probability of a lesion at a place, and the candidate that follows from it."""
    image = np.zeros(SHAPE, np.float32)
    mask = np.hypot(*(np.indices(SHAPE) - np.array([row, col])[:, None, None])) < 4
    image[mask] = probability
    candidate = Candidate(View.ANTERIOR, contour_of(mask), int(mask.sum()), probability, probability, Region.ILIUM)
    prediction = replace(scan.prediction, lesion={View.ANTERIOR: image})
    return replace(scan, result=replace(scan.result, candidates=(candidate,)), prediction=prediction)


LEGS = ((235, 48, 3.0), (235, 80, 3.0))
"""A lesion in each femur, below where a scan may end."""
KNEES = 215


def ending_above(scan, row=KNEES):
    """The scan with a frame that ends above a row, and without the outlines that reach it."""
    study, maps = scan.result.study, scan.prediction
    scans = {view: Scan(view, one.counts[:row]) for view, one in study.scans.items()}
    lesions = tuple(lesion for lesion in scan.result.lesions if lesion.window[0].stop <= row)
    window = (slice(0, row), slice(0, SHAPE[1]))
    result = replace(scan.result, study=replace(study, scans=scans), lesions=lesions, window=window)
    cut = [{view: image[:row] for view, image in images.items()} for images in (maps.lesion, maps.region)]
    return replace(scan, result=result, prediction=Prediction(*cut))
