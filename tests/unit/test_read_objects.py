"""Reports and segmentations as other tools write them: every curve is found, or the object is refused."""

from __future__ import annotations

import pydicom
import pytest
from pydicom.dataset import Dataset
from tests.drawn import random_masks, result_of, scan_of

from bonescan import sandbox
from bonescan.dicom.objects import write_object
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.errors import InputError
from bonescan.lesions.contours import mask_of
from bonescan.reading.returned import LabelFile, read_source, returned
from bonescan.study import View


def drawn(rng, folder, style=HeaderStyle.STANDARD, lesions=2):
    """A result with lesions in each view, and the header of its scan."""
    study, origin = scan_of(rng, folder, Header(style), None)
    masks = random_masks(rng, study.shape)
    return result_of(study, {view: [next(masks) for _ in range(lesions)] for view in View}), origin


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(11)


def report(kind, result, origin, folder, change=None):
    """An object of a result, after `change` of its dataset."""
    path = folder / f"{kind}.dcm"
    assert write_object(kind, result, origin, path)
    dataset = pydicom.dcmread(path)
    if change is not None:
        change(dataset)
    dataset.save_as(path)
    return path


def groups(dataset):
    """The measurement groups of a report."""
    return [
        group
        for container in dataset.ContentSequence
        if container.ValueType == "CONTAINER"
        for group in container.ContentSequence
        if group.ValueType == "CONTAINER"
    ]


def curve_in(group):
    return next((item for item in group.ContentSequence if item.ValueType == "SCOORD"), None)


def below_numbers(dataset):
    """As dcmjs writes it (TID 300): no curve in a group itself, and the same one below two of its numbers."""
    for group in groups(dataset):
        curve = curve_in(group)
        if curve is not None:
            curve.RelationshipType = "INFERRED FROM"
            group.ContentSequence = [item for item in group.ContentSequence if item is not curve]
            for number in [item for item in group.ContentSequence if item.ValueType == "NUM"][:2]:
                number.ContentSequence = [curve]


def test_curves_below_numbers_are_found_and_each_counts_once(rng, tmp_path):
    result, origin = drawn(rng, tmp_path)
    file = LabelFile(report("sr", result, origin, tmp_path, below_numbers))
    found = returned([read_source(file)], result.study, origin.header)
    assert [one.view for one in found.drawn] == [lesion.view for lesion in result.lesions]
    for one, lesion in zip(found.drawn, result.lesions, strict=True):
        assert (one.mask[lesion.window] == lesion.mask).all()
        assert (one.probability, one.region) == (lesion.probability, lesion.region)


def test_two_curves_of_a_group_stay_two(rng, tmp_path):
    def moved(dataset):
        below_numbers(dataset)
        (first, second, *_) = (item for item in groups(dataset)[-1].ContentSequence if item.ValueType == "NUM")
        second.ContentSequence = [Dataset.from_json(first.ContentSequence[0].to_json())]
        second.ContentSequence[0].GraphicData = [value + 1 for value in second.ContentSequence[0].GraphicData]

    result, origin = drawn(rng, tmp_path, lesions=1)
    curves = sandbox.read_curves(report("sr", result, origin, tmp_path, moved)).curves
    assert len(curves) == len(result.lesions) + 1
    first, second = (mask_of(curve.contour, (300, 100)) for curve in curves[-2:])
    assert (first[:-1, :-1] == second[1:, 1:]).all()


def test_curves_in_coordinates_of_the_patient_are_refused(rng, tmp_path):
    def in_three(dataset):
        below_numbers(dataset)
        number = next(item for item in groups(dataset)[-1].ContentSequence if "ContentSequence" in item)
        number.ContentSequence[0].ValueType = "SCOORD3D"

    result, origin = drawn(rng, tmp_path)
    with pytest.raises(InputError, match="SCOORD3D"):
        sandbox.read_curves(report("sr", result, origin, tmp_path, in_three))


def test_a_report_without_curves_is_refused_unless_it_states_that_there_is_no_lesion(rng, tmp_path):
    def emptied(dataset):
        for group in groups(dataset):
            group.ContentSequence = [item for item in group.ContentSequence if item.ValueType != "SCOORD"]

    def uncounted(dataset):
        for group in groups(dataset):
            group.ContentSequence = [item for item in group.ContentSequence if item.ValueType != "NUM"]

    result, origin = drawn(rng, tmp_path)
    with pytest.raises(InputError, match="the report holds no curve"):
        sandbox.read_curves(report("sr", result, origin, tmp_path, emptied))
    none, origin = drawn(rng, tmp_path, lesions=0)
    assert sandbox.read_curves(report("sr", none, origin, tmp_path)).curves == ()
    with pytest.raises(InputError, match="the report holds no curve"):
        sandbox.read_curves(report("sr", none, origin, tmp_path, uncounted))


def frame_unstated(dataset):
    """Remove the frame from all references of a report or a segmentation."""
    for item in [one for element in dataset.iterall() if element.VR == "SQ" for one in element.value]:
        if "ReferencedFrameNumber" in item:
            del item.ReferencedFrameNumber


@pytest.mark.parametrize("kind", ["sr", "seg"])
def test_a_curve_that_does_not_state_its_frame_is_on_no_frame_of_two(kind, rng, tmp_path):
    result, origin = drawn(rng, tmp_path)
    source = read_source(LabelFile(report(kind, result, origin, tmp_path, frame_unstated)))
    with pytest.raises(InputError, match="does not state on which frame"):
        returned([source], result.study, origin.header)


@pytest.mark.parametrize("kind", ["sr", "seg"])
def test_it_is_on_the_only_frame_where_each_view_has_a_file(kind, rng, tmp_path):
    result, origin = drawn(rng, tmp_path, HeaderStyle.TWO_FILES)
    source = read_source(LabelFile(report(kind, result, origin, tmp_path, frame_unstated)))
    found = returned([source], result.study, origin.header)
    assert [one.view for one in found.drawn] == [lesion.view for lesion in result.lesions]
