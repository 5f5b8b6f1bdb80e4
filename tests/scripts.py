"""Scripts of benchmarks/ and docs/, loaded as modules."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def script(place: str) -> ModuleType:
    """A script by its place in the repository, as "benchmarks/quality.py". What lies beside it can be imported."""
    path = ROOT / place
    # A name of its own: some scripts are named as packages are.
    spec = spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parent))
        spec.loader.exec_module(module)
    return module
