"""Measures, checked against values worked out by hand on a drawn body."""

from __future__ import annotations

import numpy as np
import pytest

from bonescan.lesions.delineate import Outline, contour_of
from bonescan.lesions.measure import measure, midline_columns
from bonescan.prediction import Prediction
from bonescan.study import REGIONS, Region, Scan, Side, Spacing, Study, View

SHAPE = (120, 81)
SPINE = REGIONS.index(Region.THORACIC_SPINE)
RIBS = REGIONS.index(Region.RIBS)
KIDNEY = REGIONS.index(Region.KIDNEY)


def body(views=tuple(View), *, spacing=None, counts=10.0):
    """A spine in columns 38 to 42 and ribs beside it in rows 30 to 89, so that the midline is column 40."""
    regions = np.zeros(SHAPE, dtype=np.uint8)
    regions[30:90, 10:71] = RIBS
    regions[30:90, 38:43] = SPINE
    study = Study("body", {view: Scan(view, np.full(SHAPE, counts)) for view in views}, spacing=spacing)
    lesion = {view: np.zeros(SHAPE, dtype=np.float32) for view in views}
    return study, Prediction(lesion, dict.fromkeys(views, regions))


def outline(view, origin, mask, region=Region.RIBS):
    mask = np.asarray(mask, dtype=bool)
    return Outline(view, origin, mask, contour_of(mask) + np.array(origin, dtype=float), 0.8, region)


def with_counts(study, view, patches):
    """The study with other counts in some rectangles of one view."""
    counts = study.counts(view).copy()
    for (rows, cols), value in patches.items():
        counts[slice(*rows), slice(*cols)] = value
    return Study(study.key, {**study.scans, view: Scan(view, counts)}, spacing=study.spacing)


def test_a_scan_without_lesions_has_a_burden_of_none():
    study, prediction = body(spacing=Spacing(2.0, 2.5))
    lesions, burden = measure(study, (), prediction)
    assert lesions == ()
    assert set(burden) == set(View)
    for found in burden.values():
        assert (found.lesions, found.area_px, found.area_mm2) == (0, 0, 0.0)
        assert (found.skeleton_px, found.skeleton_share) == (60 * 61, 0.0)


def test_area_and_counts_are_measured_on_the_mask():
    study, prediction = body(spacing=Spacing(2.0, 2.5))
    study = with_counts(study, View.ANTERIOR, {((50, 51), (20, 22)): 60.0, ((51, 52), (20, 21)): 30.0})
    (lesion,), _ = measure(study, [outline(View.ANTERIOR, (50, 20), [[1, 1], [1, 0]])], prediction)
    assert (lesion.id, lesion.view, lesion.region, lesion.probability) == (1, View.ANTERIOR, Region.RIBS, 0.8)
    measures = lesion.measures
    assert (measures.area_px, measures.area_mm2) == (3, 15.0)
    assert (measures.counts_total, measures.counts_mean, measures.counts_max) == (150.0, 50.0, 60.0)
    assert measures.contrast == 5.0
    assert measures.contrast_mirror == 5.0


def test_without_spacing_there_are_no_millimetres():
    study, prediction = body()
    lesions, burden = measure(study, [outline(View.POSTERIOR, (50, 20), [[1]])], prediction)
    assert lesions[0].measures.area_mm2 is None
    assert burden[View.POSTERIOR].area_mm2 is None
    assert burden[View.POSTERIOR].area_px == 1


def test_contrast_looks_at_bone_in_a_ring_and_leaves_out_blur_lesions_and_what_is_no_bone():
    study, prediction = body()
    lesion = outline(View.ANTERIOR, (50, 20), np.ones((4, 4)))
    other = outline(View.ANTERIOR, (50, 28), np.ones((4, 2)))
    study = with_counts(
        study,
        View.ANTERIOR,
        {
            ((48, 56), (20, 24)): 99.0,  # the lesion's blur: within 2 pixels
            ((50, 54), (18, 26)): 99.0,
            ((50, 54), (20, 24)): 40.0,
            ((50, 54), (28, 30)): 99.0,  # the other lesion
            ((57, 64), (20, 24)): 99.0,  # a kidney
            ((30, 90), (35, 36)): 99.0,  # bone, but too far
        },
    )
    regions = prediction.region[View.ANTERIOR].copy()
    regions[57:64, 20:24] = KIDNEY
    prediction = Prediction(prediction.lesion, {**prediction.region, View.ANTERIOR: regions})
    lesions, _ = measure(study, [lesion, other], prediction)
    assert lesions[0].measures.contrast == pytest.approx(4.0)


