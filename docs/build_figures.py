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


def there(name: str) -> bool:
    """Whether a benchmark that is not always run has left its results."""
    return (ROOT / "results" / f"{name}.json").exists()


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


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure and what it should be. digits: after the point."""

    what: str
    aim: float
    reached: float | None
    at_most: bool = False
    digits: int = 3

    @property
    def row(self) -> str:
        """Of the table; a figure that could not be measured misses its aim."""
        kept = self.reached is not None and (self.reached <= self.aim if self.at_most else self.reached >= self.aim)
        reached = "–" if self.reached is None else f"{self.reached:.{self.digits}f}"
        bound = "at most" if self.at_most else "at least"
        return f"| {self.what} | {bound} {self.aim:.{self.digits}f} | {reached} | {'met' if kept else '**missed**'} |"


OF_QUALITY = {
    "dsc_pooled": "pooled Dice",
    "sensitivity_at_0.5": "sensitivity at 0.5 false positives per scan",
    "false_positives_per_scan": "false positives per scan, as shipped",
}
OF_PEOPLE = {
    "marks_per_scan": "outlines per scan without known disease, as shipped",
    "sensitivity_from_contrast_1": "outlines of inserted lesions found, from contrast 1 on",
}
OF_SPEED = {"cold_s": "one study, whole process, s", "further_s": "each further study of a call, s"}
OF_READING = {
    "region_dice": "Dice of the bones in the region map of phantoms, mean",
    "pair_f1": "pairs of the two outlines of a lesion, phantoms: F1",
    "level_within_one": "levels of outlines, phantoms: share within one",
    "index_correlation": "bone scan index, phantoms: correlation with the truth",
    "index_repeat_difference": "bone scan index, phantoms: difference between two scans of a patient, mean",
}
UPPER_LIMITS = {"false_positives_per_scan", "marks_per_scan", "cold_s", "further_s", "index_repeat_difference"}
HELD_OUT_MARGIN = 0.05
"""The held-out family may be so much worse than the standard one."""
PATCHES_AUC = 0.75
"""At most, for patches of phantoms against patches of people."""


def aims_table() -> str:
    """Every aim that has been measured, and whether it is met."""
    aims = [*quality_aims(), *people_aims(), *reading_aims(), *realism_aims()]
    crop = results("thorax_crop")
    aims.append(
        Aim("thoracic window holds the thorax, share", crop["aim"], crop["variants"]["as acquired"]["contained_share"])
    )
    aims += verdict_aims(OF_SPEED, results("speed")["aims"], "")
    lines = ["| figure | aim | reached | met or missed |", "|---|---|---|---|", *(aim.row for aim in aims)]
    return "\n".join(lines) + "\n"


def verdict_aims(names: Mapping[str, str], verdicts: Results, where: str) -> list[Aim]:
    """The aims whose verdict a benchmark has written."""
    return [
        Aim(what + where, verdicts[key]["aim"], verdicts[key]["reached"], key in UPPER_LIMITS)
        for key, what in names.items()
        if isinstance(verdicts.get(key), Mapping)
    ]


def quality_aims() -> list[Aim]:
    """Of the standard family; the held-out family should be as good but for a margin."""
    standard, other = (results(name)["aims"] for name in ("quality", "quality-held-out"))
    aims = verdict_aims(OF_QUALITY, standard, ", standard family")
    for key, what in OF_QUALITY.items():
        reached, upper = standard[key]["reached"], key in UPPER_LIMITS
        if reached is not None:
            aim = reached + (HELD_OUT_MARGIN if upper else -HELD_OUT_MARGIN)
            told = f"{what}, held-out family: within {HELD_OUT_MARGIN} of the standard one"
            aims.append(Aim(told, aim, other[key]["reached"], upper))
    return aims


def people_aims() -> list[Aim]:
    """Of scans of people."""
    report = results("people")
    return verdict_aims(OF_PEOPLE, report["aims"], f", {report['scans']} scans of people")


def reading_aims() -> list[Aim]:
    """Of the reading of a scan and of change, all by the model."""
    read, serial = results("reading"), results("serial")
    reached = {**read["model"], "region_dice": read["region_dice"]["mean"]}
    aims = [Aim(what, read["aims"][key], reached[key], key in UPPER_LIMITS) for key, what in OF_READING.items()]
    return aims + [
        Aim(f"new lesions of phantoms, {key}", aim, serial["model"][key]) for key, aim in serial["aims"].items()
    ]


def realism_aims() -> list[Aim]:
    """Of the phantom against people."""
    realism = results("realism")
    if "regions" not in realism:
        return []
    regions, auc = realism["regions"], realism["patches"]["auc"]
    return [
        Aim(
            "uptake of regions of phantoms within the range of people",
            len(regions["rows"]),
            regions["within"],
            digits=0,
        ),
        Aim("patches, phantom against person: AUC", PATCHES_AUC, auc, at_most=True),
    ]


@dataclass(frozen=True, slots=True)
class Column:
    """Of the table of quality. whole: with all figures, and not only those that compare two models."""

    heading: str
    patients: str
    report: Results
    whole: bool = True


FAMILY_COLUMNS = (
    ("quality", "standard family", "of anatomies that no training has seen"),
    ("quality-held-out", "held-out family", "of other bodies, uptake, camera and dose, which no training has seen"),
    ("quality-seen", "anatomies of the training", "new patients of anatomies that the model has learned from"),
)


def quality_columns() -> list[Column]:
    """A column for each family that was measured, and one for the previous model where it read the same patients."""
    columns = []
    for name, heading, patients in FAMILY_COLUMNS:
        if not there(name):
            continue
        report = results(name)
        columns.append(Column(heading, patients, report))
        columns += [
            Column(f"{heading}, previous model", "the same", {"anatomies": report["anatomies"], **other}, whole=False)
            for other in report.get("others", ())[:1]
        ]
    return columns


def quality_table() -> str:
    """What the model reaches on phantoms."""
    columns = quality_columns()
    rows: list[tuple[str, list[str]]] = [
        ("simulated patients", [column.patients for column in columns]),
        ("patients, anatomies", [f"{one.report['patients']}, {one.report['anatomies']}" for one in columns]),
        ("pooled Dice", [measured(one.report["pixel"]["dsc_pooled"]) for one in columns]),
    ]

    pixel = {
        "dsc_with_lesions": "Dice of an image with lesions, mean",
        "cpa": "CPA (precision of pixels), mean",
        "recall": "recall of pixels, mean",
    }
    lesion = {
        "sensitivity": "lesion sensitivity, balanced (as shipped)",
        "false_positives_per_scan": "false positives per scan, balanced (as shipped)",
        "precision": "lesion precision",
        "false_positives_per_lesion_free_scan": "false positives per lesion-free scan",
        "on_faint_per_scan": "outlines on equivocal lesions per scan, ignored",
    }
    for section, names in (("pixel", pixel), ("lesion", lesion)):
        rows += [
            (what, [measured(one.report[section][key]) if one.whole else "" for one in columns])
            for key, what in names.items()
        ]
    rows += operating_point_rows(columns)
    for rate in ("0.1", "0.25", "0.5", "1.0", "2.0"):
        found = [curve_cell(one.report["froc"], rate) for one in columns]
        rows.append((f"sensitivity at {rate} false positives per scan", found))
    rows += class_rows(columns)
    lines = [f"| figure | {' | '.join(one.heading for one in columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {what} | {' | '.join(values)} |" for what, values in rows]
    return "\n".join(lines) + "\n"


def operating_point_rows(columns: Sequence[Column]) -> list[tuple[str, list[str]]]:
    """Sensitivity and false positives at the operating points besides the one that is shipped."""
    points = columns[0].report.get("operating_points", {})
    names = {"sensitivity": "lesion sensitivity", "false_positives_per_scan": "false positives per scan"}
    rows = []
    for point in points:
        for key, what in names.items() if point != "balanced" else ():
            own = [one.report.get("operating_points", {}).get(point) for one in columns]
            rows.append((f"{what}, {point}", ["–" if found is None else measured(found[key]) for found in own]))
    return rows


def curve_cell(curve: Results, rate: str) -> str:
    """The sensitivity at so many false positives per scan, and where the curve ends if it ends before that."""
    found, end = f"{curve['sensitivity_at'][rate] or 0:.3f}", curve.get("curve_ends_at")
    return f"{found} (the curve ends at {end:.2f})" if end is not None and end < float(rate) else found


def class_rows(columns: Sequence[Column]) -> list[tuple[str, list[str]]]:
    """Sensitivity by contrast, size and site, with the number of true outlines, and the contrast of the missed."""
    whole = [one.report if one.whole else None for one in columns]
    first = columns[0].report
    rows = []

    def cells(section: str, name: str) -> list[str]:
        found = [None if report is None else report[section].get(name, {"true": 0}) for report in whole]
        return ["" if row is None else f"{sensitivity(row)} of {row['true']}" if row["true"] else "–" for row in found]

    for name in first["by_contrast"]:
        rows.append((f"sensitivity, contrast {name}", cells("by_contrast", name)))
    for name in first.get("missed_by_contrast", ()):
        shares = [None if report is None else report.get("missed_by_contrast", {}).get(name) for report in whole]
        told = ["–" if share is None else f"{share:.2f}" for share in shares]
        told = ["" if report is None else cell for report, cell in zip(whole, told, strict=True)]
        rows.append((f"share of the missed lesions, contrast {name}", told))
    for name in first["by_size_px"]:
        rows.append((f"sensitivity, {name} pixels", cells("by_size_px", name)))
    for name, row in first["by_region"].items():
        if row["true"] >= LEAST_OF_A_SITE:
            rows.append((f"sensitivity, {name}", cells("by_region", name)))
    return rows


LEAST_OF_A_SITE = 10
"""Sites with fewer true outlines have no row."""


def sensitivity(row: Results) -> str:
    """Of a class of lesions, some of them with an interval."""
    return measured(row["sensitivity"]) if isinstance(row["sensitivity"], Mapping) else f"{row['sensitivity']:.2f}"


MISSED_AT = "2"
"""The added uptake, as a multiple of the part's own, at which parts that are not found in every scan are told."""


