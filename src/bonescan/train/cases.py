"""Labelled patients as networks learn from them: counts, or expected counts, and masks; the posterior view mirrored.

A list of cases may be of sources that are read when they are first asked for, some of which do not exist yet.
Imports no torch.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.prepare import Normalisation, body_mask, mirror, skeletal_reference
from bonescan.study import Study, View

FAINT = 255
"""Among lesion numbers, which are kept in a byte: a lesion that does not stand out, neither lesion nor background."""
MOST_LESIONS = FAINT - 1
MOST_COUNTS = 65_504
"""The largest count that is kept, which float16 holds as well: only bladders and injections are hotter.

Between 0.0001 and this, float16 is right to one in 2,000; the noise of 4 million counts is no less.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One patient's scan with its truth; arrays may be memory-mapped.

    image: (2, rows, cols), anterior and mirrored posterior; zeros where a view is absent. The uint16 counts of a scan,
    or the float16 expected counts of a simulated one: counts are then drawn when they are asked for, as the last step
    of what happens to the picture, so that their noise is that of a scan.
    lesions: (2, rows, cols) uint8, lesion numbers, 0 = none, FAINT = no truth.
    regions: (2, rows, cols) uint8 into `REGIONS`. facts: what is precomputed of them.
    benign: (2, rows, cols) uint8, 1 on benign findings that stand out. levels: the same shape, uint8 into `LEVELS`.
    Both None where they are not known.
    """

    image: NDArray[np.uint16] | NDArray[np.float16]
    lesions: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    facts: CaseFacts
    benign: NDArray[np.uint8] | None = None
    levels: NDArray[np.uint8] | None = None

    @property
    def expected(self) -> bool:
        """Whether `image` holds expected counts."""
        return self.image.dtype == np.float16

    @property
    def counts(self) -> NDArray[np.uint16]:
        """The counts (2, rows, cols) uint16: those of the scan, or one Poisson draw that the case's key decides."""
        return draw_counts(self.image, self.facts.key)


def draw_counts(image: NDArray[np.uint16] | NDArray[np.float16], key: str) -> NDArray[np.uint16]:
    """Counts as they are, or one Poisson draw of expected counts, always the same one for a key."""
    if image.dtype != np.float16:
        return np.asarray(image, dtype=np.uint16)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]))
    return np.minimum(rng.poisson(image.astype(np.float32)), MOST_COUNTS).astype(np.uint16)


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What is known of a case without opening its arrays.

    group: patient or anatomy: what must not be in training and validation at once.
    references: skeletal reference of both views, of the anterior alone, of the posterior alone.
    body_rows: first row of the patient and one after the last.
    lesion_rows, benign_rows: middle row of each lesion, and of each benign finding, in either view.
    labelled: which views have lesion truth. has_regions: whether the region maps are truth.
    """

    key: str
    group: str
    references: tuple[float, float, float]
    body_rows: tuple[int, int]
    lesion_rows: tuple[int, ...]
    labelled: tuple[bool, bool] = (True, True)
    has_regions: bool = True
    benign_rows: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CaseFacts:
        """Read what `dataclasses.asdict` and JSON made of it."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Split:
    """Training and validation cases; no group is in both. growth: where training takes in more cases as it goes on.

    warnings: sentences about cases that somebody should look at.
    """

    training: Sequence[Case]
    validation: Sequence[Case]
    growth: Growth | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shared = groups_of(self.training) & groups_of(self.validation)
        if shared:
            raise ValueError(f"{len(shared)} patients are in training and validation at once")

    def training_at(self, step: int) -> Sequence[Case]:
        """The cases that are learned from at a step: a function of the step alone, whatever there is by then."""
        return self.training if self.growth is None else self.growth.at(step)


def pair_counts(study: Study) -> NDArray[np.uint16]:
    """Counts of a study as (2, rows, cols) uint16; an absent view is zero."""
    pair = np.zeros((2, *study.shape), dtype=np.uint16)
    for channel, view in enumerate(View):
        if view in study.scans:
            counts = np.clip(np.rint(study.counts(view)), 0, np.iinfo(np.uint16).max)
            pair[channel] = counts if view is View.ANTERIOR else mirror(counts)
    return pair


def pair_expected(expected: Mapping[View, NDArray[Any]], shape: tuple[int, int]) -> NDArray[np.float16]:
    """Expected counts per view, as acquired, as (2, rows, cols) float16; an absent view is zero."""
    pair = np.zeros((2, *shape), dtype=np.float16)
    for channel, view in enumerate(View):
        if view in expected:
            image = np.clip(expected[view], 0, MOST_COUNTS)
            pair[channel] = image if view is View.ANTERIOR else mirror(image)
    return pair


def pair_labels(labels: Mapping[View, NDArray[Any]], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Label images per view, as acquired, as (2, rows, cols) uint8; numbers beyond a byte share the last one."""
    pair = np.zeros((2, *shape), dtype=np.uint8)
    for channel, view in enumerate(View):
        if view in labels:
            image = np.minimum(labels[view], MOST_LESIONS)
            pair[channel] = image if view is View.ANTERIOR else mirror(image)
    return pair


def pair_truth(
    lesions: Mapping[View, NDArray[Any]], faint: Mapping[View, NDArray[Any]], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Lesion numbers and faint lesions per view, as acquired, as (2, rows, cols) uint8."""
    pair = pair_labels(lesions, shape)
    pair[(pair_labels(faint, shape) > 0) & (pair == 0)] = FAINT
    return pair


def drawn(lesions: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where lesion truth says lesion; faint ones are not drawn."""
    return np.asarray((lesions > 0) & (lesions != FAINT))


def union_truth(lesions: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Truth of the views added, for both channels of (2, rows, cols): lesion where either has one, else faint, else 0.

    The views' numbers are not kept: what hangs together is one lesion, and so is one that both views show.
    """
    numbers, _ = ndimage.label(drawn(lesions).any(axis=0), structure=np.ones((3, 3)))
    faint = (lesions == FAINT).any(axis=0)
    union = np.where(faint & (numbers == 0), FAINT, np.minimum(numbers, MOST_LESIONS)).astype(np.uint8)
    return np.stack([union, union])


def find_facts(
    key: str,
    group: str,
    counts: NDArray[np.uint16],
    lesions: NDArray[np.uint8],
    normalisation: Normalisation,
    benign: NDArray[np.uint8] | None = None,
) -> CaseFacts:
    """Precompute what training asks of every case at every step. benign: numbers of benign findings."""
    references = (
        skeletal_reference(counts, normalisation),
        skeletal_reference(counts[:1], normalisation),
        skeletal_reference(counts[1:], normalisation),
    )
    rows = np.flatnonzero(body_mask(counts.sum(axis=0, dtype=np.float32), normalisation).any(axis=1))
    body_rows = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, counts.shape[1])
    found = () if benign is None else _middles(benign)
    return CaseFacts(key, group, references, body_rows, _middles(lesions), benign_rows=found)


def _middles(numbers: NDArray[np.uint8]) -> tuple[int, ...]:
    """Middle row of each numbered thing of (2, rows, cols), in either view."""
    # A number that no pixel has leaves a None among the boxes.
    boxes = [box for view in numbers for box in filter(None, ndimage.find_objects(view, max_label=MOST_LESIONS))]
    return tuple((box[0].start + box[0].stop) // 2 for box in boxes)


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
