"""What a training run says while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """One report. stage: "phantoms", "train", "validate", "calibrate" or "export".

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


Report = Callable[[Progress], None]
"""Where progress goes; nothing here prints."""


def silent(progress: Progress) -> None:
    """Report nowhere."""
