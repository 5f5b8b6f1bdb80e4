"""The places of numbers: none covers a lesion, each stands at its own, and many take no more time than they must."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from tests.drawn import lesion_of

from bonescan.report import overlay as module
from bonescan.report import placement
from bonescan.report.ink import Sheet
from bonescan.report.overlay import overlay
from bonescan.report.placement import Field, place_numbers
from bonescan.study import View


def test_numbers_cover_no_lesion_and_no_other_number(result):
    lesions = [lesion for lesion in result.lesions if lesion.view is View.POSTERIOR]
    covered = result.labels(View.POSTERIOR) > 0
    field = Field(np.zeros(covered.shape, dtype=np.float32), covered, slice(0, covered.shape[0]), 63.5)
    size = (9.0, 8.0)
    boxes = []
    for place in place_numbers(field, lesions, [size] * len(lesions)):
        row, col = place.centre
        box = (row - size[0] / 2, col - size[1] / 2, row + size[0] / 2, col + size[1] / 2)
        top, left, bottom, right = (round(edge) for edge in box)
        assert not covered[max(top, 0) : bottom, max(left, 0) : right].any()
        assert all(box[0] >= b[2] or b[0] >= box[2] or box[1] >= b[3] or b[1] >= box[3] for b in boxes)
        boxes.append(box)


def test_a_number_stays_in_the_picture_and_avoids_the_dark(result):
    (lesion,) = [lesion for lesion in result.lesions if lesion.view is View.ANTERIOR][:1]
    shape = result.study.shape
    row, col = lesion.origin
    darkness = np.zeros(shape, dtype=np.float32)
    darkness[:, :col] = 1.0
    field = Field(darkness, result.labels(View.ANTERIOR) > 0, slice(row - 2, row + 60), (shape[1] - 1) / 2)
    (place,) = place_numbers(field, [lesion], [(8.0, 8.0)])
    y, x = place.centre
    assert x > col
    assert y - 4 >= row - 2


DRAWN_ON = (200, 128)
NUMBER = (9.0, 11.0)


def ellipse(row, col, height, width):
    """A mask from the middle and half the height and width."""
    rows, cols = np.ogrid[: DRAWN_ON[0], : DRAWN_ON[1]]
    return ((rows - row) / height) ** 2 + ((cols - col) / width) ** 2 <= 1


def placed(masks):
    """The places of the numbers of lesions that are drawn on a dark spine; and the field."""
    dark = np.zeros(DRAWN_ON, dtype=np.float32)
    dark[:, 52:76] = 0.9
    field = Field(dark, np.any(masks, axis=0), slice(0, DRAWN_ON[0]), 63.5)
    lesions = [lesion_of(number, View.POSTERIOR, mask) for number, mask in enumerate(masks, start=1)]
    return place_numbers(field, lesions, [NUMBER] * len(lesions)), lesions


def distances(place, masks):
    """From the edge of a number to the nearest pixel of each mask."""
    half = np.array(NUMBER) / 2
    points = [np.argwhere(mask) for mask in masks]
    return [np.hypot(*(np.clip(one, place.centre - half, place.centre + half) - one).T).min() for one in points]


def assert_each_stands_at_its_own(places, masks):
    for number, place in enumerate(places):
        assert not place.is_doubtful
        apart = distances(place, masks)
        assert apart[number] < min(apart[:number] + apart[number + 1 :], default=np.inf)
        along = place.leader[0] + np.linspace(0, 1, 200)[:, None] * (place.leader[1] - place.leader[0])
        rows, cols = np.rint(along).astype(int).T
        for other, mask in enumerate(masks):
            assert other == number or not mask[rows, cols].any()


@pytest.mark.parametrize("gap", [3, 5])
def test_no_number_stands_at_another_curve_than_its_own(gap):
    """A small curve close below a large one, as L1 below T12: beside it, its number is nearer to the large one."""
    masks = [ellipse(100, 63, 10, 9), ellipse(113 + gap, 63, 3, 3)]
    places, _ = placed(masks)
    assert_each_stands_at_its_own(places, masks)


def test_among_many_curves_each_number_stands_at_its_own():
    rng = np.random.default_rng(4)
    rows, cols = np.meshgrid(np.arange(25, 190, 24), (32, 64, 96))
    masks = [
        ellipse(row + rng.uniform(-4, 4), col + rng.uniform(-6, 6), *rng.uniform(2, 6, 2))
        for row, col in zip(rows.ravel(), cols.ravel(), strict=True)
    ]
    places, _ = placed(masks)
    assert_each_stands_at_its_own(places, masks)


def test_two_numbers_change_places_where_that_shortens_their_leaders():
    masks = [ellipse(60, 100, 3, 3), ellipse(120, 100, 3, 3)]
    places, lesions = placed(masks)
    field = Field(np.zeros(DRAWN_ON, dtype=np.float32), np.any(masks, axis=0), slice(0, DRAWN_ON[0]), 63.5)
    judge = placement._Judge(field, lesions, [NUMBER] * 2)
    centres = [np.array([place.centre]) for place in places]
    chosen = {0: judge.judged(0, centres[1]), 1: judge.judged(1, centres[0])}
    assert chosen[0].doubtful[0]
    placement._exchange(judge, chosen)
    for number in range(2):
        np.testing.assert_array_equal(chosen[number].centres, centres[number])


def test_where_no_place_is_left_a_number_has_the_best_one_with_a_line(make_result, monkeypatch):
    """A lesion in the opening of a much larger one has no place of its own."""
    rows, cols = np.ogrid[: DRAWN_ON[0], : DRAWN_ON[1]]
    away = np.hypot(rows - 100, cols - 63)
    masks = [(away < 60) & (away > 8) & ~((abs(rows - 100) < 2) & (cols > 63)), away < 3]
    (_, inner), lesions = placed(masks)
    assert inner.is_doubtful
    size = np.array(NUMBER)
    assert (np.abs(inner.leader[1] - inner.centre) <= size / 2 + 1e-9).all()
    drawn = []
    monkeypatch.setattr(Sheet, "ink_line", lambda sheet, points, width: drawn.append(width))
    bare = make_result(lesions={}, views=(View.POSTERIOR,))
    # All lines count here, however short they are.
    monkeypatch.setattr(module, "_SHORTEST_LEADER", 1e9)
    overlay(replace(bare, lesions=tuple(lesions), burden=bare.burden, extent=None))
    assert drawn.count(module._LEADER_WIDTH) == sum(place.is_doubtful for place in placed(masks)[0]) > 0


def test_pixels_that_are_not_square_count_as_they_are_drawn():
    """Where a pixel is twice as high as wide, a distance in rows counts twice."""
    masks = [ellipse(100, 63, 3, 3), ellipse(117, 63, 3, 3)]
    lesions = [lesion_of(number, View.POSTERIOR, mask) for number, mask in enumerate(masks, start=1)]
    field = Field(np.zeros(DRAWN_ON, dtype=np.float32), np.any(masks, axis=0), slice(0, DRAWN_ON[0]), 63.5, 2.0)
    judge = placement._Judge(field, lesions, [(1.0, 1.0)] * 2)
    between = np.array([[108.5, 63.0], [100.0, 75.0]])
    own = judge.lengths(0, between)
    assert own == pytest.approx([2 * (108 - 103.5), 74.5 - 66.5])


def crowd(count, seed=0, aspect=1.0):
    """Round lesions, as close together whatever their count is; and the field that they are on."""
    rng = np.random.default_rng(seed)
    shape = (16 * -(-count // 4) + 40, 84)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    masks = []
    for number in range(count):
        row, col = 28 + 16 * (number // 4), 18 + 16 * (number % 4)
        middle = row + rng.uniform(-2, 2), col + rng.uniform(-2, 2)
        masks.append(np.hypot(rows - middle[0], cols - middle[1]) <= rng.uniform(1, 5))
    darkness = rng.uniform(0, 1, shape).astype(np.float32)
    field = Field(darkness, np.any(masks, axis=0), slice(0, shape[0]), shape[1] / 2, aspect)
    return field, [lesion_of(number, View.ANTERIOR, mask) for number, mask in enumerate(masks, start=1)]


def exchange_plainly(judge, chosen):
    """Look at every pair, and at every distance anew."""
    is_changed = True
    while is_changed:
        is_changed = False
        for pair in combinations(sorted(chosen), 2):
            before = [chosen[index] for index in pair]
            after = [judge.judged(index, one.centres) for index, one in zip(pair, before[::-1], strict=True)]
            lengths = [sum(one.lengths[0] for one in ones) for ones in (before, after)]
            others = np.concatenate([np.empty((0, 4)), *(chosen[n].boxes for n in chosen if n not in pair)])
            costs = [placement._total(tuple(ones), others) for ones in (before, after)]
            if any(one.doubtful[0] for one in before) and lengths[1] < lengths[0] and costs[1] <= costs[0]:
                chosen.update(zip(pair, after, strict=True))
                is_changed = True


@pytest.mark.parametrize(("seed", "aspect"), [(1, 1.0), (2, 1.0), (3, 2.0)])
def test_numbers_change_places_as_if_every_pair_was_looked_at(seed, aspect):
    field, lesions = crowd(16, seed, aspect)
    judge = placement._Judge(field, lesions, [NUMBER] * len(lesions))
    rng = np.random.default_rng(seed)
    centres = [(np.array(lesion.origin, dtype=np.float64) + rng.uniform(-30, 30, 2))[None] for lesion in lesions]
    found, plain = ({index: judge.judged(index, centre) for index, centre in enumerate(centres)} for _ in range(2))
    placement._exchange(judge, found)
    exchange_plainly(judge, plain)
    places, expected = (np.concatenate([ones[index].centres for index in range(16)]) for ones in (found, plain))
    np.testing.assert_array_equal(places, expected)
    assert (places != np.concatenate(centres)).any()


@pytest.mark.parametrize("aspect", [1.0, 2.0])
def test_a_number_is_near_another_curve_where_any_point_of_it_is_near(aspect):
    field, lesions = crowd(12, 5, aspect)
    judge = placement._Judge(field, lesions, [NUMBER] * len(lesions))
    told = []
    for index, lesion in enumerate(lesions):
        centres = np.array(lesion.origin) + np.random.default_rng(index).uniform(-30, 30, (60, 2))
        boxes = np.concatenate([centres - np.array(NUMBER) / 2, centres + np.array(NUMBER) / 2], axis=1)
        lengths = judge.lengths(index, centres)
        others = np.concatenate([placement._dense(one.contour) for one in lesions if one is not lesion])
        away = others - np.clip(others, boxes[:, None, :2], boxes[:, None, 2:])
        nearest = np.hypot(away[..., 0] * aspect, away[..., 1]).min(axis=1)
        told.append(judge._is_near_another(index, boxes, lengths))
        np.testing.assert_array_equal(told[-1], nearest < lengths + placement._CLEARANCE_PX)
    assert 0.1 < np.mean(told) < 0.99


def test_four_times_as_many_numbers_need_about_four_times_the_distances(monkeypatch):
    """Distances from a number to one curve, one by one for each pair, were most of the time."""
    measured, distances = [], placement._Judge._distances

    def count(judge, boxes, points):
        measured.append(len(boxes))
        return distances(judge, boxes, points)

    monkeypatch.setattr(placement._Judge, "_distances", count)
    calls = []
    for number in (20, 80):
        measured.clear()
        field, lesions = crowd(number)
        places = place_numbers(field, lesions, [NUMBER] * number)
        assert any(place.is_doubtful for place in places)
        calls.append(len(measured))
    assert calls[1] < 6 * calls[0]


def test_no_lesion_has_no_number():
    field = Field(np.zeros((20, 10), dtype=np.float32), np.zeros((20, 10), dtype=np.bool_), slice(0, 20), 4.5)
    assert place_numbers(field, [], []) == []
