"""Scans over time: how they are laid over each other, and which lesions are new, resolved, growing or shrinking."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.rescanned import HOT, OTHER, SHAPE, SPOT, body, read, suspecting

from bonescan.serial.align import Alignment, Seen, Surroundings, align, smoothed
from bonescan.serial.change import Status, compare
from bonescan.serial.series import compare_series
from bonescan.study import Scan, View

AS_THEY_LIE = {View.ANTERIOR: Alignment(np.eye(2), np.zeros(2), np.zeros((0, 2)), np.zeros((0, 2)))}


@pytest.mark.parametrize("move", [(0, 0), (9, -6), (-11, 8)])
def test_the_same_patient_elsewhere_is_laid_over(move):
    old, new = Seen(*body(seed=1)), Seen(*body(move, scale=2.0, seed=2))
    places = np.array([[20.0, 64.0], [90.0, 64.0], [175.0, 80.0], [230.0, 48.0]])
    there = align(old, new).to_old(places + np.array(move))
    assert np.abs(there - places).max() < 2.5


def test_a_map_without_landmarks_is_its_affine_part():
    alignment = Alignment(np.eye(2), np.array([3.0, -2.0]), np.zeros((0, 2)), np.zeros((0, 2)))
    np.testing.assert_array_equal(alignment.to_old(np.array([[1.0, 1.0]])), [[4.0, -1.0]])


def test_empty_maps_of_bones_still_align_by_counts():
    old, new = body(seed=1), body((6, 4), seed=2)
    nothing = np.zeros(SHAPE, np.uint8)
    there = align(Seen(old[0], nothing), Seen(new[0], nothing)).to_old(np.array([[96.0, 68.0]]))
    assert np.abs(there - [[90.0, 64.0]]).max() < 3.0


def test_the_way_back_leads_where_it_came_from():
    alignment = Alignment(
        np.array([[1.02, 0.03], [-0.02, 0.97]]),
        np.array([5.0, -4.0]),
        np.array([[100.0, 60.0]]),
        np.array([[6.0, -5.0]]),
    )
    places = np.array([[20.0, 64.0], [90.0, 64.0], [175.0, 80.0]])
    np.testing.assert_allclose(alignment.to_new(alignment.to_old(places)), places, atol=0.1)


@pytest.mark.parametrize("hot", [(), (HOT,)], ids=["unchanged", "new"])
@pytest.mark.parametrize("off", [(0, 0), (3, -2), (-2, 4)])
def test_an_alignment_that_is_off_is_put_right_by_what_lies_around_a_lesion(off, hot):
    old, (lesion,) = read(scale=4.0, seed=1), read(scale=4.0, seed=2, hot=(HOT,)).result.lesions
    new = read(scale=2.0, seed=3, hot=hot)
    own, other = (smoothed(scan.result.study.counts(lesion.view)) for scan in (new, old))
    there = Surroundings(own, other, lambda places: places + np.array(off)).places(lesion)
    own_places = np.argwhere(lesion.mask) + lesion.origin
    assert np.abs(there - own_places).max() <= 1.0


def with_bladder(scan, radius):
    """The scan with something very hot beside the place of `SPOT`, of which nothing is outlined."""
    study, view = scan.result.study, View.ANTERIOR
    rows, cols = np.indices(SHAPE)
    hot = np.hypot(rows - 165, cols - 66) < radius
    counts = study.counts(view) + np.random.default_rng(0).poisson(4000.0 * hot)
    return replace(scan, result=replace(scan.result, study=replace(study, scans={view: Scan(view, counts)})))


@pytest.mark.parametrize("radii", [(11, 6), (6, 11)], ids=["emptied", "filled"])
@pytest.mark.parametrize("factor", [3.0, 8.0])
def test_a_bladder_that_is_emptied_or_filled_beside_a_lesion_changes_nothing_of_it(radii, factor):
    spot = ((165, 84, factor),)
    old, new = (with_bladder(read(scale=4.0, seed=seed, hot=spot), radius) for seed, radius in enumerate(radii))
    (change,) = compare(old, new, AS_THEY_LIE).changes
    assert change.status is Status.PERSISTENT
    assert change.ratio == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("both", [(True, False), (False, True)], ids=["resolved", "new"])
def test_a_hot_lesion_that_comes_or_goes_beside_another_changes_nothing_of_it(both):
    here, beside = (165, 84, 3.0), (174, 84, 20.0)
    old, new = (read(scale=4.0, seed=seed, hot=(here, beside) if there else (here,)) for seed, there in enumerate(both))
    kept = next(change for change in compare(old, new, AS_THEY_LIE).changes if change.old and change.new)
    assert kept.status is Status.PERSISTENT
    assert kept.ratio == pytest.approx(1.0, abs=0.2)


def test_without_counts_around_a_lesion_its_place_is_the_one_of_the_alignment():
    (lesion,) = read(hot=(HOT,)).result.lesions
    nothing = np.zeros(SHAPE)
    there = Surroundings(nothing, nothing, lambda places: places + 1.0).places(lesion)
    np.testing.assert_array_equal(there, np.argwhere(lesion.mask) + lesion.origin + 1.0)


def status(old, new):
    return [change.status for change in compare(old, new).changes]


def test_the_same_lesion_at_another_dose_and_place_persists():
    old, new = read(seed=1, hot=(HOT,)), read((8, -5), scale=2.5, seed=2, hot=(HOT,))
    (change,) = compare(old, new).changes
    assert change.status is Status.PERSISTENT
    assert change.ratio == pytest.approx(1.0, abs=0.2)
    assert (change.old, change.new, change.site) == ((1,), (1,), "ilium, left")


def test_new_and_resolved_are_each_other_turned_round():
    without, having = read(seed=1), read((5, 3), seed=2, hot=(HOT,))
    assert status(without, having) == [Status.NEW]
    assert status(having, without) == [Status.RESOLVED]


def test_more_and_less_uptake():
    faint, hot = read(seed=1, hot=((175, 80, 2.0),)), read(seed=2, hot=((175, 80, 4.5),))
    assert status(faint, hot) == [Status.GROWING]
    assert status(hot, faint) == [Status.SHRINKING]


def test_a_lesion_that_only_one_scan_outlines_is_no_change_where_the_counts_are_the_same():
    hot, missed = read(seed=1, hot=(HOT,)), read(seed=2, hot=(HOT,), outlined=())
    assert status(missed, hot) == [Status.PERSISTENT]
    assert status(hot, missed) == [Status.PERSISTENT]


ENOUGH = 100.0
"""So many standard deviations of noise that only the ratio decides."""


@pytest.mark.parametrize(
    ("outlined", "ratio", "z", "expected"),
    [
        ("both", 1.25, ENOUGH, Status.PERSISTENT),
        ("both", 1.35, ENOUGH, Status.GROWING),
        ("both", 1 / 1.25, ENOUGH, Status.PERSISTENT),
        ("both", 1 / 1.35, ENOUGH, Status.SHRINKING),
        ("both", 1.35, 2.9, Status.PERSISTENT),
        ("both", 1.35, 3.1, Status.GROWING),
        ("both", 1 / 1.35, 2.9, Status.PERSISTENT),
        ("both", 1 / 1.35, 3.1, Status.SHRINKING),
        ("new", 1.2, ENOUGH, Status.PERSISTENT),
        ("new", 1.3, ENOUGH, Status.NEW),
        ("new", 1.3, 2.9, Status.PERSISTENT),
        ("new", 1.3, 3.1, Status.NEW),
        ("old", 1 / 1.2, ENOUGH, Status.PERSISTENT),
        ("old", 1 / 1.3, ENOUGH, Status.RESOLVED),
        ("old", 1 / 1.3, 2.9, Status.PERSISTENT),
        ("old", 1 / 1.3, 3.1, Status.RESOLVED),
    ],
)
def test_how_much_more_or_less_uptake_is_a_change(outlined, ratio, z, expected):
    """Counts without noise: `ratio` of a lesion's uptake, new over old, differs from 1 by `z` standard deviations."""
    (lesion,) = read(hot=(HOT,)).result.lesions
    wanted = z**2 * (1 + ratio) / (1 - ratio) ** 2  # counts of the old lesion
    scale = wanted / (lesion.mask.sum() * 20.0 * 3.0)
    old, new = (
        read(scale=scale, seed=None, hot=((175, 80, factor),), outlined=(HOT,) if outlined in ("both", name) else ())
        for name, factor in (("old", 3.0), ("new", 3.0 * ratio))
    )
    (change,) = compare(old, new, AS_THEY_LIE).changes
    assert change.ratio == pytest.approx(ratio, rel=0.001)
    assert abs(change.z) == pytest.approx(z, rel=0.001)
    assert change.status is expected


