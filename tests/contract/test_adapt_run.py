"""An adaptation from end to end with a tiny network: judged, written, and silent about whom."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.contract.conftest import CONFIG

from bonescan.adapt.judgement import shared_rates
from bonescan.adapt.loop import Stopped
from bonescan.adapt.result import Lesson, make_card
from bonescan.adapt.run import adapt
from bonescan.adapt.settings import AdaptRequest
from bonescan.bundle import load_bundle, write_bundle
from bonescan.cli import main
from bonescan.errors import OptionError, OutputError


def write_department(folder: Path, patients=6, shape=(96, 64)) -> Path:
    """Scans of a department, under the names of patients."""
    row, col = np.indices(shape)
    bone = (abs(col - 32) < 4) | ((row % 16 < 4) & (abs(col - 32) < 22))
    mean = np.where(bone, 30.0, np.where(abs(col - 32) < 26, 6.0, 0.0))
    for number in range(patients):
        own = folder / f"Muster-Anna-{number}" / "bone-scan"
        own.mkdir(parents=True)
        rng = np.random.default_rng(number)
        np.savez(own / "scan.npz", anterior=rng.poisson(mean), posterior=rng.poisson(mean), spacing_mm=[3.1, 3.1])
    return folder


@pytest.fixture(scope="module")
def finished(base, make_case, tmp_path_factory):
    """A whole run, whose simulated patients are quick ones."""
    from bonescan.adapt import run
    from bonescan.train.cases import Split

    folder = tmp_path_factory.mktemp("department")
    department = write_department(folder / "normals")
    patch = pytest.MonkeyPatch()
    split = Split([make_case(seed) for seed in range(3)], [make_case(seed) for seed in range(50, 52)])
    patch.setattr(run, "phantom_split", lambda *arguments: split)
    said = []
    request = AdaptRequest((department,), folder / "ours", base.folder, accept_worse=True)
    try:
        outcome = adapt(request, replace(CONFIG, minutes=0.01), lambda report: said.append(str(report)), said.append)
    finally:
        patch.undo()
    return request, outcome, said


def test_a_department_gets_a_bundle_that_works_like_any_other(finished, base):
    request, outcome, said = finished
    bundle = load_bundle(request.out)
    assert (bundle.name, bundle.raw["training"]["base"]["sha256"]) == ("ours", base.sha256)
    assert bundle.raw["training"]["lesson"]["patients"] == 4
    assert bundle.raw["training"]["lesson"]["aside"] == 2
    assert any(sentence.startswith("estimate: about") for sentence in said)
    from bonescan.pipeline import load_model, segment
    from bonescan.reading import read_study

    result = segment(read_study(next(request.normals[0].glob("*/*"))), load_model(request.out))
    assert result.model.name == "ours"
    assert outcome.page.exists()
    assert (request.work / "page.png").stat().st_size > 1000


def test_a_run_says_which_model_it_judges_and_that_the_minutes_are_not_enough(finished):
    _, _, said = finished
    judged = [sentence.split(",")[0] for sentence in said if sentence.startswith("judge")]
    assert judged == [f"judge {when} {done}/6" for when in ("before", "after") for done in range(1, 7)]
    assert any(sentence.startswith("judge before 2/6, ") and sentence.endswith(" left") for sentence in said)
    places = [place for place, sentence in enumerate(said) if "0.01 minutes are not enough" in sentence]
    assert len(places) == 1
    assert places[0] < min(place for place, sentence in enumerate(said) if sentence.startswith("learn"))


def test_the_card_says_whose_figures_are_whose(finished, base):
    request, outcome, _ = finished
    card = load_bundle(request.out).card
    assert "## Measured before it was taught (tiny)\n\n- dice: 0.675" in card
    assert "## Measured on validation patients" not in card
    before, after = outcome.before, outcome.after
    for rate in shared_rates(before.phantoms, after.phantoms):
        row = f"| sensitivity for simulated patients' lesions at {rate:.2g} false positives per scan | "
        assert f"{row}{before.phantoms.at(rate):.2f} | {after.phantoms.at(rate):.2f} |" in card
    lesson = load_bundle(request.out).raw["training"]["lesson"]
    assert lesson["suspects"] + lesson["suspects_aside"] == len(outcome.suspects)
    assert lesson["suspects_aside"] == outcome.suspects_aside
    said = f"Foci that may be lesions: {lesson['suspects']} on these scans, where such foci were"
    assert said in card
    # A model that is adapted again keeps the name of the one that was measured.
    lesson = Lesson(1, 1, 0, 1, 2, 3, 4)
    again = make_card(load_bundle(request.out), "later", lesson, before, after)
    assert "## Measured before it was taught (tiny)" in again
    assert again.count("## Taught on") == 1
    assert "2 on these scans, where such foci were\nignored, and 3 on the held-out ones." in again


def test_a_path_that_does_not_exist_is_said_once(base, tmp_path):
    said = []
    request = AdaptRequest((tmp_path / "nirgends",), tmp_path / "out", base.folder)
    with pytest.raises(OptionError, match="scans of 0 patients to learn from, and 1 input left out: give"):
        adapt(request, CONFIG, note=said.append)
    assert len([sentence for sentence in said if "does not exist" in sentence]) == 1


def test_nothing_that_is_given_away_names_a_patient_or_a_folder(finished):
    request, outcome, _ = finished
    given = [*request.out.iterdir(), outcome.page, request.work / "page.png"]
    for path in given:
        content = path.read_bytes()
        assert b"Muster" not in content, path.name
        assert str(request.out.parent).encode() not in content, path.name
    assert "Muster" in (request.work / "scans.csv").read_text()  # the department's own list


def test_the_same_call_with_other_scans_is_refused(finished, base, tmp_path):
    request, _, _ = finished
    write_department(tmp_path / "more", patients=7)
    with pytest.raises(OptionError, match="begun with other scans"):
        adapt(replace(request, normals=(tmp_path / "more",)), CONFIG)


def test_the_same_scans_in_other_roles_or_another_order_are_another_run(finished, base, tmp_path):
    """What was learned from a normal scan is not taken for what an unlabelled one taught."""
    request, _, _ = finished
    (department,) = request.normals
    patients = sorted(path for path in department.iterdir() if path.is_dir())
    fewer = replace(request, normals=tuple(patients[:-1]), unlabelled=(patients[-1],))
    for changed in (fewer, replace(request, normals=tuple(patients[::-1]))):
        with pytest.raises(OptionError, match="or with these in another order or role: choose another OUT"):
            adapt(changed, CONFIG)


def test_a_place_that_cannot_be_written_is_one_sentence(base, tmp_path):
    (tmp_path / "file").write_text("")
    request = AdaptRequest((write_department(tmp_path / "normals"),), tmp_path / "file" / "out", base.folder)
    with pytest.raises(OutputError, match=r"cannot be written .*: choose another OUT"):
        adapt(request, CONFIG)


def test_four_patients_are_too_few(base, tmp_path):
    request = AdaptRequest((write_department(tmp_path / "few", patients=4),), tmp_path / "out", base.folder)
    with pytest.raises(OptionError, match="scans of 4 patients to learn from: give scans of at least 5"):
        adapt(request, CONFIG)


def test_a_worse_model_is_not_written(base, make_case, tmp_path, monkeypatch):
    from bonescan.adapt import run
    from bonescan.train.cases import Split

    split = Split([make_case(seed) for seed in range(3)], [make_case(50)])
    monkeypatch.setattr(run, "phantom_split", lambda *arguments: split)
    monkeypatch.setattr(run, "why_worse", lambda before, after: "it is worse")
    request = AdaptRequest((write_department(tmp_path / "normals", patients=5),), tmp_path / "out", base.folder)
    outcome = adapt(request, replace(CONFIG, steps=1, looks=0))
    assert outcome.bundle is None
    assert not request.out.exists()
    assert "Refused: it is worse" in outcome.page.read_text()


def test_a_model_without_bones_is_refused(base, tmp_path):
    raw = json.loads((base.folder / "bundle.json").read_text())
    files = {name: base.read(name) for name in raw.pop("files")}
    thorax = write_bundle(tmp_path / "thorax", {**raw, "region": "thorax"}, files)
    request = AdaptRequest((write_department(tmp_path / "normals"),), tmp_path / "out", thorax.folder)
    with pytest.raises(OptionError, match="knows the thorax alone"):
        adapt(request, CONFIG)


def test_other_files_are_never_replaced_by_the_model(base, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "anterior.json").write_text("drawn by hand")
    request = AdaptRequest((write_department(tmp_path / "normals"),), tmp_path / "mine", base.folder, accept_worse=True)
    with pytest.raises(OutputError, match=r"mine holds anterior\.json"):
        adapt(request, CONFIG)
    assert not request.work.exists(), "refused before anything is done"


@pytest.mark.skipif(os.name != "posix", reason="signals are sent to the own process")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_says_what_it_keeps(base, tmp_path, monkeypatch, capsys, number, code):
    def stopped(request, config, report, note, stop):
        os.kill(os.getpid(), number)
        assert stop()
        raise Stopped(learned=False)

    monkeypatch.setattr("bonescan.adapt.run.adapt", stopped)
    assert main(["adapt", str(tmp_path), "-o", str(tmp_path / "out"), "--base", str(base.folder)]) == code
    assert "bonescan: stopped before anything was learned" in capsys.readouterr().err
