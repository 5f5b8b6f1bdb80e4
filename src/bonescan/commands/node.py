"""`bonescan node run | status | retry | dismiss | check`: receive studies, send results."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonescan.commands.base import DONE, NOTHING_DONE, SOME_FAILED, Command, Console, add_json, needs_extra, path
from bonescan.errors import OptionError


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=path, metavar="CONFIG.toml", help="the node's configuration")


@dataclass(frozen=True, slots=True)
class NodeRun(Command):
    """Receive studies over DICOM, segment each, and send the results on, until stopped."""

    config: Path

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_config(parser)

    def run(self, console: Console) -> int:
        """Run until SIGTERM or Ctrl-C."""
        with needs_extra("node"):
            from bonescan.node.config import read_node_config
            from bonescan.node.run import run
        config = read_node_config(self.config)
        logger = logging.getLogger("bonescan.node")
        handler = _ToConsole(console)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            run(config)
        finally:
            logger.removeHandler(handler)
        return DONE


class _ToConsole(logging.Handler):
    """Writes log lines, with the time, to the console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self._console.note(self.format(record))


@dataclass(frozen=True, slots=True)
class NodeStatus(Command):
    """Say what a node has received, found and sent, what waits, and what failed."""

    config: Path
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_config(parser)
        add_json(parser)

    def run(self, console: Console) -> int:
        """Print the status.

        The exit code is 1 if no node runs, it refuses all objects, or something failed or is not delivered for an hour.
        """
        with needs_extra("node"):
            from bonescan.node.config import read_node_config
            from bonescan.node.status import node_status
        status = node_status(read_node_config(self.config))
        if self.json:
            console.out_json(status)
        else:
            for line in _status_lines(status):
                console.out(line)
        wrong = any(status[name] for name in ("refusing", "failures", "not_delivering"))
        return DONE if status["running"] and not wrong else SOME_FAILED


def _status_lines(status: Mapping[str, Any]) -> Iterator[str]:
    """The status of a node, for people."""
    runs = status["running"]
    yield "the node runs" if runs else "no node runs in this storage: it was stopped or killed"
    if status["refusing"]:
        yield f"all objects are refused until there is more space: {status['refusing']}"
    for name in ("objects_to_sort", "objects", "studies", "results"):
        yield f"{name.replace('_', ' ')}: {status[name]}"
    if status["studies_to_segment"]:
        when = f"when nothing is added for {status['quiet_seconds']:g} s" if runs else "by bonescan node run"
        yield f"studies still to be segmented, {when}: {len(status['studies_to_segment'])}"
    for study in status["studies_to_segment"]:
        yield f"to be segmented: {study}"
    if status["dismissed"]:
        yield f"dismissed failures: {status['dismissed']}"
    for name in ("segmentations", "deliveries"):
        states = {state if runs or state != "running" else "interrupted": n for state, n in status[name].items()}
        yield f"{name}: {', '.join(f'{count} {state}' for state, count in states.items())}"
    yield f"tried again: {len(status['tried_again'])}"
    if status["not_delivering"]:
        yield f"not delivering: {status['not_delivering']} for more than an hour"
    for job in status["tried_again"]:
        yield f"trying again since {job['since']}: {job['job']}: {job['error']}"
    for title, word in (("refused", "refused"), ("failures", "failed")):
        for job in status[title]:
            yield f"{word}: {job['job']}: {job['error']}"


@dataclass(frozen=True, slots=True)
class NodeRetry(Command):
    """Put failed jobs into the queue again, and jobs that wait for their next try to the front."""

    config: Path
    jobs: tuple[str, ...]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_config(parser)
        parser.add_argument(
            "jobs",
            nargs="*",
            metavar="JOB",
            help="names of such jobs, or of dismissed ones, to take up again; default: all that are not dismissed",
        )

    def run(self, console: Console) -> int:
        """Queue the jobs, and print their number."""
        with needs_extra("node"):
            from bonescan.node.config import read_node_config
            from bonescan.node.status import retry_now
            from bonescan.report.words import counted
        queued = retry_now(read_node_config(self.config), self.jobs)
        console.out(f"{counted(queued, 'job')} put into the queue again")
        return DONE


@dataclass(frozen=True, slots=True)
class NodeDismiss(Command):
    """Mark failures as seen; a result whose delivery is dismissed stays in the storage and is not sent any more."""

    config: Path
    jobs: tuple[str, ...]
    all: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_config(parser)
        parser.add_argument(
            "jobs",
            nargs="*",
            metavar="JOB",
            help="names of failed jobs, studies or deliveries, as bonescan node status prints them; "
            "bonescan node retry CONFIG.toml JOB takes a dismissed one up again",
        )
        parser.add_argument("--all", action="store_true", help="dismiss all failures so far, deliveries among them")

    def run(self, console: Console) -> int:
        """Dismiss the failures, and print their number and names."""
        if bool(self.jobs) == self.all:
            raise OptionError("give the names of failed jobs, or --all")
        with needs_extra("node"):
            from bonescan.node.config import read_node_config
            from bonescan.node.jobs import DELIVERY
            from bonescan.node.status import dismiss
            from bonescan.report.words import counted
        dismissed = dismiss(read_node_config(self.config), self.jobs)
        console.out(f"{counted(len(dismissed), 'failure')} dismissed")
        for job in dismissed:
            console.out(job.name)
        deliveries = sum(job.kind == DELIVERY for job in dismissed)
        if deliveries:
            console.note(
                f"the results of {counted(deliveries, 'dismissed delivery')} are not sent any more; to send one after "
                f"all, run bonescan node retry {self.config} JOB"
            )
        return DONE


@dataclass(frozen=True, slots=True)
class NodeCheck(Command):
    """Check a configuration, and whether each destination answers."""

    config: Path

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_config(parser)

    def run(self, console: Console) -> int:
        """Print what works; the exit code is 2 if the node cannot run, and 1 if a destination does not answer."""
        with needs_extra("node"):
            from bonescan.node.check import findings
            from bonescan.node.config import read_node_config
        config = read_node_config(self.config)
        console.out(f"configuration: {config.ae_title} on {config.host}:{config.port}, storage {config.storage}")
        code = DONE
        for found in findings(config):
            if found.works:
                console.out(found.sentence)
            else:
                console.error(found.sentence)
                code = max(code, NOTHING_DONE if found.stops else SOME_FAILED)
        return code
