"""Losses against values computed by hand, and against what they are for."""

import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from bonescan.models import Answer  # noqa: E402
from bonescan.models.unet import compete  # noqa: E402
from bonescan.train.config import LossConfig, TrainConfig  # noqa: E402
from bonescan.train.methods import (  # noqa: E402
    BESIDE_LESIONS,
    ON_BENIGN,
    dice_loss,
    pixel_loss,
    region_loss,
    supervised,
)
from bonescan.train.stream import Batch, lesion_weights  # noqa: E402


def supervised_loss(lesion, region, batch, config, benign=None, level=None):
    return supervised(Answer(lesion, region, benign, level), batch, TrainConfig(loss=config))


def test_dice_by_hand():
    probability = torch.tensor([[0.5, 1.0], [0.0, 0.0]])
    target = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    # common 1.5, either 1.5 + 3 = 4.5: 1 - (3 + 1) / (4.5 + 1)
    assert dice_loss(probability, target, torch.ones(2, 2)).item() == pytest.approx(1 - 4 / 5.5)


def test_dice_leaves_out_what_weighs_nothing():
    target = torch.tensor([1.0, 1.0])
    assert dice_loss(torch.tensor([1.0, 0.0]), target, torch.tensor([1.0, 0.0])).item() == pytest.approx(0.0)


def test_pixel_loss_by_hand():
    logits, target = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0])
    # Both cost log 2; the lesion pixel weighs 3; two pixels count.
    expected = 100 * (3 + 1) * math.log(2) / 2
    assert pixel_loss(logits, target, torch.tensor([3.0, 1.0]), 100.0).item() == pytest.approx(expected)


def test_pixel_loss_of_nothing_known_is_zero():
    assert pixel_loss(torch.ones(4), torch.ones(4), torch.zeros(4), 100.0).item() == 0.0


def test_region_loss_by_hand():
    logits = torch.zeros(1, 1, 2, 1, 3)  # two regions, three pixels: background, bone, unknown
    target = torch.tensor([[[[0, 1, -1]]]])
    # A flat guess costs log 2 on each known pixel.
    assert region_loss(logits, target).item() == pytest.approx(math.log(2))
    certain = logits.clone()
    certain[0, 0, 0] = 50.0  # says background everywhere: right on one pixel, wrong by 50 on the other
    assert region_loss(certain, target).item() == pytest.approx(50.0 / 2)


def test_the_bones_of_lesions_are_learned_on_lesions_and_a_little_on_benign_uptake():
    quiet, bones = torch.full((1, 2, 8, 8), -8.0), torch.zeros(1, 2, 17, 2, 2)
    bones[0, 0, 3, 1, 0] = 9.0  # wrong by 9 at one of eight places, which is row 6, column 0 of the image
    lesion, benign, weight = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8), torch.ones(1, 2, 8, 8)
    target, present = torch.ones(1, 2, 2, 2, dtype=torch.int64), torch.ones(1, 2, dtype=torch.bool)

    def loss(**answered: torch.Tensor) -> float:
        batch = Batch(quiet, lesion, weight, target, (1, 0), present, benign, torch.ones_like(benign), target)
        (name,) = answered
        answer = Answer(quiet, None)._replace(**answered)
        return supervised(answer, batch, TrainConfig())[name].item()

    flat, wrong = math.log(17), math.log(16 + math.exp(9.0))

    def expected(here: float) -> object:
        """The loss where the pixel that is wrong weighs this much more; weights below 1 in all are no mean."""
        total = 7 * BESIDE_LESIONS * flat + (BESIDE_LESIONS + here) * wrong
        return pytest.approx(total / max(8 * BESIDE_LESIONS + here, 1), rel=1e-4)

    assert loss(lesion_region=bones) == expected(0)
    for hot, here in ((benign, ON_BENIGN), (lesion, 1.0)):
        hot[0, 0, 6, 0] = 1.0
        assert loss(lesion_region=bones) == expected(here)
        assert loss(lesion_level=bones) == expected(here)
        assert loss(region=bones) == pytest.approx((7 * flat + wrong) / 8, rel=1e-4)
        hot[0, 0, 6, 0] = 0.0
    lesion[0, 0, 6, 0], weight[0, 0, 6, 0] = 1.0, 3.0  # a small lesion weighs as in the lesion loss
    assert loss(lesion_region=bones) == expected(3.0)
    lesion[0, 0, 6, 0], lesion[0, 0, 4, 0] = 0.0, 1.0  # a pixel at which there is no region
    assert loss(lesion_region=bones) == expected(0)


def test_region_loss_of_nothing_known_is_zero():
    assert region_loss(torch.randn(1, 2, 3, 4, 4), torch.full((1, 2, 4, 4), -1)).item() == 0.0


def test_regions_that_a_network_has_no_logit_for_are_unknown_to_it():
    logits = torch.randn(1, 1, 2, 1, 3)
    known = region_loss(logits, torch.tensor([[[[0, 1, -1]]]]))
    assert region_loss(logits, torch.tensor([[[[0, 1, 2]]]])).item() == pytest.approx(known.item())


