"""Whether a second look at each candidate pays: `python benchmarks/second_look.py [PEOPLE]`. It needs scikit-learn.

The model ranks its candidates by their highest probability. Here a small classifier ranks them by what a reader would
look at, too: shape, sharpness and contrast, benign uptake, the same place in the other view and on the other side, the
bone, and how many candidates the view has. It learns from the model's own candidates in other patients: on simulated
patients it is cross-validated by anatomy, and on PEOPLE (scans of people without known disease, into which lesions are
inserted, as in `people.py`) it has learned from all simulated patients. All rankings have the same candidates, so that
they end at the same sensitivity.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bonescan.evaluate import ImageName, ViewTruth, compare_image, froc
from bonescan.evaluate.matching import LesionMatch, sensitivity_at
from bonescan.lesions.delineate import Outline, delineate
from bonescan.phantom import make_anatomy, make_patient
from bonescan.pipeline import DEFAULT_MODEL, Model, load_model
from bonescan.study import REGIONS, FloatImage, Study, View
from bonescan.system.parallel import process_pool
from common import model_of, report_head, scans_of, write_report
from people import DRAWS, with_lesions
from quality import RATES, Truth, predicted

FIRST_ANATOMY = 946_000
PATIENTS_PER_ANATOMY = 8
FEATURES = 32
"""Values of each candidate: those of `features`, how many candidates the view has, and the highest peak of the others
(its own where it is alone)."""
REACH_PX = 8
"""How far around a candidate, and around its mirrored place, the maps are looked at."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """One view's candidates. features: (candidates, values), in the order of `match.predicted_ids`."""

    group: str
    study: str
    match: LesionMatch
    features: Values

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which candidates touch a true lesion."""
        return np.asarray(self.match.touches.any(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """One view: lesion and benign probability, and smoothed counts over the scan's reference, each (rows, cols)."""

    lesion: FloatImage
    benign: FloatImage
    uptake: FloatImage

    def mirrored(self) -> Maps:
        """Left and right exchanged: where the other view shows the same place."""
        return Maps(self.lesion[:, ::-1], self.benign[:, ::-1], self.uptake[:, ::-1])


def look(study: Study, truth: Truth, model: Model, names: tuple[str, str]) -> list[Looked]:
    """The candidates of both views from the lower threshold on."""
    prediction, binning = predicted(study, model)
    thresholds = model.bundle.at("balanced").at_binning(binning)
    outlines = delineate(prediction, replace(thresholds, high=thresholds.low))
    reference = max(float(np.percentile(scan.counts[scan.counts > 0], 90)) for scan in study.scans.values())
    benign = prediction.benign or {view: np.zeros_like(image) for view, image in prediction.lesion.items()}
    maps = {
        view: Maps(image, benign[view], ndimage.gaussian_filter(study.counts(view).astype(np.float32), 1.0) / reference)
        for view, image in prediction.lesion.items()
    }
    found = []
    for view, known in truth.views.items():
        own = [outline for outline in outlines if outline.view is view]
        other = next((maps[one].mirrored() for one in maps if one is not view), maps[view])
        values = [features(outline, maps[view], other) for outline in own]
        peaks = sorted((row[0] for row in values), reverse=True)
        rows = [[*row, len(own), peaks[1 if row[0] == peaks[0] and len(peaks) > 1 else 0]] for row in values]
        found.append(_matched(view, own, rows, known, names))
    return found


def _matched(
    view: View, own: Sequence[Outline], rows: Sequence[Sequence[float]], known: ViewTruth, names: tuple[str, str]
) -> Looked:
    """Candidates that lie on an equivocal lesion alone are left out, as in every evaluation."""
    picture = np.zeros(known.lesions.shape, dtype=np.int32)
    for number, outline in enumerate(own, start=1):
        picture[outline.window][outline.mask] = number
    scores = {number: row[0] for number, row in enumerate(rows, start=1)}
    match = compare_image(ImageName(*names, view), picture, known, scores).match
    kept = [rows[int(number) - 1] for number in match.predicted_ids]
    return Looked(*names, match, np.array(kept, dtype=np.float64).reshape(len(kept), FEATURES))


def features(outline: Outline, maps: Maps, other: Maps) -> list[float]:
    """What is known of a candidate; its highest probability first. other: the other view, mirrored."""
    window, mask = outline.window, outline.mask
    inside = np.sort(maps.lesion[window][mask])[::-1].astype(np.float64)
    uptake = maps.uptake[window][mask]
    rows, cols = np.nonzero(mask)
    row, col = rows.mean() + outline.origin[0], cols.mean() + outline.origin[1]
    near = tuple(slice(max(part.start - REACH_PX, 0), part.stop + REACH_PX) for part in window)
    whole = np.zeros(maps.lesion.shape, dtype=np.bool_)
    whole[window] = mask
    ring = ndimage.binary_dilation(whole[near], iterations=6) & ~ndimage.binary_dilation(whole[near], iterations=2)
    around = maps.uptake[near][ring] if ring.any() else np.zeros(1)
    below, beside = float(np.median(around)), float(np.percentile(around, 90))
    middle = _middle(maps.uptake[max(int(row) - 6, 0) : int(row) + 7])
    place = _around(int(row), round(2 * middle - col), maps.lesion.shape)
    hottest, mirrored = float(uptake.max()), float(maps.uptake[place].max())
    height, width = mask.shape
    return [
        inside[0],
        inside[min(4, inside.size - 1)],
        inside[min(9, inside.size - 1)],
        inside.mean(),
        inside.sum(),
        np.log(inside.size),
        height / width,
        mask.mean(),
        *(function(maps.benign[window][mask]) for function in (np.max, np.mean)),
        maps.benign[near].max(),
        hottest,
        uptake.mean(),
        below,
        beside,
        hottest / max(below, 0.02),
        hottest / max(beside, 0.02),
        other.lesion[near].max(),
        other.lesion[window][mask].mean(),
        other.benign[near].max(),
        *(function(other.uptake[window][mask]) for function in (np.max, np.mean)),
        mirrored,
        maps.lesion[place].max(),
        maps.benign[place].max(),
        hottest / max(mirrored, 0.02),
        abs(col - middle) / maps.lesion.shape[1],
        row / maps.lesion.shape[0],
        REGIONS.index(outline.region),
        (maps.lesion > 0.5).sum() / 1000,
    ]


