"""An adaptation from end to end with a tiny network: judged, written, and silent about whom."""

import csv
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.contract.conftest import CONFIG

from bonescan.adapt import run
from bonescan.adapt.judgement import shared_rates
from bonescan.adapt.loop import Stopped
from bonescan.adapt.result import Lesson, make_card
from bonescan.adapt.run import adapt
from bonescan.adapt.settings import AdaptRequest
from bonescan.adapt.suspects import Suspect, find_suspects
from bonescan.bundle import load_bundle, record_of, write_bundle
from bonescan.cli import main
from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.errors import OptionError, OutputError
from bonescan.study import Scan, Spacing, Study, View
from bonescan.train.cases import Split
from bonescan.train.progress import silent, unsaid

ROW, COL = np.indices((96, 64))
BONE = (abs(COL - 32) < 4) | ((ROW % 16 < 4) & (abs(COL - 32) < 22))
MEAN = np.where(BONE, 30.0, np.where(abs(COL - 32) < 26, 6.0, 0.0))


def write_department(folder: Path, patients=6) -> Path:
    """Scans of a department, under the names of patients."""
    for number in range(patients):
        own = folder / f"Muster-Anna-{number}" / "bone-scan"
        own.mkdir(parents=True)
        rng = np.random.default_rng(number)
        np.savez(own / "scan.npz", anterior=rng.poisson(MEAN), posterior=rng.poisson(MEAN), spacing_mm=[3.1, 3.1])
    return folder


@pytest.fixture(scope="module")
def quick(make_case):
    """Runs whose simulated patients are quick ones; a focus of the first scan and two of the last are suspect."""
    split = Split([make_case(seed) for seed in range(3)], [make_case(seed) for seed in range(50, 52)])

    def found(scans, *rest):
        first, last = scans[0].number, scans[-1].number
        return [
            *find_suspects(scans, *rest),
            Suspect(first, 0, View.ANTERIOR, "ribs", 30, 21, 0.9),
            Suspect(last, 0, View.POSTERIOR, "sacrum", 40, 12, 0.8),
            Suspect(last, 1, View.POSTERIOR, "skull", 8, 35, 0.7),
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "phantom_split", lambda *arguments: split)
        patch.setattr(run, "find_suspects", found)
        yield


LIMITED = replace(CONFIG, minutes=0.01)


@pytest.fixture(scope="module")
def finished(base, quick, tmp_path_factory):
    """A whole run."""
    folder = tmp_path_factory.mktemp("department")
    said = []
    request = AdaptRequest((write_department(folder / "normals"),), folder / "ours", base.folder, accept_worse=True)
    outcome = adapt(request, LIMITED, lambda report: said.append(str(report)), said.append)
    return request, outcome, said


def test_a_department_gets_a_bundle_that_works_like_any_other(finished, base):
    request, outcome, said = finished
    bundle = load_bundle(request.out)
    assert bundle.name == "ours"
    assert bundle.raw["training"]["began_with"] == {"name": "tiny", "sha256": base.sha256}
    record = record_of(bundle)
    assert record["steps"] == bundle.raw["training"]["lesson"]["steps"]
    assert (record["scans"], record["start_share"]) == (4, 0.5)
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


def test_a_run_that_is_called_again_makes_the_same_bundle_and_is_estimated_once(finished, tmp_path):
    whole, outcome, _ = finished
    request = replace(whole, out=tmp_path / whole.out.name)
    said = []

    def call(stop=lambda: False):
        return adapt(request, LIMITED, lambda report: said.append(str(report)), said.append, stop)

    with pytest.raises(Stopped) as stopped:
        call(lambda: said[-1].startswith("learn 2/6"))
    assert stopped.value.learned
    assert not request.out.exists()
    assert call().bundle.sha256 == outcome.bundle.sha256
    learned = [sentence.split(",")[0] for sentence in said if sentence.startswith("learn")]
    assert learned == [f"learn {step}/6" for step in range(1, 7)]
    assert sum(sentence.startswith("estimate:") for sentence in said) == 1


def test_no_scan_of_a_held_out_patient_and_no_copy_is_learned_from(base, tmp_path):
    """Each of five patients has two normal scans, and one of unknown state."""

    def write(path, patient, seed):
        path.parent.mkdir(exist_ok=True)
        rng = np.random.default_rng(seed)
        scans = {view: Scan(view, rng.poisson(np.tile(MEAN, (3, 1))).astype(np.float32)) for view in View}
        header = Header(HeaderStyle.STANDARD, patient=patient)
        write_nm(Study(path.stem, scans, Spacing(3.1, 3.1)), path, header)

    for number in range(5):
        for visit, folder in enumerate(("normals", "normals", "unlabelled")):
            write(tmp_path / folder / f"P{number}-{visit}.dcm", f"P{number}", 10 * number + visit)
    write(tmp_path / "unlabelled" / "copy.dcm", "stranger", seed=0)
    write(tmp_path / "unlabelled" / "new.dcm", "stranger", seed=100)
    folders = [(tmp_path / name,) for name in ("normals", "unlabelled")]
    request = AdaptRequest(folders[0], tmp_path / "out", base.folder, folders[1])
    ready = run._prepare(request, CONFIG, silent, unsaid)
    aside, learned, unlabelled = (
        sorted(ready.names[scan.number] for scan in scans) for scans in (ready.aside, ready.learned, ready.unlabelled)
    )
    held_out = {name.split("-")[0] for name in aside}
    others = [f"P{number}" for number in range(5) if f"P{number}" not in held_out]
    assert len(held_out) == 2
    assert aside == [f"{patient}-{visit}" for patient in sorted(held_out) for visit in range(2)]
    assert learned == [f"{patient}-{visit}" for patient in others for visit in range(2)]
    assert unlabelled == [*(f"{patient}-2" for patient in others), "new"]


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
    assert (lesson["suspects"], lesson["suspects_aside"]) == (1, outcome.suspects_aside) == (1, 2)
    assert "Foci that may be lesions: 1 on these scans, where such foci were" in card
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


def test_the_list_of_suspects_says_which_file_and_where(finished):
    request, _, _ = finished
    scans, suspects = (
        list(csv.DictReader((request.work / name).read_text().splitlines())) for name in ("scans.csv", "suspects.csv")
    )
    listed = {scan["scan"]: scan for scan in scans}
    assert [listed[suspect["scan"]]["role"] for suspect in suspects] == ["learned from", "held out", "held out"]
    assert all(suspect["input"] == listed[suspect["scan"]]["input"] for suspect in suspects)
    columns = ("view", "region", "row", "column", "probability")
    assert [tuple(suspect[column] for column in columns) for suspect in suspects] == [
        ("anterior", "ribs", "30", "21", "0.9"),
        ("posterior", "sacrum", "40", "12", "0.8"),
        ("posterior", "skull", "8", "35", "0.7"),
    ]


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


def test_a_worse_model_is_not_written(base, quick, tmp_path, monkeypatch):
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
