"""The thoracic window of a whole-body scan, in the three steps of Lin et al. 2022, section 2.1.

1. The body: what stands above the air, both views over one another, largest component.
2. The upper body: from the vertex down to the crotch, where the legs part.
3. The shoulders: going down from the neck, the narrowest place, the body's width grows fastest where the shoulders
   are, which is where the first derivative of the smoothed row profile is highest and the second is zero. Of the
   places where it does so, the one is taken that lies right from the vertex and from the crotch. The window is 256
   rows from a little above the shoulders and 256 columns about the midline, cut and never resampled.

Raised arms hide the vertex, a frame that ends early the crotch; the other cue is left then, and the confidence falls
with what is missing and with what disagrees. Lengths are those of adults of 1.45 to 2 m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.prepare.aggregate import Window, binned_pair, binning_of
from bonescan.prepare.normalise import body_mask, skeletal_reference
from bonescan.study import FloatImage, Study

__all__ = ["EDGE_PX", "Window", "thoracic_window"]

EDGE_PX = 256
"""Rows and columns of the window, in network pixels of about 2.3 mm."""

USUAL_MM = 2.3
"""Pixel size that lengths are taken with where a file states none. For the search only: nothing is measured by it."""

SURE = 0.5
"""Confidence below which a window comes with a note."""

_ABOVE_SHOULDERS_MM = 70.0
_THORAX_MM = 430.0
_BODY_LEVEL = 0.12
_HOTTEST = 1.5
_CROTCH_BELOW_VERTEX_MM = (600.0, 1350.0)
_LEAST_FALL = 0.25
_LEAST_SCORE = 0.02
_AT_EDGE_MM = 10.0

Profile = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Distance:
    """A length of the body over adults, mm: its mean and its spread."""

    mean: float
    spread: float

    def likelihood(self, length: Profile) -> Profile:
        """1 at the mean, falling off as a bell."""
        return np.asarray(np.exp(-0.5 * ((length - self.mean) / self.spread) ** 2))


_VERTEX_TO_SHOULDERS = _Distance(255.0, 45.0)
_SHOULDERS_TO_CROTCH = _Distance(600.0, 65.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Profiles:
    """What the rows of a scan say; lengths in rows of `row_mm`.

    midline: column of the body's middle. widening: growth of the body's width about it, columns a row.
    level: mean uptake within 2 cm of the midline, in references.
    """

    row_mm: float
    midline: Profile
    widening: Profile
    level: Profile

    @property
    def rows(self) -> int:
        return len(self.midline)


def thoracic_window(study: Study) -> Window:
    """Find the rows of clavicles, scapulae, ribs and sternum, for both views at once.

    Returns 256 x 256 pixels (all there are, in a smaller frame; twice as many along each edge of a matrix twice as
    fine), with a confidence, and a note where that is low. An empty scan gives the uppermost rows and confidence 0.
    """
    binning = binning_of(study)
    edge = round(EDGE_PX * binning)
    pair = binned_pair(study)
    row_mm = (study.spacing.row_mm if study.spacing is not None else USUAL_MM / binning) * binning
    if pair.shape[1] <= EDGE_PX:
        return _framed(study, slice(0, study.shape[0]), None, 1.0)
    body = _body(pair)
    if not body.any():
        return _framed(study, slice(0, min(edge, study.shape[0])), None, 0.0)
    profiles = _profiles(body, row_mm)
    shoulders, confidence = _shoulders(profiles)
    above = np.clip(EDGE_PX * row_mm - _THORAX_MM, 20.0, _ABOVE_SHOULDERS_MM) / row_mm
    first = int(np.clip(round(shoulders - above), 0, pair.shape[1] - EDGE_PX))
    middle = float(profiles.midline[first : first + EDGE_PX].mean()) * binning
    first = round(first * binning)
    rows = slice(first, min(first + edge, study.shape[0]))
    return _framed(study, rows, middle, confidence)


def _framed(study: Study, rows: slice, middle: float | None, confidence: float) -> Window:
    """Add the columns about the midline, and the note."""
    width = min(round(EDGE_PX * binning_of(study)), study.shape[1])
    middle = study.shape[1] / 2 if middle is None else middle
    left = int(np.clip(round(middle - width / 2), 0, study.shape[1] - width))
    note = None
    if confidence < SURE:
        note = (
            f"the thorax was not found with confidence ({confidence:.2f}): rows {rows.start}:{rows.stop} were taken, "
            "check them and give the window where they are wrong"
        )
    return Window(rows, slice(left, left + width), confidence, note)


def _body(pair: FloatImage) -> FloatImage:
    """Uptake of the body in references, both views averaged, smoothed; bladder and injection site cut off; air is 0."""
    counts = np.maximum(pair, 0).sum(axis=0)
    reference = skeletal_reference(counts[None])
    smooth = np.minimum(ndimage.gaussian_filter(counts, 1.5) / np.float32(reference), np.float32(_HOTTEST))
    return np.where(body_mask(counts), smooth, np.float32(0))


def _profiles(body: FloatImage, row_mm: float) -> _Profiles:
    midline = _midline(body, row_mm)
    centre = np.clip(np.rint(midline).astype(np.int64), 0, body.shape[1] - 1)
    width = _width_about(body, centre)
    sums = np.pad(np.cumsum(body, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    half = max(1, round(20 / row_mm))
    left, right = np.maximum(centre - half, 0), np.minimum(centre + half + 1, body.shape[1])
    rows = np.arange(len(body))
    middle = (sums[rows, right] - sums[rows, left]) / (right - left)
    return _Profiles(
        row_mm=row_mm,
        midline=midline,
        widening=ndimage.gaussian_filter1d(width, 12 / row_mm, order=1, mode="nearest"),
        level=middle,
    )


def _midline(body: FloatImage, row_mm: float) -> Profile:
    """Column of the body's middle in each row: the centroid of what lies near it, smoothed over 15 cm."""
    cols = np.arange(body.shape[1], dtype=np.float64)
    weight = np.sqrt(body, dtype=np.float64)
    middle = float((weight * cols).sum() / weight.sum())
    weight *= np.abs(cols - middle) < 130 / row_mm
    over = ndimage.gaussian_filter1d(weight @ cols, 60 / row_mm, mode="nearest")
    under = ndimage.gaussian_filter1d(weight.sum(axis=1), 60 / row_mm, mode="nearest")
    return np.asarray(np.where(under > 1e-3, over / np.maximum(under, 1e-3), middle))


