"""Simulated patients to look at: `.venv/bin/python benchmarks/phantom_sheet.py`.

Twelve patients of unseen anatomies, anterior and posterior, in inverted grey at half their size; written to
docs/images/phantoms.png. `--full NUMBER NUMBER` draws these patients at full size, each pixel of the frame as one.

`--beside PEOPLE -o FILE` draws each phantom with a person's scan on its right, at full size and by the same rule of
brightness. PEOPLE is a folder of scans in any form that `bonescan segment` reads. FILE is then a picture of people: it
must lie outside the repository. Nothing else is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from bonescan.phantom import Phantom, make_anatomy, make_patient
from bonescan.phantom.anatomy import SHAPE
from bonescan.study import Study, View
from common import scans_of

ROOT = Path(__file__).parents[1]
FIRST_SEED = 930_000
PATIENTS = 12
GREYS = {1: 64, 2: 40}
"""By how often a picture is shrunk. Noise does not compress: few greys make a file that a repository can hold."""
RED = (210, 30, 30)
MARGIN = 12
"""Rows of the frame above and below the patients."""

Picture = NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)


def main() -> None:
    """Simulate and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, help="12 if not given, or as many as there are people")
    parser.add_argument("--outlines", action="store_true", help="draw the truth")
    parser.add_argument("--full", type=int, nargs="+", metavar="NUMBER", help="these patients at full size, from 0")
    parser.add_argument("--beside", type=Path, metavar="PEOPLE", help="folder of scans of people")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "docs" / "images" / "phantoms.png")
    arguments = parser.parse_args()
    people: list[Study] = []
    if arguments.beside is not None:
        if arguments.out.resolve().is_relative_to(ROOT.resolve()):
            parser.error("--beside needs -o FILE outside the repository, as FILE shows people")
        people = [study for study in scans_of(arguments.beside) if set(study.scans) == set(View)]
        if not people:
            parser.error(f"{arguments.beside} holds no scan with both views")
    numbers = arguments.full or range(arguments.patients or len(people) or PATIENTS)
    if people and len(numbers) > len(people):
        parser.error(f"{arguments.beside} holds {len(people)} scans with both views: draw no more patients than that")
    drawn = [picture(one.study, one if arguments.outlines else None) for one in map(phantom, numbers)]
    if people:
        drawn = list(chain.from_iterable(zip(drawn, map(picture, people[: len(drawn)]), strict=True)))
    across, shrink = (2, 1) if people or arguments.full else (6, 2)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(drawn, across, shrink).save(arguments.out, optimize=True)
    print(f"{len(drawn)} patients in {arguments.out}")


def phantom(number: int) -> Phantom:
    """A patient of an anatomy that no training run uses."""
    return make_patient(make_anatomy(FIRST_SEED + number), 0)


def picture(study: Study, truth: Phantom | None = None) -> Picture:
    """Both views side by side, (1024, 512, 3); in each, black is 0.9 of the 99th percentile of the body or more."""
    views = []
    for view in View:
        counts = ndimage.gaussian_filter(_framed(study.counts(view).astype(np.float32)), 0.7)
        bright = 0.9 * np.percentile(counts[counts > 0.2 * counts.mean()], 99)
        grey = (255 * (1 - np.clip(counts / bright, 0, 1) ** 0.8)).astype(np.uint8)
        colour = np.stack([grey] * 3, axis=-1)
        if truth is not None:
            mask = _framed(truth.lesions[view]) > 0
            colour[ndimage.binary_dilation(mask) & ~mask] = RED
        views.append(colour)
    return np.concatenate(views, axis=1)


def sheet(pictures: Sequence[Picture], across: int, shrink: int) -> Image.Image:
    """Pictures in rows of `across`, without the empty rows above and below; each side divided by `shrink`."""
    blank = np.full_like(pictures[0], 255)
    rows = []
    for first in range(0, len(pictures), across):
        own = [*pictures[first : first + across]]
        row = np.concatenate([*own, *[blank] * (across - len(own))], axis=1)
        filled = np.flatnonzero((row < 200).any(axis=(1, 2)))
        rows.append(row[max(filled[0] - MARGIN, 0) : filled[-1] + 1 + MARGIN])
    palette = Image.new("P", (1, 1))
    palette.putpalette([int(grey) for grey in np.linspace(0, 255, GREYS[shrink]) for _ in range(3)] + [*RED])
    drawn = Image.fromarray(np.concatenate(rows, axis=0)).reduce(shrink)
    return drawn.quantize(palette=palette, dither=Image.Dither.NONE)


def _framed(image: NDArray[T]) -> NDArray[T]:
    """An image in a frame of a phantom's size: cut, or filled up with 0."""
    rows, cols = SHAPE
    image = image[:rows, :cols]
    return np.pad(image, ((0, rows - image.shape[0]), (0, cols - image.shape[1])))


if __name__ == "__main__":
    main()
