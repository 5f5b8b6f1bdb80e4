"""Uptake per region of people and phantoms, registered to one phantom's region map. Used by `realism.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from bonescan.phantom.anatomy import Anatomy, make_anatomy
from bonescan.phantom.posture import Build, sample_build
from bonescan.phantom.realism import body_of
from bonescan.prepare import mirror
from bonescan.study import BONE_REGIONS, REGIONS, FloatImage, Region, Study, View

SHRINK = 4
"""Registration works on blocks of so many pixels."""
TEMPLATE_SEEDS = range(920_000, 920_060)
LEAST_PIXELS = 40
MIDLINE = (Region.SKULL, Region.FACE, Region.CERVICAL_SPINE, Region.THORACIC_SPINE, Region.LUMBAR_SPINE, Region.SACRUM)


@dataclass(frozen=True, slots=True, eq=False)
class Registered:
    """A scan in the template's frame, seen from the front.

    counts: (2, rows, cols) float32, anterior and mirrored posterior. regions: (2, rows, cols) of the template. native,
    native_regions: both in the scan's own frame.
    """

    person: bool
    counts: FloatImage
    native: FloatImage
    native_regions: NDArray[np.uint8]
    regions: NDArray[np.uint8]


def region_figures(people: Sequence[Study], phantoms: Sequence[Study]) -> tuple[dict[str, Any], list[Registered]]:
    """Return the table of region figures, and all scans in the template's frame."""
    template = _template()
    regions = np.stack([template.regions[View.ANTERIOR], template.regions[View.POSTERIOR]])
    fixed = _appearance(_template_counts(template))
    studies = [(True, study) for study in people] + [(False, study) for study in phantoms]
    scans = [_register(person, _pair(study), fixed, regions) for person, study in studies]
    values = [_uptake(scan) for scan in scans]
    rows = []
    for name in values[0]:
        persons = [value[name] for scan, value in zip(scans, values, strict=True) if scan.person]
        others = [value[name] for scan, value in zip(scans, values, strict=True) if not scan.person]
        low, high, median = float(min(persons)), float(max(persons)), float(np.median(others))
        rows.append(
            {
                "name": name,
                "people": [round(low, 4), round(high, 4)],
                "people_median": round(float(np.median(persons)), 4),
                "people_spread": round(float(np.std(np.log(np.maximum(persons, 1e-3)))), 3),
                "phantom": round(median, 4),
                "phantom_spread": round(float(np.std(np.log(np.maximum(others, 1e-3)))), 3),
                "within": low <= median <= high,
            }
        )
    return {"rows": rows, "within": sum(row["within"] for row in rows)}, scans


def _deviation(build: Build) -> float:
    """How far a build is from the standard one: the template should be like most patients."""
    sizes = (build.height, build.girth, build.chest, build.pelvis, build.depth, build.leg_length, build.shoulders)
    arms = [abs(arm.abduction - 6) / 5 + abs(arm.elbow + 5) / 10 for arm in build.arms.values()]
    bends = abs(build.scoliosis[0]) / 5 + sum(abs(angle) for angle in build.head) / 10 + abs(build.tilt)
    return float(sum(((size - 1) / 0.05) ** 2 for size in sizes) + sum(arms) + bends + abs(build.fat - 0.5))


def _template() -> Anatomy:
    builds = {seed: sample_build(np.random.default_rng([0xB0E, seed])) for seed in TEMPLATE_SEEDS}
    return make_anatomy(min(builds, key=lambda seed: _deviation(builds[seed])))


def _template_counts(anatomy: Anatomy) -> FloatImage:
    from bonescan.phantom import make_patient

    return _pair(make_patient(anatomy, 0).study)


def _pair(study: Study) -> FloatImage:
    return np.stack([study.counts(View.ANTERIOR), mirror(study.counts(View.POSTERIOR))]).astype(np.float32)


