"""The semi-supervised loss against values computed by hand, and against a brute-force search for its minimiser."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bonescan.lin2022.chan_vese import (  # noqa: E402
    Images,
    intensity_of,
    label_loss,
    length_of,
    unsupervised_loss,
)
from bonescan.train.config import ChanVeseConfig  # noqa: E402

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


def test_the_fuzzy_term_splits_what_is_outside_at_the_least_cost():
    values, membership = [0.0, 0.3, 0.25, 1.0], [0.0, 0.1, 0.2, 0.9]
    inner = np.average(values, weights=np.square(membership))
    outside = 1 - np.array(membership)
    dark, bone = 0.0, np.average(values[1:], weights=outside[1:])
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


def test_a_label_outvotes_the_unsupervised_term_on_bone():
    """The slope of l_U at a bone pixel is smaller than alpha, the slope of the label term."""
    g = torch.cat([torch.full((80,), 0.05), torch.full((18,), 0.35), torch.full((2,), 1.0)]).reshape(1, 10, 10)
    c = torch.full_like(g, 0.5, requires_grad=True)
    unsupervised_loss(c, g, PLAIN).backward()
    assert (c.grad.abs() * 100).max() < PAPER.alpha
