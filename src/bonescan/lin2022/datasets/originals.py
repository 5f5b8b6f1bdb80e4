"""The studies that a data set begins with: simulated, or read from a cohort, cut around the thoracic window.

Unlabelled studies of a cohort are also learned from, by the losses that need no labels. They are never tested on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bonescan.errors import BonescanError, InputError, LabelError
from bonescan.evaluate.cohort import TrueStudy, find_truth, read_truth
from bonescan.lin2022.datasets.moves import Move, Planes, apply_move
from bonescan.lin2022.datasets.plan import PAPER_PATIENTS, DatasetOptions, PatientOptions, ReaderOptions
from bonescan.lin2022.datasets.readings import agreed_labels, simulated_readings, stored_readings
from bonescan.phantom import make_anatomy, make_patient
from bonescan.prepare import skeletal_reference
from bonescan.prepare.aggregate import binning_of
from bonescan.prepare.crop import EDGE_PX, thoracic_window
from bonescan.reading import ReadOptions, discover, read_study
from bonescan.reading.patients import KnownPatients, digest_of, same_pixels, stated_patient
from bonescan.reading.view_doubts import view_doubts
from bonescan.study import Study, View
from bonescan.train.cases import drawn, pair_counts, pair_labels, pair_truth

FIRST_ANATOMY = 2_000_000
"""Seed of the first anatomy of seed 0. Training phantoms begin at 1,000,000, their validation at 1,500,000, and test
phantoms lie below 1,000,000."""

ANATOMIES_A_SEED = 10_000

Number = TypeVar("Number", bound=np.generic)
GAN = "gan"
"""Folder of GAN samples in a data set, and their patient name, as they have no patient."""

Given = TypeVar("Given")
Made = TypeVar("Made")
References = tuple[float, float, float]


class Spread(Protocol):
    """A `map` in this process or over several. Results come in the order of the orders."""

    def __call__(self, work: Callable[[Given], Made], orders: Iterable[Given], /) -> Iterator[Made]:
        """Do the work of each order."""


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """One study before augmentation.

    planes: the thoracic window with a margin on all sides, zero outside the frame. agreed: lesions as in `planes`, by
    the consensus of readers; None if none was asked for.
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
    agreed: NDArray[np.uint8] | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether any of its views has lesion truth."""
        return any(self.labelled)

    @property
    def has_lesion(self) -> bool:
        """Whether an annotated lesion lies in the window."""
        return bool(drawn(apply_move(self.planes, Move()).lesions).any())


@dataclass(frozen=True, slots=True)
class Chosen:
    """The originals, sorted by patient, and the patients that were left out.

    left_out: number of patients. reasons: for a cohort, sentences about who was left out and why. doubts: for a cohort,
    sentences about scans whose views may be the wrong way round.
    """

    originals: tuple[Original, ...]
    left_out: int
    reasons: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def patients(self) -> frozenset[str]:
        """All patients."""
        return frozenset(original.patient for original in self.originals)

    @property
    def unlabelled(self) -> frozenset[str]:
        """The patients without any label."""
        return self.patients - {original.patient for original in self.originals if original.is_labelled}


@dataclass(frozen=True, slots=True, eq=False)
class FrameTruth:
    """What is known of whole frames, each (2, rows, cols) uint8, the posterior mirrored; see `Original`."""

    lesions: NDArray[np.uint8]
    regions: NDArray[np.uint8] | None = None
    agreed: NDArray[np.uint8] | None = None
    labelled: tuple[bool, bool] = (True, True)


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """One study of a cohort as read. digest, patient, doubts: of `digest_of`, `stated_patient` and `view_doubts`."""

    original: Original
    digest: str
    patient: str | None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Order:
    """One patient to simulate, or one study of a cohort to read."""

    number: int
    seed: int
    margin: int
    readers: ReaderOptions | None
    folder: Path = Path()
    patient: str = ""
    study: str = ""
    labelled: bool = True
    reading: ReadOptions | None = None


def simulate_originals(options: DatasetOptions, spread: Spread, processes: int, found: Callable[[int], None]) -> Chosen:
    """Simulate patients, each of an anatomy of its own, until enough have a thoracic lesion.

    They are taken in the order of their numbers, for any number of processes. found: called with how many were found.
    """
    wanted = PAPER_PATIENTS if options.patients.count is None else options.patients.count
    originals: list[Original] = []
    number = 0
    while len(originals) < wanted and number < ANATOMIES_A_SEED:
        # As many as are still needed, and at least one for each process.
        batch = range(number, number + max(wanted - len(originals), processes))
        orders = [_Order(one, options.seed, options.moves.reach_px, options.readers) for one in batch]
        for original in spread(_simulate, orders):
            if len(originals) == wanted:
                break
            number += 1
            if original is not None:
                originals.append(original)
                found(len(originals))
    return Chosen(tuple(originals), number - len(originals))


def _simulate(order: _Order) -> Original | None:
    """One patient; None without a lesion in the thoracic window."""
    patient = make_patient(make_anatomy(anatomy_seed(order.seed, order.number)), 0)
    study, agreed = patient.study, None
    if order.readers is not None:
        readings = simulated_readings(patient, order.readers, order.seed)
        agreed = agreed_labels(readings, study.shape, order.readers.tolerance, (order.seed, order.number))
    truth = FrameTruth(
        pair_truth(patient.lesions, patient.faint, study.shape), pair_labels(patient.regions, study.shape), agreed
    )
    original = cut_original(study, (f"patient-{order.number:04d}", "study"), truth, order.margin)
    return original if original.has_lesion else None


def anatomy_seed(seed: int, number: int) -> int:
    """The seed of the anatomy of patient `number` of a data set's seed."""
    return FIRST_ANATOMY + seed * ANATOMIES_A_SEED + number


