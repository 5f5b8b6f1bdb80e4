"""One simulated patient over time: the same bones; lesions that stay, grow, shrink, go and come; benign uptake that
varies, and sometimes progresses or heals.

Each scan has its own dose, scatter and noise, a few per cent of variation in uptake, and the patient lies elsewhere and
a little otherwise: the expected counts are moved, turned, stretched and bent by a smooth field before they are counted.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.phantom.anatomy import SHAPE, Anatomy, make_anatomy
from bonescan.phantom.camera import VIEWS, count, sample_exposure
from bonescan.phantom.findings import add_findings
from bonescan.phantom.foci import Focus, Images, add
from bonescan.phantom.metastases import Metastasis, make_metastases
from bonescan.phantom.patient import Phantom, as_acquired, expose, skeleton_and_haze
from bonescan.phantom.tracer import add_tracer
from bonescan.phantom.truth import draw_benign, draw_truth, name_bones
from bonescan.study import LabelImage, Scan, Study

STAY, GROW, SHRINK, GO = 0.55, 0.2, 0.15, 0.10
"""What becomes of a lesion from one scan to the next."""
GROWTH = (1.6, 2.6)
"""By which the excess uptake of a growing lesion rises; a shrinking one's falls by as much."""
BENIGN_SPREAD = 0.15
"""Standard deviation of the logarithm of a benign finding's uptake from scan to scan."""
BENIGN_CHANGES, BENIGN_FACTORS = 0.1, (0.2, 2.0)
"""How often a finding changes for good from one scan to the next, and the range of the factor: arthritis progresses,
fractures heal."""
MOST_SHIFT_PX, MOST_TURN, MOST_STRETCH, BEND_PX = 12.0, 0.03, 0.02, 3.0
"""How the patient lies: shift in pixels, turn in radians, stretch as a part of 1, and bending in pixels."""
STATUS_COLUMNS = ("patient", "study", "lesion", "status", "anterior_px", "posterior_px")


