"""The model bundle: a folder with everything that inference needs. Imports no torch, executes nothing.

::

    bundle.json         format, network, preprocessing, thresholds, training data, figures, sha256 of the other files
    model.onnx          the graph that runs
    model.safetensors   the weights, to learn on from
    card.md             what the model is, for whom, and what it is not

A file that does not have the hash that `bundle.json` states is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonescan.errors import BundleError, OptionError, OutputError
from bonescan.lesions.delineate import OPERATING_POINTS, Thresholds
from bonescan.prepare import Normalisation, Region
from bonescan.system.files import folder_written_whole, reason_of
from bonescan.system.kept import kept_models, models_folder

FORMAT, VERSION = "bonescan-bundle", 1
DESCRIPTION, GRAPH, WEIGHTS, CARD = "bundle.json", "model.onnx", "model.safetensors", "card.md"
FILES = (GRAPH, WEIGHTS, CARD)
"""The files of a bundle besides its description."""
SCANS = "scans.json"
"""In the folder of a run, beside its bundle: the digests of the labelled views that it learned from or was fitted to.
They are no part of the bundle, which would show whoever has such a scan that it was among them."""
LEARNED_FROM = (
    "the model learned from this scan or was fitted to it: its marks here do not show how it reads other patients"
)
"""A warning on a result."""

SHIPPED = Path(__file__).parent / "bundles"
"""Where the bundles lie that come with the package."""

BEGAN_WITH = "began_with"
"""In a bundle's training: the `record_of` the model whose weights it began with."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LARGEST_DESCRIPTION = 1 << 20
_WORSE_DICE = 0.02
"""A smaller loss of Dice on the few patients of a validation may be chance."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """One model, checked.

    sha256: of `bundle.json`, which states those of all other files; it identifies the model.
    network: {"name", "config"}. region: what the model has learned to look at. raw: all of `bundle.json`.
    operating_points: thresholds by name, those of `balanced` being `thresholds`; older bundles have no others.
    learned_from: `counts_digest` of each labelled view that it learned from, where its run's folder is around it.
    """

    folder: Path
    name: str
    sha256: str
    network: Mapping[str, Any]
    normalisation: Normalisation
    thresholds: Thresholds
    card: str
    raw: Mapping[str, Any]
    operating_points: Mapping[str, Thresholds]
    learned_from: frozenset[str] = frozenset()

    def at(self, operating_point: str) -> Thresholds:
        """The thresholds of an operating point; OptionError for one that the bundle does not hold."""
        if operating_point not in self.operating_points:
            held = ", ".join(self.operating_points)
            raise OptionError(f"the model {self.name} has no operating point {operating_point!r}: choose among {held}")
        return self.operating_points[operating_point]

    @property
    def region(self) -> Region:
        """The whole body where `bundle.json` does not state the thorax."""
        return "thorax" if self.raw.get("region") == "thorax" else "whole-body"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What everybody who uses the model must know; () where `bundle.json` keeps no figures."""
        figures = self.raw.get("figures")
        return tuple(f"the model {self.name}: {warning}" for warning in figures_warnings(figures or {}))

    def read(self, file: str) -> bytes:
        """The bytes of one of the bundle's files, checked again; BundleError when they changed."""
        return _read_checked(self.folder, file, str(self.raw["files"][file]))


def figures_warnings(figures: Mapping[str, Any]) -> tuple[str, ...]:
    """What the figures of a model's validation warn of: that it finds nothing, or that training made it worse."""
    warnings = []
    if figures.get("lesions") and figures.get("sensitivity") == 0:
        warnings.append(
            f"it found none of the {figures['lesions']} lesions of its {figures.get('patients')} validation patients"
        )
    beginning = figures.get("beginning")
    if beginning and beginning["dice_after"] < beginning["dice_before"] - _WORSE_DICE:
        warnings.append(
            f"{beginning['model']}, the model that it began with, was better on the validation patients: Dice "
            f"{beginning['dice_before']:.2f} before the training and {beginning['dice_after']:.2f} after it"
        )
    return tuple(warnings)


def record_of(bundle: Bundle) -> dict[str, Any]:
    """What a model is and what it learned from, short enough for the bundles that begin with it to keep.

    name, sha256 and what `learned_from` gives. Of a model before, there may be only the name.
    """
    return {"name": bundle.name, "sha256": bundle.sha256, **learned_from(_table(bundle.raw.get("training")))}


