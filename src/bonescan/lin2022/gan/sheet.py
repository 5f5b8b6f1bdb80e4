"""The sheet of a GAN: samples above, real images below."""

from __future__ import annotations

import numpy as np
from PIL import Image

from bonescan.lin2022.gan.images import GanImages
from bonescan.prepare import mirror
from bonescan.prepare.aggregate import PAIR
from bonescan.report.ink import Sheet
from bonescan.report.overlay import INK, RESEARCH_USE
from bonescan.study import FloatImage, View

COLUMNS, ROWS = 8, 2
_TILE, _GAP, _MARGIN, _TITLE, _CAPTION = 256, 10, 40, 64, 26
_BLACK = 2.0
"""Normalised intensity that is shown black: four times the skeletal reference."""


def draw_sheet(samples: GanImages, training: GanImages, sha256: str) -> Image.Image:
    """Two rows of samples and two of training images, every view as acquired, in inverted grey (hot is dark).

    All on one grey scale. sha256: of the generator, for the footer. A palette picture ("P").
    """
    part = _TITLE + ROWS * (_TILE + _CAPTION + _GAP)
    size = (2 * _MARGIN + COLUMNS * (_TILE + _GAP) - _GAP, 2 * part + 2 * _MARGIN)
    sheet = Sheet(size, INK)
    _draw_part(sheet, samples, 0, "Samples of the generator: nobody's scans")
    _draw_part(sheet, training, part, "Real: images that it was trained on")
    sheet.text((_MARGIN, size[1] - 30), RESEARCH_USE, 25)
    caption = f"generator {sha256[:12]}; grey scale 0 to {_BLACK**2:g} times the skeletal reference"
    sheet.text((size[0] - _MARGIN, size[1] - 30), caption, 21, anchor="rs", grey=110)
    return sheet.picture()


def _draw_part(sheet: Sheet, images: GanImages, top: int, title: str) -> None:
    sheet.text((_MARGIN, top + 46), title, 27)
    for place, index in enumerate(_chosen(images)):
        row, column = divmod(place, COLUMNS)
        corner = (_MARGIN + column * (_TILE + _GAP), top + _TITLE + row * (_TILE + _CAPTION + _GAP))
        view = PAIR[int(images.views[index])]
        sheet.paste(_tile(images.images[index], view), corner)
        sheet.text((corner[0] + _TILE / 2, corner[1] + _TILE + 18), view.value, 17, anchor="ms", grey=110)


def _chosen(images: GanImages) -> list[int]:
    """A row of anterior views and a row of posterior ones: the first ones, not selected."""
    return [index for view in range(len(PAIR)) for index in np.flatnonzero(images.views == view)[:COLUMNS].tolist()]


def _tile(image: FloatImage, view: View) -> Image.Image:
    acquired = mirror(image) if view is View.POSTERIOR else image
    grey = 255.0 * (1.0 - np.clip(acquired / _BLACK, 0.0, 1.0))
    return Image.fromarray(np.rint(grey).astype(np.uint8)).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
