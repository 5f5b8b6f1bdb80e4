"""Truth of hand-made lesions: round spots on even ground, whose outlines can be counted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bonescan.phantom import series
from bonescan.phantom.camera import VIEWS, Patch
from bonescan.phantom.foci import Focus
from bonescan.phantom.metastases import Metastasis
from bonescan.phantom.series import _varied
from bonescan.phantom.truth import Backdrop, draw_benign, draw_truth, name_bones
from bonescan.study import LEVELS, REGIONS, Region, Side, View

SHAPE = (64, 48)
AREA = 45
"""Lattice points within 3.79 pixels: where a spot of sigma 3 is above 45 % of its peak."""


def spot(row=30, col=24, factor=1.0, posterior=1.0):
    """A Gaussian of peak 1 times `factor` (times `posterior` in that view), centred at a pixel."""
    rows, cols = np.ogrid[-12:13, -12:13]
    image = np.exp(-(rows**2 + cols**2) / 18).astype(np.float32)
    patches = {
        View.ANTERIOR: Patch(row - 12, col - 12, image),
        View.POSTERIOR: Patch(row - 12, col - 12, image * np.float32(posterior)),
    }
    return Metastasis("T7", Region.THORACIC_SPINE, Side.MIDLINE, 8.0, 1 + factor, Focus(patches, factor), 2.0, 10.0)


def spot_image(row, col=24):
    """The same spot in a whole frame."""
    rows, cols = np.indices(SHAPE)
    image = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 18)
    image[(np.abs(rows - row) > 12) | (np.abs(cols - col) > 12)] = 0
    return image


def passed():
    """No metal."""
    return {view: np.ones(SHAPE, dtype=np.float32) for view in VIEWS}


def backdrop(under=1.0, sensitivity=1000.0, organ=np.s_[0:0], region=Region.BLADDER):
    regions = np.zeros(SHAPE, dtype=np.uint8)
    regions[organ] = REGIONS.index(region)
    even = {view: np.full(SHAPE, under, dtype=np.float32) for view in VIEWS}
    return Backdrop(even, even, np.full(SHAPE, sensitivity, dtype=np.float32), dict.fromkeys(VIEWS, regions), passed())


def draw(lesions, ground):
    """The truth against a backdrop on which the lesions themselves lie, too."""
    over = {view: image.copy() for view, image in ground.under.items()}
    for lesion in lesions:
        for view in VIEWS:
            lesion.focus.projection[view].add_to(over[view], lesion.focus.factor)
    return draw_truth(lesions, replace(ground, over=over))


def areas(lesions, ground):
    truth = draw(lesions, ground)
    labels, table = truth.lesions, truth.table
    for view in VIEWS:
        counted = np.bincount(labels[view].ravel(), minlength=len(lesions) + 1)[1:]
        assert [record.area_px[view] for record in table] == counted.tolist()
        assert labels[view].dtype == np.uint16
    return [record.area_px[View.ANTERIOR] for record in table]


def test_a_lesion_is_what_lies_above_45_per_cent_of_its_peak():
    truth = draw([spot()], backdrop())
    labels, (record,) = truth.lesions, truth.table
    rows, cols = np.indices(SHAPE)
    expected = (rows - 30) ** 2 + (cols - 24) ** 2 <= 14
    assert expected.sum() == AREA
    for view in VIEWS:
        np.testing.assert_array_equal(labels[view], expected)
    assert (record.number, record.bone, record.region, record.side) == (1, "T7", Region.THORACIC_SPINE, Side.MIDLINE)
    assert record.visible == (View.ANTERIOR, View.POSTERIOR)
    assert record.area_px == dict.fromkeys(VIEWS, AREA)


def test_no_lesion_no_truth():
    truth = draw([], backdrop())
    assert truth.table == ()
    assert not any(image.any() for image in (*truth.lesions.values(), *truth.faint.values()))


@pytest.mark.parametrize(("factor", "seen"), [(0.34, False), (0.36, True), (-0.34, False), (-0.36, True)])
def test_a_lesion_hot_or_cold_stands_out_against_what_lies_under_it(factor, seen):
    assert areas([spot(factor=factor)], backdrop()) == [AREA * seen]
    assert areas([spot(factor=factor)], backdrop(under=1.2)) == [0]


def test_a_lesion_stands_out_against_counting_noise():
    # Counts in the outline over the square root of all counts there: six standard deviations.
    excess = float(
        sum(np.exp(-(r * r + c * c) / 18) for r in range(-4, 5) for c in range(-4, 5) if r * r + c * c <= 14)
    )
    enough = 36 * (AREA + excess) / excess**2
    assert areas([spot()], backdrop(sensitivity=1.02 * enough)) == [AREA]
    assert areas([spot()], backdrop(sensitivity=0.98 * enough)) == [0]


def test_a_lesion_may_stand_out_in_one_view_only():
    truth = draw([spot(posterior=0.2)], backdrop())
    (record,) = truth.table
    assert record.visible == (View.ANTERIOR,)
    assert record.area_px[View.POSTERIOR] == 0
    assert not truth.faint[View.ANTERIOR].any()
    assert truth.faint[View.POSTERIOR].sum() == AREA


@pytest.mark.parametrize(("factor", "pixels"), [(0.36, 0), (0.34, AREA), (0.11, AREA), (0.09, 0)])
def test_a_lesion_that_does_not_stand_out_and_can_be_seen_is_faint(factor, pixels):
    assert draw([spot(factor=factor)], backdrop()).faint[View.ANTERIOR].sum() == pixels


def test_a_lesion_beside_a_hotter_one_must_stand_out_from_it():
    # Where it peaks, its neighbour adds 3 exp(-2 / 9) = 2.4 to the ground of 1: a contrast of 0.29, not of 1.
    assert areas([spot(col=22), spot(col=24, factor=3.0)], backdrop()) == [0, AREA]


def bone_of(lesion, rows=np.s_[:], side=Side.MIDLINE, height=1.0):
    """A structure of the lesion's bone that projects evenly on some rows of both views."""
    image = np.zeros(SHAPE, dtype=np.float32)
    image[rows] = height
    bone = SimpleNamespace(bone=lesion.bone, side=side)
    return SimpleNamespace(bone=bone, projection=dict.fromkeys(VIEWS, Patch(0, 0, image)))


