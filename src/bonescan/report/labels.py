"""Label pictures: 16-bit PNG in the frame's own shape, 0 = background, otherwise the lesion's id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bonescan.errors import OutputError
from bonescan.report.overlay import png_text
from bonescan.study import LabelImage, Result

_MOST_LESIONS = 0xFFFF
_COMPRESSION = 3
"""Almost all pixels are 0, so that a higher level saves next to nothing."""


def labels_name(view: str) -> str:
    """The file name of one view's label picture."""
    return f"labels_{view}.png"


def write_labels(result: Result, folder: Path) -> None:
    """Write one label picture for each view of the study into `folder`.

    The intended use and the warnings are in the file's text chunks (PNG, keywords Comment and Warning).
    Raises OutputError when there are more lesions than 16 bits can number.
    """
    if any(lesion.id > _MOST_LESIONS for lesion in result.lesions):
        raise OutputError(f"a label picture numbers at most {_MOST_LESIONS} lesions, not {len(result.lesions)}")
    for view in result.study.scans:
        write_label_image(result.labels(view), folder / labels_name(view), result.warnings)


def write_label_image(labels: LabelImage, path: Path, warnings: Sequence[str] = ()) -> None:
    """Write (rows, cols) uint16 as a 16-bit grey PNG, with warnings as text."""
    picture = Image.fromarray(np.ascontiguousarray(labels, dtype=np.uint16))
    picture.save(path, format="PNG", compress_level=_COMPRESSION, pnginfo=png_text(warnings))