def runs_of(record: object) -> tuple[Mapping[str, Any], ...]:
    """A record and those of the models before it, the latest first."""
    runs = []
    while isinstance(record, Mapping):
        runs.append(record)
        record = record.get(BEGAN_WITH)
    return tuple(runs)


def learned_from(training: Mapping[str, Any]) -> dict[str, Any]:
    """The short form of what a bundle's `training` states of its training or adaptation.

    steps, sources (digests), set (of images), anatomies, first_seed (of them), patients (simulated), scans (of an
    adaptation), seed, learning_rate, start_share (of the weights that it began with), only (layers), and `began_with`,
    the record of the model before. What `training` does not state is left out.
    """
    config, lesson = _table(training.get("config") or training.get("adapt")), _table(training.get("lesson"))
    sources = _table(training.get("sources"))
    images = "dataset" in sources  # such a run does not use the phantoms of its configuration
    phantoms = {} if images else _table(config.get("phantoms", config))
    simulated = [phantoms.get(key) for key in ("anatomies", "patients_per_anatomy")]
    anatomies, each = (number if isinstance(number, int) else 0 for number in simulated)
    record = {
        "steps": training.get("steps", lesson.get("steps")),
        "sources": sources or None,
        "set": _table(config.get("images")).get("set") if images else None,
        "anatomies": anatomies or None,
        "first_seed": phantoms.get("first_seed"),
        "patients": anatomies * each or None,
        "scans": lesson.get("scans"),
        "seed": config.get("seed"),
        "learning_rate": config.get("learning_rate"),
        "start_share": config.get("start_share", config.get("base_share")),
        "only": config.get("only") or None,
        BEGAN_WITH: _before(training, config),
    }
    return {key: value for key, value in record.items() if value is not None}


def _before(training: Mapping[str, Any], config: Mapping[str, Any]) -> object:
    """The record of the model that a training began with; None where it began with fresh weights."""
    if BEGAN_WITH in training:
        return training[BEGAN_WITH]
    if "base" in training:  # an adaptation of before there were records
        return {**_table(training["base"]), **learned_from(_table(training.get("base_training")))}
    return {"name": config["begin_with"]} if config.get("begin_with") else None


def _table(value: object) -> Mapping[str, Any]:
    """The value where it is a table; bundles are not checked for what they state of their training."""
    return value if isinstance(value, Mapping) else {}


def list_bundles() -> tuple[str, ...]:
    """Names of the bundles that ship, sorted."""
    if not SHIPPED.is_dir():
        return ()
    return tuple(sorted(folder.name for folder in SHIPPED.iterdir() if (folder / DESCRIPTION).is_file()))


