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

from bonescan.bundle import load_bundle
from bonescan.lin2022.experiments.declared import EXPERIMENTS
from bonescan.lin2022.experiments.results import Store
from bonescan.lin2022.experiments.tables import HEADINGS, build, sentence
from bonescan.phantom.realism import cells
from bonescan.pipeline import DEFAULT_MODEL

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "reference" / "figures.md"
REPRODUCTION = ROOT / "docs" / "lin2022" / "reproduction.md"
OUTCOMES = {
    "right": "read, and rightly", "refused": "refused with a sentence", "stopped": "stopped at a limit",
    "wrong": "read wrongly", "crash": "crashes", "hang": "hangs",
}  # fmt: skip
LOSSES = {"lost": "lost", "twice": "results sent under two UIDs", "undelivered": "results undelivered"}
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
    """A value with its interval, where it has one; a dash where there was nothing to measure."""
    if figure["value"] is None:
        return "–"
    low, high = figure.get("low"), figure.get("high")
    interval = f" ({low:.{digits}f} to {high:.{digits}f})" if low is not None else ""
    return f"{figure['value']:.{digits}f}{interval}"


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


def quality_table() -> str:
    """What the model reaches on phantoms of both families."""
    reports = [results("quality"), results("quality-held-out")]
    rows: list[tuple[str, list[str]]] = [
        ("patients, anatomies", [f"{one['patients']}, {one['anatomies']}" for one in reports]),
        ("pooled Dice", [measured(one["pixel"]["dsc_pooled"]) for one in reports]),
        ("Dice of an image with lesions, mean", [measured(one["pixel"]["dsc_with_lesions"]) for one in reports]),
        ("CPA (precision of pixels), mean", [measured(one["pixel"]["cpa"]) for one in reports]),
        ("recall of pixels, mean", [measured(one["pixel"]["recall"]) for one in reports]),
        ("lesion sensitivity, as shipped", [measured(one["lesion"]["sensitivity"]) for one in reports]),
        (
            "false positives per scan, as shipped",
            [measured(one["lesion"]["false_positives_per_scan"]) for one in reports],
        ),
        ("lesion precision", [measured(one["lesion"]["precision"]) for one in reports]),
        (
            "false positives per lesion-free scan",
            [measured(one["lesion"]["false_positives_per_lesion_free_scan"]) for one in reports],
        ),
        (
            "outlines on equivocal lesions per scan, ignored",
            [measured(one["lesion"]["on_faint_per_scan"]) for one in reports],
        ),
    ]
    for rate in ("0.1", "0.25", "0.5", "1.0", "2.0"):
        found = [f"{one['froc']['sensitivity_at'][rate] or 0:.3f}" for one in reports]
        rows.append((f"sensitivity at {rate} false positives per scan", found))
    for name in reports[0]["by_contrast"]:
        classes = [one["by_contrast"][name] for one in reports]
        found = ["" if row["sensitivity"] is None else f"{row['sensitivity']:.2f} of {row['true']}" for row in classes]
        rows.append((f"sensitivity, contrast {name}", found))
    for name, row in reports[0]["by_size_px"].items():
        other = reports[1]["by_size_px"].get(name, row)
        rows.append((f"sensitivity, {name} pixels", [measured(one["sensitivity"]) for one in (row, other)]))
    sites = [one["by_region"] for one in reports]
    for name in sites[0]:
        if sites[0][name]["true"] >= 10 and name in sites[1] and sites[1][name]["true"]:
            rows.append((f"sensitivity, {name}", [measured(one[name]["sensitivity"]) for one in sites]))
    lines = ["| figure | standard family | held-out family |", "|---|---|---|"]
    lines += [f"| {what} | {' | '.join(values)} |" for what, values in rows]
    return "\n".join(lines) + "\n"


def bones_rows() -> list[tuple[str, str]]:
    """Which bones, or large parts of them, are found where they are hot in scans of people."""
    parts = list(results("people_bones")["models"][0]["parts"].values())
    rows = []
    for excess in parts[0]:
        scans, found = (sum(part[excess][which] for part in parts) for which in (0, 1))
        covered = sum(part[excess][0] * part[excess][2] for part in parts) / scans
        hot = f"{int(excess) + 1} times as hot" if int(excess) else "as they are"
        rows.append((f"{len(parts)} bones or parts, {hot}: found; covered", f"{found} of {scans}; {covered:.2f}"))
    return rows


