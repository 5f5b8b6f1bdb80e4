"""The comparison of phantoms with people, on made scans whose figures are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tests.scripts import script

from bonescan.prediction import Prediction
from bonescan.study import REGIONS, Region, Scan, Study, View

SHAPE = (160, 96)
BONE = REGIONS.index(Region.FEMUR)


@pytest.fixture(scope="module")
def foci():
    return script("benchmarks/realism_foci.py")


@pytest.fixture(scope="module")
def regions():
    pytest.importorskip("SimpleITK")
    return script("benchmarks/realism_regions.py")


def spot(row, col, height, sigma=3.0):
    rows, cols = np.indices(SHAPE)
    return height * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * sigma**2))


def even():
    """20 counts, but for a little that leaves no plateau on which each pixel is a maximum."""
    return 20 + 1e-3 * np.random.default_rng(0).random(SHAPE)


def all_bone():
    return np.full(SHAPE, BONE, dtype=np.uint8)


def test_a_hot_spot_has_the_contrast_width_and_edge_of_its_gaussian(foci):
    (found,) = foci.hot_spots(even() + spot(80, 40, 60), all_bone())
    # Smoothed by 1 pixel, its variance is 10 and its height 54; 5 to 12 pixels away little of it is left.
    assert found.contrast == pytest.approx(54 / 20, rel=0.1)
    assert found.width == pytest.approx(2.355 * np.sqrt(10), rel=0.06)
    assert found.sharpness == pytest.approx(0.589 / np.sqrt(10), rel=0.1)  # sqrt(2 ln 2) / 2 over sigma
    assert found.region == BONE
    (sharp,) = foci.hot_spots(even() + 60 * (spot(80, 40, 1) > 0.5), all_bone())
    assert sharp.sharpness > 1.2 * found.sharpness


def test_a_hot_spot_lies_on_bone_is_twice_as_hot_as_the_same_bone_and_no_noise(foci):
    hot = even() + spot(80, 40, 60)
    nowhere = np.zeros(SHAPE, dtype=np.uint8)
    assert foci.hot_spots(hot, nowhere) == []
    assert foci.hot_spots(even() + spot(80, 40, 18), all_bone()) == []
    assert foci.hot_spots(hot / 300, all_bone()) == []
    assert foci.hot_spots(even(), all_bone()) == []
    assert [found.region for found in foci.hot_spots(hot + spot(2, 94, 60), all_bone())] == [BONE, BONE]
    # Soft tissue beside a thin bone is no reason to call all of the bone hot.
    shaft = np.where(np.abs(np.arange(SHAPE[1]) - 40) < 3, 30.0, 5.0) * np.ones(SHAPE)
    assert foci.hot_spots(shaft, np.where(shaft > 10, BONE, 0).astype(np.uint8)) == []
    rng = np.random.default_rng(0)
    assert foci.hot_spots(rng.poisson(3.0, SHAPE), all_bone()) == []


def test_foci_are_counted_by_the_model_and_by_counts_alone(foci, monkeypatch):
    """Of two spots on each view of a person the model knows one; the phantom has none."""
    hot = even() + spot(40, 40, 80) + spot(120, 50, 30)
    people, phantoms = ([Study("s", {view: Scan(view, counts) for view in View})] * 3 for counts in (hot, even()))

    def predicted(study, model):
        known = spot(40, 40, 1) * (study.counts(View.ANTERIOR).max() > 30)
        maps = {view: all_bone() for view in View}
        return Prediction(dict.fromkeys(View, known), maps, benign=dict.fromkeys(View, np.zeros(SHAPE))), 1.0

    monkeypatch.setattr(foci, "predicted", predicted)
    monkeypatch.setattr(foci, "load_model", lambda name: None)
    report = foci.foci_figures(people, phantoms)
    assert sum(report["people"]["by_contrast"].values()) == 2
    assert report["people"]["by_contrast"]["2.0 to 3.0"] == 2
    assert report["people"]["from_contrast_1_by_region"] == {"femur": 2}
    alone = report["people"]["by_counts_alone"]
    assert [alone[name]["median_per_scan"] for name in ("from_contrast_1", "from_contrast_2")] == [4, 2]
    assert alone["from_contrast_1"]["by_region"] == {"femur": 4}
    assert alone["from_contrast_1"]["width_px"] == pytest.approx(2.355 * np.sqrt(10), rel=0.06)
    none = report["phantoms"]["by_counts_alone"]["from_contrast_1"]
    assert none == {"median_per_scan": 0, "per_scan": 0, "by_region": {}, "width_px": None, "sharpness": None}


def registered(regions, person, counts, region_map=None):
    """A scan as if registered: it lies in the template's frame already."""
    region_map = np.stack([all_bone()] * 2) if region_map is None else region_map
    counts = np.asarray(counts, dtype=np.float32)
    return regions.Registered(person, counts, counts, region_map, region_map)


