"""Compare a predicted with a true mask: pixel by pixel, and lesion by lesion in each view.

Pixels: Eq. 10-12 of Lin et al. 2022. Figures on images where one of the two masks is empty (images without lesions are
common):

- nothing predicted and nothing true: DSC is 1, CPA and Recall are undefined (None) and not averaged;
- something predicted and nothing true: DSC and CPA are 0, Recall is undefined;
- nothing predicted and something true: DSC and Recall are 0, CPA is undefined.

Lesions: a predicted lesion touches a true one when it overlaps it, or has its centroid within 4 pixels of the true
lesion's centroid. Predicted and true lesions that touch are paired one to one, in as many pairs as possible (a maximum
matching); the true lesions in these pairs are found. A predicted lesion that touches no true one is a false positive. A
predicted lesion that touches only true lesions found by others counts neither as a find nor as a false positive, as is
usual for free-response curves (Bandos et al., Biometrics 65:247, 2009).

Without a true lesion sensitivity is undefined (None), and without a predicted one precision is. F1 is undefined only
where there is neither, and 0 where there is only one of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.study import Mask

TOLERANCE_PX = 4.0
"""Largest distance of centroids, in pixels, at which a lesion is found without overlap."""


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


def count_pixels(predicted: NDArray[Any], truth: NDArray[Any], ignored: NDArray[Any] | None = None) -> PixelCounts:
    """Compare two masks or label pictures of one shape; every value but 0 is lesion.

    ignored: pixels of unknown status, which count neither way; where the truth marks one of them, it is lesion. None:
    there are none. Raises ValueError for masks of two shapes.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"the prediction has shape {predicted.shape} and the truth {truth.shape}")
    marked, true = predicted != 0, truth != 0
    if ignored is not None:
        marked &= true | (ignored == 0)
    both = int(np.count_nonzero(marked & true))
    return PixelCounts(both, int(np.count_nonzero(marked)) - both, int(np.count_nonzero(true)) - both)


@dataclass(frozen=True, slots=True)
class LesionCounts:
    """Lesions of one image, or of several added up.

    true, found: true lesions, and how many of them are found.
    predicted, correct: predicted lesions, and how many of them touch a true one.
    """

    true: int = 0
    found: int = 0
    predicted: int = 0
    correct: int = 0

    def __add__(self, other: LesionCounts) -> LesionCounts:
        return LesionCounts(
            self.true + other.true,
            self.found + other.found,
            self.predicted + other.predicted,
            self.correct + other.correct,
        )

    @property
    def false_positives(self) -> int:
        """Predicted lesions that touch no true lesion."""
        return self.predicted - self.correct

    @property
    def sensitivity(self) -> float | None:
        """Share of the true lesions that are found; None without a true one."""
        return None if self.true == 0 else self.found / self.true

    @property
    def precision(self) -> float | None:
        """Share of the predicted lesions that are correct; None without a predicted one."""
        return None if self.predicted == 0 else self.correct / self.predicted

    @property
    def f1(self) -> float | None:
        """Harmonic mean of sensitivity and precision; None with neither true nor predicted lesions."""
        if self.true == 0 and self.predicted == 0:
            return None
        sensitivity, precision = self.sensitivity or 0.0, self.precision or 0.0
        both = sensitivity + precision
        return 0.0 if both == 0 else 2 * sensitivity * precision / both


@dataclass(frozen=True, slots=True, eq=False)
class LesionMatch:
    """Which predicted lesion touches which true one, in one image.

    true_ids, predicted_ids: values in the label pictures, ascending. true_px, predicted_px: their areas, pixels.
    touches: boolean (predicted, true). scores: of the predicted lesions, 0..1; 1 where none are given.
    """

    true_ids: NDArray[np.int64]
    predicted_ids: NDArray[np.int64]
    true_px: NDArray[np.int64]
    predicted_px: NDArray[np.int64]
    touches: Mask
    scores: NDArray[np.float64]

    @property
    def found(self) -> Mask:
        """Whether each true lesion is found."""
        return _found(self.touches)

    def counts(self, threshold: float = 0.0) -> LesionCounts:
        """Count lesions, with only the predicted ones whose score is at least `threshold`."""
        kept = self.touches[self.scores >= threshold]
        return LesionCounts(
            true=len(self.true_ids),
            found=int(_found(kept).sum()),
            predicted=len(kept),
            correct=int(kept.any(axis=1).sum()),
        )


def _found(touches: Mask) -> Mask:
    """Which true lesions are found by a maximum matching of predicted and true ones."""
    found = np.zeros(touches.shape[1], dtype=np.bool_)
    if touches.any():
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_bipartite_matching

        found[:] = maximum_bipartite_matching(csr_array(touches), perm_type="row") >= 0
    return found


@dataclass(frozen=True, slots=True)
class FrocPoint:
    """Operating point of a free-response curve: score threshold, sensitivity, and false positives per scan."""

    threshold: float
    sensitivity: float | None
    false_positives_per_scan: float


