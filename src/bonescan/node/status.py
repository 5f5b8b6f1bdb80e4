"""What a node has done and has still to do, read from its folder and database, whether it runs or not."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
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
    """Return counts and failures as plain values.

    Raises OptionError where the node never ran, or where its storage is another user's.
    """
    folder = Path(config.storage)
    _require_access(folder)
    if not (folder / "studies").is_dir():
        raise OptionError(f"no node has run in {folder}: start it with bonescan node run")
    storage = Storage(folder)
    dismissed = storage.dismissed()
    all_tries = read_jobs(config)
    jobs = latest_tries(all_tries)
    latest = [job for job in jobs if not (job.state == "failed" and job.name in dismissed)]
    now = time.time()
    since = _failing_since(all_tries)
    tried_again = [(job, since.get(_base(job), now)) for job in latest if job.state in _OPEN and job.error]
    studies = [path for path in (folder / "studies").iterdir() if not path.name.startswith(".")]
    return {
        "running": storage.is_open(),
        "objects_to_sort": len(list((folder / "spool").glob("*.dcm"))),
        "objects": sum(len(list(study.glob("*.dcm"))) for study in studies),
        "studies": len(studies),
        "results": len([path for path in (folder / "results").iterdir() if not path.name.startswith(".")]),
        "segmentations": {**_counted(latest, STUDY), "refused": sum(job.state == "refused" for job in latest)},
        "deliveries": _counted(latest, DELIVERY),
        "dismissed": len(jobs) - len(latest),
        "failures": [_said(job) for job in latest if job.state == "failed"],
        "refused": [_said(job) for job in latest if job.state == "refused"],
        "tried_again": [{**_said(job), "since": _time(first)} for job, first in tried_again],
        "not_delivering": sum(now - first > _NOT_DELIVERING_SECONDS for _, first in tried_again),
    }


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


def _require_access(folder: Path) -> None:
    """Raise OptionError where the storage is another user's, whom it names."""
    try:
        os.scandir(folder).close()
    except FileNotFoundError:
        return
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
    """Return all jobs, the oldest first. Raises OptionError where the storage is another user's."""
    _require_access(Path(config.storage))
    client = DBOSClient(system_database_url=config.database_url, serializer=DBOSPortableJSON)
    try:
        return [_job(one) for one in client.list_workflows(name=[STUDY, DELIVERY])]
    finally:
        client.destroy()


def dismiss(config: NodeConfig, names: Sequence[str]) -> int:
    """Dismiss failed jobs, so that `status` and the health endpoint no longer report them; returns how many were new.

    names: of failed jobs; none = all. A job that is tried again is reported again. Raises OptionError for any other
    name.
    """
    storage = Storage(Path(config.storage))
    failed = {job.name for job in latest_tries(read_jobs(config)) if job.state == "failed"}
    for name in names:
        if name not in failed:
            raise OptionError(f"no failed job is named {name}: bonescan node status lists them")
    before = storage.dismissed() & failed
    after = before | (set(names) if names else failed)
    storage.dismiss(after)
    return len(after - before)


def retry_now(config: NodeConfig) -> int:
    """Put failed jobs into their queues again, and start the next tries of waiting ones now; returns how many.

    Dismissed jobs stay as they are.
    """
    jobs = latest_tries(read_jobs(config))
    dismissed = Storage(Path(config.storage)).dismissed()
    failed = [job for job in jobs if job.state == "failed" and job.name not in dismissed]
    later = [job for job in jobs if job.state == "waiting" and job.error]
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
