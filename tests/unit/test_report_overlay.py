"""The picture: everything that it must say is on it, and nothing covers anything else."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from PIL import ImageDraw

from bonescan.report import overlay as module
from bonescan.report.ink import Sheet, font, wide_font
from bonescan.report.overlay import INK, bone_window, overlay, write_overlay
from bonescan.study import Spacing, View


@pytest.fixture
def said(monkeypatch):
    """The texts that are drawn, with their places."""
    texts = []

    def remember(name):
        draw = getattr(Sheet, name)

        def drawn(self, place, text, *arguments, **options):
            texts.append((text, place))
            return draw(self, place, text, *arguments, **options)

        monkeypatch.setattr(Sheet, name, drawn)

    for name in ("text", "text_with_squares", "ink_text", "patient_text"):
        remember(name)
    return texts


def inked(picture):
    """Pixels in the ink's own hue: red well above green."""
    red, green, _ = np.moveaxis(np.asarray(picture.convert("RGB")).astype(int), 2, 0)
    return red - green > 60


@pytest.fixture
def framed(monkeypatch):
    """The boxes of what is drawn in grey, texts and the scale: left, top, right, bottom."""
    boxes = []
    text, patient_text, rectangle = Sheet.text, Sheet.patient_text, Sheet.rectangle

    def add(place, said, face, anchor):
        left, top, right, bottom = face.getbbox(said, anchor=anchor)
        boxes.append((place[0] + left, place[1] + top, place[0] + right, place[1] + bottom))

    def framed_text(sheet, place, said, size, *, anchor="ls", **how):
        if said != "2":  # the raised 2 of cm² stands close to its own line
            add(place, said, font(size), anchor)
        text(sheet, place, said, size, anchor=anchor, **how)

    def framed_patient_text(sheet, place, said, size):
        add(place, said, wide_font(size), "ls")
        patient_text(sheet, place, said, size)

    def framed_rectangle(sheet, box, **how):
        if how.get("fill") == 30 and box[2] - box[0] > 2:  # the scale without its ends
            boxes.append(box)
        rectangle(sheet, box, **how)

    monkeypatch.setattr(Sheet, "text", framed_text)
    monkeypatch.setattr(Sheet, "patient_text", framed_patient_text)
    monkeypatch.setattr(Sheet, "rectangle", framed_rectangle)
    return boxes


LONG = "Wolfeschlegelsteinhausenbergerdorff" * 5


def assert_all_apart(boxes, size):
    for left, top, right, bottom in boxes:
        assert 0 <= left <= right <= size[0] and 0 <= top <= bottom <= size[1]
    for one, other in combinations(boxes, 2):
        assert one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]


@pytest.mark.parametrize(
    ("reader", "model"),
    [
        (None, "of our department " * 4),
        (None, LONG),
        ("Dr. Müller", "phantom-unet"),
        (f"Dr. Łucja {LONG}", "of our department " * 4),
    ],
)
def test_names_of_reader_and_model_cover_nothing_and_stay_in_the_picture(result, framed, reader, model):
    picture = overlay(replace(result, reader=reader, model=replace(result.model, name=model)))
    assert_all_apart(framed, picture.size)


@pytest.mark.parametrize("spacing", [Spacing(2.4, 2.4), None])
def test_many_findings_do_not_cover_the_scale(make_result, framed, spacing):
    drawn = make_result(spacing=spacing)
    burden = {view: replace(each, lesions=123, area_mm2=123456.0) for view, each in drawn.burden.items()}
    picture = overlay(replace(drawn, burden=burden))
    assert_all_apart(framed, picture.size)


def test_a_warning_of_one_long_word_stays_in_its_box(result, framed):
    picture = overlay(replace(result, warnings=(f"the file is {LONG}.dcm",)))
    assert_all_apart(framed, picture.size)


