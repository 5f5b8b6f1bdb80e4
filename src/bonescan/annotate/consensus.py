"""One truth from several readers: Lin et al. 2022, section 2.2.

Lesions of different readers form one place when they share a pixel, directly or through other lesions. Where one reader
drew two curves and another reader drew one curve around both, the two are compared, and accepted or returned, as one
area. Lesions that do not touch also form one place when their centroids are near and no reader drew both.

A place is accepted when every reader drew it and the area difference (Eq. 2) of every pair of readers is at most the
tolerance; then one reader's curves, drawn at random, are the truth. All other places go back to the readers. A view in
which nobody drew anything is agreed: no lesion.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bonescan.study import LabelImage, Mask, read_only

TOLERANCE = 0.05
"""The area difference up to which the paper accepts a lesion."""

NEAR_PX = 4.0
"""Largest distance of centroids, in pixels, at which lesions that do not touch form one place (`evaluate.matching`)."""

FEWEST_READERS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Correspondence:
    """What the readers drew in one place of a view.

    numbers: each reader's lesion numbers there, empty for a reader who drew nothing. area_px: the area that each reader
    drew, pixels. differences: the area difference of each pair of readers, 0..1, in the readers' sorted order; 1 where
    one of the two drew nothing, 0 where neither did. centre: (row, col), centroid of all drawn pixels. pixels: flat
    indices of all drawn pixels, ascending.
    """

    numbers: Mapping[str, tuple[int, ...]]
    area_px: Mapping[str, int]
    differences: Mapping[tuple[str, str], float]
    centre: tuple[float, float]
    pixels: NDArray[np.int64]

    @property
    def drawn_by(self) -> tuple[str, ...]:
        """The readers who drew something, sorted."""
        return tuple(reader for reader, numbers in self.numbers.items() if numbers)

    @property
    def complete(self) -> bool:
        """Whether every reader drew something."""
        return all(self.numbers.values())

    @property
    def largest_difference(self) -> float:
        """The largest area difference of any pair of readers."""
        return max(self.differences.values())

    def accepted(self, tolerance: float) -> bool:
        """Whether every reader drew it and no pair differs by more than the tolerance: the rule of the paper."""
        return self.complete and self.largest_difference <= tolerance

    @property
    def why(self) -> str:
        """Why it goes back to the readers, in words."""
        return "differs" if self.complete else f"only {', '.join(self.drawn_by)} drew it"


@dataclass(frozen=True, slots=True, eq=False)
class Consensus:
    """What the readers of one view agree on, and what goes back to them.

    labels: uint16 (rows, cols), the accepted lesions from 1. drawn: for each number, the reader whose curve it is.
    accepted, returned: the places, from top to bottom. returned_mask: all readers' pixels of the returned ones.
    """

    labels: LabelImage
    drawn: Mapping[int, str]
    accepted: tuple[Correspondence, ...]
    returned: tuple[Correspondence, ...]
    returned_mask: Mask


def area_difference(first: Mask, second: Mask) -> float:
    """Eq. 2: dA = 1 - |A1 and A2| / |A1 or A2| of two masks of one shape.

    0 where the masks are equal or both empty, 1 where they are disjoint. Raises ValueError for masks of two shapes.
    """
    if first.shape != second.shape:
        raise ValueError(f"the masks have the shapes {first.shape} and {second.shape}")
    return _difference(int(np.count_nonzero(first & second)), int(np.count_nonzero(first | second)))


def correspond(readings: Mapping[str, LabelImage]) -> tuple[Correspondence, ...]:
    """Group what readers drew on one view into places, from top to bottom.

    readings: label pictures (rows, cols) of one shape by reader; every value but 0 is a lesion. The readers' order does
    not matter. Raises ValueError for fewer than two readers or another shape.
    """
    readers = tuple(sorted(readings))
    shape = _common_shape(readings)
    stack = np.stack([np.asarray(readings[reader]).ravel() for reader in readers]).astype(np.int64)
    marked = np.flatnonzero(stack.any(axis=0))
    if not marked.size:
        return ()
    drawn = stack[:, marked]
    place_of = _places(drawn, marked, shape[1])
    places = []
    for place in range(int(place_of.max()) + 1):
        here = place_of == place
        places.append(_correspondence(readers, drawn[:, here], marked[here], shape[1]))
    return tuple(places)


def agree(readings: Mapping[str, LabelImage], tolerance: float, rng: Generator) -> Consensus:
    """Accept or return each lesion of one view.

    readings: label pictures (rows, cols) of one shape by reader; if all are empty, the readers agree on no lesion.
    tolerance: 0..1. rng: decides whose curves are taken. Exactly one number is drawn from it per view; the choice in
    each place depends only on that number and on the place's own pixels. With the same seed, an accepted lesion that
    nobody changed gets the same curve in every round. Raises ValueError as `correspond` does, or for a tolerance beyond
    0..1.
    """
    if not 0 <= tolerance <= 1:
        raise ValueError(f"a tolerance is 0 to 1, not {tolerance}")
    key = int(rng.integers(2**63))
    shape = _common_shape(readings)
    places = correspond(readings)
    accepted = tuple(place for place in places if place.accepted(tolerance))
    returned = tuple(place for place in places if not place.accepted(tolerance))
    labels = np.zeros(shape, dtype=np.uint16)
    drawn: dict[int, str] = {}
    for place in accepted:
        reader = _draw(place, key)
        picture = np.asarray(readings[reader]).ravel()[place.pixels]
        for number in place.numbers[reader]:
            drawn[len(drawn) + 1] = reader
            labels.ravel()[place.pixels[picture == number]] = len(drawn)
    mask = np.zeros(shape, dtype=np.bool_)
    for place in returned:
        mask.ravel()[place.pixels] = True
    return Consensus(read_only(labels), drawn, accepted, returned, read_only(mask))


def _common_shape(readings: Mapping[str, LabelImage]) -> tuple[int, int]:
    if len(readings) < FEWEST_READERS:
        raise ValueError(f"agreement takes at least {FEWEST_READERS} readers, not {len(readings)}")
    shapes = {reading.shape for reading in readings.values()}
    if len(shapes) != 1:
        raise ValueError(f"the readings have different shapes: {', '.join(map(str, sorted(shapes)))}")
    rows, cols = shapes.pop()
    return rows, cols


def _difference(both: int, either: int) -> float:
    # Divide the pixels that only one of them has: in floating point, 1 - 19/20 is more than a tolerance of 1/20.
    return (either - both) / either if either else 0.0


def _draw(place: Correspondence, key: int) -> str:
    """Choose one of the readers; depends only on the key and the pixels of the place."""
    readers = tuple(place.numbers)
    digest = hashlib.sha256(place.pixels.astype("<i8").tobytes()).digest()
    rng = np.random.default_rng([key, int.from_bytes(digest[:8], "little")])
    return readers[int(rng.integers(len(readers)))]


def _places(drawn: NDArray[np.int64], marked: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """The place of each marked pixel, numbered in the order of the first pixels.

    drawn: (readers, pixels) lesion numbers. marked: the pixels' flat indices in a frame of `width` columns.
    """
    # Every lesion of every reader is a node; every pixel is an edge between the lesions that contain it.
    base = np.concatenate([[0], np.cumsum(drawn.max(axis=1) + 1)])
    nodes = np.where(drawn > 0, drawn + base[:-1, None], 0)
    anchor = nodes.max(axis=0)
    ends = np.stack([np.broadcast_to(anchor, nodes.shape)[drawn > 0], nodes[drawn > 0]])
    graph = coo_array((np.ones(ends.shape[1], dtype=np.int8), (ends[0], ends[1])), shape=(base[-1], base[-1]))
    component = connected_components(graph, directed=False)[1][anchor]
    place_of = _in_order(component)
    return _in_order(_joined(drawn, marked, width, place_of)[place_of])


def _in_order(values: NDArray[Any]) -> NDArray[np.int64]:
    """The values renumbered from 0 in the order in which they first occur."""
    _, first, index = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[index]


def _joined(
    drawn: NDArray[np.int64], marked: NDArray[np.int64], width: int, place_of: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each place, the place that it joins: near places of different readers become one, the nearest pairs first."""
    count = int(place_of.max()) + 1
    areas = np.bincount(place_of)
    rows, cols = np.divmod(marked, width)
    centres = np.stack([np.bincount(place_of, weights=along) / areas for along in (rows, cols)], axis=1)
    readers = [frozenset(np.flatnonzero(drawn[:, place_of == place].any(axis=1)).tolist()) for place in range(count)]
    alone = [place for place in range(count) if len(readers[place]) < len(drawn)]
    distances = {
        pair: float(np.hypot(*(centres[pair[0]] - centres[pair[1]]))) for pair in itertools.combinations(alone, 2)
    }
    joined = np.arange(count)
    for (first, second), distance in sorted(distances.items(), key=lambda entry: (entry[1], entry[0])):
        one, other = int(joined[first]), int(joined[second])
        if distance <= NEAR_PX and readers[one].isdisjoint(readers[other]):
            joined[joined == other] = one
            readers[one] |= readers[other]
    return joined


def _correspondence(
    readers: Sequence[str], drawn: NDArray[np.int64], pixels: NDArray[np.int64], width: int
) -> Correspondence:
    inside = drawn > 0
    differences = {
        (readers[one], readers[other]): _difference(
            int((inside[one] & inside[other]).sum()), int((inside[one] | inside[other]).sum())
        )
        for one, other in itertools.combinations(range(len(readers)), 2)
    }
    rows, cols = np.divmod(pixels, width)
    numbers = {reader: tuple(np.unique(row[row > 0]).tolist()) for reader, row in zip(readers, drawn, strict=True)}
    return Correspondence(
        numbers=numbers,
        area_px=dict(zip(readers, inside.sum(axis=1).tolist(), strict=True)),
        differences=differences,
        centre=(float(rows.mean()), float(cols.mean())),
        pixels=read_only(pixels),
    )
