"""Compare result folders with a cohort folder that holds the truth.

A result folder is any folder below the predictions that holds `labels_anterior.png` or `labels_posterior.png`.
A study of the cohort is any folder below the truth that holds `truth.npz`, `anterior.json` or `posterior.json`;
where there is a `truth.npz`, the LabelMe files are not read. Results and studies are matched by the names that
`bonescan segment` gives to the studies of a cohort, of one patient's folder, of a single study's folder, or of its file
`scan.*`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.annotate.labelme import ignored_mask, label_image, read_labelme, refuse_another_image
from bonescan.errors import InputError, LabelError
from bonescan.evaluate.report import ComparedImage, ImageName, ViewTruth, compare_image, score_of_candidate, summarise
from bonescan.evaluate.scored import (
    Scored,
    is_of_another_scan,
    known_split,
    labels_of_another_scan,
    learned_from,
    scored_side,
)
from bonescan.evaluate.statistics import Bootstrap
from bonescan.lesions.contours import mask_of
from bonescan.reading.inputs import safe_name
from bonescan.report.words import counted
from bonescan.study import Mask, Study, View

_LABELS = {view: f"labels_{view}.png" for view in View}
_LABELME = {view: f"{view}.json" for view in View}
_TRUTH = "truth.npz"
_SCAN = "scan"
"""The stem of a scan's file in a cohort."""
_RETURNED = "returned"
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class TrueStudy:
    """Where the truth of one study is. names: possible names of its result, the most certain first."""

    folder: Path
    patient: str
    study: str
    names: tuple[str, ...]


@dataclass(slots=True)
class _Compared:
    """What was compared, and what was not: studies and views without a result, and sentences by a result's folder.

    refused: about results of other scans. mislabelled: about labels of other scans. damaged: about files of the result
    or the study that cannot be used.
    """

    images: list[ComparedImage] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    mislabelled: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)


def evaluate_folders(
    predictions: Path, truth: Path, bootstrap: Bootstrap | None = None, split: Scored | None = None
) -> dict[str, Any]:
    """Compare all results with the truth of a cohort and return the report (`report.summarise`) with warnings.

    A study or view that has only a result or only a truth is in no figure; it is counted in `not_scored` and named in
    the warnings. A result that was made from another scan than the one beside the truth is in no figure either, and
    neither is one whose study has labels that were drawn on another scan, or one with a file that cannot be used or is
    of another frame; it is named in the warnings, and `refused` has a sentence about it by its folder. split: the part
    of a divided data set that is scored; None: its test patients. A cohort that is not divided is scored completely.
    Raises InputError when a folder does not exist, no result matches a study, or none of those that do can be scored,
    and OptionError for a split of a cohort that is not divided.
    """
    results = find_results(predictions)
    found = find_truth(truth)
    known = known_split(truth)
    side = scored_side(known, split)
    studies = [study for study in found if known is None or known.scored(study.folder, side)]
    if not results:
        raise InputError(
            f"{predictions} holds no result with label pictures: give the folder that segment wrote, with labels among "
            "its --format"
        )
    own = {study: next((results[name] for name in study.names if name in results), None) for study in found}
    scored = _compare_all({study: own[study] for study in studies})
    if not scored.images:
        of_whom = f"{len(studies)} labelled studies{'' if known is None else f' for {side}'}"
        raise _why_none(scored, f"none of the {len(results)} results belongs to one of the {of_whom}")
    spare = [folder.name for folder in set(results.values()) - set(own.values())]
    report = {
        **summarise(scored.images, bootstrap),
        **_not_scored(scored.unmatched, scored.half, spare),
        "refused": scored.refused | scored.mislabelled | scored.damaged,
    }
    for named, why in (
        (scored.refused, "made from another scan"),
        (scored.mislabelled, "with labels of another scan"),
        (scored.damaged, "with a file that cannot be used"),
    ):
        if named:
            report["warnings"].append(_named([Path(one).name for one in named], "result", why))
    left_out = len(found) - len(studies)
    said = learned_from([folder for study, folder in own.items() if folder is not None and study in studies])
    said += [] if known is None else known.warnings(side, left_out)
    divided = {"known": known is not None, "scored": side, "studies_left_out": left_out}
    return {**report, "split": divided, "warnings": [*said, *report["warnings"]]}


def _compare_all(results: Mapping[TrueStudy, Path | None]) -> _Compared:
    """Compare each study with the folder of its result."""
    done = _Compared()
    for study, folder in results.items():
        if folder is None:
            done.unmatched.append(study.names[0])
            continue
        if is_of_another_scan(folder, study.folder):
            done.refused[str(folder)] = f"{folder} was made from another scan than {study.folder}"
            continue
        try:
            wrong = None if (study.folder / _TRUTH).exists() else labels_of_another_scan(study.folder)
            images, half = ([], []) if wrong is not None else _compare_views(folder, study)
        except LabelError as error:
            done.damaged[str(folder)] = f"{study.study}: {error}"
            continue
        if wrong is not None:
            done.mislabelled[str(folder)] = f"{study.study}: {wrong}"
        done.images += images
        done.half += half
    return done


