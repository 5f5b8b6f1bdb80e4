"""The recurrent network: sizes by Eq. 3, states by Eq. 5, the views of Eq. 4, and what it costs by hand."""

from dataclasses import replace
from itertools import product

import pytest

torch = pytest.importorskip("torch")

from bonescan.lin2022.network import (  # noqa: E402
    DilatedBlock,
    InceptionBlock,
    Lin2022Config,
    RecurrentBlock,
    StepNorm,
    add_views,
    build_lin2022,
)
from bonescan.models.cost import network_cost  # noqa: E402

TINY = Lin2022Config(channels=4)


def build(config=TINY, seed=0):
    torch.manual_seed(seed)
    return build_lin2022(config).eval()


def parameters(config):
    return sum(parameter.numel() for parameter in build(config).parameters())


@pytest.mark.parametrize(("size", "kernel", "padding", "dilation", "stride"), [
    (256, 3, 1, 1, 1), (256, 3, 2, 2, 1), (256, 3, 4, 4, 1), (256, 3, 0, 4, 1), (255, 5, 2, 1, 2), (256, 7, 3, 1, 2),
])  # fmt: skip
def test_a_dilated_convolution_leaves_what_equation_3_says(size, kernel, padding, dilation, stride):
    layer = torch.nn.Conv2d(1, 1, kernel, stride=stride, padding=padding, dilation=dilation)
    expected = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    assert layer(torch.zeros(1, 1, size, size)).shape[-1] == expected


@pytest.mark.parametrize("rate", [1, 2, 4])
def test_a_dilated_block_keeps_the_size_and_reaches_as_far_as_its_rate(rate):
    block = DilatedBlock(1, 4, rate, 1).eval()
    image = torch.zeros(1, 1, 33, 33)
    dot = image.clone()
    dot[0, 0, 16, 16] = 1
    changed = (block(dot, 0) != block(image, 0)).any(dim=1)[0]
    rows = changed.any(dim=1).nonzero()
    assert block(image, 0).shape == (1, 4, 33, 33)
    assert (rows.min().item(), rows.max().item()) == (16 - 2 * rate, 16 + 2 * rate)


def test_every_branch_of_the_inception_block_halves_the_resolution():
    assert [tuple(branch(torch.zeros(1, 3, 32, 48)).shape) for branch in InceptionBlock(3, 4).branches] == [
        (1, 4, 16, 24)
    ] * 5


def test_a_state_follows_equation_5_by_hand():
    inner = torch.nn.Identity()
    block = RecurrentBlock(inner, 1, 2, 1).eval()
    torch.nn.init.constant_(block.recurrent.weight, 0.5)
    torch.nn.init.constant_(block.slope.weight, 0.1)
    one = torch.ones(1, 1, 1, 1)
    first = block(one, None, 0)
    second = block(-3 * one, first, 1)
    norm = 1 / (1 + block.norm.norms[0].eps) ** 0.5
    assert first.item() == pytest.approx(norm)
    assert second.item() == pytest.approx(0.1 * (-3 + 0.5 * norm) * norm)


def test_without_recurrence_there_is_one_step_and_no_recurrent_weight():
    network = build(replace(TINY, recurrence=0))
    assert not [name for name, _ in network.named_parameters() if "recurrent" in name]
    assert build(replace(TINY, recurrence=0, weights="unshared")).state_dict().keys() == network.state_dict().keys()


def test_more_steps_change_the_answer_and_share_the_weights():
    image = torch.rand(1, 2, 32, 32)
    one, three = build(replace(TINY, recurrence=1)), build(replace(TINY, recurrence=3))
    shared = {name: value for name, value in one.state_dict().items() if "norms" not in name}
    assert all(torch.equal(three.state_dict()[name], value) for name, value in shared.items())
    assert not torch.allclose(one(image)[0], three(image)[0])


def test_only_norms_grow_with_shared_steps_and_everything_with_unshared_ones():
    shared = [parameters(replace(TINY, recurrence=t)) for t in (1, 2, 3)]
    unshared = [parameters(replace(TINY, recurrence=t, weights="unshared")) for t in (1, 2, 3)]
    convolutions = [
        sum(p.numel() for n, p in build(replace(TINY, recurrence=t)).named_parameters() if "norm" not in n)
        for t in (1, 2, 3)
    ]
    assert len(set(convolutions)) == 1
    assert shared[1] - shared[0] == shared[2] - shared[1] < 0.1 * shared[0]
    assert unshared[1] - unshared[0] == unshared[2] - unshared[1] > 0.5 * shared[0]


def test_a_step_uses_its_own_statistics():
    norm = StepNorm(1, 2).train()
    norm(torch.full((1, 1, 2, 2), 5.0), 1)
    assert norm.norms[0].running_mean.item() == 0
    assert norm.norms[1].running_mean.item() > 0
    assert StepNorm(1, 1)(torch.zeros(1, 1, 2, 2), 3).shape == (1, 1, 2, 2)


def test_views_by_themselves_do_not_see_each_other():
    network = build()
    image = torch.rand(2, 2, 32, 32)
    changed = image.clone()
    changed[:, 1] = 0
    assert torch.equal(network(image)[0][:, 0], network(changed)[0][:, 0])
    swapped = network(image.flip(1))[0].flip(1)
    assert torch.allclose(network(image)[0], swapped, atol=1e-5)