def _width_about(body: FloatImage, centre: NDArray[np.int64]) -> Profile:
    """Columns of the run of body about the midline in each row; gaps of up to four columns are closed."""
    inside = np.pad(body > _BODY_LEVEL, ((0, 0), (4, 4)))
    outside = ~ndimage.binary_closing(inside, np.ones((1, 5), dtype=np.bool_))[:, 4:-4]
    cols = np.arange(body.shape[1])[None, :]
    left = np.where(outside & (cols <= centre[:, None]), cols, -1).max(axis=1)
    right = np.where(outside & (cols >= centre[:, None]), cols, body.shape[1]).min(axis=1)
    return np.asarray(np.maximum(right - left - 1, 0), dtype=np.float64)


def _shoulders(profiles: _Profiles) -> tuple[float, float]:
    """The row of the shoulders, and how sure it is, 0..1."""
    rows = np.arange(profiles.rows, dtype=np.float64)
    vertex, crotches = _vertex(profiles), _crotches(profiles)
    by_vertex = by_crotch = np.ones_like(rows)
    if vertex is not None:
        by_vertex = _VERTEX_TO_SHOULDERS.likelihood((rows - vertex) * profiles.row_mm)
    if crotches:
        each = [share * _SHOULDERS_TO_CROTCH.likelihood((row - rows) * profiles.row_mm) for row, share in crotches]
        by_crotch = np.max(each, axis=0)
    # Raised arms put the vertex too high, so that it advises and the crotch decides.
    score = np.maximum(profiles.widening, 0) * (0.1 + by_vertex) * by_crotch
    found = int(score.argmax())
    if crotches and score[found] < _LEAST_SCORE:
        # No shoulders in the frame: it begins below them, or the arms hide them.
        strongest = max(crotches, key=lambda crotch: crotch[1])[0]
        return strongest - _SHOULDERS_TO_CROTCH.mean / profiles.row_mm, 0.2
    steep = min(1.0, float(profiles.widening[found]))
    vertex_agrees = 0.3 if vertex is None else max(0.3, float(by_vertex[found]))
    crotch_agrees = float(by_crotch[found]) if crotches else 0.3
    return float(found), float(np.clip(steep * np.sqrt(vertex_agrees * crotch_agrees), 0.0, 1.0))


def _vertex(profiles: _Profiles) -> float | None:
    """First row from which the midline is body for 3 cm; None where the body begins at the frame's edge."""
    length = max(1, round(30 / profiles.row_mm))
    inside = (profiles.level > _BODY_LEVEL).astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(inside)])
    steady = (sums[length:] - sums[:-length]) >= 0.85 * length
    begins = np.flatnonzero(steady & (inside[: len(steady)] > 0))
    if begins.size == 0 or begins[0] * profiles.row_mm < _AT_EDGE_MM:
        return None
    return float(begins[0])


def _crotches(profiles: _Profiles) -> list[tuple[float, float]]:
    """Rows where the midline's uptake falls, from 12 cm above to 12 cm below, and each fall's share of the deepest.

    Several, as a urine bag between the knees or the end of a full bladder also is one; none where it hardly falls.
    """
    length = round(120 / profiles.row_mm)
    level = ndimage.gaussian_filter1d(np.sqrt(profiles.level), 10 / profiles.row_mm, mode="nearest")
    begins = np.flatnonzero(profiles.level > _BODY_LEVEL)
    if begins.size == 0:
        return []
    nearest, farthest = (begins[0] + edge / profiles.row_mm for edge in _CROTCH_BELOW_VERTEX_MM)
    if begins[0] * profiles.row_mm < _AT_EDGE_MM:
        nearest = 200 / profiles.row_mm
    sums = np.concatenate([[0.0], np.cumsum(level)])
    rows = np.arange(length, len(level) - length)
    rows = rows[(rows >= nearest) & (rows <= farthest)]
    if rows.size == 0:
        return []
    fall = (2 * sums[rows] - sums[rows - length] - sums[rows + length]) / length
    deepest = (fall >= _LEAST_FALL) & (
        fall == ndimage.maximum_filter1d(fall, 2 * max(1, round(40 / profiles.row_mm)) + 1)
    )
    return [(float(row), float(share)) for row, share in zip(rows[deepest], fall[deepest] / fall.max(), strict=True)]
