"""Make one report of compared images: a dictionary of plain values, and the same as a few lines of text.

An image is one view of one study. A scan is one study, both its views together: false positives are counted
by scan, and a scan is lesion-free when no view of it has a true lesion. Lesions are counted in each view.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.evaluate.matching import (
    FrocPoint,
    LesionCounts,
    LesionMatch,
    PixelCounts,
    count_pixels,
    froc,
    match_beside_ignored,
    sensitivity_at,
    thinned,
)
from bonescan.evaluate.statistics import LEAST_PATIENTS, Bootstrap, median, ratio
from bonescan.report.words import counted
from bonescan.study import IS_BONE, REGIONS, Mask, View

SIZES_PX = (1, 10, 25, 60)
"""Lower limits of the classes of lesion size, pixels; the last class has no upper limit."""

_BELOW = 2.0
"""What `score_of_candidate` takes off a peak, so that no candidate ranks with an outline."""

CONVENTIONS = {
    "image": "one view of one study; a scan is one study, all its views",
    "dsc": "1 where neither prediction nor truth marks a pixel, 0 where one of them does; all images are averaged",
    "cpa": "precision by pixel; images without a predicted pixel are left out",
    "recall": "images without a true pixel are left out",
    "lesion": "found when a predicted lesion overlaps it or has its centroid within 4 px; each view counts on its own",
    "false_positive": "a predicted lesion that finds no true one, those on ignored areas apart",
    "faint": "areas that are ignored: lesions that do not stand out in a view, or labels named ignored. Pixels marked "
    "there are neither right nor wrong, and neither is a predicted lesion that touches one and finds no true one",
    "froc": "outlines by their mean probability (threshold), then, below all of these, the candidates in lesions.json "
    "by their peak probability (peak); sensitivity_at is the best at no more false positives per scan, among all "
    "thresholds; of the points at most 40 are listed",
    "interval": f"95 % bootstrap over patients; null for fewer than {LEAST_PATIENTS} patients that count in the figure",
    "n": "what a figure averages over: of pooled pixel figures the marked pixels of prediction and truth added up, of "
    "lesion figures the outlines, which are counted in each view",
    "not_scored": "labelled studies and views without a result, and results without labels, are in no figure",
    "undefined": "null",
}


@dataclass(frozen=True, slots=True, eq=False)
class ComparedImage:
    """One view of one study, prediction against truth.

    true_regions, predicted_regions: the region on which each true and each predicted lesion mainly lies, by the true
    region map, an index into REGIONS; None where the truth has no such map. on_faint: predicted lesions that are not
    counted because they lie on lesions that do not stand out. ranked: the match with the candidates below the operating
    point, for the free-response curve alone (`score_of_candidate`); None where there are none.
    """

    patient: str
    study: str
    view: View
    pixels: PixelCounts
    match: LesionMatch
    on_faint: int = 0
    true_regions: NDArray[np.int64] | None = None
    predicted_regions: NDArray[np.int64] | None = None
    ranked: LesionMatch | None = None


@dataclass(frozen=True, slots=True)
class ImageName:
    """The patient, study and view of an image. Splits and intervals are by patient."""

    patient: str
    study: str
    view: View


@dataclass(frozen=True, slots=True, eq=False)
class ViewTruth:
    """The truth of one view, as acquired, each (rows, cols).

    lesions: lesion numbers, 0 = none. regions: values of REGIONS, None where not known. faint: boolean, pixels of
    lesions that do not stand out, None where not known.
    """

    lesions: NDArray[Any]
    regions: NDArray[Any] | None = None
    faint: NDArray[Any] | None = None


def compare_image(
    name: ImageName, predicted: NDArray[Any], truth: ViewTruth, scores: Mapping[int, float] | None = None
) -> ComparedImage:
    """Compare two label pictures (rows, cols), 0 = background.

    scores: of the predicted lesions by number. Pixels and predicted lesions on `truth.faint` are neither right nor
    wrong; where the truth has a lesion on it, too, that counts. Raises ValueError for pictures of two shapes.
    """
    match, predicted, on_faint = match_beside_ignored(predicted, truth.lesions, truth.faint, scores)
    regions = truth.regions
    return ComparedImage(
        patient=name.patient,
        study=name.study,
        view=name.view,
        pixels=count_pixels(predicted, truth.lesions, truth.faint),
        match=match,
        on_faint=len(on_faint),
        true_regions=None if regions is None else _regions_of(match.true_ids, truth.lesions, regions),
        predicted_regions=None if regions is None else _regions_of(match.predicted_ids, predicted, regions),
    )


def score_of_candidate(peak: float) -> float:
    """The score that ranks a candidate below every outline (0..1), as it was below the operating point. peak: 0..1."""
    return peak - _BELOW


def summarise(images: Sequence[ComparedImage], bootstrap: Bootstrap | None = None) -> dict[str, Any]:
    """Make the report of compared images: JSON values only, undefined figures None. There may be no images."""
    bootstrap = bootstrap or Bootstrap()
    tables = _Tables(images, bootstrap)
    free = [scan for scan in tables.scans if scan.lesions.true == 0]
    return {
        "research_use_only": True,
        "patients": len(tables.patients),
        "scans": len(tables.scans),
        "lesion_free_scans": len(free),
        "images": len(images),
        "lesion_free_images": sum(len(image.match.true_ids) == 0 for image in images),
        "pixel": _pixel_section(tables),
        "lesion": _lesion_section(tables, free),
        "errors": _error_section(tables),
        "by_size_px": _by_size(tables),
        "by_region": _by_region(tables),
        "froc": _froc_section(tables),
        "per_scan": [scan.to_dict() for scan in tables.scans],
        "conventions": dict(CONVENTIONS),
    }


def report_text(report: Mapping[str, Any]) -> str:
    """The report's main figures as lines of text."""
    pixel, lesion = report["pixel"], report["lesion"]
    # The warnings limit what the figures mean, so they come first.
    lines = [
        *(f"warning: {warning}" for warning in report.get("warnings", ())),
        f"{counted(report['patients'], 'patient')}, {counted(report['scans'], 'scan')} "
        f"({report['lesion_free_scans']} without lesions), {counted(report['images'], 'image')}",
        "",
        _line("DSC, pooled", pixel["dsc_pooled"], "pixel"),
        _line("DSC, per image", pixel["dsc"], "image"),
        _line("DSC, per image with lesions", pixel["dsc_with_lesions"], "image"),
        _line("CPA (precision), per image", pixel["cpa"], "image"),
        _line("Recall, per image", pixel["recall"], "image"),
        _line("lesion sensitivity", lesion["sensitivity"], "outline"),
        _line("lesion precision", lesion["precision"], "outline"),
        _line("lesion F1", lesion["f1"], "outline"),
        _line("false positives per scan", lesion["false_positives_per_scan"], "scan"),
        _line("false positives per lesion-free scan", lesion["false_positives_per_lesion_free_scan"], "scan"),
        _line("marks on ignored areas per scan", lesion["on_faint_per_scan"], "scan"),
    ]
    for heading, part in (("sensitivity by size, pixels", "by_size_px"), ("sensitivity by region", "by_region")):
        rows = [_line(f"  {name}", row["sensitivity"], "outline") for name, row in report[part].items() if row["true"]]
        lines += ["", heading, *rows] if rows else []
    return "\n".join([*lines, "", *_notes(report)]) + "\n"


