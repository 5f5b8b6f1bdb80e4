"""Labelled patients of a cohort folder: cohort/<patient>/<study>/ with a scan and LabelMe files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bonescan.annotate.label_json import counts_digest
from bonescan.annotate.labelme import ignored_mask, label_image, read_labelme, refuse_another_image
from bonescan.errors import BonescanError, InputError, OptionError
from bonescan.prepare import Normalisation, mirror
from bonescan.prepare.aggregate import COARSEST_MM, FINEST_MM, binning_of
from bonescan.reading import discover, read_study
from bonescan.reading.patients import KnownPatients, digest_of, same_pixels, stated_patient
from bonescan.reading.view_doubts import view_doubts
from bonescan.study import Study, View
from bonescan.train.cases import Case, Split, find_facts, pair_counts, pair_labels, pair_truth
from bonescan.train.config import CohortConfig


def cohort_split(config: CohortConfig, normalisation: Normalisation) -> Split:
    """Read all labelled studies. A hash of the patient folder's name alone decides whether it is for validation.

    Folders whose scans state one Patient ID are of one patient, who goes by the name of the first. Raises InputError
    for a scan that is there twice, and for one that cannot be used; what is raised names the patient and the study.
    The split's warnings name scans whose views may be the wrong way round.
    """
    training: list[Case] = []
    validation: list[Case] = []
    warnings: list[str] = []
    known = KnownPatients()
    for folder in labelled_studies(Path(config.folder)):
        patient = known.first_name(_patient(folder), folder.parent.name)
        digest = hashlib.sha256(patient.encode()).digest()
        chosen = validation if int.from_bytes(digest[:4]) / 2**32 < config.validation_share else training
        name = f"{folder.parent.name}/{folder.name}"
        try:
            study = read_study(folder, config.reading)
            case = labelled_case(study, folder, patient, normalisation)
        except BonescanError as error:
            raise type(error)(f"{name}: {_with_key(str(error))}") from None
        twin = known.twin(digest_of(study), name)
        if twin is not None:
            raise InputError(same_pixels(name, twin))
        chosen.append(case)
        warnings += [f"{name}: {_with_key(doubt)}" for doubt in view_doubts(study)]
    return Split(training, validation, warnings=tuple(warnings))


def _with_key(sentence: str) -> str:
    """A sentence; where it names the option of other commands, also the key of a training's configuration."""
    return f"{sentence} (in this configuration: cohort.views, for all scans)" if "--views" in sentence else sentence


def cohort_digest(cases: Iterable[Case]) -> str:
    """A hash of what is learned from labelled cases, in any order: patients' and studies' names, counts and labels."""
    digest = hashlib.sha256()
    for case in sorted(cases, key=lambda case: (case.facts.group, case.facts.key)):
        facts = case.facts
        digest.update(repr((facts.group, facts.key, facts.labelled, facts.has_regions, case.image.shape)).encode())
        for array in (case.image, case.lesions, case.regions):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def view_digests(cases: Iterable[Case]) -> list[str]:
    """`counts_digest` of each labelled view, sorted, by which a scan is recognised that was learned from.

    Counts that are no whole numbers of 16 bits were changed when they were read: such a scan is not recognised.
    """
    views = (
        case.counts[0] if view is View.ANTERIOR else mirror(case.counts[1])
        for case in cases
        for view, labelled in zip(View, case.facts.labelled, strict=True)
        if labelled
    )
    return sorted({counts_digest(np.asarray(counts, dtype=np.float32)) for counts in views})


def _patient(folder: Path) -> str | None:
    """As `stated_patient`; None also for a folder of several studies, which cannot be read."""
    studies = discover([folder])
    return stated_patient(studies[0]) if len(studies) == 1 else None


def labelled_studies(cohort: Path) -> list[Path]:
    """The study folders that hold a label file for at least one view, sorted.

    Raises OptionError where there is none, and for a data set's folder: its test pairs would be learned from.
    """
    if not cohort.is_dir():
        raise OptionError(f"there is no cohort folder {cohort}: correct cohort.folder")
    if (cohort / "dataset.toml").exists():
        raise OptionError(
            f"{cohort} is a data set, with pairs for test among its pairs: name it in images.folder instead of "
            "cohort.folder"
        )
    folders = sorted({path.parent for view in View for path in cohort.glob(f"*/*/{view}.json")})
    if not folders:
        raise OptionError(f"the cohort {cohort} holds no label file <patient>/<study>/anterior.json or posterior.json")
    return folders


def labelled_case(study: Study, folder: Path, patient: str, normalisation: Normalisation) -> Case:
    """A study with the LabelMe files of its folder, and the region maps of `truth.npz` if there are any.

    Raises InputError for pixels that `segment` would bring to another size, and LabelError for a label file that cannot
    be used, or whose stamp is of another image.
    """
    if binning_of(study) != 1:
        found = "are not stated, and its matrix is a fine one"
        if study.spacing:
            found = f"are {study.spacing.row_mm:.3g} x {study.spacing.col_mm:.3g} mm"
        raise InputError(
            f"its pixels {found}; a training takes those from {FINEST_MM:g} to {COARSEST_MM:g} mm: export scan and "
            "labels with pixels of about 2.3 mm"
        )
    counts = pair_counts(study)
    files = {view: folder / f"{view}.json" for view in View}
    labels = {view: read_labelme(path) for view, path in files.items() if path.exists() and view in study.scans}
    for view, one in labels.items():
        refuse_another_image(files[view].name, one, view, study)
    drawn = {view: label_image(one, study.shape) for view, one in labels.items()}
    ignored = {view: ignored_mask(one, study.shape) for view, one in labels.items()}
    lesions = pair_truth(drawn, ignored, study.shape)
    regions = _read_regions(folder / "truth.npz", study)
    facts = replace(
        find_facts(study.key, f"patient-{patient}", counts, lesions, normalisation),
        labelled=(View.ANTERIOR in drawn, View.POSTERIOR in drawn),
        has_regions=regions is not None,
    )
    return Case(counts, lesions, np.zeros_like(lesions) if regions is None else regions, facts)


def _read_regions(path: Path, study: Study) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None:
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as truth:
        names = {view: f"regions_{view}" for view in study.scans if f"regions_{view}" in truth}
        if not names:
            return None
        return pair_labels({view: truth[name] for view, name in names.items()}, study.shape)
