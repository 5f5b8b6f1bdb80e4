"""The same lesion in both views, counted once.

Both detectors see the patient at the same moment along the same rays, so a lesion lies at the same row and the mirrored
column in both views. Pairs are the one-to-one assignment of least total cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from bonescan.study import LEVELS, Lesion, Level, Region, RibPart, Side, Spacing, Study, View

PIXEL_MM = 2.3
"""Pixel size that is assumed where the spacing is not known."""
SAME_PLACE_MM = 6.0
"""Usual distance of the outlines' centres of a small lesion: attenuation and surrounding bone change the outlines."""
SIZE_SHARE = 0.5
"""A large lesion's centres may differ more, by this share of its radius."""
MOST_COST = 2.0
"""Two outlines with a higher cost are two lesions. Chosen on phantoms (`benchmarks/reading.py`)."""
OTHER_BONE, NEIGHBOUR_BONE, PER_LEVEL = 1.2, 0.4, 0.25
"""What another bone, a bone that overlaps it in projection, and each level of difference add to the cost. The region
map names the bone that a view mainly shows, so both views may name different bones for one lesion."""

_NEIGHBOURS = (
    {Region.RIBS, Region.SCAPULA, Region.CLAVICLE, Region.HUMERUS},
    {Region.RIBS, Region.STERNUM},
    {Region.RIBS, Region.THORACIC_SPINE, Region.LUMBAR_SPINE},
    {Region.THORACIC_SPINE, Region.CERVICAL_SPINE, Region.LUMBAR_SPINE},
    {Region.SACRUM, Region.LUMBAR_SPINE, Region.ILIUM, Region.PELVIS},
    {Region.ILIUM, Region.ISCHIUM, Region.PUBIS, Region.FEMUR, Region.PELVIS},
    {Region.SKULL, Region.FACE, Region.MANDIBLE, Region.CERVICAL_SPINE},
    {Region.HUMERUS, Region.FOREARM, Region.ARM},
    {Region.FOREARM, Region.HAND, Region.ARM},
    {Region.FEMUR, Region.LOWER_LEG},
    {Region.LOWER_LEG, Region.FOOT},
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a lesion lies, seen from the front: centre (row, col) in mm, and the radius of a disc of its area."""

    centre: NDArray[np.float64]
    radius_mm: float


def with_pairs(lesions: Sequence[Lesion], study: Study) -> tuple[Lesion, ...]:
    """Return the lesions with `pair` numbered from 1 in the order of the anterior ones, and one site per pair.

    A study of one view has no pairs.
    """
    partner = pairs_of(lesions, study.shape, study.spacing)
    numbered: dict[int, int] = {}
    for number, (front, back) in enumerate(sorted(partner.items()), start=1):
        numbered[front] = numbered[back] = number
    paired = [replace(lesion, pair=numbered.get(lesion.id)) for lesion in lesions]
    return tuple(agreed_sites(paired))


def pairs_of(lesions: Sequence[Lesion], shape: tuple[int, int], spacing: Spacing | None) -> dict[int, int]:
    """Return the id of the posterior lesion of each anterior one that has a partner; shape: (rows, cols) of a view."""
    front = [lesion for lesion in lesions if lesion.view is View.ANTERIOR]
    back = [lesion for lesion in lesions if lesion.view is View.POSTERIOR]
    if not front or not back:
        return {}
    places = {lesion.id: _place(lesion, shape, spacing) for lesion in lesions}
    cost = np.array([[_cost(a, b, places) for b in back] for a in front])
    # An outline without a partner costs half of MOST_COST, so a pair is made if it is cheaper than two singles.
    rows, cols = len(front), len(back)
    padded = np.full((rows + cols, rows + cols), MOST_COST / 2)
    padded[:rows, :cols] = np.minimum(cost, 10 * MOST_COST)
    padded[rows:, cols:] = 0.0
    # Shifted, as a cost of 0 would be no edge. scipy.optimize has the same, but importing it takes 0.2 s in every call.
    chosen = zip(*min_weight_full_bipartite_matching(csr_array(padded + 1.0)), strict=True)
    return {front[a].id: back[b].id for a, b in chosen if a < rows and b < cols and cost[a, b] <= MOST_COST}


def lesions_in_all(lesions: Sequence[Lesion]) -> int:
    """Return the number of lesions; those in both views are counted once."""
    pairs = {lesion.pair for lesion in lesions if lesion.pair is not None}
    return len(pairs) + sum(lesion.pair is None for lesion in lesions)


def agreed_sites(lesions: Sequence[Lesion]) -> list[Lesion]:
    """Give both outlines of a lesion one site: that of the view in which it is hotter against the bone around it.

    For example, a lesion in the sternum overlaps the thoracic spine in the posterior view, where it is fainter. The
    nearer detector shows it better, so its view names the bone. A rib's part is lateral if either view says so.
    """
    by_pair: dict[int, list[Lesion]] = {}
    for lesion in lesions:
        if lesion.pair is not None:
            by_pair.setdefault(lesion.pair, []).append(lesion)
    sites = {pair: _agreed(both) for pair, both in by_pair.items()}
    return [
        lesion if lesion.pair is None else replace(lesion, region=site[0], side=site[1], level=site[2])
        for lesion in lesions
        for site in [sites.get(lesion.pair or 0, (lesion.region, lesion.side, lesion.level))]
    ]


def _agreed(both: Sequence[Lesion]) -> tuple[Region, Side, Level | None]:
    hotter = max(both, key=lambda lesion: (lesion.measures.contrast or 0.0, lesion.measures.counts_max))
    level = hotter.level
    parts = [lesion.level.part for lesion in both if lesion.level is not None]
    if level is not None and level.part is not None and RibPart.LATERAL in parts:
        level = replace(level, part=RibPart.LATERAL)
    # From behind, the skull hides the face.
    region = Region.FACE if {Region.FACE, Region.SKULL} == {lesion.region for lesion in both} else hotter.region
    return region, hotter.side, level


def _place(lesion: Lesion, shape: tuple[int, int], spacing: Spacing | None) -> _Place:
    row_mm, col_mm = (PIXEL_MM, PIXEL_MM) if spacing is None else (spacing.row_mm, spacing.col_mm)
    rows, cols = np.nonzero(lesion.mask)
    row, col = float(rows.mean()) + lesion.origin[0], float(cols.mean()) + lesion.origin[1]
    if lesion.view is View.POSTERIOR:
        col = shape[1] - 1 - col
    area_mm2 = rows.size * row_mm * col_mm
    return _Place(np.array([row * row_mm, col * col_mm]), float(np.sqrt(area_mm2 / np.pi)))


def _cost(front: Lesion, back: Lesion, places: Mapping[int, _Place]) -> float:
    """The cost of pairing two outlines; 1 for centres at the usual distance."""
    a, b = places[front.id], places[back.id]
    typical = SAME_PLACE_MM + SIZE_SHARE * max(a.radius_mm, b.radius_mm)
    return float(np.hypot(*(a.centre - b.centre))) / typical + _otherness(front, back)


def _otherness(front: Lesion, back: Lesion) -> float:
    if front.region is not back.region:
        overlapping = any({front.region, back.region} <= group for group in _NEIGHBOURS)
        unknown = Region.BACKGROUND in (front.region, back.region)
        return NEIGHBOUR_BONE if overlapping or unknown else OTHER_BONE
    if front.level is None or back.level is None:
        return 0.0
    apart = abs(LEVELS.index(front.level.name) - LEVELS.index(back.level.name))
    return PER_LEVEL * max(apart - 1, 0)
