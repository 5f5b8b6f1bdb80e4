"""Sites, pairs and burden, against what is worked out by hand on a drawn body."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.optimize import isotonic_regression

from bonescan.assess import assess, site
from bonescan.assess.burden import BONES, WHOLE_PERCENT, depth_shares, extent_of, extent_words, soloway
from bonescan.assess.pairing import lesions_in_all, pairs_of
from bonescan.assess.site import rib_under, site_words, spine_levels, vertebra_at
from bonescan.lesions.contours import contour_of
from bonescan.prediction import Prediction
from bonescan.study import LEVELS, REGIONS, Lesion, Level, Measures, Region, RibPart, Scan, Side, Spacing, Study, View

SHAPE = (240, 101)
SPACING = Spacing(2.0, 2.0)
T1, T12 = LEVELS.index("T1"), LEVELS.index("T12")


def lesion(number, view, row, col, size=3, **changes):
    """A square lesion of the view as acquired, its first pixel at (row, col)."""
    mask = np.ones((size, size), dtype=bool)
    measures = Measures(size * size, size * size * 4.0, 90.0, 10.0, 12.0, 2.0, None)
    made = Lesion(number, view, contour_of(mask), (row, col), mask, 0.9, Region.THORACIC_SPINE, Side.MIDLINE, measures)
    return replace(made, **changes)


def body(regions=None, levels=None, views=tuple(View)):
    regions = np.zeros(SHAPE, np.uint8) if regions is None else regions
    study = Study("body", {view: Scan(view, np.ones(SHAPE)) for view in views}, spacing=SPACING)
    probability = dict.fromkeys(views, np.zeros(SHAPE, np.float32))
    level = None if levels is None else {view: turned(levels, view) for view in views}
    return study, Prediction(probability, {view: turned(regions, view) for view in views}, level=level)


def turned(picture, view):
    return picture[:, ::-1] if view is View.POSTERIOR else picture


def spine(rows_each=10, first=60):
    """Thoracic vertebrae of so many rows each, in columns 46 to 54; the region map and the level map."""
    levels, regions = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    for number in range(T1, T12 + 1):
        top = first + (number - T1) * rows_each
        levels[top : top + rows_each, 46:55] = number
    regions[levels > 0] = REGIONS.index(Region.THORACIC_SPINE)
    return regions, levels


# Site


def test_a_vertebra_is_named_with_its_uncertainty():
    regions, levels = spine()
    study, prediction = body(regions, levels)
    (placed,), _ = assess(study, (lesion(1, View.ANTERIOR, 133, 49),), prediction, "whole-body")
    assert placed.level == Level("T8", 1)
    assert site_words(placed) == "T8 \u00b11"


def test_neighbours_outvote_the_wrong_labels_under_a_lesion():
    _, levels = spine()
    levels[133:136, 46:55] = LEVELS.index("T2")
    fit = spine_levels([levels])
    assert vertebra_at(lesion(1, View.ANTERIOR, 133, 49), fit, levels)[0] == LEVELS.index("T8")
    assert (np.diff(fit[np.isfinite(fit)]) >= 0).all()


def test_labels_that_scatter_make_the_vertebra_less_certain():
    _, levels = spine()
    rng = np.random.default_rng(1)
    noisy = np.where(levels > 0, np.clip(levels + rng.integers(-4, 5, SHAPE), T1, T12), 0).astype(np.uint8)
    number, plus_minus = vertebra_at(lesion(1, View.ANTERIOR, 133, 49), spine_levels([noisy]), noisy)
    assert abs(number - LEVELS.index("T8")) <= 1
    assert plus_minus >= 2


def test_a_large_lesion_spans_its_vertebrae():
    _, levels = spine()
    wide = replace(lesion(1, View.ANTERIOR, 100, 49), mask=np.ones((60, 3), dtype=bool))
    assert vertebra_at(wide, spine_levels([levels]), levels)[1] >= 2


def test_above_the_spine_there_is_no_vertebra():
    _, levels = spine()
    assert vertebra_at(lesion(1, View.ANTERIOR, 10, 49), spine_levels([levels]), levels) is None


def test_a_rib_is_the_median_label_under_the_outline_or_the_nearest():
    levels = np.zeros(SHAPE, np.uint8)
    levels[80:84, 20:30] = LEVELS.index("rib 5")
    levels[84:86, 20:30] = LEVELS.index("rib 6")
    assert rib_under(lesion(1, View.ANTERIOR, 82, 22, size=3), levels) == (LEVELS.index("rib 5"), 1)
    assert rib_under(lesion(1, View.ANTERIOR, 88, 22), levels) == (LEVELS.index("rib 6"), 1)
    assert rib_under(lesion(1, View.ANTERIOR, 120, 22), levels) is None


def chest():
    regions, levels = spine()
    regions[70:160, 10:46] = regions[70:160, 55:91] = REGIONS.index(Region.RIBS)
    levels[70:160, 10:46] = levels[70:160, 55:91] = LEVELS.index("rib 7")
    return body(regions, levels)


@pytest.mark.parametrize(
    ("view", "col", "part"),
    [
        (View.ANTERIOR, 30, RibPart.ANTERIOR),
        (View.POSTERIOR, 30, RibPart.POSTERIOR),
        (View.ANTERIOR, 11, RibPart.LATERAL),
    ],
)
def test_a_rib_has_a_part(view, col, part):
    study, prediction = chest()
    (placed,), _ = assess(study, (lesion(1, view, 100, col, region=Region.RIBS),), prediction, "whole-body")
    assert placed.level == Level("rib 7", 1, part)


@pytest.mark.parametrize(
    ("region", "level", "words"),
    [
        (Region.RIBS, Level("rib 4", 2, RibPart.LATERAL), "rib 4 \u00b12 lateral, left"),
        (Region.RIBS, Level("rib 4", 3, RibPart.LATERAL), "a rib, lateral, left"),
        (Region.RIBS, Level("rib 4", 7), "a rib, left"),
        (Region.CERVICAL_SPINE, Level("C4", 3), "a cervical vertebra, left"),
        (Region.THORACIC_SPINE, Level("T8", 3), "a thoracic vertebra, left"),
        (Region.LUMBAR_SPINE, Level("L1", 4), "a lumbar vertebra, left"),
    ],
)
def test_a_number_that_tells_nothing_is_not_stated(region, level, words):
    placed = replace(lesion(1, View.ANTERIOR, 133, 49, region=region), level=level, side=Side.LEFT)
    assert site_words(placed) == words
    assert placed.level == level


def test_without_a_level_map_the_bone_alone_is_named():
    study, prediction = body(spine()[0])
    (placed,), _ = assess(study, (lesion(1, View.ANTERIOR, 133, 49),), prediction, "whole-body")
    assert placed.level is None
    assert site_words(replace(placed, side=Side.LEFT)) == "thoracic spine, left"


def test_a_bone_without_levels_has_none():
    study, prediction = chest()
    (placed,), _ = assess(study, (lesion(1, View.ANTERIOR, 133, 49, region=Region.STERNUM),), prediction, "whole-body")
    assert placed.level is None


def test_a_level_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="T13"):
        Level("T13", 1)


# Pairs


def mirrored(col, size=3):
    return SHAPE[1] - col - size


def test_the_same_place_in_both_views_is_one_lesion():
    both = [lesion(1, View.ANTERIOR, 100, 20), lesion(2, View.POSTERIOR, 101, mirrored(20))]
    assert pairs_of(both, SHAPE, SPACING) == {1: 2}


def test_the_same_column_unmirrored_is_another_place():
    both = [lesion(1, View.ANTERIOR, 100, 20), lesion(2, View.POSTERIOR, 100, 20)]
    assert pairs_of(both, SHAPE, SPACING) == {}


def test_one_view_has_no_pairs():
    assert pairs_of([lesion(1, View.ANTERIOR, 100, 20), lesion(2, View.ANTERIOR, 100, 78)], SHAPE, SPACING) == {}


def test_the_assignment_is_one_to_one_and_the_least_in_all():
    """Each alone would take the middle one; together they take two."""
    found = [
        lesion(1, View.ANTERIOR, 100, 20),
        lesion(2, View.ANTERIOR, 104, 20),
        lesion(3, View.POSTERIOR, 102, mirrored(20)),
        lesion(4, View.POSTERIOR, 107, mirrored(20)),
    ]
    assert pairs_of(found, SHAPE, SPACING) == {1: 3, 2: 4}


def test_another_bone_far_off_speaks_against_a_pair():
    front = lesion(1, View.ANTERIOR, 100, 20, region=Region.SKULL)
    back = lesion(2, View.POSTERIOR, 104, mirrored(20), region=Region.FEMUR)
    assert pairs_of([front, back], SHAPE, SPACING) == {}
    assert pairs_of([front, replace(back, region=Region.SKULL)], SHAPE, SPACING) == {1: 2}


def test_both_outlines_of_a_lesion_name_the_site_of_the_hotter_view_and_count_once():
    study, prediction = body()
    front = lesion(1, View.ANTERIOR, 100, 49, region=Region.STERNUM)
    front = replace(front, measures=replace(front.measures, contrast=5.0))
    back = lesion(2, View.POSTERIOR, 100, mirrored(49))
    alone = lesion(3, View.POSTERIOR, 30, 10)
    placed, extent = assess(study, (front, back, alone), prediction, "whole-body")
    assert [one.pair for one in placed] == [1, 1, None]
    assert [one.region for one in placed] == [Region.STERNUM, Region.STERNUM, Region.THORACIC_SPINE]
    assert (lesions_in_all(placed), extent.lesions) == (2, 2)


def test_a_lesion_of_the_face_that_is_hotter_from_behind_is_not_one_of_the_skull():
    study, prediction = body()
    front = lesion(1, View.ANTERIOR, 100, 49, region=Region.FACE)
    back = lesion(2, View.POSTERIOR, 100, mirrored(49), region=Region.SKULL)
    back = replace(back, measures=replace(back.measures, contrast=5.0))
    placed, _ = assess(study, (front, back), prediction, "whole-body")
    assert [one.region for one in placed] == [Region.FACE, Region.FACE]


def test_pairs_without_spacing_are_those_of_common_pixels():
    both = [lesion(1, View.ANTERIOR, 100, 20), lesion(2, View.POSTERIOR, 100, mirrored(20))]
    assert pairs_of(both, SHAPE, None) == {1: 2}


# Burden


def skeleton():
    """Every bone of the table, with its usual share of the area, as bands of rows."""
    regions = np.zeros(SHAPE, np.uint8)
    row = 0
    for bone in BONES:
        rows = round(bone.area * 230)
        regions[row : row + rows] = REGIONS.index(bone.regions[0])
        row += rows
    return regions


def test_the_published_shares_come_to_the_whole():
    assert pytest.approx(100.1) == WHOLE_PERCENT
    assert sum(bone.area for bone in BONES) == pytest.approx(1.0, abs=0.01)
    named = [region for bone in BONES for region in bone.regions]
    assert len(named) == len(set(named))


def test_without_lesions_all_is_zero():
    study, prediction = body(skeleton())
    extent = extent_of(study, (), prediction)
    assert (extent.lesions, extent.positive_share, extent.bone_scan_index, extent.grade) == (0, 0.0, 0.0, 0)
    assert (extent.mass_seen, dict(extent.bones)) == (pytest.approx(1.0), {})


def test_a_skeleton_that_is_all_lesion_has_an_index_of_a_hundred():
    study, prediction = body(skeleton())
    whole = [
        replace(lesion(number, view, 0, 0), mask=turned(skeleton() > 0, view)) for number, view in enumerate(View, 1)
    ]
    extent = extent_of(study, whole, prediction)
    assert extent.bone_scan_index == pytest.approx(100.0)
    assert (extent.positive_share, extent.grade) == (1.0, 4)


def upper_half(region):
    """Study and prediction of the skeleton, lesions over a bone's upper rows in both views, and the rows' share."""
    regions = skeleton()
    rows = np.flatnonzero((regions == REGIONS.index(region)).any(axis=1))
    half = np.zeros(SHAPE, dtype=bool)
    half[rows[: rows.size // 2]] = True
    found = [replace(lesion(number, view, 0, 0), mask=half) for number, view in enumerate(View, 1)]
    return *body(regions), found, (rows.size // 2) / rows.size


def test_the_index_is_each_bones_part_times_its_share_of_mass():
    study, prediction, found, part = upper_half(Region.FOOT)
    both = extent_of(study, found, prediction)
    assert both.bones == {"feet": pytest.approx(part)}
    assert both.bone_scan_index == pytest.approx(100 * 11.6 * part / WHOLE_PERCENT), "it is as deep as the bone"


@pytest.mark.parametrize(("region", "bone"), [(Region.FOOT, "feet"), (Region.FEMUR, "femora")])
def test_a_lesion_in_one_of_two_views_counts_half_of_one_in_both(region, bone):
    study, prediction, found, _ = upper_half(region)
    both, one = (extent_of(study, seen, prediction).bones[bone] for seen in (found, found[:1]))
    assert one == pytest.approx(both / 2)


def test_a_small_lesion_goes_through_a_part_of_the_depth_and_a_large_one_through_all():
    radius = np.sqrt(9 * SPACING.pixel_area_mm2 / np.pi)
    small, large = (
        depth_shares(replace(lesion(1, View.ANTERIOR, 0, 0), mask=np.ones((size, size), bool)), SPACING)
        for size in (3, 40)
    )
    femur, ribs, skull = (REGIONS.index(region) for region in (Region.FEMUR, Region.RIBS, Region.SKULL))
    assert small[[femur, ribs]] == pytest.approx([radius / 14.0, radius / 7.0]), "a rib is thinner than a femur"
    assert large[[femur, ribs]] == pytest.approx([1.0, 1.0])
    assert large[skull] == pytest.approx(0.5), "it is in one of two walls"


def test_the_middle_of_a_long_bone_holds_more_of_it_than_its_edge():
    regions = skeleton()
    inside = np.pad(regions == REGIONS.index(Region.FEMUR), 1)
    edge = (inside & ~ndimage.binary_erosion(inside))[1:-1, 1:-1]
    core = inside[1:-1, 1:-1] & ~edge
    study, prediction = body(regions)

    def share_of(mask: np.ndarray) -> float:
        found = [replace(lesion(number, view, 0, 0), mask=turned(mask, view)) for number, view in enumerate(View, 1)]
        return extent_of(study, found, prediction).bones["femora"]

    assert share_of(core) > core.sum() / (core.sum() + edge.sum())
    assert share_of(core) + share_of(edge) == pytest.approx(1.0)


def test_a_bone_covered_by_many_small_lesions_is_filled():
    regions = skeleton()
    rows, cols = np.nonzero(regions == REGIONS.index(Region.STERNUM))
    study, prediction = body(regions)
    found = []
    for view in View:
        for row, col in zip(rows, cols, strict=True):
            across = col if view is View.ANTERIOR else SHAPE[1] - 1 - col
            found.append(lesion(len(found) + 1, view, int(row), int(across), size=1))
    extent = extent_of(study, found, prediction)
    assert extent.bone_scan_index == pytest.approx(100 * 0.3 / WHOLE_PERCENT)


def test_a_bone_that_the_map_misses_is_not_filled_by_one_lesion():
    regions = skeleton()
    rows = np.flatnonzero((regions == REGIONS.index(Region.FEMUR)).any(axis=1))
    regions[rows[rows.size // 2 :]] = 0
    study, prediction = body(regions)
    mask = regions == REGIONS.index(Region.FEMUR)
    found = [replace(lesion(number, view, 0, 0), mask=turned(mask, view)) for number, view in enumerate(View, 1)]
    assert extent_of(study, found, prediction).bones["femora"] < 0.9


def test_missing_feet_make_the_index_partial_and_it_says_so():
    regions = skeleton()
    regions[regions == REGIONS.index(Region.FOOT)] = 0
    study, prediction = body(regions)
    extent = extent_of(study, (), prediction)
    assert extent.mass_seen == pytest.approx((WHOLE_PERCENT - 11.6) / WHOLE_PERCENT)
    assert any("partial: 88% of the mass" in words for words in extent_words(extent))


def test_a_thorax_has_a_partial_index_of_its_own_bones():
    study, prediction = body(skeleton())
    extent = extent_of(study, (), prediction, "thorax")
    assert extent.mass_seen == pytest.approx(17.0 / WHOLE_PERCENT)


def test_without_a_skeleton_there_is_no_index():
    study, prediction = body()
    extent = extent_of(study, (lesion(1, View.ANTERIOR, 3, 3),), prediction)
    assert (extent.bone_scan_index, extent.positive_share, extent.mass_seen) == (None, None, 0.0)


@pytest.mark.parametrize(("count", "grade"), [(0, 0), (1, 1), (5, 1), (6, 2), (20, 2), (21, 3)])
def test_the_grade_counts_lesions(count, grade):
    assert soloway([lesion(number, View.ANTERIOR, 0, 0) for number in range(1, count + 1)], {}) == grade


def test_a_lesion_of_a_vertebras_size_counts_as_two_and_a_pair_once():
    large = Measures(400, 1600.0, 1.0, 1.0, 1.0, None, None)
    five = [lesion(number, View.ANTERIOR, 0, 0) for number in range(1, 6)]
    assert soloway([*five[:4], replace(five[4], measures=large)], {}) == 2
    assert soloway([*five, lesion(6, View.POSTERIOR, 0, 0, pair=1), *[]], {}) == 2
    assert soloway([replace(five[0], pair=1), *five[1:], lesion(6, View.POSTERIOR, 0, 0, pair=1)], {}) == 1


def test_an_interval_stands_beside_its_figure():
    study, prediction = body(skeleton())
    extent = replace(extent_of(study, (), prediction), intervals={"bone_scan_index": (0.0, 0.25)}, draws=20)
    assert "bone scan index 0.00 % (0.00 to 0.25)" in extent_words(extent)


def test_levels_are_fitted_by_the_nearest_rising_sequence():
    rng = np.random.default_rng(3)
    values, weights = rng.normal(np.linspace(0, 5, 60), 2.0), rng.uniform(0.5, 3, 60)
    np.testing.assert_allclose(site._rising(values, weights), isotonic_regression(values, weights=weights).x)
