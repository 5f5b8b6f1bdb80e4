"""Write the measured figures into the pages that state them: `make docs`.

Figures come from results/*.json, which the benchmarks leave; between a page's markers stands what this makes, and
a test compares them. A figure that has not been measured is not stated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonescan.phantom.realism import cells

ROOT = Path(__file__).parents[1]
Results = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where figures stand: a page, and the name between its markers."""

    page: Path
    marker: str

    @property
    def ends(self) -> tuple[str, str]:
        """The markers."""
        return f"<!-- {self.marker}: begin -->\n", f"<!-- {self.marker}: end -->"

    def filled(self, body: str) -> str:
        """The page's text with this between the markers."""
        begin, end = self.ends
        text = self.page.read_text(encoding="utf-8")
        return text.split(begin)[0] + begin + body + end + text.split(end)[1]


def results(name: str) -> Results:
    """What a benchmark left."""
    found: Results = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def measured(figure: Results, digits: int = 2) -> str:
    """A value with its interval, where it has one."""
    low, high = figure.get("low"), figure.get("high")
    interval = f" ({low:.{digits}f} to {high:.{digits}f})" if low is not None else ""
    return f"{figure['value']:.{digits}f}{interval}"


def readme_figures() -> str:
    """The table of the README."""
    quality, crop, fuzz = results("quality"), results("thorax_crop"), results("fuzz_dicom")
    speed, phantom, realism = results("speed"), results("phantom_speed"), results("realism")
    pixel, lesion, acquired = quality["pixel"], quality["lesion"], crop["variants"]["as acquired"]
    held = f"{acquired['contained']} of {acquired['patients']}"
    outcomes = fuzz["outcomes"]
    rows = [
        ("pooled DSC", measured(pixel["dsc_pooled"]), "0.75", "quality"),
        ("DSC of an image with lesions, mean", measured(pixel["dsc_with_lesions"]), "", "quality"),
        ("CPA (precision of pixels), mean", measured(pixel["cpa"]), "", "quality"),
        ("Recall of pixels, mean", measured(pixel["recall"]), "", "quality"),
        ("lesion sensitivity", measured(lesion["sensitivity"]), "0.85", "quality"),
        ("lesion precision", measured(lesion["precision"]), "", "quality"),
        ("false positives a scan (both views)", measured(lesion["false_positives_per_scan"]), "0.5", "quality"),
        ("marks on faint lesions a scan, set aside", measured(lesion["on_faint_per_scan"]), "", "quality"),
        ("false positives a lesion-free scan", measured(lesion["false_positives_per_lesion_free_scan"]), "", "quality"),
        ("thoracic window holds the thorax", held, "98 %", "thorax_crop"),
        ("one study, whole process", f"{speed['cold_s']['median']:.2f} s", "2 s", "speed"),
        ("each further study of a call", f"{speed['further_s']['median']:.2f} s", "0.4 s", "speed"),
        (
            f"{fuzz['count']} damaged DICOM files: right, refused, wrong, crash, hang",
            ", ".join(str(outcomes[name]) for name in ("right", "refused", "wrong", "crash", "hang")),
            "0 of the last three", "fuzz_dicom",
        ),
        ("simulated patients a second", f"{phantom['patients_per_s']:.1f}", "5", "phantom_speed"),
        ("cells of the phantom within the range of real scans", f"{realism['share']:.0%}", "90 %", "realism"),
    ]  # fmt: skip
    lines = ["| figure | measured | aim | by |", "|---|---|---|---|"]
    lines += [f"| {what} | {value} | {aim} | `benchmarks/{by}.py` |" for what, value, aim, by in rows]
    note = (
        f"On {quality['patients']} simulated patients of {quality['anatomies']} anatomies that no training has seen; "
        "in brackets 95 % intervals; times on 2 processor cores. What the model does on people's scans, these "
        "figures cannot say."
    )
    return "\n".join(lines) + f"\n\n{note}\n"


def realism_table() -> str:
    """All cells of the comparison with real scans."""
    medians = results("realism")["medians"]
    lines = ["| figure | median phantom | six real scans | |", "|---|---|---|---|"]
    for cell in cells():
        value = medians[cell.name]
        fits = "" if cell.real[0] <= value <= cell.real[1] else "outside"
        lines.append(f"| {cell.name} | {value:.2f} | {cell.real[0]:g} to {cell.real[1]:g} | {fits} |")
    return "\n".join(lines) + "\n"


PLACES: tuple[tuple[Place, Callable[[], str]], ...] = (
    (Place(ROOT / "README.md", "measured figures"), readme_figures),
    (Place(ROOT / "docs" / "explanation" / "phantom.md", "realism"), realism_table),
)


def main() -> None:
    """Write all places anew."""
    for place, make in PLACES:
        place.page.write_text(place.filled(make()), encoding="utf-8")


if __name__ == "__main__":
    main()