def test_the_maps_name_the_own_bone_of_a_lesion_where_both_show_and_no_tracer_does():
    ground = backdrop(organ=np.s_[:, 20:22])
    regions = {
        view: np.where(image > 0, image, REGIONS.index(Region.SCAPULA)) for view, image in ground.regions.items()
    }
    levels = {view: np.zeros(SHAPE, dtype=np.uint8) for view in VIEWS}
    # Between two peaks of 2.07 the image falls to 2.01: they share one outline, and each names its half of it.
    rib = replace(spot(row=26), bone="rib 4", region=Region.RIBS, side=Side.LEFT)
    face = replace(spot(row=33), bone="face", region=Region.FACE)
    truth = draw([rib, face], ground)
    assert np.unique(truth.lesions[View.ANTERIOR]).size == 2
    # The rib ends at row 25, below which it is too thin; the other side's rib is another bone.
    bones = [bone_of(rib, np.s_[:26], Side.LEFT), bone_of(rib, np.s_[26:], Side.LEFT, 0.09), bone_of(face)]
    bones.append(bone_of(rib, np.s_[:], Side.RIGHT))
    name_bones(SimpleNamespace(structures=bones, regions=regions), [rib, face], truth, regions, levels)
    for view, below in ((View.ANTERIOR, Region.FACE), (View.POSTERIOR, Region.SKULL)):
        named = [REGIONS[regions[view][row, col]] for row, col in ((24, 24), (27, 24), (35, 24), (24, 21), (24, 40))]
        assert named == [Region.RIBS, Region.SCAPULA, below, Region.BLADDER, Region.SCAPULA]
        assert [LEVELS[levels[view][row, 24]] for row in (24, 27, 35)] == ["rib 4", "", ""]


@pytest.mark.parametrize("region", [Region.BLADDER, Region.KIDNEY, Region.OTHER_TRACER])
def test_a_lesion_of_which_tracer_outside_bone_hides_more_than_half_is_left_out(region):
    # The outline's middle column holds 7 of its 45 pixels, each side 19.
    assert areas([spot()], backdrop(organ=np.s_[:, :24], region=region)) == [AREA]
    assert areas([spot()], backdrop(organ=np.s_[:, :25], region=region)) == [0]


def test_bone_hides_nothing():
    assert areas([spot()], backdrop(organ=np.s_[:], region=Region.STERNUM)) == [AREA]


