"""The head: vault, base, face and mandible of an adult of 1.65 m (image height).

What a bone scan shows of it: from the front the calvaria darkest along its upper edge, the floor of the anterior
fossa and the sphenoid wings as dark lines around pale orbits, nose and maxilla as the darkest cluster, a pale arc
between the rows of teeth, and the mandible below it; from behind an even vault that ends at the mastoids, with the
external occipital protuberance in its midline.
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
    """Points (n, 3) mm in the left half of the vault's outer surface.

    forward: angle in degrees from the midline at the back (0) over the side (90) to the forehead (180).
    up: angle above the horizontal plane through the widest part.
    """
    turn, rise = np.radians(forward), np.radians(up)
    ball = np.stack([np.sin(turn) * np.cos(rise), -np.cos(turn) * np.cos(rise), -np.sin(rise)], axis=1)
    return np.asarray(_CENTRE + ball * _RADII)


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
    end = np.interp(points[:, 1], [-101, -75, -25, 30, 70, 85], [146, 150, 138, 116, 101, 99])
    thick = (1 - 0.62 * np.abs(x) ** 4) * np.interp(z, [-1, -0.6, 0.1, 0.6], [0.6, 1.0, 0.85, 0.7])
    thick *= np.interp(y, [-1, -0.3, 0.3, 1], [0.68, 0.8, 1.1, 1.05])
    # Fades out over a centimetre, so that no edge shows where a suture is in life.
    thick *= np.clip((end - points[:, 2]) / 12, 0, 1)
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
            ellipsoid((0, -94, 112), (10, 6, 18)),
            tube(curve([(0, -94, 112), (0, -82, 130), (0, -62, 144)]), TubeSection((9, 12, 14), flat=0.6)),
            *(
                tube(curve([(0, -94, 112), (s * 30, -82, 118), (s * 52, -56, 122)]), TubeSection((6, 5, 5)))
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
            ellipsoid((0, 14, 120), (17, 17, 14)),
            tube(curve([(0, 4, 126), (0, -16, 136)]), TubeSection(12)),
            tube(foramen, TubeSection(8)),
            *(tube(curve([(s * 16, -2, 130), (s * 58, -22, 132)]), TubeSection((9, 11))) for s in (1, -1)),
            *(tube(curve([(s * 24, -42, 142), (s * 52, -40, 138)]), TubeSection((8, 6))) for s in (1, -1)),
            *(tube(curve([(s * 40, 10, 126), (s * 56, 2, 132)]), TubeSection((9, 8))) for s in (1, -1)),
        ]
    )
    yield make.bone("skull base", Tissue.SKULL_BASE, base, bone="skull")
    mastoid = Cloud.joined([ellipsoid((53, -28, 134), (9, 15, 18)), ellipsoid((59, -22, 120), (6, 18, 16))])
    yield from make.pair("mastoid", Tissue.SKULL_BASE, mastoid, bone="skull")
    # The roofs of the orbits, seen on edge from the front, and the wings behind the orbits.
    floor = sheet(
        [
            np.array([(6, 76, 103), (6, 48, 105), (6, 26, 108)]),
            np.array([(28, 74, 95), (29, 48, 95), (28, 26, 104)]),
            np.array([(52, 58, 100), (52, 42, 100), (50, 24, 106)]),
        ],
        thickness=(5, 3.5, 6),
    )
    wings = Cloud.joined(
        [
            tube(curve([(13, 24, 116), (30, 32, 108), (54, 34, 96)]), TubeSection((6, 5, 5))),
            ellipsoid((51, 40, 106), (6, 9, 9)),
            sheet(
                [np.array([(18, 26, 120), (40, 30, 126)]), np.array([(52, 44, 100), (56, 34, 124)])], thickness=(5, 7)
            ),
        ]
    )
    yield from make.pair("sphenoid wing", Tissue.SPHENOID, Cloud.joined([floor, wings]), bone="skull")


def _face() -> Iterator[Bone]:
    """Nose, maxilla with its teeth, orbits and cheek bones."""
    make = Maker(Region.FACE, Segment.HEAD)
    arch = curve([(29, 38, 156), (24, 62, 158), (11, 74, 159), (-11, 74, 159), (-24, 62, 158), (-29, 38, 156)])
    teeth = Cloud(arch + np.array([0, 2, 6]), np.ones(len(arch)))
    maxilla = Cloud.joined(
        [
            tube(arch, TubeSection(6.5, flat=1.25, normal=(0, 0, 1))),
            tube(teeth.points, TubeSection(4)),
            *(
                sheet(
                    [
                        np.array([(s * 15, 72, 118), (s * 24, 70, 156)]),
                        np.array([(s * 30, 56, 124), (s * 33, 52, 152)]),
                    ],
                    thickness=(9, 7),
                )
                for s in (1, -1)
            ),
            sheet([np.array([(-26, 40, 152), (-22, 66, 152)]), np.array([(26, 40, 152), (22, 66, 152)])], thickness=5),
        ]
    )
    yield make.bone("maxilla", Tissue.FACE, maxilla, bone="face")
    walls = [
        tube(curve([(s * 9, 56, 102), (s * 12, 54, 122), (s * 18, 52, 148)]), TubeSection((9, 11, 9), flat=2.2))
        for s in (1, -1)
    ]
    nose = Cloud.joined(
        [
            *walls,
            tube(curve([(0, 84, 96), (0, 90, 110), (0, 92, 120)]), TubeSection((9, 8, 6))),
            tube(curve([(0, 62, 102), (0, 62, 150)]), TubeSection((9, 11, 14), flat=1.8, profile=(1.0, 0.9, 0.7))),
        ]
    )
    yield make.bone("nasal cavity", Tissue.NOSE, nose, bone="face")
    a = np.linspace(0, 2 * np.pi, 40)
    ring = np.stack([33 + 20 * np.cos(a), 74 - 13 * np.clip(np.cos(a), 0, 1), 107 + 17 * np.sin(a)], axis=1)
    yield from make.pair("orbit", Tissue.ORBIT, tube(ring, TubeSection(4.5)), bone="face")
    cheek = Cloud.joined(
        [
            ellipsoid((46, 58, 130), (12, 11, 10)),
            tube(
                curve([(34, 62, 130), (52, 56, 130), (62, 34, 130), (62, 10, 130)]),
                TubeSection((7, 7, 5, 4), profile=(1, 1, 0.5, 0.25)),
            ),
            tube(curve([(50, 58, 128), (55, 56, 112), (55, 54, 102)]), TubeSection((7, 6, 5))),
        ]
    )
    yield from make.pair("zygoma", Tissue.ORBIT, cheek, bone="face")


def _half_mandible() -> Cloud:
    """Half of the lower jaw; its body and chin take up more than the ramus."""
    condyle = ellipsoid((54, 2, 134), (9, 6, 7))
    ramus = tube(
        curve([(53, 4, 138), (50, 10, 156), (46, 20, 174)]),
        TubeSection((6, 11, 13), flat=0.5, normal=(1, 0, 0), profile=(0.3, 0.25, 0.3)),
    )
    body = tube(
        curve([(43, 20, 171), (34, 48, 177), (22, 69, 184), (0, 79, 189)]),
        TubeSection((6, 6, 6, 6.5), flat=2.0, normal=(0, 0, 1), profile=(0.3, 0.5, 0.95, 1.1)),
    )
    return Cloud.joined([Cloud(condyle.points, condyle.weights * 0.3), ramus, body])


_MIDLINE = {"nasopharynx": (0, 42, 134), "chin": (0, 80, 192), "vertex": (0, -10, 5), "occiput": (0, -94, 114)}
_PAIRED = {
    "sinus": (23, 64, 136), "jaw angle": (46, 20, 175), "tooth": (24, 64, 166), "mastoid": (55, -26, 138),
    "temporomandibular joint": (54, 2, 134), "skull rim": (66, -8, 62), "frontal rim": (40, 52, 40),
    "orbit": (33, 70, 107), "sphenoid wing": (50, 34, 102), "zygoma": (48, 58, 128),
}  # fmt: skip


def landmarks() -> Iterator[Landmark]:
    """Where normal and benign uptake of the head sits."""
    for name, point in _MIDLINE.items():
        yield Landmark(name, Side.MIDLINE, Segment.HEAD, place(Side.MIDLINE, point))
    for side in BOTH:
        for name, point in _PAIRED.items():
            yield Landmark(name, side, Segment.HEAD, place(side, point))