def cut_original(study: Study, name: tuple[str, str], truth: FrameTruth, margin: int) -> Original:
    """Cut the common window, with `margin` pixels on all sides, from both views.

    name: patient and study. Raises InputError for a frame whose pixels would have to be added up or split.
    """
    if binning_of(study) != 1:
        raise InputError(
            f"{'/'.join(name)} has a matrix of {study.shape[0]} x {study.shape[1]} pixels, finer or coarser than the "
            f"window of {EDGE_PX} x {EDGE_PX} is made for: export it with pixels of about 2.3 mm"
        )
    window = thoracic_window(study)
    corner = tuple((extent.start + extent.stop - EDGE_PX) // 2 - margin for extent in window.slices)
    counts = pair_counts(study)
    lesions, regions, agreed = (
        None if frame is None else _cut_frame(frame, corner, margin)
        for frame in (truth.lesions, truth.regions, truth.agreed)
    )
    assert lesions is not None
    return Original(
        patient=name[0],
        study=name[1],
        planes=Planes(_cut_frame(counts, corner, margin), lesions, regions),
        references=references_of(counts),
        spacing_mm=None if study.spacing is None else (study.spacing.row_mm, study.spacing.col_mm),
        present=(View.ANTERIOR in study.scans, View.POSTERIOR in study.scans),
        labelled=truth.labelled,
        agreed=agreed,
    )


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


def read_originals(options: DatasetOptions, spread: Spread, found: Callable[[int, int], None]) -> Chosen:
    """Read the studies of a cohort. Labelled patients without a thoracic lesion are left out, or kept where wanted.

    All patients without labels are kept unless only labelled studies are wanted; their scans that cannot be used are
    left out. Folders whose scans state one Patient ID are of one patient, who has the name of the first.
    found: called with the number of studies read, and of all. Raises InputError for a folder without truth, a labelled
    scan that cannot be read or that is there twice, LabelError for a file of truth that cannot be used.
    """
    assert options.patients.cohort is not None
    labelled = find_truth(options.patients.cohort)
    others = [] if options.patients.only_labelled else _unlabelled(options.patients.cohort, labelled)
    studies = sorted([*labelled, *others], key=lambda study: study.folder)
    if not labelled:
        raise InputError(f"{options.patients.cohort} holds no labelled study: give a cohort folder with truth")
    if any(study.patient == GAN for study in studies):
        raise InputError(f"a patient's folder is called {GAN!r}, which is where samples lie: rename it")
    orders = [
        _Order(
            number,
            options.seed,
            options.moves.reach_px,
            options.readers,
            study.folder,
            study.patient,
            _name(study),
            study in labelled,
            options.patients.reading,
        )
        for number, study in enumerate(studies)
    ]
    read: list[_Read] = []
    reasons: list[str] = []
    for done, one in enumerate(spread(_read, orders), start=1):
        if isinstance(one, str):
            reasons.append(one)
        else:
            read.append(one)
        found(done, len(orders))
    chosen = _choose(_by_patient(read, reasons), reasons, options.patients)
    doubts = (f"{one.original.patient}/{one.original.study}: {doubt}" for one in read for doubt in one.doubts)
    return replace(chosen, doubts=tuple(doubts))


def _by_patient(read: Sequence[_Read], reasons: list[str]) -> list[Original]:
    """Each scan once, under the first name of its patient, sorted by patient; `reasons` names unlabelled twins.

    Raises InputError for two labelled studies of the same pixels: their labels may differ.
    """
    known = KnownPatients()
    originals: list[Original] = []
    # Labelled ones first, so that the twin that is left out is the one without labels.
    for one in sorted(read, key=lambda one: not one.original.is_labelled):
        original, name = one.original, f"{one.original.patient}/{one.original.study}"
        twin = known.twin(one.digest, name)
        if twin is not None and original.is_labelled:
            raise InputError(same_pixels(name, twin))
        if twin is not None:
            reasons.append(f"{name}: not labelled, and it has the same pixels as {twin}")
            continue
        first = known.first_name(one.patient, original.patient)
        if first != original.patient:
            original = replace(original, patient=first, study=f"{original.patient}-{original.study}")
        originals.append(original)
    return sorted(originals, key=lambda original: original.patient)


def _unlabelled(cohort: Path, labelled: Sequence[TrueStudy]) -> list[TrueStudy]:
    """The studies below a cohort that have a scan and no label, in folders of their own like the labelled ones."""
    known = {study.folder.resolve() for study in labelled}
    found: dict[Path, TrueStudy] = {}
    for files in discover([cohort]):
        if files.kind == "none":  # then the path is the cohort itself
            continue
        folder = files.paths[0].parent
        below = folder.relative_to(cohort).parts
        if not below or folder.resolve() in known:
            continue
        found[folder] = TrueStudy(folder, below[0], "/".join(below), ())
    return list(found.values())


def _choose(read: Sequence[Original], reasons: Sequence[str], options: PatientOptions) -> Chosen:
    """Keep the wanted number of labelled patients, and all patients without labels."""
    taken: list[Original] = []
    told, labelled, more, left_out = list(reasons), 0, 0, len(reasons)
    for patient, group in groupby(read, key=lambda original: original.patient):
        studies = list(group)
        if not any(original.is_labelled for original in studies):
            taken += studies
        elif not (options.keep_lesion_free or any(original.has_lesion for original in studies)):
            left_out += 1
            told.append(f"{patient}: no lesion in the thoracic window (--keep-lesion-free keeps such patients)")
        elif options.count is not None and labelled >= options.count:
            more += 1
        else:
            labelled += 1
            taken += studies
    if more:
        told.append(f"{more} labelled patients beyond the {options.count} that were asked for")
    return Chosen(tuple(taken), left_out, tuple(told))


def _name(study: TrueStudy) -> str:
    """The study's name below its patient: two studies of one patient differ in some folder of their paths."""
    return "-".join(PurePosixPath(study.study).parts[1:]) or study.folder.resolve().name


def _read(order: _Order) -> _Read | str:
    """One study of a cohort, or the reason why an unlabelled one cannot be used."""
    name = (order.patient, order.study)
    try:
        study = read_study(order.folder, order.reading)
        if not order.labelled:
            nothing = np.zeros((2, *study.shape), dtype=np.uint8)
            original = cut_original(study, name, FrameTruth(nothing, labelled=(False, False)), order.margin)
            return _known(original, study, order.folder)
        truth = _frame_truth(study, order)
    except BonescanError as error:
        if not order.labelled:
            return f"{'/'.join(name)}: not labelled, and not usable without: {error}"
        raise type(error)(f"{'/'.join(name)}: {error}") from None
    return _known(cut_original(study, name, truth, order.margin), study, order.folder)


def _known(original: Original, study: Study, folder: Path) -> _Read:
    (files,) = discover([folder])
    return _Read(original, digest_of(study), stated_patient(files), view_doubts(study))


def _frame_truth(study: Study, order: _Order) -> FrameTruth:
    truth = read_truth(order.folder, study)
    for view, one in truth.items():
        if one.lesions.shape != study.shape:
            raise LabelError(
                f"the {view} truth has {one.lesions.shape[0]} x {one.lesions.shape[1]} pixels and the scan "
                f"{study.shape[0]} x {study.shape[1]}: label the frame as acquired"
            )
    faint = {view: one.faint for view, one in truth.items() if one.faint is not None}
    regions = {view: one.regions for view, one in truth.items() if one.regions is not None}
    agreed = None
    if order.readers is not None:
        readings = stored_readings(order.folder, study)
        agreed = agreed_labels(readings, study.shape, order.readers.tolerance, (order.seed, order.number))
    return FrameTruth(
        lesions=pair_truth({view: one.lesions for view, one in truth.items()}, faint, study.shape),
        regions=pair_labels(regions, study.shape) if set(regions) == set(study.scans) else None,
        agreed=agreed,
        labelled=(View.ANTERIOR in truth, View.POSTERIOR in truth),
    )
