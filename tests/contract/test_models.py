"""What every registered network keeps to."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from bonescan.configuration import config_from_dict  # noqa: E402
from bonescan.models import MODELS, likeliest  # noqa: E402
from bonescan.study import REGIONS  # noqa: E402
from bonescan.train.cases import Split  # noqa: E402
from bonescan.train.config import TrainConfig  # noqa: E402
from bonescan.train.export import to_onnx  # noqa: E402
from bonescan.train.loop import start, train_step  # noqa: E402
from bonescan.train.methods import supervised  # noqa: E402
from bonescan.train.stream import training_batch  # noqa: E402

TINY = {
    "unet": {"widths": (8, 8, 8, 8, 8), "decoder_widths": (8, 8, 8, 8), "full_width": 4},
    "lin2022": {"channels": 4},
    "plain-unet": {"widths": (8, 8)},
}
"""The smallest sensible configuration of each network."""


def test_every_model_is_tested():
    assert TINY.keys() == MODELS.keys()


@pytest.fixture(params=sorted(MODELS))
def name(request):
    return request.param


def build(name, seed=0):
    kind, make = MODELS[name]
    torch.manual_seed(seed)
    return make(config_from_dict(kind, TINY[name]))


@pytest.mark.parametrize("shape", [(32, 32), (64, 96), (128, 32)])
def test_shapes(name, shape):
    lesion, region = build(name)(torch.zeros(2, 2, *shape))
    assert lesion.shape == (2, 2, *shape)
    if region is not None:
        assert region.shape == (2, 2, len(REGIONS), shape[0] // 2, shape[1] // 2)


@pytest.mark.parametrize("shape", [(33, 32), (64, 48), (16, 32)])
def test_odd_sizes_are_refused(name, shape):
    with pytest.raises(ValueError, match="multiples of 32"):
        build(name)(torch.zeros(1, 2, *shape))


def test_the_default_has_at_most_two_million_parameters(name):
    kind, make = MODELS[name]
    assert sum(parameter.numel() for parameter in make(kind()).parameters()) <= 2_000_000


def test_gradients_reach_every_parameter(name):
    network = build(name)
    lesion, region = network(torch.rand(2, 2, 64, 64))
    (lesion.square().sum() + (0 if region is None else region.square().sum())).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


def test_the_untrained_network_states_the_prior(name):
    lesion, _ = build(name).eval()(torch.zeros(1, 2, 64, 64))
    prior = MODELS[name][0]().lesion_prior
    assert torch.sigmoid(lesion).mean().item() == pytest.approx(prior, rel=0.2)


def test_the_same_seed_gives_the_same_network(name):
    one, other = build(name, seed=3).state_dict(), build(name, seed=3).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_weights_survive_a_file(name, tmp_path):
    network, other = build(name, seed=1).eval(), build(name, seed=2).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    image = torch.rand(1, 2, 64, 64)
    assert not torch.equal(network(image)[0], other(image)[0])
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    for one, two in zip(network(image), other(image), strict=True):
        assert one is None if two is None else torch.equal(one, two)


@torch.no_grad()
def test_the_graph_says_what_the_network_says(name):
    onnxruntime = pytest.importorskip("onnxruntime")
    network = build(name)
    for _ in range(3):  # running statistics of their own
        network(torch.rand(2, 2, 64, 64) * 3)
    network.eval()
    # A head that differs from place to place, so that the region map is put to the test.
    for head, std in (("region_head", 3.0), ("lesion_head", 1.0), ("classifier", 0.3)):
        if hasattr(network, head):
            torch.nn.init.normal_(getattr(network, head).weight, std=std)
    session = onnxruntime.InferenceSession(to_onnx(network), providers=["CPUExecutionProvider"])
    for shape in ((1, 2, 64, 64), (2, 2, 96, 32)):
        image = torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 3
        lesion, region = network(image)
        seen = session.run(["lesion", "region"], {"counts": image.numpy()})
        assert seen[0].dtype == np.float32
        assert seen[1].dtype == np.uint8
        assert np.ptp(seen[0]) > 0.1
        np.testing.assert_allclose(seen[0], torch.sigmoid(lesion).numpy(), atol=1e-4)
        if region is None:
            assert not seen[1].any()
            continue
        expected = likeliest(region).numpy()
        assert len(np.unique(expected)) > 2
        assert (seen[1] == expected).mean() > 0.999


@torch.no_grad()
@pytest.mark.parametrize("aggregation", ["image", "feature"])
def test_the_graph_of_added_views_keeps_patients_apart(aggregation):
    onnxruntime = pytest.importorskip("onnxruntime")
    kind, make = MODELS["lin2022"]
    torch.manual_seed(0)
    network = make(kind(channels=4, recurrence=1, aggregation=aggregation))
    for _ in range(3):
        network(torch.rand(2, 2, 64, 64) * 3)
    network.eval()
    torch.nn.init.normal_(network.classifier.weight, std=0.3)
    session = onnxruntime.InferenceSession(to_onnx(network), providers=["CPUExecutionProvider"])
    for shape in ((3, 2, 96, 32), (2, 2, 32, 160)):
        image = torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 3
        image[0, 1] = 0  # an absent view
        seen, region = session.run(["lesion", "region"], {"counts": image.numpy()})
        assert seen.shape == region.shape == shape
        np.testing.assert_allclose(seen, torch.sigmoid(network(image)[0]).numpy(), atol=1e-4)
        assert np.array_equal(seen[:, 0], seen[:, 1])
        assert np.abs(seen[0] - seen[1]).max() > 0.01


@pytest.mark.parametrize("bf16", [False, True])
def test_the_loss_falls_in_twenty_steps(name, make_case, bf16):
    config = TrainConfig(
        network=name,
        network_config=TINY[name],
        batch_rows=256,
        crop_rows=(64,),
        crop_weights=(1.0,),
        crop_cols=32,
        warmup_steps=1,
        learning_rate=1e-2,
        steps=20,
        bf16=bf16,
    )
    state = start(config)
    split = Split([make_case(seed) for seed in range(3)], [])
    batch = training_batch(split.training, config, 100)  # always the same one: batches differ in how hard they are

    def loss() -> float:
        return supervised(state.network(batch.image), batch, config)["total"].item()

    before = loss()
    for step in range(20):
        train_step(config, state, split, step)
    assert loss() < 0.8 * before
