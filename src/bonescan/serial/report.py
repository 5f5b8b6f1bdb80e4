"""A comparison for people and for machines: table, `comparison.json`, and both scans side by side at one window."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bonescan.assess.burden import extent_words
from bonescan.report.ink import Sheet
from bonescan.report.overlay import INK, RESEARCH_USE, bone_window
from bonescan.serial.change import Change, Comparison, ReadScan, Status
from bonescan.serial.pcwg3 import Step
from bonescan.study import FloatImage, Lesion, View

SCHEMA = "urn:bonescan:comparison:1"
PCWG3_LABEL = "PCWG3 2+2 rule, for prostate cancer in clinical trials only"
_HEADINGS = ("status", "old", "new", "uptake", "z", "site")
_ZOOM, _MARGIN, _GAP, _HEADER, _FOOTER = 1.6, 40, 24, 90, 90
_MARKS = {
    Status.NEW: "N", Status.GROWING: "+", Status.PERSISTENT: "=", Status.SHRINKING: "-", Status.RESOLVED: "R",
}  # fmt: skip


def comparison_document(
    scans: Sequence[ReadScan], pairs: Sequence[Comparison], steps: Sequence[Step]
) -> dict[str, Any]:
    """Return all comparisons, each scan with the one before it, as plain JSON values.

    scans: oldest first. steps: the verdicts after each scan that follows the first, empty where no rule was asked for.
    """
    return {
        "schema": SCHEMA,
        "research_use_only": True,
        "scans": [
            {
                "key": scan.result.study.key,
                "acquired": scan.result.study.acquired,
                "lesions": None if scan.result.extent is None else scan.result.extent.lesions,
                "bone_scan_index": None if scan.result.extent is None else scan.result.extent.bone_scan_index,
            }
            for scan in scans
        ],
        "comparisons": [
            {
                "old": number,
                "new": number + 1,
                "counts_scale": {view.value: scale for view, scale in pair.scales.items()},
                "numbers": {status.value: pair.number(status) for status in Status},
                "lesions": [_change(change) for change in pair.changes],
            }
            for number, pair in enumerate(pairs)
        ],
        "pcwg3": None
        if not steps
        else {
            "rule": PCWG3_LABEL,
            "verdicts": [{"verdict": step.verdict.value, "dates_from_scan": _scan_number(step)} for step in steps],
        },
    }


def _scan_number(step: Step) -> int | None:
    """Index in `scans` of the scan from which progression dates; the baseline is scan 0."""
    return None if step.date_of is None else step.date_of + 1


def _change(change: Change) -> dict[str, Any]:
    return {
        "status": change.status.value,
        "site": change.site,
        "old": list(change.old),
        "new": list(change.new),
        "uptake_ratio": change.ratio,
        "z": change.z,
    }


def comparison_text(scans: Sequence[ReadScan], pairs: Sequence[Comparison], steps: Sequence[Step]) -> str:
    """Return the same as plain text, ending with a new line."""
    lines = []
    for number, pair in enumerate(pairs):
        old, new = (scan.result.study for scan in scans[number : number + 2])
        found = ", ".join(f"{pair.number(status)} {status.value}" for status in Status)
        lines.append(f"{old.key} -> {new.key}: {found}")
        rows = [_HEADINGS, *(_cells(change) for change in pair.changes)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        if pair.changes:
            lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    for scan in scans:
        if scan.result.extent is not None:
            lines.append(f"{scan.result.study.key}: {'; '.join(extent_words(scan.result.extent))}")
    for number, step in enumerate(steps, 1):
        dated = "" if step.date_of is None else f", from {scans[step.date_of + 1].result.study.key}"
        lines.append(f"{PCWG3_LABEL}: {scans[number].result.study.key}: {step.verdict.value}{dated}")
    return "\n".join([*lines, RESEARCH_USE]) + "\n"


def _cells(change: Change) -> tuple[str, ...]:
    return (
        change.status.value,
        ",".join(map(str, change.old)) or "-",
        ",".join(map(str, change.new)) or "-",
        "-" if change.ratio is None else f"x{change.ratio:.2f}",
        f"{change.z:+.1f}",
        change.site,
    )


def write_comparison(out: Path, scans: Sequence[ReadScan], pairs: Sequence[Comparison], steps: Sequence[Step]) -> None:
    """Write `comparison.json` and a picture for each pair, `comparison-1.png` and so on, into an existing folder."""
    document = comparison_document(scans, pairs, steps)
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    (out / "comparison.json").write_text(text, encoding="utf-8")
    for number, pair in enumerate(pairs, 1):
        picture(scans[number - 1], scans[number], pair).save(out / f"comparison-{number}.png")


def picture(old: ReadScan, new: ReadScan, pair: Comparison) -> Image.Image:
    """Draw old and new, view by view, at one window: counts are over those of the skeleton, so that one grey is one
    uptake in both. Curves carry N new, + growing, = persistent, - shrinking, R resolved."""
    views = list(pair.scales)
    rows, cols = (max(scan.result.study.shape[axis] for scan in (old, new)) for axis in range(2))
    width, height = round(cols * _ZOOM), round(rows * _ZOOM)
    sheet = Sheet((2 * _MARGIN + 2 * len(views) * (width + _GAP), _HEADER + height + _FOOTER), INK)
    marks = {(True, number): _MARKS[change.status] for change in pair.changes for number in change.new}
    marks |= {(False, number): _MARKS[change.status] for change in pair.changes for number in change.old}
    for place, (view, scan) in enumerate((view, scan) for view in views for scan in (old, new)):
        left = _MARGIN + place * (width + _GAP)
        is_new = scan is new
        black = bone_window(old.result.study.counts(view)) * (pair.scales[view] if is_new else 1.0)
        sheet.paste(_grey(scan.result.study.counts(view), black), (left, _HEADER))
        named = f"{'NEW' if is_new else 'OLD'} {view.value}"
        sheet.text((left + width / 2, _HEADER - 34), named, 26, anchor="ms")
        sheet.text((left + width / 2, _HEADER - 10), scan.result.study.acquired or "date not stated", 18, anchor="ms")
        sides = ("R", "L") if view is View.ANTERIOR else ("L", "R")
        sheet.text((left + 14, _HEADER - 10), sides[0], 24, anchor="ms")
        sheet.text((left + width - 14, _HEADER - 10), sides[1], 24, anchor="ms")
        for lesion in scan.result.lesions:
            if lesion.view is view:
                _outline(sheet, lesion, (left, _HEADER), marks.get((is_new, lesion.id), ""))
    legend = (
        "N new   + growing   = persistent   - shrinking   R resolved.   One grey is one uptake relative to the bones."
    )
    sheet.text((_MARGIN, _HEADER + height + 36), legend, 20)
    sheet.text((_MARGIN, _HEADER + height + 70), RESEARCH_USE, 22)
    return sheet.picture()


def _grey(counts: FloatImage, black: float) -> Image.Image:
    darkness = np.clip(counts / np.float32(black), 0, 1)
    grey = Image.fromarray(np.rint(255 - 255 * darkness).astype(np.uint8))
    return grey.resize((round(grey.width * _ZOOM), round(grey.height * _ZOOM)), Image.Resampling.BICUBIC)


def _outline(sheet: Sheet, lesion: Lesion, corner: tuple[int, int], mark: str) -> None:
    points = np.stack([lesion.contour[:, 1] + 0.5, lesion.contour[:, 0] + 0.5], axis=1) * _ZOOM + np.array(corner)
    sheet.ink_line(points, 2.0)
    sheet.ink_text((float(points[:, 0].max()) + 14, float(points[:, 1].mean())), f"{mark}{lesion.id}", 20)
