"""The head: vault, base, face and mandible of an adult of 1.65 m (image height).

What a bone scan shows of it: from the front the calvaria with a pale forehead that darkens over a broad zone to its
upper edge, soft lines of the sphenoid around small pale orbits, nose and maxilla as a dark keyhole, a pale arc between
the rows of teeth, and the mandible as an arc below it; from behind a vault with a dark edge, pale to both sides of its
midline, into which the neck goes on up to the external occipital protuberance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bonescan.phantom.bones import BOTH, Bone, Landmark, Maker, Segment, Tissue, place
from bonescan.phantom.shapes import Cloud, Points, TubeSection, curve, ellipsoid, sheet, tube
from bonescan.study import Region, Side

_CENTRE = np.array([0.0, -8.0, 83.0])
_RADII = np.array([73.0, 93.0, 83.0])
_VAULT_POINTS = 40000
_THICKNESS_MM = 11.0


def bones() -> Iterator[Bone]:
    """Vault, base, face and mandible."""
    yield from _vault()
    yield from _base()
    yield from _face()
    yield from Maker(Region.MANDIBLE, Segment.HEAD).pair("mandible", Tissue.MANDIBLE, _half_mandible(), bone="mandible")


def _on_vault(forward: Points, up: Points) -> Points:
    """Points (n, 3) mm in the left half of the vault, half way into the bone.

    forward: angle in degrees from the midline at the back (0) over the side (90) to the forehead (180).
    up: angle above the horizontal plane through the widest part.
    """
    turn, rise = np.radians(forward), np.radians(up)
    ball = np.stack([np.sin(turn) * np.cos(rise), -np.cos(turn) * np.cos(rise), -np.sin(rise)], axis=1)
    # On the outer surface a hot suture would stand out of the outline.
    return _narrowed(np.asarray(_CENTRE + ball * (_RADII - _THICKNESS_MM / 2)))


def _narrowed(points: Points) -> Points:
    """Points (n, 3) mm of an ellipsoid, rounder at the top and drawn in towards the ears and the forehead."""
    x, y, z = points.T
    width = np.interp(z, [5, 60, 85, 115, 150], [1.12, 1.0, 0.985, 0.93, 0.84]) * np.interp(
        y, [-60, -10, 85], [1, 1, 0.93]
    )
    return np.stack([x * width, y, z], axis=1)


def _vault() -> Iterator[Bone]:
    """The calvaria: frontal, parietal and occipital squama thick, temporal squama thin; and its sutures."""
    make = Maker(Region.SKULL, Segment.HEAD)
    # A Fibonacci sphere: far more even than points with jitter, so that the thin middle shows no mottle of its own.
    step = np.arange(_VAULT_POINTS) + 0.5
    height = 1 - 2 * step / _VAULT_POINTS
    angle = np.pi * (1 + np.sqrt(5)) * step
    ring = np.sqrt(1 - height**2)
    ball = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
    depth = (step * 0.7548776662466927) % 1.0
    points = _CENTRE + ball * (_RADII - _THICKNESS_MM * depth[:, None])
    x, y, z = ball.T
    # It ends above the orbits in front, at the mastoids on the sides, and curves in under the occiput.
    end = np.interp(points[:, 1], [-101, -75, -25, 30, 70, 85], [146, 152, 146, 136, 117, 111])
    # Thickest in the parietal bones; the middle of the forehead and of the back of the head is the palest part.
    thick = np.interp(np.hypot(x, z), [0, 0.3, 0.6, 0.82, 1], [0.55, 0.6, 1.0, 1.2, 0.85])
    thick *= np.interp(z, [-1, -0.5, 0, 0.4], [1.0, 1.05, 0.85, 0.72]) * np.interp(
        y, [-1, -0.3, 0.3], [0.9, 0.95, 1.05]
    )
    thick *= 1 - 0.45 * np.abs(x) ** 4 * np.clip((z + 0.6) / 0.8, 0, 1)
    # The fossae of the occipital bone are thin, its inner cross and the ridge along the midline thick.
    behind = np.clip(-y - 0.3, 0, 0.5) * 2
    thick *= 1 - 0.4 * behind * np.exp(-(((np.abs(x) - 0.38) / 0.2) ** 2) - ((z - 0.22) / 0.3) ** 2)
    thick *= 1 + 0.7 * behind * np.exp(-((x / 0.12) ** 2)) * np.clip((z + 0.8) / 0.3, 0, 1)
    # Fades out below, so that no edge shows where a suture is in life.
    thick *= np.clip((end - points[:, 2]) / np.interp(points[:, 1], [-90, -40, 40], [14, 30, 30]), 0, 1)
    points = _narrowed(points)
    keep = thick > 0
    surface = float(4 / 3 * np.pi * (_RADII[0] * _RADII[1] + _RADII[1] * _RADII[2] + _RADII[0] * _RADII[2]))
    weights = thick * surface * _THICKNESS_MM / 1000 / _VAULT_POINTS
    yield make.bone("vault", Tissue.VAULT, Cloud(points[keep], weights[keep]), bone="skull")
    lambdoid = _on_vault(np.array([0, 18, 34, 48, 58]), np.array([33, 20, 4, -12, -26]))
    coronal = _on_vault(np.array([180, 140, 118, 106]), np.array([64, 50, 26, 4]))
    for name, line in (("lambdoid suture", lambdoid), ("coronal suture", coronal)):
        yield from make.pair(name, Tissue.SUTURE, tube(curve(line), TubeSection(3.5)), bone="skull")
    back, front = (
        _on_vault(np.zeros(5), np.array([33.0, 45, 58, 72, 88])),
        _on_vault(np.full(2, 180.0), np.array([76, 64])),
    )
    sagittal = tube(curve(np.concatenate([back, front])), TubeSection(3.5))
    yield make.bone("sagittal suture", Tissue.SUTURE, sagittal, bone="skull")
    occiput = Cloud.joined(
        [
            ellipsoid((0, -92, 112), (9, 6, 15)),
            # The crest widens downwards to the muscles of the neck; the bone's lower edge runs to the mastoids.
            tube(
                curve([(0, -92, 112), (0, -80, 130), (0, -40, 163)]),
                TubeSection((8, 13, 17), flat=0.5, profile=(1, 0.95, 0.9)),
            ),
            *(
                tube(
                    curve([(s * 6, -66, 144), (s * 30, -62, 143), (s * 48, -40, 138)]),
                    TubeSection((5, 6, 6), profile=(0.4, 0.7, 1)),
                )
                for s in (1, -1)
            ),
        ]
    )
    yield make.bone("occiput", Tissue.OCCIPUT, occiput, bone="skull")


def _base() -> Iterator[Bone]:
    """Sphenoid, petrous bones, mastoids and the margin of the foramen magnum."""
    make = Maker(Region.SKULL, Segment.HEAD)
    angles = np.linspace(0, 2 * np.pi, 30)
    foramen = np.stack([19 * np.cos(angles), -38 + 20 * np.sin(angles), 141 - 4 * np.sin(angles)], axis=1)
    base = Cloud.joined(
        [
            ellipsoid((0, 14, 120), (15, 15, 12)),
            tube(curve([(0, 4, 126), (0, -16, 136)]), TubeSection(10)),
            tube(foramen, TubeSection(7)),
            *(tube(curve([(s * 15, -30, 140), (s * 14, -22, 162)]), TubeSection(8)) for s in (1, -1)),
            # Pterygoid and temporal bones fill the space between nose and cheek.
            *(
                tube(curve([(s * 43, 10, 120), (s * 36, 24, 164)]), TubeSection(14, profile=(0.6, 1, 0.35)))
                for s in (1, -1)
            ),
            *(tube(curve([(s * 16, -2, 130), (s * 58, -22, 132)]), TubeSection((9, 11))) for s in (1, -1)),
            *(tube(curve([(s * 24, -42, 142), (s * 52, -40, 138)]), TubeSection((8, 6))) for s in (1, -1)),
            *(tube(curve([(s * 40, 10, 126), (s * 56, 2, 132)]), TubeSection((9, 8))) for s in (1, -1)),
        ]
    )
    yield make.bone("skull base", Tissue.SKULL_BASE, base, bone="skull")
    mastoid = Cloud.joined([ellipsoid((49, -28, 134), (9, 14, 16)), ellipsoid((56, -18, 118), (6, 20, 20))])
    yield from make.pair("mastoid", Tissue.SKULL_BASE, mastoid, bone="skull")
    # The roofs of the orbits rise to the front, so that they are not seen on edge, and the wings behind the orbits.
    floor = sheet(
        [
            np.array([(7, 74, 102), (7, 48, 109), (7, 26, 114)]),
            np.array([(28, 72, 93), (29, 48, 101), (28, 26, 110)]),
            np.array([(50, 56, 99), (51, 42, 105), (49, 24, 112)]),
        ],
        thickness=(4, 3, 5),
    )
    wings = Cloud.joined(
        [
            tube(curve([(15, 24, 118), (31, 32, 111), (52, 34, 102)]), TubeSection((6, 6, 7), profile=(0.5, 0.4, 0.4))),
            ellipsoid((50, 36, 112), (6, 9, 11)),
            sheet(
                [np.array([(20, 26, 124), (40, 30, 132)]), np.array([(50, 44, 106), (53, 34, 130)])], thickness=(4, 5)
            ),
        ]
    )
    yield from make.pair("sphenoid wing", Tissue.SPHENOID, Cloud.joined([floor, wings]), bone="skull")


def _face() -> Iterator[Bone]:
    """Nose, maxilla with its teeth, orbits and cheek bones."""
    make = Maker(Region.FACE, Segment.HEAD)
    # The rows of teeth rise towards the molars; these lie one behind another and show as the darkest spots.
    arch = curve([(23, 34, 160), (19, 57, 165), (9, 69, 172), (-9, 69, 172), (-19, 57, 165), (-23, 34, 160)])
    teeth = Cloud(arch + np.array([0, 2, 6]), np.ones(len(arch)))
    maxilla = Cloud.joined(
        [
            tube(arch, TubeSection(6, flat=1.2, normal=(0, 0, 1), profile=(1.5, 1.2, 0.8, 0.6, 0.8, 1.2, 1.5))),
            tube(teeth.points, TubeSection(4)),
            *(
                sheet(
                    [
                        np.array([(s * 13, 70, 122), (s * 21, 68, 164)]),
                        np.array([(s * 23, 56, 133), (s * 26, 50, 160)]),
                    ],
                    thickness=(8, 6),
                    density=(1.0, 0.6),
                )
                for s in (1, -1)
            ),
            sheet([np.array([(-22, 38, 155), (-18, 62, 164)]), np.array([(22, 38, 155), (18, 62, 164)])], thickness=3),
        ]
    )
    yield make.bone("maxilla", Tissue.FACE, maxilla, bone="face")
    walls = [
        tube(curve([(s * 6, 56, 108), (s * 10, 54, 128), (s * 16, 52, 157)]), TubeSection((6, 8.5, 7), flat=2.3))
        for s in (1, -1)
    ]
    nose = Cloud.joined(
        [
            *walls,
            tube(curve([(0, 80, 102), (0, 86, 115), (0, 88, 126)]), TubeSection((8, 8, 6))),
            tube(curve([(0, 62, 108), (0, 62, 160)]), TubeSection((7.5, 9, 10), flat=1.9, profile=(1.4, 1.0, 0.5))),
        ]
    )
    yield make.bone("nasal cavity", Tissue.NOSE, nose, bone="face")
    a = np.linspace(0, 2 * np.pi, 40)
    ring = np.stack([31 + 17 * np.cos(a), 70 - 12 * np.clip(np.cos(a), 0, 1), 112 + 15 * np.sin(a)], axis=1)
    yield from make.pair("orbit", Tissue.ORBIT, tube(ring, TubeSection(5.5)), bone="face")
    cheek = Cloud.joined(
        [
            # Below the orbit the bone goes on to the nose and closes the orbit.
            tube(curve([(18, 62, 132), (30, 60, 137)]), TubeSection((8, 9))),
            ellipsoid((37, 55, 137), (13, 11, 11)),
            tube(
                curve([(31, 60, 137), (47, 54, 137), (53, 30, 132), (54, 4, 128)]),
                TubeSection((8, 8, 7, 6), profile=(0.8, 0.7, 0.35, 0.2)),
            ),
            tube(
                curve([(45, 54, 135), (49, 50, 120), (50, 48, 104)]), TubeSection((8, 7, 7), profile=(0.6, 0.35, 0.4))
            ),
        ]
    )
    yield from make.pair("zygoma", Tissue.ORBIT, cheek, bone="face")


def _half_mandible() -> Cloud:
    """Half of the lower jaw; its body and chin take up more than the ramus."""
    condyle = ellipsoid((51, 2, 134), (9, 7, 8))
    ramus = tube(
        curve([(50, 4, 138), (45, 10, 162), (37, 20, 177)]),
        TubeSection((8, 13, 12), flat=0.6, normal=(1, 0, 0), profile=(0.24, 0.23, 0.23)),
    )
    body = tube(
        curve([(34, 24, 177), (29, 42, 185), (19, 61, 196), (0, 72, 204)]),
        TubeSection((5.5, 6, 6, 6.5), flat=1.6, normal=(0, 0, 1), profile=(0.2, 0.6, 0.95, 0.78)),
    )
    return Cloud.joined([Cloud(condyle.points, condyle.weights * 0.3), ramus, body])


_MIDLINE = {"nasopharynx": (0, 42, 140), "chin": (0, 74, 207), "vertex": (0, -10, 5), "occiput": (0, -94, 114)}
_PAIRED = {
    "sinus": (20, 62, 144), "jaw angle": (36, 20, 178), "tooth": (20, 54, 171), "mastoid": (52, -26, 138),
    "temporomandibular joint": (51, 2, 134), "skull rim": (66, -8, 62), "frontal rim": (40, 52, 40),
    "orbit": (31, 68, 113), "sphenoid wing": (50, 34, 108), "zygoma": (44, 55, 137),
}  # fmt: skip


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the head sits."""
    for name, point in _MIDLINE.items():
        yield Landmark(name, Side.MIDLINE, Segment.HEAD, place(Side.MIDLINE, point))
    for side in BOTH:
        for name, point in _PAIRED.items():
            yield Landmark(name, side, Segment.HEAD, place(side, point))
