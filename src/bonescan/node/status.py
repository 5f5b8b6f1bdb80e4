"""What a node has done and has still to do, read from its folder and database, whether it runs or not.

`Health` answers a monitor on this machine with the counts.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dbos import DBOSClient
from dbos._serialization import DBOSPortableJSON

from bonescan.errors import OptionError
from bonescan.node.config import NodeConfig
from bonescan.node.jobs import (
    APPLICATION_VERSION,
    DELIVERY,
    STUDIES,
    STUDY,
    first_try_of,
    job_of,
    next_try_of,
    queue_of,
)
from bonescan.node.storage import Storage

_WAITING = ("ENQUEUED", "DELAYED")
_OPEN = ("waiting", "running")
_LAST_ERROR = 3
"""Index of the argument of a delivery that says why the try before it failed."""
_NOT_DELIVERING_SECONDS = 3600.0
"""A delivery that has been failing for longer than this is reported as a failure, although it is still tried again."""
HEALTH_HOST = "127.0.0.1"
_HEALTH_PATH = "/health"
_COUNTS = (
    "free_megabytes",
    "objects_to_sort",
    "objects",
    "studies",
    "results",
    "segmentations",
    "deliveries",
    "dismissed",
)

log = logging.getLogger("bonescan.node")


@dataclass(frozen=True, slots=True)
class Job:
    """One job. state: waiting, running, done, refused or failed. error: why it was refused or failed, or its last try.

    created: when it was put into the queue, as seconds of the system's clock.
    """

    name: str
    kind: str
    state: str
    error: str
    arguments: tuple[Any, ...]
    created: float = 0.0


def node_status(config: NodeConfig) -> dict[str, Any]:
    """Return counts, failures and the names of the studies that are not segmented yet, as plain values.

    Raises OptionError where the node never ran, or where its storage is another user's.
    """
    folder = Path(config.storage)
    _require_storage(folder)
    storage = Storage(folder)
    dismissed = storage.dismissed()
    all_tries = read_jobs(config)
    jobs = latest_tries(all_tries)
    latest = [job for job in jobs if not (job.state == "failed" and job.name in dismissed)]
    now = time.time()
    since = _failing_since(all_tries)
    tried_again = [(job, since.get(_base(job), now)) for job in latest if job.state in _OPEN and job.error]
    studies = storage.study_names()
    begun = {_base(job) for job in all_tries}
    space = storage.space(config.free_megabytes)
    return {
        "running": storage.is_open(),
        "free_megabytes": int(space.free_megabytes),
        "refusing": "" if space.is_enough else f"the disk of the storage is nearly full ({space})",
        "objects_to_sort": len(list((folder / "spool").glob("*.dcm"))),
        "objects": sum(len(storage.objects(study)) for study in studies),
        "studies": len(studies),
        "studies_to_segment": [study for study in studies if not _is_begun(study, storage, begun)],
        "quiet_seconds": config.quiet_seconds,
        "results": len([path for path in (folder / "results").iterdir() if not path.name.startswith(".")]),
        "segmentations": {**_counted(latest, STUDY), "refused": sum(job.state == "refused" for job in latest)},
        "deliveries": _counted(latest, DELIVERY),
        "dismissed": len(jobs) - len(latest),
        "failures": [_said(job) for job in latest if job.state == "failed"],
        "refused": [_said(job) for job in latest if job.state == "refused"],
        "tried_again": [{**_said(job), "since": _time(first)} for job, first in tried_again],
        "not_delivering": sum(now - first > _NOT_DELIVERING_SECONDS for _, first in tried_again),
    }


def _is_begun(study: str, storage: Storage, begun: Collection[str]) -> bool:
    """Whether there is a job for all that a study holds now, or it holds nothing. begun: the first tries of all jobs.

    There is none until nothing was added to the study for `quiet_seconds`, and while no node runs.
    """
    return not storage.objects(study) or job_of(study, storage.content_digest(study)) in begun


def _said(job: Job) -> dict[str, str]:
    return {"job": job.name, "error": job.error}


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def _failing_since(jobs: Sequence[Job]) -> dict[str, float]:
    """When each delivery first failed, by the name of its first try. jobs: the oldest first.

    A try that has the error of the one before among its arguments was queued when that one failed.
    """
    since: dict[str, float] = {}
    for job in jobs:
        if len(job.arguments) > _LAST_ERROR:
            since.setdefault(_base(job), job.created)
    return since


def _require_storage(folder: Path) -> None:
    """Raise OptionError where no node ever ran, and where the storage is another user's, whom it names."""
    try:
        os.scandir(folder / "studies").close()
    except (FileNotFoundError, NotADirectoryError):
        raise OptionError(f"no node has run in {folder}: start it with bonescan node run") from None
    except PermissionError:
        owner = _owner(folder)
        raise OptionError(
            f"the storage {folder} belongs to the node's user{f' {owner}' if owner else ''}: run this as that user "
            f"(sudo -u {owner or 'USER'} bonescan node status ...)"
        ) from None


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except (OSError, KeyError):
        return ""


