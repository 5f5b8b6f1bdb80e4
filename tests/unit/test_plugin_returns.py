"""What plug-ins return is checked before anything is simulated or trained; one sentence names the plug-in."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("torch")

import torch

from bonescan.errors import OptionError
from bonescan.models import MODELS
from bonescan.train import run as module
from bonescan.train import run_from_toml
from bonescan.train.methods import METHODS

PLUGIN = """
from dataclasses import dataclass
import torch
from torch import nn

@dataclass(frozen=True)
class Config:
    benign: bool = False

class Net(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.layer = nn.Conv2d(2, 2, 1)

    def forward(self, image):
        lesion = self.layer(image)
        return ANSWER

class NoWeights(nn.Module):
    config = Config()

    def forward(self, image):
        return image, None

class NoConfig(Net):
    def __init__(self, config):
        super().__init__(None)

NETWORK = VALUE
"""
WORKS = "(lesion, None)"
TOML = 'name = "c"\nnetwork = "faulty"\nthreads = 1\n\n[phantoms]\nanatomies = 2\n'


@pytest.fixture
def plugged(monkeypatch, tmp_path):
    """Install a network as a plug-in: plugged(what the entry point names, what the network returns)."""

    def plug(value="(Config, Net)", answer=WORKS):
        stated = tmp_path / "faulty-1.0.dist-info"
        stated.mkdir()
        (stated / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
        (stated / "entry_points.txt").write_text("[bonescan.networks]\nfaulty = faulty_net:NETWORK\n")
        (tmp_path / "faulty_net.py").write_text(PLUGIN.replace("VALUE", value).replace("ANSWER", answer))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(MODELS, "_added", None)

    monkeypatch.setattr(module, "phantom_split", lambda *arguments: pytest.fail("something was simulated"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(TOML)
    yield plug
    sys.modules.pop("faulty_net", None)


@pytest.mark.parametrize(
    ("value", "answer", "said"),
    [
        ("None", WORKS, "is None, not a dataclass and a function that builds the network from it"),
        ("Net", WORKS, "is a type, not a dataclass and a function"),
        ("(Config, lambda config: None)", WORKS, "was built as None, not as a torch.nn.Module"),
        ("(Config, lambda config: NoWeights())", WORKS, "has no weights to train"),
        ("(Config, NoConfig)", WORKS, "the attribute config of .* is None, not the dataclass"),
        ("(Config, Net)", "None", "returned None for an image of 1 x 2 x 64 x 64; "),
        ("(Config, Net)", "lesion", "returned a Tensor of shape 1 x 2 x 64 x 64 for"),
        ("(Config, Net)", "(lesion,)", "returned a tuple of a Tensor of shape 1 x 2 x 64 x 64 for"),
        ("(Config, Net)", "(None, None)", "returned a tuple of None, None for"),
        ("(Config, Net)", "(lesion[:, :1], None)", "returned a tuple of a Tensor of shape 1 x 1 x 64 x 64, None for"),
        ("(Config, Net)", "(lesion[..., ::2], None)", "of shape 1 x 2 x 64 x 32, None for"),
        ("(Config, Net)", "(lesion.long(), None)", "returned a tuple of a Tensor"),
        ("(Config, Net)", "(lesion, lesion)", "1 x 2 x 64 x 64, a Tensor of shape 1 x 2 x 64 x 64 for"),
        (
            "(Config, Net)",
            "(lesion, None, lesion, None)",
            "returned lesion, benign, and its config says lesion",
        ),
        ("(Config, Net)", "(lesion, None, None, None, None, None, None)", "returned a tuple of"),
    ],
)
def test_a_network_that_returns_the_wrong_thing_is_named(plugged, tmp_path, value, answer, said):
    plugged(value, answer)
    with pytest.raises(OptionError, match=said) as error:
        run_from_toml(tmp_path / "c.toml")
    assert "faulty (plug-in faulty_net:NETWORK)" in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_a_network_that_returns_what_it_should_goes_on_to_the_simulation(plugged, tmp_path):
    plugged()
    with pytest.raises(pytest.fail.Exception, match="something was simulated"):
        run_from_toml(tmp_path / "c.toml")


def test_the_command_says_it_in_one_line(plugged, tmp_path, in_process):
    plugged("(Config, lambda config: None)")
    for command in (("train", "c.toml"), ("model", "cost", "faulty")):
        done = in_process(*command)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "the network faulty (plug-in faulty_net:NETWORK) was built as None" in done.stderr


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (lambda outputs, batch, config: None, "returned None, not the parts of a loss by name"),
        (lambda outputs, batch, config: outputs[0].mean(), r"returned a Tensor of shape \(\), not the parts"),
        (lambda outputs, batch, config: {"loss": outputs[0].mean()}, "returned the keys loss, not the parts"),
        (lambda outputs, batch, config: {"total": outputs[0]}, "returned a Tensor of shape 1 x 2 x 64 x 64 as 'total'"),
        (lambda outputs, batch, config: {"total": 1.0}, "returned a float as 'total', not one number of torch"),
        (lambda outputs, batch, config: {"total": torch.zeros(())}, 'a "total" that does not depend on the weights'),
    ],
)
def test_a_method_that_returns_the_wrong_thing_is_named(plugged, tmp_path, monkeypatch, method, said):
    monkeypatch.setitem(METHODS._own, "supervised", method)
    with pytest.raises(OptionError, match=said) as error:
        run_from_toml(tmp_path / "c.toml", ["network=unet"])
    assert "the method supervised" in str(error.value)


def test_a_source_of_images_that_returns_the_wrong_thing_is_named(plugged, tmp_path, monkeypatch):
    class Source:
        def split(self, config):
            return None

        def digest(self, config):
            return 3

    monkeypatch.setitem(module.IMAGE_SOURCES._own, "dataset", Source())
    with pytest.raises(OptionError, match="the image source dataset returned None, not a Split"):
        run_from_toml(tmp_path / "c.toml", ["network=unet", f"images.folder={tmp_path}"])
    monkeypatch.setattr(Source, "split", lambda self, config: module.Split([], []))
    with pytest.raises(OptionError, match="the image source dataset returned an int as its digest"):
        run_from_toml(tmp_path / "c.toml", ["network=unet", f"images.folder={tmp_path}"])


def test_values_in_words():
    from bonescan.system.plugins import described

    assert described([None, torch.zeros(2, 3), 1]) == "a list of None, a Tensor of shape 2 x 3, an int"
    assert described(()) == "a tuple of nothing"
    assert MODELS.origin("unet") == "unet"
