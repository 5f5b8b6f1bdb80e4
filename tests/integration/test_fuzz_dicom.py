"""A seeded slice of the damaged-file benchmark, and that its judge can say no."""

from __future__ import annotations

import dataclasses
from types import ModuleType

import numpy as np
import pytest
from pydicom.tag import Tag
from tests.scripts import script

from bonescan.errors import InputError
from bonescan.study import Scan, Study, View


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return script("benchmarks/fuzz_dicom.py")


@pytest.fixture(scope="module")
def original(benchmark, tmp_path_factory):
    return benchmark.originals(tmp_path_factory.mktemp("originals"), seed=3)[0]


ROUNDS = 5
"""How often each kind of damage is done to each kind of file."""
OF_AN_ELEMENT = {"element deleted": 2, "element duplicated": 2, "length changed": 4, "value replaced": 6}
"""How often each kind of damage is done to each element that the reader goes by."""


@pytest.mark.slow
def test_every_kind_of_damage_to_every_kind_of_file_is_read_rightly_or_refused(benchmark, tmp_path):
    """Some hundreds of files; `benchmarks/fuzz_dicom.py` reads 100,000, and results/fuzz_dicom.json has its figures."""
    files = len(benchmark.originals(tmp_path, seed=20))
    count = ROUNDS * files * len(benchmark.MUTATIONS)
    tally, report = benchmark.fuzz(count, seed=20)
    assert report["not_as_it_should_be"] == []
    assert tally.outcomes["right"] > 0.2 * count
    assert tally.outcomes["refused"] > 0.2 * count
    assert tally.outcomes.total() == count
    assert {name: one.total() for name, one in tally.by_mutation.items()} == dict.fromkeys(
        benchmark.MUTATIONS, ROUNDS * files
    )
    assert len(tally.by_file) == files
    assert 50 < report["peak_memory_of_child_mb"] < 300


@pytest.mark.slow
def test_damage_to_each_element_that_the_reader_goes_by_is_read_rightly_or_refused(benchmark, tmp_path):
    """The benchmark draws the elements from all of a header, and meets each of these as often in thousands of files."""
    others = ("TransferSyntaxUID", "SOPClassUID", "Modality", "ImageType", "SamplesPerPixel", "EnergyWindowVector")
    used = benchmark.VIEW_TAGS | benchmark.PIXEL_TAGS | benchmark.SPACING_TAGS | {Tag(name) for name in others}
    files = benchmark.originals(tmp_path, seed=20)
    wrong, met = [], set()
    for tag in sorted(used):
        holders = [(file, one) for file in files for one in file.elements if one.tag == tag]
        met |= {tag} if holders else set()
        for number, (name, times) in enumerate(OF_AN_ELEMENT.items()):
            for draw in range(times if holders else 0):
                file, element = holders[(number + draw) % len(holders)]
                rng = np.random.default_rng([tag, number, draw])
                mutant = benchmark.MUTATIONS[name](dataclasses.replace(file, elements=(element,)), rng)
                outcome, what = benchmark.read_one(file, mutant, tmp_path)
                wrong += [(file.name, str(Tag(tag)), name, draw, outcome, what)] if what else []
    assert wrong == []
    assert met >= benchmark.PIXEL_TAGS | benchmark.SPACING_TAGS | {Tag(name) for name in others}


def test_mutations_are_the_same_for_the_same_seed(benchmark, original):
    for mutate in benchmark.MUTATIONS.values():
        once, again = (mutate(original, np.random.default_rng(4)) for _ in range(2))
        assert once == again


def test_judge_sees_swapped_views_changed_counts_and_spacing(benchmark, original):
    study = original.study
    anterior, posterior = (study.counts(view) for view in View)
    swapped = {View.ANTERIOR: Scan(View.ANTERIOR, posterior), View.POSTERIOR: Scan(View.POSTERIOR, anterior)}
    nothing: frozenset[int] = frozenset()
    assert benchmark.fault_of(study, original, nothing) is None
    assert benchmark.fault_of(dataclasses.replace(study, scans=swapped), original, nothing) == "other counts"
    assert benchmark.fault_of(dataclasses.replace(study, spacing=None), original, nothing) == "another spacing"
    one = {View.ANTERIOR: study.scans[View.ANTERIOR]}
    assert benchmark.fault_of(dataclasses.replace(study, scans=one), original, nothing) == "other views"


@pytest.mark.parametrize(
    ("stray", "outcome"),
    [
        (ValueError("x"), "crash"),
        (InputError("PHANTOM^0001 is damaged"), "wrong"),
        (InputError("two\nlines"), "wrong"),
        (InputError("the file is damaged; export it again"), "refused"),
    ],
)
def test_judge_tells_crash_leak_and_refusal(benchmark, original, tmp_path, monkeypatch, stray, outcome):
    def reader(*_args: object) -> Study:
        raise stray

    monkeypatch.setattr(benchmark, "read_study", reader)
    mutant = benchmark.Mutant(original.content, frozenset())
    assert benchmark.read_one(original, mutant, tmp_path)[0] == outcome


def test_watchdog_catches_a_hang(benchmark, original, tmp_path, monkeypatch):
    def reader(*_args: object) -> Study:
        while True:
            pass

    monkeypatch.setattr(benchmark, "read_study", reader)
    monkeypatch.setattr(benchmark, "WATCHDOG_SECONDS", 0.2)
    assert benchmark.read_one(original, benchmark.Mutant(original.content, None), tmp_path)[0] == "hang"
