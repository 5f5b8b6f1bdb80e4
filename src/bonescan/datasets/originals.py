"""The studies that a data set begins with: simulated, or read from a cohort, cut around the thoracic window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bonescan.datasets.moves import Move, Planes, apply_move
from bonescan.datasets.options import DatasetOptions
from bonescan.errors import BonescanError, InputError
from bonescan.prepare import skeletal_reference
from bonescan.prepare.binning import binning_of
from bonescan.prepare.crop import EDGE_PX, thoracic_window
from bonescan.study import Study, View
from bonescan.train.cases import drawn, pair_counts, pair_labels, pair_truth

FIRST_ANATOMY = 2_000_000
"""Seed of the first anatomy of seed 0. Training phantoms begin at 1,000,000, their validation at 1,500,000, and test
phantoms lie below 1,000,000."""

ANATOMIES_A_SEED = 10_000
PAPER_PATIENTS = 56

Number = TypeVar("Number", bound=np.generic)
References = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """One study before augmentation.

    planes: the thoracic window with a margin all around, zero outside the frame.
    references: of the whole frame: of both views, of the anterior alone, of the posterior alone.
    present, labelled: which views (anterior, posterior) there are, and which have lesion truth.
    """

    patient: str
    study: str
    planes: Planes
    references: References
    spacing_mm: tuple[float, float] | None
    present: tuple[bool, bool] = (True, True)
    labelled: tuple[bool, bool] = (True, True)

    @property
    def has_lesion(self) -> bool:
        """Whether a lesion that is drawn lies in the window."""
        return bool(drawn(apply_move(self.planes, Move()).lesions).any())


@dataclass(frozen=True, slots=True)
class Chosen:
    """The originals, sorted by patient, and how many patients were looked at and left out for want of a lesion."""

    originals: tuple[Original, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class _Order:
    """One patient to simulate, or one study of a cohort to read."""

    number: int
    seed: int
    margin: int
    folder: Path | None = None
    patient: str = ""


def simulate_originals(options: DatasetOptions, pool: Executor, processes: int, found: Callable[[int], None]) -> Chosen:
    """Simulate patients, each of an anatomy of its own, until enough have a thoracic lesion.

    They are taken in the order of their numbers, whatever the number of processes. found: told how many there are.
    """
    wanted = PAPER_PATIENTS if options.patients.count is None else options.patients.count
    originals: list[Original] = []
    number = 0
    while len(originals) < wanted and number < ANATOMIES_A_SEED:
        # No more than can all be needed, so that none is simulated in vain; but no idle process either.
        batch = range(number, number + max(wanted - len(originals), processes))
        orders = [_Order(one, options.seed, options.moves.reach_px) for one in batch]
        for original in pool.map(_simulate, orders):
            if len(originals) == wanted:
                break
            number += 1
            if original is not None:
                originals.append(original)
                found(len(originals))
    return Chosen(tuple(originals), number - len(originals))


def _simulate(order: _Order) -> Original | None:
    """One patient; None without a lesion in the thoracic window."""
    from bonescan.phantom import make_anatomy, make_patient

    patient = make_patient(make_anatomy(anatomy_seed(order.seed, order.number)), 0)
    study = patient.study
    lesions = pair_truth(patient.lesions, patient.faint, study.shape)
    regions = pair_labels(patient.regions, study.shape)
    original = cut_original(study, (f"patient-{order.number:04d}", "study"), lesions, regions, order.margin)
    return original if original.has_lesion else None


def anatomy_seed(seed: int, number: int) -> int:
    """The seed of the anatomy of patient `number` of a data set's seed."""
    return FIRST_ANATOMY + seed * ANATOMIES_A_SEED + number