def people_table() -> str:
    """What the model does on a folder of normal scans of people."""
    report = results("people")
    own = report["models"][0]
    inserted = own["inserted"]
    rows = [(f"outlines per scan, {point}", f"{row['per_scan']:.2f}") for point, row in own["marks"].items()]
    rows += [
        (f"outlines of inserted lesions found, as shipped ({inserted['lesions']} in {inserted['variants']} variants; "
         "a lesion that both views show counts twice)", f"{inserted['sensitivity']:.2f}"),
        ("the same, from contrast 1 on", f"{inserted['sensitivity_from_contrast_1']:.2f}"),
    ]  # fmt: skip
    rows += [
        (
            f"outlines of inserted lesions, contrast in the better view {name}",
            f"{row['sensitivity']:.2f} of {row['true']}",
        )
        for name, row in inserted["by_contrast"].items()
        if row["true"]
    ]
    rows += bones_rows()
    lines = [f"| figure | {report['scans']} scans |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)]
    return "\n".join(lines) + "\n"


def adapt_table() -> str:
    """What adapting a model to normal scans of people changes, on scans of others."""
    folds = results("adapt")["people"]
    names = {"marks_per_scan": "outlines per scan without known disease, at the base's thresholds"}
    for key in folds[0]["before"]:
        what, _, rate = key.partition("_at_")
        if rate and what in ("sensitivity", "phantom_sensitivity"):
            kind = "inserted lesions" if what == "sensitivity" else "lesions of phantoms"
            names[key] = f"{kind} found at {rate} false positives per scan"
    lines = [f"| figure, mean of {len(folds)} folds | before | after, its weights alone | after |", "|---|---|---|---|"]
    for key, what in names.items():
        means = [sum(fold[when][key] for fold in folds) / len(folds) for when in ("before", "alone", "after")]
        lines.append(" | ".join([f"| {what}", *(f"{mean:.2f}" for mean in means)]) + " |")
    fitted = sum(fold["after_fitted_marks_per_scan"] for fold in folds) / len(folds)
    lines.insert(3, f"| the same at thresholds fitted anew, as in the written bundle | | | {fitted:.2f} |")
    return "\n".join(lines) + "\n"


ARMS = {
    "shipped": "as shipped",
    "phantoms-alone": "the same steps on phantoms alone",
    "adapted-5": "adapted on 5 normal scans",
    "adapted-10": "on 10",
    "adapted-20": "on 20",
    "adapted-50": "on 50",
    "adapted-10-unlabelled-20": "on 10, and 20 of unknown status",
    "diseased-5": "on 20, of which 5 % show disease",
    "diseased-20": "on 20, of which 20 % show disease",
    "teacher-20": "mean teacher alone, 20 scans of unknown status",
    "published-20": "unsupervised term of Lin et al. 2022, 20 scans of unknown status",
    "supervised-1": "supervised on 1 labelled scan",
    "supervised-2": "on 2",
    "supervised-5": "on 5",
    "supervised-10": "on 10",
}
"""The arms of the declared experiment, in the order of the page."""
CHOICES = {
    "phantoms-alone": "phantoms alone, 400 steps",
    "adapted-10": "as it is: half scans, 400 steps, half of the base's weights",
    "choice-base-25": "a quarter of the base's weights",
    "choice-base-0": "none of the base's weights",
    "choice-steps-50": "50 steps",
    "choice-steps-150": "150 steps",
    "choice-share-25": "150 steps, a quarter of scans",
    "choice-share-75": "150 steps, three quarters of scans",
    "choice-anywhere": "150 steps, lesions anywhere in the body",
    "choice-by-area": "150 steps, places by area and not by counts",
}
"""What one choice is worth: ten normal scans, each choice changed by itself."""


def department_table() -> str:
    """The declared experiment on a simulated department: means over seeds, and the range of the first figure."""
    return _arms_table("learned from", ARMS)


def choices_table() -> str:
    """The same figures where one choice of the adaptation is changed."""
    return _arms_table("choice, on 10 normal scans", CHOICES)


def _arms_table(heading: str, names: Mapping[str, str]) -> str:
    arms = results("adapt")["arms"]
    lines = [
        f"| {heading} | seeds | found at 0.5 false positives per scan | at 1 | pooled Dice at the base's thresholds "
        "| calibration error |",
        "|---|---|---|---|---|---|",
    ]
    for name, what in names.items():
        row = arms[name]
        low, high = row["sensitivity_at_0.5_range"]
        between = f" ({low:.3f} to {high:.3f})" if row["seeds"] > 1 else ""
        figures = (f"{row[one]:.3f}" for one in ("sensitivity_at_1", "dsc_pooled", "calibration_error"))
        cells = [f"| {what}", str(row["seeds"]), f"{row['sensitivity_at_0.5']:.3f}{between}", *figures]
        lines.append(" | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


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


def realism_table() -> str:
    """How many figures are within the range of real scans, and those that are not."""
    report = results("realism")
    medians = report["medians"]
    outside = [cell for cell in cells() if not cell.real[0] <= medians[cell.name] <= cell.real[1]]
    told = (
        f"Of {report['patients']} simulated patients the medians of {report['within']} of {report['cells']} figures "
        "are within the range of the six scans. The others:"
    )
    lines = ["| figure | median phantom | six real scans |", "|---|---|---|"]
    lines += [f"| {cell.name} | {medians[cell.name]:.2f} | {cell.real[0]:g} to {cell.real[1]:g} |" for cell in outside]
    return f"{told}\n\n" + "\n".join(lines) + "\n"


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
    "quality", "quality-held-out", "people", "people_bones", "people_sites", "reading", "serial", "realism",
    "thorax_crop", "speed", "view_order", "body_checks", "receiver_kills",
)  # fmt: skip
"""The results that follow from a model or the phantom and say from which; of `adapt` each part does."""


def earlier_figures() -> str:
    """Which figures are of another model than the one that ships, or of another phantom than it learned from."""
    bundle = load_bundle(DEFAULT_MODEL)
    heads = {f"`{name}`": results(name) for name in FOLLOWING}
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
    (Place(FIGURES, "quality"), quality_table),
    (Place(FIGURES, "people"), people_table),
    (Place(FIGURES, "adapt"), adapt_table),
    (Place(FIGURES, "department"), department_table),
    (Place(FIGURES, "choices"), choices_table),
    (Place(FIGURES, "machine"), machine_table),
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
