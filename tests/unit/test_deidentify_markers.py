"""De-identified scans hold no patient's name at any depth, in any element and character set."""

from __future__ import annotations

from io import BytesIO

import pydicom
import pytest
from pydicom._dicom_dict import DicomDictionary
from tests.marked import KEY, MARK, forms, marked, put, scan_of

from bonescan.dicom import keep_list as keep
from bonescan.dicom.deidentify import Deidentification, deidentified
from bonescan.errors import InputError


def test_no_marker_is_left_at_any_depth(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    planted = marked(path)
    assert len(planted) > 60
    done = deidentified(path.read_bytes(), Deidentification(KEY))
    found = [one for one in planted if any(form in done.content for form in forms(one))]
    assert found == []
    assert MARK.encode() not in done.content
    assert not any(one in f"{done.patient} {done.study} {done.image} {done.remarks}" for one in planted)


LETTERS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
BYTES = {"OB", "OW", "OB or OW", "UN"}
READ = {
    "PixelData",
    "SpecificCharacterSet",
    "Modality",
    "SOPClassUID",
    "PhotometricInterpretation",
    "BurnedInAnnotation",
}

KEPT = keep.NUMBERS | set(keep.VECTORS)
"""Kept as the numbers that they are; what else could lie there is tried below."""


def plant_everywhere(dataset, planted):
    """Put a marker into every element of the standard's dictionary of texts, bytes, UIDs, dates and numbers."""
    for tag, (vr, *_, keyword) in DicomDictionary.items():
        if tag < 0x00080000 or not keyword or keyword in READ | KEPT:
            continue
        place = len(planted)
        mark = f"{MARK}{place:05d}"
        value = {
            **dict.fromkeys(LETTERS, mark),
            **dict.fromkeys(BYTES, mark.encode() + b"\0"),
            **{"UI": f"1.2.3.76543{place:05d}", "DA": f"19{place % 90 + 10}0203", "DS": f"7654.3{place:05d}"},
            **{"IS": f"76543{place:05d}", "TM": f"0102{place % 60:02d}.7654", "DT": f"194{place % 10}0203040506.7654"},
        }.get(vr)
        if value is not None:
            dataset[tag] = pydicom.DataElement(tag, "OB" if vr in BYTES else vr, value, validation_mode=0)
            planted.append(mark if vr in BYTES or vr in LETTERS else value)
    for group in (0x5000, 0x501E, 0x6000, 0x601E):
        for element, vr in ((0x0022, "LO"), (0x1500, "LO"), (0x2500, "LO"), (0x3000, "OW"), (0x0110, "OW")):
            planted.append(f"{MARK}{len(planted):05d}")
            value = planted[-1] if vr == "LO" else planted[-1].encode() + b"\0"
            dataset.add_new((group << 16) | element, vr, value)
    planted.append(f"{MARK}{len(planted):05d}")
    block = dataset.private_block(0x0051, planted[-1], create=True)
    for number, vr in enumerate(("LO", "UN", "PN", "UT")):
        planted.append(f"{MARK}{len(planted):05d}")
        block.add_new(number + 1, vr, planted[-1].encode() + b"\0" if vr == "UN" else planted[-1])


def test_no_marker_is_left_of_any_element_of_the_dictionary_at_any_depth(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    dataset = pydicom.dcmread(path)
    planted = []
    isotope = dataset.RadiopharmaceuticalInformationSequence[0]
    window = dataset.EnergyWindowInformationSequence[0]
    for item in (
        *dataset.DetectorInformationSequence,
        *(detector.ViewCodeSequence[0] for detector in dataset.DetectorInformationSequence),
        isotope,
        isotope.RadiopharmaceuticalCodeSequence[0],
        isotope.RadionuclideCodeSequence[0],
        window,
        window.EnergyWindowRangeSequence[0],
        dataset.PatientOrientationCodeSequence[0],
        dataset,
    ):
        plant_everywhere(item, planted)
    assert len(planted) > 28_000
    dataset.file_meta.PrivateInformationCreatorUID = "1.2.3.765439999"
    dataset.file_meta.PrivateInformation = f"{MARK}PRIVATE".encode() + b"\0"
    dataset.preamble = f"{MARK}PREAMBLE".encode().ljust(128, b"\0")
    file = BytesIO()
    dataset.save_as(file)
    source = file.getvalue()
    assert all(one.encode() in source for one in planted[:: len(planted) // 500])
    done = deidentified(source, Deidentification(KEY))
    out = pydicom.dcmread(BytesIO(done.content))
    kept = BytesIO()
    del out.PixelData
    out.save_as(kept)
    assert MARK.encode() not in kept.getvalue()
    assert b"7654" not in kept.getvalue()
    assert {str(one.value) for one in out.iterall() if one.VR != "SQ"} & set(planted) == set()
    assert MARK not in f"{done.patient} {done.study} {done.image} {done.remarks}"


@pytest.mark.parametrize("vr", ["LO", "UN", "PN", "DS"])
def test_no_marker_passes_in_an_element_that_is_kept(vr, tmp_path):
    """Text in the place of a number, a code or a date; a file that is refused for it names the element alone."""
    (path,) = scan_of(tmp_path / "in")
    known = {*keep.NUMBERS, *keep.VECTORS, *keep.KNOWN_TEXTS, *keep.DATES, *keep.UIDS, *keep.EMPTY}
    for keyword in sorted({*known, "PatientID", "PatientName", "ViewPosition", "ImageID", "Manufacturer"}):
        dataset = pydicom.dcmread(path)
        tag = pydicom.tag.Tag(keyword)
        spoilt = pydicom.dataelem.RawDataElement(tag, vr, 8, b"QXZW4711", 0, False, True)
        if keyword in ("BitsAllocated", "PixelRepresentation"):
            continue  # pydicom needs these to write the file
        dataset._dict[tag] = spoilt
        for item in dataset.DetectorInformationSequence:
            item._dict[tag] = spoilt
        file = BytesIO()
        dataset.save_as(file)
        assert file.getvalue().count(b"QXZW4711") >= 3
        try:
            done = deidentified(file.getvalue(), Deidentification(KEY))
        except InputError as refusal:
            assert "QXZW" not in str(refusal)
        else:
            assert b"QXZW" not in done.content


def test_what_follows_the_pixels_and_the_data_set_goes(tmp_path):
    (path,) = scan_of(tmp_path / "in")
    dataset = pydicom.dcmread(path)
    whole = path.read_bytes()
    for tail in (b"QXZW", b"QXZW" * 5, b"\xfc\xff\xfc\xffOB\0\0\x08\0\0\0QXZWQXZW"):
        try:
            assert b"QXZW" not in deidentified(whole + tail, Deidentification(KEY)).content
        except InputError as refusal:
            assert "QXZW" not in str(refusal)
    dataset.PixelData += b"QXZW"
    dataset.save_as(path)
    with pytest.raises(InputError, match="truncated or damaged"):
        deidentified(path.read_bytes(), Deidentification(KEY))


@pytest.mark.parametrize("charset", ["ISO_IR 192", "GB18030", ["", "ISO 2022 IR 87"], "QXZW"])
def test_no_marker_passes_in_any_character_set(charset, tmp_path):
    (path,) = scan_of(tmp_path / "in")
    planted = marked(path)
    dataset = pydicom.dcmread(path)
    put(dataset, "SpecificCharacterSet", charset)
    dataset.PatientName = f"{MARK}^ヤマダ=山田^太郎"
    file = BytesIO()
    dataset.save_as(file) if charset != "QXZW" else file.write(path.read_bytes().replace(b"ISO_IR 192", b"QXZW      "))
    done = deidentified(file.getvalue(), Deidentification(KEY))
    assert MARK.encode() not in done.content
    assert not any(form in done.content for one in planted for form in forms(one))
