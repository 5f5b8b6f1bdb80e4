"""nnU-Net's files and command lines; a stand-in plays its environment, so that none is needed."""

from __future__ import annotations

import json
import stat
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage import io

from bonescan.errors import OptionError, OutputError
from bonescan.lin2022.datasets import LoadedPair, Move, Origin, PairRecord, Subset
from bonescan.lin2022.experiments import nnunet
from bonescan.lin2022.experiments.nnunet import NnunetOptions, run_nnunet
from bonescan.lin2022.experiments.nnunet_raw import NnunetInput, masks_of, pictures_of, write_test, write_training
from bonescan.train.cases import FAINT

VIEWS, PAIRS = NnunetInput.VIEWS, NnunetInput.PAIRS
STILL = Move(flip=False, rotation_deg=0.0, shift_rows_px=0, shift_cols_px=0)


def pair(present=(True, True), faint=False):
    """Counts up to the largest number; a lesion in the anterior view, one in both, one in the posterior view."""
    counts = np.zeros((2, 8, 8), np.uint16)
    counts[0] = np.arange(64).reshape(8, 8)
    counts[1] = 65535 - counts[0]
    lesions = np.zeros((2, 8, 8), np.uint8)
    lesions[0, 1, 1:4] = 1
    lesions[1, 1, 3:6] = 2
    lesions[0, 6, 6] = FAINT if faint else 0
    for channel in (0, 1):
        if not present[channel]:
            counts[channel], lesions[channel] = 0, 0
    return LoadedPair(counts, lesions, present)


def test_views_become_pictures_of_their_own():
    anterior, posterior = pictures_of(3, pair(faint=True), VIEWS)
    assert (anterior.name, posterior.name) == ("pair-0003-anterior", "pair-0003-posterior")
    np.testing.assert_array_equal(anterior.counts, pair().counts[:1])
    assert anterior.labels[1].tolist() == [0, 1, 1, 1, 0, 0, 0, 0]
    assert anterior.labels[6, 6] == 2
    assert posterior.labels[1].tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert posterior.labels.sum() == 3


def test_a_pair_becomes_two_channels_and_classes_that_exclude_one_another():
    (both,) = pictures_of(3, pair(faint=True), PAIRS)
    assert both.counts.shape == (2, 8, 8)
    assert both.labels[1].tolist() == [0, 1, 1, 3, 2, 2, 0, 0]
    assert both.labels[6, 6] == 4


def test_a_view_that_is_absent_or_without_counts_is_no_picture():
    assert [picture.name for picture in pictures_of(0, pair((False, True)), VIEWS)] == ["pair-0000-posterior"]
    empty = pair()._replace(counts=np.zeros((2, 8, 8), np.uint16))
    assert [*pictures_of(0, empty, VIEWS), *pictures_of(0, empty, PAIRS)] == []


@pytest.mark.parametrize("inputs", [VIEWS, PAIRS])
def test_masks_come_back_from_labels(inputs):
    labels = {picture.name: picture.labels for picture in pictures_of(7, pair(faint=True), inputs)}
    masks = masks_of(7, labels, inputs, (8, 8))
    np.testing.assert_array_equal(masks, (pair().lesions > 0) & (pair().lesions != FAINT))
    assert not masks_of(7, {}, inputs, (8, 8)).any()


@pytest.mark.parametrize(("inputs", "channels"), [(VIEWS, 1), (PAIRS, 2)])
def test_counts_survive_the_files_that_nnunet_reads(tmp_path, inputs, channels):
    written = write_training(tmp_path / "raw", pictures_of(0, pair(), inputs), inputs)
    files = sorted((tmp_path / "raw" / "imagesTr").iterdir())
    assert len(files) == written * channels == 2
    # As nnU-Net's NaturalImage2DIO reads them.
    np.testing.assert_array_equal(np.stack([io.imread(file) for file in files]), pair().counts)
    assert {file.name.removesuffix(".png")[:-5] for file in files} == {
        file.stem for file in (tmp_path / "raw" / "labelsTr").iterdir()
    }
    assert list(tmp_path.glob(".*")) == []