def test_uptake_is_relative_to_the_lumbar_spine_from_behind(regions):
    maps, counts = np.zeros((2, *SHAPE), dtype=np.uint8), np.full((2, *SHAPE), 2.0)
    for part, place, height in (
        (Region.LUMBAR_SPINE, np.s_[:, 20:60, 44:52], 10.0),
        (Region.FEMUR, np.s_[:, 80:150, 20:30], 4.0),
        (Region.FEMUR, np.s_[:, 80:150, 66:76], 6.0),
    ):
        maps[place], counts[place] = REGIONS.index(part), height
    counts[0] *= 3
    found = regions._uptake(registered(regions, True, counts, maps))
    assert found["posterior: lumbar spine"] == pytest.approx(1)
    assert found["anterior: lumbar spine"] == pytest.approx(3)
    assert found["posterior: femur"] == pytest.approx(0.5)
    # Seen from the front, the patient's left is on the right.
    assert found["anterior: femur, left over right"] == pytest.approx(1.5)
    assert "anterior: lumbar spine, left over right" not in found
    assert "posterior: sternum" not in found


def test_regions_are_compared_with_the_range_of_the_people(regions, monkeypatch):
    maps = np.stack([all_bone()] * 2)
    maps[:, :80] = REGIONS.index(Region.LUMBAR_SPINE)
    template = SimpleNamespace(regions=dict(zip(View, maps, strict=True)))
    monkeypatch.setattr(regions, "_template", lambda: template)
    monkeypatch.setattr(regions, "_template_counts", lambda anatomy: np.ones((2, *SHAPE), dtype=np.float32))
    monkeypatch.setattr(
        regions, "_register", lambda person, counts, fixed, known: registered(regions, person, counts, known)
    )

    def scan(femur):
        counts = np.full(SHAPE, 10.0)
        counts[80:] *= femur
        return Study("s", {view: Scan(view, counts) for view in View})

    report, scans = regions.region_figures([scan(1.0), scan(2.0)], [scan(0.5), scan(1.5), scan(1.6)])
    rows = {row["name"]: row for row in report["rows"]}
    femur = rows["posterior: femur"]
    assert (femur["people"], femur["people_median"], femur["phantom"]) == ([1.0, 2.0], 1.5, 1.5)
    assert femur["people_spread"] == pytest.approx(np.log(2) / 2, abs=1e-3)
    assert [scan.person for scan in scans] == [True, True, False, False, False]
    assert report["within"] == len(rows)
    report, _ = regions.region_figures([scan(1.0), scan(2.0)], [scan(2.5)])
    outside = {row["name"] for row in report["rows"] if not row["within"]}
    assert outside == {"anterior: femur", "posterior: femur"}


def test_one_scan_of_people_is_too_few(regions, monkeypatch):
    realism = script("benchmarks/realism.py")
    one = Study("s", {view: Scan(view, even()) for view in View})
    monkeypatch.setattr(realism, "scans_of", lambda folder: [one])
    with pytest.raises(SystemExit, match="1 scans with both views"):
        realism.people_report(SimpleNamespace(people="folder"), [])


def test_registration_finds_the_bones_of_another_patient(regions, bodies, patient_of):
    maps, there = (np.stack([body.regions[view] for view in (View.ANTERIOR, View.POSTERIOR)]) for body in bodies[::-1])
    fixed, moving = (regions._pair(patient_of(body, 0).study) for body in (1, 0))
    found = regions._register(False, moving, regions._appearance(fixed), maps)
    assert found.counts.shape == moving.shape
    bones = "skull", "ribs", "thoracic spine", "humerus", "ilium", "femur", "lower leg", "foot"
    for part in map(Region, bones):  # the moving patient's spine is bent
        before, after = (overlap(one, there, REGIONS.index(part)) for one in (maps, found.native_regions))
        assert after > max(before, 0.6), part


def overlap(one, other, value):
    """Dice of one region in two maps."""
    one, other = one == value, other == value
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_patches_tell_other_scans_apart_and_not_the_same(regions, monkeypatch):
    pytest.importorskip("sklearn")
    patches = script("benchmarks/realism_patches.py")
    monkeypatch.setattr(patches, "PATCHES", 24)
    rng = np.random.default_rng(0)

    def scans(person, spread):
        mean = np.zeros((2, *SHAPE))
        mean[:, 10:150, 10:86] = 20
        for _ in range(3):
            uneven = np.repeat(np.repeat(rng.gamma(spread, 1 / spread, (2, 40, 24)), 4, axis=1), 4, axis=2)
            yield registered(regions, person, rng.poisson(mean * uneven))

    apart = patches.patch_figures([*scans(True, 2), *scans(False, 50)])
    assert apart["patches"] == 6 * 24
    assert apart["auc"] > 0.95
    assert apart["by_region"]["femur"] == pytest.approx(apart["auc"], abs=1e-3)
    assert patches.patch_figures([*scans(True, 10), *scans(False, 10)])["auc"] < 0.8
