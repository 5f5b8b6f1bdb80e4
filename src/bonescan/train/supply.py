"""Cases that are read when they are first asked for, some of which do not exist yet. Imports no torch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol, overload

if TYPE_CHECKING:
    from bonescan.train.cases import Case


class Source(Protocol):
    """Cases that are read together; how many they are, and of which groups, is known before."""

    def __len__(self) -> int:
        """How many cases."""
        ...

    @property
    def groups(self) -> frozenset[str]:
        """Their patients or anatomies."""
        ...

    def load(self) -> Sequence[Case]:
        """Read the cases; may wait for them."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """Cases that are there already, as a source."""

    cases: Sequence[Case]

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def groups(self) -> frozenset[str]:
        """Their patients or anatomies."""
        return frozenset(case.facts.group for case in self.cases)

    def load(self) -> Sequence[Case]:
        """The cases."""
        return self.cases


class CaseList(Sequence["Case"]):
    """The cases of several sources as one sequence; a source is read once, when one of its cases is asked for."""

    def __init__(self, sources: Iterable[Source], read: dict[int, Sequence[Case]] | None = None) -> None:
        """read: what has been read of these sources, by number."""
        self.sources = tuple(sources)
        self._ends = list(accumulate(map(len, self.sources)))
        self._read = {} if read is None else read

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, place: int) -> Case: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Case]: ...
    def __getitem__(self, place: int | slice) -> Case | Sequence[Case]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = place + len(self) if place < 0 else place
        if not 0 <= number < len(self):
            raise IndexError(place)
        source = bisect_right(self._ends, number)
        if source not in self._read:
            self._read[source] = self.sources[source].load()
        first = self._ends[source] - len(self.sources[source])
        return self._read[source][number - first]

    def first(self, sources: int) -> CaseList:
        """The cases of the first sources; what either list reads, the other one has read, too."""
        return CaseList(self.sources[:sources], self._read)


def groups_of(cases: Sequence[Case]) -> frozenset[str]:
    """The patients or anatomies that cases are of; reads nothing."""
    if isinstance(cases, CaseList):
        return frozenset().union(*(source.groups for source in cases.sources))
    return frozenset(case.facts.group for case in cases)


FIRST_SOURCES = 12
"""As many sources of validation cases are there before the training begins, for the looks while it goes on."""


def spread(cases: Sequence[Case], most: int) -> Sequence[Case]:
    """The first cases; of a list of sources, the first ones of each of its first sources, then the second ones."""
    if not isinstance(cases, CaseList):
        return cases[:most]
    lengths = [len(source) for source in cases.sources[:FIRST_SOURCES]]
    ends = [0, *accumulate(lengths)]
    turns = [(place, ends[number] + place) for number, length in enumerate(lengths) for place in range(length)]
    return [cases[number] for _, number in sorted(turns)[:most]]


@dataclass(frozen=True, slots=True, eq=False)
class Growth:
    """How a list of cases is taken in: the first sources at once, the others one by one, evenly, over some steps."""

    cases: CaseList
    first: int
    steps: int

    def at(self, step: int) -> CaseList:
        """The cases of the sources that are in use at a step."""
        return self.cases.first(self.sources_at(step))

    def sources_at(self, step: int) -> int:
        """How many sources are in use at a step."""
        total = len(self.cases.sources)
        if step >= self.steps:
            return total
        return min(total, self.first) + max(0, total - self.first) * step // self.steps
