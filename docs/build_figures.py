"""Write the measured figures into the pages that state them: `make docs`.

Figures come from results/*.json, which the benchmarks leave; between a page's markers stands what this makes, and
a test compares them. A figure that has not been measured is not stated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonescan.experiments.declared import EXPERIMENTS
from bonescan.experiments.results import Store
from bonescan.experiments.tables import HEADINGS, build, sentence
from bonescan.phantom.realism import cells

ROOT = Path(__file__).parents[1]
REPRODUCTION = ROOT / "docs" / "explanation" / "reproduction.md"
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
    outcomes, kills = fuzz["outcomes"], results("receiver_kills")
    sent = f"{kills['associations']} associations"
    rows = [
        ("pooled DSC", measured(pixel["dsc_pooled"]), "0.75", "quality"),
        ("DSC of an image with lesions, mean", measured(pixel["dsc_with_lesions"]), "", "quality"),
        ("CPA (precision of pixels), mean", measured(pixel["cpa"]), "", "quality"),
        ("Recall of pixels, mean", measured(pixel["recall"]), "", "quality"),
        ("lesion sensitivity", measured(lesion["sensitivity"]), "0.85", "quality"),
        ("lesion precision", measured(lesion["precision"]), "", "quality"),
        ("false positives per scan (both views)", measured(lesion["false_positives_per_scan"]), "0.5", "quality"),
        (
            "marks on faint lesions per scan, counted neither right nor wrong",
            measured(lesion["on_faint_per_scan"]), "", "quality",
        ),
        (
            "false positives per lesion-free scan",
            measured(lesion["false_positives_per_lesion_free_scan"]), "", "quality",
        ),
        ("thoracic window holds the thorax", held, "98 %", "thorax_crop"),
        ("one study, whole process", f"{speed['cold_s']['median']:.2f} s", "2 s", "speed"),
        ("each further study of a call", f"{speed['further_s']['median']:.2f} s", "0.4 s", "speed"),
        *(
            (f"{fuzz['count']} damaged DICOM files: {told}", str(outcomes[name]), aim, "fuzz_dicom")
            for name, told, aim in (
                ("right", "read, and rightly", ""), ("refused", "refused with a sentence", ""),
                ("stopped", "stopped at a limit", ""), ("wrong", "read wrongly", "0"), ("crash", "crashes", "0"),
                ("hang", "hangs", "0"),
            )
        ),
        *(
            (f"{told} of {kills['objects']} ({sent}, receiver killed {kills['kills']} times)", str(kills[name]), "0",
             "receiver_kills")
            for name, told in (
                ("lost", "objects lost"), ("twice", "results sent under two UIDs"),
                ("undelivered", "results undelivered"),
            )
        ),
        ("simulated patients per second", f"{phantom['patients_per_s']:.1f}", "5", "phantom_speed"),
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


def recurrence_table() -> str:
    """Cost against t, as in Table 4."""
    report = results("recurrence_cost")
    lines = [
        "| weights | t | parameters | multiply-adds an image | seconds an image | against t = 0 |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['weights']} | {row['t']} | {row['parameters']:,} "
        f"| {row['multiply_adds_per_image'] / 1e9:.2f} thousand million "
        f"| {row['seconds_per_image']:.2f} | {row['against_t_0']:.1f} |"
        for row in report["networks"]
    ]
    slowest = max(row["seconds_per_image"] for row in report["networks"])
    note = (
        f"One image of 256 x 256 on {report['threads']} thread, median of {report['rounds']} rounds in which the "
        f"networks take turns, by `benchmarks/recurrence_cost.py`. The slowest takes {slowest:.2f} s; the paper's "
        "slowest test time, on its machine, is 4.21 s."
    )
    return "\n".join(lines) + f"\n\n{note}\n"


def statements() -> str:
    """Each experiment: what it asks, what the paper says, the command, and what has been run so far."""
    return "\n".join(_statement(name) for name in EXPERIMENTS)


def _statement(name: str) -> str:
    table = build(name, "cpu", Store(ROOT / "results" / "experiments"))
    there, wanted = (sum(arm[count] for arm in table["arms"]) for count in ("there", "runs"))
    lines = [
        f"### {name}",
        f"{table['question']} *The paper:* {table['paper']}",
        f"`bonescan experiment run {name} --profile cpu`: {there} of {wanted} runs are there.",
    ]
    measured_arms = [arm for arm in table["arms"] if "scores" in arm]
    # A table of one arm compares nothing.
    if len(measured_arms) > 1:
        lines.append("\n".join(_scores(measured_arms)))
    if table["claims"]:
        lines.append("\n".join(f"- {sentence(claim).replace('missing', 'undecided')}" for claim in table["claims"]))
    return "\n\n".join(lines) + "\n"


def _scores(arms: Sequence[Results]) -> list[str]:
    columns = [*HEADINGS.values(), "parameters", "training, s", "test, s an image", "code"]
    lines = [f"| | seeds | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for arm in arms:
        scores = [_spread(arm["scores"][measure]) for measure in HEADINGS]
        costs = [
            "" if arm.get(cost) is None else f"{arm[cost]:{form}}"
            for cost, form in (("parameters", ",.0f"), ("training_seconds", ".0f"), ("test_seconds_per_image", ".3f"))
        ]
        code = ", ".join(arm["code"])
        lines.append(f"| {arm['arm']} | {arm['there']} of {arm['runs']} | {' | '.join([*scores, *costs, code])} |")
    return lines


def _spread(score: Results) -> str:
    if score["mean"] is None:
        return "undefined"
    spread = "" if score["sd"] is None else f" ± {score['sd']:.3f}"
    return f"{score['mean']:.3f}{spread}"


PLACES: tuple[tuple[Place, Callable[[], str]], ...] = (
    (Place(ROOT / "README.md", "measured figures"), readme_figures),
    (Place(ROOT / "docs" / "explanation" / "phantom.md", "realism"), realism_table),
    (Place(REPRODUCTION, "experiments"), statements),
    (Place(REPRODUCTION, "recurrence"), recurrence_table),
)


def main() -> None:
    """Write all places anew."""
    for place, make in PLACES:
        place.page.write_text(place.filled(make()), encoding="utf-8")


if __name__ == "__main__":
    main()
