"""The jobs of a node as durable workflows (DBOS): segment a study, and deliver the results to each destination.

After a crash, finished steps are not repeated and unfinished ones are. A job's name follows from its study and the
study's content, so that the same study is never started twice. The engine stores only names that bonescan made and
messages, and nothing about a patient.
"""

from __future__ import annotations

import datetime
import logging
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID
from dbos._serialization import DBOSPortableJSON

from bonescan.dicom.header import Made, Origin
from bonescan.dicom.values import OTHER_TRACER
from bonescan.dicom.views import how_to_state
from bonescan.errors import BonescanError, InputError, ViewError
from bonescan.node.config import NodeConfig
from bonescan.node.cstore import send
from bonescan.node.destinations import DeliveryError, Destination, DicomPeer
from bonescan.node.dicomweb import WebArchive
from bonescan.node.storage import Storage
from bonescan.pipeline import Options, load_model, segment
from bonescan.reading import discover, read_files
from bonescan.report.words import counted
from bonescan.results.folder import write_result
from bonescan.sandbox import file_summary, read_header

if TYPE_CHECKING:
    from pathlib import Path

    from bonescan.dicom.values import ReadOptions
    from bonescan.pipeline import Model
    from bonescan.reading import StudyFiles
    from bonescan.study import Study

APPLICATION = "bonescan-node"
APPLICATION_VERSION = "1"
"""Version of the workflows' steps: a job that began under one version is not continued under another."""
STUDY, DELIVERY = "study", "delivery"
STUDIES = "studies"
_DELIVERIES_AT_ONCE = 4
_MOST_DOUBLINGS = 60
_TRY = re.compile(r"(.+)-again-(\d+)")
"""Name of a job that was tried again: the first job's name and the number of the try. A delivery's name begins with the
name of its study's job."""

_NO_BONE_SCAN = (
    "the file is not nuclear medicine",
    "the file is not an NM image",
    "the file is a picture for display",
    "the image is not WHOLE BODY",
    "the matrix of ",
    "the tracer that the file states",
)
"""How the sentences of `dicom/accept.py` and of this module begin that say that the file is something else than a
whole-body bone scan. The others are about whole-body scans that are damaged or were changed."""
_CHOOSE_FRAMES = "; choose the two views of the whole body with --frames"
_MOST_STATION_LETTERS = 16
"""The longest Station Name (PS3.5 6.2, SH)."""

log = logging.getLogger("bonescan.node")


class Found(TypedDict):
    """The outcome of a study. folders: of its results, below `results`. errors: why some scans have no result.

    refused: why other objects have none: they are no whole-body bone scans.
    """

    folders: list[str]
    errors: list[str]
    refused: list[str]


class Delivered(TypedDict):
    """The outcome of one try of a delivery: "sent", "failed" or "again" (later, by the next job), and why."""

    state: str
    error: str


@dataclass(slots=True)
class _Running:
    """The values that the workflows of this process use."""

    config: NodeConfig
    storage: Storage
    model: Model | None = None


_running: _Running | None = None


def engine_config(config: NodeConfig) -> DBOSConfig:
    """The engine's configuration: a database, JSON only, no console, no telemetry."""
    return {
        "name": APPLICATION,
        "system_database_url": config.database_url,
        "application_version": APPLICATION_VERSION,
        "executor_id": "node",
        "serializer": DBOSPortableJSON,
        "enable_otlp": False,
        "log_level": "CRITICAL",
        "console_log_level": "CRITICAL",
    }


def start(config: NodeConfig, storage: Storage) -> None:
    """Start the engine, which continues the jobs that a crash or a stop left unfinished."""
    global _running  # noqa: PLW0603  # workflows are functions that the engine calls by name
    _running = _Running(config, storage)
    DBOS(config=engine_config(config))
    DBOS.launch()
    DBOS.register_queue(STUDIES, worker_concurrency=1, on_conflict="always_update")
    for peer in config.destinations:
        DBOS.register_queue(queue_of(peer.name), worker_concurrency=_DELIVERIES_AT_ONCE, on_conflict="always_update")


def stop() -> None:
    """Stop the engine; jobs that are not done stay in the database."""
    DBOS.destroy(workflow_completion_timeout_sec=0)


