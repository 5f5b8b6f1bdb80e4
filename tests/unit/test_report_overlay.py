"""The picture: everything that it must say is on it, and no number covers a lesion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.drawn import lesion_of

from bonescan.report import overlay as module
from bonescan.report import placement
from bonescan.report.ink import Sheet
from bonescan.report.overlay import INK, bone_window, overlay, write_overlay
from bonescan.report.placement import Field, place_numbers
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

    for name in ("text", "text_with_squares", "ink_text"):
        remember(name)
    return texts


def inked(picture):
    """Pixels in the ink's own hue: red well above green."""
    red, green, _ = np.moveaxis(np.asarray(picture.convert("RGB")).astype(int), 2, 0)
    return red - green > 60


def test_a_readers_curves_are_said_to_be_the_readers(result, said):
    overlay(replace(result, reader="Ada Lovelace"))
    assert any(text.startswith("curves drawn or corrected by Ada Lovelace; bones told apart by ") for text, _ in said)


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


def test_numbers_cover_no_lesion_and_no_other_number(result):
    lesions = [lesion for lesion in result.lesions if lesion.view is View.POSTERIOR]
    covered = result.labels(View.POSTERIOR) > 0
    field = Field(np.zeros(covered.shape, dtype=np.float32), covered, slice(0, covered.shape[0]), 63.5)
    size = (9.0, 8.0)
    boxes = []
    for place in place_numbers(field, lesions, [size] * len(lesions)):
        row, col = place.centre
        box = (row - size[0] / 2, col - size[1] / 2, row + size[0] / 2, col + size[1] / 2)
        top, left, bottom, right = (round(edge) for edge in box)
        assert not covered[max(top, 0) : bottom, max(left, 0) : right].any()
        assert all(box[0] >= b[2] or b[0] >= box[2] or box[1] >= b[3] or b[1] >= box[3] for b in boxes)
        boxes.append(box)


def test_a_number_stays_in_the_picture_and_avoids_the_dark(result):
    (lesion,) = [lesion for lesion in result.lesions if lesion.view is View.ANTERIOR][:1]
    shape = result.study.shape
    row, col = lesion.origin
    darkness = np.zeros(shape, dtype=np.float32)
    darkness[:, :col] = 1.0
    field = Field(darkness, result.labels(View.ANTERIOR) > 0, slice(row - 2, row + 60), (shape[1] - 1) / 2)
    (place,) = place_numbers(field, [lesion], [(8.0, 8.0)])
    y, x = place.centre
    assert x > col
    assert y - 4 >= row - 2


DRAWN_ON = (200, 128)
NUMBER = (9.0, 11.0)


def ellipse(row, col, height, width):
    """A mask from the middle and half the height and width."""
    rows, cols = np.ogrid[: DRAWN_ON[0], : DRAWN_ON[1]]
    return ((rows - row) / height) ** 2 + ((cols - col) / width) ** 2 <= 1


def placed(masks):
    """The places of the numbers of lesions that are drawn on a dark spine; and the field."""
    dark = np.zeros(DRAWN_ON, dtype=np.float32)
    dark[:, 52:76] = 0.9
    field = Field(dark, np.any(masks, axis=0), slice(0, DRAWN_ON[0]), 63.5)
    lesions = [lesion_of(number, View.POSTERIOR, mask) for number, mask in enumerate(masks, start=1)]
    return place_numbers(field, lesions, [NUMBER] * len(lesions)), lesions


def distances(place, masks):
    """From the edge of a number to the nearest pixel of each mask."""
    half = np.array(NUMBER) / 2
    points = [np.argwhere(mask) for mask in masks]
    return [np.hypot(*(np.clip(one, place.centre - half, place.centre + half) - one).T).min() for one in points]


def assert_each_stands_at_its_own(places, masks):
    for number, place in enumerate(places):
        assert not place.is_doubtful
        apart = distances(place, masks)
        assert apart[number] < min(apart[:number] + apart[number + 1 :], default=np.inf)
        along = place.leader[0] + np.linspace(0, 1, 200)[:, None] * (place.leader[1] - place.leader[0])
        rows, cols = np.rint(along).astype(int).T
        for other, mask in enumerate(masks):
            assert other == number or not mask[rows, cols].any()


