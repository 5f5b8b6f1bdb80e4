"""DICOM files that are read, remarked on or refused, one reason at a time."""

from __future__ import annotations

import logging
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.errors import InputError, OptionError, ViewError
from bonescan.reading import ReadOptions, read_study
from bonescan.study import Scan, Spacing, Study, View

BOTH = ReadOptions(views=(View.ANTERIOR, View.POSTERIOR))


def body(share: float = 1.0, shape: tuple[int, int] = (1024, 256), rows: int = 720) -> np.ndarray:
    """A warm ellipse of `rows` rows in thin air, integer counts."""
    row, col = np.mgrid[: shape[0], : shape[1]]
    inside = ((row - shape[0] / 2) / (rows / 2)) ** 2 + ((col - shape[1] / 2) / (0.4 * shape[1])) ** 2 < 1
    return np.random.default_rng(rows).poisson(0.2 + 6 * share * inside).astype(np.float32)


@pytest.fixture(scope="module")
def study() -> Study:
    scans = {View.ANTERIOR: Scan(View.ANTERIOR, body()), View.POSTERIOR: Scan(View.POSTERIOR, body(0.7))}
    return Study("scan", scans, Spacing(2.4, 2.3), acquired="2020-01-02T10:20:30")


@pytest.fixture
def changed(study, tmp_path):
    """Write the study, change its header, save it again."""

    def change(alter=None, style=HeaderStyle.GE, delete=(), **elements) -> Path:
        path = write_nm(study, tmp_path / "scan.dcm", Header(style))[0]
        dataset = pydicom.dcmread(path)
        for keyword in delete:
            delattr(dataset, keyword)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        if alter:
            alter(dataset)
        dataset.save_as(path)
        return path

    return change


def test_two_frames_with_everything_stated(study, tmp_path):
    back = read_study(write_nm(study, tmp_path / "Bone scan 1.dcm"))
    assert (back.key, back.sources) == ("Bone_scan_1", ("Bone scan 1.dcm",))
    assert (back.spacing, back.spacing_note, back.warnings) == (Spacing(2.4, 2.3), None, ())
    assert back.acquired == "2020-01-02T10:20:30"
    assert back.view_source == "the detector's Start Angle"
    assert back.counts(View.ANTERIOR).dtype == np.float32
    for view in View:
        np.testing.assert_array_equal(back.counts(view), study.counts(view))


def test_the_real_view_is_refused_until_its_side_is_stated():
    path = Path(get_testdata_file("JPEG2000.dcm"))
    with pytest.raises(ViewError, match="--views anterior or --views posterior"):
        read_study(path)
    back = read_study(path, ReadOptions(views=(View.ANTERIOR,)))
    assert back.shape == (1024, 256)
    assert back.spacing == Spacing(2.26, 2.26)
    assert set(back.scans) == {View.ANTERIOR}
    assert back.counts(View.ANTERIOR).min() == 0
    # Counts Accumulated in its header is 3596452; compression with loss moved 1 %.
    assert back.counts(View.ANTERIOR).sum() == pytest.approx(3_596_452, rel=0.02)
    said = " | ".join(back.warnings)
    for remark in (
        "negative values",
        "compressed with loss",
        "does not state the tracer",
        "the posterior view is missing",
    ):
        assert remark in said


def test_nothing_leaks_from_pydicom(changed, recwarn, caplog):
    path = changed(PatientBirthDate="19500102")
    path.write_bytes(path.read_bytes().replace(b"20200102", b"2020x102").replace(b"19500102", b"1950^102"))
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("error")
        back = read_study(path)
    assert back.acquired is None
    assert not recwarn.list
    assert not caplog.records


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_native_syntaxes(study, tmp_path, syntax):
    path = write_nm(study, tmp_path / "scan.dcm")[0]
    dataset = pydicom.dcmread(path)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(
        path, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian, force_encoding=True
    )
    back = read_study(path)
    for view in View:
        np.testing.assert_array_equal(back.counts(view), study.counts(view))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_syntaxes(study, tmp_path, syntax):
    path = write_nm(study, tmp_path / "scan.dcm")[0]
    dataset = pydicom.dcmread(path)
    dataset.compress(syntax)
    dataset.save_as(path)
    back = read_study(path)
    for view in View:
        np.testing.assert_array_equal(back.counts(view), study.counts(view))


def test_deflated_is_refused_without_inflating(study, tmp_path):
    path = write_nm(study, tmp_path / "scan.dcm")[0]
    content = path.read_bytes()
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    dataset.save_as(path)
    assert len(path.read_bytes()) < len(content)
    with pytest.raises(InputError, match="deflated"):
        read_study(path)


