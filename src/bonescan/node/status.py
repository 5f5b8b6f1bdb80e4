"""What a node has done and has still to do, read from its folder and database, whether it runs or not."""

from __future__ import annotations

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
_LAST_ERROR = 3
"""Index of the argument of a delivery that says why the try before it failed."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job. state: waiting, running, done or failed. error: the message of its failure, or of the last try."""

    name: str
    kind: str
    state: str
    error: str
    arguments: tuple[Any, ...]


def node_status(config: NodeConfig) -> dict[str, Any]:
    """Return counts and failures as plain values. Raises OptionError where the node never ran."""
    folder = Path(config.storage)
    if not (folder / "studies").is_dir():
        raise OptionError(f"no node has run in {folder}: start it with bonescan node run")
    storage = Storage(folder)
    dismissed = storage.dismissed()
    jobs = latest_tries(read_jobs(config))
    latest = [job for job in jobs if not (job.state == "failed" and job.name in dismissed)]
    studies = [path for path in (folder / "studies").iterdir() if not path.name.startswith(".")]
    return {
        "running": storage.is_open(),
        "objects_to_sort": len(list((folder / "spool").glob("*.dcm"))),
        "objects": sum(len(list(study.glob("*.dcm"))) for study in studies),
        "studies": len(studies),
        "results": len([path for path in (folder / "results").iterdir() if not path.name.startswith(".")]),
        "segmentations": _counted(latest, STUDY),
        "deliveries": _counted(latest, DELIVERY),
        "dismissed": len(jobs) - len(latest),
        "failures": [{"job": job.name, "error": job.error} for job in latest if job.state == "failed"],
        "tried_again": [
            {"job": job.name, "error": job.error} for job in latest if job.state in ("waiting", "running") and job.error
        ],
    }


def read_jobs(config: NodeConfig) -> list[Job]:
    """Return all jobs, the oldest first."""
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
    errors = output.get("errors", [])
    error = output.get("error", "") or (errors[0] if errors else "")
    arguments = tuple((one.input or {}).get("args", ()))
    if one.status in (*_WAITING, "PENDING"):
        state = "running" if one.status == "PENDING" else "waiting"
        error = arguments[_LAST_ERROR] if len(arguments) > _LAST_ERROR else ""
    elif one.status == "SUCCESS" and output.get("state", "sent") == "sent" and not errors:
        state = "done"
    elif one.status == "SUCCESS" and output.get("state") == "again":
        state = "waiting"  # its next try is about to be queued
    else:
        state, error = "failed", error or f"the job ended as {one.status}"
    return Job(one.workflow_id, one.name, state, error, arguments)


def latest_tries(jobs: list[Job]) -> list[Job]:
    """Return the jobs; of a job that was tried again, only the last try."""
    by_base: dict[str, Job] = {}
    for job in jobs:
        by_base[first_try_of(job.name)[0]] = job
    return list(by_base.values())


def _counted(jobs: list[Job], kind: str) -> dict[str, int]:
    return {
        state: sum(job.kind == kind and job.state == state for job in jobs)
        for state in ("waiting", "running", "done", "failed")
    }
