"""Results on disk, from which all tables and figures are made: one small JSON file a run, whole or not at all.

Pictures of a few test patients lie among them, as 8-bit greys of both views. Several processes may work side by side: a
lock, which a process loses when it ends, however it ends, keeps two from making the same.
"""

from __future__ import annotations

import base64
import fcntl
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bonescan.errors import InputError, OutputError
from bonescan.evaluate.matching import LesionCounts, PixelCounts
from bonescan.lin2022.experiments.plan import Run
from bonescan.prepare import mirror
from bonescan.study import Mask, View
from bonescan.system.files import written_whole
from bonescan.train.cases import Case

FORMAT = 1
COLUMNS = (
    "study", "view", "true_positive", "false_positive", "false_negative",
    "lesions", "found", "predicted", "correct", "on_faint",
)  # fmt: skip
"""The columns of `images`. view: anterior, posterior, or union: of both views in the common orientation."""
UNION = "union"

_DARKEST_AT = 2.5
"""Counts, as a multiple of the skeletal reference, that are shown darkest."""
_STEP = 8
"""Greys are rounded to 32 levels, which the eye does not miss and a compressed file does."""


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One test image: `view` is anterior, posterior or union. on_faint: predicted lesions set aside."""

    study: str
    view: str
    pixels: PixelCounts
    lesions: LesionCounts
    on_faint: int

    @property
    def patient(self) -> str:
        """Whose it is: the first folder of the study."""
        return self.study.partition("/")[0]

    def row(self) -> list[Any]:
        """Its values, in the order of `COLUMNS`."""
        pixels, lesions = self.pixels, self.lesions
        return [
            self.study,
            self.view,
            *(pixels.true_positive, pixels.false_positive, pixels.false_negative),
            *(lesions.true, lesions.found, lesions.predicted, lesions.correct),
            self.on_faint,
        ]

    @classmethod
    def from_row(cls, row: list[Any]) -> ImageResult:
        """Read what `row` made."""
        study, view, *numbers = row
        return cls(study, view, PixelCounts(*numbers[:3]), LesionCounts(*numbers[3:7]), numbers[7])


@dataclass(frozen=True, slots=True)
class Result:
    """What one run came to. values: everything that its file says; images: the test images of it."""

    values: Mapping[str, Any]
    images: tuple[ImageResult, ...]


@dataclass(frozen=True, slots=True)
class Store:
    """The folder with results of all profiles: <profile>/<run>.json."""

    folder: Path

    def path(self, run: Run) -> Path:
        """Where the result of a run lies, or will."""
        return self.folder / run.profile / f"{run.name}.json"

    def read(self, run: Run) -> Result | None:
        """The result of a run; None where there is none. Raises InputError for a damaged file."""
        path = self.path(run)
        return read_result(path) if path.exists() else None

    def is_current(self, result: Result, run: Run) -> bool:
        """Whether configuration, code and data set are still those that the result was made with.

        A data set that another code has built anew, to the same content, is the same: `digests` tells.
        """
        said = result.values
        if said["code"] != run.code or said["config"] != run.told:
            return False
        identity, digest = said["set"]["identity"], said["set"]["digest"]
        return bool(identity == run.set_identity or digest == self.digests(run.profile).get(run.set_identity))

    def digests(self, profile: str) -> dict[str, str]:
        """Digests of the data sets that results of a profile were made with, by the data sets' identities."""
        sets = [result.values["set"] for result in self.every(profile)]
        return {one["identity"]: one["digest"] for one in sets}

    def every(self, profile: str) -> Iterator[Result]:
        """All results of a profile, whether a declared run still asks for them or not."""
        for path in sorted((self.folder / profile).glob("*.json")):
            if not path.name.startswith("scans-"):
                yield read_result(path)

    def scans(self, profile: str, identity: str) -> Path:
        """Where the pictures of a data set's shown patients lie."""
        return self.folder / profile / f"scans-{identity}.json"


def read_result(path: Path) -> Result:
    """Read one file. Raises InputError where it is damaged or of another format."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT or values["columns"] != list(COLUMNS):
            raise ValueError("another format")
        return Result(values, tuple(ImageResult.from_row(row) for row in values["images"]))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"the result {path.name} cannot be read ({type(error).__name__}): remove it and run its experiment again"
        ) from None


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write one file, whole or not at all; a line a key, and a line an entry where a value is a list of lists."""
    lines = []
    for key, value in values.items():
        rows = isinstance(value, list) and value and isinstance(value[0], list)
        text = "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in value) + "\n]" if rows else json.dumps(value)
        lines.append(f"{json.dumps(key)}: {text}")
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def write_text(path: Path, text: str) -> None:
    """Write one file, whole or not at all. Raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{path.name} cannot be written to {path.parent} ({error.strerror}): free space there"
        ) from None


def scan_picture(case: Case) -> dict[str, str]:
    """Both views as acquired, the more counts the darker, each as a PNG in base64."""
    top = max(case.facts.references[0] * _DARKEST_AT, 1.0)
    pictures = {}
    for view, counts in zip(View, case.counts, strict=True):
        frame = counts if view is View.ANTERIOR else mirror(counts)
        dark = np.rint((255 // _STEP) * np.sqrt(np.clip(frame / top, 0, 1))).astype(np.uint8) * _STEP
        pictures[str(view)] = _packed(Image.fromarray(255 - dark))
    return pictures


def packed_mask(mask: Mask) -> str:
    """A mask (rows, cols) as a PNG of one bit a pixel, in base64."""
    return _packed(Image.fromarray(mask))


def unpacked(text: str) -> NDArray[np.uint8]:
    """The greys (rows, cols) of a packed picture; a mask is 0 and 255. Raises InputError for anything else."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            return np.asarray(image.convert("L"), dtype=np.uint8)
    except Exception as error:
        raise InputError(
            f"a stored picture cannot be read ({type(error).__name__}): remove its file and run its experiment again"
        ) from None


def _packed(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


@contextmanager
def held(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock file `path`; yields whether it could be had. wait: until another one lets it go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
