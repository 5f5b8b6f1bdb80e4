"""Assess lesions and scans: the sites of lesions, their number over both views, the extent of disease, scan quality.

Input are the lesions of `measure` and the model's maps. Output are the lesions with their levels and pairs, and the
extent of disease over both views. `check_quality` tells whether the scan is fit for reading.
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
    """Return the lesions with level and pair, and the extent of disease.

    region: what was analysed, "whole-body" or "thorax".
    """
    placed = with_pairs(with_levels(lesions, study, prediction), study)
    return placed, extent_of(study, placed, prediction, region)
