"""The semi-supervised loss against values computed by hand, and against a brute-force search for its minimiser."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bonescan.lin2022.chan_vese import (  # noqa: E402
    Images,
    chan_vese,
    intensity_of,
    label_loss,
    length_of,
    unsupervised_loss,
)
from bonescan.lin2022.network import add_views  # noqa: E402
from bonescan.train.config import ChanVeseConfig, ImagesConfig, TrainConfig  # noqa: E402
from bonescan.train.stream import Batch  # noqa: E402

PAPER = ChanVeseConfig()
PLAIN = ChanVeseConfig(nu=0.0)


def image(*values):
    """One image of one row, (1, 1, n)."""
    return torch.tensor([[values]], dtype=torch.float64)


def images(membership, target, weight):
    return Images(image(*membership), image(*(0.0 for _ in membership)), image(*target), image(*weight))


def test_the_two_phase_term_by_hand():
    # c1 = (0.5 * 0.4 + 1 * 1) / 1.5 = 0.8; c2 = (1 * 0 + 0.5 * 0.4) / 1.5 = 0.4 / 3
    c1, c2 = 0.8, 0.2 / 1.5
    energy = [c2**2, 0.5 * (0.4 - c1) ** 2 + 0.5 * (0.4 - c2) ** 2, (1 - c1) ** 2]
    expected = sum(energy) / 3 + 0.004 * 1.5 / 3
    assert unsupervised_loss(image(0, 0.5, 1), image(0, 0.4, 1), PAPER).item() == pytest.approx(expected)


def test_means_belong_to_each_image():
    dim, bright = image(0.1, 0.1, 0.3, 0.3), image(0.7, 0.7, 1.0, 1.0)
    membership = image(0, 0, 1, 1)
    both = unsupervised_loss(torch.cat([membership] * 2), torch.cat([dim, bright]), PLAIN)
    assert both.item() == pytest.approx(0.0, abs=1e-12)
    ancestor = unsupervised_loss(torch.cat([membership] * 2), torch.cat([dim, bright]), replace(PLAIN, ancestor=True))
    assert ancestor.item() == pytest.approx(np.mean([0.3**2, 0.35**2]), rel=1e-6)


def test_the_ancestor_divides_by_pixels_that_are_not_zero():
    # inner = (0.5 * 1) / 1 pixel, where the mean proper is 1; outer = (0.5 * 1 + 0) / 2 pixels.
    expected = (0.5 * 0.5**2 + 0.5 * 0.75**2 + 0.25**2) / 2
    loss = unsupervised_loss(image(0, 0.5), image(0, 1), replace(PLAIN, ancestor=True))
    assert loss.item() == pytest.approx(expected)


def test_the_ancestor_takes_one_mean_of_the_whole_batch():
    # Inside: 0.5 * 1 over 1 pixel, of both images; outside: (0.5 * 1 + 1 * 0.2 + 1 * 0.4 + 1 * 0.8) over 4 pixels.
    membership, g = torch.cat([image(0.5, 0), image(0, 0)]), torch.cat([image(1, 0.2), image(0.4, 0.8)])
    inner, outer = 0.5, 1.9 / 4
    energy = [0.5 * (1 - inner) ** 2 + 0.5 * (1 - outer) ** 2, *((v - outer) ** 2 for v in (0.2, 0.4, 0.8))]
    loss = unsupervised_loss(membership, g, replace(PLAIN, ancestor=True))
    assert loss.item() == pytest.approx(sum(energy) / 4)


def test_an_ancestor_with_nothing_inside_or_outside_has_a_mean_of_zero_there():
    config = replace(PLAIN, ancestor=True)
    assert unsupervised_loss(image(0, 0), image(0.2, 0.6), config).item() == pytest.approx(0.2**2)
    assert unsupervised_loss(image(1, 1), image(0.2, 0.6), config).item() == pytest.approx(0.2**2)
    one_each = unsupervised_loss(image(1, 0), image(0.2, 0.6), config)
    assert one_each.item() == pytest.approx(0.0, abs=1e-12)


def test_the_term_of_three_classes_by_hand():
    # Inside: (0.5 * 0.6 + 1) / 1.5. Outside: dark = (0 + 0.1) / 2; bone = (0.4 + 0.5 * 0.6) / 1.5.
    inner, dark, bone = 1.3 / 1.5, 0.05, 0.7 / 1.5
    energy = [dark**2, (0.1 - dark) ** 2, (0.4 - bone) ** 2, (1 - inner) ** 2]
    energy += [0.5 * (0.6 - inner) ** 2 + 0.5 * (0.6 - bone) ** 2]
    loss = unsupervised_loss(image(0, 0, 0, 0.5, 1), image(0, 0.1, 0.4, 0.6, 1), replace(PLAIN, variant="three-class"))
    assert loss.item() == pytest.approx(sum(energy) / 5)


def test_outside_a_pixel_is_bone_where_it_is_nearer_to_the_upper_mean_and_dark_halfway():
    config = replace(PLAIN, variant="three-class")
    nowhere = [0.0] * 5
    # 0.4 is nearer to 0.4 / 3 than to 1.
    energy = 2 * (0.4 / 3) ** 2 + (0.8 / 3) ** 2
    assert unsupervised_loss(image(*nowhere), image(0, 0, 0.4, 1, 1), config).item() == pytest.approx(energy / 5)
    # The first threshold is the mean, 0.5: the pixel of 0.5 is dark, and the means are 1/3 and 1.
    energy = 2 * (1 / 3 - 0.25) ** 2 + (0.5 - 1 / 3) ** 2
    loss = unsupervised_loss(image(*nowhere[:4]), image(0.25, 0.25, 0.5, 1), config)
    assert loss.item() == pytest.approx(energy / 4)


def test_the_means_of_three_classes_and_of_the_fuzzy_term_belong_to_each_image():
    g = torch.cat([image(0.0, 0.1, 0.4, 0.6, 1.0), image(0.05, 0.2, 0.3, 0.9, 0.95)])
    c = torch.cat([image(0.0, 0.0, 0.1, 0.5, 1.0), image(0.2, 0.0, 0.0, 0.7, 0.8)])
    for variant in ("three-class", "fuzzy"):
        config = replace(PLAIN, variant=variant)
        alone = [unsupervised_loss(c[index : index + 1], g[index : index + 1], config).item() for index in (0, 1)]
        assert unsupervised_loss(c, g, config).item() == pytest.approx(np.mean(alone))


@pytest.mark.parametrize("variant", ["two-phase", "three-class", "fuzzy"])
@pytest.mark.parametrize("membership", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("level", [0.0, 0.5])
def test_flat_memberships_and_empty_images_are_finite(variant, membership, level):
    c = torch.full((2, 8, 8), membership, requires_grad=True)
    loss = unsupervised_loss(c, torch.full((2, 8, 8), level), ChanVeseConfig(variant=variant, mu=0.1))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(c.grad).all()


def best_mask(values, config):
    """The binary mask of least energy, by trying all of them; of a mask and its complement, the brighter one."""
    g = image(*values)
    tried = []
    for mask in product((0.0, 1.0), repeat=len(values)):
        if 0 < sum(mask) < len(mask):
            tried.append((unsupervised_loss(image(*mask), g, config).item(), mask))
    least = min(energy for energy, _ in tried)
    ties = [mask for energy, mask in tried if energy < least + 1e-9]
    return max(ties, key=lambda mask: np.dot(mask, values) / sum(mask))


def two_means(values):
    """Thresholding with the least sum of squares within two classes."""
    cuts = sorted(set(values))[1:]

    def within(cut):
        parts = ([v for v in values if v < cut], [v for v in values if v >= cut])
        return sum(np.var(part) * len(part) for part in parts)

    cut = min(cuts, key=within)
    return tuple(float(v >= cut) for v in values)


def three_means(values):
    """The uppermost of the three classes with the least sum of squares within."""
    levels = sorted(set(values))

    def within(cuts):
        parts = np.split(np.sort(values), np.searchsorted(np.sort(values), cuts))
        return sum(np.var(part) * len(part) for part in parts if len(part))

    cuts = min(((a, b) for a in levels[1:] for b in levels if b > a), key=within)
    return tuple(float(v >= cuts[1]) for v in values)


@pytest.mark.parametrize("seed", range(12))
def test_the_minimiser_of_the_unsupervised_term_is_two_means_thresholding(seed):
    rng = np.random.default_rng(seed)
    # Skewed as counts are; distinct, so that there is one best threshold.
    values = np.round(rng.exponential(0.3, 9) + np.arange(9) * 1e-3, 4)
    assert best_mask(values, PLAIN) == two_means(values)


@pytest.mark.parametrize("seed", range(6))
def test_descending_the_term_ends_at_two_means_thresholding(seed):
    values = np.random.default_rng(seed).beta(1, 4, 64)
    g = torch.tensor(values).reshape(1, 8, 8)
    logits = (4 * (g - g.mean())).clone().requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.2)
    for _ in range(400):
        optimiser.zero_grad()
        unsupervised_loss(torch.sigmoid(logits), g, PLAIN).mul(100).backward()
        optimiser.step()
    found = (logits > 0).double().reshape(-1).numpy()
    inside, outside = values[found == 1].mean(), values[found == 0].mean()
    # A fixed point of two-means: every pixel is nearer to its own mean. A sigmoid settles slowly near the middle.
    middle = (inside + outside) / 2
    clear = np.abs(values - middle) > 0.02
    assert clear.sum() > 50
    assert ((values > middle) == (found == 1))[clear].all()


def test_three_classes_leave_the_skeleton_outside():
    background, bone, lesion = [0.02, 0.03, 0.04] * 3, [0.3, 0.32, 0.34], [0.9, 1.0]
    values = np.array(background + bone + lesion)
    skeleton = tuple(float(v > 0.1) for v in values)
    hot = tuple(float(v > 0.5) for v in values)
    assert best_mask(values[6:], replace(PLAIN, variant="three-class")) == hot[6:]
    two, three = (
        {name: unsupervised_loss(image(*mask), image(*values), replace(PLAIN, variant=variant)).item()
         for name, mask in (("skeleton", skeleton), ("hot", hot))}
        for variant in ("two-phase", "three-class")
    )  # fmt: skip
    assert three["hot"] < 0.2 * three["skeleton"]
    assert two["hot"] > 0.2 * two["skeleton"]


@pytest.mark.parametrize("seed", range(6))
def test_the_minimiser_of_three_classes_is_three_means_thresholding(seed):
    rng = np.random.default_rng(seed)
    centres = np.array([0.05, 0.3, 0.9])
    values = np.concatenate([rng.normal(centre, 0.03, 3) for centre in centres]).clip(0)
    assert best_mask(values, replace(PLAIN, variant="three-class")) == three_means(values)


@pytest.mark.parametrize("dark", [0.0, 0.1])
def test_the_fuzzy_term_splits_what_is_outside_at_the_least_cost(dark):
    values, membership = [dark, 0.3, 0.25, 1.0], [0.0, 0.1, 0.2, 0.9]
    inner = np.average(values, weights=np.square(membership))
    outside = 1 - np.array(membership)
    bone = np.average(values[1:], weights=outside[1:])
    total = 0.0
    for g, c in zip(values, membership, strict=True):
        shares = np.linspace(0, 1 - c, 4001)
        split = shares**2 * (g - dark) ** 2 + (1 - c - shares) ** 2 * (g - bone) ** 2
        total += c**2 * (g - inner) ** 2 + split.min()
    loss = unsupervised_loss(image(*membership), image(*values), replace(PLAIN, variant="fuzzy"))
    assert loss.item() == pytest.approx(total / 4, rel=1e-3)


def test_the_label_term_is_the_l1_distance():
    loss = label_loss(images([0.2, 0.7, 0.5], [0, 1, 1], [1, 1, 1]), PAPER)
    assert loss.item() == pytest.approx((0.2 + 0.3 + 0.5) / 3)


def test_a_labelled_lesion_pixel_weighs_as_much_as_stated():
    config = replace(PAPER, lesion_weight=5.0)
    assert label_loss(images([0.2, 0.7, 0.4], [0, 1, 1], [1, 1, 1]), config).item() == pytest.approx(
        (0.2 + 5 * 0.3 + 5 * 0.6) / 3
    )


def test_the_label_term_looks_only_where_there_are_labels():
    assert label_loss(images([0.2, 0.7], [0, 1], [1, 0]), PAPER).item() == pytest.approx(0.2)
    assert label_loss(images([0.2, 0.7], [0, 1], [0, 0]), PAPER).item() == 0.0


def test_the_length_of_a_square():
    square = torch.zeros(1, 16, 16, dtype=torch.float64)
    square[0, 4:8, 4:8] = 1
    # 4 + 4 edges to the left and to the right, as many above and below; one corner counts its two edges as a diagonal.
    expected = (4 + 4 + 4 + 4 - 2 + 2**0.5) / 256
    assert length_of(square).item() == pytest.approx(expected, rel=1e-2)
    assert length_of(torch.ones(1, 16, 16)).item() == pytest.approx(0.0, abs=1e-9)


def test_length_by_hand():
    step = torch.zeros(1, 3, 4, dtype=torch.float64)
    step[0, :, 2:] = 0.6
    assert length_of(step).item() == pytest.approx(3 * 0.6 / 12, rel=2e-3)
    assert length_of(step.mT).item() == pytest.approx(3 * 0.6 / 12, rel=2e-3)
    corner = torch.zeros(1, 2, 2, dtype=torch.float64)
    corner[0, 0, 0] = 1.0  # a diagonal
    assert length_of(corner).item() == pytest.approx(2**0.5 / 4, rel=2e-3)
    assert length_of(torch.full((2, 5, 5), 0.3, dtype=torch.float64)).item() == pytest.approx(0.0, abs=1e-12)


def test_length_is_an_option_of_both_terms():
    c, g = torch.rand(1, 8, 8), torch.rand(1, 8, 8)
    with_mu = unsupervised_loss(c, g, replace(PAPER, mu=0.5)) - unsupervised_loss(c, g, PAPER)
    assert with_mu.item() == pytest.approx(0.5 * length_of(c).item(), rel=1e-4)
    labelled = Images(c, g, (g > 0.5).float(), torch.ones_like(c))
    longer = label_loss(labelled, replace(PAPER, length=0.5)) - label_loss(labelled, PAPER)
    assert longer.item() == pytest.approx(0.5 * length_of(c).item(), rel=1e-4)


def test_length_in_the_label_term_is_that_of_labelled_images():
    c = torch.rand(2, 8, 8)
    weight = torch.ones_like(c)
    weight[1] = 0
    config = replace(PAPER, length=0.5)
    both, one = Images(c, c, c.round(), weight), Images(c[:1], c[:1], c[:1].round(), weight[:1])
    assert label_loss(both, config).item() == pytest.approx(label_loss(one, config).item())
    assert label_loss(replace(both, weight=torch.zeros_like(c)), config).item() == 0.0


@pytest.mark.parametrize("variant", ["two-phase", "three-class", "fuzzy"])
def test_no_image_costs_nothing(variant):
    c = torch.zeros(0, 8, 8, requires_grad=True)
    assert unsupervised_loss(c, c, replace(PAPER, variant=variant, mu=0.1)).item() == 0.0


def test_intensity_is_scaled_image_by_image():
    counts = torch.tensor([[[0.0, 1.0, 2.0]], [[0.0, 2.0, 4.0]], [[0.0, 0.0, 0.0]]])
    expected = torch.tensor([[[0.0, 0.25, 1.0]], [[0.0, 0.25, 1.0]], [[0.0, 0.0, 0.0]]])
    assert torch.allclose(intensity_of(counts, 2.0), expected)
    assert torch.allclose(intensity_of(counts, 1.0), expected.sqrt())


def test_intensity_of_faint_and_of_negative_values_is_finite_and_at_least_zero():
    assert torch.equal(intensity_of(torch.tensor([[[-3.0, 0.5]]]), 1.0), torch.tensor([[[0.0, 1.0]]]))
    assert not intensity_of(torch.full((1, 2, 2), -1.0), 2.0).any()


def batch_of(present, weight=1.0, pairs=2):
    """Pairs of 4 x 3 pixels with counts, and with a lesion in the upper half; all views are labelled."""
    image = torch.rand((pairs, 2, 4, 3), generator=torch.Generator().manual_seed(3)) * 4
    lesion = torch.zeros_like(image)
    lesion[:, :, :2] = 1
    there = torch.tensor(present)
    return Batch(image, lesion, torch.full_like(image, weight), torch.zeros(0), (0, 0), there)


def configured(network=None, **values):
    return TrainConfig(
        method="chan-vese",
        images=ImagesConfig("nowhere"),
        network_config=network or {},
        chan_vese=ChanVeseConfig(**values),
    )


ALL = [[True, True], [True, True]]


def test_the_whole_loss_is_the_unsupervised_term_plus_alpha_times_that_of_the_labels():
    batch = batch_of(ALL)
    logits = torch.linspace(-2, 2, batch.image.numel()).reshape(batch.image.shape)
    config = configured(alpha=0.7, power=1.5, nu=0.1)
    parts = chan_vese((logits, None), batch, config)
    c = torch.sigmoid(logits).flatten(0, 1)
    g = intensity_of(batch.image.flatten(0, 1), 1.5)
    labelled = label_loss(Images(c, g, batch.lesion.flatten(0, 1), torch.ones_like(c)), config.chan_vese)
    assert parts["supervised"].item() == pytest.approx(labelled.item())
    assert parts["unsupervised"].item() == pytest.approx(unsupervised_loss(c, g, config.chan_vese).item())
    total = parts["unsupervised"].item() + 0.7 * parts["supervised"].item()
    assert parts["total"].item() == pytest.approx(total)


def test_without_the_unsupervised_term_the_labels_alone_are_learned():
    batch = batch_of(ALL)
    parts = chan_vese((torch.zeros_like(batch.image), None), batch, configured(alpha=0.7, unsupervised=False))
    assert set(parts) == {"total", "supervised"}
    assert parts["supervised"].item() == pytest.approx(0.5)
    assert parts["total"].item() == pytest.approx(0.35)


def test_all_labelled_pixels_weigh_alike_and_unlabelled_views_nothing():
    batch = batch_of(ALL, weight=0.25)
    logits = torch.where(batch.lesion > 0, 30.0, 0.0)
    supervised = chan_vese((logits, None), batch, configured())["supervised"]
    assert supervised.item() == pytest.approx(0.25)  # 0.5 in the lower half of each view
    batch.weight[:, 1], logits[:, 1] = 0.0, 5.0
    assert chan_vese((logits, None), batch, configured())["supervised"].item() == pytest.approx(0.25)


def test_where_the_views_are_added_only_the_first_answer_and_label_count():
    batch = batch_of([[True, True], [False, True], [False, False]], pairs=3)
    batch.image[1, 0], batch.image[2] = 0.0, 0.0
    logits = torch.linspace(-2, 2, batch.image.numel()).reshape(batch.image.shape)
    config = configured({"aggregation": "image"})
    parts = chan_vese((logits, None), batch, config)
    c, target = torch.sigmoid(logits[:2, 0]), batch.lesion[:2, 0]
    g = intensity_of(add_views(batch.image)[:2, 0], config.chan_vese.power)
    labelled = label_loss(Images(c, g, target, torch.ones_like(c)), config.chan_vese)
    assert parts["supervised"].item() == pytest.approx(labelled.item())
    assert parts["unsupervised"].item() == pytest.approx(unsupervised_loss(c, g, config.chan_vese).item())
    logits[:, 1], batch.lesion[:, 1], batch.weight[:, 1] = 9.0, 1.0, 0.0
    assert chan_vese((logits, None), batch, config)["total"].item() == parts["total"].item()


def test_a_label_outvotes_the_unsupervised_term_on_bone():
    """The slope of l_U at a bone pixel is smaller than alpha, the slope of the label term."""
    g = torch.cat([torch.full((80,), 0.05), torch.full((18,), 0.35), torch.full((2,), 1.0)]).reshape(1, 10, 10)
    c = torch.full_like(g, 0.5, requires_grad=True)
    unsupervised_loss(c, g, PLAIN).backward()
    assert (c.grad.abs() * 100).max() < PAPER.alpha
