"""What a physician asks of the outlines: where each lesion is, how many there are in all, how much of the skeleton.

It takes what `measure` gives and the model's maps, and hands back the lesions with their levels and pairs, and the
extent of disease over both views.
"""

from __future__ import annotations

from bonescan.assess.burden import extent_of
from bonescan.assess.pairing import with_pairs
from bonescan.assess.quality import check_quality
from bonescan.assess.site import with_levels
from bonescan.prediction import Prediction
from bonescan.study import Extent, Lesion, Study

__all__ = ["assess", "check_quality"]


def assess(
    study: Study, lesions: tuple[Lesion, ...], prediction: Prediction, region: str
) -> tuple[tuple[Lesion, ...], Extent]:
    """Return the lesions with level and pair, and what they come to in the patient.

    region: what was looked at, "whole-body" or "thorax".
    """
    placed = with_pairs(with_levels(lesions, study, prediction), study)
    return placed, extent_of(study, placed, prediction, region)
