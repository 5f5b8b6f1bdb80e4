"""Objects in DICOM: valid by an independent judge, read back by others, in the source's study, the same every time."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_color_lut
from tests.drawn import MADE, dicom_errors, needs, random_masks, result_of, scan_of

from bonescan.dicom.header import Made, Origin
from bonescan.dicom.objects import common, write_object
from bonescan.dicom.objects.common import KINDS, to_contour
from bonescan.dicom.objects.read_objects import read_curves
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.errors import InputError
from bonescan.lesions.contours import mask_of
from bonescan.report.overlay import overlay
from bonescan.report.page import page
from bonescan.study import Extent, Region, Side, Spacing, View

SPACING = Spacing(2.4, 1.8)
NAME = "Ångström^Jöns"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A result with three lesions in each view, on a scan of two frames with pixels that are not square."""
    return make(tmp_path_factory.mktemp("scan"), Header(HeaderStyle.STANDARD))


def make(folder, header, spacing=SPACING, lesions=3, views=tuple(View)):
    rng = np.random.default_rng(5)
    study, origin = scan_of(rng, folder, header, spacing, views=views)
    masks = random_masks(rng, study.shape)
    return result_of(study, {view: [next(masks) for _ in range(lesions)] for view in views}), origin


def shown(dataset):
    """The colours that a viewer shows, (rows, cols, 3) uint8: of the palette's 16 bits the higher ones."""
    return (apply_color_lut(dataset.pixel_array, dataset) >> 8).astype(np.uint8)


def written(kind, result, origin, folder):
    path = folder / f"{kind}.dcm"
    assert write_object(kind, result, origin, path)
    return path


def coded(dataset):
    """All codes of a content tree, as (name, value) of each coded item, and the numbers by their names."""
    codes, numbers = [], {}
    for item in dataset.get("ContentSequence", ()):
        name = item.ConceptNameCodeSequence[0].CodeValue if "ConceptNameCodeSequence" in item else ""
        if item.ValueType == "CODE":
            codes.append((name, item.ConceptCodeSequence[0].CodeValue))
        if item.ValueType == "NUM":
            numbers[name] = float(item.MeasuredValueSequence[0].NumericValue)
        below = coded(item)
        codes += below[0]
        numbers |= below[1]
    return codes, numbers


@pytest.mark.parametrize("reader", [None, "A. Reader"])
def test_a_model_suspects_and_a_reader_decides(drawn, tmp_path, reader):
    result, origin = drawn
    result = replace(result, reader=reader)
    path = written("sr", result, origin, tmp_path)
    codes, numbers = coded(pydicom.dcmread(path))
    finding, suspected = [[value for name, value in codes if name == asked] for asked in ("121071", "SUSPECTED")]
    lesions = len(result.lesions)
    if reader is None:
        assert (finding.count("52988006"), suspected) == (lesions, ["94222008"] * lesions)
        assert "94222008" not in finding
    else:
        assert (finding.count("94222008"), suspected) == (lesions, [])
    assert numbers["111012"] == pytest.approx(75.0)
    assert dicom_errors(path) == []
    segments = pydicom.dcmread(written("seg", result, origin, tmp_path)).SegmentSequence
    types = {segment.SegmentedPropertyTypeCodeSequence[0].CodeValue for segment in segments}
    assert types == {"52988006" if reader is None else "14799000"}
    assert all(("suspected" in segment.SegmentDescription) is (reader is None) for segment in segments)


# What scanners of these makes write, and we with them: a private view code has no known designator, which is a warning.
@pytest.mark.parametrize("style", list(HeaderStyle))
def test_the_scans_that_are_simulated_are_valid_themselves(style, tmp_path):
    make(tmp_path, Header(style))
    for path in tmp_path.glob("*.dcm"):
        assert dicom_errors(path) == []


