"""Find the studies among files and folders, and name them, without reading pixels."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bonescan.study import View

if TYPE_CHECKING:
    from bonescan.dicom.values import FileSummary

Kind = Literal["dicom", "png", "npz", "none"]


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """The files of one study. key: the study's name in the output, safe as a file name and unique among the inputs.

    kind: "none" where there is nothing to read (a folder without scans, or one that cannot be opened); reading it
    raises InputError.
    """

    key: str
    paths: tuple[Path, ...]
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Found:
    """A study with the name that it should get, and the folders above it, nearest last, in case names are equal."""

    paths: tuple[Path, ...]
    kind: Kind
    name: str
    above: tuple[str, ...]

    def named(self, folders: int) -> str:
        """Return the safe name, preceded by so many of the folders above."""
        return safe_name("-".join((*self.above[-folders:], self.name)) if folders else self.name)


_KNOWN_ENDINGS = (".dcm", ".dicom", ".ima", ".img", ".npz", ".png")
_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
_NOT_SCANS = (".json", ".csv", ".toml", ".txt", ".md", ".html", ".pdf", ".xml", ".log", ".zip", ".gz", ".jpg", ".tif")
_VIEW_NAMES = frozenset(View)
_DEVICE_NAMES = re.compile(r"(?i:con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_MOST_KEY_BYTES = 120
_MOST_FOLDERS = 6


def discover(paths: Sequence[Path]) -> list[StudyFiles]:
    """Return the studies among files and folders (searched recursively), in the order given, folders sorted.

    Each file that cannot be read is returned as a study, so that reading it raises the reason. In a folder, files that
    are no scans are skipped, and so are PNGs beside a scan in DICOM or npz.
    """
    found: list[_Found] = []
    for path in _pairs_of_pngs([Path(path) for path in paths]):
        if isinstance(path, _Found):
            found.append(path)
        elif is_folder(path):
            found.extend(_in_folder(path))
        else:
            found.append(_Found((path,), kind_of(path), _stem(path), _folders(path.absolute().parent)))
    return _with_keys(_pair_explicit_files(found))


def kind_of(path: Path) -> Kind:
    """Return how a file would be read, by its ending."""
    ending = path.suffix.lower()
    return "png" if ending == ".png" else "npz" if ending == ".npz" else "dicom"


def scans_in(folder: Path, kind: Kind) -> list[Path]:
    """Return the files in a folder itself, not below it, that hold counts of that kind, sorted.

    8-bit PNGs are the pictures that readers draw on, and `truth.npz` holds labels: they are left out.
    """
    files = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and is_file(path))
    if kind == "dicom":
        return [path for path in files if may_be_dicom(path)]
    named = [path for path in files if kind_of(path) == kind and path.name != "truth.npz"]
    return [path for path in named if kind != "png" or _has_16_bits(path)]


def _has_16_bits(png: Path) -> bool:
    """Tell whether the header of a PNG states 16 bits per sample (PNG specification, 11.2.1: byte 24)."""
    with png.open("rb") as file:
        return file.read(25)[24:] == bytes((16,))


def is_folder(path: Path) -> bool:
    """Tell whether `path` is a folder; False also where permissions or the length of the path prevent access."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Tell whether `path` is a plain file; False also where it cannot be reached."""
    try:
        return path.is_file()
    except OSError:
        return False


def safe_name(name: str) -> str:
    """Return `name` as a safe file name: letters of any script, digits and -_.+=@(),; never empty, hidden or long."""
    kept = "".join(_safe_letter(letter) for letter in unicodedata.normalize("NFC", name))
    short = kept.encode()[:_MOST_KEY_BYTES].decode(errors="ignore").strip("._- ")
    if not short:
        return "study"
    return f"study_{short}" if _DEVICE_NAMES.fullmatch(short) else short


def _safe_letter(letter: str) -> str:
    # Categories: letters, the marks that belong to them in many scripts, numbers.
    return letter if unicodedata.category(letter)[0] in "LMN" or letter in "-_.+=@()," else "_"


def _stem(path: Path) -> str:
    """Return a file's name without its ending, if that is a known one: a UID as a name keeps its last number."""
    return path.stem if path.suffix.lower() in _KNOWN_ENDINGS else path.name


