"""Simulated patients: sides, counts, truth and its rules, in whole studies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from bonescan.phantom import make_patient, patient
from bonescan.phantom import metastases as metastases_module
from bonescan.phantom.axial import VERTEBRAE
from bonescan.phantom.bones import Tissue
from bonescan.phantom.camera import VIEWS, Exposure, Patch
from bonescan.phantom.foci import Focus, in_bone, is_part_of, make_blob
from bonescan.phantom.metastases import Kind, Metastasis, Shape, make_metastases, sample_number, sample_shape
from bonescan.phantom.shapes import ellipsoid
from bonescan.study import LEVELS, REGIONS, Region, Side, View

ORGANS = [REGIONS.index(region) for region in (Region.KIDNEY, Region.BLADDER, Region.OTHER_TRACER)]
QUIET = Exposure(counts=1e6, scatter=0.25, scatter_mm=40, background=0.0, drift=0.0, smoothed=0.0)


@pytest.fixture(scope="module")
def anatomy(bodies):
    return bodies[0]


@pytest.fixture(scope="module")
def patients(patient_of):
    return [patient_of(body, seed) for body in range(2) for seed in range(6)]


def flat(phantom):
    arrays = [*(phantom.study.counts(v) for v in View), *phantom.lesions.values(), *phantom.regions.values()]
    return b"".join(array.tobytes() for array in arrays), phantom.table, phantom.key


def with_one_lesion(monkeypatch, make_projection):
    """Make the patient's only lesion: make_projection(anatomy, base) -> (projection, factor)."""

    def one(anatomy, number, base, rng):
        projection, factor = make_projection(anatomy, base)
        return [Metastasis("humerus", Region.HUMERUS, Side.LEFT, 12.0, 4.0, Focus(projection, factor), 5.0, 50.0)]

    monkeypatch.setattr(patient, "sample_number", lambda rng: (1, False))
    monkeypatch.setattr(patient, "make_metastases", one)


def organs_of(anatomy, seed, monkeypatch):
    """What `add_tracer` gives a patient without lesions."""
    seen = []

    def add_tracer(*arguments):
        seen.extend(original(*arguments))
        return seen

    original = patient.add_tracer
    with monkeypatch.context() as patch:
        patch.setattr(patient, "add_tracer", add_tracer)
        patch.setattr(patient, "sample_number", lambda rng: (0, False))
        make_patient(anatomy, seed)
    return seen


def test_the_same_seeds_give_the_same_bytes_and_others_do_not(anatomy):
    first, again, other = (make_patient(anatomy, seed) for seed in (1, 1, 2))
    assert flat(first) == flat(again)
    assert not np.array_equal(first.study.counts(View.ANTERIOR), other.study.counts(View.ANTERIOR))
    assert first.key != other.key
    swapped = make_patient(replace(anatomy, seed=anatomy.seed + 1), 1)
    assert not np.array_equal(first.study.counts(View.ANTERIOR), swapped.study.counts(View.ANTERIOR))


def test_the_frames_are_those_of_a_whole_body_scanner(patients):
    for phantom in patients:
        assert 2.2 <= phantom.study.spacing.row_mm == phantom.study.spacing.col_mm <= 2.4
        for view in View:
            counts = phantom.study.counts(view)
            assert counts.shape == phantom.lesions[view].shape == phantom.regions[view].shape == (1024, 256)
            assert phantom.lesions[view].dtype == np.uint16
            assert phantom.regions[view].dtype == np.uint8
            np.testing.assert_array_equal(counts, np.rint(counts))
            assert counts.min() >= 0
            assert counts.max() <= 65535  # DICOM stores 16 bits
            assert 0.2e6 < counts.sum() < 6.5e6


def test_the_hotter_view_has_the_counts_that_were_asked_for(anatomy, monkeypatch):
    monkeypatch.setattr(patient, "sample_exposure", lambda *_: QUIET)
    sums = [float(make_patient(anatomy, 4).study.counts(view).sum(dtype=float)) for view in View]
    assert max(sums) == pytest.approx(1e6, abs=5 * 1000)  # five standard deviations
    assert 0.5e6 < min(sums) < 1e6