def _compare_views(folder: Path, study: TrueStudy) -> tuple[list[ComparedImage], list[str]]:
    """The views of one result that have a truth, and the names of those that have a truth alone. Raises LabelError."""
    truth = read_truth(study.folder)
    predicted = [view for view in truth if (folder / _LABELS[view]).exists()]
    images = [_compare(folder, study, view, truth[view]) for view in predicted]
    return images, [f"{study.names[0]} {view}" for view in truth if view not in predicted]


def _why_none(done: _Compared, otherwise: str) -> InputError:
    """The error about results of which none can be scored."""
    for said, remedy in (
        (done.refused, "give the folder that segment wrote for this cohort"),
        (done.mislabelled, "put each label file beside the scan that it was drawn on"),
    ):
        if said:
            return InputError(f"{next(iter(said.values()))}, and no other result can be scored: {remedy}")
    if done.damaged:
        # The sentence says what to do about the file itself.
        return LabelError(f"no result can be scored; {next(iter(done.damaged.values()))}")
    return InputError(f"{otherwise}: give the folder that segment wrote for this cohort")


def find_results(root: Path) -> dict[str, Path]:
    """Return the result folders below `root` by name; a name that two folders share is left out.

    Each folder has two names: its own, and its path below `root` joined by hyphens.
    """
    found: dict[str, Path] = {}
    shared: Counter[str] = Counter()
    for folder in _folders(root, frozenset(_LABELS.values())):
        below = folder.relative_to(root).parts
        for name in {folder.resolve().name, "-".join(below) or folder.resolve().name}:
            shared[name] += 1
            found[name] = folder
    return {name: folder for name, folder in found.items() if shared[name] == 1}


def find_truth(root: Path) -> list[TrueStudy]:
    """Return the labelled studies below `root`, sorted by path. The patient is the first folder below the cohort."""
    folders = list(_folders(root, frozenset((_TRUTH, *_LABELME.values()))))
    if (root / f"{_RETURNED}.csv").exists():  # a round of annotation: lesions returned to the readers are no truth
        folders = [folder for folder in folders if folder.relative_to(root).parts[:1] != (_RETURNED,)]
    last = Counter(folder.resolve().name for folder in folders)
    studies = []
    for folder in folders:
        if folder.name.startswith("reader-"):
            continue  # one of several readers, before consensus
        below = folder.relative_to(root).parts
        top, own = root.resolve().name, folder.resolve().name
        names = [safe_name("-".join(below) or own), safe_name("-".join((top, *below)))]
        if last[own] == 1:
            names.append(safe_name(own))
        names += [f"{name}-{_SCAN}" for name in names]  # the scan's file was named, not its folder
        if len(folders) == 1:
            names.append(_SCAN)
        patient = below[0] if below else own
        studies.append(TrueStudy(folder, patient, "/".join(below) or own, tuple(dict.fromkeys(names))))
    return studies


def read_truth(folder: Path, study: Study | None = None) -> dict[View, ViewTruth]:
    """Read the truth of one study, for each view that has one. Raises LabelError.

    study: the scan beside it, whose views alone are read then; a LabelMe file of another frame or image is refused.
    """
    if (folder / _TRUTH).exists():
        truth = _read_npz(folder / _TRUTH)
        return {view: one for view, one in truth.items() if study is None or view in study.scans}
    labelled = {view: folder / name for view, name in _LABELME.items() if (folder / name).exists()}
    return {
        view: _of_labelme(path, view, study) for view, path in labelled.items() if study is None or view in study.scans
    }


def _compare(folder: Path, study: TrueStudy, view: View, truth: ViewTruth) -> ComparedImage:
    predicted = _read_labels(folder / _LABELS[view])
    if predicted.shape != truth.lesions.shape:
        raise LabelError(
            f"the {view} result of {folder.name} has {predicted.shape[0]} x {predicted.shape[1]} pixels and its truth "
            f"{truth.lesions.shape[0]} x {truth.lesions.shape[1]}: give results of the same scans"
        )
    name = ImageName(study.patient, study.study, view)
    scores, candidates = _read_scored(folder / "lesions.json", view, truth.lesions.shape)
    image = compare_image(name, predicted, truth, scores)
    if not candidates:
        return image
    numbers, largest = predicted.copy(), int(predicted.max())
    ranked = {number: score for number, score in scores.items() if number <= largest}
    for number, (peak, mask) in enumerate(candidates, start=1 + largest):
        # None shares a pixel with an outline in a result as it was written; the label picture may have been changed.
        if not numbers[mask].any():
            numbers[mask], ranked[number] = number, score_of_candidate(peak)
    return replace(image, ranked=compare_image(name, numbers, truth, ranked).match)