def _shared_start(paths: Sequence[Path]) -> str:
    """Return what the files' names have in common from their first letter on; for one file its name."""
    letters = os.path.commonprefix([_stem(path) for path in paths])  # noqa: RUF071  # letters are meant, not folders
    return letters.rstrip("-_. ")


def _folders(path: Path) -> tuple[str, ...]:
    """Return the names of a folder and of those above it, nearest last."""
    return path.parts[1:] if path.is_absolute() else path.parts


def _with_keys(found: Sequence[_Found]) -> list[StudyFiles]:
    """Give each study its own key: its name, preceded by folders where names are equal, and a number if still equal."""
    namesakes: dict[str, list[_Found]] = {}
    for one in found:
        namesakes.setdefault(one.named(0).casefold(), []).append(one)
    folders = {name: _folders_needed(group) for name, group in namesakes.items()}
    used: set[str] = set()
    studies = []
    for one in found:
        key = base = one.named(folders[one.named(0).casefold()])
        number = 2
        while key.casefold() in used:
            key = f"{base}-{number}"
            number += 1
        used.add(key.casefold())
        studies.append(StudyFiles(key, one.paths, one.kind))
    return studies


def _folders_needed(namesakes: Sequence[_Found]) -> int:
    """Return how many folders in front of the name make most of the keys differ; the same file twice stays the same."""
    if len(namesakes) == 1:
        return 0
    apart = [len({one.named(folders).casefold() for one in namesakes}) for folders in range(1, _MOST_FOLDERS + 1)]
    return 1 + apart.index(max(apart))


def _pairs_of_pngs(paths: Sequence[Path]) -> Iterator[Path | _Found]:
    """Yield the inputs; anterior.png and posterior.png of one folder become one study, in the place of the first."""
    pending = {path: path.absolute().parent for path in paths if path.name.lower() in ("anterior.png", "posterior.png")}
    for path in paths:
        if path not in pending:
            if path.name.lower() not in ("anterior.png", "posterior.png"):
                yield path
            continue
        folder = pending[path]
        pair = tuple(other for other, its in pending.items() if its == folder)
        for other in pair:
            del pending[other]
        yield _Found(tuple(sorted(pair)), "png", folder.name, _folders(folder.parent))


def _pair_explicit_files(found: Sequence[_Found]) -> list[_Found]:
    """Join two DICOM files of one view each, given one by one, that are of one study."""
    single = [one for one in found if one.kind == "dicom" and len(one.paths) == 1]
    if len(single) < 2:
        return list(found)
    groups = _grouped([one.paths[0] for one in single])
    joined: dict[Path, tuple[Path, ...]] = {paths[0]: paths for paths in groups}
    result = []
    for one in found:
        if one not in single:
            result.append(one)
        elif one.paths[0] in joined:
            paths = joined[one.paths[0]]
            result.append(one if len(paths) == 1 else _named_pair(paths, one))
    return result


def _named_pair(paths: tuple[Path, ...], first: _Found) -> _Found:
    """Name a pair by the common start of its files' names, or by its folder where these are named after the views."""
    folder = paths[0].absolute().parent
    shared = _shared_start(paths)
    by_view = any(_stem(path).lower() in _VIEW_NAMES for path in paths)
    name = folder.name if by_view else (shared or first.name)
    return _Found(paths, "dicom", name, _folders(folder.parent if by_view else folder))


