"""How well sites, pairs and burden are told on simulated patients that no training has seen.

    python benchmarks/reading.py --anatomies 20 --patients 5 --json results/reading.json

Each patient is read three ways. `method`: the truth's outlines and the phantom's own maps of bones and levels, which
name the bone that a lesion lies in; what is left is the error of levels, pairs and index. `maps`: the truth's outlines
and the model's maps. `model`: all by the model, as `segment` does it. True are which bone, vertebra or rib a lesion was
put into, the lesions that both views show, and the index in three dimensions (`reading_index`): the share of each bone
that lies in lesions which a view shows, times that bone's share of mass. Repeatability: the same patient counted twice.
Sites and pairs are judged of outlines: by `model` only of lesions that it found, and a pair only where it found the
lesion in both views. These are phantoms: how well people are read, they cannot say.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bonescan.assess import assess
from bonescan.lesions.delineate import Outline, delineate
from bonescan.lesions.measure import measure
from bonescan.phantom import make_anatomy, make_patient
from bonescan.phantom.anatomy import region_from
from bonescan.phantom.family import FAMILIES
from bonescan.phantom.patient import Phantom
from bonescan.phantom.truth import LesionRecord
from bonescan.pipeline import DEFAULT_MODEL, Model
from bonescan.prediction import Prediction
from bonescan.prepare import Prepared, PrepareOptions, prepare
from bonescan.study import (
    BONE_REGIONS,
    LEVELS,
    LEVELS_OF_REGION,
    REGIONS,
    Extent,
    Lesion,
    Region,
    Scan,
    Side,
    Study,
    View,
)
from bonescan.system.parallel import process_pool
from common import model_of, on_equivocal, report_head, true_number, true_outlines, write_report
from reading_index import lesion_blobs, true_index

FIRST_ANATOMY = 910_000
EQUIVOCAL = -1
"""In the place of a lesion's number: an outline on an equivocal lesion alone."""
WAYS = ("method", "maps", "model")
COUNTED = {
    "pairs": "lesions with an outline in both views: in method and maps the truth's, in model those that it has",
    "levels": "outlines of lesions of spine and ribs: in method and maps the truth's, in model its own",
}
"""What the denominators are, for the report."""
AIMS = {
    "region_dice": 0.90,
    "pair_f1": 0.95,
    "level_within_one": 0.90,
    "index_correlation": 0.95,
    "index_repeat_difference": 0.05,
}


@dataclass(frozen=True, slots=True)
class Work:
    """One anatomy: which, of which family, how many patients, and the model that reads them."""

    seed: int
    family: str
    patients: int
    model: str


