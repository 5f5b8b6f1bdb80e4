"""Which frame is anterior: every rung of the ladder alone, in agreement, in contradiction, and silent."""

from __future__ import annotations

import math

import pytest
from pydicom.dataset import Dataset

from bonescan.dicom.views import (
    Frame,
    evidence,
    tell_views,
    view_in_meaning,
    view_in_text,
    view_of_angle,
    view_of_orientation,
)
from bonescan.errors import InputError, ViewError
from bonescan.study import View

ANT, POST = View.ANTERIOR, View.POSTERIOR
HALF = math.sqrt(0.5)
"""Sine and cosine of 45 degrees."""


def code(value: str = "X", scheme: str = "99NMG", meaning: str = "") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def detector(view_code: Dataset | None = None, angle: float | None = None, orientation=None) -> Dataset:
    item = Dataset()
    if view_code is not None:
        item.ViewCodeSequence = [view_code]
    if angle is not None:
        item.StartAngle = angle
    if orientation is not None:
        item.ImageOrientationPatient = orientation
    return item


def scan(*detectors: Dataset, vector=None, **elements) -> Dataset:
    dataset = Dataset()
    if detectors:
        dataset.DetectorInformationSequence = list(detectors)
        dataset.DetectorVector = list(range(1, len(detectors) + 1)) if vector is None else vector
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def frames(dataset: Dataset, count: int = 2) -> list[Frame]:
    return [Frame(dataset, index, count) for index in range(count)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (code("G-5215", "SRT"), code("G-5216", "SRT")),
        (code("G-5215", "SNM3"), code("G-5216", "99SDM")),
        (code("399321004", "SCT"), code("399001007", "SCT")),
        (code("399321004", "SNOMED-CT"), code("399001007", "SNOMED-CT")),
    ],
)
def test_view_code_by_code(first, second):
    told = tell_views(frames(scan(detector(first), detector(second))))
    assert told.views == (ANT, POST)
    assert told.source == "the code of the detector's View Code Sequence"


def test_code_of_unknown_scheme_says_nothing():
    with pytest.raises(ViewError):
        tell_views(frames(scan(detector(code("G-5215", "99X")), detector(code("G-5216", "99X")))))


def test_private_scheme_by_padded_meaning():
    dataset = scan(detector(code("1", meaning="RT ANT  \0")), detector(code("2", meaning=" LT POST\0\0")))
    told = tell_views(frames(dataset))
    assert told.views == (ANT, POST)
    assert told.source == "the meaning of the detector's View Code Sequence"


def test_detector_vector_decides_not_the_order_of_the_items():
    dataset = scan(detector(angle=180), detector(angle=0), vector=[2, 1])
    assert tell_views(frames(dataset)).views == (POST, ANT)


def test_swapped_frames_by_code():
    dataset = scan(detector(code("G-5216", "SRT")), detector(code("G-5215", "SRT")))
    assert tell_views(frames(dataset)).views == (POST, ANT)


def test_no_detector_vector_is_silence():
    dataset = scan(detector(angle=180), detector(angle=0))
    del dataset.DetectorVector
    with pytest.raises(ViewError, match="--views anterior,posterior"):
        tell_views(frames(dataset))


@pytest.mark.parametrize("vector", [[1, 3], [0, 1], [1], [1, 2, 1]])
def test_detector_vector_that_cannot_be_is_damage(vector):
    with pytest.raises(InputError, match="damaged"):
        tell_views(frames(scan(detector(angle=180), detector(angle=0), vector=vector)))


def test_root_view_codes_one_a_frame():
    told = tell_views(frames(scan(ViewCodeSequence=[code("G-5216", "SRT"), code("G-5215", "SRT")])))
    assert (told.views, told.source) == ((POST, ANT), "the code of the image's View Code Sequence")


def test_one_root_view_code_does_not_speak_for_two_frames():
    with pytest.raises(ViewError):
        tell_views(frames(scan(ViewCodeSequence=[code("G-5215", "SRT")])))