def test_a_lesion_on_the_patients_left_is_on_the_right_of_the_anterior_frame_only(anatomy, monkeypatch):
    place = anatomy.landmarks[("humeral head", Side.LEFT)]

    def hottest_of_all(anatomy, base):
        projection = anatomy.camera.project(ellipsoid(place, (12, 12, 12)))
        peak = min(projection[view].image.max() for view in VIEWS)
        return projection, 5 * max(float(image.max()) for image in base.values()) / peak

    with_one_lesion(monkeypatch, hottest_of_all)
    # An injection site may be hotter than any lesion.
    monkeypatch.setattr(patient, "add_tracer", lambda *arguments: [])
    phantom = make_patient(anatomy, 5)
    rows, cols = (float(v[0]) for v in anatomy.camera.grid.pixels(place[None]))
    assert cols > anatomy.camera.grid.col0 + 40
    for view, col in ((View.ANTERIOR, cols), (View.POSTERIOR, 255 - cols)):
        counts = phantom.study.counts(view)
        hottest = np.unravel_index(counts.argmax(), counts.shape)
        assert hottest == pytest.approx((rows, col), abs=3)
        assert phantom.lesions[view][hottest] == 1
        assert ndimage.center_of_mass(phantom.lesions[view] == 1) == pytest.approx((rows, col), abs=2)
        assert REGIONS[phantom.regions[view][hottest]] is Region.HUMERUS
    assert phantom.table[0].visible == (View.ANTERIOR, View.POSTERIOR)


def test_both_views_show_one_patient(anatomy):
    phantom = make_patient(anatomy, 0)
    front, back = phantom.study.counts(View.ANTERIOR), phantom.study.counts(View.POSTERIOR)
    smooth = [ndimage.gaussian_filter(np.minimum(image, np.percentile(image, 99)), 3) for image in (front, back)]
    as_is = np.corrcoef(smooth[0].ravel(), smooth[1].ravel())[0, 1]
    mirrored = np.corrcoef(smooth[0].ravel(), smooth[1][:, ::-1].ravel())[0, 1]
    assert mirrored > as_is
    assert mirrored > 0.8


def test_lesions_lie_on_their_side(patients):
    checked = 0
    for phantom in patients:
        if phantom.key.startswith("phantom-000011"):
            continue  # arms folded over the midline
        regions = phantom.regions[View.ANTERIOR]
        spine = np.isin(regions, [REGIONS.index(r) for r in (Region.THORACIC_SPINE, Region.LUMBAR_SPINE)])
        midline = np.nonzero(spine)[1].mean()
        for record in phantom.table:
            for view in record.visible:
                centre = np.nonzero(phantom.lesions[view] == record.number)[1].mean()
                off = centre - (midline if view is View.ANTERIOR else 255 - midline)
                # The sternum's ends and the necks of ribs reach over the middle a little.
                left_is_right = 1 if view is View.ANTERIOR else -1
                if record.side is not Side.MIDLINE:
                    sign = left_is_right if record.side is Side.LEFT else -left_is_right
                    assert sign * off > -4, (phantom.key, record)
                    checked += 1
                else:
                    assert abs(off) < 40
    assert checked > 20


def test_truth_is_what_stands_out_on_the_body(patients):
    seen = 0
    for phantom in patients:
        assert [record.number for record in phantom.table] == list(range(1, len(phantom.table) + 1))
        for view in View:
            labels, regions = phantom.lesions[view], phantom.regions[view]
            body = ndimage.binary_dilation(ndimage.gaussian_filter(phantom.study.counts(view), 2) > 0.5, iterations=4)
            assert not (labels.astype(bool) & ~body).any()
            areas = np.bincount(labels.ravel(), minlength=len(phantom.table) + 1)[1:]
            assert areas.tolist() == [record.area_px[view] for record in phantom.table]
            assert not ((areas > 0) & (areas < 4)).any()
            for number in np.flatnonzero(areas) + 1:
                assert np.isin(regions[labels == number], ORGANS).mean() < 0.75
                seen += 1
    assert seen > 50


def test_hot_lesions_are_hotter_than_their_surroundings_in_the_counts(patients):
    contrasts = []
    for phantom in patients:
        for record in phantom.table:
            for view in record.visible:
                if record.contrast > 2:
                    mask = phantom.lesions[view] == record.number
                    ring = ndimage.binary_dilation(mask, iterations=4) & (phantom.lesions[view] == 0)
                    counts = phantom.study.counts(view)
                    contrasts.append(counts[mask].mean() / counts[ring].mean())
    assert len(contrasts) > 20
    assert np.quantile(contrasts, 0.05) > 1.1
    assert np.median(contrasts) > 1.5


