"""How far readers of the same images agree: pair by pair, all together, and what each tolerance would accept.

Every pooled figure is a function of sums over patients, so that a bootstrap over patients gives its interval. An
overall figure is the mean over the pairs of readers. Fleiss' kappa, for all readers at once, is given beside Cohen's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.annotate.consensus import correspond
from bonescan.evaluate.matching import count_pixels, match_lesions
from bonescan.evaluate.report import ImageName
from bonescan.evaluate.statistics import LEAST_PATIENTS, Bootstrap, Estimate, median
from bonescan.report.words import counted
from bonescan.study import LabelImage, Mask

TOLERANCES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
"""The tolerances of Eq. 2 for which the report says what would be accepted."""

CONVENTIONS = {
    "place": "lesions of different readers that share a pixel, or, drawn by different readers, have centroids within "
    "4 px; of a pair: what these two drew, of all: what any reader drew",
    "area_difference": "Eq. 2, 1 - intersection / union, of the places that both readers drew; overall: of the places "
    "that all drew, the largest of the pairs",
    "dsc": "1 where neither reader marks a pixel, 0 where one of them does; all images are averaged; with lesions: "
    "the images in which one of them marks a pixel",
    "lesion_f1": "a lesion is found when one of the other reader's overlaps it or has its centroid within 4 px",
    "kappa_pixel": "lesion or not, all pixels of the frame: background is most of them, so that it comes close to DSC",
    "kappa_place": "drawn or not, of all places that any reader drew: undefined for two readers, as no place then "
    "remains that neither drew",
    "kappa_image": "any lesion or none, image by image",
    "overall": "the mean over the pairs; fleiss_kappa is of all readers at once",
    "tolerances": "share of all places that every reader drew with every pair's area difference within the tolerance",
    "interval": f"95 % bootstrap over patients; null for fewer than {LEAST_PATIENTS} patients",
    "undefined": "null",
}

_COLUMNS = {
    "DSC pooled": "dsc_pooled",
    "DSC per image": "dsc",
    "lesion F1": "lesion_f1",
    "kappa pixel": "kappa_pixel",
    "kappa image": "kappa_image",
    "dA median": "area_difference",
}
"""The columns of `agreement_text` and what they show."""
_WIDTH = 13

_Sums = NDArray[Any]
_Figure = Callable[[_Sums], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class ReadImage:
    """One image as compared between its readers, who are sorted by name.

    table: int64 (pairs, 4), pixels that both marked, the first only, the second only, neither. found: int64 (pairs, 4),
    lesions of the second reader, those found, of the first reader, those correct. differences: for each pair, the area
    differences of the places that both drew. lesions, area_px: (readers,). drawn: boolean (places, readers).
    largest: (places,), the largest area difference of any pair. marks: int64 (readers + 1,), pixels marked by 0, 1, ...
    readers.
    """

    name: ImageName
    readers: tuple[str, ...]
    table: NDArray[np.int64]
    found: NDArray[np.int64]
    differences: tuple[NDArray[np.float64], ...]
    lesions: NDArray[np.int64]
    area_px: NDArray[np.int64]
    drawn: Mask
    largest: NDArray[np.float64]
    marks: NDArray[np.int64]


def compare_readings(name: ImageName, readings: Mapping[str, LabelImage]) -> ReadImage:
    """Compare what readers drew on one image: label pictures (rows, cols) of one shape, 0 = background.

    Raises ValueError for fewer than two readers or pictures of different shapes.
    """
    places = correspond(readings)
    readers = tuple(sorted(readings))
    tables, found, differences = [], [], []
    for first, second in itertools.combinations(readers, 2):
        pixels = count_pixels(readings[first], readings[second])
        neither = readings[first].size - pixels.predicted - pixels.false_negative
        tables.append((pixels.true_positive, pixels.false_positive, pixels.false_negative, neither))
        counts = match_lesions(readings[first], readings[second]).counts()
        found.append((counts.true, counts.found, counts.predicted, counts.correct))
        both = correspond({first: readings[first], second: readings[second]})
        differences.append(np.array([place.largest_difference for place in both if place.complete]))
    stack = np.stack([readings[reader] != 0 for reader in readers])
    return ReadImage(
        name=name,
        readers=readers,
        table=np.array(tables),
        found=np.array(found),
        differences=tuple(differences),
        lesions=np.array([np.count_nonzero(np.unique(readings[reader])) for reader in readers]),
        area_px=stack.sum(axis=(1, 2)),
        drawn=np.array(
            [[bool(place.numbers[reader]) for reader in readers] for place in places], dtype=np.bool_
        ).reshape(-1, len(readers)),
        largest=np.array([place.largest_difference for place in places]),
        marks=np.bincount(stack.sum(axis=0).ravel(), minlength=len(readers) + 1),
    )


def cohen_kappa(table: NDArray[Any]) -> NDArray[np.float64]:
    """Cohen's kappa of (..., 4): both yes, the first only, the second only, neither; NaN where all or none is yes.

    Cohen, Educ Psychol Meas 20:37 (1960), for two categories.
    """
    both, first, second, neither = np.moveaxis(np.asarray(table, dtype=np.float64), -1, 0)
    chance = (both + first) * (first + neither) + (both + second) * (second + neither)
    return _quotient(2 * (both * neither - first * second), chance)


def fleiss_kappa(marks: NDArray[Any]) -> NDArray[np.float64]:
    """Fleiss' kappa of (..., readers + 1): how many items 0, 1, ... readers said yes to; NaN where all or none is yes.

    Fleiss, Psychol Bull 76:378 (1971), for two categories.
    """
    items = np.asarray(marks, dtype=np.float64)
    readers = items.shape[-1] - 1
    yes = np.arange(readers + 1)
    said = items.sum(axis=-1) * readers
    agreed = (items * yes).sum(axis=-1)
    split = (items * yes * (readers - yes)).sum(axis=-1)
    return 1 - _quotient(split * said, (readers - 1) * agreed * (said - agreed))


def summarise_agreement(images: Sequence[ReadImage], bootstrap: Bootstrap | None = None) -> dict[str, Any]:
    """Make the report of compared images: JSON values only, undefined figures None.

    Raises ValueError without images, or where not all have the same readers.
    """
    readers = {image.readers for image in images}
    if len(readers) != 1:
        raise ValueError(f"a report is of images that the same readers read, not of {len(readers)} groups of readers")
    (names,) = readers
    tables = _Tables(images, bootstrap or Bootstrap())
    pairs = list(itertools.combinations(names, 2))
    complete = np.concatenate([image.drawn.all(axis=1) for image in images])
    return {
        "research_use_only": True,
        "readers": list(names),
        "patients": len(tables.patients),
        "scans": len({(image.name.patient, image.name.study) for image in images}),
        "images": len(images),
        "images_without_marks": sum(not image.area_px.any() for image in images),
        "places": len(complete),
        "places_drawn_by_all": int(complete.sum()),
        "lesions": _by_reader(names, [image.lesions for image in images]),
        "area_px": _by_reader(names, [image.area_px for image in images]),
        "pairs": [
            {"readers": list(pair), **_figures(tables, [number]), "area_difference": tables.pair_differences(number)}
            for number, pair in enumerate(pairs)
        ],
        "overall": {
            **_figures(tables, list(range(len(pairs)))),
            "area_difference": tables.all_differences(),
            "fleiss_kappa_pixel": tables.fleiss(lambda image: image.marks),
            "fleiss_kappa_place": tables.fleiss(lambda image: _histogram(image.drawn)),
            "fleiss_kappa_image": tables.fleiss(lambda image: _histogram(image.area_px[None] > 0)),
        },
        "tolerances": [{"tolerance": tolerance, "accepted": tables.accepted(tolerance)} for tolerance in TOLERANCES],
        "conventions": dict(CONVENTIONS),
    }


def agreement_text(report: Mapping[str, Any]) -> str:
    """The report's main figures as lines of text."""
    overall = report["overall"]
    lines = [
        f"{counted(len(report['readers']), 'reader')} ({', '.join(report['readers'])}), "
        f"{counted(report['patients'], 'patient')}, {counted(report['images'], 'image')} "
        f"({report['images_without_marks']} without marks), {counted(report['places'], 'place')} "
        f"({report['places_drawn_by_all']} drawn by all)",
        "",
        f"{'':<16}" + "".join(f"{heading:>{_WIDTH}}" for heading in _COLUMNS),
        *(_row("-".join(pair["readers"]), pair) for pair in report["pairs"]),
        _row("overall", overall),
        "",
        "tolerance (Eq. 2) and the share of places that it accepts:",
        "  " + "  ".join(f"{row['tolerance']:g}: {_share(row['accepted'])}" for row in report["tolerances"]),
    ]
    return "\n".join(lines) + "\n"