def _notes(report: Mapping[str, Any]) -> list[str]:
    """What the figures count, in sentences."""
    notes = ["Outlines are counted in each view: a lesion that both views show counts twice."]
    if report["lesion_free_images"]:
        notes.append(
            f"{counted(report['lesion_free_images'], 'image')} without lesions: in the DSC per image each counts 1 "
            "where nothing is marked and 0 where anything is; in CPA it counts 0 where anything is marked and is left "
            "out otherwise; in Recall it is left out."
        )
    if report["patients"] < LEAST_PATIENTS:
        notes.append(f"No intervals: they need at least {LEAST_PATIENTS} patients.")
    else:
        notes.append(
            "In brackets: 95 % intervals over patients; none where fewer than "
            f"{LEAST_PATIENTS} patients count in the figure."
        )
    return notes


@dataclass(frozen=True, slots=True)
class _ScanTotals:
    patient: str
    study: str
    pixels: PixelCounts
    lesions: LesionCounts

    def to_dict(self) -> dict[str, Any]:
        return {
            "patient": self.patient,
            "study": self.study,
            "dsc": self.pixels.dsc,
            "pixels": asdict(self.pixels),
            "lesions": asdict(self.lesions),
        }


class _Tables:
    """The images by scan and by patient, and the sums over patients from which every figure is computed."""

    def __init__(self, images: Sequence[ComparedImage], bootstrap: Bootstrap) -> None:
        self.images = images
        self.bootstrap = bootstrap
        self.patients = {name: row for row, name in enumerate(sorted({image.patient for image in images}))}
        totals: dict[tuple[str, str], _ScanTotals] = {}
        for image in images:
            key = (image.patient, image.study)
            before = totals.get(key, _ScanTotals(*key, PixelCounts(), LesionCounts()))
            totals[key] = _ScanTotals(*key, before.pixels + image.pixels, before.lesions + image.match.counts())
        self.scans = list(totals.values())
        self.on_faint = dict.fromkeys(totals, 0)
        for image in images:
            self.on_faint[(image.patient, image.study)] += image.on_faint

    def ratio(self, terms: Iterable[tuple[str, float, float]]) -> dict[str, Any]:
        """Estimate the ratio of two sums from (patient, numerator, denominator) terms."""
        sums = np.zeros((2, len(self.patients)))
        for patient, over, under in terms:
            sums[:, self.patients[patient]] += over, under
        return ratio(sums[0], sums[1], self.bootstrap).to_dict()

    def image_mean(self, value: Callable[[ComparedImage], float | None]) -> dict[str, Any]:
        """Estimate the mean over the images for which `value` is defined."""
        known = [(image.patient, value(image)) for image in self.images]
        return self.ratio((patient, one, 1) for patient, one in known if one is not None)