def cut_original(
    study: Study,
    name: tuple[str, str],
    lesions: NDArray[np.uint8],
    regions: NDArray[np.uint8] | None,
    margin: int,
) -> Original:
    """Cut the common window, with `margin` pixels all around, from both views.

    name: patient and study. lesions, regions: (2, rows, cols) of the frame, the posterior mirrored.
    Raises InputError for a frame of so fine a matrix that it would have to be resampled.
    """
    if binning_of(study) != 1:
        raise InputError(
            f"{'/'.join(name)} has a matrix of {study.shape[0]} x {study.shape[1]} pixels, finer than the window of "
            f"{EDGE_PX} x {EDGE_PX} is made for: export it with pixels of about 2.3 mm"
        )
    window = thoracic_window(study)
    corner = tuple((extent.start + extent.stop - EDGE_PX) // 2 - margin for extent in window.slices)
    counts = pair_counts(study)
    planes = Planes(
        _cut_frame(counts, corner, margin),
        _cut_frame(lesions, corner, margin),
        None if regions is None else _cut_frame(regions, corner, margin),
    )
    spacing = None if study.spacing is None else (study.spacing.row_mm, study.spacing.col_mm)
    present = (View.ANTERIOR in study.scans, View.POSTERIOR in study.scans)
    return Original(*name, planes, references_of(counts), spacing, present, present)


def references_of(counts: NDArray[np.uint16]) -> References:
    """Skeletal reference of a pair (2, rows, cols): of both views, of the anterior alone, of the posterior alone."""
    return skeletal_reference(counts), skeletal_reference(counts[:1]), skeletal_reference(counts[1:])


def _cut_frame(frame: NDArray[Number], corner: tuple[int, ...], margin: int) -> NDArray[Number]:
    """Cut EDGE_PX + 2 margin pixels squared at `corner`; zero outside the frame."""
    edge = EDGE_PX + 2 * margin
    cut = np.zeros((2, edge, edge), dtype=frame.dtype)
    spans = [
        (slice(max(-start, 0), min(length - start, edge)), slice(max(start, 0), min(start + edge, length)))
        for start, length in zip(corner, frame.shape[1:], strict=True)
    ]
    cut[:, spans[0][0], spans[1][0]] = frame[:, spans[0][1], spans[1][1]]
    return cut


def read_originals(options: DatasetOptions, pool: Executor, found: Callable[[int, int], None]) -> Chosen:
    """Read the labelled studies of a cohort; patients without a thoracic lesion are left out, or kept where wanted.

    found: told how many studies are read, of how many. Raises InputError for a folder without truth or a scan that
    cannot be read, LabelError for a file of truth that cannot be used.
    """
    from bonescan.evaluate.cohort import find_truth

    assert options.patients.cohort is not None
    studies = find_truth(options.patients.cohort)
    if not studies:
        raise InputError(f"{options.patients.cohort} holds no labelled study: give a cohort folder with truth")
    orders = [
        _Order(number, options.seed, options.moves.reach_px, study.folder, study.patient)
        for number, study in enumerate(studies)
    ]
    read: list[Original] = []
    for original in pool.map(_read, orders):
        read.append(original)
        found(len(read), len(orders))
    patients = [list(group) for _, group in groupby(read, key=lambda original: original.patient)]
    wanted = [
        group
        for group in patients
        if options.patients.keep_lesion_free or any(original.has_lesion for original in group)
    ]
    taken = wanted[: options.patients.count]
    return Chosen(tuple(original for group in taken for original in group), len(patients) - len(wanted))


def _read(order: _Order) -> Original:
    from bonescan.evaluate.cohort import read_truth
    from bonescan.reading import read_study

    assert order.folder is not None
    name = (order.patient, order.folder.name)
    try:
        study = read_study(order.folder)
        truth = read_truth(order.folder)
    except BonescanError as error:
        raise type(error)(f"{'/'.join(name)}: {error}") from None
    for view, one in truth.items():
        if one.lesions.shape != study.shape:
            raise InputError(
                f"the {view} truth of {'/'.join(name)} has {one.lesions.shape[0]} x {one.lesions.shape[1]} pixels and "
                f"its scan {study.shape[0]} x {study.shape[1]}: label the frame as acquired"
            )
    truth = {view: one for view, one in truth.items() if view in study.scans}
    faint = {view: one.faint for view, one in truth.items() if one.faint is not None}
    lesions = pair_truth({view: one.lesions for view, one in truth.items()}, faint, study.shape)
    regions = {view: one.regions for view, one in truth.items() if one.regions is not None}
    maps = pair_labels(regions, study.shape) if set(regions) == set(study.scans) else None
    original = cut_original(study, name, lesions, maps, order.margin)
    labelled = (View.ANTERIOR in truth, View.POSTERIOR in truth)
    return Original(
        original.patient,
        original.study,
        original.planes,
        original.references,
        original.spacing_mm,
        original.present,
        labelled,
    )


def by_patient(originals: tuple[Original, ...]) -> Iterator[tuple[str, list[Original]]]:
    """The studies of each patient."""
    for patient, group in groupby(originals, key=lambda original: original.patient):
        yield patient, list(group)