def match_lesions(
    predicted: NDArray[Any],
    truth: NDArray[Any],
    scores: Mapping[int, float] | None = None,
    tolerance_px: float = TOLERANCE_PX,
) -> LesionMatch:
    """Match the lesions of two label pictures (rows, cols) of integers, 0 = background.

    scores: the predicted lesions' scores by their value in the picture. Raises ValueError for pictures of two shapes.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"the prediction has shape {predicted.shape} and the truth {truth.shape}")
    marked = np.flatnonzero((predicted != 0) | (truth != 0))
    places = np.stack(np.divmod(marked, predicted.shape[1]), axis=1)
    ours, theirs = predicted.ravel()[marked].astype(np.int64), truth.ravel()[marked].astype(np.int64)
    predicted_ids, predicted_px, predicted_centres = _regions(ours, places)
    true_ids, true_px, true_centres = _regions(theirs, places)
    apart = predicted_centres[:, None, :] - true_centres[None, :, :]
    touches: Mask = np.hypot(apart[..., 0], apart[..., 1]) <= tolerance_px
    both = (ours != 0) & (theirs != 0)
    touches[np.searchsorted(predicted_ids, ours[both]), np.searchsorted(true_ids, theirs[both])] = True
    stated = scores or {}
    return LesionMatch(
        true_ids=true_ids,
        predicted_ids=predicted_ids,
        true_px=true_px,
        predicted_px=predicted_px,
        touches=touches,
        scores=np.array([stated.get(int(number), 1.0) for number in predicted_ids], dtype=np.float64),
    )


def match_beside_ignored(
    predicted: NDArray[Any],
    truth: NDArray[Any],
    ignored: NDArray[Any] | None,
    scores: Mapping[int, float] | None = None,
) -> tuple[LesionMatch, NDArray[Any], NDArray[np.int64]]:
    """As `match_lesions`, without the predicted lesions that touch no true one and lie on ignored pixels.

    ignored: mask of pixels of unknown status; None: there are none. Returns the match, the prediction without the
    lesions that were left out, and their numbers.
    """
    match = match_lesions(predicted, truth, scores)
    if ignored is None:
        return match, predicted, np.zeros(0, dtype=np.int64)
    alone = match.predicted_ids[~match.touches.any(axis=1)]
    doubtful = alone[np.isin(alone, predicted[ignored != 0])]
    if doubtful.size:
        predicted = np.where(np.isin(predicted, doubtful), 0, predicted)
        match = match_lesions(predicted, truth, scores)
    return match, predicted, doubtful


def froc(matches: Sequence[LesionMatch], scans: int, thresholds: Sequence[float] | None = None) -> list[FrocPoint]:
    """Free-response curve over thresholds on the predicted lesions' scores, ascending.

    matches: of all images. scans: how many scans they come from (two images each, as a rule), at least 1.
    thresholds: None: every distinct score, which gives the exact curve.
    """
    # The counts of an image change only at its own scores.
    gains = np.concatenate([np.zeros((0, 3)), *(_gains(match) for match in matches)])
    gains = gains[np.argsort(gains[:, 0])]
    totals = np.concatenate([gains[::-1, 1:].cumsum(axis=0)[::-1], np.zeros((1, 2))])
    levels = np.unique(gains[:, 0]) if thresholds is None else np.sort(np.asarray(thresholds, dtype=np.float64))
    true = sum(len(match.true_ids) for match in matches)
    return [
        FrocPoint(level, found / true if true else None, false / scans)
        for level, (found, false) in zip(
            levels.tolist(), totals[np.searchsorted(gains[:, 0], levels)].tolist(), strict=True
        )
    ]


def thinned(points: Sequence[FrocPoint], most: int = 40) -> list[FrocPoint]:
    """At most `most` points of an ascending curve, at even distances along it; both ends and those at jumps are kept.

    Distances are in sensitivity and in the logarithm of 1 + false positives per scan, each relative to its largest
    value: low rates of false positives, which matter most, keep most of the points.
    """
    if len(points) <= most:
        return list(points)
    found = np.array([point.sensitivity or 0.0 for point in points])
    rates = np.log1p([point.false_positives_per_scan for point in points])
    along = -(found / (found.max() or 1.0) + rates / (rates.max() or 1.0))
    between = np.searchsorted(along, np.linspace(along[0], along[-1], most // 2 + 1)[1:-1])
    return [points[index] for index in np.unique([0, *np.maximum(between - 1, 0), *between, len(points) - 1])]


def sensitivity_at(points: Sequence[FrocPoint], false_positives_per_scan: float) -> float | None:
    """Return the best sensitivity at no more than so many false positives per scan; None without such a point."""
    allowed = [
        point.sensitivity
        for point in points
        if point.sensitivity is not None and point.false_positives_per_scan <= false_positives_per_scan
    ]
    return max(allowed, default=None)


def _gains(match: LesionMatch) -> NDArray[np.float64]:
    """(n, 3): each distinct score, with the found lesions and the false positives that it adds to the higher ones."""
    levels = np.unique(match.scores)[::-1]
    counts = [match.counts(level) for level in levels.tolist()]
    totals = np.array([(one.found, one.false_positives) for one in counts], dtype=np.float64).reshape(-1, 2)
    return np.column_stack([levels, np.diff(totals, axis=0, prepend=0.0)])


def _regions(
    labels: NDArray[np.int64], places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The values other than 0, with the area and centroid (row, col) of each, from pixels' values and places (n, 2)."""
    inside = labels != 0
    ids, index, areas = np.unique(labels[inside], return_inverse=True, return_counts=True)
    sums = [np.bincount(index, weights=places[inside, axis], minlength=len(ids)) for axis in (0, 1)]
    return ids, areas.astype(np.int64), np.stack(sums, axis=1) / areas[:, None]
