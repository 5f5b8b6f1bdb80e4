"""Scans whose headers name no view can be labelled, learned from and compared; exchanged views are warned of."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from bonescan.annotate import from_label_image, write_labelme
from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.study import Scan, View

STATED, TURNED = "anterior,posterior", "posterior,anterior"
LOOK = "the views look exchanged"
TINY = """
name = "tiny"
steps = 2
batch_rows = 256
crop_rows = [256]
crop_weights = [1.0]
warmup_steps = 1
threads = 1
validate_every = 9
[network_config]
widths = [8, 8]
decoder_widths = [8]
[cohort]
folder = "cohort"
validation_share = 0.0
"""


@pytest.fixture(scope="module")
def written(patient_of, tmp_path_factory):
    """Two labelled patients, simulated once; their headers name no view, and the anterior frame comes first."""
    folder = tmp_path_factory.mktemp("silent")
    for number in range(2):
        patient = patient_of(0, number)
        study = folder / "cohort" / f"p{number}" / "s"
        study.mkdir(parents=True)
        write_nm(patient.study, study / "scan.dcm", Header(HeaderStyle.NO_VIEWS, seed=number, patient=f"P{number}"))
        drawn = np.zeros(patient.study.shape, np.uint16)
        drawn[200:206, 120:126] = 1
        for view in View:
            write_labelme(study / f"{view}.json", from_label_image(drawn))
    front, back = (patient.study.counts(view) for view in View)
    exchanged = {View.ANTERIOR: Scan(View.ANTERIOR, back), View.POSTERIOR: Scan(View.POSTERIOR, front)}
    write_nm(replace(patient.study, scans=exchanged), folder / "lying.dcm", Header(HeaderStyle.STANDARD, patient="P1"))
    (folder / "tiny.toml").write_text(TINY)
    return folder


@pytest.fixture
def place(written, tmp_path):
    return shutil.copytree(written, tmp_path / "place")


def test_pictures_of_silent_headers_and_of_exchanged_views(place, in_process):
    scan = "cohort/p0/s/scan.dcm"
    refused = in_process("pictures", scan, "-o", "out", cwd=place)
    assert (refused.returncode, "--views" in refused.stderr) == (1, True)
    done = in_process("pictures", scan, "-o", "out", "--views", STATED, cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    for arguments, key in (([scan, "--views", TURNED], "scan"), (["lying.dcm"], "lying")):
        turned = in_process("pictures", "-o", "turned", *arguments, cwd=place)
        assert turned.returncode == 0
        assert turned.stderr.startswith(f"warning: {key}: {LOOK}")
    against = in_process("pictures", "lying.dcm", "-o", "against", "--views", TURNED, cwd=place)
    assert against.stderr.startswith("warning: lying: the views were stated against the header")
    assert LOOK not in against.stderr


def test_compare(place, in_process, threshold_bundle):
    scans = [f"cohort/p{number}/s" for number in range(2)]
    arguments = ("compare", *scans, "-o", "out", "--model", threshold_bundle)
    refused = in_process(*arguments, cwd=place)
    assert (refused.returncode, "--views" in refused.stderr) == (2, True)
    done = in_process(*arguments, "--views", STATED, cwd=place)
    assert done.returncode == 0, done.stderr
    assert LOOK not in done.stdout


def test_dataset(place, in_process):
    arguments = ("dataset", "--seed", 1, "--images", 4, "--cohort", "cohort", "--keep-lesion-free")
    refused = in_process(*arguments, "-o", "set", cwd=place)
    assert (refused.returncode, "--views" in refused.stderr) == (2, True)
    done = in_process(*arguments, "-o", "set", "--views", STATED, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    turned = in_process(*arguments, "-o", "turned", "--views", TURNED, cwd=place)
    assert [turned.stderr.count(f"warning: p{number}/s: {LOOK}") for number in range(2)] == [1, 1]
    assert 'views = ["posterior", "anterior"]' in (place / "turned" / "dataset.toml").read_text()
    alone = in_process("dataset", "--seed", 1, "-o", "new", "--views", STATED, cwd=place)
    assert (alone.returncode, "give --cohort" in alone.stderr) == (2, True)


def test_adapt_reads_with_stated_views(place, in_process):
    pytest.importorskip("torch")
    adapt = ("adapt", "cohort", "-o", "taught")
    for options, read in (((), "scans of 0 patients"), (("--views", STATED), "scans of 2 patients")):
        few = in_process(*adapt, *options, cwd=place)  # five are the fewest
        assert (few.returncode, read in few.stderr) == (2, True)
        assert ("--views" in few.stderr) == (not options)
    from bonescan.adapt.scans import read_scans
    from bonescan.reading import stated_views

    assert len(read_scans([place / "cohort"]).left_out) == 2
    stated = read_scans([place / "cohort"], options=stated_views(("anterior", "posterior")))
    assert (len(stated.scans), stated.left_out, stated.warnings) == (2, (), ())
    turned = read_scans([place / "cohort"], options=stated_views(("posterior", "anterior")))
    assert {one.digest for one in stated.scans}.isdisjoint(one.digest for one in turned.scans)  # a run is pinned by it
    lying = read_scans([place / "lying.dcm"], options=stated_views(("posterior", "anterior")))
    assert lying.warnings[0].startswith("lying: the views were stated against the header")


def test_a_training_and_what_is_scored_of_it(place, in_process):
    pytest.importorskip("torch")
    train = ("train", "tiny.toml", "--set")
    refused = in_process(*train, "steps=2", cwd=place)
    assert refused.returncode == 2
    key = "(in this configuration: cohort.views, for all scans)"
    assert key in " ".join(refused.stderr.split())
    turned = in_process(*train, "name=turned", 'cohort.views=["posterior", "anterior"]', cwd=place)
    assert turned.returncode == 0, turned.stderr
    assert [turned.stderr.count(f"warning: p{number}/s: {LOOK}") for number in range(2)] == [1, 1]
    assert turned.stderr.count(key) == 2
    done = in_process(*train, 'cohort.views=["anterior", "posterior"]', cwd=place)
    assert done.returncode == 0, done.stderr
    assert LOOK not in done.stderr

    segment = ("segment", "cohort", "--views", STATED, "--operating-point", "balanced", "--model")
    for model, learned in (("runs/tiny/bundle", True), ("phantom-unet", False)):
        out = f"out-{learned}"
        assert in_process(*segment, model, "-o", out, cwd=place).returncode == 0
        lesions = json.loads((place / out / "p0-s" / "lesions.json").read_text())
        assert any("the model learned from this scan" in one for one in lesions["warnings"]) == learned
        scored = in_process("evaluate", out, "cohort", cwd=place)
        assert scored.returncode == 0, scored.stderr
        assert ("the model learned from or was fitted to 2 of 2 scored scans" in scored.stdout) == learned
    bundle = json.loads((place / "runs/tiny/bundle/bundle.json").read_text())
    (digest, *_) = json.loads((place / "runs/tiny/scans.json").read_text())
    assert digest not in json.dumps(bundle)  # the bundle does not show whose scans these were
