"""Codes; levels, pairs and the extent of disease in the structured report and the segmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes as dictionary
from tests.drawn import dicom_errors, random_masks, result_of, scan_of

from bonescan.dicom.header import Code
from bonescan.dicom.objects import codes, write_object
from bonescan.dicom.objects.read_objects import read_curves
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.study import BONE_REGIONS, LEVELS, Extent, Level, Region, RibPart, Side, View

RIBS = (
    "48535007", "78247007", "25888004", "25523003", "15339008", "59558009",
    "24915002", "5953002", "22565002", "77644006", "58830002", "43993008",
)  # fmt: skip
"""SNOMED CT, from the first to the twelfth."""


def test_vertebrae_and_ribs_have_their_codes_and_no_two_levels_one_code():
    """SNOMED CT in pydicom names each vertebra; of the ribs it knows only the bone in general."""
    for name, code in codes.LEVELS.items():
        if not name.startswith("rib"):
            known = getattr(dictionary.SCT, f"{name}Vertebra")
            assert (code.value, code.meaning) == (known.value, known.meaning)
    assert tuple(codes.LEVELS[f"rib {number}"].value for number in range(1, 13)) == RIBS
    assert set(codes.LEVELS) == set(LEVELS[1:])
    assert len({code.value for code in codes.LEVELS.values()}) == len(LEVELS) - 1


SITES = {
    Region.SKULL: "Skull", Region.CERVICAL_SPINE: "CervicalSpine", Region.THORACIC_SPINE: "ThoracicSpine",
    Region.LUMBAR_SPINE: "LumbarSpine", Region.SACRUM: "Sacrum", Region.PELVIS: "BoneStructureOfPelvis",
    Region.RIBS: "Rib", Region.STERNUM: "Sternum", Region.CLAVICLE: "Clavicle", Region.SCAPULA: "Scapula",
    Region.ARM: "UpperLimb", Region.FEMUR: "Femur", Region.LOWER_LEG: "Tibia", Region.FACE: "FacialBones",
    Region.MANDIBLE: "Mandible", Region.HUMERUS: "Humerus", Region.FOREARM: "Forearm", Region.HAND: "Hand",
    Region.ILIUM: "Ilium", Region.ISCHIUM: "Ischium", Region.FOOT: "Foot",
}  # fmt: skip
"""Names in pydicom's dictionary of SNOMED CT, which lacks the pubis."""
OTHERS = [
    (codes.SIDES[Side.LEFT], dictionary.SCT.Left),
    (codes.SIDES[Side.RIGHT], dictionary.SCT.Right),
    (codes.VIEWS[View.ANTERIOR], dictionary.SCT.AnteriorProjection),
    (codes.VIEWS[View.POSTERIOR], dictionary.SCT.PosteriorProjection),
    (codes.LESION, dictionary.SCT.Lesion),
    (codes.METASTASIS, dictionary.SCT.BonyMetastasis),
    (codes.ABNORMAL_STRUCTURE, dictionary.SCT.MorphologicallyAbnormalStructure),
    (codes.NEOPLASM, dictionary.SCT.NeoplasmSecondary),
    (codes.AREA, dictionary.SCT.Area),
    (codes.CERTAINTY, dictionary.DCM.CertaintyOfFinding),
    (codes.IMAGE_VIEW, dictionary.DCM.ImageView),
    (codes.COMMENT, dictionary.DCM.Comment),
    (codes.SOURCE_IMAGE, dictionary.DCM.SourceImageForImageProcessingOperation),
    (codes.SEGMENTATION, dictionary.DCM.SegmentationImageDerivation),
    (codes.AI, dictionary.DCM.ArtificialIntelligence),
    (codes.SQUARE_MILLIMETRES, dictionary.UCUM.SquareMillimeter),
    (codes.PERCENT, dictionary.UCUM.Percent),
    (codes.COUNTS, dictionary.UCUM.Counts),
    (codes.RATIO, dictionary.UCUM.Ratio),
    (codes.NO_UNITS, dictionary.UCUM.NoUnits),
]


def test_every_code_is_that_of_its_dictionary():
    """By the names of the dictionary, so that no other thing's code passes."""
    lacking = {codes.SITES[Region.PUBIS]: "16884005", codes.WHOLE_BODY_SCAN: "41747008", codes.PIXELS: "{pixels}"}
    assert {code.value: value for code, value in lacking.items()} == {value: value for value in lacking.values()}
    assert set(codes.SITES) == set(BONE_REGIONS) == {*SITES, Region.PUBIS}
    known = [(codes.SITES[region], getattr(dictionary.SCT, name)) for region, name in SITES.items()] + OTHERS
    for code, expected in known:
        assert (code.value, code.scheme) == (expected.value, expected.scheme_designator), code.meaning
    checked = {code.value for code, _ in known} | {code.value for code in lacking}
    stated = [code for code in vars(codes).values() if isinstance(code, Code) and code.scheme != codes.OURS]
    assert {code.value for code in stated} <= checked


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
