"""LabelMe files: coordinates worked out by hand, every kind of shape, and bad files refused in one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bonescan.annotate import LabelFile, LabelShape, from_label_image, label_image, read_labelme, write_labelme
from bonescan.errors import LabelError, OutputError


def _document(points, **changes):
    shape = {"label": "lesion", "points": points, "group_id": None, "shape_type": "polygon", "flags": {}} | changes
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [shape],
        "imagePath": "anterior.png",
        "imageData": None,
        "imageHeight": 6,
        "imageWidth": 8,
    }


def _read(tmp_path, document):
    path = tmp_path / "anterior.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return read_labelme(path)


SQUARE = [[1, 2], [4, 2], [4, 5], [1, 5]]
"""(x, y) around the pixels of columns 1-3 and rows 2-4."""


def test_the_corner_convention_of_labelme(tmp_path):
    labels = _read(tmp_path, _document(SQUARE))
    np.testing.assert_array_equal(
        labels.shapes[0].contour, [[1.5, 0.5], [1.5, 3.5], [4.5, 3.5], [4.5, 0.5], [1.5, 0.5]]
    )
    expected = np.zeros((6, 8))
    expected[2:5, 1:4] = 1
    np.testing.assert_array_equal(label_image(labels), expected)
    assert label_image(labels).dtype == np.uint16


def test_written_files_say_what_labelme_reads(tmp_path):
    picture = np.zeros((6, 8), np.uint16)
    picture[0, 0] = 1
    write_labelme(tmp_path / "a.json", from_label_image(picture, "anterior.png"))
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            {
                "label": "lesion",
                "points": [[0.5, 0.0], [1.0, 0.5], [0.5, 1.0], [0.0, 0.5]],
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
            }
        ],
        "imagePath": "anterior.png",
        "imageData": None,
        "imageHeight": 6,
        "imageWidth": 8,
    }
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_file_without_shapes_is_a_read_scan_without_lesions(tmp_path):
    labels = _read(tmp_path, _document(SQUARE) | {"shapes": []})
    assert labels.shapes == ()
    assert not label_image(labels).any()
    assert from_label_image(np.zeros((6, 8), np.uint16)).shapes == ()


def test_what_a_reader_noted_is_kept(tmp_path):
    document = _document(SQUARE, label="Läsion", group_id=3, flags={"sure": True}, description="7th rib")
    document["flags"] = {"readable": True}
    labels = _read(tmp_path, document)
    write_labelme(tmp_path / "again.json", labels)
    again = read_labelme(tmp_path / "again.json")
    shape = again.shapes[0]
    assert (shape.label, shape.group_id, shape.flags, shape.description) == ("Läsion", 3, {"sure": True}, "7th rib")
    assert (again.flags, again.image_name, again.shape) == ({"readable": True}, "anterior.png", (6, 8))


def test_rectangles_and_circles_are_curves(tmp_path):
    rectangle = _read(tmp_path, _document([[4, 5], [1, 2]], shape_type="rectangle"))
    np.testing.assert_array_equal(label_image(rectangle), label_image(_read(tmp_path, _document(SQUARE))))
    circle = label_image(_read(tmp_path, _document([[3.5, 2.5], [3.5, 4.1]], shape_type="circle")))
    expected = np.zeros((6, 8))
    expected[1:4, 2:5] = 1
    np.testing.assert_array_equal(circle, expected)


@pytest.mark.parametrize("kind", ["line", "linestrip", "point", "points", "mask", "banana"])
def test_what_encloses_nothing_is_refused(tmp_path, kind):
    with pytest.raises(LabelError, match=rf"shape 1 of anterior\.json .*{kind}.*draw a polygon"):
        _read(tmp_path, _document(SQUARE, shape_type=kind))


@pytest.mark.parametrize(
    "points",
    [None, "text", [], [[1, 2], [3, 4]], [[1, 2, 3]] * 3, [[1, "2"]] * 3, [[1, True]] * 3, [[1, 10**400]] * 3, [3] * 3],
)
def test_bad_points_are_refused(tmp_path, points):
    with pytest.raises(LabelError, match=r"shape 1 of anterior\.json"):
        _read(tmp_path, _document(points))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"shapes": 3}', b'{"shapes": [1]}', b"\xff\xfe\x00", b"[" * 100_000]
)
def test_files_that_are_no_labelme_files_are_refused(tmp_path, content):
    path = tmp_path / "posterior.json"
    path.write_bytes(content)
    with pytest.raises(LabelError, match=r"posterior\.json"):
        read_labelme(path)


def test_nan_is_refused_and_a_byte_order_mark_is_not(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(_document([[1, float("nan")]] * 3)), encoding="utf-8")
    with pytest.raises(LabelError, match="no JSON"):
        read_labelme(path)
    path.write_text(json.dumps(_document(SQUARE)), encoding="utf-8-sig")
    assert len(read_labelme(path).shapes) == 1


def test_missing_files_folders_and_sizes_are_refused(tmp_path):
    with pytest.raises(LabelError, match="cannot be read"):
        read_labelme(tmp_path / "none.json")
    with pytest.raises(OutputError, match="cannot be written"):
        write_labelme(tmp_path / "none" / "a.json", LabelFile((), (4, 4)))
    with pytest.raises(LabelError, match="states an image of -1 x 8"):
        _read(tmp_path, _document(SQUARE) | {"imageHeight": -1})
    unsized = _read(tmp_path, _document(SQUARE) | {"imageHeight": None})
    with pytest.raises(LabelError, match="states no image size"):
        label_image(unsized)
    assert label_image(unsized, (6, 8)).sum() == 9
    with pytest.raises(LabelError, match="frame of 6 x 8 pixels and the scan has 7 x 8"):
        label_image(_read(tmp_path, _document(SQUARE)), (7, 8))


def test_groups_are_one_lesion_and_labels_can_be_chosen():
    def square(row, label, group=None):
        return LabelShape(label, np.array([[row, 0], [row, 2], [row + 1, 2], [row + 1, 0]]) - 0.5, group)

    labels = LabelFile((square(0, "a", 1), square(2, "b"), square(4, "a", 1), square(6, "b", 1)), (8, 2))
    assert label_image(labels)[:, 0].tolist() == [1, 0, 2, 0, 1, 0, 3, 0]
    assert label_image(labels, wanted=["b"])[:, 0].tolist() == [0, 0, 1, 0, 0, 0, 2, 0]


def test_the_smaller_of_two_lesions_over_one_another_is_seen():
    small = LabelShape("a", np.array([[1, 1], [1, 2], [2, 2], [2, 1]]) - 0.5)
    large = LabelShape("a", np.array([[0, 0], [0, 4], [4, 4], [4, 0]]) - 0.5)
    picture = label_image(LabelFile((small, large), (4, 4)))
    assert picture[1, 1] == 1
    assert (picture == 2).sum() == 15


def test_a_curve_between_pixel_centres_keeps_its_lesion():
    tiny = np.array([[2.1, 3.1], [2.1, 3.3], [2.3, 3.3]])
    assert np.argwhere(label_image(LabelFile((LabelShape("a", tiny),), (6, 8)))).tolist() == [[2, 3]]
    with pytest.raises(LabelError, match="outside the frame"):
        label_image(LabelFile((LabelShape("a", tiny + 100),), (6, 8)))


def test_holes_and_pieces_come_back():
    picture = np.zeros((12, 12), np.uint16)
    picture[1:9, 1:9] = 1
    picture[3:5, 3:5] = 0
    picture[6, 6] = 0
    picture[10, 10] = 1
    picture[3, 3] = 2
    labels = from_label_image(picture)
    assert [shape.group_id for shape in labels.shapes] == [1, 1, None]
    np.testing.assert_array_equal(label_image(labels), picture)
