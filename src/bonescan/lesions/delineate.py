"""Probability to lesions: a mask and a closed curve for each, in frame coordinates.

A lesion is 8-connected, the background is 4-connected, and no lesion has a hole, so that one closed curve holds
exactly the pixels of one lesion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.errors import OptionError
from bonescan.lesions.contours import contour_of, holes, mask_of, open_holes
from bonescan.prediction import Prediction, RegionMap
from bonescan.study import IS_BONE, REGIONS, TRACER_REGIONS, Candidate, FloatImage, Mask, Region, View, read_only

__all__ = ["Outline", "Thresholds", "contour_of", "delineate", "mask_of"]

EXCLUDED_REGIONS = TRACER_REGIONS
"""Tracer that is not in bone."""

OPERATING_POINTS = ("sensitive", "balanced", "specific")
"""Names of the thresholds that a bundle may hold, from the most false positives per scan to the fewest."""

LEAST_PEAK = 0.1
"""A candidate holds at least one pixel of this probability."""
MOST_CANDIDATES = 200

_MOST_SMOOTHING_PX = 20.0
_Boxed = tuple[tuple[slice, slice], Mask]
_REACH_PX = 16
"""How far from a lesion its bone may be seen: a vertebra and more."""
_MOST_ASTRAY = 0.25
"""A mistake of the map reaches beyond the lesion by less than this share of it."""

_EIGHT = np.ones((3, 3), dtype=np.bool_)
_IS_EXCLUDED = np.array([region in EXCLUDED_REGIONS for region in REGIONS])


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How a probability map becomes lesions; fitted on validation data and kept in the bundle."""

    low: float = 0.4
    """Pixels of at least this probability belong to a lesion (hysteresis, lower level), in (0, high]."""
    high: float = 0.6
    """A lesion holds at least one pixel of this probability (hysteresis, upper level), in [low, 1]."""
    min_area_px: int = 4
    """Smaller pieces are no lesions; pixels, at least 1."""
    split_prominence: float = 0.12
    """Touching lesions are split where the smoothed probability between two peaks falls by at least this much below
    the lower one; in (0, 1], 1 = never."""
    split_smoothing_px: float = 1.5
    """Standard deviation of the Gaussian that smooths the probability before splitting; pixels, at least 0."""
    max_hole_px: int = 48
    """Holes of up to this many pixels are filled; a ring around a larger one is cut open at its thinnest place."""
    excluded_share: float = 0.5
    """A piece is no lesion when more than this share of it lies on kidney, bladder or other tracer; in [0, 1]."""

    def __post_init__(self) -> None:
        if not 0.0 < self.low <= self.high <= 1.0:
            raise OptionError(f"thresholds must be 0 < low <= high <= 1, not low = {self.low} and high = {self.high}")
        if not self.min_area_px >= 1:
            raise OptionError(f"the smallest lesion has at least 1 pixel, not min_area_px = {self.min_area_px}")
        if not 0.0 < self.split_prominence <= 1.0:
            raise OptionError(f"split_prominence must be above 0 and at most 1, not {self.split_prominence}")
        if not 0.0 <= self.split_smoothing_px <= _MOST_SMOOTHING_PX:
            raise OptionError(
                f"split_smoothing_px must be between 0 and {_MOST_SMOOTHING_PX:g} pixels, not {self.split_smoothing_px}"
            )
        if not self.max_hole_px >= 0:
            raise OptionError(f"max_hole_px must be at least 0, not {self.max_hole_px}")
        if not 0.0 <= self.excluded_share <= 1.0:
            raise OptionError(f"excluded_share must be between 0 and 1, not {self.excluded_share}")

    def at_binning(self, binning: float) -> Thresholds:
        """These thresholds for frames of `binning` x `binning` pixels to each pixel that they were fitted on.

        Lengths and areas in pixels change, so that they stay the same in millimetres (`prepare.aggregate.bin_counts`).
        """
        return replace(
            self,
            min_area_px=max(round(self.min_area_px * binning**2), 1),
            split_smoothing_px=min(self.split_smoothing_px * binning, _MOST_SMOOTHING_PX),
            max_hole_px=round(self.max_hole_px * binning**2),
        )

    def to_dict(self) -> dict[str, float | int]:
        """The fields as JSON or TOML holds them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Thresholds:
        """Build from `to_dict`'s form; fields left out keep their defaults.

        Raises OptionError for an unknown key (naming the nearest known one) and for a value of the wrong kind or range.
        """
        types: dict[str, Any] = {name: type(default) for name, default in cls().to_dict().items()}
        for name, value in values.items():
            if name not in types:
                (nearest,) = get_close_matches(name, types, n=1, cutoff=0.0)
                raise OptionError(f"{name!r} is no threshold: did you mean {nearest!r}?")
            accepted = int if types[name] is int else (int, float)
            if isinstance(value, bool) or not isinstance(value, accepted):
                raise OptionError(f"the threshold {name} is of type {types[name].__name__}, not {value!r}")
        return cls(**{name: types[name](value) for name, value in values.items()})


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """Where one lesion is; not yet measured.

    origin, mask: the (row, col) of the mask's first pixel, and the boolean mask of the bounding box; without holes.
    contour: (n, 2) float64 of (row, col) in the frame, closed: first point = last.
    probability: mean of the model's probability over the mask, 0..1; None where a person drew it and states none.
    region: the bone region that most of the mask lies on, or the nearest one; BACKGROUND where there is no bone at all.
    """

    view: View
    origin: tuple[int, int]
    mask: Mask
    contour: NDArray[np.float64]
    probability: float | None
    region: Region

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", read_only(np.asarray(self.mask, dtype=np.bool_)))
        object.__setattr__(self, "contour", read_only(np.asarray(self.contour, dtype=np.float64)))

    @property
    def window(self) -> tuple[slice, slice]:
        """Where `mask` lies in the frame."""
        (row, col), (rows, cols) = self.origin, self.mask.shape
        return slice(row, row + rows), slice(col, col + cols)


def delineate(prediction: Prediction, thresholds: Thresholds) -> tuple[Outline, ...]:
    """Find the lesions: disjoint, ordered by view (anterior first), then by their first pixel from top to bottom.

    A scan without lesions gives an empty tuple.
    """
    return tuple(
        outline
        for view in View
        if view in prediction.lesion
        for outline in _outlines_of_view(view, prediction.lesion[view], prediction.region[view], thresholds)
    )


def candidates_below(
    prediction: Prediction, thresholds: Thresholds, lesions: Sequence[Outline]
) -> tuple[Candidate, ...]:
    """What would be outlined from a lower peak on and shares no pixel with a lesion; at most `MOST_CANDIDATES`.

    Ordered by their peak, highest first. lesions: what `delineate` gives with these thresholds.
    """
    low = min(thresholds.low, LEAST_PEAK)
    taken = {view: np.zeros(image.shape, dtype=np.bool_) for view, image in prediction.lesion.items()}
    for lesion in lesions:
        taken[lesion.view][lesion.window] |= lesion.mask
    found = []
    for outline in delineate(prediction, replace(thresholds, low=low, high=LEAST_PEAK)):
        if (taken[outline.view][outline.window] & outline.mask).any():
            continue
        inside = prediction.lesion[outline.view][outline.window][outline.mask]
        peak, mean = float(inside.max()), float(inside.mean(dtype=np.float64))
        area = int(outline.mask.sum())
        found.append(Candidate(outline.view, outline.contour, area, mean, peak, outline.region))
    return tuple(sorted(found, key=lambda candidate: -candidate.peak)[:MOST_CANDIDATES])


def outline_of(candidate: Candidate, shape: tuple[int, int]) -> Outline:
    """A candidate as a lesion's outline. shape: (rows, cols) of the frame."""
    mask = mask_of(candidate.contour, shape)
    rows, cols = (slice(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(mask))
    origin = (rows.start, cols.start)
    contour, probability = candidate.contour, candidate.probability
    return Outline(candidate.view, origin, mask[rows, cols], contour, probability, candidate.region)


def _outlines_of_view(view: View, probability: FloatImage, regions: RegionMap, thresholds: Thresholds) -> list[Outline]:
    outlines = []
    for window, mask in _lesion_masks(probability, thresholds):
        under = regions[window][mask]
        if _IS_EXCLUDED[under].mean() > thresholds.excluded_share:
            continue
        origin = (window[0].start, window[1].start)
        outlines.append(
            Outline(
                view=view,
                origin=origin,
                mask=mask,
                contour=contour_of(mask) + np.array(origin, dtype=np.float64),
                probability=float(probability[window][mask].mean(dtype=np.float64)),
                region=region_of(regions, window, mask),
            )
        )
    # A mask's first pixel belongs to no other mask, so that the order is total.
    return sorted(outlines, key=lambda outline: (outline.origin[0], outline.origin[1] + int(outline.mask[0].argmax())))


def _lesion_masks(probability: FloatImage, thresholds: Thresholds) -> list[_Boxed]:
    """The pieces of one map that are large and sure enough, each with its bounding box."""
    if not (probability >= thresholds.high).any():
        return []
    candidates = _fill_holes(probability >= thresholds.low, thresholds.max_hole_px)
    components, _ = ndimage.label(candidates, structure=_EIGHT)
    found = []
    for box, component in _pieces(components):
        sure = component & (probability[box] >= thresholds.high)
        if component.sum() < thresholds.min_area_px or not sure.any():
            continue
        for inner, piece in _split(np.where(component, probability[box], np.float32(0.0)), component, thresholds):
            outer = _shift(box, inner)
            found += [(_shift(outer, part), mask) for part, mask in _without_holes(piece, sure[inner], thresholds)]
    return found


def _shift(box: tuple[slice, slice], part: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, cols = (
        slice(outer.start + inner.start, outer.start + inner.stop) for outer, inner in zip(box, part, strict=True)
    )
    return rows, cols


def _fill_holes(mask: Mask, max_hole_px: int) -> Mask:
    numbers, sizes = holes(mask)
    small = sizes <= max_hole_px
    small[0] = False
    return mask | small[numbers]


def _split(probability: FloatImage, component: Mask, thresholds: Thresholds) -> list[_Boxed]:
    """Divide one component at the valleys between prominent peaks of the smoothed probability; every pixel is kept."""
    whole = [((slice(0, component.shape[0]), slice(0, component.shape[1])), component)]
    if thresholds.split_prominence >= 1.0 or component.sum() < 2 * thresholds.min_area_px:
        return whole
    margin = 1 + round(4 * thresholds.split_smoothing_px)
    # Smoothing lowers a narrow neck between two plateaus as well as a valley: shape counts even where p saturates.
    padded = np.pad(probability.astype(np.float64), margin)
    relief = ndimage.gaussian_filter(padded, thresholds.split_smoothing_px, mode="constant")[
        margin:-margin, margin:-margin
    ]
    peaks = component & (relief >= ndimage.maximum_filter(relief, size=3, mode="constant"))
    if ndimage.label(peaks, structure=_EIGHT)[1] < 2:
        return whole
    basins = _flood(relief, component, probability >= thresholds.high, thresholds)
    return _pieces(basins)


def _pieces(numbers: NDArray[Any]) -> list[_Boxed]:
    """The pixels of each number above 0, within their bounding box."""
    boxes: Sequence[tuple[slice, ...] | None] = ndimage.find_objects(numbers)  # None for a number that is not there
    return [((box[0], box[1]), numbers[box] == number) for number, box in enumerate(boxes, start=1) if box is not None]


@dataclass(slots=True, eq=False)
class _Basin:
    """One peak of the relief and what has been flooded around it."""

    number: int
    peak: float
    area: int = 0
    sure: bool = False
    joined: _Basin | None = None

    def root(self) -> _Basin:
        basin = self
        while basin.joined is not None:
            basin = basin.joined
        return basin

    def stays_apart(self, lower: _Basin, height: float, thresholds: Thresholds) -> bool:
        prominent = lower.peak - height >= thresholds.split_prominence
        large = min(self.area, lower.area) >= thresholds.min_area_px
        return prominent and large and self.sure and lower.sure

    def take(self, lower: _Basin) -> None:
        lower.joined = self
        self.area += lower.area
        self.sure = self.sure or lower.sure


def _flood(relief: NDArray[np.float64], component: Mask, sure: Mask, thresholds: Thresholds) -> NDArray[np.int64]:
    """Watershed by persistence: flood from the peaks downwards; basins that meet stay apart only if both deserve it.

    Basins that meet are joined unless the lower peak stands `split_prominence` above the meeting place and both hold a
    sure pixel and `min_area_px` pixels by then. Ties go by position, so that the result depends on nothing else.
    Returns the basins' numbers (1.., 0 outside `component`).
    """
    width = component.shape[1] + 2
    steps = (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1)
    heights = relief[component]
    order = np.argsort(-heights, kind="stable")
    position = np.flatnonzero(np.pad(component, 1))[order]
    ranks = np.full((component.shape[0] + 2) * width, position.size, dtype=np.int64)
    ranks[position] = np.arange(position.size)
    rank = ranks.tolist()
    basins: list[_Basin] = []  # of every pixel, by rank
    peaks = 0
    pixels = zip(position.tolist(), heights[order].tolist(), sure[component][order].tolist(), strict=True)
    for number, (here, height, is_sure) in enumerate(pixels):
        flooded = [there for step in steps if (there := rank[here + step]) < number]
        if flooded:
            _meet({basins[there] for there in flooded}, height, thresholds)
            basin = basins[min(flooded)].root()  # the steepest way up
        else:
            peaks += 1
            basin = _Basin(peaks, height)
        basin.area += 1
        basin.sure = basin.sure or is_sure
        basins.append(basin)
    numbers = np.zeros_like(ranks)
    numbers[position] = [basin.root().number for basin in basins]
    return numbers.reshape(-1, width)[1:-1, 1:-1]


def _meet(touching: set[_Basin], height: float, thresholds: Thresholds) -> None:
    """Join the basins that meet at `height`, except those that stay apart."""
    if len(touching) < 2:
        return
    apart: list[_Basin] = []
    for lower in sorted({basin.root() for basin in touching}, key=lambda basin: basin.number):  # highest peak first
        higher = next((basin for basin in apart if not basin.stays_apart(lower, height, thresholds)), None)
        if higher is None:
            apart.append(lower)
        else:
            higher.take(lower)


def _without_holes(mask: Mask, sure: Mask, thresholds: Thresholds) -> list[_Boxed]:
    """Cut a piece open at its holes, and keep what is large and sure enough, each with its box."""
    pieces, _ = ndimage.label(open_holes(mask), structure=_EIGHT)
    return [
        (box, piece)
        for box, piece in _pieces(pieces)
        if piece.sum() >= thresholds.min_area_px and (piece & sure[box]).any()
    ]


def region_of(regions: RegionMap, window: tuple[slice, slice], mask: Mask) -> Region:
    """The most frequent bone region under the mask, else the nearest one, else BACKGROUND; ties go by region order.

    A region that the map shows nowhere else at that height, but at other heights, is a mistake of the map, as a rib in
    a thigh; the most frequent one around the mask takes its place.
    """
    under = regions[window][mask]
    bone = under[IS_BONE[under]]
    if bone.size:
        found = int(np.bincount(bone).argmax())
        if _is_out_of_place(regions, window, mask, found):
            found = _around(regions, window, mask, found)
        return REGIONS[found]
    rows, cols = np.nonzero(IS_BONE[regions])
    if not rows.size:
        return Region.BACKGROUND
    own_rows, own_cols = np.nonzero(mask)
    row, col = own_rows.mean() + window[0].start, own_cols.mean() + window[1].start
    nearest = int(((rows - row) ** 2 + (cols - col) ** 2).argmin())
    return REGIONS[int(regions[rows[nearest], cols[nearest]])]


def _is_out_of_place(regions: RegionMap, window: tuple[slice, slice], mask: Mask, region: int) -> bool:
    """Whether the map shows more of the region outside the mask than under it, and hardly any of that at its height.

    The other bone of a pair is at the same height, so a bone that a lesion covers completely is in its place.
    """
    elsewhere = regions == region
    under = int((elsewhere[window] & mask).sum())
    elsewhere[window] &= ~mask
    near = elsewhere[max(0, window[0].start - _REACH_PX) : window[0].stop + _REACH_PX].sum()
    return bool(elsewhere.sum() > under and near < _MOST_ASTRAY * under)


def _around(regions: RegionMap, window: tuple[slice, slice], mask: Mask, region: int) -> int:
    """The most frequent other bone region within reach of the mask; `region` where there is none."""
    rows, cols = (slice(max(0, one.start - _REACH_PX), one.stop + _REACH_PX) for one in window)
    near = regions[rows, cols]
    near = near[IS_BONE[near] & (near != region)]
    return int(np.bincount(near).argmax()) if near.size else region
