"""A sheet of simulated patients to look at: `.venv/bin/python benchmarks/phantom_sheet.py`.

Twelve patients of unseen anatomies, anterior and posterior, in inverted grey; written to docs/images/phantoms.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from bonescan.phantom import Phantom, make_anatomy, make_patient
from bonescan.study import View

ROOT = Path(__file__).parents[1]
FIRST_SEED = 930_000
ACROSS = 6


def main() -> None:
    """Simulate and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--outlines", action="store_true", help="draw the truth")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "phantoms.png")
    arguments = parser.parse_args()
    pictures = [picture(phantom(number), arguments.outlines) for number in range(arguments.patients)]
    rows = [np.concatenate(pictures[i : i + ACROSS], axis=1) for i in range(0, len(pictures), ACROSS)]
    sheet = Image.fromarray(np.concatenate(rows, axis=0))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    # Noise does not compress: a smaller sheet of fewer greys is a file that a repository can hold.
    sheet = sheet.resize((sheet.width * 7 // 10, sheet.height * 7 // 10), Image.Resampling.LANCZOS)
    sheet.quantize(32).save(arguments.out, optimize=True)
    print(f"{arguments.patients} simulated patients in {arguments.out}")


def phantom(number: int) -> Phantom:
    """A patient of an anatomy that no training run uses."""
    return make_patient(make_anatomy(FIRST_SEED + number), 0)


def picture(patient: Phantom, outlines: bool) -> np.ndarray:
    """Both views side by side, (860, 376, 3) uint8."""
    views = []
    for view in View:
        counts = ndimage.gaussian_filter(patient.study.counts(view)[30:890, 34:222], 0.5)
        bright = 0.9 * np.percentile(counts[counts > 0.2 * counts.mean()], 99)
        grey = (255 * (1 - np.clip(counts / bright, 0, 1) ** 0.8)).astype(np.uint8)
        colour = np.stack([grey] * 3, axis=-1)
        if outlines:
            mask = patient.lesions[view][30:890, 34:222] > 0
            colour[ndimage.binary_dilation(mask) & ~mask] = (210, 30, 30)
        views.append(colour)
    return np.concatenate(views, axis=1)


if __name__ == "__main__":
    main()
