"""PNGs in the shape of a frame: the views in grey, to annotate, and the labels of a result.

A view is 8-bit grey, for tools such as LabelMe that do not show 16-bit counts; curves drawn on it fit the frame. It
holds no counts: as scans, bonescan reads only 16-bit PNGs. A label picture is 16-bit: 0 = background, otherwise the
lesion's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bonescan.errors import OutputError
from bonescan.report.overlay import bone_window, png_text
from bonescan.study import FloatImage, LabelImage, Result, Study, View
from bonescan.system.files import written_whole

_COMPRESSION, _LABEL_COMPRESSION = 6, 3
"""Almost all pixels of labels are 0, so that a higher level saves next to nothing."""
_MOST_LESIONS = 0xFFFF


def picture_name(view: View) -> str:
    """The file name of one view's picture, after which LabelMe names what is drawn on it."""
    return f"{view}.png"


def view_picture(counts: FloatImage) -> NDArray[np.uint8]:
    """Return counts (rows, cols) as inverted grey on the window of the overlay: 255 = no count."""
    darkness = np.clip(counts / np.float32(bone_window(counts)), 0, 1)
    return np.asarray(np.rint(255 - 255 * darkness), dtype=np.uint8)


def write_pictures(study: Study, folder: Path, warnings: tuple[str, ...] = ()) -> list[Path]:
    """Write anterior.png and posterior.png, for each view of the study, into an existing folder.

    warnings: added to those of the study. An older picture is replaced. Raises OutputError where a file of that name is
    no such picture, for example a PNG with counts, or nothing can be written.
    """
    paths = {view: folder / picture_name(view) for view in study.scans}
    for path in paths.values():
        if path.exists() and not is_picture(path):
            raise OutputError(f"{path} is there and no 8-bit picture, so it is not replaced: write elsewhere with -o")
    for view, path in paths.items():
        picture = Image.fromarray(view_picture(study.counts(view)))
        said = png_text(tuple(dict.fromkeys((*study.warnings, *warnings))))
        try:
            with written_whole(path) as temporary:
                picture.save(temporary, format="PNG", compress_level=_COMPRESSION, pnginfo=said)
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({error.strerror or error}): choose another folder") from error
    return list(paths.values())


def is_picture(path: Path) -> bool:
    """Tell whether a file is an 8-bit grey PNG."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.mode == "L"
    except (OSError, ValueError, SyntaxError):
        return False


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
    picture.save(path, format="PNG", compress_level=_LABEL_COMPRESSION, pnginfo=png_text(warnings))
