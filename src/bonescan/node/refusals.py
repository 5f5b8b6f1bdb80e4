"""Why a scan has no result, in the words of the node: what is no whole-body bone scan, and views that are not told."""

from __future__ import annotations

from bonescan.dicom.views import how_to_state
from bonescan.errors import InputError, ViewError

_NO_BONE_SCAN = (
    "the file is not nuclear medicine",
    "the file is not an NM image",
    "the file is a picture for display",
    "the image is not WHOLE BODY",
    "the matrix of ",
)
"""How the sentences of `dicom/accept.py` begin that say that the file is something else than a whole-body scan. The
others are about whole-body scans that are damaged or were changed."""
_CHOOSE_FRAMES = "; choose the two views of the whole body with --frames"
_MOST_STATION_LETTERS = 16
"""The longest Station Name (PS3.5 6.2, SH)."""


def is_no_bone_scan(error: InputError) -> bool:
    """Tell whether a file was refused because it is no whole-body bone scan, which needs no action."""
    return str(error).startswith(_NO_BONE_SCAN)


def in_node_words(error: InputError, station: str, views: int) -> str:
    """Return an error's sentence with what can be done at a node in place of options that only `segment` has.

    station: Station Name of the scan, "" where the header has none. views: how many the configuration states of it.
    """
    sentence = str(error)
    before, found, _ = sentence.partition(_CHOOSE_FRAMES)
    if found:
        return f"{before}; a node does not choose among frames: use `bonescan segment --frames` for this study"
    if not isinstance(error, ViewError):
        return sentence
    for frames in (1, 2):
        sentence = sentence.partition(f"; {how_to_state(frames)}")[0]
    if views:
        return (
            f"{sentence}; the views of {_named(station)} under [[stations]] do not fit this file: segment it with "
            "`bonescan segment --views`, or dismiss it with `bonescan node dismiss`"
        )
    return (
        f"{sentence}; state the views of {_named(station)} under [[stations]] in the configuration, restart the node, "
        "then run `bonescan node retry`"
    )


def _named(station: str) -> str:
    """Name a station in one line; the header may hold anything in its place."""
    plain = "".join(letter if letter.isprintable() and letter != "'" else "?" for letter in station)
    if not plain:
        return 'files without a Station Name (name = "")'
    return f"its station '{plain[:_MOST_STATION_LETTERS]}'"
