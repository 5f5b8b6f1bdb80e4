"""A method on test pairs, by hand: pixels at a half, lesions as delineated, faint ones aside, both views together."""

import numpy as np
import pytest

from bonescan.errors import InputError
from bonescan.lin2022.experiments.measure import choose_shown, measure_method, outlines_of, true_masks
from bonescan.lin2022.experiments.results import packed_mask, scan_picture, unpacked
from bonescan.prepare import mirror
from bonescan.study import View
from bonescan.train.cases import FAINT, Case, CaseFacts

SHAPE = (2, 32, 40)


def case(key="p-1/study", lesions=()):
    """Lesions are (view, number, rows, cols)."""
    truth = np.zeros(SHAPE, dtype=np.uint8)
    for view, number, rows, cols in lesions:
        truth[view, rows, cols] = number
    facts = CaseFacts(key, key.partition("/")[0], (5.0, 5.0, 5.0), (0, 32), ())
    return Case(np.full(SHAPE, 5, dtype=np.uint16), truth, np.zeros(SHAPE, dtype=np.uint8), facts)


def marking(*boxes, value=0.9):
    probability = np.zeros(SHAPE, dtype=np.float32)
    for view, rows, cols in boxes:
        probability[view, rows, cols] = value
    return lambda case: probability


def rows_of(tested):
    return {image.view: image for image in tested.images}


ONE = (0, 1, slice(4, 8), slice(10, 14))
SAME_BEHIND = (1, 2, slice(4, 8), slice(10, 14))
ELSEWHERE = (1, 3, slice(20, 24), slice(30, 34))


def test_pixels_and_lesions_are_counted_in_each_view_and_in_both_together():
    method = marking((0, slice(4, 8), slice(10, 12)), (1, slice(26, 30), slice(2, 6)))
    seen = rows_of(measure_method(method, [case(lesions=[ONE, SAME_BEHIND, ELSEWHERE])]))
    front, back, union = seen["anterior"], seen["posterior"], seen["union"]
    assert (front.pixels.true_positive, front.pixels.false_positive, front.pixels.false_negative) == (8, 0, 8)
    assert (front.lesions.true, front.lesions.found, front.lesions.predicted, front.lesions.correct) == (1, 1, 1, 1)
    assert (back.pixels.true_positive, back.pixels.false_positive, back.pixels.false_negative) == (0, 16, 32)
    assert (back.lesions.true, back.lesions.found, back.lesions.predicted, back.lesions.correct) == (2, 0, 1, 0)
    # The lesion that both views show is one.
    assert (union.pixels.true_positive, union.pixels.false_positive, union.pixels.false_negative) == (8, 16, 24)
    assert (union.lesions.true, union.lesions.found, union.lesions.predicted, union.lesions.correct) == (2, 1, 2, 1)


def test_an_answer_for_both_views_is_scored_for_both_together_alone():
    probability = marking((0, slice(4, 8), slice(10, 14)), (1, slice(4, 8), slice(10, 14)))
    tested = measure_method(probability, [case(lesions=[ONE, SAME_BEHIND])], aggregated=True)
    assert [image.view for image in tested.images] == ["union"]
    assert tested.images[0].pixels.dsc == 1.0


def test_faint_lesions_are_neither_right_nor_wrong():
    method = marking((0, slice(20, 24), slice(30, 34)))
    (front, _, union) = measure_method(method, [case(lesions=[(0, FAINT, slice(18, 26), slice(28, 36))])]).images
    for image in (front, union):
        assert (image.pixels.predicted, image.pixels.true) == (0, 0)
        assert image.lesions.predicted == image.lesions.true == 0
        assert image.on_faint == 1


def test_a_scan_without_lesions_left_empty_is_perfect_and_a_mark_on_it_is_not():
    for image in measure_method(marking(), [case()]).images:
        assert (image.pixels.dsc, image.pixels.cpa, image.pixels.recall) == (1.0, None, None)
    front = measure_method(marking((0, slice(0, 4), slice(0, 4))), [case()]).images[0]
    assert (front.pixels.dsc, front.pixels.cpa, front.lesions.false_positives) == (0.0, 0.0, 1)


def test_the_threshold_is_a_half_for_everybody():
    box = (0, slice(4, 8), slice(10, 14))
    for value, true_positive in [(0.49, 0), (0.5, 16)]:
        image = measure_method(marking(box, value=value), [case(lesions=[ONE])]).images[0]
        assert image.pixels.true_positive == true_positive
        assert image.lesions.found == bool(true_positive)


def test_time_is_told_by_image_and_not_by_pair(monkeypatch):
    clock = iter([0.0, 1.0, 10.0, 14.0, 20.0, 22.0] * 2)
    monkeypatch.setattr("bonescan.lin2022.experiments.measure.time.perf_counter", lambda: next(clock))
    three = [case(f"p-{n}/study") for n in range(3)]
    assert measure_method(marking(), three).seconds_per_image == 1.0
    assert measure_method(marking(), three, aggregated=True).seconds_per_image == 2.0


def test_outlines_are_as_acquired():
    (outline,) = outlines_of(marking((1, slice(4, 8), slice(0, 6)))(None))[View.POSTERIOR]
    assert outline.origin == (4, SHAPE[2] - 6)


def test_the_shown_patients_have_fewest_and_most_lesions():
    cases = [case("p-0/s"), case("p-1/s", [ONE]), case("p-2/s", [ONE, SAME_BEHIND, ELSEWHERE]), case("p-3/s", [ONE])]
    assert choose_shown(cases) == ("p-1/s", "p-2/s")
    assert choose_shown(cases[1:2]) == ("p-1/s",)
    assert choose_shown(cases[:1]) == ()


def test_masks_of_the_shown_studies_are_kept_and_come_back():
    one = case(lesions=[ONE, ELSEWHERE])
    method = marking((1, slice(4, 8), slice(0, 6)))
    tested = measure_method(method, [one], shown=("p-1/study",))
    kept = unpacked(tested.masks["p-1/study"]["posterior"])
    np.testing.assert_array_equal(kept > 0, mirror(method(one)[1] > 0))
    assert not unpacked(tested.masks["p-1/study"]["anterior"]).any()
    assert measure_method(method, [one]).masks == {}
    np.testing.assert_array_equal(unpacked(true_masks(one)["posterior"]) > 0, mirror(one.lesions[1] > 0))


def test_pictures_are_darker_where_counts_are_more():
    one = case()
    one.counts[0, 3, 4] = 50
    picture = unpacked(scan_picture(one)["anterior"])
    assert picture.shape == SHAPE[1:]
    assert picture[3, 4] == picture.min() < picture[0, 0]
    assert unpacked(packed_mask(np.ones((3, 5), dtype=bool))).tolist() == [[255] * 5] * 3


def test_a_damaged_picture_is_named():
    with pytest.raises(InputError, match="stored picture"):
        unpacked("bm8=")
