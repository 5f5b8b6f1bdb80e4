"""Scores by hand, and the verdict on a claim."""

import pytest

from bonescan.evaluate import Bootstrap, LesionCounts, PixelCounts
from bonescan.lin2022.experiments.results import ImageResult
from bonescan.lin2022.experiments.scores import interval, judge, of_target, scored, summarised

BOTH = {"better": True, "worse": True}
DRAWS = Bootstrap(repeats=500)


def image(patient, common, false=0, missed=0, view="anterior"):
    pixels = PixelCounts(common, false, missed)
    lesions = LesionCounts(true=2, found=min(2, common), predicted=1, correct=int(common > 0))
    return ImageResult(f"{patient}/study", view, pixels, lesions, 0)


def arm(*seeds):
    """One list of true positives (of ten lesion pixels) a patient, for each seed."""
    return [[image(f"p-{n:02d}", hit, missed=10 - hit) for n, hit in enumerate(hits)] for hits in seeds]


def test_scores_are_those_of_the_definitions():
    run = [image("p-1", 6, 2, 4), image("p-1", 0, 0, 0), image("p-2", 0, 5, 10)]
    expected = {
        "dsc": (12 / 18 + 1 + 0) / 3,
        "cpa": (6 / 8 + 0) / 2,
        "recall": (0.6 + 0) / 2,
        "dsc_pooled": 12 / (13 + 20),
        "sensitivity": 2 / 6,
        "precision": 1 / 3,
    }
    for measure, value in expected.items():
        assert scored([run], measure).value == pytest.approx(value), measure
    report = summarised(run, DRAWS)
    assert list(report) == ["views"]
    assert {name: one["value"] for name, one in report["views"].items()} == pytest.approx(expected)


def test_the_mean_over_seeds_is_of_the_seeds_own_scores():
    one = scored(arm([2, 4], [6, 8]), "recall")
    assert one.by_seed == pytest.approx([0.3, 0.7])
    assert one.value == pytest.approx(0.5)


def test_what_is_undefined_stays_undefined():
    one = scored([[image("p-1", 0, 0, 10), image("p-2", 0, 0, 10)]], "cpa")
    assert (one.value, interval(one, DRAWS)) == (None, (None, None))
    assert judge(one, one, DRAWS, BOTH).word == "undecided"
    with pytest.raises(ValueError, match="without a run"):
        scored([], "dsc")


def test_targets_are_kept_apart():
    run = [image("p-1", 1), image("p-1", 1, view="union")]
    assert [one.view for one in of_target(run, "views")] == ["anterior"]
    assert [one.view for one in of_target(run, "union")] == ["union"]


@pytest.mark.parametrize(
    ("better", "worse", "word"),
    [
        (([8, 9, 8, 9], [9, 8, 9, 8], [8, 8, 9, 9]), ([4, 5, 4, 5], [5, 4, 5, 4], [5, 5, 4, 4]), "confirmed"),
        (([4, 5, 4, 5], [5, 4, 5, 4], [5, 5, 4, 4]), ([8, 9, 8, 9], [9, 8, 9, 8], [8, 8, 9, 9]), "contradicted"),
        (([4, 9, 4, 9], [9, 4, 9, 4]), ([5, 8, 3, 9], [9, 5, 8, 4]), "undecided"),
        (([5, 5, 5, 5], [5, 5, 5, 5]), ([5, 5, 5, 5], [5, 5, 5, 5]), "undecided"),
        # Every patient gains, but one seed in three says the contrary.
        (([9, 9, 9, 9], [9, 9, 9, 9], [1, 1, 1, 1]), ([5, 5, 5, 5], [5, 5, 5, 5], [5, 5, 5, 5]), "undecided"),
        # One seed is no proof, however clear, and neither are two.
        (([9, 9, 9, 9],), ([1, 1, 1, 1],), "undecided"),
        (([9, 9, 9, 9], [9, 9, 9, 9]), ([1, 1, 1, 1], [1, 1, 1, 1]), "undecided"),
        (([9, 9, 9, 9], [9, 9, 9, 9]), ([1, 1, 1, 1],), "undecided"),
    ],
)
def test_the_verdict(better, worse, word):
    verdict = judge(scored(arm(*better), "recall"), scored(arm(*worse), "recall"), DRAWS, BOTH)
    assert verdict.word == word
    assert verdict.paired
    assert verdict.low <= verdict.difference <= verdict.high


def test_a_seed_without_a_value_decides_nothing():
    nothing_marked = [0, 0, 0]
    better = scored(arm([9, 9, 9], [8, 9, 8], nothing_marked), "cpa")
    worse = scored(arm([1, 2, 1], [2, 1, 2], [1, 1, 1]), "cpa")
    assert None in better.by_seed
    verdict = judge(better, worse, DRAWS, BOTH)
    assert (verdict.word, verdict.low) == ("undecided", None)


def test_what_is_not_random_needs_no_second_seed():
    better, worse = scored(arm([9, 9, 9], [8, 9, 8], [9, 8, 9]), "recall"), scored(arm([1, 2, 1]), "recall")
    assert judge(better, worse, DRAWS, {"better": True, "worse": False}).word == "confirmed"
    assert judge(better, worse, DRAWS, BOTH).word == "undecided"


def test_one_patient_gives_no_interval():
    verdict = judge(scored(arm([9], [9]), "recall"), scored(arm([1], [1]), "recall"), DRAWS, BOTH)
    assert (verdict.word, verdict.low, verdict.difference) == ("undecided", None, pytest.approx(0.8))


def test_paired_differences_are_sharper_than_unpaired_ones():
    hits = [1, 9, 2, 8, 3, 7, 1, 9]
    more = [hit + 1 for hit in hits]
    one, other = scored(arm(more, more), "recall"), scored(arm(hits, hits), "recall")
    paired = judge(one, other, DRAWS, BOTH)
    assert (paired.low, paired.high) == (pytest.approx(0.1), pytest.approx(0.1))
    elsewhere = [[ImageResult(f"q{i.study}", i.view, i.pixels, i.lesions, 0) for i in run] for run in arm(hits, hits)]
    unpaired = judge(one, scored(elsewhere, "recall"), DRAWS, BOTH)
    assert not unpaired.paired
    assert unpaired.word == "undecided"
    assert unpaired.low < 0.1 < unpaired.high


def test_an_interval_holds_the_value_and_grows_with_the_spread():
    narrow = interval(scored(arm([5, 5, 5, 5]), "recall"), DRAWS)
    wide = interval(scored(arm([1, 9, 1, 9]), "recall"), DRAWS)
    assert narrow == (0.5, 0.5)
    assert wide[0] < 0.5 < wide[1]
