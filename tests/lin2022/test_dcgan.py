"""What the DCGAN keeps to: shapes, bounds, gradients, determinism, and a training that resumes to the bit."""

from __future__ import annotations

import errno
import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from bonescan.errors import OptionError, OutputError  # noqa: E402
from bonescan.lin2022.gan.config import GanConfig, read_gan_config  # noqa: E402
from bonescan.lin2022.gan.dcgan import DcganConfig, build_dcgan  # noqa: E402
from bonescan.lin2022.gan.images import GanImages  # noqa: E402
from bonescan.lin2022.gan.loop import (  # noqa: E402
    CHECKPOINT,
    CONFIG,
    GENERATOR,
    gan_step,
    real_batch,
    start_gan,
    train_gan,
)
from bonescan.lin2022.gan.sample import draw_sample, load_gan  # noqa: E402

TINY = DcganConfig(size=32, latent=6, generator_width=4, discriminator_width=4, most_channels=8)


@pytest.fixture
def config() -> GanConfig:
    return GanConfig(steps=6, batch=4, network=TINY, checkpoint_every=2, log_every=1, shift_px=2, learning_rate=2e-3)


@pytest.fixture(scope="module")
def images(make_case) -> GanImages:
    from bonescan.prepare import Normalisation, normalise

    cases = [make_case(seed, shape=(32, 32)) for seed in range(6)]
    references = [case.facts.references[0] for case in cases]
    normalised = [normalise(case.counts, Normalisation(), one) for case, one in zip(cases, references, strict=True)]
    return GanImages(
        np.concatenate(normalised),
        np.repeat(references, 2),
        np.tile(np.array([0, 1], dtype=np.uint8), len(cases)),
        tuple(np.repeat([case.facts.key for case in cases], 2).tolist()),
        ((2.2, 2.2), (2.2, 2.2), (2.4, 2.4), (2.4, 2.4), *[None] * 8),
    )


def drawn(gan, number=4, seed=0):
    latent = torch.randn(number, gan.generator.config.latent, generator=torch.Generator().manual_seed(seed))
    return latent, torch.arange(number) % 2


@pytest.mark.parametrize("size", [16, 32, 256])
def test_shapes_and_bounds(size):
    gan = build_dcgan(replace(TINY, size=size))
    latent, views = drawn(gan)
    image = gan.generator(100 * latent, views)
    assert image.shape == (4, 1, size, size)
    assert 0 <= image.min() <= image.max() <= TINY.ceiling
    assert gan.discriminator(image, views).shape == (4,)


@pytest.mark.parametrize(
    "wrong", [{"size": 48}, {"size": 8}, {"size": 0}, {"latent": 0}, {"most_channels": 0}, {"ceiling": 0.1}]
)
def test_shapes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"power of two|at least 1|above"):
        replace(TINY, **wrong)


def test_gradients_reach_every_parameter():
    gan = build_dcgan(TINY)
    latent, views = drawn(gan)
    gan.discriminator(gan.generator(latent, views), views).square().sum().backward()
    for name, parameter in gan.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_weights_are_drawn_as_the_paper_draws_them():
    torch.manual_seed(0)
    gan = build_dcgan(DcganConfig())
    weights = torch.cat([p.detach().flatten() for n, p in gan.named_parameters() if p.ndim > 1])
    assert weights.mean().item() == pytest.approx(0, abs=1e-4)
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    norms = torch.cat([m.weight.detach() for m in gan.modules() if isinstance(m, torch.nn.BatchNorm2d)])
    assert norms.mean().item() == pytest.approx(1, abs=0.01)
    # No batch norm at the discriminator's entrance, none at the generator's exit.
    assert isinstance(gan.discriminator.layers[1], torch.nn.LeakyReLU)
    assert isinstance(gan.discriminator.layers[3], torch.nn.BatchNorm2d)


def test_the_view_changes_the_picture_and_the_verdict():
    gan = build_dcgan(TINY).eval()
    latent, views = drawn(gan)
    image = gan.generator(latent, views)
    assert not torch.equal(image, gan.generator(latent, 1 - views))
    assert not torch.equal(gan.discriminator(image, views), gan.discriminator(image, 1 - views))


