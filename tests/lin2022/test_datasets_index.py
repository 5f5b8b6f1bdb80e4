"""Table 1, the index and the statement there and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bonescan.errors import InputError
from bonescan.lin2022.datasets import (
    DatasetOptions,
    Move,
    Origin,
    PairRecord,
    PatientOptions,
    Protocol,
    ReaderOptions,
    SplitOptions,
    Subset,
    table,
)
from bonescan.lin2022.datasets.index import INDEX, SetSize, read_index, set_sizes, write_index
from bonescan.lin2022.datasets.originals import Chosen
from bonescan.lin2022.datasets.statement import LEAKY_WARNING, read_statement, state, write_statement


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
