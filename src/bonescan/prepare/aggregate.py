"""The two views of one patient brought together, and taken apart again.

Seen from behind, the patient's left is on the image's left; mirrored, the posterior view lies over the
anterior one. This module is the only place that mirrors, and every step has its exact inverse. The sum is
Eq. 4 of Lin et al. 2022 (doi 10.3389/fmolb.2022.956720): I_agg = I_ant + Mirr(I_post).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bonescan.prepare.window import Window
from bonescan.study import FloatImage, Study, View

PAIR: tuple[View, View] = (View.ANTERIOR, View.POSTERIOR)
"""The order of the views along a pair's first axis."""

Dtype = TypeVar("Dtype", bound=np.generic)


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
