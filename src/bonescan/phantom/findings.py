"""What is hot, or cold, and not a metastasis: joints, degenerative change, fractures, teeth, growth plates.

Each finding is drawn for one or both sides, from faint to hotter than many lesions. A network that was
not trained on benign uptake at a site marks it as a lesion in real scans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from bonescan.phantom.anatomy import Anatomy
from bonescan.phantom.axial import VERTEBRAE
from bonescan.phantom.bones import BOTH
from bonescan.phantom.foci import Focus, Images, add, in_bone, make_blob, peak_ratio
from bonescan.phantom.shapes import Points
from bonescan.study import Side

_MORE = 1.3
"""Factor of the chances and of the radii of `FINDINGS`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of benign uptake.

    landmarks: those that may be hot. chance: that a patient of mean age has it, before `_MORE`. radius: mm, lowest and
    highest, before `_MORE`. hottest: highest ratio to what lies under it, before each side's own share of the excess.
    """

    landmarks: tuple[str, ...]
    chance: float
    radius: tuple[float, float]
    hottest: float


FINDINGS: tuple[Finding, ...] = (
    Finding(("nasopharynx", "sinus", "orbit"), 0.55, (6, 18), 2.4),
    Finding(("tooth",), 0.4, (4, 10), 3.5),
    Finding(("jaw angle", "chin", "temporomandibular joint"), 0.4, (5, 14), 2.6),
    Finding(("larynx",), 0.4, (7, 15), 2.0),
    Finding(("skull rim", "frontal rim", "mastoid", "vertex", "occiput"), 0.35, (8, 28), 1.6),
    Finding(("sternoclavicular joint", "first rib junction"), 0.65, (6, 14), 2.8),
    Finding(("sternal angle", "xiphoid"), 0.6, (5, 12), 2.0),
    Finding(
        ("acromion", "acromioclavicular joint", "coracoid", "glenohumeral joint", "humeral head"), 0.7, (9, 25), 2.6,
    ),
    Finding(("scapular tip", "scapular spine", "scapular border", "scapular upper angle"), 0.65, (6, 18), 3.2),
    Finding(
        ("anterior iliac spine", "iliac crest top", "iliac crest front", "iliac crest side", "posterior iliac spine"),
        0.7, (7, 30), 2.2,
    ),
    Finding(("sacroiliac joint", "sacroiliac joint below"), 0.55, (7, 22), 2.0),
    Finding(("hip joint", "acetabular roof", "acetabular edge"), 0.55, (7, 20), 2.4),
    Finding(("greater trochanter",), 0.35, (7, 16), 2.2),
    Finding(("pubic bone", "ischial tuberosity", "ischium", "coccyx"), 0.7, (6, 16), 2.0),
    Finding(("deltoid tuberosity",), 0.1, (8, 14), 2.0),
    Finding(("elbow", "olecranon", "medial epicondyle"), 0.5, (6, 16), 2.2),
    Finding(("wrist", "thumb base", "knuckles"), 0.6, (5, 14), 2.4),
    Finding(
        (
            "medial femoral condyle", "lateral femoral condyle", "patella", "medial tibial plateau",
            "lateral tibial plateau", "tibial tuberosity",
        ),
        0.8, (6, 24), 2.9,
    ),
    Finding(("shin",), 0.05, (10, 26), 3.0),
    Finding(("ankle", "heel", "midfoot", "great toe joint"), 0.75, (6, 16), 5.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Painter:
    """Adds benign foci to the images of one patient and keeps them."""

    anatomy: Anatomy
    images: Images
    rng: Generator
    found: list[Focus]

    def ratio(self, hottest: float) -> float:
        """Mostly faint, one in ten up to as hot as it gets.

        On nine scans of people without metastases, a scan has some twelve places, normal joints among them, that are at
        least twice as hot as the same bone beside them, and one that is three times as hot.
        """
        high = 2.2 if self.rng.random() < 0.1 else 6.0
        return float(1 + (hottest - 1) * self.rng.beta(0.9, high))

    def hot(self, centre: Points, radii: Points, ratio: float) -> None:
        """Add the bones' part of a blob so that its peak is `ratio` times what lies under it."""
        blob = make_blob(centre, radii, np.eye(3), self.rng, irregular=0.3)
        projection = self.anatomy.camera.project(in_bone(self.anatomy, blob))
        unit, _ = peak_ratio(projection, self.images)
        focus = Focus(projection, (ratio - 1) / max(unit, 1e-6))
        add(projection, self.images, focus.factor)
        self.found.append(focus)


def add_findings(anatomy: Anatomy, images: Images, rng: Generator) -> list[Focus]:
    """Add one patient's benign foci to the noise-free images; returns them."""
    painter = _Painter(anatomy, images, rng, [])
    age = rng.uniform(0.4, 1.7)
    for finding in FINDINGS:
        if rng.random() < min(0.95, _MORE * finding.chance * age):
            _add(finding, painter)
    _degenerative_spine(painter, age)
    _rib_junctions(painter)
    _fractures(painter)
    if anatomy.build.young:
        _growth_plates(painter)
    return painter.found