def missed_parts() -> dict[str, Results]:
    """The bones or parts of bones that are not found in every scan where they are three times as hot."""
    parts = results("people_bones")["models"][0]["parts"]
    return {name: part for name, part in parts.items() if part[MISSED_AT][1] < part[MISSED_AT][0]}


def bones_rows() -> list[tuple[str, str]]:
    """Which bones, or large parts of them, are found where they are hot in scans of people."""
    parts = list(results("people_bones")["models"][0]["parts"].values())
    rows = []
    for excess in parts[0]:
        scans, found = (sum(part[excess][which] for part in parts) for which in (0, 1))
        covered = sum(part[excess][0] * part[excess][2] for part in parts) / scans
        hot = f"{int(excess) + 1} times as hot" if int(excess) else "as they are"
        rows.append((f"{len(parts)} bones or parts, {hot}: found; covered", f"{found} of {scans}; {covered:.2f}"))
    for name, part in missed_parts().items():
        hotter = {excess: counts for excess, counts in part.items() if int(excess)}
        times = ", ".join(str(int(excess) + 1) for excess in hotter)
        found = ", ".join(str(counts[1]) for counts in hotter.values())
        rows.append((f"{name}, {times} times as hot: found", f"{found} of {part[MISSED_AT][0]}"))
    return rows