def test_a_readers_curves_are_said_to_be_the_readers(result, said):
    overlay(replace(result, reader="Dr. Müller-Łukáč 漢"))
    texts = " ".join(text for text, _ in said)
    assert "curves drawn or corrected by Dr. Müller-Łukáč ?; bones told apart by phantom-unet" in texts


def test_the_letters_of_a_readers_name_can_be_drawn(result, monkeypatch):
    """Pillow's own font would draw the box of a missing letter in their place."""
    faces = []
    pen = ImageDraw.ImageDraw.text

    def remember(self, place, text, *arguments, **how):
        faces.extend([how["font"]] if "Ł" in text else [])
        pen(self, place, text, *arguments, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", remember)
    overlay(replace(result, reader="Łucja"))
    (face,) = faces
    missing = face.getmask("\uffff")
    assert bytes(face.getmask("Ł")) != bytes(missing)


def test_a_result_without_a_reader_has_one_line_for_use_and_model(result, said):
    unwarned = replace(result, warnings=())
    assert overlay(unwarned).size == module._layout(unwarned).size
    (use,) = [place for text, place in said if text == "Research use only - not for diagnosis"]
    (model,) = [place for text, place in said if text.startswith("phantom-unet")]
    assert use[1] == model[1]


def test_both_views_are_named_and_their_sides_marked(result, said):
    overlay(result)
    where = {text: place for text, place in said if text in ("ANTERIOR", "POSTERIOR")}
    assert where["ANTERIOR"][0] < where["POSTERIOR"][0]
    sides = [text for _, text in sorted((place[0], text) for text, place in said if text in ("R", "L"))]
    assert sides == ["R", "L", "L", "R"]


def test_it_says_what_it_is_for_and_which_model_made_it(result, said):
    overlay(result)
    texts = [text for text, _ in said]
    assert "Research use only - not for diagnosis" in texts
    assert "phantom-unet, sha256 0123456789ab…" in texts
    front, back = (result.burden[view].area_mm2 / 100 for view in View)
    assert f"4 lesions in 5 outlines: anterior 2 ({front:.1f} cm\u00b2), posterior 3 ({back:.1f} cm\u00b2)" in texts


def test_nothing_says_who_the_patient_is(make_result, said):
    overlay(make_result(key="DOE_JANE"))
    assert not [text for text, _ in said if "DOE" in text or "2021" in text or "scan.dcm" in text]


def test_every_lesion_is_numbered_once(result, said):
    overlay(result)
    numbers = [text for text, _ in said if text.isdigit()]
    assert sorted(numbers) == ["1", "2", "2", "2", "3", "4", "5"]  # the 2 of each cm2 is drawn by hand


def test_curves_surround_the_lesions_and_leave_them_to_see(result):
    picture = overlay(result)
    layout = module._layout(result)
    ink = inked(picture)
    for lesion in result.lesions:
        for row, col in lesion.contour:
            ((x, y),) = layout.to_sheet(np.array([(row, col)]), lesion.view)
            assert ink[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].any()
        middle = np.argwhere(lesion.mask).mean(axis=0) + lesion.origin
        ((x, y),) = layout.to_sheet(middle[None], lesion.view)
        assert not ink[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].any()


def test_a_scan_without_lesions_has_no_ink(make_result, said):
    picture = overlay(make_result(lesions={}))
    assert not inked(picture).any()
    assert "No lesion found" in [text for text, _ in said]


def test_a_view_that_was_not_given_is_an_empty_panel_that_says_so(make_result, said):
    picture = overlay(make_result(views=(View.POSTERIOR,)))
    (place,) = [place for text, place in said if text == "not given"]
    assert place[0] < picture.width / 2
    assert "anterior" not in " ".join(text for text, _ in said)


@pytest.mark.parametrize(
    ("spacing", "text"), [(Spacing(2.4, 2.4), "100 mm"), (None, "no scale: pixel spacing unknown")]
)
def test_a_scale_bar_needs_a_spacing(make_result, said, spacing, text):
    overlay(make_result(spacing=spacing))
    assert [drawn for drawn, _ in said if "mm" in drawn or "scale:" in drawn] == [text]


def test_areas_are_pixels_without_spacing(make_result, said):
    bare = make_result(spacing=None)
    overlay(bare)
    assert any(f"anterior 2 ({bare.burden[View.ANTERIOR].area_px} px)" in text for text, _ in said)


def test_the_bar_is_as_long_as_it_says(result):
    layout = module._layout(result)
    picture = np.asarray(overlay(result).convert("L"))
    row = module._HEADER + layout.panel[1] + 64
    bar = np.flatnonzero(picture[row, picture.shape[1] // 2 :] < 60)
    bar = bar[bar > bar.max() - 100 / 2.4 * layout.zoom[1] - 4]
    assert np.ptp(bar) == pytest.approx(100 / 2.4 * layout.zoom[1], abs=1.5)


def test_pixels_that_are_not_square_are_drawn_true(make_result):
    square, flat = (module._layout(make_result(spacing=spacing)) for spacing in (Spacing(2, 2), Spacing(4, 2)))
    assert square.zoom[0] == square.zoom[1]
    assert flat.zoom[0] == pytest.approx(2 * flat.zoom[1])


def test_the_window_is_not_moved_by_a_hot_bladder(result):
    counts = result.study.counts(View.ANTERIOR).copy()
    before = bone_window(counts)
    counts[172:188, 58:70] *= 5
    assert bone_window(counts) == pytest.approx(before, rel=0.1)
    assert bone_window(np.zeros((64, 32), dtype=np.float32)) == 1.0


def test_what_was_looked_at_is_framed(make_result):
    whole, thorax = (
        overlay(make_result(lesions={}, window=(slice(a, b), slice(0, 128)))) for a, b in ((0, 320), (60, 130))
    )
    assert (np.asarray(whole.convert("L")) != np.asarray(thorax.convert("L"))).any()


def test_the_frame_around_what_was_looked_at_is_mirrored_in_the_posterior_view(make_result, monkeypatch):
    """Columns 0 to 39 of the anterior frame are the patient's right, which lies on the right of the posterior one."""
    drawn = []
    window = (slice(60, 130), slice(0, 40))
    bare = make_result(lesions={}, window=window)
    layout = module._layout(bare)
    monkeypatch.setattr(module.Sheet, "rectangle", lambda sheet, box, **how: drawn.append((box, how.get("width"))))
    overlay(bare)
    anterior, posterior = (box for box, width in drawn if width == 2)
    edges = [layout.corner(view)[0] + layout.indent for view in View]
    assert [anterior[0] - edges[0], anterior[2] + 1 - edges[0]] == [0, pytest.approx(40 * layout.zoom[1], abs=1)]
    assert [posterior[0] - edges[1], posterior[2] + 1 - edges[1]] == [
        pytest.approx(88 * layout.zoom[1], abs=1),
        pytest.approx(128 * layout.zoom[1], abs=1),
    ]


def test_the_picture_is_a_small_palette_picture(result, tmp_path):
    write_overlay(result, tmp_path / "overlay.png")
    picture = overlay(result)
    assert picture.mode == "P"
    assert max(picture.getdata() if not hasattr(picture, "get_flattened_data") else picture.get_flattened_data()) < 256
    assert (tmp_path / "overlay.png").stat().st_size < 2_000_000


def test_ink_has_its_own_colour_and_soft_edges():
    sheet = Sheet((40, 20), INK)
    sheet.ink_line(np.array([(5.0, 5.0), (35.0, 12.0)]), 3.0)
    colours = {colour for _, colour in sheet.picture().convert("RGB").getcolors()}
    assert INK in colours
    assert (255, 255, 255) in colours
    assert len(colours) > 3


def test_the_footer_says_the_operating_point(result, said):
    overlay(replace(result, operating_point="balanced"))
    assert "phantom-unet, sha256 0123456789ab…, balanced" in [text for text, _ in said]
