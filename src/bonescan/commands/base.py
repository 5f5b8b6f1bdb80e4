"""What all commands share: what a command is, types of arguments, options, and the output."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from bonescan.errors import BonescanError, OptionError

RESEARCH_USE_ONLY = "Research use only: not a medical device, and no basis for a diagnosis."

VIEWS = ("anterior", "posterior")

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
        from bonescan.system.extras import install_command, smaller_torch

        remedy = "; ".join(one for one in (install_command(extra), smaller_torch(extra)) if one)
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


def views(text: str) -> tuple[str, ...]:
    """`a,b` as different views."""
    return chosen_among(names(text), VIEWS, "view")


def chosen_among(chosen: tuple[str, ...], known: tuple[str, ...], noun: str) -> tuple[str, ...]:
    """The names that were chosen, where all are known and none is there twice."""
    for name in chosen:
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no {noun} {name!r}: choose among {', '.join(known)}")
    if len(set(chosen)) != len(chosen):
        raise argparse.ArgumentTypeError(f"a {noun} is named twice in {','.join(chosen)!r}")
    return chosen


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


def add_views(parser: argparse.ArgumentParser) -> None:
    """The option `--views`."""
    parser.add_argument(
        "--views",
        type=views,
        metavar="VIEWS",
        help="give the views of every scan's frames or files, in their order, as anterior,posterior",
    )


def add_frames(parser: argparse.ArgumentParser) -> None:
    """The option `--frames`."""
    parser.add_argument("--frames", type=frame_pair, metavar="A,B", help="the two frames to read, of a file with more")


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


class Progress(Protocol):
    """A function that shows the progress of a long command."""

    def __call__(self, done: int, total: int, last: str = "", stage: str | None = None) -> None:
        """Steps done, steps in all, what was done last, and the name of the steps if it changes on the way."""


_SECONDS_BETWEEN_LINES = 5.0

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""File names may carry control characters, which a terminal would obey."""


class Console:
    """Results go to standard output, everything else to standard error.

    A closed pipe (`| head`) does not stop a command.
    """

    def __init__(self, *, traceback: bool = False) -> None:
        self._traceback = traceback
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")

    def out(self, text: str) -> None:
        """Print a result."""
        self._write(sys.stdout, text)

    def out_json(self, value: Any) -> None:
        """Print a result as JSON, for scripts."""
        self.out(json.dumps(value, indent=2, allow_nan=False))

    def note(self, text: str) -> None:
        """Print a message on standard error."""
        self._write(sys.stderr, text)

    def error(self, sentence: str) -> None:
        """Print an error, one sentence, on standard error."""
        self.note(f"bonescan: {sentence}")

    def explain(self, error: Exception) -> str:
        """Describe an error in one sentence; under --traceback an unexpected error is raised again.

        Of an unexpected error only the type and the place are told: its text could name a patient.
        """
        if isinstance(error, BonescanError):
            return str(error)
        if self._traceback:
            raise error
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        place = "" if frame is None else f" in {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
        return f"an unexpected {type(error).__name__}{place}: run again with `bonescan --traceback` and report it."

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """Show a bar with the remaining time on a terminal, and a plain line every few seconds elsewhere."""
        if not sys.stderr.isatty():
            yield self._plain_progress(label)
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bar = Bar(
            *columns,
            TextColumn("{task.fields[last]}"),
            console=RichConsole(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # a redirected result must not land on the terminal
        )
        with bar:
            task = bar.add_task(label, total=None, last="")

            def show(done: int, total: int, last: str = "", stage: str | None = None) -> None:
                safe = last.translate(_CONTROLS).replace("[", r"\[")
                bar.update(task, completed=done, total=total, last=safe, description=stage or label)

            yield show

    def _plain_progress(self, label: str) -> Progress:
        said_at, said_of = 0.0, ""

        def show(done: int, total: int, last: str = "", stage: str | None = None) -> None:
            nonlocal said_at, said_of
            steps, now = stage or label, time.monotonic()
            if done == total or steps != said_of or now - said_at >= _SECONDS_BETWEEN_LINES:
                said_at, said_of = now, steps
                self.note(f"{steps} {done}/{total}{': ' if last else ''}{last}")

        return show

    def close(self) -> None:
        """Flush, so that a closed pipe is noticed here and not by the interpreter on its way out."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BrokenPipeError:
                _discard(stream)

    def _write(self, stream: TextIO, text: str) -> None:
        try:
            stream.write(text.translate(_CONTROLS) + "\n")
            stream.flush()
        except BrokenPipeError:
            _discard(stream)


def _discard(stream: TextIO) -> None:
    """Discard everything that is written to `stream` from now on."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