@pytest.mark.parametrize("place", [(60, 30), (1, 2), (0, 79), (118, 1), (119, 80)])
def test_contrast_looks_at_all_bone_farther_than_2_and_at_most_10_pixels_also_at_the_frame_edge(place):
    counts = np.random.default_rng(7).integers(0, 30, SHAPE).astype(float)
    counts[place] = 90.0
    study = Study("body", {View.ANTERIOR: Scan(View.ANTERIOR, counts)})
    regions = np.full(SHAPE, RIBS, dtype=np.uint8)
    prediction = Prediction({View.ANTERIOR: np.zeros(SHAPE, np.float32)}, {View.ANTERIOR: regions})
    rows, cols = np.indices(SHAPE)
    distance = np.hypot(rows - place[0], cols - place[1])
    (lesion,), _ = measure(study, [outline(View.ANTERIOR, place, [[1]])], prediction)
    around = counts[(distance > 2) & (distance <= 10)].mean()
    assert lesion.measures.contrast == pytest.approx(90.0 / around, rel=1e-9)


def test_contrast_needs_at_least_8_bone_pixels_around():
    study, prediction = body((View.ANTERIOR,))
    study = with_counts(study, View.ANTERIOR, {((60, 61), (20, 21)): 40.0})
    contrasts = []
    for pixels in (8, 7):
        regions = np.zeros(SHAPE, dtype=np.uint8)
        regions[60, 20], regions[66, 20 : 20 + pixels] = RIBS, RIBS
        prediction = Prediction(prediction.lesion, {View.ANTERIOR: regions})
        (lesion,), _ = measure(study, [outline(View.ANTERIOR, (60, 20), [[1]])], prediction)
        contrasts.append(lesion.measures.contrast)
    assert contrasts == [4.0, None]


def test_a_twice_as_fine_matrix_changes_no_contrast_and_no_side():
    """The ring is one of millimetres: 10 mm about the lesion of 40 counts lie 20, and farther away 5."""
    measured = {}
    for binning, spacing in ((1, Spacing(2.3, 2.3)), (2, Spacing(1.15, 1.15))):
        study, prediction = body(spacing=spacing)
        study = with_counts(
            study,
            View.ANTERIOR,
            {((30, 90), (10, 34)): 5.0, ((46, 60), (16, 30)): 20.0, ((50, 56), (20, 26)): 40.0},
        )
        fine = {
            view: Scan(view, np.kron(scan.counts, np.ones((binning, binning)))) for view, scan in study.scans.items()
        }
        regions = np.kron(prediction.region[View.ANTERIOR], np.ones((binning, binning), np.uint8))
        nothing = np.zeros(regions.shape, np.float32)
        found, burden = measure(
            Study("body", fine, spacing=spacing),
            [outline(View.ANTERIOR, (50 * binning, 20 * binning), np.ones((6 * binning, 6 * binning)))],
            Prediction(dict.fromkeys(View, nothing), dict.fromkeys(View, regions)),
        )
        measured[binning] = found[0].measures.contrast, found[0].side, burden[View.ANTERIOR].area_mm2
    assert measured[2][0] == pytest.approx(measured[1][0], rel=0.05)
    assert measured[2][1:] == (measured[1][1], pytest.approx(measured[1][2]))


def test_contrast_is_none_without_bone_around_and_without_counts_there():
    study, prediction = body()
    off_bone = outline(View.ANTERIOR, (5, 5), np.ones((2, 2)))
    lesions, _ = measure(study, [off_bone], prediction)
    assert (lesions[0].measures.contrast, lesions[0].measures.contrast_mirror) == (None, None)
    dark, prediction = body(counts=0.0)
    lesions, _ = measure(dark, [outline(View.ANTERIOR, (50, 20), np.ones((2, 2)))], prediction)
    assert (lesions[0].measures.contrast, lesions[0].measures.contrast_mirror) == (None, None)


