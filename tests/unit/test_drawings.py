"""Label files of strangers are drawn in the child; what is said of them is true, and a stamp tells what was changed."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from tests.drawn import random_masks, result_of, scan_of

from bonescan import sandbox
from bonescan.annotate.label_json import counts_digest, read_stamp
from bonescan.dicom.header import SourceHeader
from bonescan.dicom.values import Curve, Curves
from bonescan.dicom.write_nm import Header
from bonescan.errors import InputError, LabelError
from bonescan.lesions import contours
from bonescan.lesions.drawn import DrawnLesion, outlines_of
from bonescan.prepare import Window
from bonescan.reading.returned import LabelFile, LabelSource, label_files, read_source, returned, stamped_window
from bonescan.results.folder import write_result
from bonescan.study import Region, View

FRAME = (1024, 256)


def coco(segmentation, **image):
    frame = {"id": 1, "file_name": "anterior.png", "height": FRAME[0], "width": FRAME[1], **image}
    return {"images": [frame], "annotations": [{"id": 1, "image_id": 1, "segmentation": segmentation}]}


def zigzag(points):
    """A curve that goes the whole way down and up again between any two of its points."""
    return [[float(point % 255), 1023.0 * (point % 2)] for point in range(points)]


@pytest.mark.parametrize(
    "text",
    [
        "[" + "[]," * 2_700_000 + "[]]",
        json.dumps(coco([np.ravel(zigzag(300_000)).tolist()])),
        json.dumps(coco([], height=10**9)),
        json.dumps(coco({"size": list(FRAME), "counts": "o" * 5_000_000})),
        json.dumps({"shapes": [{"label": str(one), "points": [[1, 1], [3, 1], [3, 3]]} for one in range(6000)]}),
        " " * 9_000_000,
    ],
    ids=["many lists", "zigzag", "lying height", "endless run", "thousands of lesions", "too large"],
)
def test_label_files_that_ask_for_too_much_are_refused_without_cost(text, tmp_path):
    (tmp_path / "anterior.json").write_text(text)
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            sandbox.drawn_masks(tmp_path / "anterior.json", FRAME)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


def test_a_long_curve_of_a_report_is_refused_before_it_is_drawn(tmp_path):
    study, _ = scan_of(np.random.default_rng(1), tmp_path, Header(), None)
    curves = Curves("sr", "1", "2", (), "x", (Curve("3", 1, np.array(zigzag(60_000))[:, ::-1] * 4, None),))
    source = LabelSource(tmp_path / "a.dcm", "sr", curves, "x")
    with pytest.raises(LabelError, match="longer than any lesions"):
        returned([source], study, SourceHeader({}, {}, (), ()))


def test_a_curve_is_drawn_in_blocks_as_at_once(monkeypatch):
    rng = np.random.default_rng(2)
    curve = rng.uniform(-20.0, 120.0, (500, 2))
    whole = contours.mask_of(curve, (100, 90))
    for most in (1, 7, 1000):
        monkeypatch.setattr(contours, "_MOST_CROSSINGS", most)
        np.testing.assert_array_equal(contours.mask_of(curve, (100, 90)), whole)


def test_a_long_curve_takes_little_memory():
    curve = np.array(zigzag(10_000))[:, ::-1]
    tracemalloc.start()
    try:
        contours.mask_of(curve, FRAME)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(3)
    study, _ = scan_of(rng, tmp_path, Header(), None)
    generator = random_masks(rng, study.shape)
    result = result_of(study, {view: [next(generator) for _ in range(5)] for view in View})
    return result, write_result(result, tmp_path / "out", ("json", "labelme", "coco"))


@pytest.mark.parametrize("name", ["anterior.json", "coco.json"])
def test_a_stamp_names_the_pixels_and_tells_touched_curves_from_untouched(written, name, tmp_path):
    result, folder = written
    about = sandbox.label_about(folder / name)
    assert not about.edited
    assert about.stamp.counts[View.ANTERIOR] == counts_digest(result.study.counts(View.ANTERIOR))
    document = json.loads((folder / name).read_text())
    (tmp_path / name).write_text(json.dumps(document, indent=7, sort_keys=True))
    assert not sandbox.label_about(tmp_path / name).edited
    points = (
        document["shapes"][1]["points"][0] if "shapes" in document else document["annotations"][1]["segmentation"][0]
    )
    points[0] += 0.5
    (tmp_path / name).write_text(json.dumps(document))
    changed = sandbox.label_about(tmp_path / name)
    assert changed.edited
    assert changed.stamp == about.stamp


@pytest.mark.parametrize(
    "said",
    [None, [], {}, {"counts": {}}, {"counts": {"anterior": "0" * 64}},
     {"counts": {"above": "0" * 64}, "drawn": "0" * 64}, {"counts": {"anterior": 3}, "drawn": "0" * 64},
     {"counts": {"anterior": "0" * 63}, "drawn": "0" * 64},
     *({"counts": {"anterior": "0" * 64}, "drawn": "0" * 64, "window": window}
       for window in (3, [], [[1, 2]], [[1, 2], [3]], [[5, 2], [0, 9]], [[0, 1.5], [0, 9]], [[0, 9]] * 3, "rows"))],
)  # fmt: skip
def test_a_damaged_stamp_is_none(said):
    assert read_stamp(said) is None


@pytest.mark.parametrize("name", ["anterior.json", "coco.json"])
def test_a_stamp_gives_the_thoracic_window_and_none_of_the_whole_body(written, name, tmp_path):
    result, folder = written
    assert sandbox.label_about(folder / name).stamp.window is None
    window = (slice(100, 200), slice(3, 60))
    thorax = write_result(replace(result, region="thorax", window=window), tmp_path / "thorax", ("labelme", "coco"))
    assert sandbox.label_about(thorax / name).stamp.window == Window(*window)


def test_files_drawn_on_different_parts_of_a_scan_are_no_reading(written, tmp_path):
    result, folder = written
    window = (slice(100, 200), slice(3, 60))
    thorax = write_result(replace(result, region="thorax", window=window), tmp_path / "thorax", "labelme")
    sources = [read_source(LabelFile(one / f"{view}.json")) for one in (folder, thorax) for view in View]
    assert stamped_window(sources[:2]) is None
    assert stamped_window(sources[2:]) == Window(*window)
    with pytest.raises(LabelError, match=r"anterior\.json and posterior\.json were drawn on different parts"):
        stamped_window([sources[0], sources[3]])


@pytest.mark.parametrize("empty", [1, 2])
def test_two_files_of_one_view_are_refused_also_where_one_or_both_have_no_lesion(written, empty, tmp_path):
    result, folder = written
    document = json.loads((folder / "anterior.json").read_text())
    for name, shapes in (("anterior.json", document["shapes"] if empty == 1 else []), ("anterior-2.json", [])):
        (tmp_path / name).write_text(json.dumps(document | {"shapes": shapes}))
    sources = [read_source(LabelFile(tmp_path / name)) for name in ("anterior.json", "anterior-2.json")]
    with pytest.raises(LabelError, match=r"anterior-2\.json are both of the anterior view"):
        returned(sources, result.study, None)


@pytest.mark.parametrize("drawn_on", [(1, 2), (2, 2)], ids=["both", "one"])
def test_a_coco_file_of_several_studies_is_refused(drawn_on, tmp_path):
    square = [[10, 10, 20, 10, 20, 20, 10, 20]]
    first, second = (coco(square, id=number, file_name=f"p{number}/anterior.png") for number in (1, 2))
    annotations = [first["annotations"][0] | {"id": number, "image_id": image} for number, image in enumerate(drawn_on)]
    document = {"images": [*first["images"], *second["images"]], "annotations": annotations}
    (tmp_path / "coco.json").write_text(json.dumps(document))
    with pytest.raises(LabelError, match=r"two images of the anterior view.*give one study a file"):
        sandbox.drawn_masks(tmp_path / "coco.json", FRAME)


def test_counts_that_differ_by_one_or_by_shape_have_another_digest():
    counts = np.arange(12, dtype=np.float32).reshape(3, 4)
    other = counts.copy()
    other[2, 3] += 1
    assert len({counts_digest(counts), counts_digest(other), counts_digest(counts.reshape(4, 3))}) == 3
    assert counts_digest(np.asfortranarray(counts)) == counts_digest(counts)


def test_the_nearest_readers_folder_names_the_reader(written, tmp_path):
    _, folder = written
    deep = tmp_path / "reader-Outer" / "x" / "reader-Inner" / "study"
    deep.mkdir(parents=True)
    (deep / "anterior.json").write_bytes((folder / "anterior.json").read_bytes())
    (found,) = label_files([tmp_path / "reader-Outer"])
    assert found.below
    assert read_source(found).reader == "Inner"
    assert read_source(LabelFile(folder / "anterior.json")).reader is None


def test_a_folder_of_a_reader_is_not_below(written, tmp_path):
    _, folder = written
    (tmp_path / "labels" / "reader-A").mkdir(parents=True)
    (tmp_path / "labels" / "reader-A" / "anterior.json").write_bytes((folder / "anterior.json").read_bytes())
    assert [one.below for one in label_files([tmp_path / "labels"])] == [False]


def test_objects_are_found_in_a_folder_whatever_their_ending(tmp_path):
    """DCMTK's storescp names what it receives by the UID."""
    dicom = bytes(128) + b"DICM"
    names = ("SRe.1.2.276.0.7230010.3.1.4", "report", "report.sr", "a.DCM", "b.ima")
    for name in (*names, "DICOMDIR", "page.pdf", "view.png", "scan.npz", "notes.txt"):
        (tmp_path / name).write_bytes(dicom)
    (tmp_path / "SRe.1.2.3").write_bytes(b"something else")
    assert {file.path.name for file in label_files([tmp_path])} == set(names)


