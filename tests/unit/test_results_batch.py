"""Tables of many results: each number is that of its lesions.json, and statistics are those of the rows."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.conftest import LESIONS

from bonescan.assess.site import site_words
from bonescan.errors import InputError
from bonescan.results.batch import write_batch_tables
from bonescan.results.folder import write_result
from bonescan.study import View


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tables(make_result, tmp_path_factory):
    """Three results: two views with lesions, one view without spacing, and none with a name like a formula."""
    out = tmp_path_factory.mktemp("out")
    results = [
        replace(make_result(key="both"), operating_point="specific"),
        make_result(key="posterior", views=(View.POSTERIOR,), spacing=None),
        replace(make_result(key="=1+1", lesions={}), warnings=(), reader="A. Reader"),
    ]
    for result in results:
        write_result(result, out, ("json",))
    assert write_batch_tables(out, out) == 3
    return results, out


def test_each_lesion_has_a_row_with_its_measures(tables):
    results, out = tables
    rows = rows_of(out / "lesions.csv")
    lesions = {(result.study.key, str(one.id)): one for result in results for one in result.lesions}
    assert {(row["study"], row["outline"]) for row in rows} == set(lesions)
    for row in rows:
        lesion = lesions[row["study"], row["outline"]]
        assert (row["view"], row["region"], row["side"]) == (lesion.view, lesion.region, lesion.side)
        assert int(row["area_px"]) == lesion.measures.area_px
        assert float(row["counts_max"]) == pytest.approx(lesion.measures.counts_max)
        assert (row["area_mm2"] == "") is (lesion.measures.area_mm2 is None)
    first = next(row for row in rows if row["study"] == "both" and row["view"] == "anterior")
    row, col, _ = LESIONS[View.ANTERIOR][0]
    assert (float(first["row"]), float(first["col"])) == pytest.approx((row, col), abs=1)


def test_each_study_has_a_row_and_what_is_missing_is_empty(tables):
    _, out = tables
    rows = {row["study"]: row for row in rows_of(out / "studies.csv")}
    assert list(rows["both"])[2] == "patient_lesions"
    assert rows["both"]["patient_lesions"] == "4"
    assert (rows["both"]["anterior_outlines"], rows["both"]["posterior_outlines"]) == ("2", "3")
    assert not {"lesions", "anterior_lesions", "posterior_lesions"} & set(rows["both"])
    assert [rows[key]["operating_point"] for key in ("both", "posterior", "'=1+1")] == ["specific", "", ""]
    assert [rows[key]["outlines"] for key in ("both", "posterior", "'=1+1")] == ["5", "3", "0"]
    assert rows["posterior"]["anterior_outlines"] == ""
    assert rows["posterior"]["posterior_area_mm2"] == ""
    assert rows["both"]["warnings"] == "the tracer is not stated"
    assert rows["'=1+1"]["reader"] == "A. Reader"


def test_the_statistics_are_those_of_the_rows(tables):
    _, out = tables
    found = {row["quantity"]: row for row in rows_of(out / "statistics.csv")}
    per_study = np.array([5, 3, 0])
    assert float(found["outlines per study"]["mean"]) == pytest.approx(per_study.mean(), rel=1e-5)
    assert float(found["outlines per study"]["sd"]) == pytest.approx(per_study.std(ddof=1), rel=1e-5)
    assert found["anterior_outlines per study"]["n"] == "2"
    areas = [float(row["area_mm2"]) for row in rows_of(out / "lesions.csv") if row["area_mm2"]]
    assert int(found["area_mm2 per outline"]["n"]) == len(areas) == 5
    assert float(found["area_mm2 per outline"]["median"]) == pytest.approx(np.median(areas), rel=1e-5)
    assert found["studies without lesions"]["n"] == "1"
    in_regions = sum(int(row["n"]) for name, row in found.items() if name.startswith("outlines in "))
    assert in_regions == 8
    assert next(iter(found)) == "patient_lesions per study"
    assert not [name for name in found if name.startswith("lesions") or name.endswith("per lesion")]


def test_the_site_the_pair_and_what_is_counted_once_have_columns(tables):
    results, out = tables
    lesions = {(result.study.key, str(one.id)): one for result in results for one in result.lesions}
    for row in rows_of(out / "lesions.csv"):
        lesion = lesions[row["study"], row["outline"]]
        assert row["site"] == site_words(lesion)
        assert row["level"] == ("" if lesion.level is None else lesion.level.name)
        assert row["pair"] == ("" if lesion.pair is None else str(lesion.pair))
    studies = {row["study"]: row for row in rows_of(out / "studies.csv")}
    extent = results[0].extent
    assert int(studies["both"]["patient_lesions"]) == extent.lesions
    assert float(studies["both"]["patient_bone_scan_index"]) == pytest.approx(extent.bone_scan_index, rel=1e-5)
    assert int(studies["both"]["patient_grade"]) == extent.grade


def test_parquet_holds_the_same_rows_with_numbers_as_numbers(tables, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    _, out = tables
    assert write_batch_tables(out, tmp_path, parquet=True) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lesions.parquet", "statistics.parquet", "studies.parquet",
    ]  # fmt: skip
    for name in ("lesions", "studies", "statistics"):
        found, rows = parquet.read_table(tmp_path / f"{name}.parquet").to_pylist(), rows_of(out / f"{name}.csv")
        assert [set(row) for row in found] == [set(row) for row in rows]
        for row, text in zip(found, rows, strict=True):
            for column, value in row.items():
                if isinstance(value, float):
                    assert float(text[column]) == pytest.approx(value, rel=1e-5, abs=1e-12)
                elif column != "study":  # a name like a formula needs no apostrophe here
                    assert text[column] == ("" if value is None else str(value))


def test_without_pyarrow_the_command_says_what_to_install(cli, tmp_path):
    hidden = tmp_path / "hidden" / "pyarrow"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('not here', name='pyarrow')")
    done = cli("table", ".", "-o", "out", "--parquet", cwd=tmp_path, shadow=hidden.parent)
    assert done.returncode == 2
    assert "this needs pyarrow, which the base does not install" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no result"):
        write_batch_tables(tmp_path, tmp_path)


def test_segment_writes_them_where_asked_for_and_table_writes_the_same(in_process, tmp_path, threshold_bundle):
    rng = np.random.default_rng(3)
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        np.savez(tmp_path / "in" / name / "scan.npz", **{view: rng.poisson(9, (256, 128)) for view in View})
    common = ("--model", threshold_bundle, "--format", "json")
    for option, out, written in (("--tables", "many", True), ("--json", "one", False)):
        done = in_process("segment", "in", "-o", out, option, *common, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / out / "lesions.csv").exists() is written
    again = in_process("table", "many", "-o", "tables", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    for name in ("lesions.csv", "studies.csv", "statistics.csv"):
        assert (tmp_path / "tables" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


def test_results_that_cannot_be_read_are_named_with_a_remedy_and_the_others_go_on(in_process, tables, tmp_path):
    shutil.copytree(tables[1], tmp_path / "all")
    for name, text in (("damaged", "{"), ("foreign", '{"schema": "urn:other:2"}')):
        (tmp_path / "all" / name).mkdir()
        (tmp_path / "all" / name / "lesions.json").write_text(text)
    run = in_process("table", "all", "-o", "tables", cwd=tmp_path)
    assert run.returncode == 1
    for name in ("damaged", "foreign"):
        (line,) = [line for line in run.stderr.splitlines() if f"{name}/lesions.json" in line]
        assert line.endswith(": segment the scan again, or move the folder away")
    assert len(rows_of(tmp_path / "tables" / "studies.csv")) == 3
    run = in_process("table", "all/damaged", "-o", "none", cwd=tmp_path)
    assert run.returncode == 2
    assert "damaged/lesions.json" in run.stderr
    assert not (tmp_path / "none").exists()
