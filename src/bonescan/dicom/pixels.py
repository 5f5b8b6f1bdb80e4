"""Pixel data of a DICOM file as stored values, with every size checked before memory is taken.

The codecs of compressed pixels are C libraries. A damaged stream can crash them or make them allocate any amount of
memory, which is another reason to read untrusted files in a limited child process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import (
    JPEG2000LosslessDecoder,
    JPEGLosslessSV1Decoder,
    JPEGLSLosslessDecoder,
    RLELosslessDecoder,
)

from bonescan.dicom.elements import byte_order, integer, numbers, transfer_syntax, value
from bonescan.errors import InputError

MAX_FRAMES = 512
MAX_PIXEL_BYTES = 32 * 2**20
"""Two frames of 4096 x 1024 pixels of 32 bits. Reading them holds the file, the pixels and their floats in memory."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of a file are stored. bits: allocated per pixel; the lowest `stored` of them hold the value."""

    frames: int
    rows: int
    cols: int
    bits: int
    stored: int
    signed: bool

    @property
    def expected_bytes(self) -> int:
        """Bytes of all frames, uncompressed."""
        return self.frames * self.rows * self.cols * self.bits // 8


def load_codecs() -> None:
    """Load the libraries that decode compressed pixels; otherwise they are loaded on first use."""
    for decoder in (RLELosslessDecoder, JPEG2000LosslessDecoder, JPEGLSLosslessDecoder, JPEGLosslessSV1Decoder):
        _ = decoder.is_available


def layout_of(dataset: Dataset) -> Layout:
    """Return the checked description of the pixels (PS3.3 C.7.6.3); InputError where it is not valid."""
    rows, cols = (_required(dataset, keyword) for keyword in ("Rows", "Columns"))
    bits, stored, high = (_required(dataset, keyword) for keyword in ("BitsAllocated", "BitsStored", "HighBit"))
    frames = integer(dataset, "NumberOfFrames")
    frames = 1 if frames is None else frames
    signed = _required(dataset, "PixelRepresentation")
    if not 1 <= frames <= MAX_FRAMES:
        raise InputError(f"the file states {frames} frames, more than a whole-body scan has; give one with two frames")
    if bits not in (8, 16, 32) or not 1 <= stored <= bits or high != stored - 1 or signed not in (0, 1):
        raise InputError(
            f"the pixel description is damaged (bits allocated {bits}, stored {stored}, high bit {high}, "
            f"representation {signed}); export the file again"
        )
    layout = Layout(frames, rows, cols, bits, stored, bool(signed))
    if layout.expected_bytes > MAX_PIXEL_BYTES:
        raise InputError(
            f"the file states {frames} frames of {rows} x {cols} pixels, more than are read; give a whole-body scan"
        )
    return layout


def stored_frames(dataset: Dataset, wanted: Sequence[int]) -> list[NDArray[Any]]:
    """Return the wanted frames (indices from 0) as integers, or floats where a rescale slope is stated.

    Each frame has shape (rows, cols).
    Raises InputError where the pixel data do not fit their description or cannot be decoded.
    """
    layout = layout_of(dataset)
    frames = raw_frames(dataset, layout)
    return [_rescaled(dataset, sign_extended(frames[index], layout)) for index in wanted]


def raw_frames(dataset: Dataset, layout: Layout) -> NDArray[Any]:
    """Return all frames as they are stored, uncompressed: unsigned, (frames, rows, cols). Raises InputError."""
    compressed = transfer_syntax(dataset).is_encapsulated
    return _decoded(dataset, layout) if compressed else _native(dataset, layout)


def _required(dataset: Dataset, keyword: str) -> int:
    found = integer(dataset, keyword)
    if found is None:
        raise InputError(f"the file lacks the DICOM element {keyword}; export it again")
    return found


def _dtype(layout: Layout, order: str) -> np.dtype[Any]:
    return np.dtype(f"{order}u{layout.bits // 8}")


def _native(dataset: Dataset, layout: Layout) -> NDArray[Any]:
    stored = value(dataset, "PixelData")
    if not isinstance(stored, bytes):
        raise InputError("the file holds no pixel data; export the image, not its header alone")
    expected = layout.expected_bytes
    if len(stored) not in (expected, expected + expected % 2):
        raise InputError(
            f"the pixel data have {len(stored)} bytes instead of {expected}, so the file is truncated or damaged; "
            "export it again"
        )
    # In a big-endian file, words are in the file's byte order; for bytes (OB, 8 bits) it does not matter.
    pixels = np.frombuffer(stored, dtype=_dtype(layout, byte_order(dataset)), count=expected * 8 // layout.bits)
    return pixels.reshape(layout.frames, layout.rows, layout.cols)


def _decoded(dataset: Dataset, layout: Layout) -> NDArray[Any]:
    """Decode compressed pixels, and check the result against the description."""
    try:
        pixels = dataset.pixel_array
    except Exception:
        raise InputError(
            "the compressed pixel data cannot be decoded (damaged, or a compression without a plug-in here); "
            "export the file uncompressed"
        ) from None
    if pixels.nbytes != layout.expected_bytes:
        raise InputError("the compressed pixel data do not have the size that the file states; export it uncompressed")
    # Take the bits as unsigned: those above the stored ones are checked next, as in uncompressed pixels.
    bits = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    return np.frombuffer(bits, dtype=_dtype(layout, "<")).reshape(layout.frames, layout.rows, layout.cols)


def sign_extended(raw: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Return the values that the lowest `stored` bits hold; the bits above must be empty or repeat the sign."""
    if layout.stored == layout.bits:
        return raw.view(f"{raw.dtype.byteorder}i{raw.dtype.itemsize}") if layout.signed else raw
    unsigned = raw.astype(np.int64)
    low = unsigned & ((1 << layout.stored) - 1)
    above = unsigned >> layout.stored
    sign = (low >> (layout.stored - 1)) & 1 if layout.signed else np.zeros_like(low)
    filled = (1 << (layout.bits - layout.stored)) - 1
    if bool(((above != 0) & (above != filled * sign)).any()):
        raise InputError(
            f"pixel values do not fit into the {layout.stored} bits that the file states; export the file again"
        )
    return np.asarray(low - (sign << layout.stored))


def _rescaled(dataset: Dataset, stored: NDArray[Any]) -> NDArray[Any]:
    """Apply Rescale Slope and Intercept, which NM files rarely have (PS3.3 C.11.1)."""
    slope, intercept = rescale(dataset)
    if slope == 1.0 and intercept == 0.0:
        return stored
    return np.asarray(stored * slope + intercept)


def rescale(dataset: Dataset) -> tuple[float, float]:
    """Return Rescale Slope and Intercept, which turn stored values into counts. InputError for a slope <= 0."""
    slopes, intercepts = numbers(dataset, "RescaleSlope"), numbers(dataset, "RescaleIntercept")
    slope, intercept = slopes[0] if slopes else 1.0, intercepts[0] if intercepts else 0.0
    if slope <= 0.0:
        raise InputError(f"the rescale slope is {slope:.4g}, which turns counts around; export the counts unprocessed")
    return slope, intercept
