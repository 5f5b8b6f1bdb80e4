"""What was measured of the phantom against people. Used by `build_figures.py`."""

from __future__ import annotations

from figures_base import Results, measured, results

from bonescan.phantom.realism import cells


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