def _in_folder(root: Path) -> list[_Found]:
    """Return the studies in a folder and below it; a study that is alone in its folder is named after the folder."""
    by_folder: dict[Path, list[tuple[Kind, tuple[Path, ...]]]] = {}
    dicom: list[Path] = []
    pictures: dict[Path, tuple[Path, ...]] = {}
    closed: list[OSError] = []
    inside = root.resolve()
    for folder, names, files in os.walk(root, onerror=closed.append):
        names[:] = sorted(name for name in names if not name.startswith("."))
        here = [Path(folder) / name for name in sorted(files) if not name.startswith(".")]
        here = [path for path in here if _belongs(path, inside)]
        pngs = tuple(path for path in here if path.name.lower() in ("anterior.png", "posterior.png"))
        if pngs:
            pictures[Path(folder)] = pngs
        for path in here:
            if path.name.lower() == "scan.npz":
                by_folder.setdefault(Path(folder), []).append(("npz", (path,)))
        dicom += [path for path in here if may_be_dicom(path)]
    for paths in _grouped(dicom, in_folder=True):
        by_folder.setdefault(paths[0].parent, []).append(("dicom", paths))
    for folder_of_pictures, pngs in pictures.items():
        # Beside a scan, they are the pictures on which a reader drew: LabelMe names anterior.json after anterior.png.
        by_folder.setdefault(folder_of_pictures, [("png", pngs)])
    for error in closed:
        # Reading it raises the reason: no patient may be left out without a message.
        by_folder[Path(error.filename)] = [("none", (Path(error.filename),))]
    if not by_folder:
        return [_Found((root,), "none", root.resolve().name, _folders(root.resolve().parent))]
    return [
        _in_folder_found(root, folder, kind, paths, alone=len(studies) == 1)
        for folder, studies in sorted(by_folder.items())
        for kind, paths in sorted(studies, key=lambda study: study[1])
    ]


def _belongs(path: Path, inside: Path) -> bool:
    """Tell whether an entry of a folder is read: a file, or a link to a file inside the folder.

    A folder may come from a stranger, and its links may lead to files that the user did not give.
    """
    try:
        kind = path.lstat().st_mode
        if not stat.S_ISLNK(kind):
            return stat.S_ISREG(kind)
        return path.resolve().is_relative_to(inside) and path.is_file()
    except (OSError, RuntimeError):
        return False


def _in_folder_found(root: Path, folder: Path, kind: Kind, paths: tuple[Path, ...], *, alone: bool) -> _Found:
    below = list(folder.relative_to(root).parts)
    if not alone:
        shared = _shared_start(paths)
        below.append(shared or _stem(paths[0]))
    if not below:
        return _Found(paths, kind, root.resolve().name, _folders(root.resolve().parent))
    return _Found(paths, kind, "-".join(below), _folders(root.resolve()))


def may_be_dicom(path: Path) -> bool:
    """Tell whether a file in a folder is read as DICOM: by its marker, or by its ending, as it may be broken."""
    ending = path.suffix.lower()
    if ending in _DICOM_ENDINGS:
        return True
    if ending in _NOT_SCANS or ending in (".png", ".npz") or path.name.upper() == "DICOMDIR" or not is_file(path):
        return False
    from bonescan.dicom.elements import looks_like_dicom

    return looks_like_dicom(path)


def _grouped(paths: Sequence[Path], *, in_folder: bool = False) -> list[tuple[Path, ...]]:
    """Group DICOM files into studies by Study Instance UID, which is not passed on.

    A file with both views is a study. Files of one view each are paired within their series, else within their
    study. A refused file that was given by name is a study of its own. A refused file in a folder is skipped where its
    study has scans; where it has none, one refused file stands for the study.
    """
    if not paths:
        return []
    from bonescan.sandbox import file_summary

    summaries = {path: file_summary(path) for path in paths}
    by_study: dict[str, list[Path]] = {}
    for path, one in summaries.items():
        by_study.setdefault(one.study_uid or f"file {path}", []).append(path)
    groups: list[tuple[Path, ...]] = []
    for members in by_study.values():
        usable = [path for path in members if summaries[path].refusal is None]
        refused = [path for path in members if summaries[path].refusal is not None]
        groups += [(path,) for path in usable if summaries[path].frames != 1]
        groups += _single_views([path for path in usable if summaries[path].frames == 1], summaries)
        groups += [(path,) for path in (refused if not in_folder else [] if usable else refused[:1])]
    order = {path: place for place, path in enumerate(paths)}
    return sorted((tuple(group) for group in groups), key=lambda group: order[group[0]])


def _single_views(paths: Sequence[Path], summaries: Mapping[Path, FileSummary]) -> list[tuple[Path, ...]]:
    """Pair files of one view each: two of one series are a pair, and all remaining files of the study are one group."""
    by_series: dict[str, list[Path]] = {}
    for path in paths:
        by_series.setdefault(summaries[path].series_uid, []).append(path)
    pairs = [tuple(series) for series in by_series.values() if len(series) == 2]
    rest = tuple(path for path in paths if not any(path in pair for pair in pairs))
    return [*pairs, rest] if rest else pairs
