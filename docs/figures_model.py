"""What was measured of the model that ships. Used by `build_figures.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from figures_base import Results, measured, results, there


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
