"""What the caller may give where a header does not say it. Imports no pydicom."""

from __future__ import annotations

from dataclasses import dataclass

from bonescan.errors import OptionError
from bonescan.study import View


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the caller states of scans whose headers do not say it.

    views: the view of each frame, in order; overrules the header.
    frames: which two frames of a file to read, numbers from 1.
    """

    views: tuple[View, ...] | None = None
    frames: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.views is not None and (not 1 <= len(self.views) <= 2 or len(set(self.views)) != len(self.views)):
            raise OptionError(f"views are one or two different ones, not {', '.join(self.views) or 'none'}")
        if self.frames is not None and (min(self.frames) < 1 or len(set(self.frames)) != 2):
            raise OptionError(f"frames are two different numbers from 1, not {', '.join(map(str, self.frames))}")