def test_noise_drawn_as_one_lesion_is_refused():
    noise = np.random.default_rng(4).random((200, 200)) < 0.2
    regions = {View.ANTERIOR: np.full((200, 200), 0, dtype=np.uint8)}
    with pytest.raises(LabelError, match="pieces"):
        outlines_of([DrawnLesion(View.ANTERIOR, noise & ~np.roll(noise, 1))], regions)


def test_pieces_that_cutting_a_ring_open_leaves_are_counted():
    """A frame one pixel thick with a dot in the middle: both stay, the frame lacks the pixel of the cut."""
    ring = np.zeros((20, 20), dtype=np.bool_)
    ring[5:12, 5:12] = True
    ring[6:11, 6:11] = False
    dot = np.zeros_like(ring)
    dot[8, 8] = True
    regions = {View.ANTERIOR: np.zeros(ring.shape, dtype=np.uint8)}
    drawn = [
        DrawnLesion(View.ANTERIOR, ring, None, Region.SACRUM),
        DrawnLesion(View.ANTERIOR, dot, None, Region.SACRUM),
    ]
    outlines, changes = outlines_of(drawn, regions)
    assert changes == ("1 pixels of rings around other lesions were removed, to cut them open",)
    assert sorted(int(one.mask.sum()) for one in outlines) == [1, 23]