def read_jobs(config: NodeConfig) -> list[Job]:
    """Return all jobs, the oldest first. Raises OptionError where no node ran, or the storage is another user's."""
    _require_storage(Path(config.storage))
    client = DBOSClient(system_database_url=config.database_url, serializer=DBOSPortableJSON)
    try:
        return [_job(one) for one in client.list_workflows(name=[STUDY, DELIVERY])]
    finally:
        client.destroy()


def dismiss(config: NodeConfig, names: Sequence[str]) -> list[Job]:
    """Dismiss failed jobs, so that `status` and the health endpoint no longer report them; returns those that were new.

    names: of failed jobs; none = all. The result of a delivery stays in the storage, and is not sent unless `retry_now`
    names the delivery; a job that is tried again is reported again. Raises OptionError for any other name.
    """
    storage = Storage(Path(config.storage))
    failed = {job.name: job for job in latest_tries(read_jobs(config)) if job.state == "failed"}
    for name in names:
        if name not in failed:
            raise OptionError(f"there is no failed job {name}: bonescan node status lists them")
    before = storage.dismissed() & set(failed)
    after = before | set(names or failed)
    storage.dismiss(after)
    return [job for name, job in failed.items() if name in after - before]


def retry_now(config: NodeConfig, names: Sequence[str] = ()) -> int:
    """Put failed jobs into their queues again, and start the next tries of waiting ones now; returns how many.

    names: of such jobs, which may be dismissed; none = all, and dismissed jobs stay as they are. Raises OptionError for
    any other name.
    """
    jobs = latest_tries(read_jobs(config))
    dismissed = set() if names else Storage(Path(config.storage)).dismissed()
    failed = [job for job in jobs if job.state == "failed" and job.name not in dismissed]
    later = [job for job in jobs if job.state == "waiting" and job.error]
    known = {job.name for job in (*failed, *later)}
    for name in names:
        if name not in known:
            raise OptionError(
                f"there is no failed or waiting job {name}: bonescan node status lists them, and the file `dismissed` "
                "in the storage lists dismissed ones"
            )
    if names:
        failed, later = ([job for job in some if job.name in names] for some in (failed, later))
    client = DBOSClient(system_database_url=config.database_url, serializer=DBOSPortableJSON)
    try:
        for job in failed:
            client.enqueue(
                {
                    "workflow_name": job.kind,
                    "queue_name": STUDIES if job.kind == STUDY else queue_of(job.arguments[1]),
                    "workflow_id": next_try_of(job.name),
                    "app_version": APPLICATION_VERSION,
                },
                *job.arguments[:2],
            )
        for job in later:
            client.set_workflow_delay(job.name, delay_seconds=0)
    finally:
        client.destroy()
    return len(failed) + len(later)


