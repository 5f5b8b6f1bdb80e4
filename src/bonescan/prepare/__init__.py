"""From a study to network input, and back to the frames, exactly.

The window (whole body, the thorax, or one that a person states) is cut from the anterior and the mirrored
posterior view, normalised by a reference of the whole frame, and padded with zeros at the bottom and the
right to a multiple of 32. Frames of much finer pixels than a whole-body camera's usual 2.2-2.4 mm (a matrix
of 2048 x 512) are summed over 2 x 2 pixels first, as counts are additive, and what comes back is expanded; much
coarser pixels (512 x 128) are split in four, and what comes back is averaged.

`plausibility.py` has the limits on pixel values and spacings; `order.py` finds views that look exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from bonescan.errors import OptionError
from bonescan.prepare.aggregate import (
    ViewPair,
    Window,
    aggregate,
    bin_counts,
    binned_pair,
    binning_of,
    from_pair,
    mirror,
    spread,
    to_pair,
)
from bonescan.prepare.body import find_body
from bonescan.prepare.crop import thoracic_window
from bonescan.prepare.normalise import Normalisation, body_mask, denormalise, normalise, skeletal_reference
from bonescan.prepare.order import EXCHANGED, looks_exchanged
from bonescan.study import FloatImage, Study, View, read_only

__all__ = [
    "MULTIPLE",
    "Normalisation",
    "PrepareOptions",
    "Prepared",
    "Region",
    "ViewPair",
    "Window",
    "aggregate",
    "body_mask",
    "denormalise",
    "from_pair",
    "looks_exchanged",
    "mirror",
    "normalise",
    "prepare",
    "skeletal_reference",
    "to_pair",
]

Region = Literal["whole-body", "thorax"]
Dtype = TypeVar("Dtype", bound=np.generic)

MULTIPLE = 32
"""Rows and columns of a network input are multiples of this."""


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """What part of the scan to look at.

    region: "whole-body", or "thorax" for the window that `crop.thoracic_window` finds.
    window: stated by a person, in pixels of the anterior frame; takes the place of what `region` would give.
    """

    region: Region = "whole-body"
    window: Window | None = None

    def __post_init__(self) -> None:
        if self.region not in ("whole-body", "thorax"):
            raise OptionError(f"the region {self.region!r} is not known: give whole-body or thorax")


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One study, ready for the network.

    network_input: float32 (2, H, W), normalised, anterior and mirrored posterior; H and W multiples of 32.
    window: where it lies in the frame. padding: zero rows and columns added at the bottom and the right,
    in pixels of the network input. binning: frame pixels along each edge of one network pixel, 0.5 where each frame
    pixel is split in four. rows: those of the network input that hold the body, with a margin, from and to multiples
    of 32; the others are air.
    reference: the skeletal reference, counts a network pixel.
    """

    network_input: FloatImage
    window: Window
    padding: tuple[int, int]
    study: Study
    binning: float
    rows: slice
    reference: float
    warnings: tuple[str, ...]

    def to_frames(self, network_output: NDArray[Dtype]) -> dict[View, NDArray[Dtype]]:
        """Take a network output (2, H, W) of any type back to the frames as acquired, (rows, cols) each.

        Only the views that the study has; zeros outside the window. The exact inverse of the way in, up to
        the values: each network pixel is given to all frame pixels that it was summed from, and a frame pixel that
        was split gets the mean of its parts, or the first of them where the output is whole numbers.
        """
        if network_output.shape != self.network_input.shape:
            raise ValueError(f"expected an output of shape {self.network_input.shape}, not {network_output.shape}")
        rows, cols = self.window.shape
        if self.binning > 1:
            network_output = spread(network_output, int(self.binning))
        elif self.binning < 1:
            network_output = _joined(network_output, round(1 / self.binning))
        return from_pair(network_output[:, :rows, :cols], self.study.shape, self.window, self.study.scans)


def _joined(image: NDArray[Dtype], parts: int) -> NDArray[Dtype]:
    """The opposite of `spread`: (views, rows, cols) of which the last rows and columns are padding."""
    if image.dtype.kind != "f":
        return image[:, ::parts, ::parts]
    views, rows, cols = image.shape
    tiles = image.reshape(views, rows // parts, parts, cols // parts, parts)
    return np.asarray(tiles.mean(axis=(2, 4)), dtype=image.dtype)


def prepare(
    study: Study, options: PrepareOptions | None = None, normalisation: Normalisation | None = None
) -> Prepared:
    """Cut, pair, normalise and pad the counts of one study.

    The reference is that of the whole frame whatever the window, so that a model sees a thorax at the same
    scale in both. Raises OptionError when a stated window leaves the frame.
    """
    options, normalisation = options or PrepareOptions(), normalisation or Normalisation()
    window = _window(study, options).within(study.shape)
    binning = binning_of(study)
    frame = binned_pair(study)
    reference = skeletal_reference(frame, normalisation)
    counts = frame if window == Window.whole(study.shape) else bin_counts(to_pair(study, window).counts, binning)
    image = normalise(counts, normalisation, reference)
    padding = (-image.shape[1] % MULTIPLE, -image.shape[2] % MULTIPLE)
    if any(padding):
        image = np.pad(image, ((0, 0), (0, padding[0]), (0, padding[1])))
    notes = (window.note, EXCHANGED if looks_exchanged(frame) else None)
    warnings = tuple(note for note in notes if note is not None)
    rows = _rows_of_body(image)
    return Prepared(read_only(image), window, padding, study, binning, rows, reference, warnings)


def _rows_of_body(image: FloatImage) -> slice:
    """The rows of a network input (2, rows, cols) on which the network has to run.

    Normalised, as a very hot trunk (a superscan) would let the counts of the legs look like air.
    """
    rows = image.shape[1]
    body = find_body(image.sum(axis=0))
    warm = np.flatnonzero(body.warm.any(axis=1)) if body is not None else np.empty(0, dtype=np.intp)
    if not warm.size:
        return slice(0, rows)
    first = max(int(warm[0]) - MULTIPLE, 0) // MULTIPLE * MULTIPLE
    last = int(warm[-1]) + 1 + MULTIPLE
    return slice(first, min(last + -last % MULTIPLE, rows))


def _window(study: Study, options: PrepareOptions) -> Window:
    if options.window is not None:
        return options.window
    if options.region == "thorax":
        return thoracic_window(study)
    return Window.whole(study.shape)
