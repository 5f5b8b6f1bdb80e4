"""Child process that decodes the pixels of one DICOM file: file on standard input, pixels on standard output.

Run as a script, never imported: it limits its own memory and time before it touches the stream, prints
nothing of the file, and ends with a code other than 0 where the pixels cannot be decoded.
"""

from __future__ import annotations

import os
import sys

MAX_MEMORY_BYTES = 768 * 2**20
MAX_CPU_SECONDS = 4


def limit_resources() -> None:
    """Cap address space and processor time, where the system can (not on Windows)."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def decode(content: bytes, expected_bytes: int) -> bytes:
    """Return the decoded pixels, little endian; ValueError where their size is not the one expected."""
    from io import BytesIO

    from pydicom import dcmread

    dataset = dcmread(BytesIO(content))
    pixels = dataset.pixel_array
    if pixels.nbytes != expected_bytes:
        raise ValueError("decoded size")
    return pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()


def main() -> int:
    """Decode standard input to standard output; 1 on any failure."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    try:
        pixels = decode(sys.stdin.buffer.read(), int(sys.argv[1]))
    except Exception:
        return 1
    sys.stdout.buffer.write(pixels)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    # Threads of a linear algebra library would each claim address space.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    limit_resources()
    sys.exit(main())
