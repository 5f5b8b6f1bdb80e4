"""Whether a model finds whole bones, or large parts of them, that are hot in scans of people.

    python benchmarks/people_bones.py PEOPLE --model phantom-unet OTHER --json results/people_bones.json

Each part is made on average 2, 3 and 5 times as hot as it is in the scan, in patches and with a sharp edge; counts are
Poisson and add, so the noise is exact. The first model's region map says where the part lies. Found: an outline of the
model touches it. Covered: the share of it that lies within outlines. Both are also told of the part as it is (excess
0), where an outline is a false positive. PEOPLE: a folder of scans without lesions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.lesions.delineate import delineate
from bonescan.pipeline import DEFAULT_MODEL, Model, load_model
from bonescan.prediction import RegionMap
from bonescan.study import IS_BONE, REGIONS, Mask, Region, Scan, Study, View
from common import report_head, scans_of, write_report
from quality import predicted

EXCESS = (0, 1, 2, 4)
"""Added uptake over that of the part."""
BLUR_PX = 1.8
PATCHES_PX, PATCHES = 2.0, 0.35
ALL = (0.0, 1.0)
LEAST_PX = 8


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bone in the view that shows it best.

    sided: of the left half of the picture alone. rows, cols: between these quantiles of the bone's pixels.
    other: how hot the other view shows it, against this one.
    """

    view: View
    region: Region
    sided: bool
    rows: tuple[float, float]
    cols: tuple[float, float]
    other: float


_FRONT, _BACK = View.ANTERIOR, View.POSTERIOR
PARTS = {
    "band across the sacrum": Part(_BACK, Region.SACRUM, False, (0.35, 0.5), ALL, 0.4),
    "lower third of the sacrum": Part(_BACK, Region.SACRUM, False, (0.66, 0.95), ALL, 0.4),
    "sacrum": Part(_BACK, Region.SACRUM, False, (0.05, 0.95), ALL, 0.4),
    "two lumbar vertebrae": Part(_BACK, Region.LUMBAR_SPINE, False, (0.3, 0.7), ALL, 0.5),
    "three thoracic vertebrae": Part(_BACK, Region.THORACIC_SPINE, False, (0.4, 0.65), ALL, 0.4),
    "a cervical vertebra": Part(_BACK, Region.CERVICAL_SPINE, False, (0.4, 0.6), ALL, 0.6),
    "sternum": Part(_FRONT, Region.STERNUM, False, (0.02, 0.98), ALL, 0.25),
    "lower half of the sternum": Part(_FRONT, Region.STERNUM, False, (0.5, 1.0), ALL, 0.25),
    "wing of the ilium": Part(_BACK, Region.ILIUM, True, (0.1, 0.6), ALL, 0.8),
    "outer border of the ilium": Part(_BACK, Region.ILIUM, True, (0.0, 0.5), (0.0, 0.3), 0.8),
    "lower ilium": Part(_BACK, Region.ILIUM, True, (0.6, 1.0), ALL, 0.8),
    "ischium": Part(_BACK, Region.ISCHIUM, True, ALL, ALL, 0.6),
    "pubis": Part(_FRONT, Region.PUBIS, True, ALL, ALL, 0.4),
    "head and neck of the femur": Part(_FRONT, Region.FEMUR, True, (0.0, 0.12), ALL, 0.9),
    "shaft of the femur": Part(_FRONT, Region.FEMUR, True, (0.3, 0.6), ALL, 0.9),
    "head of the humerus": Part(_FRONT, Region.HUMERUS, True, (0.0, 0.25), ALL, 0.9),
    "shaft of the humerus": Part(_FRONT, Region.HUMERUS, True, (0.5, 0.75), ALL, 0.9),
    "scapula": Part(_BACK, Region.SCAPULA, True, (0.1, 1.0), ALL, 0.3),
    "tip of the scapula": Part(_BACK, Region.SCAPULA, True, (0.8, 1.0), ALL, 0.3),
    "clavicle": Part(_FRONT, Region.CLAVICLE, True, ALL, ALL, 0.6),
    "a quarter of the skull": Part(_BACK, Region.SKULL, True, (0.2, 0.7), ALL, 0.7),
}