def test_a_patient_without_lesions_has_empty_truth(anatomy, monkeypatch):
    monkeypatch.setattr(patient, "sample_number", lambda rng: (0, False))
    phantom = make_patient(anatomy, 1)
    assert phantom.table == ()
    assert not any(phantom.lesions[view].any() for view in View)


def test_a_lesion_under_the_bladder_is_not_in_the_truth(anatomy, monkeypatch):
    monkeypatch.setattr(patient, "sample_exposure", lambda *_: QUIET)
    for seed in range(20):  # the first patient with a bladder that is plain to see
        (bladder,) = (organ for organ in organs_of(anatomy, seed, monkeypatch) if organ.region is Region.BLADDER)
        with_one_lesion(monkeypatch, lambda anatomy, base, b=bladder: (b.projection, 0.6 * b.factor))
        phantom = make_patient(anatomy, seed)
        if (phantom.regions[View.ANTERIOR] == REGIONS.index(Region.BLADDER)).sum() > 300:
            break
    assert (phantom.regions[View.ANTERIOR] == REGIONS.index(Region.BLADDER)).sum() > 300
    assert phantom.table[0].visible == ()
    # The same lesion is drawn when no region says that it is hidden.
    monkeypatch.setattr(patient, "_regions", lambda anatomy, organs, images, view: anatomy.regions[view])
    assert View.ANTERIOR in make_patient(anatomy, seed).table[0].visible


def test_metal_lies_over_lesions(anatomy, monkeypatch):
    """It lets the same share of a lesion's counts through as of those around it."""
    row, col, share = 300, 128, 0.3
    spot = np.full((20, 20), 5.0, dtype=np.float32)
    focus = Focus({view: Patch(row - 10, col - 10, spot) for view in VIEWS}, 2.0)
    lesion = Metastasis("T7", Region.THORACIC_SPINE, Side.MIDLINE, 8.0, 11.0, focus, 2.0, 10.0)
    passed = {view: np.ones((1024, 256), dtype=np.float32) for view in VIEWS}
    passed[View.ANTERIOR][:, col:] = share  # over the half of the lesion on the patient's left, from the front
    monkeypatch.setattr(patient, "metal", lambda anatomy, rng: passed)
    images = {view: np.ones((1024, 256), dtype=np.float32) for view in VIEWS}
    seen = patient.expose(anatomy, images, [lesion], [], replace(QUIET, scatter=0.0), np.random.default_rng(0))
    inside, beside = np.s_[row - 10 : row + 10, col : col + 10], np.s_[row - 10 : row + 10, col - 10 : col]
    for view, through in ((View.ANTERIOR, share), (View.POSTERIOR, 1.0)):
        counts = {name: seen.sensitivity * image[view] for name, image in (("over", seen.over), ("under", seen.under))}
        for image in counts.values():
            np.testing.assert_allclose(image[inside], through * image[beside], rtol=1e-5)
        np.testing.assert_allclose(counts["over"][beside], 11 * counts["under"][beside], rtol=1e-5)
    assert max(float((seen.sensitivity * image).sum()) for image in seen.over.values()) == pytest.approx(1e6, rel=1e-4)


def test_the_bladder_lies_low_in_the_pelvis(patients):
    for phantom in patients:
        regions = phantom.regions[View.ANTERIOR]
        bladder, lumbar, femur = (
            np.argwhere(regions == REGIONS.index(r)) for r in (Region.BLADDER, Region.LUMBAR_SPINE, Region.FEMUR)
        )
        assert len(bladder) > 50
        assert lumbar[:, 0].mean() < bladder[:, 0].mean() < femur[:, 0].mean()
        assert bladder[:, 1].mean() == pytest.approx(lumbar[:, 1].mean(), abs=15)


def test_most_bladders_are_flat_and_rise_at_their_sides(anatomy, monkeypatch):
    flat, rises = [], []
    for seed in range(12):
        (bladder,) = (organ for organ in organs_of(anatomy, seed, monkeypatch) if organ.region is Region.BLADDER)
        image = bladder.projection[View.ANTERIOR].image
        image = image > 0.3 * image.max()
        rows, cols = np.nonzero(image)
        flat.append(np.ptp(rows) < 0.8 * np.ptp(cols))
        ends = (cols < np.percentile(cols, 20)) | (cols > np.percentile(cols, 80))
        rises.append(rows[~ends].mean() - rows[ends].mean())
    assert np.mean(flat) > 0.6
    assert np.median(rises) > 0.3


