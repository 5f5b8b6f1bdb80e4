"""The two views of one patient brought together, and taken apart again: the window, binning, mirroring.

Frames of much finer pixels than the usual 2.2-2.4 mm are brought to that size by adding counts, much coarser ones by
splitting them. Seen from behind, the patient's left is on the image's left; mirrored, the posterior view lies over the
anterior one. This module is the only place that mirrors, and every step has its exact inverse. The sum is Eq. 4 of Lin
et al. 2022 (doi 10.3389/fmolb.2022.956720): I_agg = I_ant + Mirr(I_post).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bonescan.errors import OptionError
from bonescan.study import FloatImage, Study, View

FINEST_MM = 1.6
"""Pixels finer than this are summed in squares before the network, which has learned from about 2.3 mm."""

COARSEST_MM = 2 * FINEST_MM
"""Pixels of this size and above are split in four before the network."""

_WIDEST_COARSE_FRAME = 400
_MOST_BINNING = 8

PAIR: tuple[View, View] = (View.ANTERIOR, View.POSTERIOR)
"""The order of the views along a pair's first axis."""

Dtype = TypeVar("Dtype", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Window:
    """Rows and columns of one common window for both views.

    rows, cols: half-open, in pixels of the anterior frame and so of the mirrored posterior one; in the
        posterior frame as acquired the columns are the mirrored ones.
    confidence: 0..1, how sure an automatic window is; 1 for one that a person stated.
    note: what to tell the reader when the confidence is low, else None.
    """

    rows: slice
    cols: slice
    confidence: float = 1.0
    note: str | None = None

    def __post_init__(self) -> None:
        for name, extent in (("rows", self.rows), ("columns", self.cols)):
            stated = isinstance(extent.start, int) and isinstance(extent.stop, int) and extent.step in (None, 1)
            if not stated or not 0 <= extent.start < extent.stop:
                raise OptionError(
                    f"the window's {name} {extent.start}:{extent.stop} are not a range of pixels: "
                    "give first:last+1 with 0 <= first <= last"
                )

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, cols), to index an image with."""
        return self.rows, self.cols

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) that the window spans."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Window:
        """The window that is the whole frame of `shape` (rows, cols)."""
        return cls(slice(0, shape[0]), slice(0, shape[1]))

    def within(self, shape: tuple[int, int]) -> Window:
        """This window, checked to lie in a frame of `shape`; OptionError when it does not."""
        if self.rows.stop > shape[0] or self.cols.stop > shape[1]:
            raise OptionError(
                f"the window {self.rows.start}:{self.rows.stop}, {self.cols.start}:{self.cols.stop} leaves the frame "
                f"of {shape[0]} rows and {shape[1]} columns: give one inside it"
            )
        return self


def binning_of(study: Study) -> float:
    """Frame pixels along each edge of one network pixel: 1, 2, 4 or 8, or 0.5 where each is split in four.

    Told from the spacing; without one, a frame of 400 columns or more is taken for a fine matrix of a bed
    of the usual width, which changes the network's input only and states no millimetres.
    """
    binning = 1
    if study.spacing is None:
        while study.shape[1] / binning >= _WIDEST_COARSE_FRAME and binning < _MOST_BINNING:
            binning *= 2
        return binning
    pixel_mm = float(np.sqrt(study.spacing.pixel_area_mm2))
    while pixel_mm * binning < FINEST_MM and binning < _MOST_BINNING:
        binning *= 2
    return 0.5 if pixel_mm >= COARSEST_MM else binning


def bin_counts(counts: FloatImage, binning: float) -> FloatImage:
    """Sum counts (views, rows, cols) over squares of `binning` pixels; zeros fill the last ones.

    binning below 1: give each of the pixels that one is split into the same share of its counts.
    """
    if binning == 1:
        return counts
    if binning < 1:
        return spread(counts * np.float32(binning**2), round(1 / binning))
    step = int(binning)
    views, rows, cols = counts.shape
    counts = np.pad(counts, ((0, 0), (0, -rows % step), (0, -cols % step)))
    tiles = counts.reshape(views, counts.shape[1] // step, step, counts.shape[2] // step, step)
    sums: FloatImage = tiles.sum(axis=(2, 4))
    return sums


def spread(image: NDArray[Dtype], times: int) -> NDArray[Dtype]:
    """Repeat each pixel of an image (..., rows, cols) along both edges."""
    return image.repeat(times, axis=-2).repeat(times, axis=-1)


def binned_pair(study: Study) -> FloatImage:
    """The counts of both views (2, rows, cols) at the network's pixel size, the posterior mirrored."""
    return bin_counts(to_pair(study).counts, binning_of(study))


@dataclass(frozen=True, slots=True, eq=False)
class ViewPair:
    """Anterior and mirrored posterior counts over one another.

    counts: float32 (2, rows, cols) of the window; a missing view is zeros.
    present: whether the study has the (anterior, posterior) view.
    window: where the pair lies in the frame.
    """

    counts: FloatImage
    present: tuple[bool, bool]
    window: Window


def mirror(image: NDArray[Dtype]) -> NDArray[Dtype]:
    """Return `image` (..., rows, cols) with its columns reversed: mirror(mirror(x)) equals x."""
    return image[..., ::-1]


def aggregate(anterior: NDArray[Any], posterior: NDArray[Any]) -> NDArray[Any]:
    """Sum the anterior and the mirrored posterior view, both as acquired, (rows, cols). Eq. 4."""
    total: NDArray[Any] = anterior + mirror(posterior)
    return total


def to_pair(study: Study, window: Window | None = None) -> ViewPair:
    """Stack the anterior and the mirrored posterior counts of `window` (None: the whole frame).

    Raises OptionError when the window leaves the frame.
    """
    window = Window.whole(study.shape) if window is None else window.within(study.shape)
    counts = np.zeros((2, *window.shape), dtype=np.float32)
    for channel, view in enumerate(PAIR):
        if view in study.scans:
            counts[channel] = _oriented(study.counts(view), view)[window.slices]
    return ViewPair(counts, (PAIR[0] in study.scans, PAIR[1] in study.scans), window)


def from_pair(
    pair: NDArray[Dtype], shape: tuple[int, int], window: Window | None = None, views: Iterable[View] = PAIR
) -> dict[View, NDArray[Dtype]]:
    """Take a pair (2, rows, cols) of any type apart into frames as acquired.

    shape: (rows, cols) of the frame. window: where the pair lies in it (None: it is the whole frame).
    views: those wanted. Outside the window the frames are zero.
    """
    window = Window.whole(shape) if window is None else window.within(shape)
    if pair.shape != (2, *window.shape):
        raise ValueError(f"a pair of the window has shape {(2, *window.shape)}, not {pair.shape}")
    wanted = set(views)
    frames: dict[View, NDArray[Dtype]] = {}
    for channel, view in enumerate(PAIR):
        if view in wanted:
            frame = np.zeros(shape, dtype=pair.dtype)
            frame[window.slices] = pair[channel]
            frames[view] = np.ascontiguousarray(_oriented(frame, view))
    return frames


def window_in_view(window: tuple[slice, slice], cols: int, view: View) -> tuple[slice, slice]:
    """Where a common window (rows, cols) of the anterior frame lies in the frame of `view` as acquired, `cols` wide."""
    if view is View.ANTERIOR:
        return window
    return window[0], slice(cols - window[1].stop, cols - window[1].start)


def _oriented(image: NDArray[Dtype], view: View) -> NDArray[Dtype]:
    """From the frame as acquired to the common orientation, or back: it is its own inverse."""
    return mirror(image) if view is View.POSTERIOR else image
