"""Cohort folders: their files, the same bytes from the same seed, and the way back from each file."""

from __future__ import annotations

import csv
import shutil
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bonescan.annotate import label_image, read_labelme
from bonescan.commands.simulate import _told
from bonescan.dicom.read_header import read_header
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.errors import OptionError, OutputError, ViewError
from bonescan.phantom import cohort, make_anatomy, series
from bonescan.phantom.cohort import CohortOptions, CohortSummary, write_cohort, write_patient
from bonescan.phantom.series import SeriesScan
from bonescan.reading import ReadOptions, read_study
from bonescan.study import View

COUNT, SEED = 2, 5


@pytest.fixture(scope="module")
def phantom(patient_of):
    return next(p for p in (patient_of(0, seed) for seed in range(20)) if len(p.table) > 5)


@pytest.fixture(scope="module", autouse=True)
def _anatomies_are_made_once():
    """Anatomies follow from their seed, which their own test shows; here they may be remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohort, "make_anatomy", cache(make_anatomy))
        yield


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A cohort, its summary and the progress that was told."""
    out = tmp_path_factory.mktemp("cohorts") / "new" / "cohort"
    told = []
    summary = write_cohort(CohortOptions(out, COUNT, SEED), lambda done, total: told.append((done, total)))
    return out, summary, told


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_truth(folder):
    with np.load(folder / "truth.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def test_a_cohort_has_the_documented_files(written):
    out, summary, told = written
    files = {"anterior.json", "posterior.json", "truth.npz", "scan.dcm"}
    expected = {f"patient-{i:04d}/study/{name}" for i in range(COUNT) for name in files}
    assert contents(out).keys() == expected | {"lesions.csv", "cohort.toml"}
    assert tomllib.loads((out / "cohort.toml").read_text()) == {
        "simulated": True,
        "count": COUNT,
        "seed": SEED,
        "header": "mixed",
    }
    assert told == [(1, COUNT), (2, COUNT)]
    assert (summary.out, summary.patients) == (out, COUNT)


def test_the_table_says_what_the_truth_shows(written):
    out, summary, _ = written
    with (out / "lesions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    visible = set()
    for number in range(COUNT):
        name = f"patient-{number:04d}"
        truth = read_truth(out / name / "study")
        own = [row for row in rows if row["patient"] == name]
        assert [int(row["lesion"]) for row in own] == list(range(1, len(own) + 1))
        for view in View:
            labels = truth[f"lesions_{view}"]
            assert labels.max() <= len(own)
            for row in own:
                assert int(row[f"{view}_px"]) == (labels == int(row["lesion"])).sum()
            visible |= {(name, int(value)) for value in np.unique(labels[labels > 0])}
    assert summary.lesions == len(visible)
    assert summary.lesion_free == COUNT - len({name for name, _ in visible})
    assert len(rows) > 0


def test_the_same_options_give_the_same_bytes_and_another_seed_does_not(written, tmp_path):
    out, summary, _ = written
    again = write_cohort(CohortOptions(tmp_path / "again", COUNT, SEED))
    assert contents(tmp_path / "again") == contents(out)
    assert (again.lesions, again.lesion_free) == (summary.lesions, summary.lesion_free)
    write_cohort(CohortOptions(tmp_path / "other", 1, SEED + 1))
    scan = "patient-0000/study/scan.dcm"
    assert contents(tmp_path / "other")[scan] != contents(out)[scan]


@pytest.mark.slow
def test_a_longer_cohort_in_two_processes_begins_with_the_same_patients(written, tmp_path):
    out, _, _ = written
    write_cohort(CohortOptions(tmp_path, 4, SEED))
    longer = contents(tmp_path)
    for name, expected in contents(out).items():
        if name.startswith("patient-"):
            assert longer[name] == expected, name
    assert longer["lesions.csv"].startswith(contents(out)["lesions.csv"])


def test_an_interrupted_cohort_goes_on(written, tmp_path):
    out, _, _ = written
    begun = tmp_path / "begun"
    shutil.copytree(out, begun)
    (begun / "lesions.csv").unlink()
    (begun / "patient-0001").rename(begun / ".patient-0001.partial")  # killed while it wrote
    (begun / ".patient-0001.partial" / "study" / "truth.npz").write_bytes(b"half")
    write_cohort(CohortOptions(begun, COUNT, SEED))
    assert contents(begun) == contents(out)


@pytest.mark.parametrize("change", [{"count": COUNT + 1}, {"seed": SEED + 1}, {"header": "ge"}])
def test_another_cohort_in_the_folder_is_refused_and_kept(written, change):
    out, _, _ = written
    before = contents(out)
    with pytest.raises(OutputError, match="another cohort"):
        write_cohort(CohortOptions(**{"out": out, "count": COUNT, "seed": SEED, **change}))
    assert contents(out) == before


@pytest.mark.parametrize("toml", [None, b"\xff\xfe"])
def test_a_folder_that_holds_anything_else_is_refused_and_kept(tmp_path, toml):
    """Somebody's own patient-0000 must not be taken for one that is to be made again."""
    own = tmp_path / "patient-0000" / "scan.dcm"
    own.parent.mkdir()
    own.write_text("the only copy")
    if toml is not None:
        (tmp_path / "cohort.toml").write_bytes(toml)
    with pytest.raises(OutputError, match="choose an empty folder"):
        write_cohort(CohortOptions(tmp_path, 1, SEED))
    assert own.read_text() == "the only copy"


@pytest.mark.parametrize("count", [0, 10**12])
def test_a_count_that_cannot_be_meant_is_refused_before_anything_is_written(tmp_path, count):
    with pytest.raises(OptionError, match=f"{count} patients"):
        write_cohort(CohortOptions(tmp_path / "cohort", count, SEED))
    assert not (tmp_path / "cohort").exists()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_cohort(CohortOptions(tmp_path / "file" / "cohort", 1, SEED))


def test_an_unknown_header_style_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(OptionError, match=r"'philips'.*mixed.*siemens"):
        write_cohort(CohortOptions(tmp_path / "cohort", 1, SEED, header="philips"))
    assert not (tmp_path / "cohort").exists()


def test_the_mixed_styles_can_all_be_read_without_help():
    assert set(cohort._styles("mixed")) == set(HeaderStyle) - {HeaderStyle.NO_VIEWS}
    assert cohort._styles("two-files") == (HeaderStyle.TWO_FILES,)


@pytest.mark.parametrize("style", list(HeaderStyle))
@pytest.mark.parametrize("posterior_first", [False, True])
def test_a_study_reads_back_with_its_views(phantom, tmp_path, style, posterior_first):
    folder = tmp_path / "study"
    write_patient(phantom, folder, Header(style, posterior_first=posterior_first))
    stated = tuple(reversed(View)) if posterior_first else tuple(View)
    if style is HeaderStyle.NO_VIEWS:
        with pytest.raises(ViewError):
            read_study(folder)
    options = ReadOptions(views=stated) if style is HeaderStyle.NO_VIEWS else None
    study = read_study(folder, options)
    for view in View:
        np.testing.assert_array_equal(study.counts(view), phantom.study.counts(view))
    assert study.spacing == phantom.study.spacing


TRUTH = ("lesions", "faint", "regions", "benign", "levels")


def test_both_forms_of_the_truth_are_the_phantoms_own(phantom, tmp_path):
    folder = tmp_path / "study"
    write_patient(phantom, folder, Header())
    truth = read_truth(folder)
    assert truth.keys() == {f"{what}_{view}" for what in TRUTH for view in View}
    for view in View:
        assert truth[f"lesions_{view}"].dtype == np.uint16
        assert truth[f"regions_{view}"].dtype == np.uint8
        np.testing.assert_array_equal(truth[f"lesions_{view}"], phantom.lesions[view])
        np.testing.assert_array_equal(truth[f"faint_{view}"], phantom.faint[view])
        np.testing.assert_array_equal(truth[f"regions_{view}"], phantom.regions[view])
        np.testing.assert_array_equal(truth[f"benign_{view}"], phantom.benign[view])
        np.testing.assert_array_equal(truth[f"levels_{view}"], phantom.levels[view])
        drawn = label_image(read_labelme(folder / f"{view}.json"))
        numbers = np.unique(phantom.lesions[view])[1:]
        assert len(numbers) > 2
        # LabelMe has no numbers: lesions keep their order and are counted from 1.
        renumbered = np.searchsorted(numbers, phantom.lesions[view]) + (phantom.lesions[view] > 0)
        np.testing.assert_array_equal(drawn, renumbered)


def test_a_lesion_free_patient_has_label_files_without_shapes(tmp_path, monkeypatch):
    from bonescan.phantom import patient

    monkeypatch.setattr(patient, "sample_number", lambda rng: (0, False))
    summary = write_cohort(CohortOptions(tmp_path, 1, SEED, header="two-files"))
    assert (summary.lesion_free, summary.lesions) == (1, 0)
    study = tmp_path / "patient-0000" / "study"
    assert {path.name for path in study.iterdir()} == {
        "anterior.dcm", "posterior.dcm", "anterior.json", "posterior.json", "truth.npz",
    }  # fmt: skip
    for view in View:
        labels = read_labelme(study / f"{view}.json")
        assert labels.shapes == ()
        assert labels.shape == (1024, 256)
    assert (tmp_path / "lesions.csv").read_text().count("\n") == 1


def test_all_scans_of_a_series_state_one_patient_and_studies_of_their_own(phantom, tmp_path):
    made = [SeriesScan(replace(phantom, study=replace(phantom.study, key=f"scan-{time}")), {}) for time in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "make_series", lambda anatomy, seed, scans: made)
        for number in range(2):
            series.write_series(tmp_path, number, SEED, 2, HeaderStyle.GE, write_patient)
    headers = {path.relative_to(tmp_path).parts[:2]: read_header([path]) for path in tmp_path.rglob("scan.dcm")}
    ids = [{headers[f"patient-{n:04d}", f"study-{t}"].patient["PatientID"] for t in (1, 2)} for n in (0, 1)]
    assert [len(one) for one in ids] == [1, 1]
    assert ids[0] != ids[1]
    assert len({headers["patient-0000", f"study-{time}"].study["StudyInstanceUID"] for time in (1, 2)}) == 2


@pytest.mark.parametrize(
    ("patients", "lesions", "scans", "said"),
    [
        (1, 1, 1, "1 simulated patient (0 without lesions) with 1 visible lesion in out"),
        (2, 7, 1, "2 simulated patients (0 without lesions) with 7 visible lesions in out"),
        (1, 7, 3, "1 simulated patient (0 without lesions) with 7 visible lesions in all 3 studies in out"),
        (2, 7, 3, "2 simulated patients (0 without lesions) with 7 visible lesions in all 3 studies of each in out"),
    ],
)
def test_what_was_simulated_is_counted_in_words(patients, lesions, scans, said):
    assert _told(CohortSummary(Path("out"), patients, 0, lesions), scans) == said