@pytest.mark.parametrize("style", list(HeaderStyle))
@pytest.mark.parametrize("kind", KINDS)
def test_an_independent_judge_finds_no_error(kind, style, tmp_path):
    result, origin = make(tmp_path, Header(style, posterior_first=True))
    assert dicom_errors(written(kind, result, origin, tmp_path)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "case",
    [
        {"spacing": None},
        {"lesions": 0},
        {"views": (View.POSTERIOR,)},
    ],
    ids=["no spacing", "no lesion", "one view"],
)
def test_it_finds_none_in_scarce_results_either(kind, case, tmp_path):
    result, origin = make(tmp_path, Header(HeaderStyle.STANDARD), **case)
    if kind == "seg" and not result.lesions:
        assert not write_object(kind, result, origin, tmp_path / "seg.dcm")
        assert not (tmp_path / "seg.dcm").exists()
        return
    assert dicom_errors(written(kind, result, origin, tmp_path)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_none_where_a_reader_drew(kind, drawn, tmp_path):
    result, origin = drawn
    lesions = tuple(replace(one, probability=None, side=Side.MIDLINE) for one in result.lesions)
    assert dicom_errors(written(kind, replace(result, reader="Ada Lovelace", lesions=lesions), origin, tmp_path)) == []


def test_the_judge_sees_an_error(drawn, tmp_path):
    path = written("seg", *drawn, tmp_path)
    dataset = pydicom.dcmread(path)
    del dataset.SegmentSequence
    dataset.save_as(path)
    assert dicom_errors(path)


@pytest.mark.parametrize("kind", KINDS)
def test_it_stays_in_the_study_of_its_source_in_a_series_of_its_own(kind, drawn, tmp_path):
    result, origin = drawn
    named = replace(
        origin,
        header=replace(
            origin.header,
            patient={"PatientName": NAME, "PatientID": "P 1", "PatientIdentityRemoved": "YES"},
            study={**origin.header.study, "AccessionNumber": "A 1"},
        ),
    )
    dataset = pydicom.dcmread(written(kind, result, named, tmp_path))
    assert dataset.StudyInstanceUID == origin.header.study["StudyInstanceUID"]
    assert dataset.SeriesInstanceUID not in {one.series_instance_uid for one in origin.header.instances}
    assert (dataset.PatientName, dataset.PatientID, dataset.AccessionNumber) == (NAME, "P 1", "A 1")
    assert dataset.PatientIdentityRemoved == "YES"
    assert "research use only" in dataset.SeriesDescription.lower()
    sources = {one.sop_instance_uid for one in origin.header.instances}
    assert sources <= {str(one.value) for one in dataset.iterall() if one.VR == "UI" and one.VM == 1}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_result_is_the_same_object_and_another_is_another(kind, drawn, tmp_path):
    result, origin = drawn
    once = written(kind, result, origin, tmp_path).read_bytes()
    assert written(kind, result, origin, tmp_path).read_bytes() == once
    uid = pydicom.dcmread(tmp_path / f"{kind}.dcm").SOPInstanceUID
    later = Origin(origin.header, Made(MADE.at.replace(year=2027)))
    assert pydicom.dcmread(written(kind, result, later, tmp_path)).SOPInstanceUID == uid
    other = replace(result, lesions=result.lesions[:-1])
    assert pydicom.dcmread(written(kind, other, origin, tmp_path)).SOPInstanceUID != uid
    named = Origin(origin.header, Made(MADE.at, identify=True))
    assert pydicom.dcmread(written(kind, result, named, tmp_path)).SOPInstanceUID != uid
    assert len({pydicom.dcmread(written(one, result, origin, tmp_path)).SOPInstanceUID for one in KINDS}) == len(KINDS)


def test_intervals_make_another_page_and_no_other_object(drawn):
    """Only the page shows them; the others are known again by whoever has none."""
    result, origin = drawn
    extent = Extent(3, 0.1, 2.0, 0.9, 1, {}, {"lesions": (2.0, 4.0)}, 5)
    wider = replace(extent, intervals={"lesions": (1.0, 5.0)})
    once, again, without = (
        {kind: common.object_uid(replace(result, extent=one), origin, kind) for kind in KINDS}
        for one in (extent, wider, replace(extent, intervals={}, draws=0))
    )
    assert {kind for kind in KINDS if once[kind] != without[kind]} == {"pdf"}
    assert {kind for kind in KINDS if once[kind] != again[kind]} == {"pdf"}


def test_highdicom_and_dcmtk_read_the_report(drawn, tmp_path):
    result, origin = drawn
    measures = replace(result.lesions[0].measures, area_mm2=31.5, contrast_mirror=1.75)
    result = replace(result, lesions=(replace(result.lesions[0], measures=measures), *result.lesions[1:]))
    path = written("sr", result, origin, tmp_path)
    report = highdicom.sr.srread(path)
    groups = report.content.get_planar_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == [f"Lesion {one.id}" for one in result.lesions]
    for group, lesion in zip(groups, result.lesions, strict=True):
        measured = {one.name.value: (one.value, one.unit.value) for one in group.get_measurements()}
        of = lesion.measures
        stated = {
            "AREA_PX": (of.area_px, "{pixels}"),
            "42798000": (of.area_mm2, "mm2"),
            "COUNTS_TOTAL": (of.counts_total, "{counts}"),
            "COUNTS_MEAN": (of.counts_mean, "{counts}"),
            "COUNTS_MAX": (of.counts_max, "{counts}"),
            "CONTRAST": (of.contrast, "{ratio}"),
            "CONTRAST_MIRROR": (of.contrast_mirror, "{ratio}"),
            "PROBABILITY": (lesion.probability, "{ratio}"),
            "111012": (100 * lesion.probability, "%"),
        }
        assert measured == {name: value for name, value in stated.items() if value[0] is not None}
        (view,) = (one for one in group.get_qualitative_evaluations() if one.name.value == "111031")
        assert view.value.value == {View.ANTERIOR: "399321004", View.POSTERIOR: "399001007"}[lesion.view]
        assert group.finding_sites[0].value.meaning == "Rib"
        assert group.finding_sites[0].laterality.meaning == "Right"
        region = mask_of(to_contour(group.roi.value), result.study.shape)
        np.testing.assert_array_equal(region[lesion.window], lesion.mask)
    shown = subprocess.run([needs("dsrdump"), str(path)], capture_output=True, text=True, check=True).stdout
    assert shown.count("POLYLINE") == len(result.lesions)


def test_highdicom_reads_the_segmentation(drawn, tmp_path):
    result, origin = drawn
    found = highdicom.seg.segread(written("seg", result, origin, tmp_path))
    assert found.number_of_segments == len(result.lesions)
    (instance,) = origin.header.instances
    for view in View:
        pixels = found.get_pixels_by_source_frame(
            instance.sop_instance_uid, [result.study.frames[view].frame], assert_missing_frames_are_empty=True
        )
        for lesion in result.lesions:
            drawn_here = pixels[0, ..., lesion.id - 1].astype(bool)
            expected = np.zeros(result.study.shape, dtype=bool)
            if lesion.view is view:
                expected[lesion.window] = lesion.mask
            np.testing.assert_array_equal(drawn_here, expected)


@pytest.mark.parametrize("style", [HeaderStyle.STANDARD, HeaderStyle.TWO_FILES])
def test_a_segmentation_lies_in_the_plane_of_the_picture(style, tmp_path):
    result, origin = make(tmp_path, Header(style, posterior_first=True))
    volume = highdicom.seg.segread(written("seg", result, origin, tmp_path)).get_volume(combine_segments=False)
    assert sorted(volume.spacing) == [1.0, SPACING.col_mm, SPACING.row_mm]
    for number, lesion in enumerate(result.lesions):
        mask = np.zeros(result.study.shape, dtype=bool)
        mask[lesion.window] = lesion.mask
        frame = 1 if lesion.view is View.POSTERIOR else 2
        rows, cols = np.nonzero(mask)
        # Columns run along x, rows along y, and the frames of the stack along z, a millimetre apart.
        points = np.stack([cols * SPACING.col_mm, rows * SPACING.row_mm, np.full(len(rows), frame - 1.0)], axis=1)
        expected = volume.map_reference_to_indices(points, round_output=True)
        found = np.argwhere(volume.array[..., number])
        assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, expected.tolist()))