@pytest.mark.parametrize("aggregation", ["image", "feature"])
def test_views_added_have_one_answer_that_does_not_depend_on_their_order(aggregation):
    network = build(replace(TINY, aggregation=aggregation))
    image = torch.rand(2, 2, 32, 32)
    answer = network(image)[0]
    assert answer.shape == (2, 2, 32, 32)
    assert torch.equal(answer[:, 0], answer[:, 1])
    assert torch.allclose(answer, network(image.flip(1))[0], atol=1e-5)
    changed = image.clone()
    changed[:, 1] = 0
    assert not torch.allclose(answer, network(changed)[0])
    alone = network(image[:1])[0]
    assert torch.allclose(answer[:1], alone, atol=1e-5)  # patients are not mixed


def test_views_are_added_as_counts():
    # Normalised counts are square roots: 3 and 4 stand for 9 and 16 counts, their mean is 12.5.
    pair = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    assert add_views(pair).item() == pytest.approx(12.5**0.5)
    assert add_views(torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1)).item() == pytest.approx(3.0)
    assert add_views(torch.zeros(1, 2, 4, 4)).abs().max().item() == 0


STRUCTURES = [
    {"dilated": d, "inception": i, "pool_after": p} for d, i, p in product((True, False), (True, False), (1, 3))
]


@pytest.mark.parametrize(
    "changes", [*STRUCTURES, {"aggregation": "image"}, {"aggregation": "feature"}, {"weights": "unshared"}]
)
def test_every_structure_trains_all_of_its_weights(changes):
    network = build(replace(TINY, recurrence=1, **changes)).train()
    network(torch.rand(2, 2, 32, 64))[0].square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_an_untrained_network_calls_brighter_pixels_likelier():
    image = torch.zeros(1, 2, 32, 32)
    image[..., 8:16, 8:16] = 3.0
    lesion = build()(image)[0]
    assert lesion[..., 10:14, 10:14].mean() > lesion[..., 20:, 20:].mean() + 1


@pytest.mark.parametrize(
    "changes", [{"recurrence": 9}, {"channels": 0}, {"rates": ()}, {"lesion_prior": 1.0}, {"pool_after": 4}]
)
def test_impossible_structures_are_refused(changes):
    with pytest.raises(ValueError, match=r"give|from 1|probability"):
        replace(TINY, **changes)


def test_the_cost_by_hand():
    block = DilatedBlock(1, 4, 2, 1)

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = block

        def forward(self, pair):
            return self.block(pair[:, :1], 0), None

    cost = network_cost(Wrapped(), (8, 16))
    # 3x3 from 1 to 4, 3x3 from 4 to 4, 1x1 from 1 to 4, at 8 x 16 pixels.
    assert cost.multiply_adds == (9 * 4 + 9 * 4 * 4 + 4) * 128
    # Weights, one bias, two norms of scale and shift, two slopes.
    assert cost.parameters == 36 + 144 + 4 + 4 + 2 * 8 + 2 * 4


def test_shared_layers_are_counted_as_often_as_they_run():
    cost = network_cost(build(), (32, 32))
    runs = {layer.name: layer.runs for layer in cost.layers}
    assert runs["features.0.stack.0.inner.first"] == 1  # the picture is the same at every step
    assert runs["features.0.stack.1.inner.first"] == 4
    assert runs["features.0.stack.1.recurrent"] == 3
    assert cost.parameters == parameters(TINY)


@pytest.mark.parametrize("name", ["lin2022", "plain-unet"])
def test_a_view_that_is_not_there_leaves_no_trace_in_learning(name):
    from bonescan.models import MODELS

    kind, make = MODELS[name]
    config = TINY if name == "lin2022" else kind(widths=(4, 8))
    image = torch.rand(3, 2, 32, 32)
    image[1, 1] = 0
    torch.manual_seed(0)
    network = make(config).train()
    answer = network(image)[0]
    statistics = {key: value for key, value in network.state_dict().items() if "running" in key}
    assert answer[1, 1].abs().max() == 0
    answer.sum().backward()
    torch.manual_seed(0)
    alone = make(config).train()
    views = torch.stack([image[0, 0], image[0, 1], image[1, 0], image[2, 0], image[2, 1]])[:, None]
    alone._logits(views) if name == "plain-unet" else alone._logits(views, None)
    expected = alone.state_dict()
    assert all(torch.allclose(value, expected[key]) for key, value in statistics.items())


def test_features_of_a_view_that_is_not_there_are_not_added():
    network = build(replace(TINY, aggregation="feature"))
    one = torch.rand(1, 2, 32, 32)
    one[:, 1] = 0
    twice = one.clone()
    twice[:, 1] = one[:, 0]  # the mean of a view and itself is the view
    assert torch.allclose(network(one)[0], network(twice)[0], atol=1e-5)


def test_bfloat16_is_never_used_where_it_breaks(monkeypatch):
    from bonescan.models import MODELS
    from bonescan.train import inference
    from bonescan.train.config import TrainConfig
    from bonescan.train.inference import autocast

    monkeypatch.setattr(inference, "_processor_has_bfloat16", lambda: True)

    with autocast(build(), TrainConfig(bf16=True)):
        assert build()(torch.rand(1, 2, 32, 32))[0].dtype == torch.float32
    kind, make = MODELS["plain-unet"]
    with autocast(unet := make(kind(widths=(4, 8))), TrainConfig(bf16=True)):
        assert unet(torch.rand(1, 2, 32, 32))[0].dtype == torch.bfloat16
