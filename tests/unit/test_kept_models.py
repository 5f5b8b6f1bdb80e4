"""Kept models, and the one in use."""

import shutil

import pytest

from bonescan.bundle import load_bundle
from bonescan.commands.model import keep, model_named, put_in_use
from bonescan.errors import BundleError, OutputError
from bonescan.pipeline import DEFAULT_MODEL, load_model
from bonescan.system.kept import kept_models, model_in_use, models_folder


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_nothing_is_kept_at_first():
    assert kept_models() == ()
    assert model_in_use() == DEFAULT_MODEL
    assert model_named(None) == DEFAULT_MODEL
    assert model_named("some/folder") == "some/folder"


def test_a_kept_model_is_found_by_name_and_put_in_use(threshold_bundle):
    bundle = load_bundle(threshold_bundle)
    folder = keep(bundle, use=False)
    assert folder == models_folder() / "threshold"
    assert load_bundle(folder).sha256 == bundle.sha256
    assert kept_models() == ("threshold",)
    assert model_named("threshold") == folder
    assert model_in_use() == DEFAULT_MODEL
    put_in_use("threshold")
    assert model_named(None) == folder
    keep(bundle, use=True)  # the same once more is no error
    put_in_use(DEFAULT_MODEL)
    assert model_named(None) == DEFAULT_MODEL


def test_another_model_of_the_same_name_is_refused(threshold_bundle, tmp_path):
    bundle = load_bundle(threshold_bundle)
    folder = keep(bundle, use=False)
    (folder / "bundle.json").write_text((folder / "bundle.json").read_text() + "\n")
    with pytest.raises(OutputError, match="another model threshold is kept"):
        keep(bundle, use=False)


def test_a_copy_that_is_being_made_is_no_kept_model(threshold_bundle):
    partial = models_folder() / ".threshold.999999-0123abcd-0123abcd.partial"
    partial.mkdir(parents=True)
    shutil.copy(threshold_bundle / "bundle.json", partial)
    assert kept_models() == ()


def test_a_model_that_is_not_there_cannot_be_used(threshold_bundle):
    with pytest.raises(BundleError, match="there is no model 'none'"):
        put_in_use("none")
    keep(load_bundle(threshold_bundle), use=True)
    (models_folder() / "threshold" / "bundle.json").unlink()
    with pytest.raises(BundleError, match="the model in use, threshold, is not kept any more"):
        model_named(None)


def test_a_relative_data_folder_is_none(monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "somewhere")
    assert models_folder().is_absolute()


def test_python_finds_kept_models_and_the_one_in_use(threshold_bundle, tmp_path, monkeypatch):
    keep(load_bundle(threshold_bundle), use=True)
    monkeypatch.chdir(tmp_path)
    assert load_model("threshold").name.name == "threshold"
    assert load_model(None).name.name == "threshold"
    assert load_model().name.name == DEFAULT_MODEL  # the same on every machine
    with pytest.raises(BundleError, match=r"a kept one \(threshold\)"):
        load_model("none")