def test_a_frame_of_reference_is_the_scans_own_and_there_is_none_without_a_spacing(drawn, tmp_path):
    result, origin = drawn
    placed = pydicom.dcmread(written("seg", result, origin, tmp_path))
    fewer = replace(result, lesions=result.lesions[:1], reader="Ada Lovelace")
    assert pydicom.dcmread(written("seg", fewer, origin, tmp_path)).FrameOfReferenceUID == placed.FrameOfReferenceUID
    assert "not of the patient" in placed.ImageComments
    bare = replace(result, study=replace(result.study, spacing=None))
    unplaced = pydicom.dcmread(written("seg", bare, origin, tmp_path))
    assert "FrameOfReferenceUID" not in unplaced
    assert "PlanePositionSequence" not in unplaced.PerFrameFunctionalGroupsSequence[0]
    assert "not of the patient" not in unplaced.ImageComments


def test_a_report_names_who_drew_and_one_by_the_model_names_nobody(drawn, tmp_path):
    result, origin = drawn
    assert read_curves(written("sr", result, origin, tmp_path)).reader is None
    assert read_curves(written("seg", result, origin, tmp_path)).reader is None
    by_hand = replace(result, reader="Ada Lovelace")
    assert read_curves(written("sr", by_hand, origin, tmp_path)).reader == "Ada Lovelace"
    assert read_curves(written("seg", by_hand, origin, tmp_path)).reader == "Ada Lovelace"