@pytest.mark.parametrize(
    ("angle", "view"),
    [
        (0, POST),
        (45, POST),
        (315, POST),
        (-45, POST),
        (360, POST),
        (46, None),
        (90, None),
        (314, None),
        (-46, None),
        (406, None),
        (180, ANT),
        (135, ANT),
        (225, ANT),
        (-180, ANT),
        (134, None),
        (226, None),
        (270, None),
    ],
)
def test_start_angle(angle, view):
    assert view_of_angle(angle) is view


def test_start_angles_tell_a_ge_scan():
    told = tell_views(frames(scan(detector(angle=180), detector(angle=0))))
    assert (told.views, told.source) == ((ANT, POST), "the detector's Start Angle")


@pytest.mark.parametrize(
    ("cosines", "view"),
    [
        ([1, 0, 0, 0, 0, -1], ANT),
        ([-1, 0, 0, 0, 0, -1], POST),
        ([0.8, 0.6, 0, 0, 0, -1], ANT),
        ([0.6, 0.8, 0, 0, 0, -1], None),
        ([0.8, 0, 0.6, 0.6, 0, -0.8], ANT),  # turned by 37 degrees within the plane
        ([HALF, HALF, 0, 0, 0, -1], ANT),
        ([-HALF, HALF, 0, 0, 0, -1], POST),
        ([1, 0, 0, 0, HALF, -HALF], ANT),
        ([1, 0, 0, 0, 0, 1], None),
        ([1, 0, 0, 0, 1, 0], None),
        ([0, 0, 0, 0, 0, 0], None),
        ([2, 0, 0, 0, 0, -1], None),
        ([1, 0, 0], None),
    ],
)
def test_orientation(cosines, view):
    assert view_of_orientation(cosines) is view


def test_orientation_in_the_detector_item():
    dataset = scan(detector(orientation=[-1, 0, 0, 0, 0, -1]), detector(orientation=[1, 0, 0, 0, 0, -1]))
    told = tell_views(frames(dataset))
    assert (told.views, told.source) == ((POST, ANT), "the detector's Image Orientation")


def test_patient_orientation_of_a_single_view():
    told = tell_views(frames(scan(PatientOrientation=["L", "F"]), 1))
    assert (told.views, told.source) == ((ANT,), "Patient Orientation")
    assert tell_views(frames(scan(PatientOrientation=["R", "F"]), 1)).views == (POST,)
    with pytest.raises(ViewError):
        tell_views(frames(scan(PatientOrientation=["L", "F"]), 2))


@pytest.mark.parametrize(
    ("meaning", "view"),
    [
        ("RT ANT", ANT),
        ("LT POST ", POST),
        ("Posterior projection", POST),
        ("antérieur", ANT),
        ("antérieure", ANT),
        ("anteriore", ANT),
        ("ventral", ANT),
        ("postérieur", POST),
        ("postérieure", POST),
        ("posteriore", POST),
        ("dorsal", POST),
        ("ANT OBLIQUE", None),
        ("LEFT ANT OBL", None),
        ("LPO", None),
        ("LPO POST", None),
        ("RPO POST", None),
        ("LAO ANT", None),
        ("RAO ANT", None),
        ("Left lateral, anterior detector", None),
        ("Antero-posterior", None),
        ("Postero-anterior", None),
        ("ANT POST", None),
        ("", None),
        ("PANTS", None),
    ],
)
def test_meaning(meaning, view):
    assert view_in_meaning(meaning) is view


