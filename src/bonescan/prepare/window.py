"""The part of the frames that is looked at, in the anterior frame's coordinates."""

from __future__ import annotations

from dataclasses import dataclass

from bonescan.errors import OptionError


@dataclass(frozen=True, slots=True)
class Window:
    """Rows and columns of one common window for both views.

    rows, cols: half-open, in pixels of the anterior frame and so of the mirrored posterior one; in the
        posterior frame as acquired the columns are the mirrored ones.
    confidence: 0..1, how sure an automatic window is; 1 for one that a person stated.
    note: what to tell the reader when the confidence is low, else None.
    """

    rows: slice
    cols: slice
    confidence: float = 1.0
    note: str | None = None

    def __post_init__(self) -> None:
        for name, extent in (("rows", self.rows), ("columns", self.cols)):
            stated = isinstance(extent.start, int) and isinstance(extent.stop, int) and extent.step in (None, 1)
            if not stated or not 0 <= extent.start < extent.stop:
                raise OptionError(
                    f"the window's {name} {extent.start}:{extent.stop} are not a range of pixels: "
                    "give first:last+1 with 0 <= first <= last"
                )

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, cols), to index an image with."""
        return self.rows, self.cols

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) that the window spans."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Window:
        """The window that is the whole frame of `shape` (rows, cols)."""
        return cls(slice(0, shape[0]), slice(0, shape[1]))

    def within(self, shape: tuple[int, int]) -> Window:
        """This window, checked to lie in a frame of `shape`; OptionError when it does not."""
        if self.rows.stop > shape[0] or self.cols.stop > shape[1]:
            raise OptionError(
                f"the window {self.rows.start}:{self.rows.stop}, {self.cols.start}:{self.cols.stop} leaves the frame "
                f"of {shape[0]} rows and {shape[1]} columns: give one inside it"
            )
        return self
