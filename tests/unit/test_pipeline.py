"""The straight line, with a network that can be computed by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bonescan
from bonescan.annotate.label_json import counts_digests
from bonescan.bundle import write_bundle
from bonescan.errors import BundleError, OptionError, ViewError
from bonescan.lesions.drawn import DrawnLesion
from bonescan.pipeline import adopt
from bonescan.prepare import Window
from bonescan.study import Region, Scan, Side, Spacing, Study, View

SHAPE = (512, 256)
HOT = (slice(100, 106), slice(40, 48))


def study(hot: View | None, views: tuple[View, ...] = tuple(View)) -> Study:
    """A slab of 10 counts a pixel in air, and one hot rectangle of 100 in one view."""
    scans = {}
    for view in views:
        counts = np.zeros(SHAPE, np.float32)
        counts[40:480, 20:236] = 10
        if view is hot:
            counts[HOT] = 100
        scans[view] = Scan(view, counts)
    return Study("slab", scans, spacing=Spacing(2.0, 2.5), warnings=("the tracer is not stated",))


@pytest.fixture(scope="module")
def model(threshold_bundle):
    return bonescan.load_model(threshold_bundle)


def test_a_model_that_found_nothing_in_validation_says_so_in_every_result(threshold_bundle, tmp_path, in_process):
    files = {name: (threshold_bundle / name).read_bytes() for name in ("model.onnx", "model.safetensors", "card.md")}
    raw = json.loads((threshold_bundle / "bundle.json").read_text())
    for sensitivity in (0.0, 0.5):
        figures = {"patients": 3, "lesions": 7, "sensitivity": sensitivity}
        bundle = write_bundle(tmp_path / "blind", {**raw, "figures": figures}, files)
        result = bonescan.segment(study(View.ANTERIOR), bonescan.load_model(bundle.folder))
        said = "the model threshold: it found none of the 7 lesions of its 3 validation patients"
        assert (said in result.warnings) is (sensitivity == 0)
        checked = in_process("model", "verify", bundle.folder)
        assert (f"warning: {said}" in checked.stderr) is (sensitivity == 0)


@pytest.mark.parametrize(("view", "side"), [(View.ANTERIOR, Side.RIGHT), (View.POSTERIOR, Side.LEFT)])
def test_a_hot_rectangle_is_found_where_it_is_and_measured(model, view, side):
    result = bonescan.segment(study(view), model)
    (lesion,) = result.lesions
    assert (lesion.view, lesion.side, lesion.region) == (view, side, Region.STERNUM)
    assert lesion.window == HOT
    assert lesion.mask.all()
    assert lesion.measures.area_px == 48
    assert lesion.measures.area_mm2 == pytest.approx(48 * 5.0)
    assert lesion.measures.counts_total == pytest.approx(4800)
    assert np.count_nonzero(result.labels(view)) == 48
    assert {view: burden.lesions for view, burden in result.burden.items()} == {one: int(one is view) for one in View}


def test_the_result_says_what_was_looked_at_by_which_model_and_warns(model):
    result = bonescan.segment(study(None), model)
    assert result.lesions == ()
    assert result.region == "whole-body"
    assert result.window == (slice(0, 512), slice(0, 256))
    assert result.model == model.name
    assert result.model.name == "threshold"
    assert result.warnings[0] == "the tracer is not stated"


def test_one_view_alone_is_looked_at(model):
    result = bonescan.segment(study(View.POSTERIOR, (View.POSTERIOR,)), model)
    assert [lesion.view for lesion in result.lesions] == [View.POSTERIOR]
    assert set(result.burden) == {View.POSTERIOR}


def test_stated_rows_are_the_window(model):
    inside = bonescan.segment(study(View.ANTERIOR), model, bonescan.Options("thorax", (96, 352)))
    assert inside.window == (slice(96, 352), slice(0, 256))
    assert [lesion.window for lesion in inside.lesions] == [HOT]
    outside = bonescan.segment(study(View.ANTERIOR), model, bonescan.Options("thorax", (200, 456)))
    assert outside.lesions == ()


@pytest.mark.parametrize("region", [None, "whole-body"])
def test_stated_rows_are_no_whole_body(model, region):
    """Whatever region is given: rows are of a thorax."""
    rows = bonescan.segment(study(View.ANTERIOR), model, bonescan.Options(region, rows=(96, 352)))
    thorax = bonescan.segment(study(View.ANTERIOR), model, bonescan.Options("thorax", (96, 352)))
    assert (rows.region, rows.window, rows.extent) == ("thorax", thorax.window, thorax.extent)


def test_rows_that_leave_the_frame_are_an_option_error(model):
    with pytest.raises(OptionError, match="600"):
        bonescan.segment(study(None), model, bonescan.Options("thorax", (400, 600)))


@pytest.mark.parametrize("learned", [False, True])
def test_curves_drawn_in_a_thorax_are_no_reading_of_the_whole_body(model, learned):
    """Measured and warned of as the model's own were, also where the model learned from the scan."""
    scan = study(View.ANTERIOR)
    if learned:
        known = frozenset(counts_digests(scan).values())
        model = replace(model, bundle=replace(model.bundle, learned_from=known))
    result = bonescan.segment(scan, model, bonescan.Options(rows=(96, 352)))
    drawn = [DrawnLesion(one.view, result.labels(one.view) == one.id, one.probability) for one in result.lesions]
    again = adopt(scan, drawn, model, None, window=Window(*result.window))
    for name in ("region", "window", "extent", "burden", "quality", "warnings"):
        assert getattr(again, name) == getattr(result, name), name
    assert adopt(scan, drawn, model, "Ada").region == "whole-body"


