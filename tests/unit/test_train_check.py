"""Wrong configurations are refused before anything is simulated, and own scans are not joined by phantoms unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from bonescan.errors import BundleError, OptionError
from bonescan.train import run as module
from bonescan.train import run_from_toml
from bonescan.train.config import TrainConfig

TOML = """
name = "c"
threads = 1

[phantoms]
anatomies = 2
"""


@pytest.fixture
def nothing_simulated(monkeypatch, tmp_path):
    """A folder to run in, where a simulation is a failure."""

    def simulate(*arguments):
        pytest.fail("something was simulated")

    monkeypatch.setattr(module, "phantom_split", simulate)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "c.toml").write_text(TOML)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["network=unett"], "there is no network 'unett'"),
        (["network_config.widthss=[8]"], "network_config.widthss"),
        (["network_config.widths=[8, 8, 8]", "network_config.decoder_widths=[8]"], "cannot be built"),
        (["cohort.folder=nowhere"], "cohort.folder is 'nowhere', and there is no such folder"),
        (["runs=file/runs"], "runs is 'file/runs', where nothing can be written"),
        (["phantoms.cache=file/cache"], "phantoms.cache is 'file/cache'"),
        (["log_every=0"], "log_every is 0: give a number from 1"),
        (["checkpoint_every=0"], "checkpoint_every is 0"),
        (["validate_every=-1"], "validate_every is -1"),
        (["threads=0"], "threads is 0"),
        (["phantoms.anatomies=-1"], "phantoms.anatomies is -1"),
        (["phantoms.processes=0"], "phantoms.processes is 0"),
        (["learning_rate=0.0"], "learning_rate is 0.0"),
        (["start_share=1.0"], "start_share is 1.0: give a share"),
        (["start_share=0.5"], "start_share mixes in the weights of begin_with, which is empty"),
        (["cohort.validation_share=1.0"], "cohort.validation_share is 1.0"),
        (["phantoms.anatomies=0"], "names nothing to learn from"),
    ],
)
def test_wrong_configurations_are_refused_first(nothing_simulated, settings, message):
    with pytest.raises(OptionError, match=message):
        run_from_toml(nothing_simulated / "c.toml", settings)
    assert not (nothing_simulated / "runs").exists()


def test_a_run_that_begins_with_no_model_leaves_its_name_free(nothing_simulated):
    with pytest.raises(BundleError, match="there is no model 'nothere'"):
        run_from_toml(nothing_simulated / "c.toml", ["begin_with=nothere"])
    assert not (nothing_simulated / "runs").exists()


def test_a_run_with_another_configuration_is_refused_first_and_kept(nothing_simulated):
    folder = nothing_simulated / "runs" / "c"
    folder.mkdir(parents=True)
    kept = json.dumps({**TrainConfig(name="c").to_dict(), "seed": 9})
    (folder / "config.json").write_text(kept)
    with pytest.raises(OptionError, match="was started with another"):
        run_from_toml(nothing_simulated / "c.toml")
    assert (folder / "config.json").read_text() == kept


def test_own_scans_are_not_joined_by_phantoms_that_nobody_asked_for():
    assert TrainConfig().phantoms.anatomies == 0
    page = Path(__file__).parents[2] / "docs" / "how-to" / "train-on-your-own-scans.md"
    assert "phantoms.anatomies" in page.read_text()
