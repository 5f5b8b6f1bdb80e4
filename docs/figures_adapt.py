"""What adapting a model changes. Used by `build_figures.py`."""

from __future__ import annotations

from collections.abc import Mapping

from figures_base import results


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
