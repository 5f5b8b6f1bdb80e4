"""A sheet of grey and one ink colour, stored separately so that it is quickly turned into a small palette picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFont

from bonescan.report.letters import SANS_FILE

_FINER = 4
"""Lines are drawn this many times larger and reduced: Pillow's own lines have hard edges."""
_GREYS, _INK_GREYS, _INK_LEVELS = 128, 16, 8
"""The palette: first the greys without ink, then for each level of ink the greys under it."""

Point = tuple[float, float]


class Sheet:
    """Grey (0 black to 255 white) with ink of one colour on it; positions are (x, y) in pixels of the sheet."""

    def __init__(self, size: tuple[int, int], colour: tuple[int, int, int]) -> None:
        self.grey = Image.new("L", size, 255)
        self._ink = Image.new("L", size, 0)
        self._colour = colour
        self._grey_pen = ImageDraw.Draw(self.grey)
        self._ink_pen = ImageDraw.Draw(self._ink)

    def paste(self, picture: Image.Image, place: tuple[int, int]) -> None:
        """Put a grey picture at its upper left corner `place`."""
        self.grey.paste(picture, place)

    def rectangle(self, box: tuple[int, int, int, int], *, grey: int, fill: int | None = None, width: int = 1) -> None:
        """Draw a frame in a grey, and fill it where `fill` is given; box: left, top, right, bottom, all included."""
        self._grey_pen.rectangle(box, outline=grey, fill=fill, width=width)

    def text(self, place: Point, text: str, size: float, *, anchor: str = "ls", grey: int = 30) -> None:
        """Grey text; anchor as Pillow names it."""
        self._grey_pen.text(place, text, fill=grey, font=font(size), anchor=anchor)

    def patient_text(self, place: Point, text: str, size: float) -> None:
        """Draw grey text; `place` is the left end of its base line. The font has accents and other alphabets."""
        self._grey_pen.text(place, text, fill=30, font=wide_font(size), anchor="ls")

    def text_with_squares(self, place: Point, text: str, size: float, *, grey: int = 30) -> None:
        """As `text`, from the left; a superscript two, which the font lacks, is drawn as a small raised 2."""
        x, y = place
        for number, part in enumerate(text.split("\u00b2")):
            if number:
                self.text((x, y - 0.36 * size), "2", 0.6 * size, grey=grey)
                x += text_width("2", 0.6 * size)
            self.text((x, y), part, size, grey=grey)
            x += text_width(part, size)

    def ink_text(self, place: Point, text: str, size: float) -> None:
        """Draw coloured text, centred at `place`, with a white rim so that it can be read on the picture."""
        face = font(size)
        rim = max(1, round(size / 9))
        self._grey_pen.text(place, text, fill=255, font=face, anchor="mm", stroke_width=rim, stroke_fill=255)
        self._ink_pen.text(place, text, fill=255, font=face, anchor="mm")

    def ink_line(self, points: NDArray[np.float64], width: float) -> None:
        """A coloured line with soft edges through `points`, (n, 2) of (x, y)."""
        margin = int(np.ceil(width)) + 1
        left, top = (np.floor(points.min(axis=0)) - margin).astype(int).tolist()
        right, bottom = (np.ceil(points.max(axis=0)) + margin).astype(int).tolist()
        fine = Image.new("L", ((right - left) * _FINER, (bottom - top) * _FINER), 0)
        path = ((points - (left, top)) * _FINER).ravel().tolist()
        ImageDraw.Draw(fine).line(path, fill=255, width=max(1, round(width * _FINER)))
        stroke, box = fine.reduce(_FINER), (left, top, right, bottom)
        self._ink.paste(ImageChops.lighter(self._ink.crop(box), stroke), box)

    def picture(self) -> Image.Image:
        """The sheet as a palette picture ("P")."""
        index = self.grey.point([round(grey * (_GREYS - 1) / 255) for grey in range(256)])
        ink = np.asarray(self._ink)
        inked = np.nonzero(ink >= 255 // (2 * _INK_LEVELS))
        pixels = np.array(index)
        level = np.clip(np.rint(ink[inked].astype(np.float32) * _INK_LEVELS / 255), 1, _INK_LEVELS).astype(np.uint8)
        under = np.asarray(self.grey)[inked] // (256 // _INK_GREYS)
        pixels[inked] = _GREYS + (level - 1) * _INK_GREYS + under
        picture = Image.fromarray(pixels)
        picture.putpalette(self._palette())
        return picture

    def _palette(self) -> list[int]:
        greys = np.repeat(np.rint(np.linspace(0, 255, _GREYS))[:, None], 3, axis=1)
        share = np.arange(1, _INK_LEVELS + 1)[:, None, None] / _INK_LEVELS
        under = np.linspace(0, 255, _INK_GREYS)[None, :, None]
        inked = share * np.array(self._colour) + (1 - share) * under
        colours = np.concatenate([greys, np.rint(inked).reshape(-1, 3)])
        values: list[int] = colours.astype(int).ravel().tolist()
        return values


def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font at a height of `size` pixels."""
    return ImageFont.load_default(round(size))


def text_width(text: str, size: float) -> float:
    """Width of a line of text in pixels."""
    return float(font(size).getlength(text))


def patient_text_width(text: str, size: float) -> float:
    """Width of a line of `Sheet.patient_text` in pixels."""
    return float(wide_font(size).getlength(text))


def wide_font(size: float) -> ImageFont.FreeTypeFont:
    """Return the font of the pages; Pillow's own has only English letters."""
    return ImageFont.truetype(SANS_FILE, round(size), layout_engine=ImageFont.Layout.BASIC)