def plate(flat, thin, beside=0.0):
    """A plate of 9 x 21 pixels: 7 columns of height 2, the others `thin`; `beside` where it falls off."""
    image = np.zeros((13, 25), dtype=np.float32)
    image[1:-1, 1:-1] = beside
    image[2:-2, 2:-2] = thin
    image[2:-2, 2:9] = 2.0
    patches = {view: Patch(20, 12, image) for view in VIEWS}
    return Metastasis("scapula", Region.SCAPULA, Side.LEFT, 60.0, 3.0, Focus(patches, 1.0, flat), 20.0, 60.0)


@pytest.mark.parametrize(
    ("flat", "thin", "pixels"),
    [(True, 0.6, 9 * 21), (False, 0.6, 9 * 7), (True, 0.28, 9 * 7), (False, 1.0, 9 * 21)],
    ids=["flat", "not flat", "under the least share", "hot enough for both"],
)
def test_a_lesion_that_fills_a_bone_is_outlined_in_its_thin_parts_too(flat, thin, pixels):
    assert areas([plate(flat, thin, beside=0.1)], backdrop(under=0.5)) == [pixels]


def test_a_hotter_lesion_on_a_plate_takes_its_own_pixels_only():
    on_it = spot(row=26, col=24, factor=20.0)
    ground = backdrop(under=0.5)
    alone = draw([on_it], ground).lesions[View.ANTERIOR] > 0
    whole = draw([plate(True, 1.0)], ground).lesions[View.ANTERIOR] > 0
    both = draw([plate(True, 1.0), on_it], ground).lesions[View.ANTERIOR]
    assert whole.sum() == 9 * 21
    assert ((both > 0) == (whole | alone)).all()
    assert (both[alone] == 2).all()


def test_a_plate_whose_peak_lies_under_a_hotter_lesion_is_still_seen():
    # At the hottest columns, 15 to 20, the spot adds 15 times as much as the plate.
    over = spot(row=26, col=17, factor=30.0)
    truth = draw([plate(True, 1.0), over], backdrop(under=0.5))
    assert truth.table[0].part_of[View.ANTERIOR] == 2  # there is no valley between them
    assert (truth.lesions[View.ANTERIOR][22:31, 22:34] == 2).all()


def test_metal_hides_thin_parts():
    ground = backdrop(under=0.5)
    metal = passed()
    metal[View.ANTERIOR][:, 24:] = 0.2
    hidden = replace(ground, passed=metal, under={view: ground.under[view] * metal[view] for view in VIEWS})
    seen = draw_truth([plate(True, 1.9)], replace(hidden, over=hidden.under)).lesions[View.ANTERIOR] > 0
    assert seen.sum() == 9 * 10
    assert not seen[:, 24:].any()


def test_thin_parts_must_stand_out_themselves():
    assert areas([plate(True, 0.6)], backdrop(under=1.6)) == [9 * 21]
    assert areas([plate(True, 0.6)], backdrop(under=1.8)) == [9 * 7]


def test_the_brighter_lesion_owns_shared_pixels_whatever_the_order():
    # A cold lesion, as two hot ones that share pixels flow together.
    faint, bright = spot(col=18, factor=-0.8), spot(col=24, factor=2.0)
    labels = draw([faint, bright], backdrop()).lesions
    assert (labels[View.ANTERIOR] == 2).sum() == AREA
    owned = labels[View.ANTERIOR] == 1
    assert 4 <= owned.sum() < AREA
    swapped = draw([bright, faint], backdrop()).lesions
    np.testing.assert_array_equal(swapped[View.ANTERIOR] == 2, owned)


def test_what_a_brighter_neighbour_leaves_over_may_be_too_little_to_draw():
    assert areas([spot(), spot(factor=3.0)], backdrop()) == [0, AREA]


@pytest.mark.parametrize(("apart", "own"), [(6, [0, 2 * AREA]), (9, [AREA, AREA])])
def test_hot_lesions_that_flow_together_are_one(apart, own):
    # Two Gaussians have a valley between them from twice their sigma of 3 on; at three times it is deep.
    found = areas([spot(col=18), spot(col=18 + apart, factor=1.001)], backdrop())
    assert sum(found) <= sum(own)
    assert [area > 0 for area in found] == [area > 0 for area in own]


