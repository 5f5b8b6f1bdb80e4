"""Results of the benchmarks, and how their figures are written. Used by `build_figures.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Results = Mapping[str, Any]


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