def test_contrast_mirror_compares_with_the_other_side_of_the_midline():
    study, prediction = body()
    study = with_counts(study, View.POSTERIOR, {((50, 54), (20, 24)): 60.0, ((50, 54), (57, 61)): 20.0})
    lesions, _ = measure(study, [outline(View.POSTERIOR, (50, 20), np.ones((4, 4)))], prediction)
    assert lesions[0].measures.contrast_mirror == 3.0


def test_contrast_mirror_leaves_out_lesions_and_is_none_when_too_little_is_left():
    study, prediction = body()
    lesion = outline(View.ANTERIOR, (50, 20), np.ones((4, 4)))
    half = outline(View.ANTERIOR, (50, 57), np.ones((4, 3)))
    study = with_counts(study, View.ANTERIOR, {((50, 54), (20, 24)): 60.0, ((50, 54), (57, 60)): 99.0})
    lesions, _ = measure(study, [lesion, half], prediction)
    assert lesions[0].measures.contrast_mirror == 6.0
    whole = outline(View.ANTERIOR, (50, 57), np.ones((4, 4)))
    lesions, _ = measure(study, [lesion, whole], prediction)
    assert lesions[0].measures.contrast_mirror is None


def test_contrast_mirror_is_none_where_the_mirrored_place_leaves_the_frame():
    study, prediction = body()
    regions = np.roll(prediction.region[View.ANTERIOR], 25, axis=1)
    prediction = Prediction(prediction.lesion, dict.fromkeys(View, regions))
    lesions, _ = measure(study, [outline(View.ANTERIOR, (50, 5), np.ones((2, 2)))], prediction)
    assert lesions[0].measures.contrast_mirror is None


def test_contrast_mirror_needs_bone_under_a_quarter_of_the_mirrored_lesion():
    study, prediction = body((View.ANTERIOR,))
    study = with_counts(study, View.ANTERIOR, {((50, 52), (20, 24)): 60.0})
    contrasts = []
    for pixels in (2, 1):
        regions = prediction.region[View.ANTERIOR].copy()
        regions[50:52, 57:61] = KIDNEY
        regions[50, 57 : 57 + pixels] = RIBS
        there = Prediction(prediction.lesion, {View.ANTERIOR: regions})
        (lesion,), _ = measure(study, [outline(View.ANTERIOR, (50, 20), np.ones((2, 4)))], there)
        contrasts.append(lesion.measures.contrast_mirror)
    assert contrasts == [6.0, None]


def test_contrast_mirror_compares_with_what_is_left_in_the_frame_as_far_as_its_edges():
    """The midline is column 40: columns 80 and 79 have their mirror at 0 and 1. With it at 50, 20 has it at 80."""
    regions = np.full(SHAPE, RIBS, dtype=np.uint8)
    for column, (lesion_col, ends, expected) in {40: (79, (0, 1), 3.0), 50: (19, (80, 79), 6.0)}.items():
        regions[:, 38:53] = RIBS
        regions[:, column - 2 : column + 3] = SPINE
        counts = np.full(SHAPE, 25.0)
        counts[50, lesion_col : lesion_col + 2] = 60.0
        counts[50, ends[0]], counts[50, ends[1]] = 10.0, 30.0
        study = Study("body", {View.ANTERIOR: Scan(View.ANTERIOR, counts)})
        prediction = Prediction({View.ANTERIOR: np.zeros(SHAPE, np.float32)}, {View.ANTERIOR: regions})
        (lesion,), _ = measure(study, [outline(View.ANTERIOR, (50, lesion_col), [[1, 1]])], prediction)
        assert lesion.measures.contrast_mirror == expected


def test_without_spacing_a_fine_matrix_has_a_midline_of_as_many_more_pixels():
    """A frame of 512 columns is taken for one of 256 with every pixel in two: 8 pixels are 4 of the coarse ones."""
    shape = (64, 512)
    regions = np.zeros(shape, dtype=np.uint8)
    regions[:, 254:259] = SPINE
    study = Study("fine", {View.ANTERIOR: Scan(View.ANTERIOR, np.ones(shape))})
    prediction = Prediction({View.ANTERIOR: np.zeros(shape, np.float32)}, {View.ANTERIOR: regions})
    found = [outline(View.ANTERIOR, (30, col), [[1]]) for col in (248, 264, 247, 265)]
    lesions, _ = measure(study, found, prediction)
    assert [lesion.side for lesion in lesions] == [Side.MIDLINE, Side.MIDLINE, Side.RIGHT, Side.LEFT]


