"""What finding studies in a folder needs to know of a file. Imports no pydicom."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What finding studies in a folder needs to know of a file, without its pixels.

    study_uid, series_uid: for grouping alone, never shown. frames: how many. refusal: why it is no whole-body scan.
    station: the name of the station that made it, as its header says; "" where it does not.
    """

    study_uid: str
    series_uid: str
    frames: int
    refusal: str | None
    station: str = ""
