"""Moves by hand, the plan's sizes and sides, Table 1, the index and the statement there and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bonescan.errors import InputError, OptionError
from bonescan.lin2022.datasets import (
    DatasetOptions,
    Move,
    MoveLimits,
    Origin,
    PairRecord,
    PatientOptions,
    Planes,
    Protocol,
    ReaderOptions,
    SplitOptions,
    Subset,
    aggregate_pair,
    apply_move,
    sample_move,
    table,
)
from bonescan.lin2022.datasets.index import INDEX, SetSize, read_index, set_sizes, write_index
from bonescan.lin2022.datasets.originals import Chosen, anatomy_seed, simulate_originals
from bonescan.lin2022.datasets.plan import plan_pairs, split_patients
from bonescan.lin2022.datasets.statement import LEAKY_WARNING, read_statement, state, write_statement
from bonescan.prepare import mirror
from bonescan.train.cases import FAINT

MARGIN = 22
EDGE = 256 + 2 * MARGIN
PAPER = [(f"patient-{number:04d}", "study") for number in range(56)]
MOVES = st.builds(
    Move,
    flip=st.booleans(),
    rotation_deg=st.floats(-5, 5).map(lambda angle: round(angle, 3)),
    shift_rows_px=st.integers(-6, 6),
    shift_cols_px=st.integers(-6, 6),
    rounding_seed=st.integers(0, 2**32 - 1),
)


def planes_with(*spots, counts=100, number=1):
    """Planes that are empty but for single pixels (view, row, col) of the window."""
    pair = np.zeros((2, EDGE, EDGE), dtype=np.uint16)
    for view, row, col in spots:
        pair[view, row + MARGIN, col + MARGIN] = counts
    return Planes(pair, np.where(pair > 0, number, 0).astype(np.uint8), (pair > 0).astype(np.uint8))


def blocks(seed=0):
    """Planes with a large block in each view, hot where it is a lesion."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((2, EDGE, EDGE), dtype=np.uint16)
    lesions = np.zeros((2, EDGE, EDGE), dtype=np.uint8)
    for view in range(2):
        row, col = rng.integers(60, EDGE - 100, 2)
        block = (view, slice(row, row + 30), slice(col, col + 40))
        counts[block], lesions[block] = 1000, view + 1
    return Planes(counts, lesions, lesions)


def places(mask):
    return [tuple(place) for place in np.argwhere(mask).tolist()]