@pytest.mark.parametrize(
    ("view", "col", "spacing", "side"),
    [
        (View.ANTERIOR, 20, None, Side.RIGHT),
        (View.ANTERIOR, 60, None, Side.LEFT),
        (View.POSTERIOR, 20, None, Side.LEFT),
        (View.POSTERIOR, 60, None, Side.RIGHT),
        (View.ANTERIOR, 36, None, Side.MIDLINE),
        (View.POSTERIOR, 44, None, Side.MIDLINE),
        (View.ANTERIOR, 35, None, Side.RIGHT),
        (View.ANTERIOR, 35, Spacing(2.0, 2.0), Side.MIDLINE),
        (View.ANTERIOR, 35, Spacing(2.1, 2.1), Side.RIGHT),
        (View.ANTERIOR, 37, Spacing(4.0, 4.0), Side.RIGHT),
    ],
)
def test_side_comes_from_view_and_column(view, col, spacing, side):
    study, prediction = body(spacing=spacing)
    lesions, _ = measure(study, [outline(view, (50, col), [[1]])], prediction)
    assert lesions[0].side is side


def test_burden_counts_per_view_and_never_exceeds_the_skeleton():
    study, prediction = body(spacing=Spacing(2.0, 2.0))
    found = [
        outline(View.ANTERIOR, (50, 20), np.ones((3, 4))),
        outline(View.ANTERIOR, (10, 10), np.ones((4, 4))),  # the region map shows no bone here
        outline(View.POSTERIOR, (50, 20), np.ones((1, 5))),
    ]
    lesions, burden = measure(study, found, prediction)
    assert [lesion.id for lesion in lesions] == [1, 2, 3]
    front, back = burden[View.ANTERIOR], burden[View.POSTERIOR]
    assert (front.lesions, front.area_px, front.area_mm2, front.skeleton_px) == (2, 28, 112.0, 3660 + 16)
    assert front.skeleton_share == 28 / 3676
    assert (back.lesions, back.area_px, back.skeleton_px) == (1, 5, 3660)


def test_without_a_skeleton_the_share_is_none():
    study, prediction = body(views=(View.ANTERIOR,))
    nothing = Prediction(prediction.lesion, {View.ANTERIOR: np.zeros(SHAPE, dtype=np.uint8)})
    lesions, burden = measure(study, [outline(View.ANTERIOR, (50, 20), [[1]])], nothing)
    assert set(burden) == {View.ANTERIOR}
    assert (burden[View.ANTERIOR].skeleton_px, burden[View.ANTERIOR].skeleton_share) == (0, None)
    assert lesions[0].measures.contrast is None


