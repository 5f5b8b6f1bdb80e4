"""The models that a user keeps besides those that ship, and which one is in use: where they lie, read only.

They lie in the user's data folder, `$XDG_DATA_HOME/bonescan/models` (by default `~/.local/share/bonescan/models`): one
folder per bundle, and the file `in-use` with a name. `commands/model.py` writes them.
"""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_MODEL = "phantom-unet"
"""The model that is used if none was stated or chosen; it ships inside the package."""
IN_USE = "in-use"
"""The file with the name of the chosen model."""


def models_folder() -> Path:
    """The folder of kept models."""
    stated = os.environ.get("XDG_DATA_HOME", "")
    # By the XDG specification a relative path is ignored.
    data = Path(stated) if Path(stated).is_absolute() else Path.home() / ".local" / "share"
    return data / "bonescan" / "models"


def kept_models() -> tuple[str, ...]:
    """Names of the kept models, sorted."""
    folder = models_folder()
    if not folder.is_dir():
        return ()
    # A hidden one is a copy that is being made, or that a killed process left.
    shown = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return tuple(sorted(entry.name for entry in shown if (entry / "bundle.json").is_file()))


def model_in_use() -> str:
    """The name of the model that commands use if none is stated."""
    try:
        return (models_folder() / IN_USE).read_text(encoding="utf-8").strip() or DEFAULT_MODEL
    except OSError:
        return DEFAULT_MODEL
