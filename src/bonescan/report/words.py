"""The sentences that picture, table and pages share, so that all of them say the same of a result."""

from __future__ import annotations

from bonescan.study import Burden, QualityCheck, Result

RESEARCH_USE = "Research use only - not for diagnosis"

COLUMNS = (
    "Area and counts are of the outlined pixels. Max: counts of the hottest pixel; mean: counts per pixel; "
    "contrast: mean counts over those of the bone around the outline; mirror: over those of the bone at the place "
    "mirrored about the midline; p: the model's mean probability."
)
"""What the columns of a table of outlines are."""
CHECK_NAMES = {
    "body": "a body in the picture",
    "upright": "head at the top",
    "length": "body length",
    "vertex": "top of the skull",
    "other tracer": "tracer outside bone",
}
"""What people read for the names of checks that do not explain themselves; `lesions.json` keeps the names."""
Fields = tuple[tuple[str, str], ...]
"""(label, value) of each field that names the patient; () for none."""
NOT_STATED = "not stated"
_DATE_NOT_STATED = f"date {NOT_STATED}"


def counted(number: int, word: str) -> str:
    """A number with its word, as `1 scan` or `2 scans`; a word in -y after a consonant gets -ies."""
    if number == 1:
        return f"1 {word}"
    changes = word.endswith("y") and word[-2] not in "aeou"
    return f"{number} {word[:-1]}ies" if changes else f"{number} {word}s"


def lesions_counted(result: Result) -> str:
    """Return how many lesions in how many outlines: "3 lesions in 6 outlines".

    Without an extent it is not known which outlines show the same lesion; then only outlines are counted.
    """
    outlines = counted(len(result.lesions), "outline")
    return outlines if result.extent is None else f"{counted(result.extent.lesions, 'lesion')} in {outlines}"


def area_words(burden: Burden) -> str:
    """Return the area of a view's outlines: "12.3 cm²", or "25 px" without spacing."""
    return f"{burden.area_px} px" if burden.area_mm2 is None else f"{burden.area_mm2 / 100:.1f} cm\u00b2"


def found(result: Result) -> str:
    """Return how many lesions were found, as in `lesions_counted`, and by which reader, where one drew them."""
    said = lesions_counted(result) if result.lesions else "no lesion outlined"
    return said if result.reader is None else f"{said} by the reader {result.reader}"


def headline(result: Result) -> str:
    """Return what was found and when the scan was acquired: "3 lesions in 6 outlines; date not stated"."""
    acquired = (result.study.acquired or _DATE_NOT_STATED).replace("T", " ")[:16]
    said = found(result)
    return f"{said[0].upper()}{said[1:]}; {acquired}"


def model_words(result: Result, digits: int = 12) -> str:
    """Return the model, the first digits of its hash, and its operating point: "phantom-unet, sha256 0f..., balanced".

    A result that a reader drew has no operating point.
    """
    point = "" if result.operating_point is None else f", {result.operating_point}"
    return f"{result.model.name}, sha256 {result.model.sha256[:digits]}{'…' if digits < 64 else ''}{point}"


def quality_words(result: Result) -> str | None:
    """Return how many checks of the scan's quality are within limits, and which are not; None without checks."""
    if not result.quality:
        return None
    poor = [check_words(check) for check in result.quality if check.poor]
    within = f"{len(result.quality) - len(poor)} of {len(result.quality)} checks within limits"
    return f"{within}; poor: {', '.join(poor)}" if poor else within


def check_words(check: QualityCheck) -> str:
    """Return the name of a check as people read it."""
    return CHECK_NAMES.get(check.name, check.name)
