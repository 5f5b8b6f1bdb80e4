"""The plan's sizes and sides, its options, and the simulated patients that it asks for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonescan.errors import OptionError
from bonescan.lin2022.datasets import (
    DatasetOptions,
    Move,
    Origin,
    PatientOptions,
    Protocol,
    ReaderOptions,
    SplitOptions,
    Subset,
)
from bonescan.lin2022.datasets.originals import anatomy_seed, simulate_originals
from bonescan.lin2022.datasets.plan import plan_pairs, split_patients

PAPER = [(f"patient-{number:04d}", "study") for number in range(56)]


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
