"""Run a node: receive objects, sort them into studies, start the job of each complete study, delete old ones."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path

from dbos import DBOSClient
from dbos._serialization import DBOSPortableJSON

from bonescan.bundle import load_bundle
from bonescan.node import jobs
from bonescan.node.config import NodeConfig
from bonescan.node.receiver import Receiver
from bonescan.node.status import Health, Job, latest_tries, node_status, read_jobs
from bonescan.node.storage import Storage
from bonescan.report.words import counted
from bonescan.sandbox import file_summary

_LOOK_SECONDS = 0.5
_AFTER_FAILURE_SECONDS = 10.0
_SECONDS_BETWEEN_CLEANINGS = 3600.0
_SECONDS_A_DAY = 86_400.0

log = logging.getLogger("bonescan.node")


class Node:
    """One running node."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.storage = Storage(Path(config.storage))
        self._receiver = Receiver(config, self.storage)
        self._health: Health | None = None
        self._stop = threading.Event()
        self._submitted: dict[str, float] = {}
        self._next_cleaning = 0.0
        self._first_seen: dict[str, tuple[float, float]] = {}

    def run(self) -> None:
        """Work until `stop` is called. Raises OptionError and OutputError where it cannot begin."""
        self.storage.open()
        try:
            jobs.start(self.config, self.storage)
            try:
                if self.config.health_port:
                    self._health = Health(self.config.health_port, lambda: node_status(self.config))
                    self._health.start()
                self._receiver.start()
                log.info("listening on %s:%d as %s", self.config.host, self.config.port, self.config.ae_title)
                while not self._stop.is_set():
                    try:
                        self.sort()
                        self.submit_quiet_studies()
                        self.delete_old_studies()
                    except OSError as error:
                        # The disk may be full: received objects stay, and new ones are refused, until there is space.
                        log.error("the storage cannot be worked on: %s", error.strerror)
                        self._stop.wait(_AFTER_FAILURE_SECONDS)
                    self._stop.wait(_LOOK_SECONDS)
                log.info("stopping")
            finally:
                self._receiver.stop()
                if self._health is not None:
                    self._health.stop()
                jobs.stop()
        finally:
            self.storage.close()

    def stop(self, *_: object) -> None:
        """End `run` soon; safe in a signal handler."""
        self._stop.set()

    def sort(self) -> None:
        """Move received objects to their studies; one that cannot be read becomes a study of its own, which fails."""
        for path in self.storage.spooled():
            uid = file_summary(path).study_uid
            study = self.storage.study_name(uid or f"unreadable {path.name}")
            sorted_as = self.storage.sort(path, study)
            caller = self._receiver.caller_of(path.name)
            sender = f" from {caller}" if caller else ""
            if sorted_as == "new":
                log.info("%s: received an object%s", study, sender)
            elif sorted_as == "same":
                log.info("%s: received an object%s again, and kept the first", study, sender)
            else:
                log.warning("%s: received an object%s again with other content, and kept the first", study, sender)
            if self._stop.is_set():
                return

    def submit_quiet_studies(self) -> None:
        """Start the job of every study to which nothing was added for a while."""
        now = time.time()
        # An object that waits to be sorted may belong to any study: all studies are known only up to when it arrived.
        waiting = self.storage.oldest_spooled()
        sorted_until = now if waiting is None else min(now, waiting)
        for study in self.storage.study_names():
            changed = self.storage.last_change(study)
            if self._submitted.get(study) == changed:
                continue
            if self._quiet(study, changed, now, sorted_until) < self.config.quiet_seconds:
                continue
            if self.storage.objects(study):
                jobs.submit(study, self.storage.content_digest(study))
            self._submitted[study] = changed
            self._first_seen.pop(study, None)

    def delete_old_studies(self) -> None:
        """Delete old studies, at the start and once an hour."""
        if time.monotonic() < self._next_cleaning:
            return
        self._next_cleaning = time.monotonic() + _SECONDS_BETWEEN_CLEANINGS
        for study in delete_old(self.config, self.storage):
            self._submitted.pop(study, None)

    def _quiet(self, study: str, changed: float, now: float, sorted_until: float) -> float:
        """Return for how many seconds nothing was added to a study."""
        if changed <= now:
            return sorted_until - changed
        # The system's clock was set back.
        monotonic = time.monotonic()
        seen = self._first_seen.get(study)
        if seen is None or seen[0] != changed:
            seen = self._first_seen[study] = (changed, monotonic)
        return monotonic - seen[1]


def delete_old(config: NodeConfig, storage: Storage) -> list[str]:
    """Delete the studies to which nothing was added for `keep_days`, and return their names.

    A study is kept while one of its jobs waits or runs, and while one of its results could not be delivered, as there
    is no other copy of that result. Studies that a crash left half deleted are deleted first. Raises OSError; what is
    left is then deleted the next time.
    """
    halfway = storage.retired()
    oldest = time.time() - config.keep_days * _SECONDS_A_DAY
    old = [name for name in storage.study_names() if config.keep_days and storage.last_change(name) < oldest]
    if not halfway and not old:
        return []
    all_jobs = read_jobs(config)
    for study in halfway:
        _delete(study, _of(study, all_jobs), config, storage)
    ended = [study for study in old if _ended(_of(study, all_jobs))]
    for study in ended:
        storage.retire(study)
        _delete(study, _of(study, all_jobs), config, storage)
        log.info("%s: deleted after %s", study, counted(config.keep_days, "day"))
    return ended


def _of(study: str, all_jobs: list[Job]) -> list[Job]:
    return [job for job in all_jobs if job.name.startswith(f"{study}-")]


def _ended(own_jobs: list[Job]) -> bool:
    latest = latest_tries(own_jobs)
    return bool(latest) and all(
        job.state in ("done", "refused") or (job.state == "failed" and job.kind != jobs.DELIVERY) for job in latest
    )


def _delete(study: str, own_jobs: list[Job], config: NodeConfig, storage: Storage) -> None:
    """Delete a retired study; its jobs go first, so that the study is new if it is sent again."""
    client = DBOSClient(system_database_url=config.database_url, serializer=DBOSPortableJSON)
    try:
        client.delete_workflows([job.name for job in own_jobs])
    finally:
        client.destroy()
    storage.remove_retired(study)


def run(config: NodeConfig) -> None:
    """Run a node until SIGTERM or SIGINT. Raises BonescanError for a model or an operating point that there is not."""
    load_bundle(config.model).at(config.operating_point)
    os.umask(0o077)  # files are readable by the node's user only
    node = Node(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, node.stop)
    node.run()