def _of_labelme(path: Path, view: View, study: Study | None) -> ViewTruth:
    """Read a LabelMe file; an ignored area, where the truth is not known, is treated as a faint lesion."""
    labels = read_labelme(path)
    if study is not None:
        refuse_another_image(path.name, labels, view, study)
    shape = None if study is None else study.shape
    try:
        ignored = ignored_mask(labels, shape)
        return ViewTruth(label_image(labels, shape), faint=ignored if ignored.any() else None)
    except LabelError as error:
        raise LabelError(f"{path.name}: {error}") from None


def _read_npz(path: Path) -> dict[View, ViewTruth]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            stored: dict[str, NDArray[Any]] = {name: archive[name] for name in archive.files}
    except Exception as error:
        raise LabelError(
            f"{path.name} of {path.parent.name} is damaged ({type(error).__name__}): write it again"
        ) from None
    truth = {}
    for view in View:
        lesions, regions = stored.get(f"lesions_{view}"), stored.get(f"regions_{view}")
        if lesions is None:
            continue
        if lesions.ndim != 2 or lesions.dtype.kind not in "ui":
            raise LabelError(f"lesions_{view} in {path.name} of {path.parent.name} is no label picture: write it again")
        if regions is not None and (regions.shape != lesions.shape or regions.dtype != np.uint8):
            raise LabelError(
                f"regions_{view} in {path.name} of {path.parent.name} does not fit the lesions: write it again"
            )
        faint = stored.get(f"faint_{view}")
        if faint is not None and (faint.shape != lesions.shape or faint.dtype.kind not in "bui"):
            raise LabelError(
                f"faint_{view} in {path.name} of {path.parent.name} does not fit the lesions: write it again"
            )
        truth[view] = ViewTruth(lesions, regions, faint)
    if not truth:
        raise LabelError(
            f"{path.name} of {path.parent.name} holds no lesions_anterior or lesions_posterior: write it again"
        )
    return truth


def _read_labels(path: Path) -> NDArray[np.int64]:
    from PIL import Image  # only where pictures are read

    try:
        with Image.open(path, formats=["PNG"]) as image:
            labels = np.asarray(image)
    except Exception as error:
        raise LabelError(
            f"{path.name} of {path.parent.name} cannot be read ({type(error).__name__}): segment again"
        ) from None
    if labels.ndim != 2:
        raise LabelError(f"{path.name} of {path.parent.name} is a colour picture, no label picture: segment again")
    return labels.astype(np.int64)


def _read_scored(path: Path, view: View, shape: tuple[int, int]) -> tuple[dict[int, float], list[tuple[float, Mask]]]:
    """The lesions' probabilities by number, and the peak probability and mask (rows, cols) of the view's candidates.

    Both are empty without a `lesions.json`. Where a reader decided, the model's candidates do not count.
    """
    if not path.exists():
        return {}, []
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        scores = {
            int(lesion["id"]): 1.0 if lesion["probability"] is None else _probability(lesion["probability"])
            for lesion in document["lesions"]
        }
        candidates = [] if document.get("reader") is not None else document.get("candidates", [])
        return scores, [
            (_probability(one["peak"]), mask_of(np.clip(one["contour"], -1e6, 1e6), shape))
            for one in candidates
            if one["view"] == view
        ]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise LabelError(
            f"{path.name} of {path.parent.name} cannot be read ({type(error).__name__}): segment again"
        ) from None


def _probability(stated: Any) -> float:
    value = float(stated)
    if not 0.0 <= value <= 1.0:  # NaN, too
        raise ValueError(f"{value} is no probability")
    return value


def _folders(root: Path, wanted: frozenset[str]) -> Iterator[Path]:
    if not root.is_dir():
        raise InputError(f"{root} is no folder: check the path")
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if not wanted.isdisjoint(files):
            yield Path(folder)


def _not_scored(studies: list[str], views: list[str], results: list[str]) -> dict[str, Any]:
    """Count studies, views and results without a counterpart in `not_scored`, and name them in `warnings`."""
    kinds = (
        (studies, "labelled study", "without a result"),
        (views, "labelled view", "without a result"),
        (results, "result", "without labels"),
    )
    warnings = [_named(names, word, lack) for names, word, lack in kinds if names]
    numbers = {"studies": len(studies), "views": len(views), "results": len(results)}
    return {"not_scored": numbers, "warnings": warnings}


def _named(names: list[str], word: str, why: str) -> str:
    """A warning that names what is in no figure."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"not scored: {counted(len(names), word)} {why} ({', '.join(sorted(names)[:_MOST_NAMED])}{more})"
