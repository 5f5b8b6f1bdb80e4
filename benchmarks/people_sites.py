"""Sites that the program names on scans of people, to be checked by eye.

    python benchmarks/people_sites.py PEOPLE --out FOLDER                 pictures to look at, and a list to fill in
    python benchmarks/people_sites.py --checked FOLDER/sites.csv --json results/people_sites.json

On each scan ten foci of uptake are chosen, first one of each bone, then any, and named as lesions are. The list has a
row for each with an empty column for the bone and one for the level: a person writes y or n, and leaves empty what
cannot be checked. `sources.json` beside the list says which model named them. The pictures show people: keep the folder
to yourself. Only shares are printed and written.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from bonescan.assess import assess
from bonescan.assess.site import site_words
from bonescan.lesions.delineate import Thresholds, delineate
from bonescan.lesions.measure import measure
from bonescan.pipeline import DEFAULT_MODEL, Model, load_model
from bonescan.prepare import prepare
from bonescan.study import BONE_REGIONS, Lesion, Study
from common import report_head, scans_of, write_report

EACH = 10
COLUMNS = ("scan", "number", "view", "site", "bone right", "level right")
SOURCES = "sources.json"
_FOCI = Thresholds(low=0.3, high=0.4)


def places(study: Study, model: Model, rng: np.random.Generator) -> list[Lesion]:
    """Ten foci of uptake, benign or not, of as many bones as there are."""
    scan = prepare(study, None, model.bundle.normalisation)
    prediction = model.predictor.predict(scan)
    benign = prediction.benign or {}
    uptake = {view: np.minimum(image + benign.get(view, 0), 1) for view, image in prediction.lesion.items()}
    seen = replace(prediction, lesion=uptake, benign=None)
    lesions, _ = assess(study, measure(study, delineate(seen, _FOCI), seen)[0], seen, "whole-body")
    on_bone = [lesions[place] for place in rng.permutation(len(lesions)) if lesions[place].region in BONE_REGIONS]
    bones: set[tuple[str, str]] = set()
    first, others = [], []
    for lesion in on_bone:
        key = (str(lesion.region), str(lesion.side))
        (others if key in bones else first).append(lesion)
        bones.add(key)
    return (first + others)[:EACH]


def draw(study: Study, lesions: Sequence[Lesion], path: Path) -> None:
    """Both views with a numbered cross at each place, twice as large as acquired, and the list of sites beside them."""
    views = list(study.scans)
    rows, cols = study.shape
    sheet = Image.new("L", (2 * cols * len(views), 2 * rows), 255)
    for place, view in enumerate(views):
        counts = study.counts(view)
        grey = 255 - np.clip(255 * np.sqrt(counts / max(float(np.percentile(counts, 99.7)), 1)), 0, 255)
        sheet.paste(Image.fromarray(grey.astype(np.uint8)).resize((2 * cols, 2 * rows)), (2 * cols * place, 0))
    pen = ImageDraw.Draw(sheet)
    for number, lesion in enumerate(lesions, 1):
        row, col = (2 * float(axis.mean()) for axis in np.nonzero(lesion.mask))
        x, y = col + 2 * (lesion.origin[1] + cols * views.index(lesion.view)), row + 2 * lesion.origin[0]
        pen.ellipse((x - 14, y - 14, x + 14, y + 14), outline=0)
        pen.text(
            (x + 16, y - 8), f"{number} {site_words(lesion)}", fill=0, font_size=18, stroke_width=3, stroke_fill=255
        )
    sheet.save(path)


def write(people: Path, model: Model, out: Path) -> None:
    """The pictures and the list."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "sites.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for number, study in enumerate(scans_of(people)):
            lesions = places(study, model, np.random.default_rng([0x517E, number]))
            draw(study, lesions, out / f"scan-{number}.png")
            for place, lesion in enumerate(lesions, 1):
                table.writerow((number, place, lesion.view.value, site_words(lesion), "", ""))


def shares(path: Path) -> dict[str, int]:
    """How many bones and levels were checked, and how many of them are right."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    report = {"scans": len({row["scan"] for row in rows})}
    for what in ("bone", "level"):
        said = [row[f"{what} right"].strip().lower() for row in rows]
        report |= {f"{what}s_checked": sum(word in ("y", "n") for word in said), f"{what}s_right": said.count("y")}
    return report


def main() -> int:
    """Write what is to be checked, or count what was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, help="folder for pictures and list; never commit it")
    parser.add_argument("--checked", type=Path, help="the list, filled in")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model that ships, or a bundle's folder")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.checked is not None:
        sources = json.loads(arguments.checked.with_name(SOURCES).read_text(encoding="utf-8"))
        report = {**sources, **shares(arguments.checked)}
        print(json.dumps(report, indent=2))
        write_report(arguments.json, report)
        return 0
    if arguments.people is None or arguments.out is None:
        parser.error("give PEOPLE and --out, or --checked")
    model = load_model(arguments.model)
    write(arguments.people, model, arguments.out)
    write_report(arguments.out / SOURCES, report_head(parser, arguments, [model.name], simulated=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
