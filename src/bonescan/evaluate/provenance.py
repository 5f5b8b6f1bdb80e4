"""Whether a result was made from the scan that lies beside the truth.

Folders do not tell: all simulated cohorts, for example, name their patients alike.
"""

from __future__ import annotations

import json
from pathlib import Path

from bonescan.errors import InputError
from bonescan.reading import digest
from bonescan.reading.inputs import kind_of, scans_in


def is_of_another_scan(result: Path, study: Path) -> bool:
    """Tell whether the sha256 of a result's sources are of none of the scans in the study's folder.

    False also where it is not known: `lesions.json` is missing or states no sources with their digests, or the folder
    holds no scan in the format of the sources.
    """
    stated = _stated(result / "lesions.json")
    if not stated:
        return False
    try:
        beside = [path for kind in {kind_of(Path(name)) for name in stated} for path in scans_in(study, kind)]
        return bool(beside) and set(stated.values()).isdisjoint(digest(path) for path in beside)
    except (InputError, OSError):  # a scan that cannot be read tells nothing
        return False


def _stated(path: Path) -> dict[str, str]:
    """The sha256 of each source by its name; empty where the file does not say."""
    try:
        study = json.loads(path.read_text(encoding="utf-8"))["study"]
        return {str(name): str(sha256) for name, sha256 in zip(study["sources"], study["digests"], strict=True)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
