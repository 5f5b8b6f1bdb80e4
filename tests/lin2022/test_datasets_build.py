"""A data set built from a small cohort: files as acquired, truth, sides, bytes and GAN samples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.lin2022.conftest import SHAPE

from bonescan.annotate import label_image, read_labelme
from bonescan.errors import InputError, OptionError, OutputError
from bonescan.evaluate.cohort import read_truth
from bonescan.lin2022.datasets import (
    Move,
    Origin,
    Planes,
    Protocol,
    SplitOptions,
    Subset,
    add_gan_samples,
    aggregate_pair,
    apply_move,
    build_dataset,
    read_dataset,
)
from bonescan.prepare import aggregate, mirror, skeletal_reference, to_pair
from bonescan.reading import read_study
from bonescan.study import View
from bonescan.train.cases import FAINT


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    """Fifteen samples, one view each; samples.json says at which reference the first was drawn."""
    folder = tmp_path_factory.mktemp("samples")
    rng = np.random.default_rng(9)
    for number in range(15):
        view = list(View)[number % 2]
        place = folder / f"sample-{number:04d}"
        place.mkdir()
        np.savez(place / "scan.npz", **{view.value: rng.poisson(5 + number, SHAPE).astype(np.uint16)})
    listed = {"samples": [{"study": "sample-0000", "reference": 12.5}]}
    (folder / "samples.json").write_text(json.dumps(listed))
    return folder


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copies(dataset):
    return [record for record in dataset.pairs if record.origin is Origin.GEOMETRIC]


class TestFolder:
    def test_each_pair_reads_as_a_study_of_a_cohort(self, built):
        for record in read_dataset(built, "D2").pairs:
            study = read_study(record.path)
            assert study.shape == SHAPE
            assert study.spacing is not None
            truth = read_truth(record.path)
            assert set(truth) == set(View)
            for view in View:
                drawn = label_image(read_labelme(record.path / f"{view}.json"), SHAPE)
                assert np.array_equal(drawn > 0, truth[view].lesions > 0)

    def test_originals_are_the_cohorts_frames(self, built, cohort):
        for record in read_dataset(built, "D1").pairs:
            source = cohort / record.study
            assert record.move == Move()
            for view in View:
                assert np.array_equal(read_study(record.path).counts(view), read_study(source).counts(view))
                assert np.array_equal(read_truth(record.path)[view].lesions, read_truth(source)[view].lesions)
                assert np.array_equal(read_truth(record.path)[view].faint, read_truth(source)[view].faint)

    def test_a_copy_is_its_original_moved_in_the_common_orientation_and_stored_as_acquired(self, built):
        dataset = read_dataset(built, "D2")
        originals = {record.patient: dataset.load(record) for record in read_dataset(built, "D1").pairs}
        flips = set()
        for record in copies(dataset):
            frame = originals[record.patient]
            moved = apply_move(Planes(frame.counts, frame.lesions), record.move)
            pair = dataset.load(record)
            assert np.array_equal(pair.lesions, moved.lesions)
            # The index does not keep the rounding's seed.
            assert abs(pair.counts.astype(int) - moved.counts).max() <= 1
            study = read_study(record.path)
            assert np.array_equal(study.counts(View.ANTERIOR), pair.counts[0])
            assert np.array_equal(study.counts(View.POSTERIOR), mirror(pair.counts[1]))
            flips.add(record.move.flip)
        assert flips == {True, False}

    def test_references_are_those_of_the_whole_frame(self, built, cohort):
        for record in read_dataset(built, "D2").pairs:
            counts = to_pair(read_study(cohort / record.patient / "scan-a")).counts
            assert record.references == (
                skeletal_reference(counts),
                skeletal_reference(counts[:1]),
                skeletal_reference(counts[1:]),
            )

    def test_the_same_options_give_the_same_bytes_whatever_the_processes(self, built, options, tmp_path):
        build_dataset(options, tmp_path / "again", processes=2)
        assert files_of(tmp_path / "again") == files_of(built)
        build_dataset(replace(options, seed=2), tmp_path / "other", processes=1)
        assert files_of(tmp_path / "other") != files_of(built)


class TestReading:
    def test_nested_sets(self, built):
        d1, d2, agg = (read_dataset(built, name).pairs for name in ("D1", "D2", "D2_Agg"))
        assert (len(d1), len(d2)) == (5, 12)
        assert set(d1) < set(d2)
        assert d2 == agg
        assert {record.origin for record in d1} == {Origin.ORIGINAL}

    def test_faint_and_numbers(self, built):
        dataset = read_dataset(built, "D1")
        lesions = dataset.load(dataset.pairs[0]).lesions
        assert set(np.unique(lesions[0])) == {0, 3, FAINT}
        assert set(np.unique(lesions[1])) == {0, 1}
        assert dataset.load_regions(dataset.pairs[0]) is None

    def test_d2_agg_is_what_prepare_aggregates(self, built):
        dataset = read_dataset(built, "D2_Agg")
        for record in dataset.pairs[:4]:
            pair = dataset.load(record)
            total, truth = aggregate_pair(pair.counts, pair.lesions)
            study, views = read_study(record.path), read_truth(record.path)
            assert np.array_equal(total, aggregate(study.counts(View.ANTERIOR), study.counts(View.POSTERIOR)))
            drawn = aggregate(*((views[view].lesions > 0).astype(int) for view in View)) > 0
            assert np.array_equal(truth == 1, drawn)
            assert (truth == FAINT).any()

    def test_no_patient_is_on_both_sides(self, built):
        dataset = read_dataset(built, "D2")
        sides = {side: {record.patient for record in dataset.of(side)} for side in Subset}
        assert not dataset.leaky
        assert not sides[Subset.TRAIN] & (sides[Subset.TEST] | sides[Subset.UNUSED])
        assert {record.origin for record in dataset.of(Subset.TEST)} == {Origin.ORIGINAL}

    def test_leaky_is_leaky_and_says_so(self, options, tmp_path):
        leaky = replace(options, split=SplitOptions(Protocol.LEAKY))
        summary = build_dataset(leaky, tmp_path / "set", processes=1)
        dataset = read_dataset(tmp_path / "set", "D2")
        sides = {side: {record.patient for record in dataset.of(side)} for side in Subset}
        assert dataset.leaky
        assert sides[Subset.TRAIN] & sides[Subset.TEST]
        assert "LEAKY" in summary.warnings[0]
        assert "# LEAKY" in (tmp_path / "set" / "dataset.toml").read_text()

    def test_another_set_or_folder_is_refused(self, built, tmp_path):
        with pytest.raises(OptionError, match="no set 'D5'"):
            read_dataset(built, "D5")
        with pytest.raises(OptionError, match="no GAN samples"):
            read_dataset(built, "D3")
        with pytest.raises(InputError, match="no data set"):
            read_dataset(tmp_path, "D1")

    def test_a_pair_that_is_gone_is_named(self, built):
        dataset = read_dataset(built, "D1")
        gone = replace(dataset.pairs[0], path=built / "p9" / "study")
        with pytest.raises(InputError, match=r"p9/study/scan\.npz cannot be read"):
            dataset.load(gone)


class TestGan:
    def test_samples_fill_d3_and_join_d4_unlabelled_for_training(self, built, options, samples, tmp_path):
        build_dataset(replace(options, gan=samples), tmp_path / "set", processes=1)
        d3, d4, d2 = (read_dataset(tmp_path / "set", name) for name in ("D3", "D4", "D2"))
        drawn = [record for record in d3.pairs if record.origin is Origin.GAN]
        assert len(drawn) == 24 - 10
        assert len(d3.pairs) == 5 + 14
        assert set(d4.pairs) == set(d2.pairs) | set(d3.pairs)
        assert {(record.split, record.labelled, record.patient) for record in drawn} == {
            (Subset.TRAIN, (False, False), "gan")
        }
        for number, record in enumerate(drawn):
            pair = d3.load(record)
            assert pair.present == record.present == (number % 2 == 0, number % 2 == 1)
            own = read_study(samples / f"sample-{number:04d}")
            assert np.array_equal(pair.counts, to_pair(own).counts)
            assert not pair.lesions.any()
            assert sorted(path.name for path in record.path.iterdir()) == ["scan.npz"]
        assert drawn[0].references == (12.5, 12.5, 12.5)
        assert drawn[2].references[0] == skeletal_reference(d3.load(drawn[2]).counts)

    def test_samples_added_later_give_the_same_bytes(self, built, options, samples, tmp_path):
        build_dataset(replace(options, gan=samples), tmp_path / "at-once", processes=1)
        build_dataset(options, tmp_path / "later", processes=1)
        before = read_dataset(tmp_path / "later", "D2").digest
        summary = add_gan_samples(tmp_path / "later", samples)
        assert files_of(tmp_path / "later") == files_of(tmp_path / "at-once")
        assert [size.name for size in summary.sizes] == ["D1", "D2", "D3", "D4", "D2_Agg"]
        assert summary.sizes[2].images == 24
        assert summary.statement.digest != before
        with pytest.raises(OutputError, match="has GAN samples already"):
            add_gan_samples(tmp_path / "later", samples)

    def test_too_few_samples_or_other_pictures_are_refused_and_nothing_changes(self, options, samples, tmp_path):
        build_dataset(options, tmp_path / "set", processes=1)
        before = files_of(tmp_path / "set")
        with pytest.raises(InputError, match="holds 0 GAN samples and D3 of 24 images needs 14"):
            add_gan_samples(tmp_path / "set", tmp_path)
        for number in range(14):
            place = tmp_path / "large" / f"sample-{number:04d}"
            place.mkdir(parents=True)
            np.savez(place / "scan.npz", anterior=np.ones((300, 256), np.uint16))
        with pytest.raises(InputError, match="1 views of 300 x 256 pixels"):
            add_gan_samples(tmp_path / "set", tmp_path / "large")
        assert files_of(tmp_path / "set") == before