class _Tables:
    """The images by patient, and the figures of sums over patients."""

    def __init__(self, images: Sequence[ReadImage], bootstrap: Bootstrap) -> None:
        self.images = images
        self.patients = {name: row for row, name in enumerate(sorted({image.name.patient for image in images}))}
        self.bootstrap = bootstrap

    def figure(self, terms: Callable[[ReadImage], NDArray[Any]], figure: _Figure, count: float) -> dict[str, Any]:
        """Estimate a figure of sums over patients. terms: (pairs, k) of an image; the figure is averaged over pairs."""
        sums = np.zeros((len(self.patients), *terms(self.images[0]).shape))
        for image in self.images:
            sums[self.patients[image.name.patient]] += terms(image)
        value = _mean_over_pairs(figure(sums.sum(axis=0)))
        if not np.isfinite(value):
            return Estimate(None, None, None, 0).to_dict()
        if len(self.patients) < LEAST_PATIENTS:
            return Estimate(float(value), None, None, count).to_dict()
        draws = _mean_over_pairs(figure(np.tensordot(self.bootstrap.weights(len(sums)), sums, axes=1)))
        low, high = self.bootstrap.bounds(draws[np.isfinite(draws)])
        return Estimate(float(value), low, high, count).to_dict()

    def fleiss(self, marks: Callable[[ReadImage], NDArray[Any]]) -> dict[str, Any]:
        items = sum(int(marks(image).sum()) for image in self.images)
        return self.figure(lambda image: marks(image)[None], fleiss_kappa, items)

    def accepted(self, tolerance: float) -> dict[str, Any]:
        def terms(image: ReadImage) -> NDArray[Any]:
            taken = image.drawn.all(axis=1) & (image.largest <= tolerance)
            return np.array([[taken.sum(), len(taken)]])

        return self.figure(terms, _share_of, sum(len(image.largest) for image in self.images))

    def pair_differences(self, pair: int) -> dict[str, Any]:
        return self._differences([image.differences[pair] for image in self.images])

    def all_differences(self) -> dict[str, Any]:
        return self._differences([image.largest[image.drawn.all(axis=1)] for image in self.images])

    def _differences(self, by_image: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
        values = np.concatenate(by_image)
        patients = [
            image.name.patient for image, own in zip(self.images, by_image, strict=True) for _ in range(len(own))
        ]
        lower, upper = np.quantile(values, [0.25, 0.75]).tolist() if values.size else (None, None)
        middle = median(values, patients, self.bootstrap)
        return {"median": asdict(middle), "lower_quartile": lower, "upper_quartile": upper}


def _by_reader(readers: Sequence[str], numbers: Sequence[NDArray[np.int64]]) -> dict[str, int]:
    return dict(zip(readers, np.sum(numbers, axis=0).tolist(), strict=True))


def _figures(tables: _Tables, pairs: list[int]) -> dict[str, Any]:
    """What is reported of one pair, or as the mean of several."""
    images = tables.images

    def per_image(image: ReadImage, *, marked_only: bool) -> NDArray[np.float64]:
        dsc = _dsc(image.table[pairs])
        marked = image.table[pairs, :3].any(axis=1)
        counts = marked if marked_only else np.ones_like(marked)
        return np.stack([np.where(counts, np.where(marked, dsc, 1.0), 0.0), counts], axis=1)

    marked = sum(bool(image.table[pairs, :3].any()) for image in images)
    places = sum(len(image.drawn) for image in images)
    lesions = sum(int(image.found[pairs][:, [0, 2]].sum()) for image in images)
    pixels = sum(int(image.marks.sum()) for image in images)
    return {
        "dsc_pooled": tables.figure(lambda image: image.table[pairs], _dsc, marked),
        "dsc": tables.figure(lambda image: per_image(image, marked_only=False), _share_of, len(images)),
        "dsc_with_lesions": tables.figure(lambda image: per_image(image, marked_only=True), _share_of, marked),
        "lesion_f1": tables.figure(lambda image: image.found[pairs], _f1, lesions),
        "kappa_pixel": tables.figure(lambda image: image.table[pairs], cohen_kappa, pixels),
        "kappa_place": tables.figure(lambda image: _presence(image.drawn, pairs), _kappa_of_places, places),
        "kappa_image": tables.figure(lambda image: _presence(image.area_px[None] > 0, pairs), cohen_kappa, len(images)),
    }


def _presence(said: Mask, pairs: list[int]) -> NDArray[np.int64]:
    """Count the items (items, readers) to which both of a pair said yes, the first only, the second only, neither."""
    chosen = [list(itertools.combinations(range(said.shape[1]), 2))[pair] for pair in pairs]
    rows = []
    for one, other in chosen:
        first, second = said[:, one], said[:, other]
        rows.append(
            [(first & second).sum(), (first & ~second).sum(), (second & ~first).sum(), (~first & ~second).sum()]
        )
    return np.array(rows, dtype=np.int64)


def _kappa_of_places(table: _Sums) -> NDArray[np.float64]:
    """Cohen's kappa; NaN without places that neither of the pair drew, as agreement on absence is then unknown."""
    return np.where(table[..., 3] > 0, cohen_kappa(table), np.nan)


def _histogram(said: Mask) -> NDArray[np.int64]:
    """Count the items (items, readers) to which 0, 1, ... readers said yes."""
    return np.bincount(said.sum(axis=1), minlength=said.shape[1] + 1)


def _dsc(table: _Sums) -> NDArray[np.float64]:
    both, first, second = (table[..., column] for column in range(3))
    return _quotient(2 * both, 2 * both + first + second)


def _f1(found: _Sums) -> NDArray[np.float64]:
    """F1 of (..., 4) lesion counts; NaN with neither true nor predicted ones."""
    true, hit, predicted, correct = (found[..., column] for column in range(4))
    sensitivity, precision = (np.nan_to_num(_quotient(*of)) for of in ((hit, true), (correct, predicted)))
    f1 = np.nan_to_num(_quotient(2 * sensitivity * precision, sensitivity + precision))
    return np.where(true + predicted > 0, f1, np.nan)


def _share_of(sums: _Sums) -> NDArray[np.float64]:
    return _quotient(sums[..., 0], sums[..., 1])


def _quotient(over: NDArray[Any], under: NDArray[Any]) -> NDArray[np.float64]:
    """`over` / `under`, NaN where that is undefined."""
    result: NDArray[np.float64] = np.full(np.shape(under), np.nan)
    np.divide(over, under, out=result, where=np.asarray(under) != 0)
    return result


def _mean_over_pairs(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the defined figures over the last axis; NaN where none is defined."""
    known = np.isfinite(figures)
    return _quotient(np.where(known, figures, 0.0).sum(axis=-1), known.sum(axis=-1))


def _row(name: str, figures: Mapping[str, Any]) -> str:
    values = [figures[key].get("median", figures[key]) for key in _COLUMNS.values()]
    return f"{name:<16}" + "".join(f"{_number(value):>{_WIDTH}}" for value in values)


def _number(estimate: Mapping[str, Any]) -> str:
    return "-" if estimate["value"] is None else f"{estimate['value']:.3f}"


def _share(estimate: Mapping[str, Any]) -> str:
    return "-" if estimate["value"] is None else f"{100 * estimate['value']:.0f} %"
