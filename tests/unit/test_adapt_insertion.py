"""Lesions inserted into a scan: exact counts, in bone, in both views, and truth by the phantom's rule."""

import subprocess
import sys

import numpy as np
import pytest

from bonescan.adapt import insertion
from bonescan.adapt.insertion import Inserted, InsertionConfig, insert
from bonescan.adapt.scene import Scene, estimate_body, make_scene, scene_of
from bonescan.phantom.foci import make_blob
from bonescan.phantom.metastases import Kind
from bonescan.phantom.truth import MIN_AREA, OUTLINE
from bonescan.prediction import Prediction
from bonescan.study import BONE_REGIONS, REGIONS, Region, Scan, Spacing, Study, View

SHAPE = (160, 96)
SPACING = Spacing(4.8, 4.8)
ALWAYS = InsertionConfig(none=0.0)
BONES = {
    Region.SKULL: (slice(12, 30), slice(38, 58)),
    Region.STERNUM: (slice(40, 60), slice(45, 51)),
    Region.RIBS: (slice(44, 70), slice(28, 40)),
    Region.LUMBAR_SPINE: (slice(70, 95), slice(44, 52)),
    Region.FEMUR: (slice(110, 145), slice(38, 43)),
}


def make_mean():
    """Mean counts and regions of a body; the spine is hotter from behind, the sternum from the front."""
    expected = np.zeros((2, *SHAPE))
    regions = np.zeros((2, *SHAPE), dtype=np.uint8)
    expected[:, 8:150, 24:72] = 4.0
    for region, window in BONES.items():
        expected[0][window] = 30.0 if region is Region.STERNUM else 18.0
        expected[1][window] = 5.0 if region is Region.STERNUM else 26.0
        for channel in range(2):
            if region is not Region.STERNUM or channel == 0:
                regions[channel][window] = REGIONS.index(region)
    return expected, regions


def make_counts(seed=0):
    """Counts and regions of that body."""
    mean, regions = make_mean()
    return np.random.default_rng(seed).poisson(mean).astype(np.uint16), regions


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(*make_counts(), SPACING)


@pytest.fixture(scope="module")
def draws(scene) -> list[Inserted]:
    return [insert(scene, np.random.default_rng(seed), ALWAYS) for seed in range(40)]


def test_the_module_needs_no_torch():
    script = "import sys; sys.modules['torch'] = None; import bonescan.adapt.insertion"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_same_generator_gives_the_same_lesions(scene):
    one, two = (insert(scene, np.random.default_rng(7), ALWAYS) for _ in range(2))
    assert np.array_equal(one.added, two.added)
    assert one.table == two.table


def test_a_third_of_the_draws_has_none(scene):
    numbers = [len(insert(scene, np.random.default_rng(seed)).table) for seed in range(90)]
    assert 0.2 < np.mean([number == 0 for number in numbers]) < 0.47
    assert max(numbers) <= InsertionConfig().most


def test_lesions_of_ribs_lie_on_a_rib_and_along_it():
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ribs = np.cos((rows - 0.6 * cols) * 2 * np.pi / 6)  # they slope down; the map shows one area
    expected = np.where((ribs > 0.3) & (rows > 20) & (rows < 120), 25.0, 6.0)
    counts = np.random.default_rng(0).poisson(np.stack([expected, expected])).astype(np.uint16)
    scene = make_scene(counts, np.full(counts.shape, REGIONS.index(Region.RIBS), dtype=np.uint8), SPACING)
    angles, hot = [], []
    for seed in range(60):
        drawn = insert(scene, np.random.default_rng(seed), InsertionConfig(none=0.0, most=1))
        for channel in range(2):
            place = np.argwhere(drawn.lesions[channel] == 1)
            if len(place) < 8 or not 30 < place[:, 0].mean() < 110:
                continue
            along = np.linalg.svd(place - place.mean(axis=0), full_matrices=False)[2][0]
            angles.append(np.degrees(np.arctan2(*along)) % 180)
            hot.append(expected[tuple(np.rint(place.mean(axis=0)).astype(int))] > 10)
    assert len(angles) > 20
    assert np.median(angles) == pytest.approx(np.degrees(np.arctan(0.6)), abs=8)
    assert np.mean(hot) > 0.7


