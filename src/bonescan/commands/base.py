"""What a command is, and the argument types that several commands share."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bonescan.errors import OptionError

if TYPE_CHECKING:
    from bonescan.commands.console import Console

RESEARCH_USE_ONLY = "Research use only: not a medical device, and no basis for a diagnosis."

DONE = 0
SOME_FAILED = 1
NOTHING_DONE = 2


class Command(ABC):
    """One command: a frozen dataclass whose fields are its arguments, by the same names."""

    __slots__ = ()

    @staticmethod
    @abstractmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments; every field of the dataclass is the destination of one."""

    @abstractmethod
    def run(self, console: Console) -> int:
        """Run the command; returns the exit code. Raises BonescanError when nothing could be done."""


@contextmanager
def needs_extra(extra: str = "train") -> Iterator[None]:
    """Import packages of an extra; where one is missing, OptionError names the command that installs it.

    extra: its name in pyproject.toml.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("bonescan"):
            raise
        if error.name == "fcntl":
            raise OptionError("this runs on Linux and macOS alone: it locks its folder as Windows cannot") from error
        from bonescan.system.extras import install_command

        remedy = install_command(extra)
        said = f"run {remedy}" if remedy else "run bonescan doctor, which says what is installed"
        raise OptionError(f"this needs {error.name}, which the base does not install: {said}") from error


def path(text: str) -> Path:
    """A file or folder. An empty word is refused: `Path` would take it for the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty word is no path: is a variable of the shell not set?")
    return Path(text)


def names(text: str) -> tuple[str, ...]:
    """`a,b` as ("a", "b")."""
    listed = tuple(name.strip() for name in text.split(","))
    if not all(listed):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of names: write them as a,b")
    return listed


def row_range(text: str) -> tuple[int, int]:
    """`r0:r1` as (r0, r1), the first row and the one after the last."""
    first, _, end = text.partition(":")
    if not (first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of rows: write first:last+1, as in 120:376")
    return int(first), int(end)


def frame_size(text: str) -> tuple[int, int]:
    """`256x192` as (256, 192), rows and columns."""
    rows, _, cols = text.partition("x")
    if not (rows.isdecimal() and cols.isdecimal() and int(rows) and int(cols)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write rows and columns as in 256x192")
    return int(rows), int(cols)


def frame_pair(text: str) -> tuple[int, int]:
    """`a,b` as two different frame numbers, counted from 1 as DICOM does."""
    first, _, second = text.partition(",")
    if not (first.isdecimal() and second.isdecimal()) or first == second or "0" in (first, second):
        raise argparse.ArgumentTypeError(f"{text!r} are not two frames: write two numbers from 1, as in 1,2")
    return int(first), int(second)


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def seed(text: str) -> int:
    """A whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON for scripts on standard output")


def add_identify(parser: argparse.ArgumentParser) -> None:
    """The option `--identify`."""
    parser.add_argument(
        "--identify",
        action="store_true",
        help="draw the patient's name, ID and dates into pictures and pages (default: nothing names the patient)",
    )


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    """The option `--set KEY=VALUE ...`, which may be given again; `overrides` is its destination."""
    parser.add_argument(
        "--set",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help=f"take this value instead of the configuration's, as in --set {example}",
    )


def add_out(parser: argparse.ArgumentParser, what: str) -> None:
    """The option `-o OUT`, required."""
    parser.add_argument("-o", "--out", type=path, required=True, metavar="OUT", help=what)