def _appearance(counts: FloatImage) -> FloatImage:
    """What is registered: the smoothed square root of both views' sum, 1 at a bright bone."""
    total = ndimage.gaussian_filter(counts.sum(axis=0), 1.5)
    rows, cols = (length // SHRINK * SHRINK for length in total.shape)
    blocks = total[:rows, :cols].reshape(rows // SHRINK, SHRINK, cols // SHRINK, SHRINK).mean(axis=(1, 3))
    root = np.sqrt(blocks)
    return np.asarray(np.minimum(root / np.percentile(root[root > 0.2 * root.max()], 97), 1.2), dtype=np.float32)


def _image(array: FloatImage) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((float(SHRINK), float(SHRINK)))
    image.SetOrigin(((SHRINK - 1) / 2, (SHRINK - 1) / 2))
    return image


def _box(appearance: FloatImage) -> tuple[float, float, float, float]:
    """First and last row of the body, centre column, width of the trunk, in pixels."""
    body = body_of(appearance**2)
    rows = np.flatnonzero(body.any(axis=1))
    top, bottom = rows[0] * SHRINK, rows[-1] * SHRINK
    trunk = body[rows[0] + int(0.15 * len(rows)) : rows[0] + int(0.45 * len(rows))]
    cols = np.nonzero(trunk)[1] * SHRINK
    return float(top), float(bottom), float(np.median(cols)), float(np.percentile(cols, 95) - np.percentile(cols, 5))


def _register(person: bool, counts: FloatImage, fixed: FloatImage, regions: NDArray[np.uint8]) -> Registered:
    moving = _appearance(counts)
    there, here = _box(fixed), _box(moving)
    scale = (here[1] - here[0]) / (there[1] - there[0])
    start = sitk.AffineTransform(2)
    start.SetMatrix((max(here[3] / there[3], 0.6), 0.0, 0.0, scale))
    start.SetTranslation((here[2] - start.GetMatrix()[0] * there[2], here[0] - scale * there[0]))
    affine = _optimise(fixed, moving, start, [start])
    spline = sitk.BSplineTransformInitializer(_image(fixed), (5, 14), 3)
    warp = _optimise(fixed, moving, spline, [affine], spline=True)
    total = sitk.CompositeTransform([affine, warp])
    grid = sitk.GetImageFromArray(np.zeros(regions.shape[1:], dtype=np.float32))
    warped = [sitk.Resample(sitk.GetImageFromArray(view), grid, total, sitk.sitkLinear, 0.0) for view in counts]
    return Registered(
        person,
        np.stack([sitk.GetArrayFromImage(view) for view in warped]),
        counts,
        _back(regions, counts.shape[1:], total),
        regions,
    )


def _back(regions: NDArray[np.uint8], shape: tuple[int, ...], transform: sitk.Transform) -> NDArray[np.uint8]:
    """The template's regions in the scan's own frame, by the displacement field's inverse."""
    grid = sitk.GetImageFromArray(np.zeros(shape, dtype=np.float32))
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing()
    )
    inverse = sitk.DisplacementFieldTransform(sitk.InvertDisplacementField(field, 30))
    maps = [sitk.Resample(sitk.GetImageFromArray(view), grid, inverse, sitk.sitkNearestNeighbor, 0) for view in regions]
    return np.stack([sitk.GetArrayFromImage(view) for view in maps])


def _optimise(
    fixed: FloatImage, moving: FloatImage, start: sitk.Transform, before: list[sitk.Transform], spline: bool = False
) -> sitk.Transform:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetNumberOfThreads(1)
    if spline:
        method.SetMovingInitialTransform(before[0])
        method.SetOptimizerAsLBFGSB(numberOfIterations=30, maximumNumberOfCorrections=5)
    else:
        method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 120)
        method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([2.0, 1.0])
    method.SetInitialTransform(start, inPlace=False)
    return method.Execute(_image(fixed), _image(moving))


def _uptake(scan: Registered) -> dict[str, float]:
    """Mean counts per region and view relative to the lumbar spine from behind, and left over right."""
    views = {View.ANTERIOR: 0, View.POSTERIOR: 1}
    lumbar = scan.regions[1] == REGIONS.index(Region.LUMBAR_SPINE)
    unit = float(scan.counts[1][lumbar].mean())
    middle = scan.regions.shape[2] / 2
    left = np.arange(scan.regions.shape[2])[None, :] >= middle
    out: dict[str, float] = {}
    for region in (Region.BACKGROUND, *BONE_REGIONS):
        for view, channel in views.items():
            inside = scan.regions[channel] == REGIONS.index(region)
            if region is Region.BACKGROUND:
                bones = ndimage.binary_dilation(scan.regions.max(axis=0) > 0, iterations=3)
                inside = body_of(scan.counts.sum(axis=0)) & ~bones
            if inside.sum() < LEAST_PIXELS:
                continue
            out[f"{view}: {region}"] = float(scan.counts[channel][inside].mean()) / unit
            if region is Region.BACKGROUND or region in MIDLINE:
                continue
            sides = [scan.counts[channel][inside & half] for half in (left, ~left)]
            if min(len(side) for side in sides) >= LEAST_PIXELS:
                out[f"{view}: {region}, left over right"] = float(sides[0].mean() / max(sides[1].mean(), 1e-6))
    return out


def mean_images(scans: Sequence[Registered], folder: Path) -> None:
    """Write the mean images of people and of phantoms, both views side by side, at one window."""
    folder.mkdir(parents=True, exist_ok=True)
    for person in (True, False):
        group = [scan.counts / scan.counts.sum() * 2e6 for scan in scans if scan.person is person]
        mean = np.mean(group, axis=0)
        picture = np.concatenate([mean[0], mean[1]], axis=1)
        grey = 255 * (1 - np.clip(picture / np.percentile(picture, 99.3), 0, 1) ** 0.7)
        Image.fromarray(grey.astype(np.uint8)).save(folder / f"mean-{'people' if person else 'phantoms'}.png")