def mask_of(part: Part, regions: RegionMap) -> Mask | None:
    """The pixels of a part, (rows, cols); None where the map shows too little of it."""
    mask = regions == REGIONS.index(part.region)
    if part.sided and mask.any():
        mask &= np.arange(mask.shape[1]) < np.median(np.nonzero(IS_BONE[regions])[1])
    pieces, number = ndimage.label(mask)
    if not number:
        return None
    mask = pieces == 1 + int(np.argmax(ndimage.sum_labels(mask, pieces, range(1, number + 1))))
    for axis, quantiles in enumerate((part.rows, part.cols)):
        places = np.nonzero(mask)[axis]
        low, high = np.quantile(places, quantiles) if places.size else (0.0, 0.0)
        along = np.arange(mask.shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
        mask = mask & (along >= low) & (along <= high)
    return mask if mask.sum() >= LEAST_PX else None


def made_hot(study: Study, part: Part, mask: Mask, excess: float, rng: np.random.Generator) -> tuple[Study, Mask]:
    """The study with a part of it hot in both views, and the pixels of more than half of what is added on average."""
    patches = ndimage.gaussian_filter(rng.normal(size=mask.shape), PATCHES_PX)
    shape = mask * np.clip(1 + PATCHES * patches / patches.std(), 0.2, None)
    shape = ndimage.gaussian_filter(shape.astype(np.float64), BLUR_PX)
    shape /= shape[mask].mean()
    level = float(np.median(ndimage.uniform_filter(study.counts(part.view).astype(np.float64), 3)[mask]))
    added: dict[View, NDArray[np.float64]] = dict.fromkeys(View, part.other * shape[:, ::-1])
    added[part.view] = shape
    scans = {
        view: Scan(view, (scan.counts + rng.poisson(excess * level * added[view])).astype(np.float32))
        for view, scan in study.scans.items()
    }
    return replace(study, scans=scans), shape > 0.5


def outlined(study: Study, model: Model, view: View) -> Mask:
    """The pixels of one view within outlines, as `segment` makes them, without the names of bones."""
    prediction, binning = predicted(study, model)
    marked = np.zeros(study.shape, dtype=np.bool_)
    for outline in delineate(prediction, model.bundle.at("balanced").at_binning(binning)):
        if outline.view is view:
            marked[outline.window] |= outline.mask
    return marked


def judged(studies: Sequence[Study], models: Sequence[Model]) -> list[dict[str, Any]]:
    """Per model: each part at each excess, as [scans, found, covered]."""
    found: list[dict[str, dict[int, list[float]]]] = [
        {name: {excess: [] for excess in EXCESS} for name in PARTS} for _ in models
    ]
    for number, study in enumerate(studies):
        regions = predicted(study, models[0])[0].region
        for which, (name, part) in enumerate(PARTS.items()):
            mask = mask_of(part, regions[part.view]) if part.view in study.scans else None
            if mask is None:
                continue
            for excess in EXCESS:
                rng = np.random.default_rng([number, which, excess])
                hot, inside = made_hot(study, part, mask, excess, rng)
                for model, rows in zip(models, found, strict=True):
                    rows[name][excess].append(float(outlined(hot, model, part.view)[inside].mean()))
    return [{"model": asdict(model.name), "parts": summary(rows)} for model, rows in zip(models, found, strict=True)]


def summary(rows: Mapping[str, Mapping[int, Sequence[float]]]) -> dict[str, dict[str, list[float]]]:
    """Per part and excess: the scans that show it, those in which it is found, and the mean share that is covered."""
    return {
        name: {
            str(excess): [len(shares), sum(share > 0 for share in shares), round(float(np.mean(shares)), 3)]
            for excess, shares in part.items()
        }
        for name, part in rows.items()
        if all(part.values())
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL], help="models that ship, or bundles' folders")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    studies = scans_of(arguments.people)
    models = [load_model(name) for name in arguments.model]
    rows = judged(studies, models)
    for row in rows:
        print(row["model"]["sha256"][:8])
        for name, told in row["parts"].items():
            words = (
                f"{excess}: {found} of {scans}, covered {covered:.2f}"
                for excess, (scans, found, covered) in told.items()
            )
            print(f"  {name:26}", "; ".join(words))
    head = report_head(parser, arguments, [model.name for model in models], simulated=False)
    write_report(arguments.json, {**head, "scans": len(studies), "models": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