WritePatient = Callable[[Phantom, Path, Header], None]
"""Writes one scan and its truth into a new folder (`cohort.write_patient`)."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesScan:
    """One scan of a series. statuses: lesion number -> what became of it since the scan before; all "new" in the first.

    Numbers are those of the phantom's table, and the same in all scans of the series.
    """

    phantom: Phantom
    statuses: Mapping[int, str]


def make_series(anatomy: Anatomy, seed: int, scans: int) -> list[SeriesScan]:
    """Draw one patient's scans, oldest first. Deterministic from the anatomy's seed and this one."""
    rng = np.random.default_rng([0x5E1, anatomy.seed, seed, *anatomy.family.key])
    uptake_seed = int(rng.integers(2**31))
    base, findings, _ = _scene(anatomy, uptake_seed)
    lasting = np.ones(len(findings))
    lesions = make_metastases(anatomy, int(rng.integers(1, 9)), base, rng)
    statuses = dict.fromkeys(range(1, len(lesions) + 1), "new")
    made = []
    for time in range(scans):
        if time:
            lesions, statuses = _later(lesions, anatomy, base, rng)
            changed = rng.random(lasting.size) < BENIGN_CHANGES
            lasting[changed] *= rng.uniform(*BENIGN_FACTORS, int(changed.sum()))
        today = lasting * np.exp(rng.normal(0, BENIGN_SPREAD, lasting.size))
        made.append(SeriesScan(_scan(anatomy, lesions, today, (seed, time, uptake_seed), rng), statuses))
    return made


def _scene(anatomy: Anatomy, seed: int) -> tuple[Images, list[Focus], Generator]:
    """The patient without lesions, and the findings; the same for the same seed."""
    rng = np.random.default_rng(seed)
    images = skeleton_and_haze(anatomy, False, rng)
    return images, add_findings(anatomy, images, rng), rng


def _later(
    lesions: Sequence[Metastasis], anatomy: Anatomy, base: Images, rng: Generator
) -> tuple[list[Metastasis], dict[int, str]]:
    """The lesions of the next scan: those of before with other uptake, 0 where they are gone, then new ones."""
    after: list[Metastasis] = []
    statuses: dict[int, str] = {}
    for number, lesion in enumerate(lesions, 1):
        if not lesion.focus.factor:
            after.append(lesion)
            continue
        status = str(rng.choice(["persistent", "growing", "shrinking", "resolved"], p=[STAY, GROW, SHRINK, GO]))
        change = float(rng.uniform(*GROWTH))
        factor = {"persistent": 1.0, "growing": change, "shrinking": 1 / change, "resolved": 0.0}[status]
        after.append(replace(lesion, focus=replace(lesion.focus, factor=lesion.focus.factor * factor)))
        statuses[number] = status
    fresh = make_metastases(anatomy, int(rng.choice([0, 0, 0, 1, 2, 3])), base, rng)
    statuses |= {len(after) + number: "new" for number in range(1, len(fresh) + 1)}
    return [*after, *fresh], statuses


def _scan(
    anatomy: Anatomy,
    lesions: list[Metastasis],
    benign_factors: NDArray[np.float64],
    key: tuple[int, int, int],
    rng: Generator,
) -> Phantom:
    """One scan of the patient: as `make_patient`, with given lesions, lying as the patient does that day.

    benign_factors: by which the uptake of each benign finding differs from that of the patient's scene.
    """
    seed, time, uptake_seed = key
    images, findings, _ = _scene(anatomy, uptake_seed)
    findings = _varied(findings, images, benign_factors)
    today = float(np.exp(rng.normal(0, 0.05)))
    for image in images.values():
        image *= np.float32(today)
    organs = add_tracer(anatomy, images, False, rng)
    exposure = replace(sample_exposure(rng, anatomy.family.counts, anatomy.family.scatter), length=1.0)
    backdrop = expose(anatomy, images, lesions, organs, exposure, rng)
    truth = draw_truth(lesions, backdrop)
    benign = draw_benign(findings, backdrop)
    levels = {view: anatomy.levels[view].copy() for view in VIEWS}
    name_bones(anatomy, lesions, truth, backdrop.regions, levels)
    lie = _sample_lie(rng) if time else None
    expected, scans = {}, {}
    for view in VIEWS:
        air = exposure.background * float(np.median(backdrop.over[view][anatomy.camera.body.inside]))
        seen = _moved(backdrop.sensitivity * (backdrop.over[view] + np.float32(air)), lie, 1)
        expected[view] = as_acquired(np.maximum(seen, 0).astype(np.float32), view)
        scans[view] = Scan(view, count(expected[view], exposure, rng))

    def labels(pictures: Mapping[Any, NDArray[Any]]) -> dict[Any, Any]:
        return {view: as_acquired(_moved(pictures[view], lie, 0), view) for view in VIEWS}

    lesion_labels: Mapping[Any, LabelImage] = labels(truth.lesions)
    table = tuple(
        replace(record, area_px={view: int((lesion_labels[view] == record.number).sum()) for view in VIEWS})
        for record in truth.table
    )
    name = f"series-{anatomy.seed:06d}-{seed:04d}-{time + 1}"
    return Phantom(
        name,
        Study(name, scans, spacing=anatomy.spacing, view_source="simulated"),
        lesions=lesion_labels,
        faint=labels(truth.faint),
        regions=labels(backdrop.regions),
        table=table,
        expected=expected,
        benign=labels(benign),
        levels=labels(levels),
    )


def _varied(findings: Sequence[Focus], images: Images, factors: NDArray[np.float64]) -> list[Focus]:
    """The benign findings with their uptake times these factors; the images are changed with them."""
    varied = [replace(one, factor=one.factor * factor) for one, factor in zip(findings, factors.tolist(), strict=True)]
    for before, after in zip(findings, varied, strict=True):
        add(before.projection, images, after.factor - before.factor)
    return varied


def _sample_lie(rng: Generator) -> NDArray[np.float64]:
    """Where each pixel of a later scan lies in the first one's frame, (2, rows, cols)."""
    grid = np.indices(SHAPE).astype(np.float64)
    centre = np.array([SHAPE[0] / 2, SHAPE[1] / 2])[:, None, None]
    turn, stretch = rng.uniform(-MOST_TURN, MOST_TURN), 1 + rng.uniform(-MOST_STRETCH, MOST_STRETCH, 2)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * stretch[:, None]
    moved = np.einsum("ij,jkl->ikl", rotation, grid - centre) + centre
    moved += rng.uniform(-MOST_SHIFT_PX, MOST_SHIFT_PX, 2)[:, None, None]
    for axis in range(2):
        knots = rng.normal(0, BEND_PX, (9, 4))
        moved[axis] += ndimage.zoom(knots, (SHAPE[0] / 9, SHAPE[1] / 4), order=3, grid_mode=True, mode="nearest")
    return np.asarray(moved, dtype=np.float64)


def _moved(picture: NDArray[Any], lie: NDArray[np.float64] | None, order: Literal[0, 1]) -> NDArray[Any]:
    """A picture as the patient lies; order 1 for counts, 0 for numbers."""
    if lie is None:
        return picture
    # Counts are well within what float64 holds, and so are numbers of lesions.
    moved = ndimage.map_coordinates(picture.astype(np.float64), lie, order=order, mode="constant")
    return np.asarray(moved > 0.5 if picture.dtype == np.bool_ else moved.astype(picture.dtype))


def write_series(
    out: Path, number: int, seed: int, scans: int, style: HeaderStyle, write_patient: WritePatient
) -> list[list[str]]:
    """Write one patient's scans to `out`/patient-0000/study-1 and so on; return the rows of the table of statuses."""
    anatomy_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    name = f"patient-{number:04d}"
    header = Header(style, seed=seed, patient=f"series-{anatomy_seed:06d}")
    rows = []
    for time, made in enumerate(make_series(make_anatomy(anatomy_seed), 0, scans), 1):
        write_patient(made.phantom, out / name / f"study-{time}", header)
        for record in made.phantom.table:
            if record.number in made.statuses:
                areas = [str(record.area_px[view]) for view in VIEWS]
                rows.append([name, f"study-{time}", str(record.number), made.statuses[record.number], *areas])
    return rows


def write_statuses(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write the table of what became of each lesion."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(STATUS_COLUMNS)
        writer.writerows(rows)
