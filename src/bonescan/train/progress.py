"""What a training run says while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Progress:
    """One report. stage: "phantoms", "train", "validate", "calibrate", "thresholds" or "export".

    done of total: anatomies, steps or patients. seconds_left: None while unknown. figures: losses or measures by name.
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(filter(None, (f"{self.stage} {self.done}/{self.total}", self.detail)))

    @property
    def detail(self) -> str:
        """The figures and the remaining time, in words."""
        parts = [f"{name} {value:.4g}" for name, value in self.figures.items()]
        if self.seconds_left is not None:
            minutes, seconds = divmod(round(self.seconds_left), 60)
            parts.append(f"{minutes}:{seconds:02d} left")
        return ", ".join(parts)


class Pace:
    """The remaining time of each stage, from the time that its steps have taken so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage, self._first, self._began = "", 0, 0.0

    def timed(self, progress: Progress) -> Progress:
        """The report with its remaining time, which is unknown at the first report of a stage."""
        now = self._clock()
        if progress.stage != self._stage or progress.done < self._first:
            self._stage, self._first, self._began = progress.stage, progress.done, now
        took = progress.done - self._first
        if progress.seconds_left is not None or took <= 0:
            return progress
        return replace(progress, seconds_left=(now - self._began) / took * (progress.total - progress.done))


Report = Callable[[Progress], None]
"""Where progress goes; nothing here prints."""


Note = Callable[[str], None]
"""Where single sentences go."""


def silent(progress: Progress) -> None:
    """Report nowhere."""


def unsaid(sentence: str) -> None:
    """Drop a sentence."""
