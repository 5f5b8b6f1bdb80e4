"""Delete old studies of a node with their results and jobs."""

from __future__ import annotations

import logging
import time

from dbos import DBOSClient
from dbos._serialization import DBOSPortableJSON

from bonescan.node.config import NodeConfig
from bonescan.node.jobs import DELIVERY
from bonescan.node.status import Job, latest_tries, read_jobs
from bonescan.node.storage import Storage

_SECONDS_A_DAY = 86_400.0

log = logging.getLogger("bonescan.node")


def delete_old(config: NodeConfig, storage: Storage) -> list[str]:
    """Delete the studies to which nothing was added for `keep_days`, and return their names.

    A study is kept while one of its jobs waits or runs, and while one of its results could not be delivered, as nobody
    else has that result. Studies that a crash left half deleted are deleted first. Raises OSError; the rest is then
    deleted the next time.
    """
    halfway = storage.retired()
    oldest = time.time() - config.keep_days * _SECONDS_A_DAY
    old = [name for name in storage.study_names() if config.keep_days and storage.last_change(name) < oldest]
    if not halfway and not old:
        return []
    jobs = read_jobs(config)
    for study in halfway:
        _delete(study, _of(study, jobs), config, storage)
    ended = [study for study in old if _ended(_of(study, jobs))]
    for study in ended:
        storage.retire(study)
        _delete(study, _of(study, jobs), config, storage)
        log.info("%s: deleted after %d day(s)", study, config.keep_days)
    return ended


def _of(study: str, jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if job.name.startswith(f"{study}-")]


def _ended(jobs: list[Job]) -> bool:
    latest = latest_tries(jobs)
    return bool(latest) and all(
        job.state in ("done", "refused") or (job.state == "failed" and job.kind != DELIVERY) for job in latest
    )


def _delete(study: str, jobs: list[Job], config: NodeConfig, storage: Storage) -> None:
    """Delete a retired study; its jobs go first, so that the study is new if it is sent again."""
    client = DBOSClient(system_database_url=config.database_url, serializer=DBOSPortableJSON)
    try:
        client.delete_workflows([job.name for job in jobs])
    finally:
        client.destroy()
    storage.remove_retired(study)
