"""What an adaptation says of itself: its criterion, its page, the time it takes, and where the suspects are."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from bonescan.adapt.judgement import CRITERION, Curve, Point, Verdict, shared_rates, too_few, why_worse
from bonescan.adapt.page import PagedScan, draw_scan, write_page
from bonescan.adapt.plan import Estimate
from bonescan.adapt.run import Outcome
from bonescan.cli import main
from bonescan.commands.adapt import _suspects
from bonescan.commands.base import DONE, NOTHING_DONE
from bonescan.lesions.delineate import Thresholds, delineate
from bonescan.prediction import Prediction
from bonescan.report.overlay import INK
from bonescan.study import View
from bonescan.train.progress import Pace, Progress


def verdict_of(found, phantoms, marks) -> Verdict:
    curves = (Curve((Point(0.0, found),), 10), Curve((Point(0.0, phantoms),), 10))
    return Verdict(Thresholds(), {}, marks, ((),) * len(marks), *curves)


def test_the_criterion_of_the_page_and_of_the_how_to_is_the_one_that_is_applied():
    """The three limits, each met and passed, as the sentence states them."""
    before = verdict_of(0.6, 0.7, (2, 2))
    assert why_worse(before, verdict_of(0.575, 0.7, (2, 2))) is None
    assert why_worse(before, verdict_of(0.565, 0.7, (2, 2))) is not None
    assert why_worse(before, verdict_of(0.6, 0.655, (2, 2))) is None
    assert why_worse(before, verdict_of(0.6, 0.645, (2, 2))) is not None
    assert why_worse(before, verdict_of(0.6, 0.7, (2, 2, 2, 3))) is None
    assert why_worse(before, verdict_of(0.6, 0.7, (2, 2, 3))) is not None
    how_to = (Path(__file__).parents[2] / "docs" / "how-to" / "adapt-the-model.md").read_text()
    rule = (
        "if it finds over 3 percentage points fewer of the inserted lesions or over 5 fewer of the simulated patients'"
    )
    for page in (CRITERION, how_to):
        assert rule in " ".join(page.split())
        assert "or makes over 0.25 more marks per scan without lesions" in " ".join(page.split())


def test_what_is_worse_is_said():
    before = verdict_of(0.6, 0.7, (2, 3))
    assert why_worse(before, verdict_of(0.6, 0.69, (0, 1))) is None
    assert "60%" in why_worse(before, verdict_of(0.5, 0.7, (0, 0)))
    assert "simulated" in why_worse(before, verdict_of(0.7, 0.6, (0, 0)))
    assert "2.50" in why_worse(before, verdict_of(0.7, 0.7, (4, 4)))


def test_models_are_compared_as_far_as_both_curves_go():
    """A model that makes few false marks, however low its threshold, ends its curve before the other one does."""
    base = Curve((Point(0.0, 0.3), Point(0.4, 0.6), Point(0.8, 0.7), Point(2.0, 0.9)), 10)
    quiet = Curve((Point(0.0, 0.3), Point(0.4, 0.6), Point(0.8, 0.7)), 10)
    assert shared_rates(base, quiet) == shared_rates(quiet, base) == (0.25, 0.5, 0.8)
    assert shared_rates(base, base) == (0.25, 0.5, 1.0, 2.0)
    before = replace(verdict_of(0.6, 0.7, (0, 0)), phantoms=base)
    assert why_worse(before, replace(before, phantoms=quiet)) is None
    # One that marks next to nothing is worse, whatever it is compared at.
    silent = Curve((Point(0.0, 0.05),), 10)
    assert shared_rates(base, silent) == (0.25,)
    assert why_worse(before, replace(before, phantoms=silent)) is not None


def test_few_scans_are_said_to_be_too_few():
    assert too_few(1) == "1 scan: too few to tell these figures apart"
    assert too_few(4) == "4 scans: too few to tell these figures apart"
    assert too_few(5) is None


def test_the_page_cautions_shows_sides_and_keeps_the_colour_of_the_marks(tmp_path):
    counts = np.random.default_rng(1).poisson(5.0, (2, 64, 32)).astype(np.uint16)
    lesion = np.zeros((64, 32), dtype=np.float32)
    lesion[28:33, 8:13] = 0.9
    views = {View.ANTERIOR: lesion, View.POSTERIOR: 0 * lesion}
    nothing = {view: np.zeros((64, 32), dtype=np.uint8) for view in View}
    paged = PagedScan(1, counts, delineate(Prediction(views, nothing), Thresholds(low=0.3, high=0.6)), ())
    picture = draw_scan(paged)
    assert any(colour == INK for _, colour in picture.convert("RGB").getcolors(1 << 16))
    blank = np.asarray(draw_scan(replace(paged, counts=np.zeros_like(counts), before=())).convert("L"))
    width = round(32 * 900 / 64)
    corners = [n * (width + 16) + side for n in range(4) for side in (0, width - 60)]
    letters = [blank[60:130, left : left + 60] for left in corners]
    assert all((letter < 128).any() for letter in letters), "a letter stands on either side of each of the four views"
    first, second = letters[:2], letters[2:4]
    assert not np.array_equal(first[0][:, 8:48], second[0][:, 8:48]), "the views have other sides on the left"
    verdicts = (verdict_of(0.6, 0.7, (1, 2)), verdict_of(0.6, 0.7, (0, 1)))
    page = write_page(tmp_path, "ours", [paged], verdicts, None).read_text()
    assert '<p class="alert">2 scans: too few to tell these figures apart.</p>' in page
    assert CRITERION in html.unescape(page)
    many = write_page(tmp_path, "ours", [paged], (verdict_of(0.6, 0.7, (1,) * 5),) * 2, None).read_text()
    assert "too few" not in many


def test_minutes_that_are_not_enough_are_said():
    ahead = Estimate(steps=20, simulate=120.0, learn=200.0, judge=530.0, memory_gb=1.0, disk_gb=0.1)
    assert ahead.too_long_for(0) is None
    assert ahead.too_long_for(15) is None
    said = ahead.too_long_for(4)
    assert said is not None
    assert said.startswith("4 minutes are not enough: simulating patients and judging take about 11, and 20 steps")
    assert "at least 15 in all" in said


def test_the_time_left_follows_from_the_pace_of_a_stage():
    now = iter((0.0, 10.0, 40.0, 50.0, 51.0))
    pace = Pace(lambda: next(now))
    said = [pace.timed(Progress(*step)).seconds_left for step in (("a", 1, 5), ("a", 2, 5), ("a", 5, 5), ("b", 1, 3))]
    assert said == [None, 30.0, 0.0, None]
    assert pace.timed(Progress("b", 2, 3, 7.0)).seconds_left == 7.0


def test_the_command_says_on_which_scans_the_suspects_are():
    outcome = SimpleNamespace(suspects=(1, 2, 3), suspects_aside=1)
    said = "3 foci may be lesions, 2 on the scans learned from (ignored there) and 1 on those held out"
    assert _suspects(outcome) == said


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `bonescan adapt` whose outcome is given: command(bundle, worse, *options) -> code, out, err and the call."""

    def run(bundle, worse, *options):
        verdicts = (verdict_of(0.6, 0.7, (2, 3)), verdict_of(0.5, 0.8, (0, 1)))
        suspects, calls = (object(), object(), object()), []
        outcome = Outcome(bundle, *verdicts, worse, Path("ours.run", "page.html"), suspects, 1)
        monkeypatch.setattr("bonescan.adapt.run.adapt", lambda *given: calls.append(given) or outcome)
        code = main(["adapt", "normals", "-o", "ours", "--base", "tiny", *options])
        return code, *capsys.readouterr(), calls[0]

    return run