def submit(study: str, digest: str) -> None:
    """Put a study into the queue; doing so again does nothing."""
    with SetWorkflowID(job_of(study, digest)):
        DBOS.enqueue_workflow(STUDIES, study_job, study, digest)


def job_of(study: str, digest: str) -> str:
    """Return the name of the job for one content of a study."""
    return f"{study}-{digest}"


def queue_of(destination: str) -> str:
    """Return the name of a destination's own queue: no destination waits for another one that is down."""
    return f"to-{destination}"


def first_try_of(job: str) -> tuple[str, int]:
    """Return the name of the first try of a job, and how often it was tried again."""
    again = _TRY.fullmatch(job)
    return (again[1], int(again[2])) if again else (job, 0)


def next_try_of(job: str) -> str:
    """Return the name of the job that tries again what `job` did."""
    first, number = first_try_of(job)
    return f"{first}-again-{number + 1}"


@DBOS.workflow(name=STUDY)
def study_job(study: str, digest: str) -> Found:
    """Segment a study, and put the deliveries of its results into their queues."""
    found = segment_step(study, digest)
    job = DBOS.workflow_id
    if found["folders"]:
        for peer in _now().config.destinations:
            with SetWorkflowID(f"{job}-{peer.name}"):
                DBOS.enqueue_workflow(queue_of(peer.name), delivery_job, found["folders"], peer.name)
    return found


@DBOS.workflow(name=DELIVERY)
def delivery_job(folders: list[str], destination: str, tries: int = 0, _last_error: str = "") -> Delivered:
    """Try once to send results to a destination; where it may succeed later, enqueue a new job for the next try.

    A job that slept until then would occupy a place in the queue and delay the stop of the node. tries: the number of
    tries before. _last_error: the error of the last of them, which `status` shows.
    """
    retry = _now().config.retry
    outcome = deliver_step(folders, destination)
    if outcome["state"] != "again":
        return outcome
    tries += 1
    if tries >= retry.attempts:
        return {"state": "failed", "error": outcome["error"]}
    wait = min(retry.first_seconds * 2.0 ** min(tries - 1, _MOST_DOUBLINGS), retry.most_seconds)
    with SetWorkflowID(next_try_of(DBOS.workflow_id or "")), SetEnqueueOptions(delay_seconds=wait):
        DBOS.enqueue_workflow(queue_of(destination), delivery_job, folders, destination, tries, outcome["error"])
    return outcome


@DBOS.step(name="segment")
def segment_step(study: str, digest: str) -> Found:
    """Find the lesions of each scan of a study; results that a crash left behind are kept as they are."""
    found: Found = {"folders": [], "errors": [], "refused": []}
    scans = discover([_now().storage.studies / study])
    for number, files in enumerate(scans, start=1):
        name = job_of(study, digest) + (f"-{number}" if len(scans) > 1 else "")
        try:
            found["folders"].append(_segmented(files, name))
        except InputError as error:
            if is_no_bone_scan(error):
                found["refused"].append(str(error))
            else:
                found["errors"].append(_explained(error, files))
        except BonescanError as error:
            found["errors"].append(str(error))
        except Exception as error:
            found["errors"].append(f"an unexpected {type(error).__name__}")
    for sentence in found["errors"]:
        log.warning("%s: %s", study, sentence)
    for sentence in found["refused"]:
        log.info("%s: refused: %s", study, sentence)
    log.info("%s: %s", study, counted(len(found["folders"]), "result"))
    return found


def _segmented(files: StudyFiles, name: str) -> str:
    """Segment one scan into the folder `name`, unless that exists."""
    now = _now()
    if (now.storage.results / name).is_dir():
        return name
    if files.kind != "dicom":
        raise InputError("the study holds no scan that can be read")
    if now.model is None:
        now.model = load_model(now.config.model)
    stated = _stated_of(_station_of(files)) if now.config.stations else None
    study = replace(read_files(files, stated), key=name)
    refuse_other_tracers(study)
    result = segment(study, now.model, Options(operating_point=now.config.operating_point))
    origin = Origin(read_header(files.paths), Made(datetime.datetime.now(), now.config.identify))
    write_result(result, now.storage.results, ("json", *now.config.formats), origin)
    return name