def test_a_step_moves_both_networks_and_counts_k(config, images):
    state = start_gan(config)
    before = {name: value.detach().clone() for name, value in state.network.named_parameters()}
    gan_step(config, state, images, 0)
    for name, value in state.network.named_parameters():
        assert not torch.equal(before[name], value), name
        taken = int(state.optimiser.state[value]["step"])
        assert taken == (config.discriminator_steps if name.startswith("discriminator") else 1), name
    assert all(parameter.requires_grad for parameter in state.network.parameters())


def test_the_discriminator_learns_to_tell(config, images):
    state = start_gan(config)
    first, *_, last = [gan_step(config, state, images, step) for step in range(8)]
    assert last.discriminator < first.discriminator
    assert last.real > 0.5 > last.drawn


class Interrupt(Exception):
    """Stands for a power cut."""


def losses_of(config, images, folder, stop_after=None):
    seen = {}

    def report(progress):
        seen[progress.done] = dict(progress.figures)
        if len(seen) == stop_after:
            raise Interrupt

    with suppress(Interrupt):
        train_gan(config, images, folder, report)
    return seen


def test_a_resumed_run_is_the_same_bit_for_bit(config, images, tmp_path):
    whole = losses_of(config, images, tmp_path / "whole")
    first = losses_of(config, images, tmp_path / "cut", stop_after=3)  # the checkpoint holds step 2
    second = losses_of(config, images, tmp_path / "cut")
    assert (sorted(first), sorted(second)) == ([1, 2, 3], [3, 4, 5, 6])
    assert whole == first | second
    for name in (CHECKPOINT, GENERATOR):
        one, two = (load_file(tmp_path / run / name) for run in ("whole", "cut"))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert load_gan(tmp_path / "whole").sha256 == load_gan(tmp_path / "cut").sha256
    logged = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [1, 2, 3, 4, 5, 6]
    assert losses_of(config, images, tmp_path / "whole") == {}


def test_a_run_can_be_cut_by_time_and_go_on(config, images, tmp_path):
    assert sorted(losses_of(replace(config, max_minutes=1e-9), images, tmp_path)) == [1]
    assert sorted(losses_of(config, images, tmp_path)) == [2, 3, 4, 5, 6]


def test_a_run_of_another_configuration_or_other_images_is_refused(config, images, tmp_path):
    train_gan(replace(config, max_minutes=1e-9), images, tmp_path)
    with pytest.raises(OptionError, match="started with another learning_rate"):
        train_gan(replace(config, learning_rate=1.0), images, tmp_path)
    with pytest.raises(OptionError, match="started with another images_sha256"):
        train_gan(config, replace(images, images=images.images + 1), tmp_path)
    with pytest.raises(OptionError, match=r"32 x 32 pixels and network\.size is 64"):
        train_gan(replace(config, network=replace(TINY, size=64)), images, tmp_path / "other")


def test_a_refused_run_keeps_its_configuration(config, images, tmp_path):
    train_gan(replace(config, max_minutes=1e-9), images, tmp_path)
    before = (tmp_path / CONFIG).read_text()
    with pytest.raises(OptionError, match="started with another images_sha256"):
        train_gan(replace(config, log_every=3), replace(images, images=images.images + 1), tmp_path)
    assert (tmp_path / CONFIG).read_text() == before


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_place_where_nothing_can_be_written_is_one_sentence(config, images, tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=f"the run cannot be written to .*{place} .*: free space there or choose"):
        train_gan(config, images, tmp_path / place)


