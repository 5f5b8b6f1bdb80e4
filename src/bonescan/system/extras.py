"""Optional dependencies: the packages of each extra, the commands that need it, and the command that installs it.

bonescan is on no package index, so that pip cannot install an extra by its name. The command shown to the user installs
the packages directly, by the requirements that this installation states, into the Python that runs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMANDS = {
    "train": ("train", "adapt", "gan", "model export", "model cost", "experiment run", "experiment own"),
    "experiments": ("experiment run", "experiment table -o"),
    "node": ("node", "fetch"),
    "parquet": ("table --parquet",),
    "realism": ("benchmarks/realism.py PEOPLE",),
    "dev": ("make test", "make check"),
}
"""Extra -> the commands that need it."""

_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index of builds without CUDA."""

_REQUIREMENT = re.compile(r"^(?P<package>[A-Za-z0-9._-]+)(?P<versions>[^;]*)(?:;(?P<marker>.*))?$")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")


def packages(extra: str | None) -> dict[str, str]:
    """Return the packages of an extra, or with None of the base, as name -> requirement (`torch>=2.6,<3`).

    Empty where bonescan runs without being installed.
    """
    try:
        stated = requires("bonescan") or []
    except PackageNotFoundError:
        return {}
    found = {}
    for line in stated:
        match = _REQUIREMENT.match(line.strip())
        if match is None:
            continue
        named = _EXTRA.search(match["marker"] or "")
        if (named[1] if named else None) == extra:
            found[match["package"]] = f"{match['package']}{match['versions'].strip()}"
    return found


def missing(extra: str | None) -> tuple[str, ...]:
    """The names of the packages of an extra that are not installed."""
    return tuple(name for name in packages(extra) if not _is_installed(name))


def install_command(extra: str | None) -> str:
    """The command that installs what is missing of an extra into the Python that runs; "" where nothing is."""
    wanted = [packages(extra)[name] for name in missing(extra)]
    if not wanted:
        return ""
    constraints = _constraints()
    pins = [] if constraints is None else ["-c", str(constraints)]
    return _quoted([sys.executable, "-m", "pip", "install", *pins, *wanted])


def smaller_torch(extra: str | None) -> str:
    """How to install torch without CUDA, where an extra lacks it on Linux; "" elsewhere, as PyPI has it so there."""
    if "torch" not in missing(extra) or not sys.platform.startswith("linux"):
        return ""
    return f"without an NVIDIA GPU, add --extra-index-url {_CPU_INDEX} for PyTorch's much smaller CPU build"


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _constraints() -> Path | None:
    """The file of pins in the source that bonescan was installed from, where that is still there."""
    try:
        said = distribution("bonescan").read_text("direct_url.json")
        parts = urlsplit(str(json.loads(said or "{}").get("url", "")))
    except (PackageNotFoundError, ValueError, AttributeError):
        return None
    path = Path(unquote(parts.path)) / "constraints.txt"
    return path if parts.scheme == "file" and path.is_file() else None


def _quoted(words: list[str]) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
