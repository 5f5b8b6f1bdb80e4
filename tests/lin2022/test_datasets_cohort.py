"""Whose scans and labels a data set takes from a cohort, and which cohorts are refused."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from tests.lin2022.conftest import LESION_FREE, PATIENTS, disc, write_patient

from bonescan.annotate import from_label_image, write_labelme
from bonescan.annotate.label_json import counts_digests
from bonescan.annotate.labelme import LabelFile, stamped
from bonescan.errors import InputError, LabelError, OutputError
from bonescan.evaluate.cohort import read_truth
from bonescan.lin2022.datasets import PatientOptions, ReaderOptions, Subset, build_dataset, originals, read_dataset
from bonescan.lin2022.images import draw_labels
from bonescan.prepare import mirror
from bonescan.reading import read_study
from bonescan.study import View
from bonescan.train.cases import FAINT
from bonescan.train.config import ImagesConfig


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

    @pytest.mark.parametrize("fits", [True, False])
    def test_labels_of_another_frame_are_refused_for_their_size(self, options, tmp_path, fits):
        cohort = tmp_path / "cohort"
        for number in (0, 1):
            write_patient(cohort / f"p{number}" / "s", number)
        study = cohort / "p1" / "s"
        (study / "truth.npz").unlink()
        labels = from_label_image(disc(*((80, 100) if fits else (200, 100))).astype(np.uint16))
        write_labelme(study / "anterior.json", LabelFile(labels.shapes, (128, 256)))
        with pytest.raises(
            LabelError, match=r"p1/s: anterior\.json: the label file is for a frame of 128 x 256 pixels and the scan"
        ):
            build_dataset(replace(options, patients=PatientOptions(cohort=cohort)), tmp_path / "set", processes=1)

    def test_labels_of_another_scan_are_refused_and_named(self, options, tmp_path):
        cohort = tmp_path / "cohort"
        for number in (0, 1):
            write_patient(cohort / f"p{number}" / "s", number)
            (cohort / f"p{number}" / "s" / "truth.npz").unlink()
        own = replace(options, patients=PatientOptions(cohort=cohort), images=4)
        drawn = from_label_image(disc(80, 100).astype(np.uint16))

        def label(patient, source):
            for view, digest in counts_digests(read_study(cohort / source / "s")).items():
                write_labelme(cohort / patient / "s" / f"{view}.json", stamped(drawn, {view: digest}))

        for patient in ("p0", "p1"):
            label(patient, patient)
        build_dataset(own, tmp_path / "set", processes=1)
        label("p1", "p0")
        with pytest.raises(LabelError, match=r"p1/s: anterior\.json was drawn on another image than the anterior view"):
            build_dataset(own, tmp_path / "other", processes=1)
        assert not (tmp_path / "other").exists()

    def test_a_cohort_without_a_scan_is_refused_and_nothing_is_left(self, options, tmp_path):
        (tmp_path / "empty").mkdir()
        own = replace(options, patients=PatientOptions(cohort=tmp_path / "empty"))
        with pytest.raises(InputError, match="empty holds no labelled study: give a cohort folder with truth"):
            build_dataset(own, tmp_path / "above" / "set", processes=1)
        assert [path.name for path in tmp_path.iterdir()] == ["empty"]

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
        with pytest.raises(InputError, match="0 readers of 2 annotated the"):
            build_dataset(replace(options, readers=ReaderOptions()), tmp_path / "set", processes=1)

    def test_what_a_reader_drew_on_another_scan_is_refused(self, options, tmp_path):
        cohort = tmp_path / "cohort"
        for number in (0, 1):
            write_patient(cohort / f"p{number}" / "s", number)
        digests = counts_digests(read_study(cohort / "p0" / "s"))
        for study in (cohort / "p0" / "s", cohort / "p1" / "s"):
            for reader in ("reader-a", "reader-b"):
                (study / reader).mkdir()
                for view in View:
                    labels = stamped(from_label_image(disc(60, 100).astype(np.uint16)), {view: digests[view]})
                    write_labelme(study / reader / f"{view}.json", labels)
        read = replace(options, patients=PatientOptions(cohort=cohort), readers=ReaderOptions())
        with pytest.raises(LabelError, match=r"p1/s: reader-a/anterior\.json was drawn on another image"):
            build_dataset(read, tmp_path / "set", processes=1)
