"""A data set built from a small cohort: files as acquired, truth, sides, bytes, GAN samples, readers, refusals."""

from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bonescan.annotate import from_label_image, label_image, read_labelme, write_labelme
from bonescan.errors import InputError, LabelError, OptionError, OutputError
from bonescan.evaluate.cohort import read_truth
from bonescan.lin2022.datasets import (
    DatasetOptions,
    Move,
    Origin,
    PatientOptions,
    Planes,
    Protocol,
    ReaderOptions,
    SplitOptions,
    Subset,
    add_gan_samples,
    aggregate_pair,
    apply_move,
    build_dataset,
    originals,
    read_dataset,
)
from bonescan.lin2022.images import draw_labels
from bonescan.prepare import aggregate, mirror, skeletal_reference, to_pair
from bonescan.reading import read_study
from bonescan.study import View
from bonescan.train.cases import FAINT
from bonescan.train.config import ImagesConfig

SHAPE = (256, 256)
PATIENTS = 6
LESION_FREE = 2
"""The number of the patient without a lesion."""


def disc(row, col, radius=4):
    rows, cols = np.indices(SHAPE)
    return np.hypot(rows - row, cols - col) <= radius


def write_patient(folder, number):
    """A rectangle of a patient; a lesion and a faint one in the anterior view, one in the posterior, as acquired."""
    rng = np.random.default_rng(number)
    body = np.zeros(SHAPE)
    body[20:240, 60:200] = 12
    lesions = {view: np.zeros(SHAPE, np.uint16) for view in View}
    faint = np.zeros(SHAPE, np.bool_)
    if number != LESION_FREE:
        lesions[View.ANTERIOR][disc(60 + 10 * number, 100)] = 3
        lesions[View.POSTERIOR][disc(100, 90 + 5 * number)] = 1
        faint |= disc(200, 150)
    folder.mkdir(parents=True)
    counts = {view: rng.poisson(body + 60 * (lesions[view] > 0)).astype(np.uint16) for view in View}
    np.savez(folder / "scan.npz", spacing_mm=np.array([2.3, 2.3]), **counts)
    arrays = {f"lesions_{view}": lesions[view] for view in View}
    np.savez(folder / "truth.npz", faint_anterior=faint, faint_posterior=np.zeros(SHAPE, np.bool_), **arrays)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    for number in range(PATIENTS):
        write_patient(folder / f"p{number}" / "scan-a", number)
    return folder


@pytest.fixture(scope="module")
def options(cohort) -> DatasetOptions:
    return DatasetOptions(seed=1, images=24, patients=PatientOptions(cohort=cohort))


