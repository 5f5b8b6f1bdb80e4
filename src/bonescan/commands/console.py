"""The output of commands: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from bonescan.errors import BonescanError


class Progress(Protocol):
    """A function that shows the progress of a long command."""

    def __call__(self, done: int, total: int, last: str = "", stage: str | None = None) -> None:
        """Steps done, steps in all, what was done last, and the name of the steps if it changes on the way."""


_SECONDS_BETWEEN_LINES = 5.0

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""File names may carry control characters, which a terminal would obey."""


class Console:
    """Both standard streams. A closed pipe (`| head`) does not stop a command."""

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