def test_added_counts_are_poisson_of_the_lesions_mean(draws):
    """Mean and variance of what was added, over all pixels of all draws, are those of Poisson counts."""
    expected = np.concatenate([draw.expected[draw.expected > 1] for draw in draws]).astype(np.float64)
    added = np.concatenate([draw.added[draw.expected > 1] for draw in draws]).astype(np.float64)
    assert expected.size > 2000
    standard = (added - expected) / np.sqrt(expected)
    assert abs(standard.mean()) < 4 / np.sqrt(expected.size)
    assert standard.var() == pytest.approx(1.0, abs=0.08)


def test_the_counts_of_the_scan_stay_as_they_are(scene, draws):
    for draw in draws[:5]:
        assert np.array_equal(draw.counts(scene).astype(int) - draw.added, scene.counts)
        assert draw.counts(scene).dtype == np.uint16


def test_a_scan_with_lesions_is_poisson_of_scan_plus_lesion():
    """Many scans of one mean: the mean and the variance of their sum with the lesions are those of Poisson counts."""
    plain, _ = make_mean()
    standard = []
    for seed in range(40):
        scene = make_scene(*make_counts(seed), SPACING)
        draw = insert(scene, np.random.default_rng(1000 + seed), ALWAYS)
        hot = draw.expected > 1
        mean = (plain + draw.expected)[hot]
        standard.append((draw.counts(scene)[hot] - mean) / np.sqrt(mean))
    standard = np.concatenate(standard)
    assert standard.size > 10_000
    assert abs(standard.mean()) < 0.03
    assert standard.var() == pytest.approx(1.0, abs=0.05)


def test_lesions_lie_in_bone(scene, draws):
    bone = np.isin(scene.regions, [REGIONS.index(region) for region in BONE_REGIONS]).any(axis=0)
    inside = np.concatenate([bone[view > 0] for draw in draws for view in draw.lesions])
    assert inside.size > 500
    assert inside.mean() > 0.6
    everywhere = InsertionConfig(none=0.0, by_region=False)
    apart = [insert(scene, np.random.default_rng(seed), everywhere) for seed in range(20)]
    assert np.concatenate([bone[view > 0] for draw in apart for view in draw.lesions]).mean() < 0.6


def test_both_views_show_a_lesion_by_its_depth(scene, draws):
    """A lesion of the sternum is brighter from the front, one of the spine from behind."""
    total = {Region.STERNUM: np.zeros(2), Region.LUMBAR_SPINE: np.zeros(2)}
    for seed in range(60):
        draw = insert(scene, np.random.default_rng(1000 + seed), InsertionConfig(none=0.0, most=1))
        if draw.table and draw.table[0].region in total:
            total[draw.table[0].region] += draw.expected.sum(axis=(1, 2))
    assert total[Region.STERNUM][0] > 1.5 * total[Region.STERNUM][1] > 0
    assert total[Region.LUMBAR_SPINE][1] > 1.05 * total[Region.LUMBAR_SPINE][0] > 0


def test_truth_is_what_the_phantoms_rule_outlines(scene):
    """One lesion: its outline is what lies above 45 % of its maximum, or faint, or nothing."""
    seen = 0
    for seed in range(60):
        draw = insert(scene, np.random.default_rng(seed), InsertionConfig(none=0.0, most=1))
        for channel in range(2):
            own, outlined = draw.expected[channel], draw.lesions[channel] > 0
            if outlined.any():
                seen += 1
                assert np.array_equal(outlined, own > OUTLINE * own.max())
                assert outlined.sum() >= MIN_AREA
                place = np.unravel_index(own.argmax(), own.shape)
                view = list(View)[channel]
                assert own[place] / scene.under[view][place] >= 0.35
            assert not (outlined & draw.faint[channel]).any()
    assert seen > 20