def test_a_superscan_has_a_hot_axial_skeleton_and_faint_kidneys(anatomy, monkeypatch):
    monkeypatch.setattr(patient, "sample_exposure", lambda *_: QUIET)
    # The map of bones is seen from the front, the posterior frame from behind.
    regions = anatomy.regions[View.POSTERIOR][:, ::-1]
    ratios, kidneys = {}, {}
    for superscan in (False, True):
        monkeypatch.setattr(patient, "sample_number", lambda rng, superscan=superscan: (0, superscan))
        phantoms = [make_patient(anatomy, seed) for seed in range(5)]
        counts = [phantom.study.counts(View.POSTERIOR) for phantom in phantoms]
        axial, leg = (np.isin(regions, REGIONS.index(r)) for r in (Region.THORACIC_SPINE, Region.FEMUR))
        ratios[superscan] = np.median([image[axial].mean() / image[leg].mean() for image in counts])
        maps = [phantom.regions[View.POSTERIOR] for phantom in phantoms]
        kidneys[superscan] = np.mean([(each == REGIONS.index(Region.KIDNEY)).sum() for each in maps])
    assert ratios[True] > 1.4 * ratios[False]
    assert kidneys[True] < 0.5 * kidneys[False]


def test_a_third_of_the_patients_have_no_lesions_and_some_have_over_twenty():
    rng = np.random.default_rng(0)
    drawn = [sample_number(rng) for _ in range(4000)]
    numbers = np.array([number for number, _ in drawn])
    assert (numbers == 0).mean() == pytest.approx(1 / 3, abs=0.025)
    ill = numbers[numbers > 0]
    assert (ill <= 2).mean() == pytest.approx(1 / 3, abs=0.05)
    assert 0.05 < (ill > 20).mean() < 0.2
    superscans = numbers[[superscan for _, superscan in drawn]]
    assert 0.01 < len(superscans) / len(drawn) < 0.05
    assert superscans.min() >= 30


@pytest.fixture(scope="module")
def metastases(anatomy):
    base = {view: np.ones((1024, 256), dtype=np.float32) for view in VIEWS}
    return make_metastases(anatomy, 400, base, np.random.default_rng(3))


def test_metastases_sit_mainly_in_the_trunk_and_everywhere_else_often_enough(anatomy, metastases):
    regions = [lesion.region for lesion in metastases]
    shares = {
        0.265: (Region.CERVICAL_SPINE, Region.THORACIC_SPINE, Region.LUMBAR_SPINE),
        0.266: (Region.RIBS, Region.STERNUM),
        0.21: (Region.ILIUM, Region.ISCHIUM, Region.PUBIS, Region.SACRUM),
        0.15: (Region.FEMUR, Region.HUMERUS, Region.LOWER_LEG),
        0.08: (Region.SCAPULA, Region.CLAVICLE),
        0.03: (Region.SKULL, Region.FACE, Region.MANDIBLE),
    }
    for share, group in shares.items():
        assert np.mean([region in group for region in regions]) == pytest.approx(share, abs=0.06), group
    bones = {lesion.bone for lesion in metastases}
    assert bones <= {s.bone.bone for s in anatomy.structures if s.bone.tissue not in (Tissue.HAND, Tissue.FOOT)}
    assert not bones & {"hand", "foot", "patella"}
    assert len(bones & set(VERTEBRAE)) > 15


def test_a_metastasis_has_the_contrast_that_it_states(metastases):
    radii = np.array([lesion.radius_mm for lesion in metastases])
    assert radii.min() >= 3
    assert 55 < radii.max() <= 130  # much of a bone
    assert 0.2 < (radii > 20).mean() < 0.45  # those that fill a bone end, or much of a wing, and the largest foci
    assert 6 < np.median(radii) < 12
    cold = 0
    for lesion in metastases:
        # On even ground of 1, the larger peak of the two views is the stated contrast less 1.
        peak = max(float(lesion.focus.projection[view].image.max()) * lesion.focus.factor for view in VIEWS)
        if lesion.focus.factor < 0:
            cold += 1
            assert 0.25 <= lesion.contrast <= 0.6
            peak = min(float(lesion.focus.projection[view].image.max()) * lesion.focus.factor for view in VIEWS)
        else:
            assert 1.3 <= lesion.contrast <= 20
        assert lesion.volume_cm3 > 0
        assert lesion.bone_cm3 > 0
        assert peak == pytest.approx(lesion.contrast - 1, rel=1e-3)
    assert 0 < cold < 20


