"""The font of pages and of pictures that name people, the replacement of letters that it lacks, and breaks of lines.

The font is part of the package (`fonts/README.md`) and is embedded in every page. Fonts that a viewer should provide,
such as those for ideographs, are not used: a viewer without them leaves the letters out, which could change a name. A
letter that cannot be drawn becomes a question mark, and a line on the page says so.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect
from collections.abc import Callable
from functools import cache
from pathlib import Path

SANS, BOLD = "DejaVuSansCondensed", "DejaVuSansCondensed-Bold"
SANS_FILE, BOLD_FILE = (Path(__file__).parent / "fonts" / f"{name}.ttf" for name in (SANS, BOLD))
UNKNOWN = "?"
UNKNOWN_NOTE = f"{UNKNOWN} stands for a letter that cannot be drawn here; the header of the source holds it."


@cache
def register() -> frozenset[int]:
    """Make the fonts known to reportlab; return the code points that they can draw."""
    # Imported on use: most pictures name no patient, and need no PDF.
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for name, file in ((SANS, SANS_FILE), (BOLD, BOLD_FILE)):
        pdfmetrics.registerFont(TTFont(name, str(file)))
    return frozenset(pdfmetrics.getFont(SANS).face.charToGlyph)  # type: ignore[attr-defined]


def drawable(text: str) -> str:
    """Return text with a question mark for each letter that the font lacks.

    Letters and accents are composed first (NFC), as the font cannot place separate accents.
    """
    known = register()
    return "".join(letter if ord(letter) in known else UNKNOWN for letter in unicodedata.normalize("NFC", text))


def has_unknown(text: str) -> bool:
    """Tell whether `drawable` puts a question mark in place of a letter."""
    return drawable(text).count(UNKNOWN) > text.count(UNKNOWN)


def broken(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break text into lines that measure at most `width`, at blanks; only a longer word is broken inside."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if measure(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = pieces(word, width, measure)
        lines += whole
    return [*lines, line] if line or not lines else lines


def pieces(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Cut text anywhere into pieces that measure at most `width`; text that fits is one piece."""
    cut = []
    while measure(text) > width and len(text) > 1:
        fits = _fitting(text, width, measure)
        cut.append(text[:fits])
        text = text[fits:]
    return [*cut, text]


def _fitting(text: str, width: float, measure: Callable[[str], float]) -> int:
    """Return how many letters of a longer text fit, at least one."""
    return max(bisect(range(1, len(text)), width, key=lambda count: measure(text[:count])), 1)