def test_a_class_to_ignore_is_stated_only_where_there_is_something_to_ignore(tmp_path):
    def stated(name, one, inputs):
        write_training(tmp_path / name, pictures_of(0, one, inputs), inputs)
        return json.loads((tmp_path / name / "dataset.json").read_text())

    plain = stated("plain", pair(), VIEWS)
    assert plain == {
        "channel_names": {"0": "counts"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": 2,
        "file_ending": ".png",
    }
    assert stated("faint", pair(faint=True), VIEWS)["labels"] == {"background": 0, "lesion": 1, "ignore": 2}
    assert stated("pair", pair(faint=True), PAIRS)["labels"]["ignore"] == 4


def test_a_write_that_is_cut_leaves_nothing_that_looks_whole(tmp_path):
    def cut():
        yield from pictures_of(0, pair(), VIEWS)
        raise KeyboardInterrupt

    for write in (lambda: write_training(tmp_path / "raw", cut(), VIEWS), lambda: write_test(tmp_path / "raw", cut())):
        with pytest.raises(KeyboardInterrupt):
            write()
        assert not (tmp_path / "raw").exists()
    write_test(tmp_path / "raw", pictures_of(0, pair(), VIEWS))
    assert len(list((tmp_path / "raw").iterdir())) == 2


class StandInDataSet:
    """Two training patients, one with a geometric copy, and a test patient with one that is not to be tested."""

    digest = "digest"

    def __init__(self):
        rows = (
            ("one/study", Origin.ORIGINAL, Subset.TRAIN),
            ("one/copy", Origin.GEOMETRIC, Subset.TRAIN),
            ("two/study", Origin.ORIGINAL, Subset.TRAIN),
            ("three/study", Origin.ORIGINAL, Subset.TEST),
            ("three/copy", Origin.GEOMETRIC, Subset.TEST),
        )
        both = (True, True)
        self.pairs = tuple(
            PairRecord(study, study.split("/")[0], origin, split, STILL, both, both, (1.0, 1.0, 1.0), Path(study))
            for study, origin, split in rows
        )

    def of(self, split):
        return tuple(record for record in self.pairs if record.split is split)

    def load(self, record):
        return pair(record.present)


STAND_IN = """\
#!{python}
import json, os, sys
from pathlib import Path

flag, program, step, order_file = sys.argv[1:]
order = json.loads(Path(order_file).read_text())
work = Path(order_file).parent
settings = {{name: value for name, value in os.environ.items() if name.startswith(("nnUNet", "OMP"))}}
seen = {{"argv": sys.argv[1:], "order": order, "env": settings}}
with open(work / "calls.jsonl", "a") as calls:
    calls.write(json.dumps(seen) + "\\n")
print("chatter")
print("bonescan: news of " + step, flush=True)
if (work / "wait").exists():
    sys.stdin.buffer.read()
if (work / ("fail-" + step)).exists():
    sys.exit("ran out of luck")
if step == "predict":
    import numpy as np
    from PIL import Image
    Path(order["predicted"]).mkdir(exist_ok=True)
    for file in Path(order["images"]).iterdir():
        counts = np.asarray(Image.open(file))
        np.save(Path(order["predicted"]) / (file.stem[:-5] + ".npy"), (counts % 2).astype(np.uint8))
left = {{
    "plan": {{"version": "2.0", "batch": 12, "patch": [8, 8]}},
    "train": {{"parameters": 1234, "seconds": 5.5}},
    "predict": {{"seconds_per_image": 0.25}},
}}
(work / (step + ".json")).write_text(json.dumps(left[step]))
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Options whose environment is a script, and a data set without files."""
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN.format(python=sys.executable))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(nnunet, "read_dataset", lambda folder, name: StandInDataSet())
    return NnunetOptions(epochs=3, iterations=20, threads=2, environment=tmp_path / "environment")


def calls(work):
    return [json.loads(line) for line in (work / "calls.jsonl").read_text().splitlines()]