def test_large_metastases_are_hotter_than_small_ones(metastases):
    large = [lesion.contrast for lesion in metastases if lesion.radius_mm > 16 and lesion.contrast > 1]
    small = [lesion.contrast for lesion in metastases if lesion.radius_mm <= 16 and lesion.contrast > 1]
    assert np.median(large) > 1.5 * np.median(small)
    assert np.mean(np.array(large) > 6) > 0.25


def test_ribs_have_round_foci_as_well_as_long_ones():
    rng = np.random.default_rng(0)
    shapes = [sample_shape(Region.RIBS, False, rng) for _ in range(1000)]
    stretch = np.array([shape.radii[0] / shape.radii[1] for shape in shapes if shape.radius_mm <= 16])
    assert 0.3 < (stretch < 1.5).mean() < 0.6
    assert (stretch > 2).mean() > 0.3


def test_bands_of_the_sacrum_and_whole_bones_are_as_frequent_as_the_documentation_says():
    rng = np.random.default_rng(1)
    for region, long_bone, kind, share in [
        (Region.SACRUM, False, Kind.ACROSS, 0.35),
        (Region.ILIUM, False, Kind.WHOLE, 0.13),
        (Region.HUMERUS, True, Kind.WHOLE, 0.15),
        (Region.RIBS, False, Kind.WHOLE, 0.05),
    ]:
        kinds = [sample_shape(region, long_bone, rng).kind for _ in range(4000)]
        assert kinds.count(kind) / 4000 == pytest.approx(share, abs=0.025)


@pytest.mark.parametrize("kind", [Kind.ACROSS, Kind.WHOLE])
def test_a_band_of_the_sacrum_is_wider_than_high_and_no_lesion_larger_than_its_bone(kind, anatomy, monkeypatch):
    radii = np.array([60.0, 8.0, 60.0]) if kind is Kind.ACROSS else np.full(3, 60.0)
    monkeypatch.setattr("bonescan.phantom.metastases.sample_shape", lambda *told: Shape(kind, 60.0, radii, 0.0))
    monkeypatch.setattr("bonescan.phantom.metastases.SITES", ((1.0, (Region.SACRUM,)),))
    base = {view: np.ones((1024, 256), dtype=np.float32) for view in VIEWS}
    for lesion in make_metastases(anatomy, 4, base, np.random.default_rng(0)):
        image = lesion.focus.projection[View.POSTERIOR].image
        rows, cols = np.nonzero(image > 0.3 * image.max())
        assert kind is Kind.WHOLE or np.ptp(cols) > 1.5 * np.ptp(rows)
        assert 0 < lesion.volume_cm3 <= lesion.bone_cm3 * 1.001


def test_a_lesion_that_fills_a_bone_keeps_to_it_and_is_as_hot_at_its_edge(anatomy):
    structure = next(s for s in anatomy.structures if s.bone.name == "iliac wing")
    points = structure.bone.cloud.points
    blob = make_blob(points.mean(axis=0), np.full(3, 300.0), np.eye(3), np.random.default_rng(0), 0.0, flat=True)
    own = [s.bone.cloud for s in anatomy.structures if is_part_of(s.bone, structure.bone)]
    filled = in_bone(anatomy, blob, structure.bone)
    assert len(filled.points) == sum(len(cloud.points) for cloud in own)
    assert filled.weights.sum() == pytest.approx(sum(cloud.weights.sum() for cloud in own))
    assert len(in_bone(anatomy, blob).points) > len(filled.points)


def test_a_lesion_that_fills_a_rib_leaves_its_cartilage_out(anatomy):
    ribs = [s.bone for s in anatomy.structures if (s.bone.bone, s.bone.side) == ("rib 5", Side.LEFT)]
    assert Tissue.CARTILAGE in {part.tissue for part in ribs}
    place = ribs[0].cloud.points.mean(axis=0)
    blob = make_blob(place, np.full(3, 500.0), np.eye(3), np.random.default_rng(0), 0.0, flat=True)
    bony = sum(part.cloud.weights.sum() for part in ribs if part.tissue is not Tissue.CARTILAGE)
    assert in_bone(anatomy, blob, ribs[0]).weights.sum() == pytest.approx(bony, rel=0.02)