def test_bands_across_the_sacrum_are_hot_up_to_their_edge_and_no_lesion_fills_a_bone(monkeypatch):
    counts, regions = make_counts()
    for channel in range(2):
        regions[channel, 95:110, 36:58] = REGIONS.index(Region.SACRUM)
    scene = make_scene(counts, regions, SPACING)
    blobs, foci, shapes, own = [], [], [], insertion._shape
    monkeypatch.setattr(
        insertion, "make_blob", lambda *told, **named: blobs.append(make_blob(*told, **named)) or blobs[-1]
    )
    focus = insertion.Focus
    monkeypatch.setattr(insertion, "Focus", lambda *told: foci.append(focus(*told)) or foci[-1])
    monkeypatch.setattr(insertion, "_place", lambda *told: (1, 102, 47))
    monkeypatch.setattr(insertion, "_shape", lambda *told: shapes.append(own(*told)) or shapes[-1])
    for seed in range(40):
        insert(scene, np.random.default_rng(seed), InsertionConfig(none=0.0, most=1))
    kinds = {shape.kind for shape in shapes}
    assert Kind.ACROSS in kinds
    assert Kind.WHOLE not in kinds
    for blob, focus, shape in zip(blobs, foci, shapes, strict=True):
        assert blob.flat is focus.flat is (shape.kind is Kind.ACROSS)
        if blob.flat:  # from left to right first
            assert np.allclose(np.abs(blob.axes[:, 0]), [1, 0, 0])


def test_contrast_spans_faint_to_hot(draws):
    contrasts = [record.contrast for draw in draws for record in draw.table]
    radii = [record.radius_mm for draw in draws for record in draw.table]
    assert min(contrasts) < 1.8
    assert max(contrasts) > 5
    assert min(radii) < 5
    assert max(radii) > 25


def test_nothing_is_added_where_nothing_was_counted():
    counts, regions = make_counts()
    counts[1] = 0
    counts[0, 100:] = 0
    scene = make_scene(counts, regions, SPACING)
    draws = [insert(scene, np.random.default_rng(seed), ALWAYS) for seed in range(10)]
    assert sum(int(draw.added[0].sum()) for draw in draws) > 0
    assert all(not draw.added[1].any() and not draw.lesions[1].any() for draw in draws)
    assert all(not draw.added[0, 100:].any() for draw in draws)


def test_a_scan_without_a_bone_gets_no_lesion():
    counts, regions = make_counts()
    draw = insert(make_scene(counts, np.zeros_like(regions), None), np.random.default_rng(0), ALWAYS)
    assert not draw.added.any()
    assert draw.table == ()


def test_a_study_comes_back_as_it_was_acquired():
    counts, regions = make_counts()
    frames = {View.ANTERIOR: counts[0].astype(np.float32), View.POSTERIOR: counts[1, :, ::-1].astype(np.float32)}
    study = Study("one", {view: Scan(view, frame) for view, frame in frames.items()}, spacing=SPACING)
    probability = {view: np.zeros(SHAPE, dtype=np.float32) for view in View}
    maps = {View.ANTERIOR: regions[0], View.POSTERIOR: np.ascontiguousarray(regions[1, :, ::-1])}
    scene = scene_of(study, Prediction(probability, maps))
    assert np.array_equal(scene.regions, regions)
    draw = insert(scene, np.random.default_rng(3), ALWAYS)
    new = draw.study(study)
    assert np.array_equal(new.counts(View.ANTERIOR), counts[0].astype(np.float32) + draw.added[0])
    assert np.array_equal(new.counts(View.POSTERIOR), (counts[1].astype(np.float32) + draw.added[1])[:, ::-1])
    assert np.array_equal(draw.labels(study)[View.POSTERIOR], draw.lesions[1, :, ::-1])


def test_the_body_is_as_thick_as_limbs_are_round_and_trunks_flat():
    inside = np.zeros((10, 120), dtype=np.bool_)
    inside[2:8, 5:25] = True  # 48 mm wide at 2.4
    inside[2:8, 40:115] = True  # 180 mm
    body = estimate_body(inside, Spacing(2.4, 2.4))
    thick = body.front - body.back
    assert thick[5, 15] == pytest.approx(48, rel=0.05)
    assert 150 < thick[5, 77] < 180
    assert thick[5, 42] < 0.6 * thick[5, 77]
    assert body.front[0, 0] <= body.back[0, 0]
