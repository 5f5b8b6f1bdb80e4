"""Write the measured figures into the pages that state them: `make docs`.

Figures come from results/*.json, which the benchmarks leave; between a page's markers stands what this and the
`figures_*.py` beside it make, and a test compares them. A figure that has not been measured is not stated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from figures_adapt import adapt_table, choices_table, department_table
from figures_aims import aims_table
from figures_base import ROOT, Results, measured, results, there
from figures_model import hard_list, history_table, people_table, quality_table, second_look_table
from figures_phantom import realism_people_text, realism_table

from bonescan.bundle import load_bundle
from bonescan.lin2022.experiments.declared import EXPERIMENTS
from bonescan.lin2022.experiments.results import Store
from bonescan.lin2022.experiments.tables import HEADINGS, build, sentence
from bonescan.pipeline import DEFAULT_MODEL

FIGURES = ROOT / "docs" / "reference" / "figures.md"
REPRODUCTION = ROOT / "docs" / "lin2022" / "reproduction.md"
OUTCOMES = {
    "right": "read, and rightly", "refused": "refused with a sentence", "stopped": "stopped at a limit",
    "wrong": "read wrongly", "crash": "crashes", "hang": "hangs",
}  # fmt: skip
LOSSES = {"lost": "lost", "twice": "results sent under two UIDs", "undelivered": "results undelivered"}


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


def readme_figures() -> str:
    """The five figures of the README."""
    quality, other, people = results("quality"), results("quality-held-out"), results("people")
    sensitivity, elsewhere = (report["froc"]["sensitivity_at"]["0.5"] for report in (quality, other))
    speed, own = results("speed"), people["models"][0]
    rows = [
        ("lesions found in each view, at 0.5 false positives per scan", f"{sensitivity:.2f}"),
        ("the same on phantoms of another family (bodies, uptake, camera, dose)", f"{elsewhere:.2f}"),
        ("pooled Dice of the outlines", measured(quality["pixel"]["dsc_pooled"])),
        (
            f"outlines per scan on {people['scans']} scans of people without known disease",
            f"{own['marks']['balanced']['per_scan']:.2f}",
        ),
        ("seconds per further study, 2 processor cores", f"{speed['further_s']['median']:.2f}"),
    ]
    lines = ["| figure | measured |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)]
    note = (
        f"The first three on {quality['patients']} simulated patients each, of anatomies that no training has seen. "
        "They do not say how well the model finds the metastases of people. Times are of the machine of the last run."
    )
    return "\n".join(lines) + f"\n\n{note}\n"


def machine_table() -> str:
    """Everything else that is measured."""
    crop, fuzz, kills = results("thorax_crop"), results("fuzz_dicom"), results("receiver_kills")
    speed, phantom, realism = results("speed"), results("phantom_speed"), results("realism")
    acquired, outcomes = crop["variants"]["as acquired"], fuzz["outcomes"]
    damaged = f"of {fuzz['count']} damaged DICOM files"
    objects = f"of {kills['objects']} objects, the receiver killed {kills['kills']} times"
    rows = [
        ("thoracic window holds the thorax", f"{acquired['contained']} of {acquired['patients']}", "thorax_crop"),
        ("one study, whole process, s", f"{speed['cold_s']['median']:.2f}", "speed"),
        ("each further study of a call, s", f"{speed['further_s']['median']:.2f}", "speed"),
        *((f"{told} {damaged}", str(outcomes[name]), "fuzz_dicom") for name, told in OUTCOMES.items()),
        *((f"{told} {objects}", str(kills[name]), "receiver_kills") for name, told in LOSSES.items()),
        ("simulated patients per second", f"{phantom['patients_per_s']:.1f}", "phantom_speed"),
        (
            "area under the curve of telling the scans that an adapted model learned from (0.5 is chance)",
            f"{results('adapt')['membership']['area_under_the_curve']:.2f}",
            "adapt",
        ),
        ("cells of the phantom within the range of real scans", f"{realism['share']:.0%}", "realism"),
    ]
    if "regions" in realism:
        regions = realism["regions"]
        rows.append(
            (
                f"uptake of regions, median of {realism['patients']} phantoms, within the range of {realism['people']} "
                "people",
                f"{regions['within']} of {len(regions['rows'])}",
                "realism",
            )
        )
    if "patches" in realism:
        rows.append(("patches, phantom against person: AUC", f"{realism['patches']['auc']:.2f}", "realism"))
    rows += reading_rows()
    rows += [
        (f"small faults in `{module}` that its tests notice", f"{scores['after']['score']:.0%}", "mutation")
        for module, scores in results("mutation").items()
    ]
    lines = ["| figure | measured | by |", "|---|---|---|"]
    lines += [f"| {what} | {value} | `benchmarks/{by}.py` |" for what, value, by in rows]
    return "\n".join(lines) + "\n"


def reading_rows() -> list[tuple[str, str, str]]:
    """What is measured of the reading of a scan: uptake told as a focus, sites, and change."""
    sites, serial, read = results("people_sites"), results("serial"), results("reading")
    rows = []
    for name, kind in results("realism").get("foci_per_scan", {}).items():
        hot = sum(number for between, number in kind["by_contrast"].items() if float(between.split()[0]) >= 1)
        rows.append((f"foci per scan at least twice as hot as around them, {name}", f"{hot:.1f}", "realism"))
    for what in ("bones", "levels"):
        told = f"{sites[f'{what}_right']} of {sites[f'{what}_checked']}"
        rows.append((f"{what} of foci on scans of {sites['scans']} people, checked by eye", told, "people_sites"))
    ways = {
        "model": ("by the model", "by the model, of the lesions that it found"),
        "method": ("with the truth's outlines",) * 2,
    }
    for way, (by, of) in ways.items():
        told = f"{serial[way]['sensitivity']:.2f}, {serial[way]['specificity']:.2f}"
        rows.append((f"new lesions of phantoms {by}: sensitivity, specificity", told, "serial"))
        names = ("level_within_one", "vertebra_within_one", "height_within_one")
        told = ", ".join(f"{read[way][name]:.2f}" for name in names)
        what = "levels within one; those of the spine; all, with a rib taken for the vertebra of its number"
        rows.append((f"phantoms {of}: {what}", told, "reading"))
        told = f"{read[way]['index_correlation']:.3f}, {read[way]['index_slope']:.2f}"
        rows.append((f"phantoms {by}: correlation and slope of the bone scan index", told, "reading"))
    rows.append(("Dice of the bones in the region map, mean", f"{read['region_dice']['mean']:.2f}", "reading"))
    return rows


def recurrence_table() -> str:
    """Cost against t, as in Table 4."""
    report = results("recurrence_cost")
    lines = [
        "| weights | t | parameters | multiply-adds per image, 10^9 | seconds per image | against t = 0 |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['weights']} | {row['t']} | {row['parameters']:,} "
        f"| {row['multiply_adds_per_image'] / 1e9:.2f} "
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


FOLLOWING = (
    "quality", "quality-held-out", "quality-seen", "people", "people_bones", "people_sites", "reading", "serial",
    "realism", "thorax_crop", "speed", "view_order", "body_checks", "receiver_kills", "second_look",
)  # fmt: skip
"""The results that follow from a model or the phantom and say from which; of `adapt` each part does."""


def earlier_figures() -> str:
    """Which figures are of another model than the one that ships, or of another phantom than it learned from."""
    bundle = load_bundle(DEFAULT_MODEL)
    heads = {f"`{name}`": results(name) for name in FOLLOWING if there(name)}
    parts = results("adapt").get("made", {})
    heads |= {f"`adapt` ({part})": parts.get(part, {}) for part in ("people", "arms", "membership")}
    own = bundle.raw["training"]["sources"]["phantom"]
    older = []
    for name, head in heads.items():
        sources = head.get("sources", {"phantom": None})
        others = [model for model in sources.get("models", [])[:1] if model["sha256"] != bundle.sha256]
        if others or sources.get("phantom", own) != own:
            older.append(name)
    told = f"Figures of an earlier phantom or model: {', '.join(older)}. All others" if older else "All figures"
    return f"{told} are of the model that ships and of the phantom that it learned from.\n"


def statements() -> str:
    """Each experiment: what it asks, what the paper says, what was measured so far and what follows."""
    shown: dict[str, tuple[str, str]] = {}
    return "\n".join(_statement(name, shown) for name in EXPERIMENTS)


def _statement(name: str, shown: dict[str, tuple[str, str]]) -> str:
    """One experiment. shown: rows of the tables above, with arm and experiment; none is shown twice."""
    table = build(name, "cpu", Store(ROOT / "results" / "experiments"))
    there, wanted = (sum(arm[count] for arm in table["arms"]) for count in ("there", "runs"))
    lines = [f"### {name}", f"{table['question']} *The paper:* {table['paper']} *Runs:* {there} of {wanted}."]
    measured_arms = [arm for arm in table["arms"] if "scores" in arm]
    # A table of one arm compares nothing.
    if len(measured_arms) > 1:
        lines += _scores(name, measured_arms, shown)
    claims = [f"- {sentence(claim)}" for claim in table["claims"] if claim["word"] != "missing"]
    waiting = len(table["claims"]) - len(claims)
    if waiting:
        other = "other " if claims else ""
        claims.append(f"- {waiting} {other}claim{'' if waiting == 1 else 's'}: **undecided** (too few runs).")
    if claims:
        lines.append("\n".join(claims))
    return "\n\n".join(lines) + "\n"


def _scores(name: str, arms: Sequence[Results], shown: dict[str, tuple[str, str]]) -> list[str]:
    columns = [*HEADINGS.values(), "parameters"]
    rows, above = [], []
    for arm in arms:
        scores = [_spread(arm["scores"][measure]) for measure in HEADINGS]
        weights = "" if arm["parameters"] is None else f"{arm['parameters']:,.0f}"
        cells = " | ".join([f"{arm['there']} of {arm['runs']}", *scores, weights])
        if cells in shown:
            label, where = shown[cells]
            above.append(f"*{arm['arm']}* ({where}{'' if label == arm['arm'] else f': *{label}*'})")
        else:
            shown[cells] = (arm["arm"], name)
            rows.append(f"| {arm['arm']} | {cells} |")
    head = [f"| | seeds | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"] if rows else []
    told = [f"In tables above: {'; '.join(above)}."] if above else []
    return [*(["\n".join([*head, *rows])] if rows else []), *told]


def _spread(score: Results) -> str:
    if score["mean"] is None:
        return "undefined"
    spread = "" if score["sd"] is None else f" ± {score['sd']:.3f}"
    return f"{score['mean']:.3f}{spread}"


PLACES: tuple[tuple[Place, Callable[[], str]], ...] = (
    (Place(ROOT / "README.md", "measured figures"), readme_figures),
    (Place(FIGURES, "sources"), earlier_figures),
    (Place(FIGURES, "aims"), aims_table),
    (Place(FIGURES, "quality"), quality_table),
    (Place(FIGURES, "people"), people_table),
    (Place(FIGURES, "adapt"), adapt_table),
    (Place(FIGURES, "department"), department_table),
    (Place(FIGURES, "choices"), choices_table),
    (Place(FIGURES, "machine"), machine_table),
    (Place(ROOT / "docs" / "explanation" / "phantom.md", "realism"), realism_table),
    (Place(ROOT / "docs" / "explanation" / "phantom.md", "people"), realism_people_text),
    (Place(ROOT / "docs" / "explanation" / "limits.md", "hard"), hard_list),
    (Place(ROOT / "docs" / "explanation" / "model.md", "history"), history_table),
    (Place(ROOT / "docs" / "explanation" / "model.md", "second look"), second_look_table),
    (Place(REPRODUCTION, "experiments"), statements),
    (Place(REPRODUCTION, "recurrence"), recurrence_table),
)


def main() -> None:
    """Write all places anew."""
    for place, make in PLACES:
        place.page.write_text(place.filled(make()), encoding="utf-8")


if __name__ == "__main__":
    main()