@pytest.mark.parametrize(
    ("description", "view"),
    [
        ("WB ANT", ANT),
        ("WB_POST", POST),
        ("Whole body posterior", POST),
        ("POST WB", POST),
        ("POST WHOLE BODY", POST),
        ("POST WHOLEBODY", POST),
        ("POST BODY", POST),
        ("POST VIEW", POST),
        ("POST IMAGE", POST),
        ("POST PLANAR", POST),
        ("POST BONE SCAN", POST),
        ("WB POST EM", POST),
        ("WHOLE BODY_POST_E", POST),
        ("ANT1", ANT),
        ("POST2", POST),
        ("POST 2 VIEW", POST),
        ("WHOLE BODY POST 3H", None),
        ("BONE SCAN POST 3 HOURS", None),
        ("WB POST 120 MIN", None),
        ("POST 3 STUNDEN", None),
        ("ANT WB POST 3H", ANT),
        ("3 H POST INJECTION", None),
        ("DELAYED 3H POST", None),
        ("POST THERAPY", None),
        ("POST INJ ANT", ANT),
        ("Ant/Post", None),
        ("WHOLE BODY_E", None),
        ("AP", None),
        ("ANT LAT", None),
        ("", None),
    ],
)
def test_free_text(description, view):
    assert view_in_text(description) is view


@pytest.mark.parametrize(
    ("keyword", "name"),
    [("ViewPosition", "View Position"), ("ImageID", "Image ID"), ("SeriesDescription", "Series Description")],
)
def test_text_tells_a_single_view_but_not_two_frames(keyword, name):
    dataset = scan(**{keyword: "POSTERIOR"})
    told = tell_views(frames(dataset, 1))
    assert (told.views, told.source) == ((POST,), f"the text of {name}")
    with pytest.raises(ViewError):
        tell_views(frames(dataset, 2))


def test_text_with_one_value_a_frame():
    told = tell_views(frames(scan(ImageID=["POST", "ANT"])))
    assert (told.views, told.source) == ((POST, ANT), "the text of Image ID")


def test_two_files_of_one_view_each():
    pair = [Frame(scan(ImageID="WB POST"), 0, 1), Frame(scan(SeriesDescription="WB ANT"), 0, 1)]
    told = tell_views(pair)
    assert told.views == (POST, ANT)
    assert told.source == "the text of Image ID and the text of Series Description"


def test_best_source_is_named_when_several_agree():
    dataset = scan(detector(code("G-5215", "SRT", "Anterior"), 180), detector(code("G-5216", "SRT", "Posterior"), 0))
    assert [len(evidence(frame)) for frame in frames(dataset)] == [3, 3]
    assert tell_views(frames(dataset)).source == "the code of the detector's View Code Sequence"


@pytest.mark.parametrize(
    "dataset",
    [
        scan(detector(code("G-5215", "SRT"), 0), detector(code("G-5216", "SRT"), 180)),
        scan(detector(code("G-5215", "SRT", "Posterior")), detector(code("G-5216", "SRT"))),
        scan(detector(angle=180), detector(angle=0), ViewCodeSequence=[code("G-5216", "SRT"), code("G-5215", "SRT")]),
    ],
)
def test_contradiction_is_refused(dataset):
    with pytest.raises(ViewError, match=r"contradicts itself on frame 1 .*--views anterior,posterior"):
        tell_views(frames(dataset))


def test_a_contradiction_is_reported_with_what_each_source_says():
    dataset = scan(detector(code("G-5215", "SRT"), 0), detector(code("G-5216", "SRT"), 180))
    said = r"View Code Sequence says anterior; the detector's Start Angle says posterior\)"
    with pytest.raises(ViewError, match=said):
        tell_views(frames(dataset))


def test_two_frames_of_one_side_are_refused():
    with pytest.raises(ViewError, match=r"both frames are posterior by the detector's Start Angle.*--frames"):
        tell_views(frames(scan(detector(angle=0), detector(angle=0))))


def test_one_silent_frame_is_not_filled_in_by_the_other():
    with pytest.raises(ViewError, match="which side frame 2 shows"):
        tell_views(frames(scan(detector(angle=180), detector())))


def test_nothing_stated_is_refused_with_the_way_out():
    with pytest.raises(ViewError, match=r"which side the image shows; .*--views anterior or --views posterior"):
        tell_views(frames(scan(), 1))
    both = "which side frame 1 and frame 2 show; .*--views anterior,posterior or --views posterior,anterior"
    with pytest.raises(ViewError, match=both):
        tell_views(frames(scan()))
