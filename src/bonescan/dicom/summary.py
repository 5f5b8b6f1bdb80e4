"""The values of a file that are needed to find studies in a folder. Imports no pydicom."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileSummary:
    """The values of a file that are needed to find studies in a folder, without its pixels.

    study_uid, series_uid: only for grouping, never shown. frames: how many. refusal: why it is no whole-body scan.
    station: the name of the station that made it, as its header says; "" where it does not.
    """

    study_uid: str
    series_uid: str
    frames: int
    refusal: str | None
    station: str = ""
