"""Scans that are not DICOM: a pair of 16-bit PNGs, and scan.npz, as cohort folders hold them."""

from __future__ import annotations

import math
import tomllib
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bonescan.errors import BonescanError, InputError
from bonescan.prepare.plausibility import MOST_PIXELS_A_SIDE, checked_counts, checked_spacing
from bonescan.study import Scan, Spacing, Study, View

_LEVELS_ABOVE = 4
"""cohort/<patient>/<study>/anterior.png: cohort.toml is two levels above; a few more levels are searched."""


def read_png(paths: Sequence[Path], key: str) -> Study:
    """Read anterior.png and posterior.png: 16-bit grey, value = counts; the spacing comes from a cohort.toml above.

    Raises InputError where a file is no 16-bit grey PNG, or the two differ in shape.
    """
    images = {View(path.stem.lower()): _png(path) for path in _named_after_views(paths)}
    return _study(paths, key, images, cohort_spacing(paths[0]))


def read_npz(path: Path, key: str) -> Study:
    """Read scan.npz: integer counts `anterior` and `posterior` (rows, cols), and optionally `spacing_mm` (row, col).

    No pickled data is read, and sizes are checked before anything is unpacked. Raises InputError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            images = {view: _member(archive, view, 2) for view in View if f"{view}.npy" in names}
            stated = _member(archive, "spacing_mm", 1) if "spacing_mm.npy" in names else None
    except BonescanError:
        raise
    except Exception as error:
        raise InputError(f"the npz file is damaged ({type(error).__name__}); write it again with numpy.savez") from None
    if not images:
        raise InputError("the npz file holds neither 'anterior' nor 'posterior'; write the counts under these names")
    spacing = cohort_spacing(path) if stated is None else tuple(float(value) for value in stated)
    return _study([path], key, images, spacing)


def cohort_spacing(path: Path) -> tuple[float, ...] | None:
    """Return `spacing_mm` (one number, or row and column) of the nearest cohort.toml above `path`, or None.

    Raises InputError where that file is no TOML or its spacing is no number.
    """
    for folder in list(path.absolute().parents)[: _LEVELS_ABOVE + 1]:
        file = folder / "cohort.toml"
        if not file.is_file():
            continue
        try:
            stated = tomllib.loads(file.read_text(encoding="utf-8")).get("spacing_mm")
        except (OSError, ValueError):
            raise InputError("the cohort.toml above the scan is not valid TOML; correct it") from None
        if stated is None:
            return None
        values = stated if isinstance(stated, list) else [stated, stated]
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            raise InputError("spacing_mm in cohort.toml is not a number or [row, col]; give it in millimetres")
        return tuple(float(value) for value in values)
    return None


def _study(
    paths: Sequence[Path], key: str, images: Mapping[View, NDArray[Any]], spacing_mm: Sequence[float] | None
) -> Study:
    if len({image.shape for image in images.values()}) != 1:
        shapes = " and ".join(f"{image.shape[0]} x {image.shape[1]}" for image in images.values())
        raise InputError(f"the two views have {shapes} pixels; give two views of one acquisition")
    checked = {view: checked_counts(image) for view, image in images.items()}
    counts = {view: image for view, (image, _) in checked.items()}
    spacing: Spacing | None = None
    note: str | None = "no pixel spacing is stated, so there are no millimetres"
    if spacing_mm is not None:
        spacing, note = checked_spacing(spacing_mm, list(counts.values()))
    missing = tuple(f"the {view} view is missing" for view in View if view not in images)
    return Study(
        key=key,
        scans={view: Scan(view, image) for view, image in counts.items()},
        spacing=spacing,
        spacing_note=note,
        view_source="the names in the cohort format",
        sources=tuple(path.name for path in paths),
        warnings=(*(note for _, notes in checked.values() for note in notes), *missing, *((note,) if note else ())),
    )


def _named_after_views(paths: Sequence[Path]) -> list[Path]:
    if not paths or any(path.stem.lower() not in set(View) for path in paths):
        raise InputError("a PNG does not say which view it is; name the files anterior.png and posterior.png")
    return sorted(paths)


def _png(path: Path) -> NDArray[np.uint16]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=["PNG"]) as image:
                _check_size(image.height, image.width)
                if not image.mode.startswith("I"):
                    raise InputError(
                        f"the PNG is not 16-bit grey but of mode {image.mode}, so it holds no counts; "
                        "write the counts as 16-bit grey"
                    )
                return np.asarray(image).astype(np.uint16)
    except BonescanError:
        raise
    except Exception as error:
        raise InputError(f"the PNG cannot be read ({type(error).__name__}); write it again as 16-bit grey") from None


def _member(archive: zipfile.ZipFile, name: str, dimensions: int) -> NDArray[Any]:
    """Read one array of an npz after checking the array's own header; the sizes in the archive are not trusted."""
    with archive.open(f"{name}.npy") as file:
        shape, dtype = _npy_header(file)
    if len(shape) != dimensions or dtype.kind not in "uif" or dtype.itemsize > 8:
        raise InputError(f"'{name}' in the npz file is {dtype} of shape {shape}; write it as numbers of {dimensions}-D")
    if dimensions == 2:
        _check_size(*shape)
    elif math.prod(shape) > 2:
        raise InputError(f"'{name}' in the npz file has {math.prod(shape)} values; write two, row and column")
    with archive.open(f"{name}.npy") as file:
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _check_size(rows: int, cols: int) -> None:
    if not (1 <= rows <= MOST_PIXELS_A_SIDE and 1 <= cols <= MOST_PIXELS_A_SIDE):
        raise InputError(f"the image has {rows} x {cols} pixels; at most {MOST_PIXELS_A_SIDE} a side are read")
