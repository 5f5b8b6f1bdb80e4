"""Figures from results alone, as SVG: the same results give the same bytes. Needs the extra `experiments`."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bonescan.errors import InputError
from bonescan.lin2022.experiments.plan import find
from bonescan.lin2022.experiments.results import Store, unpacked
from bonescan.lin2022.experiments.tables import HEADINGS, ArmResults, gather
from bonescan.study import View

_SHOWN = ("dsc", "cpa", "recall")
_COLOURS = ("#0072b2", "#d55e00", "#009e73")
"""Of Okabe and Ito: told apart by everybody."""
_STYLE: Any = {
    "svg.hashsalt": "bonescan",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_FOOT = "simulated patients; research use only"


def draw(table: Mapping[str, Any], store: Store) -> str | None:
    """The figure of a table that `tables.build` made, as the text of an SVG; None where the experiment has none.

    Raises InputError where a stored picture is damaged.
    """
    experiment = find([table["experiment"]])[table["experiment"]]
    if experiment.show == "table":
        return None
    with rc_context(_STYLE):
        if experiment.show == "pictures":
            figure = _pictures(gather(experiment, table["profile"], store), store, table["profile"])
        else:
            figure = Figure(figsize=(6.4, 3.8), layout="constrained")
            axes = figure.subplots()
            if experiment.show == "curve":
                _curve(axes, table["arms"], [arm.place or 0.0 for arm in experiment.arms], experiment.axis)
            else:
                _bars(axes, table["arms"])
            axes.set_ylim(0, 1)
            axes.set_ylabel("mean over test images")
        figure.suptitle(f"{table['experiment']}, profile {table['profile']}: {_FOOT}", fontsize=8, color="#555555")
        return _svg(figure)


def _svg(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    # Matplotlib leaves blanks at the ends of lines, which version control dislikes.
    return "\n".join(line.rstrip() for line in buffer.getvalue().decode("utf-8").splitlines()) + "\n"


def _curve(axes: Axes, rows: Sequence[Mapping[str, Any]], places: Sequence[float], label: str) -> None:
    for measure, colour in zip(_SHOWN, _COLOURS, strict=True):
        points = [(place, *_mean(row, measure)) for place, row in zip(places, rows, strict=True) if "scores" in row]
        known = [point for point in points if np.isfinite(point[1])]
        if known:
            x, y, spread = zip(*known, strict=True)
            axes.errorbar(x, y, yerr=spread, color=colour, marker="o", capsize=3, label=HEADINGS[measure])
    axes.set_xlabel(label)
    _note_missing(axes, rows)


def _bars(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    width = 0.8 / len(_SHOWN)
    for number, (measure, colour) in enumerate(zip(_SHOWN, _COLOURS, strict=True)):
        values = [_mean(row, measure) for row in rows]
        x = np.arange(len(rows)) + (number - 1) * width
        heights = [0.0 if np.isnan(mean) else mean for mean, _ in values]
        spreads = [spread for _, spread in values]
        axes.bar(x, heights, width, yerr=spreads, color=colour, capsize=3, label=HEADINGS[measure])
    axes.set_xticks(range(len(rows)), [row["arm"] for row in rows])
    _note_missing(axes, rows)


def _mean(row: Mapping[str, Any], measure: str) -> tuple[float, float]:
    """Mean and spread of a score; NaN where it is missing, no spread for one seed."""
    score = row["scores"][measure] if "scores" in row else {"mean": None, "sd": None}
    return (np.nan if score["mean"] is None else score["mean"]), score["sd"] or 0.0


def _note_missing(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    missing = [str(row["arm"]) for row in rows if "scores" not in row]
    if len(missing) < len(rows):
        axes.legend(frameon=False)
    if missing:
        axes.text(0.5, 0.5, f"missing: {', '.join(missing)}", ha="center", transform=axes.transAxes)


def _pictures(arms: Sequence[ArmResults], store: Store, profile: str) -> Figure:
    """Rows: the shown patients' views. Columns: the scan, the truth, and what each arm marks."""
    there = [one for one in arms if one.results]
    scans = _scans(store.scans(profile, there[0].results[0].values["set"]["identity"])) if there else {}
    rows = [(study, view) for study in scans for view in View]
    columns = ["scan", "truth", *(one.arm.label for one in arms)]
    figure = Figure(figsize=(1.5 * len(columns), 1.6 * max(1, len(rows))), layout="constrained")
    if not rows:
        figure.text(0.5, 0.5, "missing", ha="center")
        return figure
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, (study, view) in zip(grid, rows, strict=True):
        scan = unpacked(scans[study]["scan"][view])
        masks = [None, scans[study]["truth"][view], *(_mask(one, study, view) for one in arms)]
        for axes, mask, column in zip(line, masks, columns, strict=True):
            axes.imshow(scan, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            if mask is not None and (marked := unpacked(mask) > 0).any():
                _outline(axes, marked, _COLOURS[2] if column == "truth" else _COLOURS[1])
            elif mask is None and column != "scan":
                axes.text(0.5, 0.5, "missing", ha="center", transform=axes.transAxes)
            axes.set_axis_off()
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column, fontsize=6)
    return figure


def _mask(one: ArmResults, study: str, view: View) -> str | None:
    return one.results[0].values["masks"].get(study, {}).get(str(view)) if one.results else None


def _outline(axes: Axes, mask: NDArray[np.bool_], colour: str) -> None:
    axes.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=0.6)


def _scans(path: Path) -> dict[str, Any]:
    try:
        scans: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the pictures {path.name} cannot be read ({type(error).__name__}): run the experiment again"
        ) from None
    return scans