def people_table() -> str:
    """What the model does on a folder of normal scans of people."""
    report = results("people")
    own = report["models"][0]
    inserted = own["inserted"]
    rows = [(f"outlines per scan, {point}", f"{row['per_scan']:.2f}") for point, row in own["marks"].items()]
    regions = own["marks"]["balanced"]["regions"]
    rows += [
        ("where the outlines lie, balanced", ", ".join(f"{name} {number}" for name, number in regions.items()) or "–"),
        (f"outlines of inserted lesions found, as shipped ({inserted['lesions']} in {inserted['variants']} variants; "
         "a lesion that both views show counts twice)", f"{inserted['sensitivity']:.2f}"),
        ("the same, from contrast 1 on", f"{inserted['sensitivity_from_contrast_1']:.2f}"),
        ("pooled Dice of inserted lesions", f"{inserted['dsc_pooled']:.2f}"),
    ]  # fmt: skip
    rows += [
        (f"outlines of inserted lesions found at {rate} false positives per scan", curve_cell(inserted, rate))
        for rate in inserted["sensitivity_at"]
    ]
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


HARD_BY = 0.1
"""A site is hard where its sensitivity is so far below that of all lesions."""
LEAST_OF_A_HARD_SITE = 20


def hard_list() -> str:
    """What the model misses most, in words: the figures are on their page."""
    quality = results("quality")
    limit = quality["lesion"]["sensitivity"]["value"] - HARD_BY
    sites = {
        name: row["sensitivity"]["value"]
        for name, row in quality["by_region"].items()
        if row["true"] >= LEAST_OF_A_HARD_SITE and row["sensitivity"]["value"] < limit
    }
    faint = [name for name, row in quality["by_contrast"].items() if row["true"] and row["sensitivity"] < 0.5]
    parts = missed_parts()
    told = {
        "Lesions of simulated patients of which it finds fewer than half: those with a contrast of": faint,
        "Sites where it misses clearly more lesions of simulated patients than elsewhere, the hardest first": sorted(
            sites, key=lambda name: sites[name]
        ),
        "Large parts of bones that it misses in some scans of people even where they are three times as hot": sorted(
            parts, key=lambda name: parts[name][MISSED_AT][1]
        ),
    }
    return "".join(
        f"- {what}{'' if what.endswith('of') else ':'} {', '.join(names)}.\n" for what, names in told.items() if names
    )


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


SIDES = ", left over right"


