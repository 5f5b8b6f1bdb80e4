"""Augmentation with the physics of counting: sampled, then applied."""

from __future__ import annotations

from bonescan.train.augment.apply import Sample, apply
from bonescan.train.augment.parameters import AugmentConfig, Parameters, sample

__all__ = ["AugmentConfig", "Parameters", "Sample", "apply", "sample"]
