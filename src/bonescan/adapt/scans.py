"""The scans to learn from: reading them, and how the network learns from them.

Unsuitable scans are left out, each with a sentence that says why. A `LearnedScan` has counts at the network's pixel
size, the base model's regions, and lesions inserted into it. Patients are told apart by hashes that are only kept in
memory: no patient's identity is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from bonescan.adapt.insertion import Inserted, InsertionConfig, insert
from bonescan.adapt.scene import Scene, make_scene
from bonescan.dicom import values
from bonescan.errors import InputError
from bonescan.prepare.aggregate import COARSEST_MM, binned_pair, binning_of
from bonescan.reading import ReadOptions, discover, read_files
from bonescan.reading.patients import digest_of, patient_of
from bonescan.reading.view_doubts import stated_against_header
from bonescan.study import FIRST_FORMAT_REGIONS, REGIONS, Mask, Region, Spacing, Study, View
from bonescan.train.cases import FAINT, MOST_LESIONS, Case, CaseFacts, find_facts
from bonescan.train.config import TrainConfig
from bonescan.train.inference import predict_case

SMOOTHED_BELOW, NOT_COUNTS_ABOVE = 0.8, 1.3
"""Limits of variance over mean, which is 1 for counts as acquired. Nine scans of people had 0.98 to 1.03."""
_LEAST_BLOCKS = 40

_COARSE: Mapping[Region, Region] = {
    Region.FACE: Region.SKULL,
    Region.MANDIBLE: Region.SKULL,
    Region.HUMERUS: Region.ARM,
    Region.FOREARM: Region.ARM,
    Region.HAND: Region.ARM,
    Region.ILIUM: Region.PELVIS,
    Region.ISCHIUM: Region.PELVIS,
    Region.PUBIS: Region.PELVIS,
    Region.FOOT: Region.LOWER_LEG,
}
"""The regions of the first format that stand for those it does not distinguish."""
_COARSE_TABLE = np.array([REGIONS.index(_COARSE.get(region, region)) for region in REGIONS], dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class ReadScan:
    """One scan that is suitable to learn from.

    number: on the page and in the lists, from 1. name: of the input; only for the department's own lists.
    patient: a hash, equal for scans of one patient. digest: of the counts.
    """

    number: int
    name: str
    study: Study
    patient: str
    digest: str


@dataclass(frozen=True, slots=True)
class Scans:
    """What was read. left_out, warnings: sentences, each about one input by its name."""

    scans: tuple[ReadScan, ...]
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def patients(self) -> tuple[str, ...]:
        """The hashes of the patients, each once, in the order of their scans."""
        return tuple(dict.fromkeys(scan.patient for scan in self.scans))


def read_scans(
    paths: Sequence[Path],
    report: Callable[[int, int], None] = lambda done, total: None,
    options: ReadOptions | None = None,
) -> Scans:
    """Read every scan among files and folders. report: called with the number of studies done, and of all.

    options: what is stated of every scan.
    """
    found: list[ReadScan] = []
    left_out: list[str] = []
    warnings: list[str] = []
    studies = discover(paths)
    seen: dict[str, ReadScan] = {}
    said: Counter[str] = Counter()
    for done, files in enumerate(studies, start=1):
        report(done, len(studies))
        try:
            study = read_files(files, options)
        except InputError as error:
            left_out.append(f"{files.key} was left out: {error}")
            continue
        reason = why_unfit(study)
        if reason is not None:
            left_out.append(f"{files.key} was left out: {reason}")
            continue
        scan = ReadScan(len(found) + 1, files.key, study, patient_of(files, paths), digest_of(study))
        twin = seen.setdefault(scan.digest, scan)
        if twin is not scan:
            other = "" if twin.patient == scan.patient else ", as if of another patient"
            left_out.append(f"{files.key} was left out: it has the same pixels as {twin.name}{other}")
            continue
        found.append(scan)
        warnings += [f"{files.key}: {doubt}" for doubt in stated_against_header(study)]
        said.update(set(study.warnings))
    if said[values.NO_TRACER]:
        warnings.append(
            f"{said[values.NO_TRACER]} of {len(found)} files do not state the tracer: make sure that they are "
            "bone scans"
        )
    return Scans(tuple(found), tuple(left_out), tuple(warnings))


def why_unfit(study: Study) -> str | None:
    """Why a study is unsuitable to learn from, or None."""
    missing = [view for view in View if view not in study.scans]
    if missing:
        return f"the {missing[0]} view is missing, and lesions are inserted into both: give scans of both views"
    for sentence in (values.OTHER_TRACER, values.DERIVED, values.LOSSY, values.SEVERAL_ENERGIES):
        if sentence in study.warnings:
            return sentence
    if binning_of(study) < 1:
        return f"its pixels are {COARSEST_MM:g} mm or larger: give scans of a finer matrix"
    ratios = [ratio for scan in study.scans.values() if (ratio := noise_ratio(scan.counts)) is not None]
    if any(ratio < SMOOTHED_BELOW for ratio in ratios):
        return f"its noise is {min(ratios):.2f} of that of counting, so the frames were filtered: give them as acquired"
    if any(ratio > NOT_COUNTS_ABOVE for ratio in ratios):
        return f"its noise is {max(ratios):.2f} times that of counting, so the values are no counts: give the raw scan"
    return None


def noise_ratio(counts: NDArray[Any]) -> float | None:
    """Variance over mean of a view (rows, cols) at the finest scale: 1 where counts are Poisson, less where filtered.

    The diagonal difference of 2 x 2 pixels cancels any slope. The median over blocks is robust against edges.
    None where too few blocks hold counts.
    """
    rows, cols = (length - length % 16 for length in counts.shape)
    tiles = np.asarray(counts[:rows, :cols], dtype=np.float64).reshape(rows // 2, 2, cols // 2, 2)
    a, b, c, d = tiles[:, 0, :, 0], tiles[:, 0, :, 1], tiles[:, 1, :, 0], tiles[:, 1, :, 1]
    squares, means = ((a - b - c + d) / 2) ** 2, (a + b + c + d) / 4
    blocks = [part.reshape(rows // 16, 8, cols // 16, 8).mean(axis=(1, 3)) for part in (squares, means)]
    counted = blocks[1] > 1
    if counted.sum() < _LEAST_BLOCKS:
        return None
    return float(np.median(blocks[0][counted] / blocks[1][counted]))


@dataclass(frozen=True, slots=True, eq=False)
class LearnedScan:
    """One scan at the network's pixel size, the posterior view mirrored.

    number: as in the lists. probability: the base model's lesion map (2, rows, cols). facts: of the scan without
    lesions.
    """

    number: int
    scene: Scene
    probability: NDArray[np.float16]
    facts: CaseFacts

    @property
    def counts(self) -> NDArray[np.uint16]:
        """(2, rows, cols)."""
        return self.scene.counts

    def plain(self, ignored: Mask | None = None) -> Case:
        """The scan without a lesion. ignored: pixels (2, rows, cols) of unknown status."""
        lesions = np.zeros(self.counts.shape, dtype=np.uint8)
        if ignored is not None:
            lesions[ignored] = FAINT
        return Case(self.counts, lesions, self.scene.regions, self.facts)

    def mirrored(self) -> Case:
        """The scan with left and right exchanged."""
        counts = np.ascontiguousarray(self.counts[:, :, ::-1])
        return Case(counts, np.zeros(counts.shape, dtype=np.uint8), self.scene.regions, self.facts)

    def with_lesions(self, rng: np.random.Generator, config: InsertionConfig, ignored: Mask | None = None) -> Case:
        """The scan with one draw of lesions, to learn from. Its references stay those of the plain scan."""
        inserted = insert(self.scene, rng, config)
        lesions = lesion_plane(inserted, ignored)
        rows = tuple(
            int((box[0].start + box[0].stop) // 2)
            for view in lesions
            for box in filter(None, ndimage.find_objects(view, max_label=MOST_LESIONS))
        )
        return Case(inserted.counts(self.scene), lesions, self.scene.regions, replace(self.facts, lesion_rows=rows))


def learned_scan(scan: ReadScan, network: nn.Module, config: TrainConfig) -> LearnedScan:
    """Bin a scan to the network's pixel size and predict it with the base model."""
    binning = int(binning_of(scan.study))
    counts = np.clip(np.rint(binned_pair(scan.study)), 0, np.iinfo(np.uint16).max)
    pair = counts.astype(np.uint16)
    nothing = np.zeros(pair.shape, dtype=np.uint8)
    facts = find_facts(f"scan-{scan.number}", f"patient-{scan.patient}", pair, nothing, config.normalisation)
    probability, regions = predict_case(network, Case(pair, nothing, nothing, facts), config)
    spacing = scan.study.spacing
    if spacing is not None and binning > 1:
        spacing = Spacing(spacing.row_mm * binning, spacing.col_mm * binning)
    scene = make_scene(pair, np.ascontiguousarray(regions), spacing)
    return LearnedScan(scan.number, scene, probability.astype(np.float16), facts)