def test_a_model_that_is_not_there_is_a_bundle_error(tmp_path):
    with pytest.raises(BundleError, match="no-such-model"):
        bonescan.load_model(tmp_path / "no-such-model")


@pytest.fixture(scope="module")
def thoracic_model(threshold_bundle, tmp_path_factory):
    """The same network in a bundle that says that it knows the thorax alone."""
    raw = dict(bonescan.load_model(threshold_bundle).bundle.raw)
    files = {name: (threshold_bundle / name).read_bytes() for name in raw.pop("files")}
    folder = tmp_path_factory.mktemp("thorax") / "thoracic"
    write_bundle(folder, raw | {"name": "thoracic", "region": "thorax"}, files)
    return bonescan.load_model(folder)


def test_a_model_of_the_thorax_looks_at_the_thorax(thoracic_model):
    for options in (None, bonescan.Options("thorax")):
        result = bonescan.segment(study(None), thoracic_model, options)
        assert result.region == "thorax"
        assert result.window[0].stop - result.window[0].start == 256


def test_a_model_of_the_thorax_refuses_the_whole_body(thoracic_model):
    with pytest.raises(OptionError, match="thoracic has learned the thorax alone"):
        bonescan.segment(study(None), thoracic_model, bonescan.Options("whole-body"))


def test_an_unknown_region_in_a_bundle_is_refused(threshold_bundle, tmp_path):
    raw = dict(bonescan.load_model(threshold_bundle).bundle.raw)
    files = {name: (threshold_bundle / name).read_bytes() for name in raw.pop("files")}
    with pytest.raises(BundleError, match="does not know"):
        write_bundle(tmp_path / "odd", raw | {"region": "left foot"}, files)


def test_the_error_in_the_place_of_a_study_is_raised_as_it_is(model):
    error = ViewError("the views cannot be told apart")
    with pytest.raises(ViewError) as raised:
        bonescan.segment(error, model)
    assert raised.value is error


def test_the_example_of_the_readme_goes_on_after_a_study_that_cannot_be_read(model, tmp_path, monkeypatch, capsys):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bonescan, "load_model", lambda: model)
    for name in ("broken", "good"):
        Path("cohort", name, "study").mkdir(parents=True)
    counts = {view: scan.counts.astype(np.uint16) for view, scan in study(View.ANTERIOR).scans.items()}
    np.savez("cohort/good/study/scan.npz", **counts)
    Path("cohort/broken/study/scan.npz").write_bytes(b"nothing")
    exec(example, {})
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("broken-study cannot be read: ")
    assert second == "good-study 1 lesions in 1 outlines"


def test_a_result_is_written_to_a_folder_given_as_text(model, tmp_path):
    folder = bonescan.write_result(bonescan.segment(study(None), model), str(tmp_path / "out"), "json")
    assert [path.name for path in folder.iterdir()] == ["lesions.json"]