@pytest.fixture(scope="module")
def built(options, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "set"
    told = []
    summary = build_dataset(
        options, out, lambda done, total, last="", stage=None: told.append((stage, done, total)), processes=1
    )
    assert (summary.statement.options["patients"], summary.statement.patients_left_out) == (PATIENTS - 1, 1)
    assert told[-1] == ("pairs", 12, 12)
    assert ("studies", PATIENTS, PATIENTS) in told
    return out


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


class TestCohort:
    def test_lesion_free_patients_can_be_kept(self, options, cohort, tmp_path):
        kept = replace(options, patients=PatientOptions(cohort=cohort, keep_lesion_free=True))
        summary = build_dataset(kept, tmp_path / "set", processes=1)
        assert (summary.statement.options["patients"], summary.statement.patients_left_out) == (PATIENTS, 0)
        dataset = read_dataset(tmp_path / "set", "D1")
        (free,) = (record for record in dataset.pairs if record.patient == f"p{LESION_FREE}")
        assert free.labelled == (True, True)
        assert not dataset.load(free).lesions.any()

    def test_a_count_takes_the_first_ones(self, options, cohort, tmp_path):
        build_dataset(replace(options, patients=PatientOptions(3, cohort)), tmp_path / "set", processes=1)
        assert {record.patient for record in read_dataset(tmp_path / "set", "D2").pairs} == {"p0", "p1", "p3"}

    def test_patients_without_labels_are_learned_from_and_who_is_left_out_is_said(self, options, tmp_path):
        cohort = tmp_path / "cohort"
        for number in range(5):
            write_patient(cohort / f"p{number}" / "s", number)
        for patient in ("p1", "p4"):
            (cohort / patient / "s" / "truth.npz").unlink()
        (cohort / "p9" / "s").mkdir(parents=True)
        np.savez(cohort / "p9" / "s" / "scan.npz", other=np.zeros((2, 2)))
        out = tmp_path / "set"
        summary = build_dataset(replace(options, patients=PatientOptions(cohort=cohort), images=16), out, processes=1)
        dataset = read_dataset(out, "D2")
        without = {record.study for record in dataset.pairs if not any(record.labelled)}
        assert {study.partition("/")[0] for study in without} == {"p1", "p4"}
        assert {record.split for record in dataset.pairs if record.study in without} == {Subset.TRAIN}
        assert not list((out / "p1").rglob("*.json"))
        statement = summary.statement
        assert (statement.options["patients"], statement.unlabelled_patients, statement.patients_left_out) == (4, 2, 2)
        told = str(summary)
        assert "p2: no lesion in the thoracic window" in told
        assert "p9/s: not labelled, and not usable without" in told
        labels = draw_labels(dataset, ImagesConfig(str(out), label_share=1.0))
        assert all(any(labels[record.study]) for record in dataset.of(Subset.TRAIN) if record.study not in without)

    def test_returned_lesions_are_neither_lesion_nor_background(self, options, tmp_path):
        cohort = tmp_path / "cohort"
        for number in (0, 1):
            study = cohort / f"p{number}" / "s"
            write_patient(study, number)
            (study / "truth.npz").unlink()
            drawn = from_label_image(disc(80, 100).astype(np.uint16))
            back = from_label_image(disc(150, 100).astype(np.uint16), label="ignored")
            for view in View:
                write_labelme(study / f"{view}.json", replace(drawn, shapes=drawn.shapes + back.shapes))
        build_dataset(replace(options, patients=PatientOptions(cohort=cohort), images=4), tmp_path / "set", processes=1)
        dataset = read_dataset(tmp_path / "set", "D1")
        for record in dataset.pairs:
            lesions = dataset.load(record).lesions[0]
            assert np.array_equal(lesions == FAINT, disc(150, 100))
            assert np.array_equal((lesions > 0) & (lesions != FAINT), disc(80, 100))

    def test_a_view_without_labels_stays_unlabelled_and_one_without_counts_absent(self, options, tmp_path):
        cohort = tmp_path / "cohort"
        for number in (0, 1):
            write_patient(cohort / f"p{number}" / "s", number)
        for study in (cohort / "p0" / "s", cohort / "p1" / "s"):
            (study / "truth.npz").unlink()
            scan = dict(np.load(study / "scan.npz"))
            write_labelme(study / "anterior.json", from_label_image(disc(80, 100).astype(np.uint16)))
            if study.parent.name == "p1":
                del scan["posterior"]
                np.savez(study / "scan.npz", **scan)
        build_dataset(replace(options, patients=PatientOptions(cohort=cohort), images=8), tmp_path / "set", processes=1)
        dataset = read_dataset(tmp_path / "set", "D2")
        flags = {record.patient: (record.present, record.labelled) for record in dataset.pairs}
        assert flags == {"p0": ((True, True), (True, False)), "p1": ((True, False), (True, False))}
        for record in dataset.pairs:
            pair = dataset.load(record)
            assert pair.present == record.present
            assert pair.counts[1].any() == record.present[1]
            assert not pair.lesions[1].any()
            assert not (record.path / "posterior.json").exists()

    def test_too_few_patients_are_refused_and_nothing_is_left(self, options, cohort, tmp_path):
        with pytest.raises(InputError, match="5 patients have a lesion in the thorax and 6 are wanted"):
            build_dataset(replace(options, patients=PatientOptions(6, cohort)), tmp_path / "set", processes=1)
        assert list(tmp_path.iterdir()) == []

    def test_studies_of_one_patient_stay_with_it_and_apart(self, options, tmp_path):
        cohort = tmp_path / "cohort"
        for number, study in enumerate(("p0/2020/scan", "p0/2021/scan", "p1/scan", "p3/scan")):
            write_patient(cohort / study, number if number != LESION_FREE else 5)
        build_dataset(replace(options, patients=PatientOptions(cohort=cohort), images=8), tmp_path / "set", processes=1)
        records = read_dataset(tmp_path / "set", "D1").pairs
        assert [record.study for record in records] == ["p0/2020-scan", "p0/2021-scan", "p1/scan", "p3/scan"]
        assert len({record.split for record in records if record.patient == "p0"}) == 1

    def test_a_scan_that_is_there_twice_is_refused_and_an_unlabelled_one_left_out(self, options, tmp_path):
        for number in range(4):
            write_patient(tmp_path / "cohort" / f"p{number}" / "scan-a", number)
        own = replace(options, patients=PatientOptions(cohort=tmp_path / "cohort"))
        twin = tmp_path / "cohort" / "a-copy" / "scan-a"
        shutil.copytree(tmp_path / "cohort" / "p1" / "scan-a", twin)
        with pytest.raises(InputError, match="p1/scan-a has the same pixels as a-copy/scan-a"):
            build_dataset(own, tmp_path / "set", processes=1)
        (twin / "truth.npz").unlink()
        statement = build_dataset(own, tmp_path / "set", processes=1).statement
        assert "a-copy/scan-a: not labelled, and it has the same pixels as p1/scan-a" in statement.left_out
        assert statement.unlabelled_patients == 0

    def test_folders_with_one_patient_id_are_one_patient(self, options, tmp_path, monkeypatch):
        for number in (0, 1, 3, 4):
            write_patient(tmp_path / "cohort" / f"p{number}" / "scan-a", number)
        stated = {"p1": "4711", "p4": "4711"}
        monkeypatch.setattr(originals, "stated_patient", lambda files: stated.get(files.paths[0].parts[-3]))
        own = replace(options, patients=PatientOptions(cohort=tmp_path / "cohort"))
        build_dataset(own, tmp_path / "set", processes=1)
        records = read_dataset(tmp_path / "set", "D1").pairs
        assert {record.patient for record in records} == {"p0", "p1", "p3"}
        assert len({record.split for record in records if record.patient == "p1"}) == 1
        assert sum(record.patient == "p1" for record in records) == 2

    def test_a_patient_called_as_the_samples_folder_is_refused(self, options, tmp_path):
        write_patient(tmp_path / "gan" / "s", 0)
        with pytest.raises(InputError, match="'gan'"):
            build_dataset(replace(options, patients=PatientOptions(cohort=tmp_path)), tmp_path / "set", processes=1)

    def test_truth_of_another_frame_is_refused_and_named(self, options, tmp_path):
        cohort = tmp_path / "cohort"
        for number in (0, 1):
            write_patient(cohort / f"p{number}" / "s", number)
        np.savez(cohort / "p1" / "s" / "truth.npz", lesions_anterior=np.zeros((9, 9), np.uint16))
        with pytest.raises(LabelError, match=r"p1/s: the anterior truth has 9 x 9 pixels"):
            build_dataset(replace(options, patients=PatientOptions(cohort=cohort)), tmp_path / "set", processes=1)

    def test_a_folder_that_holds_anything_is_refused(self, options, built, tmp_path):
        with pytest.raises(OutputError, match="holds a data set already"):
            build_dataset(options, built)
        (tmp_path / "notes.txt").touch()
        with pytest.raises(OutputError, match="no empty folder"):
            build_dataset(options, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


class TestReaders:
    def test_readers_label_what_is_learned_from_and_truth_what_is_tested_on(self, options, tmp_path):
        cohort = tmp_path / "cohort"
        for number in (0, 1):
            study = cohort / f"p{number}" / "s"
            write_patient(study, number)
            alike, apart = disc(60, 100).astype(np.uint16), 2 * disc(120, 120, 5).astype(np.uint16)
            for place, reader in enumerate(("reader-a", "reader-b", "reader-c")):
                (study / reader).mkdir()
                moved = np.roll(apart, 3 * place, axis=1)
                for view in View:
                    write_labelme(study / reader / f"{view}.json", from_label_image(np.maximum(alike, moved)))
        read = replace(options, patients=PatientOptions(cohort=cohort), images=8, readers=ReaderOptions(tolerance=0.3))
        build_dataset(read, tmp_path / "set", processes=1)
        dataset = read_dataset(tmp_path / "set", "D1")
        ((learned,), (tested,)) = dataset.of(Subset.TRAIN), dataset.of(Subset.TEST)
        lesions = dataset.load(learned).lesions
        assert np.array_equal(lesions[0] == 1, disc(60, 100))
        assert np.array_equal(lesions[1] == 1, mirror(disc(60, 100)))
        union = disc(120, 120, 5) | disc(120, 123, 5) | disc(120, 126, 5)
        assert np.array_equal(lesions[0] == FAINT, union)
        source = read_truth(cohort / tested.patient / "s")
        assert np.array_equal(dataset.load(tested).lesions[0] == 3, source[View.ANTERIOR].lesions == 3)
        stated = tomllib.loads((tmp_path / "set" / "dataset.toml").read_text())["options"]
        assert (stated["labels"], stated["tolerance"]) == ("readers", 0.3)

    def test_a_cohort_without_readers_is_refused(self, options, tmp_path):
        with pytest.raises(InputError, match="was read by 0 readers"):
            build_dataset(replace(options, readers=ReaderOptions()), tmp_path / "set", processes=1)


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
