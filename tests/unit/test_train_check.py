"""Wrong configurations are refused before anything is simulated, and own scans are not joined by phantoms unasked."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from bonescan.bundle import load_bundle
from bonescan.errors import BundleError, OptionError
from bonescan.predict import Predictor
from bonescan.train import export_run, run_from_toml
from bonescan.train import run as module
from bonescan.train.cases import Split
from bonescan.train.cohort import labelled_studies
from bonescan.train.config import CohortConfig, ImagesConfig, PhantomConfig, TrainConfig, read_config
from bonescan.train.loop import train
from bonescan.train.run import check_config

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
        (["seed=-1"], "seed is -1: give a number from 0"),
        (
            ["calibration.most_false_positives=5.0"],
            "most_false_positives 5 and sensitive_false_positives 2: give numbers",
        ),
        (["calibration.specific_false_positives=0.6"], "specific_false_positives is 0.6, most_false_positives 0.5"),
        (["calibration.specific_false_positives=-0.1"], "specific_false_positives is -0.1"),
        (
            ["images.folder=set", "images.set=D4", "images.validation_share=0.2"],
            "the GAN of D4 learned from the patients",
        ),
        (["start_share=1.0"], "start_share is 1.0: give a share"),
        (["only='region_head'"], "only is 'region_head', and begin_with is empty: name the bundle"),
        (["only='nothing'", "begin_with='phantom-unet'"], "only is 'nothing', and no layer of unet is named so"),
        (["only='region_head'", "begin_with='paper'"], "all else stays as it is in paper, which has no encoder"),
        (["start_share=0.5", "begin_with='paper'"], "start_share mixes in the weights of paper, which has no encoder"),
        (["start_share=0.5"], "start_share mixes in the weights of begin_with, which is empty"),
        (["cohort.validation_share=1.0"], "cohort.validation_share is 1.0"),
        (['cohort.views=["front"]'], "cohort.views is 'front': give one of anterior, posterior"),
        (['cohort.views=["anterior", "anterior"]'], "views are one or two different ones, not anterior, anterior"),
        (["phantoms.anatomies=0"], "names nothing to learn from"),
        (["augment.blur_px=0.2"], r"augment\.blur_px is 0\.2: give a number from 0\.3, or 0 for none"),
        (["augment.smoothed_px=0.4"], r"augment\.smoothed_px is 0\.4: give a number from 0\.5, or 0 for none"),
        (["augment.mottle_px=1.0"], r"augment\.mottle_px is 1: give a number from 1\.5, or 0 for none"),
        (["augment.mottle_px=-2.0"], r"augment\.mottle_px is -2: give"),
        (["augment.least_dose=0"], r"augment\.least_dose is 0: give a share above 0, and at most 1"),
        (["augment.least_dose=1.5"], r"augment\.least_dose is 1\.5: give a share"),
        (["augment.bend_px=-1.0"], r"augment\.bend_px is -1: give a number from 0"),
        (["augment.gamma=-0.2"], r"augment\.gamma is -0\.2: give a number from 0"),
        (["augment.view_gain=nan"], r"augment\.view_gain is nan: give a number from 0"),
        (["augment.shift_px=inf"], r"augment\.shift_px is inf: give a number from 0"),
        (["augment.scale=1.0"], r"augment\.scale is 1: give a share from 0 to below 1"),
        (["augment.hot=1.1"], r"augment\.hot is 1\.1: give a probability from 0 to 1"),
    ],
)
def test_wrong_configurations_are_refused_first(nothing_simulated, settings, message):
    with pytest.raises(OptionError, match=message):
        run_from_toml(nothing_simulated / "c.toml", settings)
    assert not (nothing_simulated / "runs").exists()


@pytest.mark.parametrize("only", ["", "level_head", "lesion_bones.level", "benign_head", "region_head"])
def test_layers_that_simulated_patients_teach_may_learn_alone(only):
    check_config(beginning_with_levels(only, phantoms=PhantomConfig(anatomies=1)))


@pytest.mark.parametrize("anatomies", [0, 1])
@pytest.mark.parametrize("only", ["level_head", "lesion_bones.level"])
def test_layers_that_learn_from_levels_alone_are_refused_where_scans_without_levels_may_fill_a_batch(
    tmp_path, only, anatomies
):
    cohort = CohortConfig(folder=str(tmp_path))
    config = beginning_with_levels(only, cohort=cohort, phantoms=PhantomConfig(anatomies=anatomies))
    with pytest.raises(OptionError, match=f"only is '{only}', layers that learn from levels, which labelled scans do"):
        check_config(config)
    check_config(replace(config, only="benign_head"))


def beginning_with_levels(only: str, **tables: object) -> TrainConfig:
    network = load_bundle("phantom-unet").network["config"]
    return TrainConfig(name="c", threads=1, network_config=network, begin_with="phantom-unet", only=only, **tables)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "configs").glob("*.toml")), ids=lambda one: one.name
)
def test_shipped_configurations_have_operating_points_in_order(path):
    if "calibration" in tomllib.loads(path.read_text()):
        module._check_numbers(read_config(path))


@pytest.mark.parametrize("other", [{"set": "D2"}, {"validation_share": 0.0}])
def test_a_gan_is_no_matter_where_its_samples_or_validation_patients_are_not_used(other):
    images = ImagesConfig(**{"folder": "set", "set": "D4", "validation_share": 0.2, **other})
    module._check_numbers(TrainConfig(images=images))


def test_a_data_set_is_no_cohort(nothing_simulated):
    study = nothing_simulated / "set" / "patient" / "study"
    study.mkdir(parents=True)
    (study / "anterior.json").write_text("{}")
    assert labelled_studies(nothing_simulated / "set") == [study]
    (nothing_simulated / "set" / "dataset.toml").write_text("")
    with pytest.raises(OptionError, match=r"set is a data set, .*: name it in images.folder instead"):
        run_from_toml(nothing_simulated / "c.toml", ["cohort.folder=set"])
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


@pytest.fixture
def no_graphics(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_a_device_that_is_not_there_is_refused_first_and_leaves_nothing(nothing_simulated, no_graphics):
    with pytest.raises(OptionError, match="torch finds no device 'cuda' here: set device to auto or cpu"):
        run_from_toml(nothing_simulated / "c.toml", ["device=cuda"])
    assert sorted(path.name for path in nothing_simulated.iterdir()) == ["c.toml", "file"]


@pytest.mark.parametrize("other", [{"device": "cuda"}, {"device": None}, {"cohort": {"validation_share": 0.2}}])
def test_a_run_goes_on_on_another_device_and_with_keys_that_were_not_there_when_it_began(no_graphics, tmp_path, other):
    phantoms = PhantomConfig(anatomies=1, cache=str(tmp_path))
    config = TrainConfig(name="c", runs=str(tmp_path), device="cpu", phantoms=phantoms)
    config.folder.mkdir()
    began = {key: value for key, value in (config.to_dict() | other).items() if value is not None}
    (config.folder / "config.json").write_text(json.dumps(began))
    check_config(config)
    with pytest.raises(OptionError, match="was started with another cohort"):
        check_config(replace(config, cohort=CohortConfig(views=("anterior", "posterior"))))


def test_own_scans_are_not_joined_by_phantoms_that_nobody_asked_for():
    assert TrainConfig().phantoms.anatomies == 0
    page = Path(__file__).parents[2] / "docs" / "how-to" / "train-on-your-own-scans.md"
    assert "phantoms.anatomies" in page.read_text()


def test_what_is_no_finished_run_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"there is no config\.json"):
        export_run(tmp_path, tmp_path / "out")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(OptionError, match=r"there is no checkpoint\.safetensors"):
        export_run(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("known", [False, True])
def test_an_unfinished_run_names_bones_only_if_its_scans_have_region_maps(tmp_path, monkeypatch, make_case, known):
    made = [make_case(seed) for seed in range(3)]
    cases = [replace(case, facts=replace(case.facts, has_regions=known)) for case in made]
    split = Split(cases[:2], cases[2:])
    monkeypatch.setattr(module, "cohort_split", lambda config, normalisation: split)
    config = TrainConfig(
        name="c",
        runs=str(tmp_path),
        threads=1,
        max_minutes=1e-9,
        batch_rows=64,
        crop_rows=(64,),
        crop_weights=(1.0,),
        crop_cols=32,
        network_config={"widths": (8, 8), "decoder_widths": (8,)},
        cohort=CohortConfig(folder="cohort"),
    )
    folder = train(config, split)
    image = np.random.default_rng(1).random((2, 64, 32), dtype=np.float32)
    bundle = export_run(folder, tmp_path / "exported")
    assert bundle.raw["training"]["steps"] == 1
    assert ("does not say which bone" in " ".join(bundle.card.split())) != known
    assert Predictor(bundle, threads=1).predict_maps(image).region.any() == known


def test_the_order_of_a_cohort_does_not_matter_and_a_name_does(make_case):
    from bonescan.train.cohort import cohort_digest

    first, second = make_case(1), make_case(2)
    assert cohort_digest([first, second]) == cohort_digest([second, first]) != cohort_digest([first])
    renamed = replace(second, facts=replace(second.facts, group="another"))
    assert cohort_digest([first, renamed]) != cohort_digest([first, second])
