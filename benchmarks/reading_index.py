"""The bone scan index of a simulated patient in three dimensions: the part of each bone that its lesions fill.

A lesion may reach into neighbouring bones, and lesions overlap. So the volumes of single lesions, which the simulation
states, do not add up to what is involved of a bone. Here every piece of bone is asked whether it lies in a lesion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from bonescan.assess.burden import BONES, WHOLE_PERCENT
from bonescan.phantom import metastases
from bonescan.phantom.anatomy import Anatomy
from bonescan.phantom.bones import Bone
from bonescan.phantom.foci import Blob, in_bone, is_part_of
from bonescan.phantom.shapes import Cloud, Points
from bonescan.phantom.truth import OUTLINE
from bonescan.study import Region

Filled = tuple[Blob, Bone | None]
"""A lesion's blob, and the bone that it keeps to, if it does."""


@contextmanager
def lesion_blobs() -> Iterator[list[Filled]]:
    """The blobs of the metastases that are made inside, in the order of the patient's table."""
    kept: list[Filled] = []
    tried: list[Filled] = []
    make = metastases._make

    def noted(anatomy: Anatomy, blob: Blob, only: Bone | None = None) -> Cloud:
        tried.append((blob, only))
        return in_bone(anatomy, blob, only)

    def made(*arguments: Any) -> Any:
        lesion = make(*arguments)
        if lesion is not None:
            kept.append(tried[-1])
        return lesion

    with patch.object(metastases, "in_bone", noted), patch.object(metastases, "_make", made):
        yield kept


def true_index(anatomy: Anatomy, blobs: Sequence[Filled]) -> float:
    """The index of lesions that fill these blobs, per cent.

    A piece of bone is involved where a blob has at least the share of its peak at which lesions are outlined.
    """
    whole: dict[Region, float] = defaultdict(float)
    involved: dict[Region, float] = defaultdict(float)
    for structure in anatomy.structures:
        cloud = structure.bone.cloud
        whole[structure.bone.region] += float(cloud.weights.sum())
        inside = np.zeros(len(cloud.points), dtype=np.bool_)
        for blob, only in blobs:
            if only is None or is_part_of(structure.bone, only):
                inside |= _within(blob, cloud.points)
        involved[structure.bone.region] += float(cloud.weights[inside].sum())
    total = 0.0
    for bone in BONES:
        volume = sum(whole[region] for region in bone.regions)
        total += bone.percent * sum(involved[region] for region in bone.regions) / volume if volume else 0.0
    return 100.0 * total / WHOLE_PERCENT


def _within(blob: Blob, points: Points) -> np.ndarray[Any, np.dtype[np.bool_]]:
    reach = float(blob.radii.max())
    low, high = blob.centres.min(axis=0) - reach, blob.centres.max(axis=0) + reach
    near = ((points > low) & (points < high)).all(axis=1)
    within = np.zeros(len(points), dtype=np.bool_)
    within[near] = blob.weight(points[near]) >= OUTLINE
    return within