class TestMove:
    def test_no_move_cuts_the_middle_exactly(self):
        rng = np.random.default_rng(1)
        counts = rng.integers(0, 60000, (2, EDGE, EDGE)).astype(np.uint16)
        window = apply_move(Planes(counts, np.zeros(counts.shape, np.uint8)), Move())
        assert np.array_equal(window.counts, counts[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
        assert window.counts.dtype == np.uint16
        assert window.lesions.dtype == np.uint8
        assert window.regions is None

    def test_a_shift_goes_down_and_to_the_right(self):
        moved = apply_move(planes_with((0, 100, 50), (1, 100, 50)), Move(shift_rows_px=3, shift_cols_px=-2))
        assert places(moved.counts) == [(0, 103, 48), (1, 103, 48)]
        assert np.array_equal(moved.counts > 0, moved.lesions > 0)

    def test_a_rotation_is_clockwise_as_displayed_and_about_the_middle(self):
        # Half a pixel above and 9.5 right of the middle: after a quarter turn 9.5 below and half a pixel right of it.
        moved = apply_move(planes_with((0, 127, 137)), Move(rotation_deg=90.0))
        assert places(moved.lesions) == [(0, 137, 128)]
        assert moved.counts[0, 137, 128] == pytest.approx(100, abs=1)

    def test_a_turned_pair_is_then_shifted(self):
        moved = apply_move(planes_with((0, 127, 137)), Move(rotation_deg=90.0, shift_rows_px=4, shift_cols_px=1))
        assert places(moved.lesions) == [(0, 141, 129)]

    def test_a_flip_comes_last_and_exchanges_left_and_right_of_both_views(self):
        moved = apply_move(planes_with((0, 100, 50), (1, 20, 255)), Move(flip=True, shift_cols_px=-5))
        assert places(moved.counts) == [(0, 100, 255 - 45), (1, 20, 255 - 250)]

    @settings(max_examples=15)
    @given(MOVES)
    def test_a_flip_conserves_the_counts_and_is_its_own_inverse(self, move):
        straight, flipped = (apply_move(blocks(), replace(move, flip=flip)) for flip in (False, True))
        assert flipped.counts.sum() == straight.counts.sum()
        for one, other in zip(
            (straight.counts, straight.lesions, straight.regions),
            (flipped.counts, flipped.lesions, flipped.regions),
            strict=True,
        ):
            assert np.array_equal(one, mirror(other))

    @settings(max_examples=15)
    @given(MOVES, st.integers(0, 20))
    def test_truth_moves_with_the_counts(self, move, seed):
        moved = apply_move(blocks(seed), move)
        for view in range(2):
            lesion = moved.lesions[view] > 0
            assert lesion.any()
            assert (moved.counts[view][ndimage.binary_erosion(lesion, iterations=2)] >= 999).all()
            assert not moved.counts[view][~ndimage.binary_dilation(lesion, iterations=2)].any()
        assert np.array_equal(moved.lesions, moved.regions)

    @settings(max_examples=15)
    @given(MOVES)
    def test_both_views_move_alike(self, move):
        planes = blocks()
        same = Planes(np.stack([planes.counts[0]] * 2), np.stack([planes.lesions[0]] * 2))
        moved = apply_move(same, move)
        assert np.array_equal(*moved.lesions)
        assert abs(moved.counts[0].astype(int) - moved.counts[1]).max() <= 1  # each rounds by itself

    def test_rounding_keeps_the_mean_of_few_counts(self):
        rng = np.random.default_rng(2)
        counts = rng.poisson(0.4, (2, EDGE, EDGE)).astype(np.uint16)
        moved = apply_move(Planes(counts, np.zeros(counts.shape, np.uint8)), Move(rotation_deg=3.0, rounding_seed=5))
        assert moved.counts.mean() == pytest.approx(counts.mean(), abs=0.01)

    def test_the_same_draw_gives_the_same_pair_and_another_rounding_another(self):
        noise = np.random.default_rng(3).poisson(9, (2, EDGE, EDGE)).astype(np.uint16)
        planes = Planes(noise, np.zeros(noise.shape, np.uint8))
        move = Move(rotation_deg=2.0, rounding_seed=1)
        assert np.array_equal(apply_move(planes, move).counts, apply_move(planes, move).counts)
        assert not np.array_equal(
            apply_move(planes, move).counts, apply_move(planes, replace(move, rounding_seed=2)).counts
        )

    def test_a_lesion_that_leaves_the_window_leaves_the_truth_and_what_is_left_of_it_is_faint(self):
        lesions = np.zeros((2, EDGE, EDGE), dtype=np.uint8)
        lesions[0, MARGIN : MARGIN + 2, 100:103] = 1  # six pixels in the window's first two rows
        lesions[0, MARGIN + 50, 100:103] = 2  # three pixels, as somebody drew them
        planes = Planes(np.zeros(lesions.shape, np.uint16), lesions)
        assert (apply_move(planes, Move()).lesions == 1).sum() == 6
        half_out = apply_move(planes, Move(shift_rows_px=-1)).lesions
        assert ((half_out == FAINT).sum(), (half_out == 1).sum(), (half_out == 2).sum()) == (3, 0, 3)
        assert not apply_move(planes, Move(shift_rows_px=-2)).lesions[:, :5].any()

    def test_a_lesion_that_comes_into_the_window_joins_the_truth(self):
        lesions = np.zeros((2, EDGE, EDGE), dtype=np.uint8)
        lesions[1, MARGIN - 4 : MARGIN, 100:103] = 7
        planes = Planes(np.zeros(lesions.shape, np.uint16), lesions)
        assert not apply_move(planes, Move()).lesions.any()
        assert (apply_move(planes, Move(shift_rows_px=4)).lesions == 7).sum() == 12

    @settings(max_examples=15)
    @given(MOVES)
    def test_faint_stays_faint_and_nothing_is_interpolated_between_numbers(self, move):
        planes = blocks()
        lesions = np.where(planes.lesions == 1, FAINT, planes.lesions)
        moved = apply_move(replace(planes, lesions=lesions), move)
        assert set(np.unique(moved.lesions[0])) == {0, FAINT}
        assert set(np.unique(moved.lesions[1])) == {0, 2}

    @settings(max_examples=15)
    @given(MOVES)
    def test_a_move_within_its_limits_stays_on_the_margin(self, move):
        reach = MoveLimits().reach_px
        full = np.ones((2, 256 + 2 * reach, 256 + 2 * reach), dtype=np.uint16)
        assert apply_move(Planes(full * 10, full.astype(np.uint8)), move).lesions.all()


class TestSampling:
    def test_draws_keep_to_their_limits_and_differ(self):
        limits = MoveLimits(rotation_deg=5, shift_px=6)
        moves = [sample_move(np.random.default_rng(seed), limits) for seed in range(300)]
        assert max(abs(move.rotation_deg) for move in moves) <= 5
        assert {move.shift_rows_px for move in moves} == set(range(-6, 7))
        assert {move.shift_cols_px for move in moves} == set(range(-6, 7))
        assert 100 < sum(move.flip for move in moves) < 200
        assert len(set(moves)) == 300

    def test_one_probability_does_not_change_the_other_draws(self):
        one, other = (sample_move(np.random.default_rng(4), MoveLimits(flip=flip)) for flip in (0.0, 1.0))
        assert replace(one, flip=True) == other

    @pytest.mark.parametrize("limits", [{"rotation_deg": 60.0}, {"shift_px": -1}, {"flip": 1.5}])
    def test_limits_that_are_none_are_refused(self, limits):
        with pytest.raises(OptionError, match="no small moves"):
            MoveLimits(**limits)


class TestPlan:
    def test_the_papers_sizes(self):
        plan = plan_pairs(PAPER, DatasetOptions(seed=1))
        copies = np.bincount([pair.original for pair in plan])
        assert len(plan) == 1140
        assert sum(pair.origin is Origin.ORIGINAL for pair in plan) == 56
        assert set(copies) == {20, 21}
        assert len({(pair.original, pair.study) for pair in plan}) == 1140
        sides = {side: {pair.original for pair in plan if pair.split is side} for side in Subset}
        assert (len(sides[Subset.TRAIN]), len(sides[Subset.TEST])) == (39, 17)
        assert sides[Subset.UNUSED] == sides[Subset.TEST]

    @settings(max_examples=40)
    @given(st.integers(2, 30), st.integers(0, 5), st.integers(0, 99), st.floats(0.05, 0.95))
    def test_by_patient_no_patient_and_no_copy_of_one_is_on_both_sides(self, patients, copies, seed, share):
        names = [(f"p{number // 2}", f"s{number % 2}") for number in range(2 * patients)]  # two studies a patient
        options = DatasetOptions(seed=seed, images=2 * len(names) * (1 + copies), split=SplitOptions(test_share=share))
        plan = plan_pairs(names, options)
        train = {names[pair.original][0] for pair in plan if pair.split is Subset.TRAIN}
        held = {names[pair.original][0] for pair in plan if pair.split is not Subset.TRAIN}
        assert train
        assert held
        assert not train & held
        assert all((pair.origin is Origin.ORIGINAL) == (pair.move == Move()) for pair in plan)
        assert {pair.origin for pair in plan if pair.split is Subset.TEST} == {Origin.ORIGINAL}
        assert {pair.split for pair in plan if pair.origin is Origin.ORIGINAL} == {Subset.TRAIN, Subset.TEST}
        assert len(held) == min(max(round(share * patients), 1), patients - 1)

    @pytest.mark.parametrize("protocol", list(Protocol))
    def test_studies_without_labels_are_never_tested_on(self, protocol):
        names = [(f"p{number // 2}", f"s{number % 2}") for number in range(12)]
        unlabelled = {1, 3, 4, 5, 10, 11}  # one study of p0 and p1; all of p2 and p5
        for seed in range(5):
            options = DatasetOptions(seed=seed, images=48, split=SplitOptions(protocol))
            plan = plan_pairs(names, options, unlabelled)
            tested = {pair.original for pair in plan if pair.split is Subset.TEST}
            assert tested
            assert not tested & unlabelled
            assert {pair.split for pair in plan if names[pair.original][0] in ("p2", "p5")} == {Subset.TRAIN}
            if protocol is Protocol.BY_PATIENT:
                learned = {names[pair.original][0] for pair in plan if pair.split is Subset.TRAIN}
                assert not learned & {names[place][0] for place in tested}

    def test_leaky_shuffles_pairs_so_that_patients_are_on_both_sides(self):
        options = DatasetOptions(seed=1, split=SplitOptions(Protocol.LEAKY))
        plan = plan_pairs(PAPER, options)
        sides = {side: [pair.original for pair in plan if pair.split is side] for side in Subset}
        assert (len(sides[Subset.TRAIN]), len(sides[Subset.TEST]), len(sides[Subset.UNUSED])) == (798, 342, 0)
        assert len(set(sides[Subset.TRAIN]) & set(sides[Subset.TEST])) > 50
        same = plan_pairs(PAPER, DatasetOptions(seed=1))
        assert [(pair.study, pair.move) for pair in same] == [(pair.study, pair.move) for pair in plan]

    def test_a_larger_set_begins_with_the_copies_of_a_smaller_one_and_tests_the_same_patients(self):
        small, large = (plan_pairs(PAPER, DatasetOptions(seed=3, images=images)) for images in (224, 2280))
        kept = {(pair.original, pair.study): (pair.move, pair.split) for pair in large}
        assert all(kept[pair.original, pair.study] == (pair.move, pair.split) for pair in small)

    def test_the_split_follows_the_seed_and_not_the_order(self):
        names = [patient for patient, _ in PAPER]
        drawn = split_patients(names, SplitOptions(), 1)
        assert drawn == split_patients(names[::-1], SplitOptions(), 1)
        assert drawn != split_patients(names, SplitOptions(), 2)

    def test_fewer_images_than_originals_are_refused(self):
        with pytest.raises(OptionError, match="fewer than the 112 of the originals"):
            plan_pairs(PAPER, DatasetOptions(seed=1, images=110))

    def test_one_patient_cannot_be_divided(self):
        with pytest.raises(OptionError, match="cannot be divided"):
            plan_pairs(PAPER[:1], DatasetOptions(seed=1))


class TestOptions:
    @pytest.mark.parametrize(
        ("make", "why"),
        [
            (lambda: DatasetOptions(seed=-1), "seed is -1"),
            (lambda: DatasetOptions(seed=1, images=7), "7 images are no pairs"),
            (lambda: PatientOptions(count=1), "1 patients"),
            (lambda: PatientOptions(count=100_000), "100000 patients"),
            (lambda: PatientOptions(keep_lesion_free=True), "give --cohort"),
            (lambda: SplitOptions(test_share=1.0), "test share is 1.0"),
            (lambda: ReaderOptions(count=1), "1 readers"),
            (lambda: ReaderOptions(tolerance=-0.1), "tolerance is -0.1"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, make, why):
        with pytest.raises(OptionError, match=why):
            make()


class InOrder:
    """A map that works in this process, and counts."""

    def __init__(self):
        self.asked = 0

    def __call__(self, work, orders):
        orders = list(orders)
        self.asked += len(orders)
        return map(work, orders)


class TestSimulation:
    @pytest.mark.parametrize("processes", [1, 2, 7])
    def test_the_first_patients_with_a_lesion_are_taken_whatever_the_processes(self, monkeypatch, processes):
        monkeypatch.setattr(
            "bonescan.lin2022.datasets.originals._simulate",
            lambda order: order.number if order.number % 3 == 1 else None,
        )
        told = []
        options = DatasetOptions(seed=1, patients=PatientOptions(count=4))
        pool = InOrder()
        chosen = simulate_originals(options, pool, processes, told.append)
        assert chosen.originals == (1, 4, 7, 10)
        assert chosen.left_out == 7
        assert told == [1, 2, 3, 4]
        assert pool.asked <= 11 + processes

    def test_anatomies_are_no_training_or_test_phantoms(self):
        from bonescan.train.config import PhantomConfig

        assert anatomy_seed(0, 0) > PhantomConfig().first_seed + 500_000 + 100_000
        assert anatomy_seed(1, 0) - anatomy_seed(0, 0) == 10_000
        assert len({anatomy_seed(seed, number) for seed in range(3) for number in (0, 9_999)}) == 6


def record(study, origin=Origin.ORIGINAL, split=Subset.TRAIN, **changes):
    values = {
        "study": study,
        "patient": study.partition("/")[0],
        "origin": origin,
        "split": split,
        "move": Move(),
        "present": (True, True),
        "labelled": (True, True),
        "references": (30.5, 29.0, 1 / 3),
        "path": Path(study),
        **changes,
    }
    return PairRecord(**values)


RECORDS = (
    record("a/study"),
    record("a/study-geometric-01", Origin.GEOMETRIC, move=Move(True, -4.125, 6, -3)),
    record("b/study", split=Subset.TEST, present=(True, False), labelled=(True, False)),
    record("b/study-geometric-01", Origin.GEOMETRIC, Subset.UNUSED, labelled=(False, True)),
    record("gan/sample-0000", Origin.GAN, present=(False, True), labelled=(False, False)),
)


class TestIndex:
    def test_the_index_comes_back(self, tmp_path):
        write_index(tmp_path, RECORDS)
        assert read_index(tmp_path) == tuple(replace(one, path=tmp_path / one.study) for one in RECORDS)
        assert [path.name for path in tmp_path.iterdir()] == [INDEX]

    def test_the_columns_that_others_read(self, tmp_path):
        write_index(tmp_path, RECORDS)
        rows = [line.split(",") for line in (tmp_path / INDEX).read_text().splitlines()]
        assert rows[2][:9] == [
            "a/study-geometric-01",
            "a",
            "geometric",
            "train",
            "D2 D4 D2_Agg",
            "1",
            "-4.125",
            "6",
            "-3",
        ]
        assert rows[5][2:5] == ["gan", "train", "D3 D4"]
        assert rows[5][9:11] == ["posterior", ""]

    @pytest.mark.parametrize("text", ["", "study,patient\n", None])
    def test_no_index_is_refused(self, tmp_path, text):
        if text is not None:
            (tmp_path / INDEX).write_text(text)
        with pytest.raises(InputError, match="index"):
            read_index(tmp_path)

    def test_a_damaged_row_is_refused(self, tmp_path):
        write_index(tmp_path, RECORDS)
        path = tmp_path / INDEX
        path.write_text(path.read_text().replace("geometric,train", "geometric,tarin"))
        with pytest.raises(InputError, match="damaged"):
            read_index(tmp_path)

    def test_table_1_by_hand(self):
        assert set_sizes(RECORDS) == (
            SetSize("D1", images=3, pairs=1, patients=2, labelled=3, train=2, test=1, unused=0),
            SetSize("D2", images=7, pairs=3, patients=2, labelled=6, train=4, test=1, unused=2),
            SetSize("D3", images=4, pairs=1, patients=2, labelled=3, train=3, test=1, unused=0),
            SetSize("D4", images=8, pairs=3, patients=2, labelled=6, train=5, test=1, unused=2),
            SetSize("D2_Agg", images=4, pairs=3, patients=2, labelled=4, train=2, test=1, unused=1),
        )
        assert [size.name for size in set_sizes(RECORDS[:4])] == ["D1", "D2", "D2_Agg"]
        lines = table(set_sizes(RECORDS)).splitlines()
        assert lines[0].split() == ["set", "images", "pairs", "patients", "labelled", "train", "test", "unused"]
        assert lines[2].split() == ["D2", "7", "3", "2", "6", "4", "1", "2"]


class TestStatement:
    def test_it_comes_back(self, tmp_path):
        options = DatasetOptions(seed=4, patients=PatientOptions(cohort=Path('a "b"')), readers=ReaderOptions(2, 0.5))
        statement = state(options, Chosen((), 3, ("p1: no lesion",))).extended(RECORDS, ["x"] * 5)
        write_statement(tmp_path, statement, RECORDS)
        assert read_statement(tmp_path) == statement
        assert statement.options["cohort"] == 'a "b"'
        assert (statement.options["labels"], statement.options["tolerance"]) == ("readers", 0.5)
        assert not statement.leaky

    def test_a_leaky_one_says_so_loudly(self, tmp_path):
        statement = state(DatasetOptions(seed=4, split=SplitOptions(Protocol.LEAKY)), Chosen((), 3))
        write_statement(tmp_path, statement, RECORDS)
        assert f"# {LEAKY_WARNING}\n" in (tmp_path / "dataset.toml").read_text()
        assert "leaky = true\n" in (tmp_path / "dataset.toml").read_text()
        assert statement.warnings == (LEAKY_WARNING,)

    def test_the_digest_follows_rows_and_files(self):
        empty = state(DatasetOptions(seed=4), Chosen((), 3))
        digests = {
            empty.extended(RECORDS[:1], ["x"]).digest,
            empty.extended(RECORDS[:1], ["y"]).digest,
            empty.extended(RECORDS[1:2], ["x"]).digest,
            empty.extended(RECORDS[:2], ["x", "x"]).digest,
        }
        assert len(digests) == 4

    def test_another_folder_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="no data set"):
            read_statement(tmp_path)


def test_an_aggregated_truth_is_the_union_and_faint_where_only_faint():
    lesions = np.array([[[1, 0, FAINT, FAINT, 0]], [[0, 2, 3, 0, 0]]], dtype=np.uint8)
    counts = np.array([[[60000, 1, 2, 3, 4]], [[60000, 10, 20, 30, 40]]], dtype=np.uint16)
    total, truth = aggregate_pair(counts, lesions)
    assert total.tolist() == [[120000, 11, 22, 33, 44]]
    assert truth.tolist() == [[1, 1, 1, FAINT, 0]]