def test_the_midline_follows_a_bent_spine_and_goes_on_straight_beyond_it():
    regions = np.zeros((200, 100), dtype=np.uint8)
    for row in range(20, 120):
        column = 50 + round(8 * np.sin((row - 20) / 99 * np.pi))
        regions[row, column - 3 : column + 4] = SPINE
    midline = midline_columns(regions, np.ones((200, 100), dtype=np.float32))
    assert midline[70] == pytest.approx(58, abs=1)
    assert midline[22] == pytest.approx(51, abs=3)
    tilted = np.zeros_like(regions)
    for row in range(20, 120):
        tilted[row, 30 + row // 10 : 35 + row // 10] = SPINE
    tilted[60, :20] = SPINE  # a wrong row changes nothing
    midline = midline_columns(tilted, np.ones((200, 100), dtype=np.float32))
    assert midline[60] == pytest.approx(38, abs=1)
    assert midline[190] == pytest.approx(32 + 19, abs=1)


def test_what_is_called_spine_far_below_the_spine_does_not_bend_the_midline():
    regions = np.zeros((400, 100), dtype=np.uint8)
    regions[20:180, 48:53] = SPINE
    expected = midline_columns(regions, np.ones((400, 100), dtype=np.float32))
    regions[260:270, 20:30] = SPINE  # at a knee
    np.testing.assert_array_equal(midline_columns(regions, np.ones((400, 100), dtype=np.float32)), expected)


def test_the_midline_without_spine_is_the_middle_of_the_skeleton_or_of_the_counts():
    counts = np.zeros((60, 40), dtype=np.float32)
    counts[:, 10:31] = 1.0
    regions = np.zeros((60, 40), dtype=np.uint8)
    np.testing.assert_allclose(midline_columns(regions, counts), 20.0)
    regions[10:50, 20:25] = RIBS
    np.testing.assert_allclose(midline_columns(regions, counts), 22.0)
    np.testing.assert_allclose(midline_columns(np.zeros_like(regions), np.zeros_like(counts)), 19.5)


def test_the_midline_of_a_view_with_few_counts_is_the_column_that_holds_the_middle_count():
    regions = np.zeros((60, 40), dtype=np.uint8)
    for column in (0, 7, 39):
        counts = np.zeros((60, 40), dtype=np.float32)
        counts[30, column] = 1.0
        np.testing.assert_array_equal(midline_columns(regions, counts), np.full(60, float(column)))
    counts = np.ones((60, 40), dtype=np.float32)
    counts[:, 39] = 100.0
    np.testing.assert_array_equal(midline_columns(regions, counts), np.full(60, 39.0))


def midline_of_spine(middles, height=200):
    """The midline beside a spine of 5 pixels, or 4, whose middle columns are given from row 20 on."""
    regions = np.zeros((height, 100), dtype=np.uint8)
    cols = np.arange(100)
    for row, middle in enumerate(middles, start=20):
        regions[row, abs(cols - middle) <= 2] = SPINE
    return midline_columns(regions, np.ones(regions.shape, dtype=np.float32))


@pytest.mark.parametrize(
    ("rows", "width", "column"),
    [(20, 3, 23.0), (19, 3, 30.0), (20, 2, 30.0)],
    ids=["as much as counts", "too few rows", "too narrow"],
)
def test_the_midline_follows_a_spine_of_at_least_20_rows_of_3_pixels(rows, width, column):
    regions = np.zeros((60, 60), dtype=np.uint8)
    regions[5:55, 20:41] = RIBS
    regions[10 : 10 + rows, 22 : 22 + width] = SPINE
    np.testing.assert_allclose(midline_columns(regions, np.ones((60, 60), np.float32)), column)


@pytest.mark.parametrize("aside", [10, -10])
def test_the_midline_leaves_out_a_displacement_of_20_rows_and_follows_a_longer_one(aside):
    """It is a running median of 41 rows."""
    middles = np.full(120, 50.0)
    middles[50:70] += aside
    np.testing.assert_allclose(midline_of_spine(middles), 50.0)
    middles[70] += aside
    np.testing.assert_allclose(midline_of_spine(middles)[20:140], middles)


def test_beyond_the_spine_the_midline_is_the_straight_line_through_all_rows_within_a_pixel_of_it():
    middles = np.full(100, 40.0)
    middles[70:] = 40.5
    slope, start = np.polyfit(np.arange(20, 120), middles, 1)
    beyond = np.r_[0:20, 120:200]
    np.testing.assert_allclose(midline_of_spine(middles)[beyond], start + slope * beyond)


@pytest.mark.parametrize(
    ("rows", "aside"), [((80, 90), 30.0), ((45, 50), 1.5)], ids=["a tenth far off", "a few by more than a pixel"]
)
def test_beyond_the_spine_the_midline_leaves_out_the_rows_that_are_displaced(rows, aside):
    middles = np.full(100, 40.0)
    middles[slice(*rows)] += aside
    beyond = np.r_[0:20, 120:200]
    np.testing.assert_allclose(midline_of_spine(middles)[beyond], 40.0)


def test_a_row_is_displaced_by_more_than_twice_the_median_distance_from_the_line():
    """Rows alternate between 2 pixels left and right of column 40; three are 5 pixels to the right."""
    middles = np.where(np.arange(100) % 2, 42.0, 38.0)
    middles[48:51] = 45.0
    rows = np.arange(20, 120)
    slope, start = np.polyfit(np.delete(rows, [48, 49, 50]), np.delete(middles, [48, 49, 50]), 1)
    beyond = np.r_[0:20, 120:200]
    np.testing.assert_allclose(midline_of_spine(middles)[beyond], start + slope * beyond)