def _pixel_section(tables: _Tables) -> dict[str, Any]:
    with_lesions = [image for image in tables.images if image.pixels.true]
    dsc = [image.pixels.dsc for image in with_lesions]
    return {
        "dsc_pooled": tables.ratio(
            (image.patient, 2 * image.pixels.true_positive, image.pixels.predicted + image.pixels.true)
            for image in tables.images
        ),
        "dsc": tables.image_mean(lambda image: image.pixels.dsc),
        "dsc_with_lesions": tables.ratio((image.patient, image.pixels.dsc, 1) for image in with_lesions),
        "dsc_with_lesions_median": median(dsc, [image.patient for image in with_lesions], tables.bootstrap).to_dict(),
        "cpa": tables.image_mean(lambda image: image.pixels.cpa),
        "recall": tables.image_mean(lambda image: image.pixels.recall),
        "cpa_pooled": tables.ratio(
            (image.patient, image.pixels.true_positive, image.pixels.predicted) for image in tables.images
        ),
        "recall_pooled": tables.ratio(
            (image.patient, image.pixels.true_positive, image.pixels.true) for image in tables.images
        ),
    }


def _lesion_section(tables: _Tables, free: Sequence[_ScanTotals]) -> dict[str, Any]:
    scans = tables.scans
    total = sum((scan.lesions for scan in scans), LesionCounts())
    return {
        "true": total.true,
        "found": total.found,
        "predicted": total.predicted,
        "correct": total.correct,
        "sensitivity": tables.ratio((scan.patient, scan.lesions.found, scan.lesions.true) for scan in scans),
        "precision": tables.ratio((scan.patient, scan.lesions.correct, scan.lesions.predicted) for scan in scans),
        "f1": {"value": total.f1, "low": None, "high": None, "n": total.true + total.predicted},
        "false_positives_per_scan": tables.ratio((scan.patient, scan.lesions.false_positives, 1) for scan in scans),
        "false_positives_per_lesion_free_scan": tables.ratio(
            (scan.patient, scan.lesions.false_positives, 1) for scan in free
        ),
        "on_faint_per_scan": tables.ratio((patient, on_faint, 1) for (patient, _), on_faint in tables.on_faint.items()),
        "lesion_free_scans_left_empty": tables.ratio((scan.patient, scan.lesions.predicted == 0, 1) for scan in free),
    }


