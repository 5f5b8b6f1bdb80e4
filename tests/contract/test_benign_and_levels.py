"""Benign uptake as a class that competes, levels of spine and ribs, and bundles of both formats."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from bonescan.bundle import Bundle, write_bundle  # noqa: E402
from bonescan.errors import BundleError, OptionError  # noqa: E402
from bonescan.lesions.delineate import Thresholds  # noqa: E402
from bonescan.models import (  # noqa: E402
    Answer,
    UNetConfig,
    answer_of,
    build_unet,
    from_bundle,
    likeliest,
)
from bonescan.models.cost import network_cost  # noqa: E402
from bonescan.models.registry import take_weights  # noqa: E402
from bonescan.models.unet import UNet, compete  # noqa: E402
from bonescan.models.views import HOT, levels_within  # noqa: E402
from bonescan.predict import Predictor  # noqa: E402
from bonescan.prepare import Normalisation, prepare  # noqa: E402
from bonescan.study import LEVELS, REGIONS, Region, Scan, Study, View  # noqa: E402
from bonescan.train.export import network_values, to_onnx  # noqa: E402
from bonescan.train.stream import _classes  # noqa: E402

TINY = {"widths": (8, 8, 8, 8, 8), "decoder_widths": (8, 8, 8, 8), "full_width": 4}


def unet(seed: int = 0, **fields: object) -> UNet:
    torch.manual_seed(seed)
    network = build_unet(UNetConfig(**TINY, **fields))
    with torch.no_grad():
        for _ in range(3):  # running statistics of their own
            network(torch.rand(2, 2, 64, 64) * 3)
        heads = [network.lesion_head, network.benign_head, network.region_head, network.level_head]
        if network.lesion_bones is not None:
            heads += [network.lesion_bones.region, network.lesion_bones.level]
        for head in filter(None, heads):
            torch.nn.init.normal_(head.weight, std=2.0)
    return network.eval()


def bundle_of(network: UNet, folder, config: dict | None = None) -> Bundle:
    description = {
        "name": "made",
        "network": {"name": "unet", "config": network_values(network) if config is None else config},
        "normalisation": Normalisation().to_dict(),
        "thresholds": Thresholds().to_dict(),
    }
    weights = save({name: value.contiguous() for name, value in network.state_dict().items()})
    return write_bundle(
        folder / "made", description, {"model.onnx": to_onnx(network), "model.safetensors": weights, "card.md": b""}
    )


@pytest.mark.parametrize("heads", [{}, {"benign": True}, {"benign": True, "levels": True, "lesion_bones": True}])
def test_the_cost_is_that_of_all_convolutions_of_joined_heads_too(heads):
    network = unet(**heads)
    cost = network_cost(network, (64, 96))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 2, 64, 96))
    assert cost.multiply_adds == counter.get_total_flops() / 2
    assert all(layer.runs == 1 for layer in cost.layers)
    full = {layer.name: layer for layer in cost.layers if layer.name in ("lesion_head", "benign_head")}
    assert len(full) == 1 + ("benign" in heads)
    for layer in full.values():  # 3 x 3 from 4 channels to the two views
        assert (layer.shape, layer.multiply_adds) == ((1, 2, 64, 96), 9 * 4 * 2 * 64 * 96)


def test_lesion_and_benign_share_one_softmax():
    lesion, benign = torch.tensor([2.0, -3.0, 60.0]), torch.tensor([1.0, 4.0, -60.0])
    softmax = torch.softmax(torch.stack([lesion, benign, torch.zeros(3)]), dim=0)
    one, other = compete(lesion, benign)
    torch.testing.assert_close(torch.sigmoid(one), softmax[0])
    torch.testing.assert_close(torch.sigmoid(other), softmax[1])


def test_more_benign_is_less_lesion():
    lesion = torch.full((3,), 1.5)
    probability = torch.sigmoid(compete(lesion, torch.tensor([-5.0, 0.0, 5.0]))[0])
    assert (probability.diff() < 0).all()
    assert probability[2] < 0.05


@torch.no_grad()
@pytest.mark.parametrize(("benign", "levels"), [(True, True), (True, False), (False, True)])
def test_what_is_configured_is_returned(benign, levels):
    answer = unet(benign=benign, levels=levels)(torch.rand(1, 2, 64, 96))
    assert isinstance(answer, Answer)
    assert answer.lesion.shape == (1, 2, 64, 96)
    assert answer.region.shape == (1, 2, len(REGIONS), 32, 48)
    assert (answer.benign is not None) == benign
    assert (answer.level is not None) == levels
    if benign:
        assert answer.benign.shape == answer.lesion.shape
    if levels:
        assert answer.level.shape == (1, 2, len(LEVELS), 32, 48)


@torch.no_grad()
def test_logits_at_a_phase_are_those_of_all_places():
    network, image = unet(benign=True, levels=True, lesion_bones=True), torch.rand(1, 2, 64, 96)
    everywhere, there = network(image), network(image, phase=(1, 0))
    torch.testing.assert_close(there.lesion_region, everywhere.lesion_region)
    torch.testing.assert_close(there.region, everywhere.region[..., 1::2, ::2])
    torch.testing.assert_close(there.level, everywhere.level[..., 1::2, ::2])
    torch.testing.assert_close(there.lesion, everywhere.lesion)


@torch.no_grad()
def test_without_them_the_answer_is_what_it_was():
    outputs = unet()(torch.rand(1, 2, 64, 64))
    assert len(outputs) == 2
    assert answer_of(outputs).benign is None


@torch.no_grad()
def test_the_untrained_network_states_both_priors():
    torch.manual_seed(0)
    answer = build_unet(UNetConfig(benign=True)).eval()(torch.zeros(1, 2, 64, 64))
    assert torch.sigmoid(answer.lesion).mean().item() == pytest.approx(UNetConfig().lesion_prior, rel=0.2)
    assert torch.sigmoid(answer.benign).mean().item() == pytest.approx(UNetConfig().benign_prior, rel=0.2)


def test_levels_are_those_of_the_region():
    logits = torch.zeros(1, 1, len(LEVELS), 1, 5)
    logits[:, :, LEVELS.index("rib 4")] = 2.0
    logits[:, :, LEVELS.index("T9")] = 1.0
    logits[:, :, LEVELS.index("C3")] = 0.5
    names = (Region.RIBS, Region.THORACIC_SPINE, Region.CERVICAL_SPINE, Region.FEMUR, Region.BACKGROUND)
    regions = torch.tensor([[[[REGIONS.index(name) for name in names]]]], dtype=torch.uint8)
    numbers = levels_within(logits, regions.repeat_interleave(2, 2).repeat_interleave(2, 3))[0, 0, 0, ::2].tolist()
    assert [LEVELS[number] for number in numbers] == ["rib 4", "T9", "C3", "", ""]


def test_regions_between_the_pixels_that_a_network_answers_for_are_those_of_the_mean_of_their_neighbours():
    # Two regions, by the sign of their logits' difference.
    known = torch.tensor([[5.0, 5.0, -1.0], [3.0, -4.0, -1.0]])
    numbers = likeliest(torch.stack([known, torch.zeros(2, 3)])[None, None])
    assert numbers.dtype == torch.uint8
    assert numbers[0, 0].tolist() == [
        [0, 0, 0, 0, 1, 1],
        [0, 0, 0, 1, 1, 1],
        [0, 1, 1, 1, 1, 1],
        [0, 1, 1, 1, 1, 1],
    ]


def test_a_training_teaches_the_pixels_that_a_bundle_tells():
    plane = np.random.default_rng(0).integers(0, 5, (1, 16, 24), dtype=np.uint8)
    # As a step on one phase gives it: every second of what the network answers for.
    taught = _classes([(np.repeat(plane, 2, axis=0), (True, True))], (1, 0))
    logits = torch.nn.functional.one_hot(torch.from_numpy(plane[:, ::2, ::2].astype(np.int64)), 5).permute(0, 3, 1, 2)
    told = likeliest(logits[:, None].repeat(1, 2, 1, 1, 1).float())
    assert torch.equal(told[:, :, 2::4, ::4].long(), taught)


@torch.no_grad()
def test_a_bundle_gives_all_maps_and_its_network_back(tmp_path):
    network = unet(benign=True, levels=True)
    bundle = bundle_of(network, tmp_path)
    image = np.random.default_rng(0).random((2, 64, 96), dtype=np.float32) * 3
    maps = Predictor(bundle, threads=1).predict_maps(image)
    answer = network(torch.from_numpy(image)[None])
    np.testing.assert_allclose(maps.lesion, torch.sigmoid(answer.lesion)[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(maps.benign, torch.sigmoid(answer.benign)[0].numpy(), atol=1e-4)
    assert (maps.lesion + maps.benign).max() <= 1.0 + 1e-5
    regions = likeliest(answer.region)
    levels = levels_within(answer.level, regions)
    assert len(np.unique(maps.level)) > 2
    for told, expected in ((maps.region, regions), (maps.level, levels)):
        assert (told == expected[0].numpy()).mean() > 0.999
    # The network answers for every second row and column.
    assert torch.equal(regions[:, :, ::2, ::2], answer.region.argmax(dim=2).to(torch.uint8))
    again = from_bundle(bundle)
    assert not again.training
    assert torch.equal(again(torch.from_numpy(image)[None]).benign, answer.benign)


def test_a_prediction_has_the_maps_in_the_frames(tmp_path):
    bundle = bundle_of(unet(benign=True, levels=True), tmp_path)
    counts = np.random.default_rng(1).poisson(5.0, (100, 60))
    study = Study("s", {View.POSTERIOR: Scan(View.POSTERIOR, counts)})
    prepared = prepare(study)
    prediction = Predictor(bundle, threads=1).predict(prepared)
    assert prediction.benign.keys() == prediction.level.keys() == {View.POSTERIOR}
    maps = Predictor(bundle, threads=1).predict_maps(prepared.network_input)
    np.testing.assert_array_equal(prediction.benign[View.POSTERIOR], maps.benign[1, :100, :60][:, ::-1])
    np.testing.assert_array_equal(prediction.level[View.POSTERIOR], maps.level[1, :100, :60][:, ::-1])


def test_the_network_does_not_run_on_the_air_above_and_below_the_body(tmp_path):
    bundle = bundle_of(unet(benign=True, levels=True), tmp_path)
    counts = np.zeros((500, 60))
    counts[210:290, 5:55] = np.random.default_rng(1).poisson(5.0, (80, 50))
    study = Study("s", {view: Scan(view, counts) for view in View})
    prepared = prepare(study)
    # The body with 32 rows on either side, from and to multiples of 32.
    assert prepared.rows == slice(160, 352)
    predictor = Predictor(bundle, threads=1)
    level, maps = predictor.predict(prepared).level, predictor.predict_maps(prepared.network_input[:, 160:352])
    np.testing.assert_array_equal(level[View.ANTERIOR][160:352], maps.level[0, :, :60])
    assert not level[View.ANTERIOR][:160].any()
    assert not level[View.ANTERIOR][352:].any()
    assert prepare(replace(study, scans={View.ANTERIOR: Scan(View.ANTERIOR, 0 * counts)})).rows == slice(0, 512)
    # The legs of a superscan are no air.
    counts[100:230, 5:55], counts[230:470, 20:40] = 200, 8
    assert prepare(replace(study, scans={View.ANTERIOR: Scan(View.ANTERIOR, counts)})).rows == slice(64, 512)


@torch.no_grad()
def test_where_it_is_hot_a_bundle_tells_the_bones_of_lesions(tmp_path):
    network = unet(benign=True, levels=True, lesion_bones=True)
    image = np.random.default_rng(0).random((2, 64, 96), dtype=np.float32) * 3
    maps = Predictor(bundle_of(network, tmp_path), threads=1).predict_maps(image)
    answer = network(torch.from_numpy(image)[None])
    own, beside = answer.lesion_region.argmax(dim=2).to(torch.uint8), likeliest(answer.region)
    assert answer.lesion_region.shape == (1, 2, len(REGIONS), 16, 24)
    own = own.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    levels = levels_within(answer.lesion_level, own, 4), levels_within(answer.level, beside)
    hot = maps.lesion + maps.benign > HOT
    assert 0.05 < hot.mean() < 0.95
    for told, (there, elsewhere) in ((maps.region, (own, beside)), (maps.level, levels)):
        assert (told == np.where(hot, there[0].numpy(), elsewhere[0].numpy())).mean() > 0.999


def test_the_bones_of_lesions_teach_the_other_layers_nothing():
    network = unet(benign=True, levels=True, lesion_bones=True).train()
    answer = network(torch.rand(2, 2, 64, 64))
    (answer.lesion_region.square().sum() + answer.lesion_level.square().sum()).backward()
    taught = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert taught == {name for name, _ in network.named_parameters() if name.startswith("lesion_bones")}


def test_bones_of_lesions_need_three_levels_of_the_decoder():
    with pytest.raises(ValueError, match="lesion_bones needs a decoder of three levels or more"):
        UNetConfig(widths=(8, 8, 8), decoder_widths=(8, 8), lesion_bones=True)


def test_gradients_reach_every_parameter():
    network = unet(benign=True, levels=True, lesion_bones=True).train()
    answer = network(torch.rand(2, 2, 64, 64), phase=(0, 1))
    sum(part.square().sum() for part in answer).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@torch.no_grad()
def test_a_bundle_of_the_first_format_is_read_as_what_it_was(tmp_path):
    network = unet(regions=17)
    stated = {key: list(value) if isinstance(value, tuple) else value for key, value in TINY.items()}
    bundle = bundle_of(network, tmp_path, stated)
    maps = Predictor(bundle, threads=1).predict_maps(np.ones((2, 64, 64), dtype=np.float32))
    assert maps.benign is None
    assert maps.level is None
    again = from_bundle(bundle)
    assert again.config.regions == 17
    image = torch.rand(1, 2, 64, 64)
    assert torch.equal(again(image)[0], network(image)[0])


def test_a_network_that_is_not_known_or_does_not_fit_is_refused(rewritten, tmp_path):
    made = bundle_of(unet(), tmp_path).folder
    with pytest.raises(BundleError, match="'vnet' that this bonescan does not know"):
        from_bundle(rewritten(made, tmp_path / "a", network={"name": "vnet", "config": {}}))
    with pytest.raises(BundleError, match="do not fit its network"):
        from_bundle(rewritten(made, tmp_path / "b", network={"name": "unet", "config": {}}))


def test_weights_of_other_widths_are_refused_with_a_sentence():
    narrow = build_unet(UNetConfig(widths=(4, 8, 8), decoder_widths=(4, 8)))
    with pytest.raises(OptionError, match="begin_with names a network of other sizes"):
        take_weights(narrow, build_unet(UNetConfig(widths=(8, 8, 8), decoder_widths=(4, 8))))