def test_what_the_report_says_of_a_lesion_comes_back(drawn, tmp_path):
    result, origin = drawn
    read = read_curves(written("sr", result, origin, tmp_path))
    assert read.study_uid == origin.header.study["StudyInstanceUID"]
    assert [(curve.tracking_id, curve.probability, curve.region) for curve in read.curves] == [
        (f"Lesion {one.id}", one.probability, Region.RIBS) for one in result.lesions
    ]
    segments = read_curves(written("seg", result, origin, tmp_path))
    assert [one.tracking_uid for one in segments.curves] == [one.tracking_uid for one in read.curves]


def test_a_hundred_lesions_of_a_large_matrix_fit(tmp_path):
    rng = np.random.default_rng(2)
    study, origin = scan_of(rng, tmp_path, Header(), Spacing(1.0, 1.0), shape=(2048, 512))
    masks = []
    for row in range(100):
        mask = np.zeros(study.shape, dtype=bool)
        mask[20 * row : 20 * row + 9, 100:110] = True
        masks.append(mask)
    result = result_of(study, {View.ANTERIOR: masks})
    read = read_curves(written("seg", result, origin, tmp_path))
    assert [int(curve.mask.sum()) for curve in read.curves] == [90] * 100
    assert len(read_curves(written("sr", result, origin, tmp_path)).curves) == 100