def test_what_noise_alone_explains_is_no_change():
    old, new = read(scale=0.02, seed=1), read(scale=0.02, seed=2, hot=((175, 80, 1.6),))
    assert status(old, new) == [Status.PERSISTENT]


def test_without_lesions_nothing_changes():
    assert compare(read(seed=1), read(seed=2)).changes == ()


def test_a_lesion_that_the_model_suspected_before_is_growing_and_not_new():
    before = suspecting(read(seed=1), 165, 84, 0.3)
    assert status(before, read(seed=2, hot=[(165, 84, 3.0)])) == [Status.GROWING]
    assert status(suspecting(read(seed=1), 165, 84, 0.05), read(seed=2, hot=[(165, 84, 3.0)])) == [Status.NEW]


def test_a_lesion_that_the_model_still_suspects_is_shrinking_and_not_resolved():
    after = suspecting(read(seed=2), 165, 84, 0.3)
    assert status(read(seed=1, hot=[(165, 84, 3.0)]), after) == [Status.SHRINKING]


def test_a_candidate_whose_uptake_rose_is_a_new_lesion():
    old = read(seed=1, hot=[(90, 64, 3.0)])
    new = suspecting(read(seed=2, hot=[(90, 64, 3.0), *SPOT], outlined=[(90, 64, 3.0)]), 165, 84, 0.6)
    _, risen = compare_series((old, new), 0.5)[0]
    assert [lesion.id for lesion in risen.result.lesions] == [1, 2]
    assert risen.risen == {2}
    (found,) = [change for change in compare(old, risen).changes if change.status is Status.NEW]
    assert (found.old, found.new) == ((), (2,))
    assert found.ratio == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize(
    ("old", "probability"),
    [
        (read(seed=1, hot=SPOT, outlined=[]), 0.6),  # as hot before
        (read(seed=1), 0.4),  # a peak below the least one
        (suspecting(read(seed=1), 165, 84, 0.3), 0.6),  # suspected before
    ],
)
def test_any_other_candidate_is_none(old, probability):
    new = suspecting(read(seed=2, hot=SPOT, outlined=[]), 165, 84, probability)
    assert compare_series((old, new), 0.5)[0][1] is new


