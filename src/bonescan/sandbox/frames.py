"""Messages between parent and child: a length, a JSON document, the bytes of arrays. No pickle; sizes are checked."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MAX_DOCUMENT_BYTES = 4 * 2**20
MAX_ARRAY_BYTES = 160 * 2**20
_LENGTH = struct.Struct(">I")
_DTYPES = ("<f4", "<f8", "|b1", "|u1")


class ProtocolError(Exception):
    """The bytes received are no message: the other process is gone or sends something else."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A JSON document, and arrays of float32, float64, bool or bytes."""

    document: dict[str, Any]
    arrays: tuple[NDArray[Any], ...] = ()


def write_message(stream: BinaryIO, message: Message) -> None:
    """Write a message. Raises OSError, and ProtocolError where it is larger than the receiver accepts."""
    stated = [{"dtype": array.dtype.str, "shape": array.shape} for array in message.arrays]
    head = json.dumps({"document": message.document, "arrays": stated}, allow_nan=False).encode()
    if len(head) > MAX_DOCUMENT_BYTES or sum(array.nbytes for array in message.arrays) > MAX_ARRAY_BYTES:
        raise ProtocolError("the message is too large")
    stream.write(_LENGTH.pack(len(head)))
    stream.write(head)
    for array in message.arrays:
        stream.write(np.ascontiguousarray(array).data)
    stream.flush()


def read_message(stream: BinaryIO) -> Message:
    """Read a message; every size is checked before memory is taken for it. Raises ProtocolError."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > MAX_DOCUMENT_BYTES:
        raise ProtocolError("the document is too large")
    try:
        head = json.loads(_exactly(stream, length))
        document, stated = head["document"], head["arrays"]
        shapes = [(str(one["dtype"]), tuple(int(side) for side in one["shape"])) for one in stated]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ProtocolError("the document is damaged") from error
    if not isinstance(document, dict):
        raise ProtocolError("the document is none")
    return Message(document, tuple(_arrays(stream, shapes)))


def _arrays(stream: BinaryIO, stated: Sequence[tuple[str, tuple[int, ...]]]) -> list[NDArray[Any]]:
    left = MAX_ARRAY_BYTES
    arrays = []
    for dtype, shape in stated:
        if dtype not in _DTYPES or len(shape) > 2 or any(side < 0 for side in shape):
            raise ProtocolError("an array is of a kind that is not sent")
        size = np.dtype(dtype).itemsize
        for side in shape:
            size *= side
        left -= size
        if left < 0:
            raise ProtocolError("the arrays are too large")
        arrays.append(_array(_exactly(stream, size), dtype, shape))
    return arrays


def _array(content: bytes, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if dtype == "|b1" and content.translate(None, b"\0\1"):
        raise ProtocolError("an array of truth values holds others")
    return np.frombuffer(content, dtype=dtype).reshape(shape)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise ProtocolError("the stream ended")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