def empty_batch() -> Batch:
    nothing = torch.zeros(2, 2, 32, 32)
    regions, present = torch.zeros(2, 2, 8, 8, dtype=torch.int64), torch.ones(2, 2, dtype=torch.bool)
    return Batch(nothing, nothing, torch.ones_like(nothing), regions, (0, 0), present)


def test_a_false_lesion_on_an_empty_scan_costs_something():
    batch, regions = empty_batch(), torch.zeros(2, 2, 17, 16, 16)
    quiet = torch.full((2, 2, 32, 32), -8.0)
    false = quiet.clone()
    false[0, 0, 10:13, 10:13] = 6.0
    config = LossConfig()
    before, after = (supervised_loss(logits, regions, batch, config)["total"].item() for logits in (quiet, false))
    assert after - before > 1.0


def test_the_gradient_on_an_empty_scan_lowers_a_false_lesion():
    logits = torch.full((2, 2, 32, 32), -8.0)
    logits[0, 0, 10:13, 10:13] = 6.0
    logits.requires_grad_()
    supervised_loss(logits, torch.zeros(2, 2, 17, 16, 16), empty_batch(), LossConfig())["total"].backward()
    assert (logits.grad[0, 0, 10:13, 10:13] > 0.01).all()


def test_the_phase_picks_the_region_pixels():
    batch = empty_batch()
    logits = torch.zeros(2, 2, 17, 16, 16)
    logits[..., 1::2, 0::2] = torch.nn.functional.one_hot(torch.tensor(0), 17)[:, None, None] * 30.0
    shifted = Batch(batch.image, batch.lesion, batch.weight, batch.region, (1, 0), batch.present)
    quiet = torch.full((2, 2, 32, 32), -8.0)
    assert supervised_loss(quiet, logits, shifted, LossConfig())["region"].item() == pytest.approx(0.0, abs=1e-6)
    assert supervised_loss(quiet, logits, batch, LossConfig())["region"].item() == pytest.approx(math.log(17), rel=1e-4)


def test_small_lesions_weigh_more_a_pixel():
    import numpy as np

    lesions = np.zeros((20, 20), dtype=np.uint8)
    lesions[0, :15] = 1  # 15 pixels: the root of 60 / 15
    lesions[2:14, :20] = 2  # 240 pixels: the root of 60 / 240 is a half, below the least weight
    lesions[15, 0] = 3  # 1 pixel: the root of 60 is above the largest weight
    weights = lesion_weights(lesions, LossConfig(reference_area_px=60.0, least_weight=0.6, most_weight=4.0))
    assert weights[0, 0] == pytest.approx(2.0)
    assert weights[5, 5] == pytest.approx(0.6)
    assert weights[15, 0] == pytest.approx(4.0)
    assert weights[19, 19] == 1.0


def test_benign_uptake_and_levels_cost_what_they_weigh():
    batch, config = empty_batch(), LossConfig()
    benign = torch.zeros(2, 2, 32, 32)
    benign[0, 0, :4, :4] = 1.0
    level = torch.full((2, 2, 8, 8), -1)
    level[0, 0, 0, 0] = 9
    known = replace(batch, benign=benign, benign_weight=torch.ones_like(benign), level=level)
    quiet = torch.full((2, 2, 32, 32), -8.0)
    said, levels = torch.where(benign > 0, 8.0, -8.0), torch.zeros(2, 2, 37, 16, 16)
    without = supervised_loss(quiet, None, batch, config, quiet, levels)
    assert "benign" not in without
    assert "level" not in without
    missed = supervised_loss(quiet, None, known, config, quiet, levels)
    found = supervised_loss(quiet, None, known, config, said, levels)
    assert missed["benign"] > 10 * found["benign"]
    assert missed["level"].item() == pytest.approx(math.log(37), rel=1e-4)
    parts = config.dice * missed["dice"] + config.pixel * missed["pixel"]
    expected = parts + config.benign * missed["benign"] + config.level * missed["level"]
    assert missed["total"].item() == pytest.approx(expected.item())


def test_a_benign_finding_that_is_called_lesion_costs_more_than_one_that_is_left_alone():
    lesion_score = torch.full((2, 2, 32, 32), -8.0)
    target = torch.zeros_like(lesion_score)
    target[0, 0, :4, :4] = 1.0
    batch = replace(empty_batch(), benign=target, benign_weight=torch.ones_like(target))
    score = torch.where(target > 0, 4.0, -8.0)

    def loss(lesion: torch.Tensor, benign: torch.Tensor) -> float:
        one, other = compete(lesion, benign)
        return supervised_loss(one, None, batch, LossConfig(), other)["total"].item()

    assert loss(lesion_score, score) < loss(lesion_score, lesion_score) < loss(score, lesion_score)


def test_saying_benign_lowers_the_loss_of_a_doubtful_lesion():
    """What competes: where nothing is a lesion, a higher benign score alone makes the lesion loss fall."""
    lesion = torch.full((2, 2, 32, 32), 1.0)
    low, high = (compete(lesion, torch.full_like(lesion, score))[0] for score in (-4.0, 4.0))
    batch = empty_batch()
    assert (
        supervised_loss(high, None, batch, LossConfig())["pixel"]
        < supervised_loss(low, None, batch, LossConfig())["pixel"]
    )