def test_the_steps_run_in_turn_and_the_masks_come_back(tmp_path, stand_in, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", "/somewhere/of/the/users")
    monkeypatch.setenv("nnUNet_wandb_enabled", "1")
    work, lines = tmp_path / "work", []
    found = run_nnunet(tmp_path, ["one"], stand_in, work, lines.append)
    assert [call["argv"][2] for call in calls(work)] == ["plan", "train", "predict"]
    assert {(call["argv"][0], Path(call["argv"][1]).name) for call in calls(work)} == {("-I", "nnunet_program.py")}
    assert lines == [f"nnU-Net: {say}{step}" for step in ("plan", "train", "predict") for say in ("", "news of ")]
    assert "chatter" in (work / "log.txt").read_text()
    assert found.masks.keys() == {"three/study"}
    np.testing.assert_array_equal(found.masks["three/study"], pair().counts % 2 == 1)
    assert (found.seconds_training, found.seconds_test_per_image, found.parameters) == (5.5, 0.25, 1234)
    assert found.note == "nnunetv2 2.0, views, 3 x 20 steps, batch 12, patch 8 x 8, cpu"
    assert not (work / "raw").exists()

    train = calls(work)[1]
    assert train["order"]["epochs"] == 3
    assert train["order"]["iterations"] == 20
    assert train["env"] == {
        "nnUNet_raw": str(work / "raw"),
        "nnUNet_preprocessed": str(work / "preprocessed"),
        "nnUNet_results": str(work / "results"),
        "nnUNet_n_proc_DA": "0",
        "nnUNet_def_n_proc": "1",
        "nnUNet_compile": "f",
        "OMP_NUM_THREADS": "2",
    }
    assert calls(work)[0]["env"]["nnUNet_n_proc_DA"] == "1"


def test_nnunet_learns_from_the_labelled_patients_alone(tmp_path, stand_in):
    work = tmp_path / "work"
    work.mkdir()
    (work / "fail-plan").touch()
    with pytest.raises(OutputError, match=r"step plan ended with code 1 \(ran out of luck\): read .*log\.txt"):
        run_nnunet(tmp_path, ["one", "three"], stand_in, work, print)
    names = sorted(file.name for file in (work / "raw" / nnunet.DATASET / "labelsTr").iterdir())
    assert names == [f"pair-000{number}-{view}.png" for number in (0, 1) for view in ("anterior", "posterior")]
    assert len(list((work / "images").iterdir())) == 2


def test_it_goes_on_where_it_stopped_and_a_finished_run_is_read_again(tmp_path, stand_in):
    work = tmp_path / "work"
    work.mkdir()
    (work / "fail-train").touch()
    with pytest.raises(OutputError):
        run_nnunet(tmp_path, ["one"], stand_in, work, print)
    (work / "fail-train").unlink()
    first = run_nnunet(tmp_path, ["one"], stand_in, work, print)
    again = run_nnunet(tmp_path, ["one"], replace(stand_in, threads=1), work, print)
    assert [call["argv"][2] for call in calls(work)] == ["plan", "train", "train", "predict"]
    np.testing.assert_array_equal(first.masks["three/study"], again.masks["three/study"])
    assert (first.note, first.parameters) == (again.note, again.parameters)


@pytest.mark.parametrize("change", [{"epochs": 4}, {"seed": 1}, {"inputs": "pairs"}, {"memory_gb": 1.0}])
def test_a_folder_of_another_run_is_refused(tmp_path, stand_in, change):
    run_nnunet(tmp_path, ["one"], stand_in, tmp_path / "work", print)
    with pytest.raises(OutputError, match="other images or options"):
        run_nnunet(tmp_path, ["one"], replace(stand_in, **change), tmp_path / "work", print)
    with pytest.raises(OutputError, match="other images or options"):
        run_nnunet(tmp_path, ["one", "two"], stand_in, tmp_path / "work", print)


def test_two_runs_do_not_share_a_folder(tmp_path, stand_in):
    work, started, refused = tmp_path / "work", threading.Event(), []

    def second(line):
        if not started.is_set():
            started.set()
            with pytest.raises(OutputError, match="in use"):
                run_nnunet(tmp_path, ["one"], stand_in, work, print)
            refused.append(line)

    run_nnunet(tmp_path, ["one"], stand_in, work, second)
    assert refused == ["nnU-Net: plan"]


def test_an_interruption_ends_the_child(tmp_path, stand_in):
    work = tmp_path / "work"
    work.mkdir()
    (work / "wait").touch()
    (work / "fail-plan").touch()

    def interrupt(line):
        if "news" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_nnunet(tmp_path, ["one"], stand_in, work, interrupt)
    assert len(calls(work)) == 1


def test_what_cannot_be_run_is_said_in_one_sentence(tmp_path, stand_in):
    with pytest.raises(OptionError, match="run make nnunet"):
        run_nnunet(tmp_path, ["one"], NnunetOptions(environment=tmp_path / "none"), tmp_path / "work", print)
    with pytest.raises(OptionError, match="no training pair of the 1 labelled patients"):
        run_nnunet(tmp_path, ["three"], stand_in, tmp_path / "work", print)
    for wrong in ({"epochs": 0}, {"threads": 0}, {"workers": -1}, {"memory_gb": 0.0}, {"device": "tpu"}):
        with pytest.raises(OptionError):
            NnunetOptions(**wrong)
    with pytest.raises(OptionError, match="D1 or D2"):
        NnunetOptions(images="D4")
    assert not (tmp_path / "work").exists()
