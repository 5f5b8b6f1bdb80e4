"""Scans as the network learns from them: counts at its pixel size, the base model's regions, inserted lesions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from bonescan.adapt.insertion import Inserted, InsertionConfig, insert
from bonescan.adapt.scans import ReadScan
from bonescan.adapt.scene import Scene, make_scene
from bonescan.prepare import to_pair
from bonescan.prepare.binning import bin_counts, binning_of
from bonescan.study import FIRST_FORMAT_REGIONS, REGIONS, Mask, Region, Spacing
from bonescan.train.cases import FAINT, MOST_LESIONS, Case, CaseFacts, find_facts
from bonescan.train.config import TrainConfig
from bonescan.train.validate import predict_case

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
_MARGIN_PX = 3


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
    binning = binning_of(scan.study)
    counts = np.clip(np.rint(bin_counts(to_pair(scan.study).counts, binning)), 0, np.iinfo(np.uint16).max)
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


def widened(mask: Mask) -> Mask:
    """A mask (rows, cols) with a margin: the edge of an unknown focus is unknown, too."""
    return np.asarray(ndimage.binary_dilation(mask, iterations=_MARGIN_PX))