def test_what_rose_once_is_an_old_lesion_in_the_scan_after():
    old, later = read(seed=1), read(seed=3, hot=SPOT)
    new = suspecting(read(seed=2, hot=SPOT, outlined=[]), 165, 84, 0.6)
    first, second = compare_series((old, new, later), 0.5)[1]
    assert [change.status for change in first.changes] == [Status.NEW]
    assert [(change.status, change.old, change.new) for change in second.changes] == [(Status.PERSISTENT, (1,), (1,))]


def test_each_pair_of_views_is_aligned_once(monkeypatch):
    aligned = []

    def counted(old, new):
        aligned.append((old, new))
        return align(old, new)

    monkeypatch.setattr("bonescan.serial.change.align", counted)
    scans, pairs = compare_series((read(seed=1), suspecting(read(seed=2, hot=SPOT, outlined=[]), 165, 84, 0.6)), 0.5)
    assert len(aligned) == len(pairs[0].alignments)
    # The scale is taken without the lesion that was added.
    assert pairs[0].scales == compare(*scans).scales


def test_two_lesions_keep_apart():
    old, new = read(seed=1, hot=(HOT,)), read(seed=2, hot=(HOT, OTHER))
    found = compare(old, new)
    assert {change.status: change.new for change in found.changes} == {Status.NEW: (2,), Status.PERSISTENT: (1,)}
    assert found.number(Status.NEW) == 1
