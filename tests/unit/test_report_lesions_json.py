"""lesions.json: as the schema says, read back as written, and refused when damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from bonescan.errors import InputError, OutputError
from bonescan.report.lesions_json import NO_SPACING, SCHEMA, lesions_document, lesions_text, read_lesions, write_lesions
from bonescan.study import Candidate, QualityCheck, Region, Side, View

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "reference" / "lesions.schema.json"


@pytest.fixture(scope="session")
def validator():
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


CASES = {
    "both views": {},
    "no lesion": {"lesions": {}},
    "one view": {"views": (View.POSTERIOR,)},
    "no spacing": {"spacing": None},
    "thorax": {"window": (slice(50, 130), slice(0, 128))},
    "everything": {},
}


@pytest.fixture(params=CASES)
def written(request, make_result):
    """A result of each case; of "everything" with candidates, quality checks, operating point and intervals, too."""
    plain = make_result(**CASES[request.param])
    return with_everything(plain) if request.param == "everything" else plain


def with_everything(result):
    lesion = result.lesions[0]
    candidates = tuple(
        Candidate(view, lesion.contour + shift, lesion.measures.area_px, 0.2, 0.3 - 0.01 * shift, Region.SACRUM)
        for shift, view in enumerate(View)
    )
    checks = (QualityCheck("tilt", 1.0, 6.0, False, "askew"), QualityCheck("counts", 2e5, 3e5, True, "few counts"))
    extent = replace(result.extent, intervals={"lesions": (3.0, 5.5), "bone_scan_index": (0.25, 0.75)}, draws=3)
    return replace(result, operating_point="specific", candidates=candidates, quality=checks, extent=extent)


def test_every_result_keeps_to_the_schema(written, validator):
    validator.validate(json.loads(lesions_text(written)))


def test_the_document_says_what_it_should(result):
    document = json.loads(lesions_text(result))
    assert document["schema"] == SCHEMA == json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))["$id"]
    assert document["research_use_only"] is True
    assert document["study"] == {
        "key": "scan-1",
        "acquired": "2021-05-06",
        "sources": ["scan.dcm"],
        "digests": ["ab" * 32],
        "view_source": "Detector Vector and View Code Sequence",
    }
    assert document["model"] == {"name": "phantom-unet", "sha256": "0123456789abcdef" * 4}
    assert document["region"] == {"name": "whole-body", "rows": [0, 320], "cols": [0, 128]}
    assert document["reader"] is None
    front = document["views"]["anterior"]
    assert front["source"] == {"file": 0, "frame": 1}
    assert (front["shape"], front["spacing_mm"], front["spacing_note"]) == ([320, 128], [2.4, 2.4], None)
    assert front["counts_total"] == float(result.study.counts(View.ANTERIOR).astype(int).sum())
    assert front["burden"]["lesions"] == 2
    assert [lesion["id"] for lesion in document["lesions"]] == [1, 2, 3, 4, 5]
    assert [lesion["view"] for lesion in document["lesions"]] == ["anterior"] * 2 + ["posterior"] * 3
    first = document["lesions"][0]
    assert first["contour"][0] == first["contour"][-1]
    assert first["area_mm2"] == pytest.approx(first["area_px"] * 5.76)
    assert document["warnings"] == ["the tracer is not stated"]


def test_without_spacing_millimetres_are_null_with_a_reason(make_result):
    bare = make_result(spacing=None)
    front = lesions_document(bare)["views"]["anterior"]
    assert (front["spacing_mm"], front["burden"]["area_mm2"]) == (None, None)
    assert front["spacing_note"] == "the stated spacing makes the patient 2.9 m tall"
    unexplained = replace(bare, study=replace(bare.study, spacing_note=None))
    assert lesions_document(unexplained)["views"]["anterior"]["spacing_note"] == NO_SPACING


def test_a_missing_view_is_null(make_result):
    document = lesions_document(make_result(views=(View.POSTERIOR,)))
    assert document["views"]["anterior"] is None
    assert document["views"]["posterior"] is not None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda document: document.update(extra=1), "extra"),
        (lambda document: document.update(research_use_only=False), "True was expected"),
        (lambda document: document["lesions"][0].update(patient="x"), "patient"),
        (lambda document: document["lesions"][0].update(side="up"), "up"),
        (lambda document: document["lesions"][0].pop("contour"), "contour"),
        (lambda document: document["views"]["anterior"].update(spacing_mm=None), "anterior"),
        (lambda document: document["views"]["anterior"]["burden"].update(area_mm2=None), "anterior"),
        (lambda document: document["region"].update(rows=[1, 2, 3]), "3"),
    ],
)
def test_the_schema_refuses_what_is_not_the_format(result, validator, change, where):
    document = json.loads(lesions_text(result))
    change(document)
    errors = [str(error) for error in validator.iter_errors(document)]
    assert any(where in error for error in errors)


def test_the_schema_knows_every_region_and_side():
    lesion = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))["$defs"]["lesion"]["properties"]
    assert set(lesion["side"]["enum"]) == set(Side)
    assert set(lesion["region"]["enum"]) == set(Region) - {Region.KIDNEY, Region.BLADDER, Region.OTHER_TRACER}


def test_what_is_written_is_read_back(written, tmp_path):
    result = written
    path = tmp_path / "lesions.json"
    write_lesions(result, path)
    read = read_lesions(path)
    study = result.study
    assert (read.key, read.acquired, read.sources, read.view_source) == (
        study.key,
        study.acquired,
        study.sources,
        study.view_source,
    )
    assert read.digests == study.digests
    assert {view: record.source for view, record in read.views.items()} == study.frames
    assert {view: record.burden for view, record in read.views.items()} == result.burden
    assert all((record.shape, record.spacing) == (study.shape, study.spacing) for record in read.views.values())
    for found, lesion in zip(read.lesions, result.lesions, strict=True):
        assert found.origin == lesion.origin
        np.testing.assert_array_equal(found.mask, lesion.mask)
    names = ("model", "reader", "region", "window", "lesions", "operating_point", "candidates", "extent", "quality")
    again = replace(result, **{name: getattr(read, name) for name in (*names, "warnings")})
    assert lesions_document(again) == lesions_document(result)


def test_the_case_of_everything_has_all_parts(result):
    document = lesions_document(with_everything(result))
    assert all(document[name] for name in ("operating_point", "candidates", "extent", "quality"))
    assert document["extent"]["intervals"]
    for name in ("level", "pair"):
        assert any(lesion[name] is not None for lesion in document["lesions"])


def test_a_readers_result_comes_back_with_its_reader_and_without_a_probability(result, validator, tmp_path):
    drawn = replace(result, lesions=tuple(replace(lesion, probability=None) for lesion in result.lesions), reader="Yü")
    validator.validate(json.loads(lesions_text(drawn)))
    write_lesions(drawn, tmp_path / "lesions.json")
    read = read_lesions(tmp_path / "lesions.json")
    assert (read.reader, {lesion.probability for lesion in read.lesions}) == ("Yü", {None})


def test_the_first_format_is_still_read(result, tmp_path):
    document = lesions_document(result)
    document["schema"] = "urn:bonescan:lesions:1"
    del document["reader"], document["study"]["digests"]
    for view in View:
        del document["views"][view.value]["source"]
    (tmp_path / "lesions.json").write_text(json.dumps(document))
    read = read_lesions(tmp_path / "lesions.json")
    assert (read.digests, read.reader, [record.source for record in read.views.values()]) == ((), None, [None, None])
    assert len(read.lesions) == len(result.lesions)


def test_the_same_result_gives_the_same_text(make_result):
    assert lesions_text(make_result()) == lesions_text(make_result())


def test_a_name_that_is_no_utf_8_does_not_lose_the_result(result, tmp_path):
    """Python reads the Latin-1 name b"M\\xfcller.dcm" as a lone surrogate, which no UTF-8 file can hold."""
    named = replace(result, study=replace(result.study, sources=(b"M\xfcller.dcm".decode(errors="surrogateescape"),)))
    write_lesions(named, tmp_path / "lesions.json")
    assert read_lesions(tmp_path / "lesions.json").sources == ("M\ufffdller.dcm",)


def test_what_is_not_finite_is_never_written(result, tmp_path):
    lesion = replace(result.lesions[0], measures=replace(result.lesions[0].measures, contrast=float("nan")))
    with pytest.raises(OutputError, match="not finite"):
        write_lesions(replace(result, lesions=(lesion,)), tmp_path / "lesions.json")
    assert not (tmp_path / "lesions.json").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not JSON"),
        ("[1]", "of the format None"),
        ('{"schema": "urn:other:2"}', "'urn:other:2'"),
        (f'{{"schema": "{SCHEMA}"}}', "does not hold"),
        ('{"schema": NaN}', "not JSON"),
    ],
)
def test_damaged_files_are_refused_with_a_sentence(tmp_path, text, sentence):
    path = tmp_path / "lesions.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_lesions(path)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["lesions"][0].update(area_px=1),
        lambda document: document["lesions"][0].update(contour=[[0, 0]]),
        lambda document: document["lesions"][0].update(contour=[]),
        lambda document: document["lesions"][0].update(contour=[[1, 1], [1, 1e9], [1e9, 1]]),
        lambda document: document["views"]["anterior"].update(shape=[100000, 100000]),
        lambda document: document["views"].update(anterior=None),
        lambda document: document.update(lesions=3),
        lambda document: document["candidates"][0].update(peak=0.1),
        lambda document: document["candidates"][0].update(contour=[[1, 1], [1, None], [1, 1]]),
    ],
)
def test_files_that_contradict_themselves_are_refused(result, tmp_path, change):
    document = json.loads(lesions_text(with_everything(result)))
    change(document)
    path = tmp_path / "lesions.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="does not hold"):
        read_lesions(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_lesions(tmp_path / "lesions.json")


def test_a_file_that_is_far_too_large_is_not_read(tmp_path):
    with (tmp_path / "lesions.json").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(InputError, match="more than 64 MB"):
        read_lesions(tmp_path / "lesions.json")