def test_deflated_bomb_takes_no_memory(tmp_path):
    import tracemalloc

    bomb = tmp_path / "bomb.dcm"
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2", "1.3"
    empty = pydicom.dataset.FileDataset("", {}, preamble=b"\0" * 128, file_meta=meta)
    empty.save_as(bomb, enforce_file_format=True)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    zeros = packer.compress(bytes(64 * 2**20)) + packer.flush()
    bomb.write_bytes(bomb.read_bytes() + zeros)
    tracemalloc.start()
    with pytest.raises(InputError, match="deflated"):
        read_study(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT"}, "Modality is CT"),
        ({"Modality": "DOE"}, r"Modality is not a known one"),
        ({"Modality": ""}, r"Modality is not stated"),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128"},
            r"not an NM image \(SOP class Positron Emission Tomography Image Storage\)",
        ),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]}, "not WHOLE BODY .* is STATIC"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "JOHN", "EMISSION"]}, "is not a known one"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]}, "is TOMO"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "picture for display"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "picture for display"),
        ({"Rows": 512, "Columns": 512}, "matrix of 512 x 512"),
        ({"Rows": 256, "Columns": 1024}, "matrix of 256 x 1024"),
        ({"Rows": 1000}, "pixel data have 1048576 bytes instead of 1024000"),
        ({"NumberOfFrames": 1, "DetectorVector": 1}, "pixel data have 1048576 bytes instead of 524288"),
        ({"NumberOfFrames": 0}, "states 0 frames"),
        ({"NumberOfFrames": 100000}, "states 100000 frames"),
        ({"BitsAllocated": 12}, "pixel description is damaged"),
        ({"HighBit": 14}, "pixel description is damaged"),
        ({"BitsStored": 2, "HighBit": 1}, "do not fit into the 2 bits"),
        ({"RescaleSlope": -1, "RescaleIntercept": 0}, "rescale slope is -1"),
        ({"RescaleSlope": 1, "RescaleIntercept": -5}, "negative values come to"),
        ({"RescaleSlope": 1e9, "RescaleIntercept": 0}, "counts in one pixel"),
        ({"DetectorVector": [1, 7]}, "detector 7 of 2"),
        ({"PixelData": bytes(1024 * 256 * 4)}, "no counts at all"),
    ],
)
def test_refused_with_the_reason(changed, elements, reason):
    with pytest.raises(InputError, match=reason) as refusal:
        read_study(changed(**elements))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "PixelRepresentation", "PixelData"])
def test_missing_elements_are_refused(changed, keyword):
    with pytest.raises(InputError):
        read_study(changed(delete=[keyword]))


def test_screen_capture_without_number_of_frames(changed):
    with pytest.raises(InputError, match="states no number of frames"):
        read_study(changed(delete=["NumberOfFrames"]))


def test_derived_copy_of_8_bits(changed, study):
    def eight(dataset: Dataset) -> None:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = np.stack([study.counts(view) for view in View]).astype(np.uint8).tobytes()

    with pytest.raises(InputError, match="derived copy of 8 bits"):
        read_study(changed(eight, ImageType=["DERIVED", "PRIMARY", "WHOLE BODY", "EMISSION"]))
    back = read_study(changed(eight))
    assert back.warnings == ("the image has 8 bits per pixel, so counts above 255 may be cut off",)
    np.testing.assert_array_equal(back.counts(View.ANTERIOR), study.counts(View.ANTERIOR))


def test_signed_pixels_are_clipped_with_a_warning(changed, study):
    def signed(dataset: Dataset) -> None:
        frames = np.stack([study.counts(view) for view in View]).astype("<i2")
        frames[0, 0, :10] = -3
        dataset.PixelRepresentation = 1
        dataset.PixelData = frames.tobytes()

    back = read_study(changed(signed))
    assert back.counts(View.ANTERIOR)[0, :10].tolist() == [0.0] * 10
    assert [warning for warning in back.warnings if "10 pixels held negative values" in warning]


def test_twelve_bits_stored_signed():
    from bonescan.dicom.pixels import Layout, sign_extended

    layout = Layout(frames=1, rows=1, cols=4, bits=16, stored=12, signed=True)
    raw = np.array([[0x0005, 0x0FFF, 0xFFFE, 0x0800]], np.uint16)
    assert sign_extended(raw, layout).tolist() == [[5, -1, -2, -2048]]
    with pytest.raises(InputError, match="12 bits"):
        sign_extended(np.array([[0x7005]], np.uint16), layout)


def test_rescaled_counts(changed, study):
    back = read_study(changed(RescaleSlope=2, RescaleIntercept=1))
    np.testing.assert_array_equal(back.counts(View.ANTERIOR), 2 * study.counts(View.ANTERIOR) + 1)
    assert "the counts were rescaled as the file states" in back.warnings


@pytest.mark.parametrize(
    ("spacing", "note"),
    [
        ([3.3, 3.3], "m tall"),
        ([0.1, 0.1], "cannot be right"),
        ([2.4, 40], "cannot be right"),
        (None, "no pixel spacing"),
    ],
)
def test_spacing_that_cannot_be_is_dropped(changed, spacing, note):
    back = read_study(changed(PixelSpacing=spacing))
    assert back.spacing is None
    assert note in (back.spacing_note or "")
    assert back.spacing_note in back.warnings