def test_the_capture_shows_the_overlay_pixel_by_pixel(drawn, tmp_path):
    result, origin = drawn
    path = written("capture", result, origin, tmp_path)
    dataset = pydicom.dcmread(path)
    expected = np.asarray(overlay(result).convert("RGB"))
    np.testing.assert_array_equal(shown(dataset), expected)
    assert dataset.BurnedInAnnotation == "NO"
    # Compressed, and by whose library ever it is read: here by DCMTK's own decoder.
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"
    assert path.stat().st_size < expected.nbytes / 4
    subprocess.run([needs("dcmdrle"), str(path), str(tmp_path / "plain.dcm")], check=True)
    plain = pydicom.dcmread(tmp_path / "plain.dcm")
    assert not plain.file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(shown(plain), expected)
    colours = highdicom.imread(path).get_frame(1, apply_palette_color_lut=True)
    np.testing.assert_array_equal(colours // 257, expected)


def test_the_pdf_inside_is_the_page(drawn, tmp_path):
    result, origin = drawn
    dataset = pydicom.dcmread(written("pdf", result, origin, tmp_path))
    assert dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength] == page(result)
    assert dataset.BurnedInAnnotation == "NO"


@pytest.mark.parametrize("kind", ["capture", "pdf"])
def test_identity_is_drawn_where_it_is_asked_for_and_the_object_says_so(kind, drawn, tmp_path):
    result, origin = drawn
    marked = replace(origin, header=replace(origin.header, patient={"PatientName": NAME, "PatientID": "P-77"}))
    plain = pydicom.dcmread(written(kind, result, origin, tmp_path))
    unnamed = pydicom.dcmread(written(kind, result, marked, tmp_path))
    named = pydicom.dcmread(written(kind, result, replace(marked, made=Made(MADE.at, identify=True)), tmp_path))
    content = "PixelData" if kind == "capture" else "EncapsulatedDocument"
    assert plain[content].value == unnamed[content].value
    assert named[content].value != plain[content].value
    assert (unnamed.BurnedInAnnotation, named.BurnedInAnnotation) == ("NO", "YES")


@pytest.mark.parametrize("style", [HeaderStyle.STANDARD, HeaderStyle.TWO_FILES])
@pytest.mark.parametrize("posterior_first", [False, True])
def test_the_presentation_state_draws_the_masks_on_their_frames(style, posterior_first, tmp_path):
    result, origin = make(tmp_path, Header(style, posterior_first))
    dataset = pydicom.dcmread(written("gsps", result, origin, tmp_path))
    assert dataset.PresentationLUTShape == "INVERSE"
    area = dataset.DisplayedAreaSelectionSequence[0]
    assert [float(one) for one in area.PresentationPixelSpacing] == [2.4, 1.8]
    assert area.DisplayedAreaBottomRightHandCorner == [64, 256]
    curves = [one for one in dataset.GraphicAnnotationSequence if "GraphicObjectSequence" in one]
    assert len(curves) == 2
    for view, annotation in zip(View, curves, strict=True):
        frame = result.study.frames[view]
        (reference,) = annotation.ReferencedImageSequence
        assert reference.ReferencedSOPInstanceUID == origin.header.instances[frame.file].sop_instance_uid
        assert reference.get("ReferencedFrameNumber", 1) == frame.frame
        lesions = [one for one in result.lesions if one.view is view]
        for graphic, lesion in zip(annotation.GraphicObjectSequence, lesions, strict=True):
            mask = mask_of(to_contour(np.reshape(graphic.GraphicData, (-1, 2))), result.study.shape)
            np.testing.assert_array_equal(mask[lesion.window], lesion.mask)
            assert mask.sum() == lesion.mask.sum()
        assert [one.UnformattedTextValue for one in annotation.TextObjectSequence] == [str(one.id) for one in lesions]


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_of_another_scan_is_refused(kind, drawn, tmp_path):
    result, origin = drawn
    (instance,) = origin.header.instances
    other = replace(origin, header=replace(origin.header, instances=(replace(instance, rows=300),)))
    with pytest.raises(InputError, match="not that of the scan"):
        write_object(kind, result, other, tmp_path / "x.dcm")
    foreign = replace(result, study=replace(result.study, frames={}))
    with pytest.raises(InputError, match="does not say which frame"):
        write_object(kind, foreign, origin, tmp_path / "x.dcm")