def test_a_cold_lesion_is_not_joined_to_a_hot_one():
    assert min(areas([spot(col=20, factor=-0.8), spot(col=26)], backdrop())) > 0


def test_lesions_are_joined_in_chains_and_one_by_one():
    row = [spot(col=10), spot(col=15, factor=1.01), spot(col=20), spot(col=38, factor=1.02)]
    first, second, third, fourth = areas(row, backdrop())
    assert (first, third, fourth) == (0, 0, AREA)
    assert second > AREA
    table = draw(row, backdrop()).table
    assert [record.part_of[View.ANTERIOR] for record in table] == [2, 2, 2, 4]
    assert all(record.seen == (View.ANTERIOR, View.POSTERIOR) for record in table)
    assert draw([spot(factor=0.1)], backdrop()).table[0].seen == ()


def test_a_lesion_at_the_edge_of_the_frame_is_cut_and_one_beyond_is_not_drawn():
    # Half of the outline with its middle row: 19 + 7.
    assert areas([spot(row=0), spot(row=-40), spot(col=SHAPE[1] + 30)], backdrop()) == [26, 0, 0]


def test_what_lies_beyond_the_counted_rows_decides_no_outline():
    counted = backdrop()
    counted.sensitivity[:38] = 0
    # The spot's peak is in row 30; of the counted rows the first has its largest value.
    image = spot_image(30)
    image[:38] = 0
    expected = image > 0.45 * image.max()
    assert (draw([spot(factor=30)], counted).lesions[View.ANTERIOR] > 0).tolist() == expected.tolist()


def test_what_is_left_of_a_lesion_under_metal_is_judged():
    through = passed()
    through[View.ANTERIOR][:] = 0.001
    truth = draw([spot(factor=0.5)], replace(backdrop(), passed=through))
    assert truth.table[0].visible == (View.POSTERIOR,)
    assert not truth.lesions[View.ANTERIOR].any()
    half = passed()
    half[View.ANTERIOR][:, :24] = 0.01
    truth = draw([spot()], replace(backdrop(), passed=half))
    assert not truth.lesions[View.ANTERIOR][:, :24].any()
    assert truth.lesions[View.ANTERIOR][:, 24:].any()


@pytest.mark.parametrize(("factor", "area"), [(0.36, AREA), (0.34, 0)])
def test_benign_findings_are_outlined_where_they_stand_out_from_all_else(factor, area):
    ground = backdrop()
    focus = spot(factor=factor).focus
    over = {view: image.copy() for view, image in ground.under.items()}
    for view in VIEWS:
        focus.projection[view].add_to(over[view], focus.factor)
    pictures = draw_benign([focus], replace(ground, under=over, over=over))
    for picture in pictures.values():
        assert (picture == 1).sum() == area
        assert picture.dtype == np.uint16


def test_benign_findings_vary_and_the_images_with_them():
    findings = [spot(factor=1.0).focus, spot(row=20, factor=2.0).focus]
    ground = {view: np.full(SHAPE, 10.0, dtype=np.float32) for view in VIEWS}
    varied = _varied(findings, ground, np.array([1.5, 0.25]))
    assert [finding.factor for finding in varied] == [1.5, 0.5]
    change = {view: 0.5 * spot_image(30) - 1.5 * spot_image(20) for view in VIEWS}
    for view in VIEWS:
        np.testing.assert_allclose(ground[view] - 10, change[view], atol=1e-5)


def test_a_benign_finding_that_changed_stays_so_in_the_scans_after(monkeypatch):
    seen = []
    monkeypatch.setattr(series, "_scene", lambda anatomy, seed: ({}, [spot().focus] * 300, None))
    monkeypatch.setattr(series, "make_metastases", lambda *arguments: [])
    monkeypatch.setattr(series, "_scan", lambda anatomy, lesions, factors, key, rng: seen.append(np.log(factors)))
    series.make_series(SimpleNamespace(seed=1, family=SimpleNamespace(key=())), 1, 3)
    first, second, third = seen
    assert np.abs(first).max() < 5 * series.BENIGN_SPREAD
    healed = second < -5 * series.BENIGN_SPREAD
    assert 2 <= healed.sum() < 300 * series.BENIGN_CHANGES
    assert (third[healed] < -3 * series.BENIGN_SPREAD).mean() > 0.7