def _job(one: Any) -> Job:
    output = one.output if isinstance(one.output, dict) else {}
    errors, refused = output.get("errors", []), output.get("refused", [])
    error = output.get("error", "") or (errors[0] if errors else "")
    arguments = tuple((one.input or {}).get("args", ()))
    if one.status in (*_WAITING, "PENDING"):
        state = "running" if one.status == "PENDING" else "waiting"
        error = arguments[_LAST_ERROR] if len(arguments) > _LAST_ERROR else ""
    elif one.status == "SUCCESS" and refused and not errors:
        state, error = "refused", refused[0]
    elif one.status == "SUCCESS" and output.get("state", "sent") == "sent" and not errors:
        state = "done"
    elif one.status == "SUCCESS" and output.get("state") == "again":
        state = "waiting"  # its next try is about to be queued
    else:
        state, error = "failed", error or f"the job ended as {one.status}"
    return Job(one.workflow_id, one.name, state, error, arguments, (one.created_at or 0) / 1000.0)


def latest_tries(jobs: list[Job]) -> list[Job]:
    """Return the jobs; of a job that was tried again, only the last try."""
    by_base: dict[str, Job] = {}
    for job in jobs:
        by_base[_base(job)] = job
    return list(by_base.values())


def _base(job: Job) -> str:
    return first_try_of(job.name)[0]


def _counted(jobs: list[Job], kind: str) -> dict[str, int]:
    return {
        state: sum(job.kind == kind and job.state == state for job in jobs)
        for state in ("waiting", "running", "done", "failed")
    }


class Health:
    """Answers `GET /health` with counts, on the loopback interface, in a thread of its own, until it is stopped.

    200: the node works and nothing failed. 503: all objects are refused as the disk is nearly full, something failed,
    or a delivery has been failing for more than an hour, and `bonescan node status` says what. The answer contains no
    names, no messages and nothing about a patient.

    It is for a monitor that calls a person. A restart does not mend what it reports: it must not be a liveness probe.
    """

    def __init__(self, port: int, status: Callable[[], dict[str, Any]]) -> None:
        """Listen on a port of this machine, 0 = a free one. Raises OptionError where it is taken."""
        handler = type("Handler", (_Handler,), {"status": staticmethod(status)})
        try:
            self._server = ThreadingHTTPServer((HEALTH_HOST, port), handler)
        except OSError as error:
            raise OptionError(
                f"the health endpoint cannot listen on {HEALTH_HOST}:{port} ({error.strerror}): "
                "give another health_port"
            ) from None
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        log.info("health on http://%s:%d%s", HEALTH_HOST, self.port, _HEALTH_PATH)

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def health_of(status: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The HTTP status and the answer for what `node_status` found."""
    failed, tried_again = len(status["failures"]), len(status["tried_again"])
    found = {"refusing": status["refusing"], "failing": failed, "not delivering": status["not_delivering"]}
    word = next((name for name, holds in found.items() if holds), "ok")
    counts = {name: status[name] for name in _COUNTS}
    return (200 if word == "ok" else 503), {"status": word, "failed": failed, "tried_again": tried_again, **counts}


class _Handler(BaseHTTPRequestHandler):
    """One request. status: returns the node's status."""

    status: Callable[[], dict[str, Any]]
    timeout = 10.0

    def do_GET(self) -> None:
        """Answer a request for the health path, and 404 for any other."""
        if self.path != _HEALTH_PATH:
            self._answer(404, {"status": "unknown path"})
            return
        try:
            code, answer = health_of(self.status())
        except Exception as error:  # the monitor must also be told that the queue cannot be read
            log.exception("the health endpoint failed")
            code, answer = 503, {"status": "failing", "error": type(error).__name__}
        self._answer(code, answer)

    def _answer(self, code: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: a monitor sends many requests."""
