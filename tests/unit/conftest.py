"""An invented body of Gaussian blobs, with and without lesions: a result to write and draw. A scan in a file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bonescan.assess import assess
from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.lesions.delineate import Thresholds, delineate
from bonescan.lesions.measure import measure
from bonescan.prediction import Prediction
from bonescan.study import LEVELS, REGIONS, ModelName, Region, Result, Scan, SourceFrame, Spacing, Study, View

SHAPE = (320, 128)
SPACING = Spacing(2.4, 2.4)
MODEL = ModelName("phantom-unet", "0123456789abcdef" * 4)
WHOLE = (slice(0, SHAPE[0]), slice(0, SHAPE[1]))

BONES = {
    Region.SKULL: [(32, 64, 12, 10, 14.0)],
    Region.THORACIC_SPINE: [(90, 64, 30, 4, 24.0)],
    Region.RIBS: [(row, col, 3, 12, 9.0) for row in (75, 90, 105) for col in (42, 86)],
    Region.LUMBAR_SPINE: [(140, 64, 14, 4, 22.0)],
    Region.PELVIS: [(165, col, 10, 12, 12.0) for col in (48, 80)],
    Region.FEMUR: [(220, col, 35, 4, 6.0) for col in (44, 84)],
    Region.BLADDER: [(180, 64, 6, 7, 120.0)],
}
"""Row, column, standard deviations and counts of each blob."""
LESIONS = {
    View.ANTERIOR: [(75, 40, 2.5), (165, 84, 4.0)],
    View.POSTERIOR: [(90, 64, 3.0), (112, 63, 2.5), (75, 88, 2.0)],
}
"""Row, column and radius."""


def blob(row, col, height, width):
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.exp(-(((rows - row) / height) ** 2 + ((cols - col) / width) ** 2) / 2)


def draw_view(view, lesions):
    """Counts, region map and probability map of one view."""
    expected = 2.5 * (blob(150, 64, 70, 26) > 0.15)
    regions = np.zeros(SHAPE, dtype=np.uint8)
    for region, blobs in BONES.items():
        for row, col, height, width, counts in blobs:
            shape = blob(row, col, height, width)
            expected = expected + counts * shape
            regions[shape > 0.4] = REGIONS.index(region)
    probability = np.zeros(SHAPE)
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    for row, col, radius in lesions:
        disc = 1 / (1 + np.exp(2 * (np.hypot(rows - row, cols - col) - radius)))
        probability = np.maximum(probability, disc)
        expected = expected + 60 * disc
    seed = list(View).index(view)
    return np.random.default_rng(seed).poisson(expected), regions, probability


def levels_of(regions):
    """Vertebrae from T1 to T12 by height over the thoracic spine, ribs likewise."""
    levels = np.zeros(SHAPE, dtype=np.uint8)
    for region, first in ((Region.THORACIC_SPINE, "T1"), (Region.RIBS, "rib 1")):
        rows, cols = np.nonzero(regions == REGIONS.index(region))
        if rows.size:
            place = (rows - rows.min()) * 12 // (np.ptp(rows) + 1)
            levels[rows, cols] = LEVELS.index(first) + place
    return levels


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    """Build a result: `make_result(views=..., lesions=..., spacing=..., window=...)`."""

    def make(*, views=tuple(View), lesions=LESIONS, spacing=SPACING, window=WHOLE, key="scan-1"):
        drawn = {view: draw_view(view, lesions.get(view, ())) for view in views}
        study = Study(
            key,
            {view: Scan(view, counts) for view, (counts, _, _) in drawn.items()},
            spacing=spacing,
            spacing_note=None if spacing else "the stated spacing makes the patient 2.9 m tall",
            view_source="Detector Vector and View Code Sequence",
            acquired="2021-05-06",
            sources=("scan.dcm",),
            digests=("ab" * 32,),
            frames={view: SourceFrame(0, number) for number, view in enumerate(views, start=1)},
            warnings=("the tracer is not stated",),
        )
        prediction = Prediction(
            {view: probability for view, (_, _, probability) in drawn.items()},
            {view: regions for view, (_, regions, _) in drawn.items()},
            level={view: levels_of(regions) for view, (_, regions, _) in drawn.items()},
        )
        found, burden = measure(study, delineate(prediction, Thresholds()), prediction)
        region = "whole-body" if window == WHOLE else "thorax"
        found, extent = assess(study, found, prediction, region)
        return Result(study, MODEL, found, burden, window, region, study.warnings, extent=extent)

    return make


@pytest.fixture(scope="session")
def result(make_result: Callable[..., Result]) -> Result:
    """Two views with two and three lesions."""
    return make_result()


@pytest.fixture
def scan(tmp_path):
    """The file of a scan of noise."""
    counts = np.random.default_rng(1).integers(0, 100, (512, 128))
    study = Study("case", {view: Scan(view, counts) for view in View}, Spacing(2.0, 2.5))
    (path,) = write_nm(study, tmp_path / "scan.dcm", Header(HeaderStyle.STANDARD))
    return path
