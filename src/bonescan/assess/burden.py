"""How much of the skeleton is involved: positive area, bone scan index, and the extent-of-disease grade.

Bone scan index: Imbriaco et al., Clin Cancer Res 1998;4:1765-1772: the involved fraction of each bone times that bone's
share of the skeleton's mass, summed. The shares are those of the index's published form, from Spiers, Radioisotopes in
the Human Body, 1968, p. 120. The fraction of a bone is estimated from areas over both views, those of long bones
weighted by their thickness, and the depth of a lesion from its size.
Positive area: Noguchi et al., Br J Cancer 2003;88:195-201: lesion area over skeletal area.
Grade: Soloway et al., Cancer 1988;61:195-202.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.assess.pairing import PIXEL_MM, lesions_in_all
from bonescan.prediction import Prediction, RegionMap
from bonescan.study import IS_BONE, REGIONS, Extent, Lesion, Region, Spacing, Study


@dataclass(frozen=True, slots=True)
class Bone:
    """One entry of the table of masses.

    percent: of the skeleton's mass, both sides together. area: its usual share of the skeleton's area in a view,
    measured on phantoms. regions: its regions in the region map. full_depth_mm: a focus of this radius extends through
    the whole depth of the bone, a smaller one through a proportional part. So a small focus covers more of a bone's
    area than of its volume. walls: how many layers of the bone a view shows on top of one another; a lesion is taken to
    lie in one. Depths and walls were chosen on phantoms.
    """

    name: str
    percent: float
    area: float
    regions: tuple[Region, ...]
    full_depth_mm: float = 14.0
    walls: int = 1


BONES: tuple[Bone, ...] = (
    Bone("skull without mandible", 16.6, 0.076, (Region.SKULL, Region.FACE), walls=2),
    Bone("mandible", 1.8, 0.008, (Region.MANDIBLE,), 8.0),
    Bone("clavicles", 1.0, 0.01, (Region.CLAVICLE,), 7.0),
    Bone("scapulae", 3.0, 0.042, (Region.SCAPULA,), 7.0),
    Bone("sternum", 0.3, 0.0125, (Region.STERNUM,), 10.0),
    Bone("humeri", 6.6, 0.069, (Region.HUMERUS,)),
    Bone("ulnae and radii", 5.4, 0.054, (Region.FOREARM,)),
    Bone("hands and wrists", 3.0, 0.064, (Region.HAND,)),
    Bone("ribs", 4.4, 0.183, (Region.RIBS,), 7.0),
    Bone(
        "spine and sacrum",
        8.3,
        0.115,
        (Region.CERVICAL_SPINE, Region.THORACIC_SPINE, Region.LUMBAR_SPINE, Region.SACRUM),
    ),
    Bone("pelvis", 7.5, 0.093, (Region.PELVIS, Region.ILIUM, Region.ISCHIUM, Region.PUBIS)),
    Bone("femora", 17.8, 0.116, (Region.FEMUR,)),
    Bone("tibiae and fibulae", 12.8, 0.108, (Region.LOWER_LEG,)),
    Bone("feet", 11.6, 0.055, (Region.FOOT,)),
)
"""Both sides of a pair are one entry: their masses are alike, so the sum is the same."""
WHOLE_PERCENT = sum(bone.percent for bone in BONES)
"""The published shares come to 100.1 by rounding; an index is given in per cent of this."""

THORAX = ("clavicles", "scapulae", "sternum", "ribs", "spine and sacrum")
"""The bones of a thoracic window. Its index ignores the others, which are cut off. Of the spine it uses the visible
part."""
_ARM = Bone("arms", 15.0, 0.187, (Region.ARM,))
"""The arm in models of the first format: humerus, ulna, radius and hand."""
LEAST_AREA = 0.7
"""A bone's area is taken as at least this share of the usual one. Otherwise one lesion could fill a bone that the
region map mostly misses."""
SEEN_AREA = 0.15
"""A bone of less than this share of its usual area is not in the field of view."""
WHOLE_SEEN = 0.97
"""Below this share of the mass an index is called partial."""
_IS_LONG = np.isin(REGIONS, [Region.HUMERUS, Region.FOREARM, Region.FEMUR, Region.LOWER_LEG])
"""Long bones are taken to be thickest at their middle line."""
_ENTRIES = {region: bone for bone in (*BONES, _ARM) for region in bone.regions}
_DEPTH_MM = np.array([_ENTRIES[region].full_depth_mm if region in _ENTRIES else np.inf for region in REGIONS])
_WALLS = np.array([_ENTRIES[region].walls if region in _ENTRIES else 1 for region in REGIONS])
VERTEBRA_MM2 = 1300.0
"""About what the body of a lumbar vertebra covers (45 x 29 mm); Soloway counts a lesion of its size as two."""
SUPERSCAN_SHARE = 0.75
"""Grade 4: more than 75 % of ribs, vertebrae and pelvic bones."""
_SUPERSCAN = ("ribs", "spine and sacrum", "pelvis")
_FEW, _MANY = 6, 20


def extent_of(study: Study, lesions: Sequence[Lesion], prediction: Prediction, region: str = "whole-body") -> Extent:
    """Return the number of lesions, positive area, bone scan index with the share of mass that was seen, and the grade.

    lesions: with their pairs. prediction: its region maps say where each bone is. region: what was analysed; for a
    thorax the index is partial, over the bones in it.
    """
    size = len(REGIONS)
    whole, bulk, covered, involved, filled = (np.zeros(size) for _ in range(5))
    on_long = any(_IS_LONG[prediction.region[one.view][one.window][one.mask]].any() for one in lesions)
    for view in study.scans:
        regions = prediction.region[view]
        # Without a lesion on a long bone nothing depends on the thickness, which takes 13 ms.
        thickness = _thickness(regions) if on_long else np.ones(regions.shape)
        whole += np.bincount(regions.ravel(), minlength=size)
        bulk += np.bincount(regions.ravel(), thickness.ravel(), minlength=size)
        for lesion in (one for one in lesions if one.view is view):
            own = regions[lesion.window][lesion.mask]
            under = np.bincount(own, thickness[lesion.window][lesion.mask], minlength=size)
            covered += np.bincount(own, minlength=size)
            involved += under
            filled += under * depth_shares(lesion, study.spacing)
    off_bone = covered[~IS_BONE].sum()
    for counted in (whole, bulk, covered, involved, filled):
        counted[~IS_BONE] = 0
    skeleton, positive_px = whole.sum() + off_bone, covered.sum() + off_bone
    areas = _fractions(whole, bulk, involved, region == "thorax")
    volumes = _fractions(whole, bulk, filled, region == "thorax")
    percents = {bone.name: bone.percent for bone in (*BONES, _ARM)}
    # A bone that is fully covered counts as full, however small its foci are.
    index = sum(percents[name] * max(volumes[name], area**2) for name, area in areas.items())
    return Extent(
        lesions=lesions_in_all(lesions),
        positive_share=float(positive_px / skeleton) if whole.any() else None,
        bone_scan_index=100.0 * index / WHOLE_PERCENT if areas else None,
        mass_seen=min(sum(percents[name] for name in areas) / WHOLE_PERCENT, 1.0),
        grade=soloway(lesions, areas),
        bones={name: share for name, share in areas.items() if share > 0},
    )


def with_intervals(extent: Extent, drawn: Sequence[Extent]) -> Extent:
    """Return an extent with 95 % intervals: 1.96 standard deviations of the drawn ones to either side, not below 0.

    drawn: extents of the same study with counts drawn from Poisson distributions of its counts. They contain the noise
    of the scan twice, so their spread is used, not their mean. With fewer than two the extent is unchanged.
    """
    intervals = {}
    for name in ("lesions", "positive_share", "bone_scan_index"):
        value, others = getattr(extent, name), [getattr(one, name) for one in drawn]
        if value is not None and len(others) > 1 and None not in others:
            reach = 1.96 * float(np.std(others, ddof=1))
            intervals[name] = (max(value - reach, 0.0), value + reach)
    return replace(extent, intervals=intervals, draws=len(drawn) if intervals else 0)


GRADES = ("no lesion", "fewer than six", "six to twenty", "more than twenty", "superscan")
"""The meaning of each grade of the extent of disease."""


def extent_words(extent: Extent) -> list[str]:
    """Return the figures as people read them, each with its interval where there is one."""
    said = [f"{extent.lesions} lesion{'' if extent.lesions == 1 else 's'}{_between(extent, 'lesions', '{:.0f}')}"]
    if extent.positive_share is not None:
        share = f"{100 * extent.positive_share:.2f} %{_between(extent, 'positive_share', '{:.2f}', 100.0)}"
        said.append(f"positive area {share} of the skeleton")
    if extent.bone_scan_index is not None:
        partial = "" if extent.mass_seen > WHOLE_SEEN else f", partial: {extent.mass_seen:.0%} of the mass was seen"
        between = _between(extent, "bone_scan_index", "{:.2f}")
        said.append(f"bone scan index {extent.bone_scan_index:.2f} %{between}{partial}")
    return [*said, f"extent of disease grade {extent.grade} ({GRADES[extent.grade]})"]


def _between(extent: Extent, name: str, form: str, factor: float = 1.0) -> str:
    if name not in extent.intervals:
        return ""
    low, high = (form.format(factor * value) for value in extent.intervals[name])
    return f" ({low} to {high})"


def depth_shares(lesion: Lesion, spacing: Spacing | None) -> NDArray[np.float64]:
    """Return per region how much of its bone's depth a lesion takes, 0..1, by the radius of a disc of its area."""
    pixel_mm2 = PIXEL_MM**2 if spacing is None else spacing.pixel_area_mm2
    radius = float(np.sqrt(lesion.mask.sum() * pixel_mm2 / np.pi))
    return np.asarray(np.minimum(radius / _DEPTH_MM, 1.0) / _WALLS)


