"""Bundles: what is written is read, and what was touched is refused."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from bonescan.bundle import list_bundles, load_bundle, record_of, runs_of, write_bundle
from bonescan.errors import BundleError, OptionError, OutputError
from bonescan.lesions.delineate import Thresholds
from bonescan.predict import Predictor
from bonescan.prepare import Normalisation, prepare
from bonescan.study import REGIONS, Region, Scan, Study, View


@pytest.fixture
def folder(threshold_bundle, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(threshold_bundle, tmp_path / "threshold")


def test_a_bundle_is_read_as_written(folder):
    bundle = load_bundle(folder)
    assert bundle.name == "threshold"
    assert bundle.card == "# threshold\n"
    assert bundle.thresholds == Thresholds(low=0.5, high=0.9, min_area_px=4)
    assert bundle.normalisation == Normalisation()
    assert bundle.sha256 == hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()
    assert bundle.read("card.md") == b"# threshold\n"
    assert load_bundle(str(folder)).sha256 == bundle.sha256


@pytest.mark.parametrize("file", ["model.onnx", "model.safetensors", "card.md"])
def test_a_changed_file_is_refused(folder, file):
    (folder / file).write_bytes((folder / file).read_bytes() + b"x")
    with pytest.raises(BundleError, match=f"the {file} of threshold does not have the hash"):
        load_bundle(folder)


@pytest.mark.parametrize("file", ["model.onnx", "model.safetensors", "card.md"])
def test_a_missing_file_is_refused(folder, file):
    (folder / file).unlink()
    with pytest.raises(BundleError, match=f"the {file} of threshold cannot be read"):
        load_bundle(folder)


def test_a_file_that_changes_after_loading_is_refused(folder):
    bundle = load_bundle(folder)
    (folder / "model.onnx").write_bytes(b"something else")
    with pytest.raises(BundleError, match="does not have the hash"):
        Predictor(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "is not a model bundle"),
        ({"version": 2}, "has version 2 and this bonescan reads 1"),
        ({"name": "../../etc"}, "unsafe name"),
        ({"name": 3}, "lacks 'name'"),
        ({"thresholds": {"loww": 0.5}}, "another version of bonescan"),
        ({"thresholds": {"low": -1.0}}, "another version of bonescan"),
        ({"normalisation": {"knee": "x"}}, "another version of bonescan"),
        ({"files": {}}, "does not state the hashes"),
        ({"files": {"../secret": "0", "model.onnx": "0", "card.md": "0"}}, "does not state the hashes"),
        ({"network": None}, "lacks 'network'"),
    ],
)
def test_a_changed_description_is_refused(folder, change, message):
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"1"])
def test_a_description_that_is_none_is_refused(folder, content):
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError):
        load_bundle(folder)


def test_unknown_models_are_one_sentence(tmp_path):
    with pytest.raises(BundleError, match="there is no model 'no-such'"):
        load_bundle("no-such")
    with pytest.raises(BundleError, match="there is no model"):
        load_bundle(tmp_path)


def test_shipped_bundles_load():
    for name in list_bundles():
        bundle = load_bundle(name)
        assert bundle.name == name


def test_a_bundle_is_replaced_whole_or_kept(folder, rewritten):
    changed = rewritten(folder, folder, note="second")
    assert changed.raw["note"] == "second"
    with pytest.raises(BundleError, match="'a/b' is not made of letters"):
        rewritten(folder, folder, name="a/b")
    with pytest.raises(BundleError, match=r"not of card\.md: give these files"):
        write_bundle(folder, changed.raw, {"card.md": b""})
    with pytest.raises(ValueError, match="JSON"):
        rewritten(folder, folder, figure=float("nan"))
    assert load_bundle(folder).sha256 == changed.sha256
    assert [path.name for path in folder.parent.iterdir()] == ["threshold"]


def test_a_bundle_that_cannot_be_written_is_one_sentence(folder, rewritten, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written .*: choose another folder"):
        rewritten(folder, tmp_path / "file" / "bundle")


def test_a_bundle_never_takes_the_place_of_other_files(folder, rewritten):
    mine = folder.parent / "mine"
    (mine / "keep").mkdir(parents=True)
    with pytest.raises(OutputError, match="mine holds keep, which no model bundle has"):
        rewritten(folder, mine)
    (folder / "anterior.json").write_text("drawn by hand")
    with pytest.raises(OutputError, match=r"anterior\.json"):
        rewritten(folder, folder)
    assert (folder / "anterior.json").read_text() == "drawn by hand"
    with pytest.raises(OutputError, match="is no folder"):
        rewritten(folder, folder / "card.md")
    assert rewritten(folder, folder.parent / "empty").name == "threshold"


def test_predictions_come_back_in_the_frames(folder):
    """The network of this bundle marks what is three times the square-root reference and more."""
    counts = np.full((70, 40), 4.0, dtype=np.float32)
    anterior, posterior = counts.copy(), counts.copy()
    anterior[10, 5] = posterior[20, 30] = 4000.0
    study = Study("s", {View.ANTERIOR: Scan(View.ANTERIOR, anterior), View.POSTERIOR: Scan(View.POSTERIOR, posterior)})
    prediction = Predictor(load_bundle(folder), threads=1).predict(prepare(study))
    for view, place in ((View.ANTERIOR, (10, 5)), (View.POSTERIOR, (20, 30))):
        assert prediction.lesion[view].shape == (70, 40)
        assert np.argwhere(prediction.lesion[view] > 0.5).tolist() == [list(place)]
        assert (prediction.region[view] == REGIONS.index(Region.STERNUM)).all()


def graph_of(nodes, outputs=("lesion", "region")):
    """The files of a bundle that has another graph."""
    from onnx import TensorProto, helper, numpy_helper

    shape = ["n", 2, "rows", "cols"]
    kinds = {"lesion": TensorProto.FLOAT, "region": TensorProto.UINT8}
    constants = {"five": 5.0, "zero": 0.0, "ninety": 90.0, "nan": float("nan")}
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, out, **more) for operator, inputs, out, more in nodes],
        "g",
        [helper.make_tensor_value_info("counts", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), None) for name in outputs],
        [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return {"model.onnx": model.SerializeToString()}


ZEROS = ("Mul", ["counts", "zero"], ["nothing"], {})
NO_REGION = ("Cast", ["nothing"], ["region"], {"to": 2})


@pytest.mark.parametrize(
    "nodes",
    [
        [("Add", ["counts", "five"], ["lesion"], {}), ZEROS, NO_REGION],
        [("Add", ["counts", "nan"], ["lesion"], {}), ZEROS, NO_REGION],
        [ZEROS, ("Add", ["nothing", "ninety"], ["n"], {}), ("Cast", ["n"], ["region"], {"to": 2}),
         ("Identity", ["nothing"], ["lesion"], {})],
        [ZEROS, NO_REGION, ("Transpose", ["nothing"], ["lesion"], {"perm": [0, 1, 3, 2]})],
    ],
    ids=["above one", "not a number", "unknown region", "another shape"],
)  # fmt: skip
def test_nonsense_from_a_network_is_refused(folder, rewritten, nodes):
    predictor = Predictor(rewritten(folder, folder, graph_of(nodes)), threads=1)
    with pytest.raises(BundleError, match="the model threshold returns"):
        predictor.predict_maps(np.ones((2, 64, 32), dtype=np.float32))


def test_a_graph_of_other_outputs_is_refused(folder, rewritten):
    graph = graph_of([ZEROS, ("Identity", ["nothing"], ["lesion"], {})], outputs=("lesion",))
    other = rewritten(folder, folder, graph)
    with pytest.raises(BundleError, match="does not map counts to lesion and region"):
        Predictor(other)


def test_a_graph_that_is_none_is_refused(folder, rewritten):
    other = rewritten(folder, folder, {"model.onnx": b"no graph"})
    with pytest.raises(BundleError, match="cannot be loaded"):
        Predictor(other)


def test_operating_points_are_read_and_older_bundles_have_the_balanced_one(folder):
    path = folder / "bundle.json"
    description = json.loads(path.read_text())
    assert load_bundle(folder).at("balanced") == Thresholds(low=0.5, high=0.9, min_area_px=4)
    with pytest.raises(OptionError, match="has no operating point 'sensitive': choose among balanced"):
        load_bundle(folder).at("sensitive")
    description["operating_points"] = {"sensitive": {"low": 0.3, "high": 0.4}, "specific": {"low": 0.3, "high": 0.99}}
    path.write_text(json.dumps(description))
    bundle = load_bundle(folder)
    assert (bundle.at("sensitive").high, bundle.at("balanced").high, bundle.at("specific").high) == (0.4, 0.9, 0.99)


@pytest.fixture
def record(folder):
    """The record of a bundle that states this training."""
    raw = json.loads((folder / "bundle.json").read_text())

    def record(training):
        (folder / "bundle.json").write_text(json.dumps({**raw, "training": training}))
        bundle = load_bundle(folder)
        record = record_of(bundle)
        assert (record.pop("name"), record.pop("sha256")) == ("threshold", bundle.sha256)
        return record

    return record


def test_a_record_says_what_a_model_learned_from(record):
    config = {
        "seed": 3,
        "learning_rate": 0.001,
        "start_share": 0.35,
        "only": "",
        "steps": 900,
        "begin_with": "other",
        "phantoms": {"anatomies": 5, "patients_per_anatomy": 8},
        "images": {"set": "D2"},
    }
    short = {"steps": 600, "seed": 3, "learning_rate": 0.001, "start_share": 0.35, "began_with": {"name": "other"}}
    simulated = {"sources": {"phantom": "1f"}, "anatomies": 5, "patients": 40}
    assert record({"steps": 600, "sources": {"phantom": "1f"}, "config": config}) == {**short, **simulated}
    # A run on a data set's images does not use the phantoms that its configuration names.
    pictures = {"sources": {"dataset": "2e"}, "set": "D2"}
    assert record({"steps": 600, "sources": {"dataset": "2e"}, "config": config}) == {**short, **pictures}
    before = {"name": "other", "sha256": "3d", "steps": 70}
    assert record({"steps": 600, "config": config, "began_with": before})["began_with"] == before


def test_a_record_reads_an_adaptation_of_before_there_were_records(record):
    base = {"name": "base", "sha256": "3d"}
    options = {"seed": 1, "learning_rate": 0.0005, "base_share": 0.5, "anatomies": 16, "patients_per_anatomy": 5}
    training = {"base": base, "lesson": {"scans": 7, "steps": 400}, "adapt": options, "base_training": {"steps": 20}}
    assert record(training) == {
        "steps": 400,
        "anatomies": 16,
        "patients": 80,
        "scans": 7,
        "seed": 1,
        "learning_rate": 0.0005,
        "start_share": 0.5,
        "began_with": {**base, "steps": 20},
    }


@pytest.mark.parametrize("training", [None, "text", {"config": [], "sources": 3}, {"config": {"phantoms": 1}}])
def test_a_bundle_that_states_no_training_has_a_record(record, training):
    assert record(training) == {}


def test_a_model_shows_the_runs_that_it_learned_in(folder, capsys):
    from bonescan.cli import main

    raw = json.loads((folder / "bundle.json").read_text())
    before = {
        "name": "other",
        "sha256": "0123456789abcdef",
        "steps": 70,
        "anatomies": 5,
        "began_with": {"name": "first"},
    }
    for training, lines in (
        (
            {"steps": 600, "config": {"seed": 3}, "began_with": before},
            [
                "600 steps, seed 3",
                "- other (sha256 0123456789ab), 70 steps, 5 anatomies",
                "- first, of which nothing else",
            ],
        ),
        ({"steps": 600}, []),
    ):
        (folder / "bundle.json").write_text(json.dumps({**raw, "training": training}))
        assert main(["model", "show", str(folder)]) == 0
        shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
        assert len(shown) == len(lines)
        assert all(line in whole for line, whole in zip(lines, shown, strict=True))


def test_the_runs_of_a_record_are_the_latest_first():
    first = {"name": "a"}
    second = {"name": "b", "began_with": first}
    assert runs_of(second) == (second, first)
    assert runs_of({"name": "b", "began_with": "text"}) == ({"name": "b", "began_with": "text"},)
