"""Levels, pairs and the extent of disease in the structured report and the segmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes as dictionary
from tests.drawn import dicom_errors, random_masks, result_of, scan_of

from bonescan.dicom.objects import codes, write_object
from bonescan.dicom.objects.read_objects import read_curves
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.study import LEVELS, Extent, Level, Region, RibPart, View


def test_vertebrae_have_the_codes_of_their_dictionary_and_no_two_levels_one_code():
    """SNOMED CT in pydicom names each vertebra; of the ribs it knows only the bone in general."""
    for name, code in codes.LEVELS.items():
        if not name.startswith("rib"):
            known = getattr(dictionary.SCT, f"{name}Vertebra")
            assert (code.value, code.meaning) == (known.value, known.meaning)
    assert set(codes.LEVELS) == set(LEVELS[1:])
    assert len({code.value for code in codes.LEVELS.values()}) == len(LEVELS) - 1


@pytest.fixture
def placed(tmp_path):
    """A result whose first lesion is on T8, and the second on a rib, both of one pair."""
    rng = np.random.default_rng(5)
    study, origin = scan_of(rng, tmp_path, Header(HeaderStyle.STANDARD), None)
    masks = random_masks(rng, study.shape)
    result = result_of(study, {view: [next(masks) for _ in range(2)] for view in View})
    first, second, *others = result.lesions
    lesions = (
        replace(first, region=Region.THORACIC_SPINE, level=Level("T8", 2), pair=1),
        replace(second, region=Region.RIBS, level=Level("rib 7", 1, RibPart.LATERAL), pair=1),
        *others,
    )
    extent = Extent(len(lesions) - 1, 0.01, 0.75, 0.9, 1, {"ribs": 0.1})
    return replace(result, lesions=lesions, extent=extent), origin


def written(kind, placed, tmp_path):
    path = tmp_path / f"{kind}.dcm"
    assert write_object(kind, *placed, path)
    return path


def values(dataset):
    """Every coded or measured statement of a report: (name, value)."""
    for item in dataset.get("ContentSequence", []):
        name = item.ConceptNameCodeSequence[0].CodeValue if "ConceptNameCodeSequence" in item else ""
        if "MeasuredValueSequence" in item:
            yield name, float(item.MeasuredValueSequence[0].NumericValue)
        if "ConceptCodeSequence" in item:
            yield name, item.ConceptCodeSequence[0].CodeValue
        yield from values(item)


def test_the_report_states_level_pair_and_extent(placed, tmp_path):
    said = list(values(pydicom.dcmread(written("sr", placed, tmp_path))))
    assert "11068009" in [value for _, value in said]
    assert [value for name, value in said if name == "LEVEL_PLUS_MINUS"] == [2.0, 1.0]
    assert [value for name, value in said if name == "PAIR"] == [1.0, 1.0]
    extent = placed[0].extent
    assert dict(said)["BONE_SCAN_INDEX"] == extent.bone_scan_index
    assert dict(said)["LESIONS_IN_ALL"] == extent.lesions


def test_the_segmentation_names_the_level_as_a_modifier_of_its_region(placed, tmp_path):
    segments = pydicom.dcmread(written("seg", placed, tmp_path)).SegmentSequence
    site = segments[0].AnatomicRegionSequence[0]
    assert site.CodeValue == codes.SITES[Region.THORACIC_SPINE].value
    assert "11068009" in [item.CodeValue for item in site.AnatomicRegionModifierSequence]
    assert "T8 \u00b12" in segments[0].SegmentDescription


@pytest.mark.parametrize("kind", ["sr", "seg"])
def test_the_regions_still_come_back(kind, placed, tmp_path):
    curves = read_curves(written(kind, placed, tmp_path)).curves
    assert [curve.region for curve in curves[:2]] == [Region.THORACIC_SPINE, Region.RIBS]


@pytest.mark.parametrize("kind", ["sr", "seg"])
def test_a_judge_finds_no_error(kind, placed, tmp_path):
    assert dicom_errors(written(kind, placed, tmp_path)) == []