def load_bundle(name_or_folder: str | Path) -> Bundle:
    """Load and check a bundle that ships or is kept, by name, or any other, by folder.

    Raises BundleError: there is none, it is of another format, or a file does not have its stated hash.
    """
    folder = _find(name_or_folder)
    content = _read(folder, DESCRIPTION, _LARGEST_DESCRIPTION)
    raw = _parse(content, folder)
    files = raw["files"]
    checked = {file: _read_checked(folder, file, files[file]) for file in FILES}
    try:
        normalisation = Normalisation.from_dict(raw["normalisation"])
        thresholds = Thresholds.from_dict(raw["thresholds"])
        stated = raw.get("operating_points", {})
        points = {name: Thresholds.from_dict(stated[name]) for name in OPERATING_POINTS if name in stated}
        card = checked[CARD].decode("utf-8")
    except (OptionError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise BundleError(
            f"the bundle {folder.name} was made for another version of bonescan ({error}): export it again"
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    points |= {"balanced": thresholds}
    known = _learned_from(folder)
    return Bundle(folder, raw["name"], digest, raw["network"], normalisation, thresholds, card, raw, points, known)


def _learned_from(folder: Path) -> frozenset[str]:
    """What the folder of the bundle's run says; nothing where the bundle lies elsewhere."""
    path = folder.resolve().parent / SCANS
    try:
        return frozenset(str(digest) for digest in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return frozenset()


def refuse_other_files(folder: Path) -> None:
    """Raise OutputError where a bundle written to `folder` would replace anything but a bundle."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} exists and is no folder: choose another one for the model")
    strange = sorted({entry.name for entry in folder.iterdir()} - {DESCRIPTION, *FILES})
    if strange:
        raise OutputError(
            f"{folder} holds {strange[0]}, which no model bundle has, and would be lost: choose another folder"
        )


def write_bundle(folder: Path, description: Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle, complete or not at all; one that is there already is replaced.

    description: `name`, `network`, `normalisation`, `thresholds` (dicts), and whatever else should be kept.
    files: the bytes of each of `FILES`. Raises BundleError when the name is not safe or a file is missing, and
    OutputError where the folder holds anything but a bundle, or cannot be written.
    """
    name = str(description.get("name", ""))
    if not _NAME.fullmatch(name):
        raise BundleError(f"the bundle's name {name!r} is not made of letters, digits, - and _ only: choose another")
    if set(files) != set(FILES):
        raise BundleError(
            f"a bundle is made of {', '.join(FILES)}, not of {', '.join(sorted(files))}: give these files"
        )
    hashes = {file: hashlib.sha256(files[file]).hexdigest() for file in FILES}
    raw = {"format": FORMAT, "version": VERSION, **description, "files": hashes}
    folder = Path(folder)
    refuse_other_files(folder)
    try:
        with folder_written_whole(folder, replace=True) as temporary:
            for file, content in files.items():
                (temporary / file).write_bytes(content)
            (temporary / DESCRIPTION).write_text(json.dumps(raw, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({reason_of(error)}): choose another folder") from error
    return load_bundle(folder)


def _find(name_or_folder: str | Path) -> Path:
    shipped = list_bundles()
    if isinstance(name_or_folder, str) and name_or_folder in shipped:
        return SHIPPED / name_or_folder
    if isinstance(name_or_folder, str) and name_or_folder in kept_models():
        return models_folder() / name_or_folder
    folder = Path(name_or_folder)
    if not (folder / DESCRIPTION).is_file():
        known = f"one of {', '.join(shipped)}" if shipped else "none ships with this installation"
        kept = f", a kept one ({', '.join(kept_models())})" if kept_models() else ""
        raise BundleError(
            f"there is no model {str(name_or_folder)!r}: give a shipped one ({known}){kept} or a folder with a "
            f"{DESCRIPTION}"
        )
    return folder


def _parse(content: bytes, folder: Path) -> dict[str, Any]:
    """The description as a dict whose parts are there and of the right kind."""
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        raise BundleError(f"the {DESCRIPTION} of {folder.name} is not JSON: get the bundle again") from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise BundleError(
            f"{folder.name} is not a model bundle: its {DESCRIPTION} does not state the format {FORMAT!r}"
        )
    if raw.get("version") != VERSION:
        raise BundleError(
            f"the bundle {folder.name} has version {raw.get('version')!r} and this bonescan reads {VERSION}: "
            "update the older of the two"
        )
    for key, kind in (("name", str), ("network", dict), ("normalisation", dict), ("thresholds", dict), ("files", dict)):
        if not isinstance(raw.get(key), kind):
            raise BundleError(f"the {DESCRIPTION} of {folder.name} lacks {key!r}: get the bundle again")
    if not _NAME.fullmatch(raw["name"]):
        raise BundleError(f"the bundle {folder.name} states an unsafe name: get it from a source you trust")
    if set(raw["files"]) != set(FILES):
        raise BundleError(f"the bundle {folder.name} does not state the hashes of {', '.join(FILES)}: get it again")
    if raw.get("region", "whole-body") not in ("whole-body", "thorax"):
        raise BundleError(f"the bundle {folder.name} states a region that this bonescan does not know: update bonescan")
    return raw


def _read(folder: Path, file: str, largest: int | None = None) -> bytes:
    path = folder / file
    try:
        if largest is not None and path.stat().st_size > largest:
            raise BundleError(f"the {file} of {folder.name} is larger than {largest} bytes: get the bundle again")
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise BundleError(f"the {file} of {folder.name} cannot be read ({reason}): get the bundle again") from None


def _read_checked(folder: Path, file: str, expected: object) -> bytes:
    content = _read(folder, file)
    if hashlib.sha256(content).hexdigest() != expected:
        raise BundleError(f"the {file} of {folder.name} does not have the hash it should have: get the bundle again")
    return content