def test_the_parts_of_a_bone_that_lie_in_the_midline_are_of_both_sides(anatomy):
    skull = [s.bone for s in anatomy.structures if s.bone.bone == "skull"]
    assert {part.side for part in skull} == set(Side)
    vault, left = (next(part for part in skull if part.side is side) for side in (Side.MIDLINE, Side.LEFT))
    assert all(is_part_of(part, vault) for part in skull)
    assert {part.side for part in skull if is_part_of(part, left)} == {Side.MIDLINE, Side.LEFT}


def test_only_lesions_that_fill_a_bone_keep_to_it_and_they_have_patches(anatomy, monkeypatch):
    kept, patched = [], []
    monkeypatch.setattr(metastases_module, "in_bone", lambda a, b, only=None: kept.append(only) or in_bone(a, b, only))
    patches = metastases_module._with_patches
    monkeypatch.setattr(
        metastases_module, "_with_patches", lambda c, rng: patched.append(patches(c, rng)) or patched[-1]
    )
    base = {view: np.ones((1024, 256), dtype=np.float32) for view in VIEWS}
    made = make_metastases(anatomy, 120, base, np.random.default_rng(4))
    whole = [lesion for lesion, only in zip(made, kept, strict=True) if only is not None]
    assert 4 < len(whole) < 40
    assert len(patched) == sum(lesion.focus.flat for lesion in made) > len(whole)
    assert all(lesion.focus.flat for lesion in whole)
    ball = ellipsoid((0, 0, 0), np.array([60.0, 60.0, 60.0]))
    spread = [
        float(np.std(np.log(patches(ball, np.random.default_rng(seed)).weights / ball.weights))) for seed in range(8)
    ]
    assert 0.1 < np.median(spread) < 0.6


def test_no_lesion_fills_the_whole_skull():
    rng = np.random.default_rng(0)
    whole = [s for s in (sample_shape(Region.SKULL, False, rng) for _ in range(400)) if s.kind is Kind.WHOLE]
    assert len(whole) > 20
    assert max(shape.radius_mm for shape in whole) <= 60


def test_the_counts_are_one_poisson_draw_of_the_expected_ones(patients):
    for phantom in patients:
        for view in View:
            expected, counts = phantom.expected[view], phantom.study.counts(view)
            assert expected.dtype == np.float32
            bright = expected > 3
            residual = (counts[bright] - expected[bright]) / np.sqrt(expected[bright])
            assert residual.mean() == pytest.approx(0, abs=0.03)
            # Less than 1 where the scanner stores a smoothed image.
            assert residual.var() < 1.1
    assert np.median([_dispersion(phantom) for phantom in patients]) == pytest.approx(1, abs=0.05)


def _dispersion(phantom):
    expected, counts = phantom.expected[View.ANTERIOR], phantom.study.counts(View.ANTERIOR)
    bright = expected > 3
    return float(((counts[bright] - expected[bright]) ** 2 / expected[bright]).mean())


def test_levels_name_the_vertebrae_and_ribs_that_are_seen(anatomy, patients):
    for view in View:
        levels, regions = anatomy.levels[view], anatomy.regions[view]
        spine = np.isin(regions, [REGIONS.index(r) for r in (Region.THORACIC_SPINE, Region.LUMBAR_SPINE)])
        assert all(LEVELS[value][0] in "TL" for value in np.unique(levels[spine]))
        assert set(np.unique(levels[regions == REGIONS.index(Region.FEMUR)])) == {0}
        rows = [np.nonzero(levels == LEVELS.index(f"L{number}"))[0].mean() for number in range(1, 6)]
        assert rows == sorted(rows)
    for phantom in patients:
        assert phantom.levels[View.POSTERIOR].max() < len(LEVELS)


def test_benign_uptake_is_known_pixel_by_pixel(patients):
    pixels = [int((phantom.benign[view] > 0).sum()) for phantom in patients for view in View]
    assert 30 < np.median(pixels) < 5000
    for phantom in patients:
        for view in View:
            assert phantom.benign[view].shape == phantom.study.shape
