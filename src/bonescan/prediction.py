"""What a model says of a study, pixel by pixel, in frame coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonescan.study import REGIONS, FloatImage, View, read_only

RegionMap = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Maps of the frame's own shape (rows, cols), each view as acquired (the posterior not mirrored).

    lesion: the probability of lesion, float32 in 0..1; 0 outside the window that was looked at.
    region: what each pixel mainly shows: an index into `study.REGIONS` (uint8); 0 outside the window.
    Both hold the views that the study has.
    """

    lesion: Mapping[View, FloatImage]
    region: Mapping[View, RegionMap]

    def __post_init__(self) -> None:
        if self.lesion.keys() != self.region.keys():
            raise ValueError("a prediction has a probability map and a region map for the same views")
        for view, probability in self.lesion.items():
            if probability.ndim != 2 or probability.shape != self.region[view].shape:
                raise ValueError(
                    f"the {view} maps are 2-D and of one shape, not {probability.shape} and {self.region[view].shape}"
                )
            # The negation refuses NaN too, which would else pass for a scan without lesions.
            if probability.size and not (probability.min() >= 0.0 and probability.max() <= 1.0):
                raise ValueError(f"a probability lies in 0..1; the {view} map holds other values")
            if self.region[view].size and self.region[view].max() >= len(REGIONS):
                raise ValueError(f"a region map holds indices into REGIONS; the {view} map holds others")
        lesion = {view: read_only(np.asarray(image, dtype=np.float32)) for view, image in self.lesion.items()}
        region = {view: read_only(np.asarray(image, dtype=np.uint8)) for view, image in self.region.items()}
        object.__setattr__(self, "lesion", lesion)
        object.__setattr__(self, "region", region)