def _thickness(regions: RegionMap) -> NDArray[np.float64]:
    """How thick each pixel's bone is, in no unit: of long bones the distance from the edge, 1 of all others."""
    shaft = _IS_LONG[regions]
    return np.where(shaft, ndimage.distance_transform_edt(shaft), 1.0)


def _fractions(
    whole: NDArray[np.float64], bulk: NDArray[np.float64], involved: NDArray[np.float64], thorax: bool
) -> dict[str, float]:
    """The involved part of each bone that was seen, over both views.

    whole: pixels by region. bulk: the same, weighted by thickness. involved: lesions' pixels, likewise. Lesion
    pixels off all bones count for none: the blur of the camera widens an outline beyond the bone.
    """
    found = {}
    for bone in (*BONES, _ARM):
        numbers = [REGIONS.index(region) for region in bone.regions]
        area = float(whole[numbers].sum())
        # The usual areas are known for the whole body only.
        usual = 0.0 if thorax else bone.area * float(whole.sum())
        if (thorax and bone.name not in THORAX) or area <= SEEN_AREA * usual:
            continue
        volume = float(bulk[numbers].sum()) * max(LEAST_AREA * usual / area, 1.0)
        found[bone.name] = min(float(involved[numbers].sum()) / volume, 1.0)
    return found


def soloway(lesions: Sequence[Lesion], fractions: Mapping[str, float]) -> int:
    """Return the extent-of-disease grade: 0 none, 1 fewer than six, 2 six to twenty, 3 more, 4 superscan.

    A lesion of about a vertebral body's size or more counts as two; without spacing each counts as one.
    fractions: involved part of each bone, for the superscan.
    """
    if all(fractions.get(name, 0.0) > SUPERSCAN_SHARE for name in _SUPERSCAN):
        return 4
    areas: dict[int, float] = {}
    for lesion in lesions:
        number = -lesion.id if lesion.pair is None else lesion.pair
        areas[number] = max(areas.get(number, 0.0), lesion.measures.area_mm2 or 0.0)
    count = sum(2 if area >= VERTEBRA_MM2 else 1 for area in areas.values())
    if not count:
        return 0
    return 1 if count < _FEW else 2 if count <= _MANY else 3
