"""The classical baselines: masks worked out by hand, and two means against every mask there is."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from bonescan.lin2022.experiments.classical import (
    CLASSICAL,
    SeedRule,
    morphological_chan_vese_pair,
    region_growing_pair,
    two_means,
)


def chan_vese(image, mask, nu):
    """Eq. 7 with mu = 0, written out."""
    g = (image - image.min()) / (image.max() - image.min())
    inside, outside = g[mask], g[~mask]
    return (
        sum((part - part.mean()) @ (part - part.mean()) for part in (inside, outside) if part.size) + nu * inside.size
    )


@pytest.mark.parametrize("nu", [0.0, 0.004, 0.1, 0.4])
@pytest.mark.parametrize("seed", range(6))
def test_no_mask_costs_less_than_two_means(seed, nu):
    image = np.random.default_rng(seed).integers(0, 9, (3, 4)).astype(float)
    best = min(
        chan_vese(image, np.array(bits, bool).reshape(3, 4), nu)
        for bits in itertools.product((False, True), repeat=12)
        # The inside is the brighter side.
        if not any(bits) or all(bits) or image.ravel()[list(bits)].mean() > image.ravel()[~np.array(bits)].mean()
    )
    assert chan_vese(image, two_means(image, nu), nu) == pytest.approx(best)


def test_two_means_by_hand():
    image = np.array([[0, 1, 2], [8, 9, 10]])
    np.testing.assert_array_equal(two_means(image), image >= 8)
    # Scaled, the split saves 0.96 of the squares; an area that costs more than 0.32 a pixel is not worth it.
    assert two_means(image, nu=0.31).sum() == 3
    assert not two_means(image, nu=0.33).any()


def test_two_means_knows_no_scale_and_of_equals_takes_the_smallest():
    image = np.random.default_rng(1).poisson(20, (16, 16))
    np.testing.assert_array_equal(two_means(image), two_means(7 * image + 3))
    np.testing.assert_array_equal(two_means(np.array([[0, 1, 2]])), [[False, False, True]])


def flat(level=10.0, shape=(2, 64, 64)):
    return np.full(shape, level, np.float32)


def with_spot(level, rows=slice(20, 25), cols=slice(30, 35)):
    """A flat pair with a hot square of 5 x 5 pixels in its first view."""
    counts = flat()
    counts[0, rows, cols] = level
    return counts


@pytest.mark.parametrize("name", CLASSICAL)
def test_without_counts_or_contrast_there_is_no_lesion(name):
    for counts in (np.zeros((2, 64, 64), np.float32), flat()):
        found = CLASSICAL[name](counts)
        assert (found.shape, found.dtype) == ((2, 64, 64), np.dtype(bool))
        assert not found.any()


@pytest.mark.parametrize("name", CLASSICAL)
def test_each_view_by_itself_and_always_the_same(name):
    counts = with_spot(100)
    before = counts.copy()
    found = CLASSICAL[name](counts)
    assert found[0, 22, 32]
    assert not found[0, :15].any()
    assert not found[1].any()
    np.testing.assert_array_equal(found, CLASSICAL[name](counts))
    np.testing.assert_array_equal(counts, before)


def test_two_means_outlines_the_spot_and_the_morphological_contour_drops_what_is_one_pixel():
    counts = with_spot(100)
    counts[0, 50, 50] = 100
    assert two_means(counts[0]).sum() == 26
    found = morphological_chan_vese_pair(counts)[0]
    assert not found[50, 50]
    assert found[21:24, 31:34].all()
    assert found.sum() <= 25


def test_a_region_reaches_to_41_percent_of_its_seed():
    # Means of 3 x 3 pixels: 100 inside; at the edge 6/9 of 100 and 3/9 of 10 = 70; at the corner 4/9 and 5/9 = 50;
    # one outside the edge 3/9 and 6/9 = 40: under 41.
    found = region_growing_pair(with_spot(100))[0]
    assert found.sum() == 25
    # 200: one outside the edge 3/9 of 200 and 6/9 of 10 = 73.3, under 82, and at the corner 4/9, 5/9 = 94.4.
    assert region_growing_pair(with_spot(200))[0].sum() == 25
    # At 30 % the ring beside the edges joins: 4 sides of 3 pixels of 40, and 8 of 2/9 of 100 = 30 at their ends.
    third = region_growing_pair(with_spot(100), SeedRule(share=0.35))[0]
    assert third.sum() == 25 + 4 * 3


def test_a_seed_must_stand_out_of_the_skeleton():
    assert region_growing_pair(with_spot(26))[0].any()
    assert not region_growing_pair(with_spot(26), SeedRule(level=2.7))[0].any()
    # 41 % of 24 is less than the 10 around, wherever seeds may be.
    assert not region_growing_pair(with_spot(24), SeedRule(level=2.3))[0].any()


def test_a_leaked_region_is_no_focus_and_nor_is_a_seed_within_it():
    counts = with_spot(100, slice(8, 56), slice(30, 36))
    counts[0, 30, 33] = 140
    rule = replace(SeedRule(), level=1.5)
    assert not region_growing_pair(counts, replace(rule, most_pixels=200))[0].any()
    assert region_growing_pair(counts, replace(rule, most_pixels=400))[0].sum() >= 6 * 46