def _error_section(tables: _Tables) -> dict[str, Any]:
    """Predicted minus true per scan: the mean (bias) and the mean of the absolute values."""
    counts = [(scan.patient, scan.lesions.predicted - scan.lesions.true) for scan in tables.scans]
    areas = [(scan.patient, scan.pixels.predicted - scan.pixels.true) for scan in tables.scans]
    section = {}
    for name, errors in (("count", counts), ("area_px", areas)):
        section[f"{name}_bias"] = tables.ratio((patient, error, 1) for patient, error in errors)
        section[f"{name}_absolute"] = tables.ratio((patient, abs(error), 1) for patient, error in errors)
    return section


def _by_size(tables: _Tables) -> dict[str, Any]:
    edges = (*SIZES_PX, np.iinfo(np.int64).max)
    section = {}
    for first, after in itertools.pairwise(edges):
        name = f"{first}-{after - 1}" if after < edges[-1] else f"{first} and more"
        sizes = [image.match.true_px for image in tables.images]
        section[name] = _sensitivity(tables, [(size >= first) & (size < after) for size in sizes])
    return section


def _by_region(tables: _Tables) -> dict[str, Any]:
    """Sensitivity and false positives by region; empty where no truth has region maps."""
    mapped = [image for image in tables.images if image.predicted_regions is not None]
    scans = len({(image.patient, image.study) for image in mapped})
    section = {}
    for value, region in enumerate(REGIONS):
        chosen = [_lies_on(image.true_regions, value, len(image.match.true_ids)) for image in tables.images]
        row = _sensitivity(tables, chosen)
        false = 0
        for image in mapped:
            on_it = _lies_on(image.predicted_regions, value, len(image.match.predicted_ids))
            false += int((on_it & ~image.match.touches.any(axis=1)).sum())
        if row["true"] or false:
            section[str(region)] = {**row, "false_positives": false, "false_positives_per_scan": false / scans}
    return section


def _lies_on(regions: NDArray[np.int64] | None, value: int, lesions: int) -> Mask:
    return np.zeros(lesions, dtype=np.bool_) if regions is None else regions == value


def _sensitivity(tables: _Tables, chosen: Sequence[Mask]) -> dict[str, Any]:
    """Sensitivity for some of the true lesions; `chosen` gives them for each image."""
    terms = [
        (image.patient, float((image.match.found & which).sum()), float(which.sum()))
        for image, which in zip(tables.images, chosen, strict=True)
    ]
    return {"true": int(sum(term[2] for term in terms)), "sensitivity": tables.ratio(terms)}


def _froc_section(tables: _Tables) -> dict[str, Any]:
    matches = [image.match if image.ranked is None else image.ranked for image in tables.images]
    points = froc(matches, max(1, len(tables.scans)))
    return {
        "points": [_point(point) for point in thinned(points)],
        "sensitivity_at": {str(rate): sensitivity_at(points, rate) for rate in (0.25, 0.5, 1.0, 2.0)},
    }


def _point(point: FrocPoint) -> dict[str, float | None]:
    """A point of the curve; threshold: of the outlines, None where all count, and the candidates from `peak` on."""
    below = point.threshold < 0
    return {
        "threshold": None if below else point.threshold,
        "peak": round(point.threshold + _BELOW, 6) if below else None,
        "sensitivity": point.sensitivity,
        "false_positives_per_scan": point.false_positives_per_scan,
    }


def _regions_of(ids: NDArray[np.int64], labels: NDArray[Any], regions: NDArray[Any]) -> NDArray[np.int64]:
    """The region on which each lesion mainly lies; bone is preferred to anything else, as the lesions are of bone."""
    found = np.zeros(len(ids), dtype=np.int64)
    for row, number in enumerate(ids):
        under = regions[labels == number]
        bone = under[IS_BONE[under]]
        found[row] = np.bincount(bone if bone.size else under).argmax()
    return found


def _line(name: str, estimate: Mapping[str, Any], unit: str) -> str:
    """One figure. unit: what `n` counts, in the singular."""
    if estimate["value"] is None:
        return f"{name:<38} undefined"
    interval = "" if estimate["low"] is None else f"  ({estimate['low']:.3f} to {estimate['high']:.3f})"
    return f"{name:<38} {estimate['value']:.3f}{interval}  n = {counted(round(estimate['n']), unit)}"
