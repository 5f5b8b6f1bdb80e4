"""The published model from the command line: a data set, a training, a bundle of the thorax, a scan."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("torch")

from bonescan.bundle import load_bundle

SETTINGS = (
    "name=small", "method=chan-vese", "network=lin2022", "network_config.channels=4", "network_config.recurrence=1",
    "network_config.pool_after=1", "images.validation_share=0.5", "images.label_share=0.25", "steps=2", "threads=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(small_set, in_process, tmp_path_factory):
    """A run of two steps on four patients."""
    folder = tmp_path_factory.mktemp("images")
    shutil.copytree(small_set[0], folder / "set")
    (folder / "empty.toml").write_text("")
    settings = [part for setting in (*SETTINGS, "images.folder=set") for part in ("--set", setting)]
    done = in_process("train", "empty.toml", *settings, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_bundle_knows_the_thorax_and_what_it_learned_from(trained):
    bundle = load_bundle(trained / "runs/small/bundle")
    assert bundle.region == "thorax"
    assert "--region thorax" in bundle.card or "thoracic window" in bundle.card
    assert "semi-supervised loss of Lin et al. 2022" in bundle.card
    assert len(bundle.raw["training"]["sources"]["dataset"]) == 64
    assert str(trained) not in json.dumps(bundle.raw)


@pytest.mark.usefixtures("shared_anatomies")
@pytest.mark.slow
def test_it_looks_at_the_thorax_of_a_dicom_file_alone(in_process, trained):
    simulated = in_process("simulate", "-o", "cohort", "--count", 1, "--seed", 3, "--header", "ge", cwd=trained)
    assert simulated.returncode == 0, simulated.stderr
    done = in_process("segment", "cohort", "-o", "out", "--model", "runs/small/bundle", cwd=trained)
    assert done.returncode == 0, done.stderr
    (result,) = (trained / "out").rglob("lesions.json")
    region = json.loads(result.read_text())["region"]
    assert region["name"] == "thorax"
    assert region["rows"][1] - region["rows"][0] == 256
    refused = in_process(
        "segment", "cohort", "-o", "no", "--model", "runs/small/bundle", "--region", "whole-body", cwd=trained
    )
    assert refused.returncode == 2
    assert "small has learned the thorax alone" in refused.stderr
    assert not (trained / "no").exists()


@pytest.mark.slow
def test_another_data_set_under_the_same_name_is_refused(in_process, trained):
    text = (trained / "set/dataset.toml").read_text()
    digest = next(line for line in text.splitlines() if line.startswith("digest"))
    (trained / "set/dataset.toml").write_text(text.replace(digest, 'digest = "' + "0" * 64 + '"'))
    settings = [part for setting in (*SETTINGS, "images.folder=set") for part in ("--set", setting)]
    done = in_process("train", "empty.toml", *settings, cwd=trained)
    (trained / "set/dataset.toml").write_text(text)
    assert done.returncode == 2
    assert "began with another data set" in done.stderr
