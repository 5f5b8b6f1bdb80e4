"""Find, outline and measure metastasis lesions in whole-body bone scans. Research use only.

::

    import bonescan

    model = bonescan.load_model()
    study = bonescan.read_study("scan.dcm")
    result = bonescan.segment(study, model)

The names below are the public API. They load on first use, so that `import bonescan` costs nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bonescan._version import __version__ as __version__

if TYPE_CHECKING:
    from bonescan.errors import BonescanError
    from bonescan.pipeline import Model, Options, load_model, segment
    from bonescan.reading import ReadOptions, read_studies, read_study
    from bonescan.results.folder import write_result
    from bonescan.study import Lesion, Result, Scan, Spacing, Study, View

# ONNX Runtime sends telemetry, from its import on, unless this is set before the import. Every module of bonescan comes
# after this one, so that it is set wherever the import is.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_HOMES = {
    "BonescanError": "bonescan.errors",
    "Lesion": "bonescan.study",
    "Model": "bonescan.pipeline",
    "Options": "bonescan.pipeline",
    "ReadOptions": "bonescan.reading",
    "Result": "bonescan.study",
    "Scan": "bonescan.study",
    "Spacing": "bonescan.study",
    "Study": "bonescan.study",
    "View": "bonescan.study",
    "load_model": "bonescan.pipeline",
    "read_studies": "bonescan.reading",
    "read_study": "bonescan.reading",
    "segment": "bonescan.pipeline",
    "write_result": "bonescan.results.folder",
}

__all__ = [
    "BonescanError",
    "Lesion",
    "Model",
    "Options",
    "ReadOptions",
    "Result",
    "Scan",
    "Spacing",
    "Study",
    "View",
    "load_model",
    "read_studies",
    "read_study",
    "segment",
    "write_result",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bonescan' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
