"""Learning: from a configuration to a run, and from a run to a bundle.

The names load on first use: processes that only simulate patients import this package without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bonescan.train.config import TrainConfig, read_config
    from bonescan.train.progress import Progress
    from bonescan.train.run import export_run, run, run_from_toml

_HOMES = {
    "Progress": "bonescan.train.progress",
    "TrainConfig": "bonescan.train.config",
    "export_run": "bonescan.train.run",
    "read_config": "bonescan.train.config",
    "run": "bonescan.train.run",
    "run_from_toml": "bonescan.train.run",
}

__all__ = ["Progress", "TrainConfig", "export_run", "read_config", "run", "run_from_toml"]


def __getattr__(name: str) -> Any:
    """Load a name from its module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bonescan.train' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
