"""What the classical baselines' numbers were chosen by: training phantoms, never test images.

    python benchmarks/classical_choice.py --anatomies 60 --json results/classical_choice.json

Cuts the thoracic pairs of training anatomies, whose seeds no test uses, grows regions with every combination of seed
level and largest area, evolves the morphological contour for several numbers of iterations, and prints the pooled and
the mean Dice of each. The chosen values stand in `bonescan.lin2022.experiments.classical`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.evaluate import PixelCounts, count_pixels
from bonescan.lin2022.experiments.classical import (
    SeedRule,
    morphological_chan_vese_pair,
    region_growing_pair,
    two_means_pair,
)
from bonescan.phantom import make_anatomy, make_patient
from bonescan.prepare.crop import thoracic_window
from bonescan.study import FloatImage, Mask
from bonescan.system.parallel import process_pool
from bonescan.train.cases import FAINT, drawn, pair_counts, pair_truth

FIRST_ANATOMY = 1_000_000
LEVELS = (1.5, 2.0, 2.5, 3.0, 4.0)
AREAS = (100, 200, 300, 500, 1000)
ITERATIONS = (5, 10, 20, 40, 80)


@dataclass(frozen=True, slots=True)
class Pair:
    """One thoracic pair: counts and lesion numbers, (2, rows, cols)."""

    counts: NDArray[np.uint16]
    lesions: NDArray[np.uint8]


def simulate(anatomy_seed: int) -> Pair:
    """The thoracic window of one training patient."""
    phantom = make_patient(make_anatomy(anatomy_seed), 0)
    window = (slice(None), *thoracic_window(phantom.study).slices)
    truth = pair_truth(phantom.lesions, phantom.faint, phantom.study.shape)
    return Pair(pair_counts(phantom.study)[window], truth[window])


def compare(pairs: list[Pair], baseline: Callable[[FloatImage], Mask]) -> dict[str, float]:
    """Dice of a baseline over all views, pooled and mean; faint lesions are set aside."""
    images = []
    for pair in pairs:
        for mask, lesions in zip(baseline(pair.counts.astype(np.float32)), pair.lesions, strict=True):
            images.append(count_pixels(mask & (lesions != FAINT), drawn(lesions)))
    total = sum(images, PixelCounts())
    mean = float(np.mean([image.dsc for image in images]))
    return {"dsc_pooled": round(total.dsc, 4), "dsc_mean": round(mean, 4)}


def rows(pairs: list[Pair]) -> Iterator[dict[str, Any]]:
    """Every combination."""
    yield {"baseline": "two-means", **compare(pairs, two_means_pair)}
    for number in ITERATIONS:
        evolve = partial(morphological_chan_vese_pair, iterations=number)
        yield {"baseline": "morphological-chan-vese", "iterations": number, **compare(pairs, evolve)}
    for level, area in itertools.product(LEVELS, AREAS):
        grow = partial(region_growing_pair, rule=SeedRule(level=level, most_pixels=area))
        yield {"baseline": "region-growing-41", "level": level, "most_pixels": area, **compare(pairs, grow)}


def main(arguments: list[str] | None = None) -> int:
    """Simulate, compare, print, and write JSON where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anatomies", type=int, default=60, help="how many training anatomies (default: 60)")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    options = parser.parse_args(arguments)
    with process_pool(options.processes) as pool:
        pairs = list(pool.map(simulate, range(FIRST_ANATOMY, FIRST_ANATOMY + options.anatomies)))
    found = []
    for row in rows(pairs):
        found.append(row)
        print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if options.json:
        report = {"anatomies": options.anatomies, "first_anatomy": FIRST_ANATOMY, "rows": found}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
