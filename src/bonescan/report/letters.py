"""The letters of pages and pictures: the font that is brought along, and what to do about a letter that it lacks.

The font is embedded in every page. Fonts that a viewer is said to bring, as those for ideographs, are not used: one
that has none leaves the letters out, and a missing letter could change a name. A letter that cannot be drawn becomes a
question mark, and a line says so.
"""

from __future__ import annotations

import unicodedata
from functools import cache

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from bonescan.report.fonts import BOLD, BOLD_FILE, SANS, SANS_FILE

UNKNOWN = "?"
UNKNOWN_NOTE = f"{UNKNOWN} stands for a letter that cannot be drawn here; the header of the source holds it."


@cache
def register() -> frozenset[int]:
    """Make the fonts known to reportlab; return the code points that they can draw."""
    for name, file in ((SANS, SANS_FILE), (BOLD, BOLD_FILE)):
        pdfmetrics.registerFont(TTFont(name, str(file)))
    return frozenset(pdfmetrics.getFont(SANS).face.charToGlyph)  # type: ignore[attr-defined]


def drawable(text: str) -> str:
    """Return text with a question mark for each letter that the font lacks.

    Letters and their accents are put together first, for the font places no accents of their own.
    """
    known = register()
    return "".join(letter if ord(letter) in known else UNKNOWN for letter in unicodedata.normalize("NFC", text))


def has_unknown(text: str) -> bool:
    """Tell whether `drawable` puts a question mark in place of a letter."""
    return drawable(text).count(UNKNOWN) > text.count(UNKNOWN)
