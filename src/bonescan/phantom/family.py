"""Families of phantoms: the standard one, and one held apart from training, as another department would be.

A model that is trained on the standard family meets the held-out one only in tests and experiments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bonescan.phantom.bones import Tissue


@dataclass(frozen=True, slots=True)
class Family:
    """How the patients, the camera and the protocol of a department differ from the standard; neutral defaults.

    number: part of every seed, so that families share no patient. height, girth, chest, pelvis, leg_length: factors of
    the build. fat: added to the build's. uptake: factors of the tissues. soft: factor of soft tissue. kidneys: factor
    of the kidneys' excess. sides: standard deviation of the logarithm of left against right, per part of the body.
    slope: lowest and highest widening of the resolution with distance. scatter: lowest and highest share of counts in
    the tail. counts: lowest and highest counts of the hotter view.
    """

    name: str = "standard"
    number: int = 0
    height: float = 1.0
    girth: float = 1.0
    chest: float = 1.0
    pelvis: float = 1.0
    leg_length: float = 1.0
    fat: float = 0.0
    uptake: Mapping[Tissue, float] = field(default_factory=dict)
    soft: float = 1.0
    kidneys: float = 1.0
    sides: float = 0.07
    slope: tuple[float, float] = (0.038, 0.055)
    scatter: tuple[float, float] = (0.04, 0.30)
    counts: tuple[float, float] = (0.4e6, 6.0e6)

    @property
    def key(self) -> tuple[int, ...]:
        """What a seed gains of the family; nothing for the standard one."""
        return (self.number,) if self.number else ()


STANDARD = Family()

HELD_OUT = Family(
    name="held-out",
    number=1,
    height=1.04,
    girth=1.03,
    chest=1.05,
    pelvis=0.95,
    leg_length=1.03,
    fat=0.35,
    uptake={
        Tissue.SHOULDER: 1.5,
        Tissue.SCAPULA: 1.35,
        Tissue.ISCHIUM: 1.4,
        Tissue.HIP: 1.4,
        Tissue.KNEE: 1.5,
        Tissue.JOINT: 1.5,
        Tissue.VAULT: 0.75,
        Tissue.MANDIBLE: 1.3,
        Tissue.STERNUM: 0.8,
        Tissue.POSTERIOR_ILIUM: 1.3,
    },
    soft=1.35,
    kidneys=1.6,
    sides=0.11,
    slope=(0.052, 0.066),
    scatter=(0.24, 0.36),
    counts=(0.3e6, 1.6e6),
)

FAMILIES: dict[str, Family] = {family.name: family for family in (STANDARD, HELD_OUT)}