@dataclass(slots=True)
class Found:
    """What one way of reading gave, added up over patients.

    pairs: right, claimed and true ones; true are those of lesions with an outline in both views.
    levels: by how many each is off, and whether its uncertainty covers that.
    heights: by how many each is off where a rib counts as the vertebra of its number, whose joint may be called either.
    vertebrae: the part of `levels` that is truly of the spine.
    regions: whether bone, and bone and side, are right. indices: (true, told) per patient. repeats: told twice.
    areas: of each region, per view, the pixels that truth and map share, and those of each.
    """

    pairs: list[tuple[int, int, int]] = field(default_factory=list)
    levels: list[tuple[int, bool]] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    vertebrae: list[int] = field(default_factory=list)
    regions: list[tuple[bool, bool]] = field(default_factory=list)
    indices: list[tuple[float, float]] = field(default_factory=list)
    repeats: list[tuple[float, float]] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)
    areas: dict[str, list[tuple[int, int, int]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, other: Found) -> None:
        """Add what another patient gave."""
        for name in ("pairs", "levels", "heights", "vertebrae", "regions", "indices", "repeats", "counts"):
            getattr(self, name).extend(getattr(other, name))
        for region, areas in other.areas.items():
            self.areas[region] += areas


def judged(lesions: Sequence[Lesion], numbers: Sequence[int], phantom: Phantom) -> Found:
    """Compare pairs and sites with the truth. numbers: the true lesion of each outline."""
    found = Found()
    one = joined(phantom)
    by_pair: dict[int, list[int]] = defaultdict(list)
    seen: dict[int, set[View]] = defaultdict(set)
    for lesion, number in zip(lesions, numbers, strict=True):
        if lesion.pair is not None:
            by_pair[lesion.pair].append(one[number] if number or not on_equivocal(lesion, phantom) else EQUIVOCAL)
        if number:
            seen[one[number]].add(lesion.view)
    # A lesion in pieces has one right pair; two marks on nothing, as on one benign finding, are not judged, and as in
    # `evaluate`, neither are marks on a lesion that does not stand out in that view.
    told = [both for both in by_pair.values() if EQUIVOCAL not in both]
    right = len({both[0] for both in told if both[0] == both[1] != 0})
    claimed = right + sum(both[0] != both[1] for both in told)
    found.pairs.append((right, claimed, sum(len(views) == 2 for views in seen.values())))
    records = {record.number: record for record in phantom.table}
    for lesion, number in zip(lesions, numbers, strict=True):
        if not number:
            continue
        # An outline that holds several lesions is right about the site where it names that of one of them.
        held = [each for each in phantom.table if each.part_of.get(lesion.view) == number] or [records[number]]
        # The face may be called so from behind, too, or skull as the map has it there.
        same = [each for each in held if lesion.region in (each.region, region_from(lesion.view, each.region))]
        # A vertebra has no side of its own: left of the midline is said of the lesion.
        sided = any(each.side is Side.MIDLINE or lesion.side is each.side for each in same)
        found.regions.append((bool(same), sided))
        levelled = [each for each in held if each.bone in LEVELS and each.region in LEVELS_OF_REGION]
        if levelled:
            found.levels.append(min(level_of(lesion, each) for each in levelled))
            found.heights.append(min(height_off(lesion, each) for each in levelled))
            if all(each.region is not Region.RIBS for each in levelled):
                found.vertebrae.append(found.levels[-1][0])
    return found


def level_of(lesion: Lesion, record: LesionRecord) -> tuple[int, bool]:
    """By how many levels an outline is off a true lesion of spine or ribs, and whether its uncertainty covers that."""
    if lesion.level is None or (lesion.region is Region.RIBS) is not (record.region is Region.RIBS):
        return 99, False
    off = abs(LEVELS.index(lesion.level.name) - LEVELS.index(record.bone))
    return off, off <= lesion.level.plus_minus


def height_off(lesion: Lesion, record: LesionRecord) -> int:
    """As `level_of`, with a rib taken for the vertebra of its number."""
    if lesion.level is None:
        return 99
    told, true = (LEVELS.index(name.replace("rib ", "T")) for name in (lesion.level.name, record.bone))
    return abs(told - true)


def joined(phantom: Phantom) -> list[int]:
    """Per lesion number the least of those that share an outline with it in either view, itself among them."""
    group = list(range(len(phantom.table) + 1))
    for record in phantom.table:
        for holder in record.part_of.values():
            if holder:
                mine, other = group[record.number], group[holder]
                group = [min(mine, other) if each in (mine, other) else each for each in group]
    return group


def read(study: Study, outlines: Sequence[Outline], prediction: Prediction) -> tuple[tuple[Lesion, ...], Extent]:
    """Measure and assess."""
    lesions, _ = measure(study, outlines, prediction)
    return assess(study, lesions, prediction, "whole-body")


def judge_patient(phantom: Phantom, truth: float, scans: Sequence[Prepared], model: Model) -> dict[str, Found]:
    """All three ways. truth: the index. scans: the patient's counts, and those drawn again."""
    predictions = [model.predictor.predict(scan) for scan in scans]
    own = Prediction(predictions[0].lesion, phantom.regions, level=phantom.levels)
    judged_ways = {}
    for way in ("method", "maps"):
        prediction = own if way == "method" else predictions[0]
        outlines, numbers = true_outlines(phantom, prediction.region)
        lesions, extent = read(phantom.study, outlines, prediction)
        judged_ways[way] = judged(lesions, numbers, phantom)
        judged_ways[way].indices.append((truth, extent.bone_scan_index or 0.0))
        judged_ways[way].counts.append((len(set(numbers)), extent.lesions))
    told = []
    for scan, prediction in zip(scans, predictions, strict=True):
        thresholds = model.bundle.at("balanced").at_binning(scan.binning)
        lesions, extent = read(scan.study, delineate(prediction, thresholds), prediction)
        told.append(extent.bone_scan_index or 0.0)
        if scan is scans[0]:
            found = judged(lesions, [true_number(lesion, phantom) for lesion in lesions], phantom)
            found.indices.append((truth, told[0]))
            found.counts.append((sum(bool(record.visible) for record in phantom.table), extent.lesions))
            found.areas.update(region_areas(prediction, phantom))
    if len(told) > 1:
        found.repeats.append((told[0], told[1]))
    judged_ways["model"] = found
    return judged_ways


def region_areas(predicted: Prediction, phantom: Phantom) -> dict[str, list[tuple[int, int, int]]]:
    """How the model's map of regions agrees with the phantom's, view by view."""
    areas: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for view, true in phantom.regions.items():
        told = predicted.region[view]
        common = np.bincount(true[true == told], minlength=len(REGIONS))
        own, other = (np.bincount(each.ravel(), minlength=len(REGIONS)) for each in (true, told))
        for number in np.flatnonzero(own + other):
            if number:
                areas[REGIONS[number].value].append((int(common[number]), int(own[number]), int(other[number])))
    return areas


def region_dice(found: Found) -> dict[str, Any]:
    """Dice of each region of the skeleton, pooled over all views, and their mean."""
    dice = {}
    for region, areas in sorted(found.areas.items()):
        common, own, other = np.sum(areas, axis=0).tolist()
        dice[region] = 2 * common / (own + other)
    bones = [dice[region] for region in dice if Region(region) in BONE_REGIONS]
    return {"mean": float(np.mean(bones)) if bones else None, "pooled": dice}


def judge_anatomy(work: Work) -> dict[str, Found]:
    """Simulate and judge the patients of one anatomy."""
    model, anatomy = model_of(work.model), make_anatomy(work.seed, FAMILIES[work.family])
    total = {way: Found() for way in WAYS}
    for seed in range(work.patients):
        with lesion_blobs() as blobs:
            phantom = make_patient(anatomy, seed)
        seen = [blob for blob, record in zip(blobs, phantom.table, strict=True) if record.seen]
        studies = (phantom.study, counted_again(phantom, work.seed + seed))
        scans = [prepare(study, PrepareOptions("whole-body"), model.bundle.normalisation) for study in studies]
        for way, found in judge_patient(phantom, true_index(anatomy, seen), scans, model).items():
            total[way].add(found)
    return total


def counted_again(phantom: Phantom, seed: int) -> Study:
    """The same patient with other counting noise."""
    rng = np.random.default_rng([0x2ED, seed])
    scans = {view: Scan(view, rng.poisson(expected)) for view, expected in phantom.expected.items()}
    return replace(phantom.study, scans=scans)


def summary(found: Found) -> dict[str, Any]:
    """The figures of one way."""
    right, claimed, true = (sum(column) for column in zip(*found.pairs, strict=True))
    off = np.array([levels for levels, _ in found.levels])
    indices, counts = np.array(found.indices), np.array(found.counts)
    repeats = np.array(found.repeats)
    difference = indices[:, 1] - indices[:, 0]
    slope = float((indices[:, 0] * indices[:, 1]).sum() / max((indices[:, 0] ** 2).sum(), 1e-12))
    return {
        "patients": len(indices),
        "outlines": len(found.regions),
        "pairs": true,
        "pair_f1": 2 * right / (claimed + true) if claimed + true else None,
        "pair_precision": right / claimed if claimed else None,
        "pair_recall": right / true if true else None,
        "lesions_in_all_right": float((counts[:, 0] == counts[:, 1]).mean()),
        "region_right": float(np.mean([same for same, _ in found.regions])) if found.regions else None,
        "region_and_side_right": float(np.mean([both for _, both in found.regions])) if found.regions else None,
        "levels": len(off),
        "level_right": float((off == 0).mean()) if off.size else None,
        "level_within_one": float((off <= 1).mean()) if off.size else None,
        "vertebrae": len(found.vertebrae),
        "vertebra_within_one": float((np.array(found.vertebrae) <= 1).mean()) if found.vertebrae else None,
        "height_within_one": float((np.array(found.heights) <= 1).mean()) if found.heights else None,
        "level_covered": float(np.mean([covered for _, covered in found.levels])) if off.size else None,
        "index_correlation": float(np.corrcoef(indices.T)[0, 1]) if len(indices) > 2 and indices.any() else None,
        "index_bias": float(difference.mean()),
        "index_mean_true": float(indices[:, 0].mean()),
        "index_slope": slope,
        "index_repeat_difference": float(np.abs(repeats[:, 0] - repeats[:, 1]).mean()) if repeats.size else None,
        "index_repeat_bias": float((repeats[:, 0] - repeats[:, 1]).mean()) if repeats.size else None,
    }


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anatomies", type=int, default=20)
    parser.add_argument("--patients", type=int, default=5, help="of each anatomy")
    parser.add_argument("--family", choices=tuple(FAMILIES), default="standard")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model that ships, or a bundle's folder")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    name = model_of(arguments.model).name
    begin = time.perf_counter()
    work = [
        Work(FIRST_ANATOMY + number, arguments.family, arguments.patients, arguments.model)
        for number in range(arguments.anatomies)
    ]
    total = {way: Found() for way in WAYS}
    with process_pool(arguments.processes) as pool:
        for ways in pool.map(judge_anatomy, work):
            for way, found in ways.items():
                total[way].add(found)
    report = {
        **report_head(parser, arguments, [name]),
        "aims": AIMS,
        "counted": COUNTED,
        **{way: summary(found) for way, found in total.items()},
        "region_dice": region_dice(total["model"]),
    }
    print(json.dumps(report, indent=2))
    print(f"{time.perf_counter() - begin:.0f} s")
    write_report(arguments.json, report)


if __name__ == "__main__":
    main()
