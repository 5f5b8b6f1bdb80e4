"""The straight line, with a network that can be computed by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bonescan
from bonescan.annotate.label_json import counts_digests
from bonescan.errors import BundleError, OptionError, ViewError
from bonescan.lesions.contours import mask_of
from bonescan.lesions.drawn import DrawnLesion
from bonescan.pipeline import adopt
from bonescan.prepare import Window
from bonescan.report.lesions_json import read_lesions
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


def test_a_model_that_found_nothing_in_validation_says_so_in_every_result(
    threshold_bundle, rewritten, tmp_path, in_process
):
    for sensitivity in (0.0, 0.5):
        figures = {"patients": 3, "lesions": 7, "sensitivity": sensitivity}
        bundle = rewritten(threshold_bundle, tmp_path / "blind", figures=figures)
        result = bonescan.segment(study(View.ANTERIOR), bonescan.load_model(bundle.folder))
        said = "the model threshold: it found none of the 7 lesions of its 3 validation patients"
        assert (said in result.warnings) is (sensitivity == 0)
        checked = in_process("model", "verify", bundle.folder)
        assert (f"warning: {said}" in checked.stderr) is (sensitivity == 0)


FAINTER = ((slice(200, 206), slice(40, 48)), 68.65), ((slice(300, 306), slice(40, 48)), 58.25)
"""Two more rectangles and their counts, where the network gives 0.95 and 0.70."""


@pytest.fixture(scope="module")
def three_hot():
    """Both views, with three rectangles in the anterior one."""
    one = study(View.ANTERIOR)
    counts = one.counts(View.ANTERIOR).copy()
    for place, of in FAINTER:
        counts[place] = of
    return replace(one, scans={**one.scans, View.ANTERIOR: Scan(View.ANTERIOR, counts)})


@pytest.mark.parametrize(("point", "lesions"), [("sensitive", 3), ("balanced", 2), ("specific", 1)])
def test_an_operating_point_parts_lesions_from_candidates(pointed_bundle, three_hot, tmp_path, point, lesions):
    result = bonescan.segment(three_hot, bonescan.load_model(pointed_bundle), bonescan.Options(operating_point=point))
    assert (result.operating_point, len(result.lesions)) == (point, lesions)
    assert [one.peak for one in result.candidates] == pytest.approx([0.95, 0.70][lesions - 1 :], abs=0.01)
    for candidate, (place, _) in zip(result.candidates, FAINTER[lesions - 1 :], strict=True):
        assert (candidate.view, candidate.area_px, candidate.region) == (View.ANTERIOR, 48, Region.STERNUM)
        assert mask_of(candidate.contour, SHAPE)[place].all()
    written = read_lesions(bonescan.write_result(result, tmp_path / "out", "json") / "lesions.json")
    assert (written.operating_point, len(written.lesions)) == (point, lesions)
    assert [one.peak for one in written.candidates] == [one.peak for one in result.candidates]


def test_draws_give_intervals_and_the_same_ones_again(pointed_bundle, three_hot):
    model, options = bonescan.load_model(pointed_bundle), bonescan.Options(draws=3)
    extent = bonescan.segment(three_hot, model, options).extent
    assert extent.draws == 3
    assert set(extent.intervals) == {"lesions", "positive_share", "bone_scan_index"}
    assert extent.intervals["positive_share"][0] < extent.positive_share < extent.intervals["positive_share"][1]
    assert bonescan.segment(three_hot, model, options).extent == extent
    plain = bonescan.segment(three_hot, model).extent
    assert plain == replace(extent, intervals={}, draws=0)


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
def thoracic_model(threshold_bundle, rewritten, tmp_path_factory):
    """The same network in a bundle that says that it knows the thorax alone."""
    folder = tmp_path_factory.mktemp("thorax") / "thoracic"
    return bonescan.load_model(rewritten(threshold_bundle, folder, name="thoracic", region="thorax").folder)


def test_a_model_of_the_thorax_looks_at_the_thorax(thoracic_model):
    for options in (None, bonescan.Options("thorax")):
        result = bonescan.segment(study(None), thoracic_model, options)
        assert result.region == "thorax"
        assert result.window[0].stop - result.window[0].start == 256


def test_a_model_of_the_thorax_refuses_the_whole_body(thoracic_model):
    with pytest.raises(OptionError, match="thoracic has learned the thorax alone"):
        bonescan.segment(study(None), thoracic_model, bonescan.Options("whole-body"))


def test_an_unknown_region_in_a_bundle_is_refused(threshold_bundle, rewritten, tmp_path):
    with pytest.raises(BundleError, match="does not know"):
        rewritten(threshold_bundle, tmp_path / "odd", region="left foot")


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