def test_a_disk_that_fills_up_is_one_sentence(config, images, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bonescan.lin2022.gan.loop.save_checkpoint", full)
    with pytest.raises(OutputError, match="No space left on device"):
        train_gan(config, images, tmp_path)


def test_real_images_are_only_flipped_and_shifted(config, images):
    plain, views = real_batch(replace(config, flip=0.0, shift_px=0), images, np.random.default_rng(1))
    flipped, _ = real_batch(replace(config, flip=1.0, shift_px=0), images, np.random.default_rng(1))
    assert torch.equal(plain.flip(-1), flipped)
    assert all(any(np.array_equal(one, real) for real in images.images) for one in plain[:, 0].numpy())
    assert views.tolist() == [
        int(images.views[[np.array_equal(one, real) for real in images.images].index(True)])
        for one in plain[:, 0].numpy()
    ]
    shifted, _ = real_batch(replace(config, flip=0.0, shift_px=3), images, np.random.default_rng(1))
    for one in shifted[:, 0].numpy():
        inner = one[3:-3, 3:-3]
        windows = [real[r : r + 26, c : c + 26] for real in images.images for r in range(7) for c in range(7)]
        assert any(np.array_equal(inner, window) for window in windows)


def test_samples_follow_from_seed_and_number_alone(config, images, tmp_path):
    gan = load_gan(train_gan(replace(config, steps=2), images, tmp_path))
    one, again, other, later = (draw_sample(gan, *key) for key in ((1, 5), (1, 5), (2, 5), (1, 6)))
    assert np.array_equal(one.counts, again.counts)
    assert not np.array_equal(one.counts, other.counts)
    assert not np.array_equal(one.counts, later.counts)
    assert one.counts.dtype == np.uint16
    of_training = set(zip(images.references.tolist(), images.spacings_mm, strict=True))
    assert {(sample.reference, sample.spacing_mm) for sample in (one, other, later)} <= of_training


def test_what_is_no_run_is_refused(config, images, tmp_path):
    with pytest.raises(OptionError, match=r"there is no generator\.safetensors"):
        load_gan(tmp_path)
    train_gan(replace(config, steps=1), images, tmp_path)
    (tmp_path / GENERATOR).write_bytes(b"nonsense" * 10)
    with pytest.raises(OptionError, match="cannot be read"):
        load_gan(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stepps=1"], "unknown key 'stepps': did you mean 'steps'"),
        (["network.size=100"], "the network cannot be built: the size is a power of two"),
        (["network.latend=3"], r"did you mean 'network\.latent'"),
        (["steps"], "not of the form key=value"),
        (["steps=many"], "steps is 'many'"),
        (["steps=0"], "at least one of each"),
        (["batch=1"], "batch norm needs at least 2"),
        (["betas=[0.5]"], "two numbers"),
        (["flip=2"], "give shares"),
        (["shift_px=-1"], "give 0 or more"),
        (["seed=-1"], "seed is -1: give a number from 0"),
        (["threads=0"], "threads is 0: give a number from 1"),
        (["checkpoint_every=0"], "checkpoint_every is 0"),
        (["log_every=0"], "log_every is 0"),
        (["learning_rate=-1"], "learning_rate is -1.0: give a number above 0"),
        (["learning_rate=nan"], "learning_rate is nan"),
    ],
)
def test_wrong_configurations_say_what_is_wrong(overrides, message):
    with pytest.raises(OptionError, match=message):
        read_gan_config(None, overrides)


def test_overrides_take_the_place_of_the_file(tmp_path):
    path = tmp_path / "gan.toml"
    path.write_text("steps = 5\n[network]\nlatent = 8\nsize = 64\n")
    read = read_gan_config(path, ["steps=7", "network.latent=9", "normalisation.knee=2.5"])
    assert (read.steps, read.network.latent, read.network.size, read.normalisation.knee) == (7, 9, 64, 2.5)
    with pytest.raises(OptionError, match="there is no configuration"):
        read_gan_config(tmp_path / "none.toml")


def test_the_shipped_configuration_states_every_key_and_the_papers_k():
    from dataclasses import fields
    from pathlib import Path

    path = Path(__file__).parents[2] / "configs" / "gan.toml"
    config = read_gan_config(path)
    assert config.discriminator_steps == 3
    assert config.network.size == 256
    text = path.read_text()
    stated = {line.partition("=")[0].strip("# ") for line in text.splitlines() if " = " in line}
    named = {field.name for kind in (GanConfig, DcganConfig) for field in fields(kind)} - {"network", "normalisation"}
    assert named <= stated