def realism_people_text() -> str:
    """Where phantoms differ from people: regions out of range, spread between sides, patches, foci."""
    report = results("realism")
    if "regions" not in report:
        return "Not measured.\n"
    regions, patches = report["regions"], report["patches"]
    of = f"{report['patients']} phantoms without lesions and {report['people']} people"
    outside = [row for row in regions["rows"] if not row["within"]]
    parts = [
        f"Uptake relative to the lumbar spine from behind, of {of}: the median phantom is within the people's range in "
        f"{regions['within']} of {len(regions['rows'])} figures."
    ]
    if outside:
        lines = ["| out of the range | median phantom | people | median person |", "|---|---|---|---|"]
        lines += [
            f"| {row['name']} | {row['phantom']:.2f} | {row['people'][0]:.2f} to {row['people'][1]:.2f} "
            f"| {row['people_median']:.2f} |"
            for row in outside
        ]
        parts.append("\n".join(lines))
    if uneven := [row for row in regions["rows"] if row["name"].endswith(SIDES) and differ(row)]:
        lines = [
            "| left over right: standard deviation of the logarithm, where the two differ more than twofold "
            "| phantoms | people |",
            "|---|---|---|",
        ]
        spreads = {row["name"].removesuffix(SIDES): (row["phantom_spread"], row["people_spread"]) for row in uneven}
        lines += [f"| {name} | {ours:.2f} | {theirs:.2f} |" for name, (ours, theirs) in spreads.items()]
        parts.append("\n".join(lines))
    areas = sorted(patches["by_region"].items(), key=lambda entry: -entry[1])
    parts.append(
        f"Patches, phantom against person: AUC {patches['auc']:.2f} (0.5: cannot be told apart); by region: "
        + ", ".join(f"{name} {auc:.2f}" for name, auc in areas)
        + "."
    )
    parts.append("\n".join(foci_rows(report["foci_per_scan"])))
    return "\n\n".join(parts) + "\n"


def foci_rows(foci: Results) -> list[str]:
    """The table of foci as the model finds them, and of hot spots by counts alone where these were counted."""
    phantoms, people = foci["phantoms"], foci["people"]
    lines = ["| foci of uptake | phantoms | people |", "|---|---|---|"]
    lines += [
        f"| per scan by the model, contrast {name} | {number:.1f} | {people['by_contrast'][name]:.1f} |"
        for name, number in phantoms["by_contrast"].items()
    ]
    figures = {
        "median_per_scan": "median per scan",
        "width_px": "width in pixels, median",
        "sharpness": "sharpness, median",
    }
    for least, ours in phantoms.get("by_counts_alone", {}).items():
        theirs = people["by_counts_alone"][least]
        lines += [
            f"| by counts alone, contrast from {least.split('_')[-1]} on: {what} "
            f"| {measured({'value': ours[key]}, digits)} | {measured({'value': theirs[key]}, digits)} |"
            for (key, what), digits in zip(figures.items(), (1, 1, 2), strict=True)
        ]
    return lines


def differ(row: Results) -> bool:
    """Whether phantoms and people differ in spread by more than a factor of two."""
    least, most = sorted((row["phantom_spread"], row["people_spread"]))
    return bool(most > 2 * least)


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


def history_table() -> str:
    """The trainings of the model that ships, each with what was measured while it shipped."""
    lines = [
        "| date | steps | anatomies | weights before, in the mean | phantoms: Dice | sensitivity at 0.5 "
        "| people: outlines per scan | found from contrast 1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results("history")["versions"]:
        cells = [row["date"], f"{row['steps']:,}" + (f" of `{row['only']}`" if row["only"] else ""), row["anatomies"]]
        cells += [f"{row['start_share']:.0%}".replace("%", " %") if row["start_share"] else "–"]
        for figures, keys in (
            (row.get("phantoms"), ("dsc_pooled", "sensitivity_at_0.5")),
            (row.get("people"), ("outlines_per_scan", "found_from_contrast_1")),
        ):
            cells += [f"{figures[key]:.2f}" if figures else "–" for key in keys]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def second_look_table() -> str:
    """What a classifier of candidates adds to the ranking by their peaks."""
    report = results("second_look")
    wheres = [(where, report[where]) for where in ("phantoms", "people") if where in report]
    rates = list(wheres[0][1]["sensitivity_at"]["highest probability"])
    lines = [
        f"| scans | ranked by | {' | '.join(f'sensitivity at {rate}' for rate in rates)} |",
        "|---|---|" + "---|" * len(rates),
    ]
    for where, figures in wheres:
        named = {"phantoms": "simulated patients", "people": "scans of people with inserted lesions"}[where]
        for ranking, row in figures["sensitivity_at"].items():
            cells = ["–" if row[rate] is None else f"{row[rate]:.3f}" for rate in rates]
            lines.append(f"| {figures['scans']} {named} | {ranking} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


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