@pytest.mark.parametrize("gap", [3, 5])
def test_no_number_stands_at_another_curve_than_its_own(gap):
    """A small curve close below a large one, as L1 below T12: beside it, its number is nearer to the large one."""
    masks = [ellipse(100, 63, 10, 9), ellipse(113 + gap, 63, 3, 3)]
    places, _ = placed(masks)
    assert_each_stands_at_its_own(places, masks)


def test_among_many_curves_each_number_stands_at_its_own():
    rng = np.random.default_rng(4)
    rows, cols = np.meshgrid(np.arange(25, 190, 24), (32, 64, 96))
    masks = [
        ellipse(row + rng.uniform(-4, 4), col + rng.uniform(-6, 6), *rng.uniform(2, 6, 2))
        for row, col in zip(rows.ravel(), cols.ravel(), strict=True)
    ]
    places, _ = placed(masks)
    assert_each_stands_at_its_own(places, masks)


def test_two_numbers_change_places_where_that_shortens_their_leaders():
    masks = [ellipse(60, 100, 3, 3), ellipse(120, 100, 3, 3)]
    places, lesions = placed(masks)
    field = Field(np.zeros(DRAWN_ON, dtype=np.float32), np.any(masks, axis=0), slice(0, DRAWN_ON[0]), 63.5)
    judge = placement._Judge(field, lesions, [NUMBER] * 2)
    centres = [np.array([place.centre]) for place in places]
    chosen = {0: judge.judged(0, centres[1]), 1: judge.judged(1, centres[0])}
    assert chosen[0].doubtful[0]
    placement._exchange(judge, chosen)
    for number in range(2):
        np.testing.assert_array_equal(chosen[number].centres, centres[number])


def test_where_no_place_is_left_a_number_has_the_best_one_with_a_line(make_result, monkeypatch):
    """A lesion in the opening of a much larger one has no place of its own."""
    rows, cols = np.ogrid[: DRAWN_ON[0], : DRAWN_ON[1]]
    away = np.hypot(rows - 100, cols - 63)
    masks = [(away < 60) & (away > 8) & ~((abs(rows - 100) < 2) & (cols > 63)), away < 3]
    (_, inner), lesions = placed(masks)
    assert inner.is_doubtful
    size = np.array(NUMBER)
    assert (np.abs(inner.leader[1] - inner.centre) <= size / 2 + 1e-9).all()
    drawn = []
    monkeypatch.setattr(Sheet, "ink_line", lambda sheet, points, width: drawn.append(width))
    bare = make_result(lesions={}, views=(View.POSTERIOR,))
    # All lines count here, however short they are.
    monkeypatch.setattr(module, "_SHORTEST_LEADER", 1e9)
    overlay(replace(bare, lesions=tuple(lesions), burden=bare.burden, extent=None))
    assert drawn.count(module._LEADER_WIDTH) == sum(place.is_doubtful for place in placed(masks)[0]) > 0


def test_pixels_that_are_not_square_count_as_they_are_drawn():
    """Where a pixel is twice as high as wide, a distance in rows counts twice."""
    masks = [ellipse(100, 63, 3, 3), ellipse(117, 63, 3, 3)]
    lesions = [lesion_of(number, View.POSTERIOR, mask) for number, mask in enumerate(masks, start=1)]
    field = Field(np.zeros(DRAWN_ON, dtype=np.float32), np.any(masks, axis=0), slice(0, DRAWN_ON[0]), 63.5, 2.0)
    judge = placement._Judge(field, lesions, [(1.0, 1.0)] * 2)
    between = np.array([[108.5, 63.0], [100.0, 75.0]])
    own = judge.lengths(0, between)
    assert own == pytest.approx([2 * (108 - 103.5), 74.5 - 66.5])


def test_the_footer_says_the_operating_point(result, said):
    overlay(replace(result, operating_point="balanced"))
    assert "phantom-unet, sha256 0123456789ab…, balanced" in [text for text, _ in said]
