"""Overlap of a predicted and a true mask, pixel by pixel: Eq. 10-12 of Lin et al. 2022.

Figures on images where one of the two masks is empty (images without lesions are common):

- nothing predicted and nothing true: DSC is 1, CPA and Recall are undefined (None) and not averaged;
- something predicted and nothing true: DSC and CPA are 0, Recall is undefined;
- nothing predicted and something true: DSC and Recall are 0, CPA is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Pixels of one image, or of several added up."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def predicted(self) -> int:
        """Pixels that the prediction marks."""
        return self.true_positive + self.false_positive

    @property
    def true(self) -> int:
        """Pixels that the truth marks."""
        return self.true_positive + self.false_negative

    @property
    def dsc(self) -> float:
        """Dice similarity, 2TP / (2TP + FP + FN), 0..1; 1 where both masks are empty. Eq. 10."""
        both = self.predicted + self.true
        return 1.0 if both == 0 else 2 * self.true_positive / both

    @property
    def cpa(self) -> float | None:
        """Class pixel accuracy, which is precision, TP / (TP + FP); None where nothing is predicted. Eq. 11."""
        return None if self.predicted == 0 else self.true_positive / self.predicted

    @property
    def recall(self) -> float | None:
        """TP / (TP + FN); None where nothing is true. Eq. 12."""
        return None if self.true == 0 else self.true_positive / self.true


def count_pixels(predicted: NDArray[Any], truth: NDArray[Any]) -> PixelCounts:
    """Compare two masks or label pictures of one shape; every value but 0 is lesion.

    Raises ValueError for masks of two shapes.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"the prediction has shape {predicted.shape} and the truth {truth.shape}")
    marked, true = predicted != 0, truth != 0
    both = int(np.count_nonzero(marked & true))
    return PixelCounts(both, int(np.count_nonzero(marked)) - both, int(np.count_nonzero(true)) - both)
