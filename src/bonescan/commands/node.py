"""`bonescan node run | status | retry | dismiss | check`: receive studies, send results."""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

from bonescan.commands.base import DONE, SOME_FAILED, Command, add_json, needs_extra, path
from bonescan.commands.console import Console
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
        """Print the status; the exit code is 1 if something has failed, or no node runs."""
        with needs_extra("node"):
            from bonescan.node.config import read_node_config
            from bonescan.node.status import node_status
        status = node_status(read_node_config(self.config))
        if self.json:
            console.out_json(status)
        else:
            console.out(
                "the node runs" if status["running"] else "no node runs in this storage: it was stopped or killed"
            )
            for name in ("objects_to_sort", "objects", "studies", "results"):
                console.out(f"{name.replace('_', ' ')}: {status[name]}")
            if status["dismissed"]:
                console.out(f"dismissed failures: {status['dismissed']}")
            for name in ("segmentations", "deliveries"):
                console.out(f"{name}: {', '.join(f'{count} {state}' for state, count in status[name].items())}")
            for title in ("tried_again", "failures"):
                for job in status[title]:
                    console.out(f"{'failed' if title == 'failures' else 'trying again'}: {job['job']}: {job['error']}")
        return SOME_FAILED if status["failures"] or not status["running"] else DONE


@dataclass(frozen=True, slots=True)
class NodeRetry(Command):
    """Put failed jobs into the queue again, and jobs that wait for their next try to the front."""

    config: Path

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_config(parser)

    def run(self, console: Console) -> int:
        """Queue the jobs, and print their number."""
        with needs_extra("node"):
            from bonescan.node.config import read_node_config
            from bonescan.node.status import retry_now
        console.out(f"{retry_now(read_node_config(self.config))} job(s) put into the queue again")
        return DONE


@dataclass(frozen=True, slots=True)
class NodeDismiss(Command):
    """Mark failures as seen, such as those of studies that can never be segmented."""

    config: Path
    jobs: tuple[str, ...]
    all: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """State the arguments."""
        _add_config(parser)
        parser.add_argument(
            "jobs", nargs="*", metavar="JOB", help="names of failed jobs, as bonescan node status prints them"
        )
        parser.add_argument("--all", action="store_true", help="dismiss all failures so far")

    def run(self, console: Console) -> int:
        """Dismiss the failures, and print their number."""
        if bool(self.jobs) == self.all:
            raise OptionError("give the names of failed jobs, or --all")
        with needs_extra("node"):
            from bonescan.node.config import read_node_config
            from bonescan.node.status import dismiss
        console.out(f"{dismiss(read_node_config(self.config), self.jobs)} failure(s) dismissed")
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
        """Print what works; the exit code is 2 if nothing does, and 1 if a destination does not answer."""
        from bonescan.pipeline import load_model

        with needs_extra("node"):
            from bonescan.node.config import read_node_config
            from bonescan.node.cstore import echo
            from bonescan.node.destinations import DeliveryError, DicomPeer
            from bonescan.node.dicomweb import WebArchive
            from bonescan.node.tls import client_context, server_context
        config = read_node_config(self.config)
        console.out(f"configuration: {config.ae_title} on {config.host}:{config.port}, storage {config.storage}")
        console.out(f"model: {load_model(config.model).name.name}")
        server_context(config.tls)
        client_context(config.tls)
        silent = 0
        for peer in config.destinations:
            try:
                if isinstance(peer, DicomPeer):
                    echo(peer, config)
                else:
                    with WebArchive(peer) as archive:
                        archive.check()
                console.out(f"destination {peer.name}: answers")
            except (DeliveryError, OptionError) as error:
                silent += 1
                console.error(str(error))
        return SOME_FAILED if silent else DONE