OURS = SimpleNamespace(name="ours", sha256="ab" * 32)


def test_a_model_that_is_refused_is_said_to_be_and_nothing_is_done(command):
    code, out, err, (request, config, *_) = command(None, "it is worse", "--minutes", "12")
    assert code == NOTHING_DONE
    assert "the adapted model is not written: it is worse; --accept-worse writes it anyway" in err
    assert f"1 on those held out: look at {Path('ours.run', 'suspects.csv')}\n" in out
    assert "inserted lesions found at 0.25 false positives per scan: 60% before, 50% after" in out
    assert "--model" not in out
    assert (request.accept_worse, config.minutes) == (False, 12.0)


def test_a_worse_model_that_is_accepted_is_written_with_a_warning(command):
    code, out, err, (request, *_) = command(OURS, "it is worse", "--accept-worse")
    assert (code, err) == (DONE, "warning: it is worse\n")
    assert "bonescan segment INPUT -o OUT --model ours" in out
    assert request.accept_worse


@pytest.mark.parametrize(
    ("bundle", "worse", "code", "model"),
    [(None, "it is worse", NOTHING_DONE, None), (OURS, None, DONE, {"name": "ours", "sha256": "ab" * 32})],
)
def test_the_summary_for_scripts_says_what_was_written_and_the_figures(command, bundle, worse, code, model):
    ended, out, err, _ = command(bundle, worse, "--json")
    summary = json.loads(out)
    assert (ended, err) == (code, "")
    assert (summary["model"], summary["worse"], summary["research_use_only"]) == (model, worse, True)
    assert summary["page"] == str(Path("ours.run", "page.html"))
    assert (summary["suspects"], summary["suspects_held_out"]) == (3, 1)
    pairs = [[summary[when][name] for when in ("before", "after")] for name in summary["before"]]
    assert pairs[:4] == [[2.5, 0.5], [10, 10], [0.6, 0.5], [0.7, 0.8]]