@pytest.mark.parametrize(
    ("named", "remark"),
    [
        ("Tc-99m MDP", None),
        ("99mTc-HDP", None),
        ("Tc99m Difosfonatos", None),
        ("99mTc-difosfonaat", None),
        ("Technetium (99mTc) oxidronate", None),
        ("Osteocis", None),
        ("Tc-99m Sestamibi", "not known as a bone tracer"),
        ("FLUFF", "not known as a bone tracer"),
        ("Tc-99m", "does not state the tracer"),
        ("", "does not state the tracer"),
    ],
)
def test_tracer(changed, named, remark):
    def name(dataset: Dataset) -> None:
        isotope = Dataset()
        isotope.Radiopharmaceutical = named
        dataset.RadiopharmaceuticalInformationSequence = [isotope]

    found = read_study(changed(name)).warnings
    assert len(found) == (remark is not None)
    assert remark is None or remark in found[0]
    assert not any("FLUFF" in warning for warning in found)


def test_more_than_two_frames_need_a_choice(changed, study):
    def four(dataset: Dataset) -> None:
        frames = [study.counts(View.ANTERIOR), study.counts(View.POSTERIOR)]
        dataset.NumberOfFrames = 4
        dataset.PixelData = np.stack([2 * frames[0], 2 * frames[1], *frames]).astype("<u2").tobytes()
        dataset.DetectorVector = [1, 2, 1, 2]
        dataset.EnergyWindowVector = [1, 1, 2, 2]

    path = changed(four)
    with pytest.raises(InputError, match=r"has 4 frames.*--frames 1,2"):
        read_study(path)
    back = read_study(path, ReadOptions(frames=(4, 3)))
    for view in View:
        np.testing.assert_array_equal(back.counts(view), study.counts(view))
    with pytest.raises(ViewError, match="both frames are anterior"):
        read_study(path, ReadOptions(frames=(1, 3)))
    with pytest.raises(InputError, match="frame 5 was chosen"):
        read_study(path, ReadOptions(frames=(1, 5)))


def test_stated_views_overrule_the_header_with_a_warning(changed, study):
    back = read_study(changed(), ReadOptions(views=(View.POSTERIOR, View.ANTERIOR)))
    np.testing.assert_array_equal(back.counts(View.POSTERIOR), study.counts(View.ANTERIOR))
    assert back.view_source == "the user, not the header"
    assert "against the header" in back.warnings[0]
    assert read_study(changed(), BOTH).warnings == ()
    with pytest.raises(ViewError, match="1 view given for 2 frames"):
        read_study(changed(), ReadOptions(views=(View.ANTERIOR,)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"views": ()},
        {"views": (View.ANTERIOR, View.ANTERIOR)},
        {"frames": (1, 1)},
        {"frames": (0, 1)},
    ],
)
def test_options_that_cannot_be(wrong):
    with pytest.raises(OptionError):
        ReadOptions(**wrong)


def test_pair_with_stated_views_in_either_order_of_frames(study, tmp_path):
    files = write_nm(study, tmp_path / "scan.dcm", Header(HeaderStyle.TWO_FILES))
    swapped = read_study(files, ReadOptions(frames=(2, 1)))
    for view in View:
        np.testing.assert_array_equal(swapped.counts(view), study.counts(view))


def test_pair_of_different_shapes_is_refused(study, tmp_path):
    files = write_nm(study, tmp_path / "scan.dcm", Header(HeaderStyle.TWO_FILES))
    dataset = pydicom.dcmread(files[1])
    dataset.Rows, dataset.Columns = 512, 128
    dataset.PixelData = dataset.PixelData[: 512 * 128 * 2]
    dataset.save_as(files[1])
    with pytest.raises(InputError, match="1024 x 256 and 512 x 128"):
        read_study(files)


def test_pair_of_different_spacings_loses_its_millimetres(study, tmp_path):
    files = write_nm(study, tmp_path / "scan.dcm", Header(HeaderStyle.TWO_FILES))
    dataset = pydicom.dcmread(files[1])
    dataset.PixelSpacing = [2.2, 2.2]
    dataset.save_as(files[1])
    back = read_study(files)
    assert back.spacing is None
    assert "different pixel spacings" in (back.spacing_note or "")


def test_codestream_that_does_not_decode(tmp_path):
    content = Path(get_testdata_file("JPEG2000.dcm")).read_bytes()
    start = content.index(b"\xff\x51") + 41  # the end of the codestream's description of the image
    path = tmp_path / "scan.dcm"
    path.write_bytes(content[:start] + bytes(60) + content[start + 60 :])
    with pytest.raises(InputError, match="compressed pixel data cannot be decoded"):
        read_study(path, ReadOptions(views=(View.ANTERIOR,)))


def test_codestream_larger_than_the_header_says(tmp_path):
    content = bytearray(Path(get_testdata_file("JPEG2000.dcm")).read_bytes())
    size = content.index(b"\xff\x51") + 6  # after marker, length and capabilities: width and height
    content[size : size + 8] = (60000).to_bytes(4, "big") * 2
    path = tmp_path / "scan.dcm"
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="cannot be decoded"):
        read_study(path, ReadOptions(views=(View.ANTERIOR,)))


def test_image_type_unstated_is_judged_by_the_matrix(changed):
    back = read_study(changed(ImageType=["ORIGINAL", "PRIMARY"]))
    assert back.warnings == ()
