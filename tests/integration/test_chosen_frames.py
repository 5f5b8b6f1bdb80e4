"""A file with more than two frames: the frames that `segment` was given are given again to read its scan later."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest

from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.study import Scan, Spacing, Study, View


def write_four(folder, key, seed):
    """A scan in frames 1 and 2, with a hot rectangle in the anterior view, and a second energy window behind them."""
    rng = np.random.default_rng(seed)
    expected = np.full((256, 64), 0.05)
    expected[10:240, 8:56] = 8.0
    hot = expected.copy()
    hot[100:106, 30:36] = 90.0
    scans = {
        view: Scan(view, rng.poisson(one).astype(np.float32)) for view, one in zip(View, (hot, expected), strict=True)
    }
    folder.mkdir()
    study = Study(key, scans, Spacing(2.4, 2.4), acquired=f"2024-0{seed}-01")
    (path,) = write_nm(study, folder / "scan.dcm", Header(HeaderStyle.GE, patient="P-1"))
    dataset = pydicom.dcmread(path)
    dataset.NumberOfFrames = 4
    dataset.PixelData = 2 * dataset.PixelData
    dataset.DetectorVector = [1, 2, 1, 2]
    dataset.EnergyWindowVector = [1, 1, 2, 2]
    dataset.save_as(path)


@pytest.fixture
def place(tmp_path):
    for seed in (1, 2):
        write_four(tmp_path / f"s{seed}", f"s{seed}", seed)
    return tmp_path


@pytest.mark.parametrize("name", ["lesions-sr.dcm", "lesions-seg.dcm", "coco.json"])
def test_corrected_curves_come_back(place, name, in_process, threshold_bundle):
    model = ("--model", threshold_bundle)
    done = in_process(
        "segment", "s1", "-o", "out", "--frames", "1,2", "--format", "json,sr,seg,coco", *model, cwd=place
    )
    assert done.returncode == 0, done.stderr
    given = ("import", f"out/s1/{name}", "--scan", "s1", "--reader", "Ada Byron", *model)
    refused = in_process(*given, "-o", "refused", cwd=place)
    assert (refused.returncode, "--frames" in refused.stderr) == (2, True)
    back = in_process(*given, "-o", "back", "--frames", "1,2", cwd=place)
    assert back.returncode == 0, back.stderr
    before, after = (json.loads((place / one / "s1" / "lesions.json").read_text()) for one in ("out", "back"))
    assert [one["area_px"] for one in after["lesions"]] == [one["area_px"] for one in before["lesions"]] != []


def test_compare(place, in_process, threshold_bundle):
    given = ("compare", "s1", "s2", "-o", "out", "--model", threshold_bundle)
    refused = in_process(*given, cwd=place)
    assert (refused.returncode, "--frames" in refused.stderr) == (2, True)
    done = in_process(*given, "--frames", "1,2", cwd=place)
    assert done.returncode == 0, done.stderr
