"""De-identification never makes a view certain that was not, nor swaps one, whatever the header says of the views."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pydicom
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from tests.marked import put

from bonescan.dicom.deidentify import Deidentification, deidentified
from bonescan.dicom.elements import guarded, parse
from bonescan.dicom.views import Frame, evidence, tell_views
from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.errors import InputError
from bonescan.study import Scan, Spacing, Study, View

ROWS, COLS = 256, 64
HOW = Deidentification(bytes(range(32)))

VALUES = [
    ("SCT", "399321004"),
    ("SCT", "399001007"),
    ("SNM3", "G-5215"),
    ("SRT", "g-5216"),
    ("99NMG", "RTANT"),
    ("SCT", "72454006"),
    ("", ""),
]
MEANINGS = ["", "Anterior projection", "POSTERIOR", "RT ANT  ", "LT POST", "left lateral", "ANT POST", "Doe, John"]
TEXTS = ["", "WB ANT", "WB POST", "3 H POST INJECTION", "posterior view", "Doe, John", "ANT/POST", "VENTRAL", "RAO ANT"]
ANGLES = ["", "0", "180", "90", "45", "45.0000000000001", "-135.00000000001", "134.99999999999", "3.6E2", ".5"]
# Near the bounds of what is upright: a number that is rounded crosses them.
COSINES = [
    ["1", "0", "0", "0", "0", "-1"],
    ["-1", "0", "0", "0", "0", "-1"],
    ["-0.7071067811866", "-0.7071067811865", "0", "0", "0", "-1"],
    ["0.7071067811865", "0.7071067811866", "0", "0", "0", "-1"],
    ["0", "1", "0", "0", "0", "-1"],
    ["1", "0", "0"],
]


@st.composite
def codes(draw):
    code = Dataset()
    scheme, value = draw(st.sampled_from(VALUES))
    put(code, "CodingSchemeDesignator", scheme)
    put(code, "CodeValue", value)
    put(code, "CodeMeaning", draw(st.sampled_from(MEANINGS)))
    return code


@st.composite
def detectors(draw):
    detector = Dataset()
    for keyword, values in (
        ("ViewCodeSequence", st.lists(codes(), max_size=2)),
        ("StartAngle", st.sampled_from([*ANGLES, ["0", "180"]])),
        ("ImageOrientationPatient", st.sampled_from(COSINES)),
    ):
        if draw(st.booleans()):
            put(detector, keyword, draw(values))
    return detector


@st.composite
def statements(draw):
    """How many frames, and what the header says of their views: nothing, something, nonsense, contradictions."""
    frames = draw(st.sampled_from([1, 2, 2, 2, 3]))
    items = draw(st.lists(detectors(), max_size=3))
    about = st.one_of(st.just(frames), st.integers(1, 4))
    said = {"DetectorInformationSequence": items, "NumberOfFrames": frames}
    if items:
        number = st.integers(1, len(items)) if draw(st.integers(0, 5)) else st.integers(0, 4)
        size = draw(about) if not draw(st.integers(0, 5)) else frames
        said["DetectorVector"] = draw(st.lists(number, min_size=size, max_size=size))
    if draw(st.booleans()):
        size = draw(about)
        said["ViewCodeSequence"] = draw(st.lists(codes(), min_size=size, max_size=size))
    if draw(st.booleans()):
        letters = st.sampled_from(["L", "R", "F", "f", "HL", "A", ""])
        said["PatientOrientation"] = draw(
            st.one_of(st.sampled_from([["L", "F"], ["R", "F"], ["X", "L", "F"]]), st.lists(letters, max_size=3))
        )
    for keyword in ("ViewPosition", "ImageID", "SeriesDescription"):
        if not draw(st.integers(0, 2)):
            size = draw(about)
            said[keyword] = draw(st.lists(st.sampled_from(TEXTS), min_size=size, max_size=size))
    return frames, said


def written(folder, frames, said):
    """A scan that says no more of its views than this."""
    source = folder / "scan.dcm"
    if not source.exists():
        study = Study("one", {view: Scan(view, np.ones((ROWS, COLS))) for view in View}, Spacing(2.0, 2.0))
        write_nm(study, source, Header(HeaderStyle.NO_VIEWS))
    dataset = pydicom.dcmread(source)
    for keyword in ("DetectorInformationSequence", "DetectorVector", "SeriesDescription"):
        dataset.pop(keyword, None)
    for keyword, value in said.items():
        put(dataset, keyword, value)
    dataset.EnergyWindowVector = [1] * frames
    dataset.PixelData = np.arange(frames, dtype="<u2").repeat(ROWS * COLS).tobytes()
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def views_of(content, choices):
    """For each choice of frames of a file the views that the reader tells; None where it refuses to."""
    try:
        with guarded():
            dataset = parse(content)
    except InputError:
        return [None] * len(choices)
    return [views_of_frames(dataset, chosen) for chosen in choices]


def views_of_frames(dataset, chosen):
    try:
        with guarded():
            return tell_views([Frame(dataset, index, int(dataset.NumberOfFrames)) for index in chosen]).views
    except InputError:
        return None


def sides(content, frames):
    """All that the header says of each frame, contradictions included."""
    with guarded():
        dataset = parse(content)
        return [{one.view for one in evidence(Frame(dataset, index, frames))} for index in range(frames)]


@settings(max_examples=300)
@given(statements())
def test_views_are_those_of_the_source_or_unknown(tmp_path_factory, said):
    frames, elements = said
    folder = tmp_path_factory.getbasetemp() / "nm"
    folder.mkdir(exist_ok=True)
    source = written(folder, frames, elements)
    choices = [[index] for index in range(frames)] + [[a, b] for a in range(frames) for b in range(frames) if a != b]
    before = views_of(source, choices)
    try:
        done = deidentified(source, HOW)
    except InputError:
        assert views_of(source, [range(frames)]) == [None]
        event("refused, as all its frames are by the reader")
        return
    after = views_of(done.content, choices)
    for then, now in zip(before, after, strict=True):
        assert now in (then, None)
    stated, kept = sides(source, frames), sides(done.content, frames)
    assert all(now in (then, set()) for then, now in zip(stated, kept, strict=True))
    assert (kept == stated) == (not any("--views" in remark for remark in done.remarks))
    event("contradiction" if any(len(one) > 1 for one in stated) else "told" if any(stated) else "silent")
    event("kept" if kept == stated else "lost")
    pixels = pydicom.dcmread(BytesIO(done.content)).pixel_array.reshape(frames, ROWS, COLS)
    assert [int(frame[0, 0]) for frame in pixels] == list(range(frames))