def _add(finding: Finding, painter: _Painter) -> None:
    rng = painter.rng
    both = rng.random() < 0.65
    first = Side.LEFT if rng.random() < 0.4 else Side.RIGHT  # most people are right-handed
    for name in finding.landmarks:
        if len(finding.landmarks) > 1 and rng.random() < 0.3:
            continue
        ratio = painter.ratio(finding.hottest)
        size = _MORE * rng.uniform(*finding.radius)
        for side in (Side.MIDLINE, first, Side.RIGHT if first is Side.LEFT else Side.LEFT):
            place = painter.anatomy.landmarks.get((name, side))
            if place is None or (side is not Side.MIDLINE and side is not first and not both):
                continue
            own = 1 + (ratio - 1) * float(rng.uniform(0.4, 1.3))
            painter.hot(place + rng.normal(0, 3, 3), size * np.exp(rng.normal(0, 0.15, 3)), own)


def _degenerative_spine(painter: _Painter, age: float) -> None:
    """Facets and osteophytes: small, at the edge of the vertebra, often several; and compressed vertebrae."""
    rng, landmarks = painter.rng, painter.anatomy.landmarks
    levels = np.array([1, 1, 1.5, 2, 3, 3, 2, 1, 0.5, 0.5, 0.5, 0.7, 0.8, 1, 1, 1, 1.2, 1.5, 1.5, 1.5, 2, 3, 4, 4])
    for _ in range(rng.poisson(1.5 * age)):
        name = VERTEBRAE[rng.choice(24, p=levels / levels.sum())]
        kind = "facet" if rng.random() < 0.55 else "osteophyte"
        sides = (Side.LEFT, Side.RIGHT) if rng.random() < 0.25 else (Side.LEFT if rng.random() < 0.5 else Side.RIGHT,)
        small = 0.6 if name[0] == "C" else 1.0
        for side in sides:
            radii = rng.uniform(4, 9) * small * np.array([1, 1, rng.uniform(0.5, 1.1)])
            painter.hot(landmarks[(f"{name} {kind}", side)], radii, painter.ratio(2.6))
    if rng.random() < 0.03 * age:
        for _ in range(1 + (rng.random() < 0.3)):
            name = VERTEBRAE[int(rng.integers(12, 24))]
            middle = (landmarks[(f"{name} osteophyte", Side.LEFT)] + landmarks[(f"{name} osteophyte", Side.RIGHT)]) / 2
            painter.hot(middle - [0, 0, 8], np.array([27, 20, rng.uniform(4, 8)]), 1 + rng.uniform(0.4, 3))


def _rib_junctions(painter: _Painter) -> None:
    """Costochondral junctions and rib angles, faint and many."""
    rng = painter.rng
    if rng.random() >= 0.5:
        return
    chance, strength = rng.uniform(0.05, 0.6), rng.uniform(1.1, 2.0)
    kind = "junction" if rng.random() < 0.8 else "angle"
    for number in range(1, 11):
        for side in BOTH:
            if rng.random() < chance:
                place = painter.anatomy.landmarks[(f"rib {number} {kind}", side)]
                own = float(1 + (strength - 1) * rng.uniform(0.3, 1.6))
                painter.hot(place, np.full(3, rng.uniform(5, 9)), own)


def _fractures(painter: _Painter) -> None:
    """Rib fractures: short, several in a row, one above another."""
    rng = painter.rng
    if rng.random() >= 0.06:
        return
    side = Side.LEFT if rng.random() < 0.5 else Side.RIGHT
    where = str(rng.choice(["angle", "lateral", "anterolateral", "junction"]))
    first, count = int(rng.integers(2, 9)), int(rng.integers(2, 6))
    strength = rng.uniform(1.5, 5)
    for number in range(first, min(first + count, 11)):
        place = painter.anatomy.landmarks[(f"rib {number} {where}", side)] + rng.normal(0, 3, 3)
        painter.hot(place, np.full(3, rng.uniform(5, 8)), float(1 + (strength - 1) * rng.uniform(0.5, 1.2)))


def _growth_plates(painter: _Painter) -> None:
    """Hot bands at the ends of long bones in the young."""
    names = (
        "humeral head", "wrist", "greater trochanter", "medial femoral condyle", "lateral femoral condyle", "ankle",
        "medial tibial plateau", "lateral tibial plateau", "anterior iliac spine", "olecranon",
    )  # fmt: skip
    strength = painter.rng.uniform(1.8, 6)
    for name in names:
        for side in BOTH:
            painter.hot(painter.anatomy.landmarks[(name, side)], np.array([22, 20, 6]), strength)
