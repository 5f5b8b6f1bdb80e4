"""Keep models besides those that ship, and choose the one in use; `bonescan.system.kept` says where they lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from bonescan.errors import BundleError, OutputError
from bonescan.system.kept import IN_USE, kept_models, model_in_use, models_folder

if TYPE_CHECKING:
    from bonescan.bundle import Bundle


def model_named(name: str | None) -> str | Path:
    """What `load_model` takes: a kept model's folder, or the name or folder as stated; None: the one in use."""
    stated = model_in_use() if name is None else name
    from bonescan.bundle import list_bundles

    if stated in list_bundles():
        return stated
    if stated in kept_models():
        return models_folder() / stated
    if name is None:
        raise BundleError(f"the model in use, {stated}, is not kept any more: bonescan model use NAME")
    return name


def keep(bundle: Bundle, use: bool) -> Path:
    """Copy a checked bundle into the folder, atomically. A copy of the same name and content stays.

    Raises OutputError if another bundle has the name, or the folder cannot be written.
    """
    from bonescan.bundle import DESCRIPTION, FILES, list_bundles, load_bundle

    folder = models_folder() / bundle.name
    if bundle.name in list_bundles():
        raise OutputError(f"{bundle.name} is the name of a model that ships: give the bundle another folder name")
    if folder.exists():
        if load_bundle(folder).sha256 != bundle.sha256:
            raise OutputError(f"another model {bundle.name} is kept: remove {folder}, or teach yours into another OUT")
    else:
        temporary = folder.with_name(f".{bundle.name}.{os.getpid()}")
        try:
            temporary.mkdir(parents=True)
            for file in (DESCRIPTION, *FILES):
                shutil.copyfile(bundle.folder / file, temporary / file)
            temporary.rename(folder)
        except OSError as error:
            raise OutputError(f"the model cannot be kept in {folder}: {error.strerror}") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if use:
        put_in_use(bundle.name)
    return folder


def put_in_use(name: str) -> None:
    """Make a model that ships or is kept the one in use; BundleError if there is none of that name."""
    from bonescan.bundle import list_bundles

    known = (*list_bundles(), *kept_models())
    if name not in known:
        raise BundleError(f"there is no model {name!r}: choose one of {', '.join(known)}, or bonescan model add FOLDER")
    folder = models_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{IN_USE}.{os.getpid()}"
        temporary.write_text(f"{name}\n", encoding="utf-8")
        temporary.replace(folder / IN_USE)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from None