def _middle(rows: FloatImage) -> float:
    """Mean column of the counts of some rows."""
    across = rows.sum(axis=0, dtype=np.float64)
    return float((across * np.arange(across.size)).sum() / max(across.sum(), 1e-6))


def _around(row: int, col: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The pixels near a place, at least one of the frame's."""
    centre = (min(max(place, 0), size - 1) for place, size in zip((row, col), shape, strict=True))
    first, second = (slice(max(place - REACH_PX, 0), place + REACH_PX + 1) for place in centre)
    return first, second


def classifiers() -> dict[str, Any]:
    """Those that are tried, not yet fitted, with ordinary settings."""
    return {
        "gradient boosting": HistGradientBoostingClassifier(
            max_iter=200, learning_rate=0.05, max_leaf_nodes=12, min_samples_leaf=20, random_state=1
        ),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)),
    }


def learned(model: Any, known: Sequence[Looked], asked: Sequence[Looked]) -> list[Values]:
    """Scores of the candidates of `asked` by a classifier that has learned from those of `known`."""
    model.fit(np.concatenate([one.features for one in known]), np.concatenate([one.right for one in known]))
    return [model.predict_proba(one.features)[:, 1] if len(one.features) else np.zeros(0) for one in asked]


def cross_validated(model: Any, looked: Sequence[Looked]) -> list[Values]:
    """Scores by a classifier that has learned from other anatomies, in five folds."""
    scores: list[Values] = [np.zeros(0)] * len(looked)
    groups = [one.group for one in looked]
    for known, asked in GroupKFold(min(5, len(set(groups)))).split(groups, groups=groups):
        new = learned(model, [looked[i] for i in known], [looked[i] for i in asked])
        for place, values in zip(asked, new, strict=True):
            scores[place] = values
    return scores


def curve(looked: Sequence[Looked], scores: Sequence[Values]) -> dict[str, float | None]:
    """Sensitivity at each rate of false positives per scan."""
    matches = [replace(one.match, scores=values) for one, values in zip(looked, scores, strict=True)]
    points = froc(matches, len({one.study for one in looked}))
    return {str(rate): sensitivity_at(points, rate) for rate in RATES}


def simulated(seed: int, patients: int, name: str) -> list[Looked]:
    """The candidates in the patients of one anatomy."""
    anatomy, model = make_anatomy(seed), model_of(name)
    found = []
    for number in range(patients):
        phantom = make_patient(anatomy, number)
        found += look(phantom.study, Truth.of(phantom), model, (str(seed), f"{seed}-{number}"))
    return found


def curves(looked: Sequence[Looked], scored: Mapping[str, Sequence[Values]]) -> dict[str, Any]:
    """All rankings of the same candidates."""
    peaks = [one.match.scores for one in looked]
    rankings = {"highest probability": peaks, **scored}
    return {
        "scans": len({one.study for one in looked}),
        "candidates": sum(len(one.features) for one in looked),
        "sensitivity_at": {name: curve(looked, scores) for name, scores in rankings.items()},
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path, nargs="?")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model that ships, or a bundle's folder")
    parser.add_argument("--anatomies", type=int, default=60, help=f"of {PATIENTS_PER_ANATOMY} patients each")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    seeds = range(FIRST_ANATOMY, FIRST_ANATOMY + arguments.anatomies)
    with process_pool(arguments.processes) as pool:
        jobs = [pool.submit(simulated, seed, PATIENTS_PER_ANATOMY, arguments.model) for seed in seeds]
        phantoms = [one for job in jobs for one in job.result()]
    scored = {name: cross_validated(one, phantoms) for name, one in classifiers().items()}
    report = {"phantoms": curves(phantoms, scored)}
    if arguments.people is not None:
        studies = scans_of(arguments.people)
        variants = with_lesions(studies, model, DRAWS)
        people = [
            one
            for draw, (name, study, truth) in enumerate(variants)
            for one in look(study, truth, model, (name, f"{name}-{draw}"))
        ]
        scored = {name: learned(one, phantoms, people) for name, one in classifiers().items()}
        report["people"] = curves(people, scored)
    for where, figures in report.items():
        print(f"{where}: {figures['scans']} scans, {figures['candidates']} candidates; sensitivity at", *RATES)
        for name, row in figures["sensitivity_at"].items():
            print(f"  {name:20}", *(" –   " if value is None else f"{value:.3f}" for value in row.values()))
    write_report(arguments.json, {**report_head(parser, arguments, [model.name]), **report})
    return 0


if __name__ == "__main__":
    sys.exit(main())