def lesion_plane(inserted: Inserted, ignored: Mask | None = None) -> NDArray[np.uint8]:
    """Lesion numbers as training uses them, with `FAINT` for equivocal and ignored pixels."""
    lesions = np.minimum(inserted.lesions, MOST_LESIONS).astype(np.uint8)
    unknown = inserted.faint if ignored is None else inserted.faint | ignored
    lesions[unknown & (lesions == 0)] = FAINT
    return lesions


def judged_case(scan: LearnedScan, rng: np.random.Generator, config: TrainConfig) -> Case:
    """The scan with inserted lesions (no draw is empty), to evaluate on. Its references are computed anew."""
    inserted = insert(scan.scene, rng, InsertionConfig(none=0.0))
    counts, lesions = inserted.counts(scan.scene), lesion_plane(inserted)
    facts = find_facts(scan.facts.key, scan.facts.group, counts, lesions, config.normalisation)
    return Case(counts, lesions, scan.scene.regions, facts)


def told_by(regions: NDArray[np.uint8], network_config: Mapping[str, object]) -> NDArray[np.uint8]:
    """A region map in the regions that a network distinguishes: coarser ones for a network of the first format."""
    if network_config.get("regions", len(REGIONS)) != FIRST_FORMAT_REGIONS:
        return regions
    return np.asarray(_COARSE_TABLE[regions], dtype=np.uint8)
