"""Results and predictions made of masks, and scans written as every kind of header has them: to test objects on."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy import ndimage

from bonescan.dicom.header import Made, Origin
from bonescan.dicom.read_header import read_header
from bonescan.dicom.write_nm import Header, write_nm
from bonescan.lesions.contours import contour_of
from bonescan.prediction import Prediction
from bonescan.reading import ReadOptions, read_study
from bonescan.study import (
    REGIONS,
    Burden,
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

MODEL = ModelName("phantom-unet", "0123456789abcdef" * 4)
MADE = Made(datetime.datetime(2026, 1, 2, 3, 4, 5))
EIGHT = np.ones((3, 3), dtype=bool)
RIBS = REGIONS.index(Region.RIBS)


def random_masks(rng: np.random.Generator, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield pieces as lesions are, for ever: single pixels, blobs, diagonal necks, some on the frame's border."""
    while True:
        noise = ndimage.gaussian_filter(rng.normal(size=shape), float(rng.choice([0.0, 0.6, 1.5, 3.0])))
        numbered, count = ndimage.label(noise > np.quantile(noise, 0.93), structure=EIGHT)
        for number in rng.permutation(np.arange(1, count + 1))[:12]:
            # Background that only touches through a corner is a hole: the outside is 4-connected.
            yield ndimage.binary_fill_holes(numbered == number)


def predict(*, region=RIBS, **views):
    """The prediction of a model with these maps of probability, on one bone everywhere."""
    lesion = {View(name): np.asarray(image, dtype=np.float32) for name, image in views.items()}
    return Prediction(lesion, {view: np.full(image.shape, region, dtype=np.uint8) for view, image in lesion.items()})


def lesion_of(number: int, view: View, mask: np.ndarray, side: Side = Side.RIGHT) -> Lesion:
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    origin = (int(rows[0]), int(cols[0]))
    area = int(mask.sum())
    measures = Measures(area, None, 10.0 * area, 10.0, 12.0, 2.0, None)
    cut = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return Lesion(number, view, contour_of(mask), origin, cut, 0.75, Region.RIBS, side, measures)


def result_of(study: Study, masks: Mapping[View, Sequence[np.ndarray]], **changes) -> Result:
    drawn = [(view, mask) for view in View for mask in masks.get(view, ())]
    lesions = tuple(lesion_of(number, view, mask) for number, (view, mask) in enumerate(drawn, start=1))
    burden = {
        view: Burden(len(masks.get(view, ())), sum(int(mask.sum()) for mask in masks.get(view, ())), None, 1000, 0.1)
        for view in study.scans
    }
    rows, cols = study.shape
    return Result(study, MODEL, lesions, burden, (slice(0, rows), slice(0, cols)), **changes)


def a_study(key: str, seed: int = 0) -> Study:
    """Both views of noise."""
    rng = np.random.default_rng(seed)
    scans = {view: Scan(view, rng.integers(0, 40, (256, 64)).astype(np.float32)) for view in View}
    return Study(key, scans, Spacing(2.4, 2.4))


def scan_of(rng, folder: Path, header: Header, spacing: Spacing | None, shape=(256, 64), views=tuple(View)):
    """Write a scan of noise in a header's style and read it back: the study as read, and the header to write with."""
    counts = {view: Scan(view, rng.integers(0, 200, shape)) for view in views}
    study = Study(f"case {header.seed}", counts, spacing, acquired="2021-03-04T05:06:07")
    paths = write_nm(study, folder / "scan.dcm", header)
    stated = None
    if header.style == "no-views":
        stated = ReadOptions(views=tuple(reversed(views)) if header.posterior_first else tuple(views))
    return read_study(paths, stated), Origin(read_header(paths), MADE)


def changed(scan, **elements):
    """The file of a scan, now with other elements in its header."""
    dataset = pydicom.dcmread(scan)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(scan)
    return scan


def needs(program: str) -> str:
    """The path of a program that tests talk to; the test is skipped where it is not installed."""
    found = shutil.which(program)
    if found is None:
        reason = f"{program} is not installed"
        if os.environ.get("BONESCAN_REQUIRE_PEERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def dicom_errors(path: Path) -> list[str]:
    """What dciodvfy (dicom3tools) calls an error."""
    run = subprocess.run([needs("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False)
    said = (run.stdout + run.stderr).splitlines()
    assert any(line and not line.startswith(("Warning", "Error")) for line in said), "dciodvfy named no kind of object"
    return [line for line in said if line.startswith("Error")]
