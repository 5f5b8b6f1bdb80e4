"""From a cohort to a model and its results, by the command line: train tiny, export, segment, read back."""

from __future__ import annotations

import json

import pytest

TINY = """
name = "tiny"
steps = 4
batch_rows = 512
crop_rows = [256]
crop_weights = [1.0]
warmup_steps = 1
threads = 1
checkpoint_every = 2
validate_every = 4
validation_cases = 1
log_every = 1

[network_config]
widths = [8, 8, 8]
decoder_widths = [8, 8]

[phantoms]
anatomies = 0

[cohort]
folder = "cohort"
validation_share = 0.5
"""


@pytest.mark.usefixtures("shared_anatomies")
@pytest.mark.slow
def test_a_tiny_training_ends_in_a_model_that_segments(in_process, tmp_path):
    simulated = in_process("simulate", "-o", "cohort", "--count", 2, "--seed", 5, "--header", "standard", cwd=tmp_path)
    assert simulated.returncode == 0, simulated.stderr
    (tmp_path / "tiny.toml").write_text(TINY)
    trained = in_process("train", "tiny.toml", "--set", "steps=2", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "train 2/2" in trained.stderr
    assert "runs/tiny/bundle" in trained.stdout
    exported = in_process("model", "export", "runs/tiny", "-o", "tiny", "--json", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    scan = sorted((tmp_path / "cohort").rglob("*.dcm"))[0]
    done = in_process("segment", scan, "-o", "out", "--model", "tiny", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (study,) = (tmp_path / "out").iterdir()
    model = json.loads((study / "lesions.json").read_text())["model"]
    assert model == {"name": "tiny", "sha256": json.loads(exported.stdout)["sha256"]}


def test_export_of_what_is_no_run_says_so(in_process, tmp_path):
    done = in_process("model", "export", tmp_path, "-o", tmp_path / "model")
    assert done.returncode == 2
    assert done.stderr.startswith("bonescan: ")
    assert done.stderr.count("\n") == 1
