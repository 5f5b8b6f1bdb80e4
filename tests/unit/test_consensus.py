"""Several readers: area differences worked out by hand, what is one place, and what is accepted and drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labelled import EMPTY, SHAPE, picture

from bonescan.annotate.consensus import agree, area_difference, correspond


def agreed(readings, tolerance=0.05, seed=0):
    return agree(readings, tolerance, np.random.default_rng(seed))


def test_area_differences_by_hand():
    first = picture((1, 0, 0, 4, 5)) > 0
    assert area_difference(first, picture((1, 0, 1, 4, 5)) > 0) == 8 / 24
    assert area_difference(first, first) == 0
    assert area_difference(first, picture((1, 9, 9, 2, 2)) > 0) == 1
    assert area_difference(first, EMPTY > 0) == 1
    assert area_difference(EMPTY > 0, EMPTY > 0) == 0
    with pytest.raises(ValueError, match="shapes"):
        area_difference(first, first[:5])


def test_a_disc_of_radius_5_shifted_by_one_pixel_differs_by_a_quarter():
    """Each of its 11 rows loses a pixel and gains one; of true circles the lens is 2 r^2 acos(d / 2r) - ..., 22.6 %."""
    row, col = np.indices(SHAPE)
    disc, shifted = (np.hypot(row - 15, col - centre) <= 5 for centre in (15, 16))
    assert (disc.sum(), (disc & shifted).sum()) == (81, 70)
    assert area_difference(disc, shifted) == 22 / 92
    lens = 2 * 25 * np.arccos(1 / 10) - np.sqrt(99) / 2
    assert 1 - lens / (2 * 25 * np.pi - lens) == pytest.approx(0.226, abs=0.001)


def test_what_is_within_the_tolerance_to_the_pixel_is_accepted():
    """19 of 20 pixels are a difference of 1/20, which is 5 % and not more."""
    readings = {"a": picture((1, 2, 2, 4, 5)), "b": picture((1, 2, 2, 4, 5))}
    readings["b"][2, 2] = 0
    assert len(agreed(readings, 0.05).accepted) == 1
    assert len(agreed(readings, 0.049).returned) == 1


def test_no_lesion_is_agreed_where_nobody_drew_one():
    consensus = agreed({"a": EMPTY, "b": EMPTY, "c": EMPTY})
    assert (consensus.accepted, consensus.returned, consensus.labels.any(), consensus.returned_mask.any()) == (
        (), (), False, False,
    )  # fmt: skip
    assert (consensus.labels.shape, consensus.labels.dtype) == (SHAPE, np.uint16)


def test_what_one_reader_missed_goes_back_at_every_tolerance():
    lesion = picture((4, 2, 2, 3, 3))
    consensus = agreed({"a": lesion, "b": EMPTY, "c": lesion}, tolerance=1.0)
    (place,) = consensus.returned
    assert (place.drawn_by, place.why) == (("a", "c"), "only a, c drew it")
    assert place.numbers == {"a": (4,), "b": (), "c": (4,)}
    assert place.area_px == {"a": 9, "b": 0, "c": 9}
    assert place.differences == {("a", "b"): 1.0, ("a", "c"): 0.0, ("b", "c"): 1.0}
    assert place.centre == (3.0, 3.0)
    np.testing.assert_array_equal(consensus.returned_mask, lesion > 0)
    assert not consensus.labels.any()


def test_every_pair_must_agree():
    """a-b and b-c differ by 4/24, a-c by 8/28."""
    readings = {name: picture((1, 0, col, 4, 5)) for name, col in zip("abc", (0, 1, 2), strict=True)}
    (place,) = correspond(readings)
    assert place.differences == {("a", "b"): 8 / 24, ("a", "c"): 16 / 28, ("b", "c"): 8 / 24}
    assert place.largest_difference == 16 / 28
    assert agreed(readings, 0.5).returned[0].why == "differs"
    assert len(agreed(readings, 0.6).accepted) == 1


def test_two_curves_and_one_around_both_are_compared_as_one_area():
    two, one = picture((1, 5, 5, 6, 4), (2, 5, 10, 6, 4)), picture((7, 5, 5, 6, 9))
    (place,) = correspond({"a": two, "b": one})
    assert place.numbers == {"a": (1, 2), "b": (7,)}
    assert place.largest_difference == 6 / 54
    for seed in range(8):
        consensus = agreed({"a": two, "b": one}, 0.2, seed)
        drawn = set(consensus.drawn.values())
        expected = two if drawn == {"a"} else picture((1, 5, 5, 6, 9))
        np.testing.assert_array_equal(consensus.labels, expected)
    assert {tuple(agreed({"a": two, "b": one}, 0.2, seed).drawn.values()) for seed in range(8)} == {("a", "a"), ("b",)}


def test_neighbours_that_do_not_touch_are_two_places():
    readings = {"a": picture((1, 2, 2, 3, 3), (2, 2, 6, 3, 3)), "b": picture((1, 2, 2, 3, 3), (2, 2, 6, 3, 3))}
    assert len(agreed(readings).accepted) == 2


def test_curves_that_do_not_touch_are_of_one_place_when_near_and_of_different_readers():
    near, far = picture((1, 2, 6, 2, 2)), picture((1, 2, 7, 2, 2))
    lesion = picture((1, 2, 2, 2, 2))
    (place,) = correspond({"a": lesion, "b": near})
    assert (place.why, place.largest_difference) == ("differs", 1.0)
    assert [place.drawn_by for place in correspond({"a": lesion, "b": far})] == [("a",), ("b",)]
    # Two curves of one reader are two places, however near.
    assert len(correspond({"a": picture((1, 2, 2, 2, 2), (2, 2, 5, 2, 2)), "b": EMPTY})) == 2
    # Of two that are near, the nearer one is meant.
    both = correspond({"a": picture((1, 10, 10, 2, 2)), "b": picture((1, 10, 7, 2, 2), (2, 10, 14, 2, 2))})
    assert [place.numbers["b"] for place in both] == [(1,), (2,)]
    assert [place.numbers["a"] for place in both] == [(1,), ()]


def test_fewer_than_two_readers_other_shapes_and_tolerances_are_refused():
    with pytest.raises(ValueError, match="at least 2 readers"):
        agreed({"a": EMPTY})
    with pytest.raises(ValueError, match="different shapes"):
        agreed({"a": EMPTY, "b": EMPTY[:9]})
    with pytest.raises(ValueError, match=r"not 1\.5"):
        agreed({"a": EMPTY, "b": EMPTY}, 1.5)


def test_the_draw_of_a_lesion_does_not_depend_on_the_others():
    """A second round: other lesions came, went or changed, and the accepted one keeps its curve."""
    first, second = picture((1, 20, 5, 10, 10)), picture((1, 20, 5, 10, 10))
    second[20, 5] = 0
    for seed in range(10):
        alone = agreed({"a": first, "b": second}, 0.05, seed)
        more = {"a": np.where(picture((2, 1, 1, 3, 3)), 2, first), "b": np.where(picture((3, 2, 1, 3, 3)), 3, second)}
        again = agreed(more, 0.05, seed)
        assert list(alone.drawn.values()) == list(again.drawn.values())
        np.testing.assert_array_equal(alone.labels > 0, again.labels > 0)


def test_every_reader_is_drawn_about_as_often():
    same = picture(*((number + 1, 3 * (number // 8), 3 * (number % 8), 2, 2) for number in range(80)))
    drawn = [reader for seed in range(10) for reader in agreed({"a": same, "b": same}, seed=seed).drawn.values()]
    assert len(drawn) == 800
    assert 330 < drawn.count("a") < 470


@st.composite
def readings(draw, readers=3):
    squares = st.tuples(st.integers(0, 34), st.integers(0, 24), st.integers(1, 6), st.integers(1, 6))
    drawn = {}
    for name in "abc"[:readers]:
        several = draw(st.lists(squares, max_size=4))
        drawn[name] = picture(*((number, *square) for number, square in enumerate(several, start=1)))
    return drawn


@settings(max_examples=40)
@given(readings(), st.floats(0, 1), st.integers(0, 9))
def test_the_readers_order_does_not_matter_and_nothing_is_lost(drawn, tolerance, seed):
    there = agreed(drawn, tolerance, seed)
    back = agreed(dict(reversed(drawn.items())), tolerance, seed)
    np.testing.assert_array_equal(there.labels, back.labels)
    np.testing.assert_array_equal(there.returned_mask, back.returned_mask)
    marked = np.any([reading > 0 for reading in drawn.values()], axis=0)
    assert not (there.returned_mask & (there.labels > 0)).any()
    assert not ((there.labels > 0) & ~marked).any()
    places = correspond(drawn)
    pixels = np.concatenate([np.zeros(0, np.int64), *(place.pixels for place in places)])
    np.testing.assert_array_equal(np.sort(pixels), np.flatnonzero(marked))
    accepted = [place.accepted(tolerance) for place in places]
    assert (len(there.accepted), len(there.returned)) == (sum(accepted), len(places) - sum(accepted))
    for place in places:
        for (first, second), value in place.differences.items():
            inside = np.isin(np.arange(marked.size), place.pixels).reshape(SHAPE)
            masks = ((drawn[first] > 0) & inside, (drawn[second] > 0) & inside)
            assert value == area_difference(*masks) == area_difference(*masks[::-1])
            assert 0 <= value <= 1


@settings(max_examples=40)
@given(readings(readers=1))
def test_identical_readers_agree_on_what_they_drew(drawn):
    (only,) = drawn.values()
    consensus = agreed({"a": only, "b": only, "c": only}, 0.0)
    assert consensus.returned == ()
    np.testing.assert_array_equal(consensus.labels > 0, only > 0)
    pairs = np.unique(np.stack([consensus.labels[only > 0], only[only > 0]]), axis=1)
    assert len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]  # one number for each