def _station_of(files: StudyFiles) -> str:
    return file_summary(files.paths[0]).station


def _stated_of(station: str) -> ReadOptions | None:
    return _now().config.options_of(station)


def _explained(error: InputError, files: StudyFiles) -> str:
    """The sentence of a scan that cannot be read, with what can be done at a node."""
    station = _station_of(files) if files.kind == "dicom" else ""
    stated = _stated_of(station)
    return in_node_words(error, station, len(stated.views or ()) if stated else 0)


@DBOS.step(name="deliver")
def deliver_step(folders: list[str], destination: str) -> Delivered:
    """Try one delivery of the stored files; they are never made again."""
    now = _now()
    what = f"of {_studies_of(folders)} to {destination}"
    peer = next((peer for peer in now.config.destinations if peer.name == destination), None)
    paths = [path for folder in folders for path in sorted((now.storage.results / folder).glob("*.dcm"))]
    if peer is None:
        return {"state": "failed", "error": f"there is no destination {destination} in the configuration any more"}
    if not paths:
        return {"state": "sent", "error": ""}
    try:
        _transfer(peer, paths, now.config)
    except DeliveryError as error:
        log.warning("delivery %s: %s", what, error)
        return {"state": "again" if error.retryable else "failed", "error": str(error)}
    except BonescanError as error:  # of the configuration, such as a secret that is not set: a restart may bring it
        log.warning("delivery %s: %s", what, error)
        return {"state": "again", "error": str(error)}
    except Exception as error:
        log.warning("delivery %s: an unexpected %s", what, type(error).__name__)
        return {"state": "again", "error": f"an unexpected {type(error).__name__}"}
    log.info("delivered %s %s", counted(len(paths), "object"), what)
    return {"state": "sent", "error": ""}


def _studies_of(folders: list[str]) -> str:
    """The names of the studies of results, which the names of the results begin with."""
    return ", ".join(dict.fromkeys("-".join(folder.split("-")[:2]) for folder in folders))


def _transfer(peer: Destination, paths: list[Path], config: NodeConfig) -> None:
    if isinstance(peer, DicomPeer):
        send(peer, paths, config)
    else:
        with WebArchive(peer) as archive:
            archive.store(paths)


def _now() -> _Running:
    assert _running is not None
    return _running


def refuse_other_tracers(study: Study) -> None:
    """Raise InputError where the file states a tracer that is no bone tracer: no person reads a warning at a node."""
    if OTHER_TRACER in study.warnings:
        raise InputError(
            "the tracer that the file states is not known as a bone tracer, so a node does not segment the study; if "
            "it is a bone scan, use `bonescan segment`"
        )


def is_no_bone_scan(error: InputError) -> bool:
    """Tell whether a file was refused because it is no whole-body bone scan, which needs no action."""
    return str(error).startswith(_NO_BONE_SCAN)


def in_node_words(error: InputError, station: str, views: int) -> str:
    """Return an error's sentence with what can be done at a node in place of options that only `segment` has.

    station: Station Name of the scan, "" where the header has none. views: how many the configuration states of it.
    """
    sentence = str(error)
    before, found, _ = sentence.partition(_CHOOSE_FRAMES)
    if found:
        return f"{before}; a node does not choose among frames: use `bonescan segment --frames` for this study"
    if not isinstance(error, ViewError):
        return sentence
    for frames in (1, 2):
        sentence = sentence.partition(f"; {how_to_state(frames)}")[0]
    if views:
        return (
            f"{sentence}; the views of {_named(station)} under [[stations]] do not fit this file: segment it with "
            "`bonescan segment --views`, or dismiss it with `bonescan node dismiss`"
        )
    return (
        f"{sentence}; set the views of {_named(station)} under [[stations]] in the configuration, restart the node, "
        "then run `bonescan node retry`"
    )


def _named(station: str) -> str:
    """Name a station in one line; the header may hold anything in its place."""
    plain = "".join(letter if letter.isprintable() and letter != "'" else "?" for letter in station)
    if not plain:
        return 'files without a Station Name (name = "")'
    return f"its station '{plain[:_MOST_STATION_LETTERS]}'"
