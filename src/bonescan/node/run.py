"""Run a node: receive, sort what came into studies, start the job of each study that is quiet."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path

from bonescan.node import jobs
from bonescan.node.config import NodeConfig
from bonescan.node.receiver import Receiver
from bonescan.node.storage import Storage

_LOOK_SECONDS = 0.5

log = logging.getLogger("bonescan.node")


class Node:
    """One running node."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.storage = Storage(Path(config.storage))
        self._receiver = Receiver(config, self.storage)
        self._stop = threading.Event()
        self._submitted: dict[str, str] = {}

    def run(self) -> None:
        """Work until `stop` is called. Raises OptionError and OutputError where it cannot begin."""
        self.storage.open()
        try:
            jobs.start(self.config, self.storage)
            try:
                self._receiver.start()
                log.info("listening on %s:%d as %s", self.config.host, self.config.port, self.config.ae_title)
                while not self._stop.is_set():
                    self.sort()
                    self.submit_quiet_studies()
                    self._stop.wait(_LOOK_SECONDS)
                log.info("stopping")
            finally:
                self._receiver.stop()
                jobs.stop()
        finally:
            self.storage.close()

    def stop(self, *_: object) -> None:
        """End `run` soon; safe in a signal handler."""
        self._stop.set()

    def sort(self) -> None:
        """Move what was received to its study; what cannot be read is a study of its own, and fails as one."""
        from bonescan.sandbox import outline

        for path in self.storage.spooled():
            uid = outline(path).study_uid
            study = self.storage.study_name(uid or f"unreadable {path.name}")
            if self.storage.sort(path, study):
                log.info("%s: received an object", study)
            else:
                log.info("%s: received an object again, and kept the first", study)
            if self._stop.is_set():
                return

    def submit_quiet_studies(self) -> None:
        """Start the job of every study to which nothing was added for a while."""
        for study in self.storage.study_names():
            changed = self.storage.last_change(study)
            if self._submitted.get(study) == str(changed) or time.time() - changed < self.config.quiet_seconds:
                continue
            if self.storage.objects(study):
                jobs.submit(study, self.storage.content_digest(study))
            self._submitted[study] = str(changed)


def run(config: NodeConfig) -> None:
    """Run a node until SIGTERM or SIGINT."""
    os.umask(0o077)  # what is kept is for our own user alone
    node = Node(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, node.stop)
    node.run()
