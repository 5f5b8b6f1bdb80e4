"""What a model says of a study, pixel by pixel, in frame coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonescan.study import LEVELS, REGIONS, FloatImage, View, read_only

RegionMap = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Maps of the frame's own shape (rows, cols), each view as acquired (the posterior not mirrored).

    lesion: the probability of lesion, float32 in 0..1; 0 outside the window that was looked at.
    region: what each pixel mainly shows: an index into `study.REGIONS` (uint8); 0 outside the window.
    benign: the probability of benign uptake, as `lesion`; with it, it comes to 1 at most. None: the model knows none.
    level: which vertebra or rib each pixel mainly shows: an index into `study.LEVELS` (uint8); None as above.
    All hold the views that the study has.
    """

    lesion: Mapping[View, FloatImage]
    region: Mapping[View, RegionMap]
    benign: Mapping[View, FloatImage] | None = None
    level: Mapping[View, RegionMap] | None = None

    def __post_init__(self) -> None:
        for name, maps in (("region", self.region), ("benign", self.benign), ("level", self.level)):
            if maps is None:
                continue
            if self.lesion.keys() != maps.keys():
                raise ValueError(f"a prediction has a probability map and a {name} map for the same views")
            for view, probability in self.lesion.items():
                if probability.ndim != 2 or probability.shape != maps[view].shape:
                    raise ValueError(
                        f"the {view} maps are 2-D and of one shape, not {probability.shape} and {maps[view].shape}"
                    )
        object.__setattr__(self, "lesion", _probabilities(self.lesion))
        object.__setattr__(self, "region", _numbers(self.region, "region", len(REGIONS)))
        object.__setattr__(self, "benign", None if self.benign is None else _probabilities(self.benign))
        object.__setattr__(self, "level", None if self.level is None else _numbers(self.level, "level", len(LEVELS)))


def _probabilities(maps: Mapping[View, FloatImage]) -> dict[View, FloatImage]:
    for view, image in maps.items():
        # The negation refuses NaN too, which would else pass for a scan without lesions.
        if image.size and not (image.min() >= 0.0 and image.max() <= 1.0):
            raise ValueError(f"a probability lies in 0..1; the {view} map holds other values")
    return {view: read_only(np.asarray(image, dtype=np.float32)) for view, image in maps.items()}


def _numbers(maps: Mapping[View, RegionMap], name: str, limit: int) -> dict[View, RegionMap]:
    for view, image in maps.items():
        if image.size and image.max() >= limit:
            raise ValueError(f"a {name} map holds indices into {name.upper()}S; the {view} map holds others")
    return {view: read_only(np.asarray(image, dtype=np.uint8)) for view, image in maps.items()}
