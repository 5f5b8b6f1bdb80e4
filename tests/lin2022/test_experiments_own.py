"""One's own cohort: one command, the same images for all methods, a table, and nnU-Net only where it is installed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.lin2022.conftest import write_patient

from bonescan.cli import main
from bonescan.lin2022.datasets import Subset, read_dataset
from bonescan.lin2022.experiments import own, runner
from bonescan.lin2022.experiments.nnunet import NnunetOutcome
from bonescan.lin2022.experiments.plan import PROFILES
from bonescan.lin2022.images import held_out

PATIENTS = 5


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    for number in range(PATIENTS):
        write_patient(folder / f"p{number}" / "scan-a", number)
    return folder


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A folder without an environment of nnU-Net, and a smoke profile with small networks."""
    monkeypatch.chdir(tmp_path)
    networks = {**PROFILES["smoke"].networks, "unet": {"widths": [2, 4, 8], "decoder_widths": [2, 4]}}
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], networks=networks))


def answer(dataset, labelled, options, work, report):
    """What nnU-Net would say: a lesion everywhere."""
    tested = read_dataset(dataset, "D2").of(Subset.TEST)
    masks = {record.study: np.ones((2, 256, 256), dtype=bool) for record in tested}
    return NnunetOutcome(masks, 12.0, 0.5, 33_000_000, f"nnunetv2, {len(labelled)} patients")


def test_one_command_compares_and_goes_on_when_nnunet_is_there(cohort, tiny, tmp_path, monkeypatch, capsys):
    command = ["experiment", "own", str(cohort), "-o", "compared", "--profile", "smoke"]
    assert main(command) != 0
    said = capsys.readouterr()
    assert said.err.count("was not run:") == 1, said.err
    assert "run make nnunet" in said.err
    assert "the same command goes on" in said.err
    table = json.loads((tmp_path / "compared" / "table.json").read_text())
    arms = {row["arm"]: row for row in table["arms"]}
    assert [arms[name].get("there") for name in ("bonescan's U-Net", "plain U-Net", "nnU-Net")] == [1, 1, 0]
    assert "not run" in arms["nnU-Net"]["note"]
    before = sorted((tmp_path / "compared" / "results").rglob("*.json"))

    monkeypatch.setattr(runner, "run_nnunet", answer)
    assert main(command) == 0
    assert set(before) < set((tmp_path / "compared" / "results").rglob("*.json"))
    results = [json.loads(path.read_text()) for path in (tmp_path / "compared" / "results").rglob("*.json")]
    assert {result["kind"] for result in results} == {"train", "external"}
    tested = {tuple(sorted((row[0], row[1]) for row in result["images"])) for result in results}
    assert len(tested) == 1, "all methods are tested on the same images"
    assert all(result["masks"] == {} for result in results), "no picture of a patient is kept"
    dataset = read_dataset(tmp_path / "compared" / "dataset", "D2")
    trained, others = ({record.patient for record in dataset.of(one)} for one in (Subset.TRAIN, Subset.TEST))
    assert not trained & others
    assert trained | others == {f"p{number}" for number in range(PATIENTS)}
    text = (tmp_path / "compared" / "table.md").read_text()
    assert f"{len(trained)} patients of the cohort to learn from and {len(others)} others" in text
    assert "Budget: the two U-Nets 2 steps of two pairs, nnU-Net 1 x 1 steps" in text
    assert "The paper" not in text
    assert not any(one in text for one in trained | others)

    assert main([*command, "--seed", "2"]) != 0
    assert "another cohort, seed or number of images" in capsys.readouterr().err


def test_studies_without_labels_are_neither_planned_nor_counted(cohort, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(own, "run_all", lambda *arguments, **options: runner.Outcome())
    mixed = tmp_path / "mixed"
    shutil.copytree(cohort, mixed)
    for number in range(10, 18):  # more scans than there are pairs in 24 images
        write_patient(mixed / f"p{number}" / "scan-a", number)
        (mixed / f"p{number}" / "scan-a" / "truth.npz").unlink()
    options = own.OwnOptions(mixed, "smoke")
    _, table = own.compare_own(options, tmp_path / "compared", lambda *said: None, lambda line: None)
    assert table["patients"] == "3 patients of the cohort to learn from and 2 others to test on"
    dataset = read_dataset(tmp_path / "compared" / "dataset", "D2")
    assert {record.patient for record in dataset.pairs} == {f"p{number}" for number in range(PATIENTS)}
    assert len(dataset.pairs) == 12


def test_a_stopped_comparison_goes_on_where_its_folder_is_spelled_differently(cohort, tiny, tmp_path, monkeypatch):
    asked = []

    def stop(run, key, places, report):
        asked.append(run.config(str(places.own), str(places.work)))
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "make", stop)
    for out in (Path("compared"), tmp_path / "compared"):
        with pytest.raises(KeyboardInterrupt):
            own.compare_own(own.OwnOptions(cohort, "smoke"), out, lambda *said: None, lambda line: None)
    assert asked[0] == asked[1]


def test_a_cohort_without_a_scan_is_one_sentence_and_leaves_nothing(tiny, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["experiment", "own", "empty", "-o", "compared", "--profile", "smoke"]) == 2
    said = capsys.readouterr().err
    assert "empty holds no labelled study: give a cohort folder with truth" in said
    assert "unexpected" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_views_without_labels_are_not_scored(cohort, tiny, tmp_path, monkeypatch):
    def half(images):
        return [replace(case, facts=replace(case.facts, labelled=(True, False))) for case in held_out(images)]

    monkeypatch.setattr(runner, "held_out", half)
    monkeypatch.setattr(runner, "run_nnunet", answer)
    own.compare_own(own.OwnOptions(cohort, "smoke"), tmp_path / "compared", lambda *said: None, lambda line: None)
    for path in (tmp_path / "compared" / "results").rglob("*.json"):
        assert {row[1] for row in json.loads(path.read_text())["images"]} == {"anterior"}
