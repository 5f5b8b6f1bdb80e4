"""Send thousands of objects to a node that is killed again and again, and count what is lost.

    python benchmarks/receiver_kills.py --objects 10000 --kills 50 --json results/receiver_kills.json

Several associations send small NM objects in studies of fifty; every fourth study holds a whole-body scan, which the
node segments and sends to a peer here. The node is a process of its own, killed with SIGKILL at random moments while it
receives, sorts, segments and sends, and started again. Senders send again what was not acknowledged. In the end:

- lost: acknowledged objects that are not on the node's disk, or not with the pixels that were sent;
- twice: results that the peer got under more than one SOP Instance UID;
- undelivered: results, the report and the segmentation of each scan, that the peer does not have.

Exits with 1 unless all three are 0.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import UID
from pynetdicom import AE, evt

from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.node.config import NodeConfig, read_node_config
from bonescan.node.receiver import STORAGE_CLASSES, quiet_pynetdicom
from bonescan.node.status import node_status
from bonescan.node.storage import Storage
from bonescan.phantom import make_anatomy, make_patient
from bonescan.pipeline import load_model, segment
from bonescan.prepare.aggregate import bin_counts
from bonescan.study import Scan, Spacing
from common import report_head, write_report

NM = STORAGE_CLASSES[0]
STUDY_SIZE, SCAN_EVERY = 50, 4
OBJECT_CLASSES = ("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.66.4")
"""What a scan with lesions results in: a report and a segmentation."""
PATIENT = (945_000, 0)
"""The simulated patient of the scans: seeds of the anatomy and of its patient, who has lesions."""
WINDOW = (slice(0, 256), slice(16, 112))
"""The patient without the legs, in pixels twice as large, so that ten thousand objects are small."""
MOST_SECONDS_AT_THE_END = 900.0


@dataclass(slots=True)
class Traffic:
    """What was acknowledged by the node, and what reached the peer. received: (study, class) -> instance UIDs."""

    acknowledged: set[int] = field(default_factory=set)
    received: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    deliveries: int = 0
    broken_associations: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def study_uid(number: int) -> str:
    """The study of an object."""
    return f"1.2.826.0.1.3680043.9.1.{number // STUDY_SIZE + 1}"


def instance_uid(number: int) -> str:
    """The UID of an object."""
    return f"{study_uid(number)}.{number % STUDY_SIZE + 1}"


def is_scan(number: int) -> bool:
    """Whether an object is a whole-body scan."""
    return number % STUDY_SIZE == 0 and number // STUDY_SIZE % SCAN_EVERY == 0


def template(folder: Path) -> pydicom.Dataset:
    """A simulated scan on which the shipped model outlines lesions: without them there is no segmentation to send."""
    anatomy = make_anatomy(PATIENT[0])
    study = make_patient(anatomy, PATIENT[1]).study
    scans = {view: Scan(view, bin_counts(scan.counts[None], 2)[0][WINDOW]) for view, scan in study.scans.items()}
    spacing = Spacing(2 * anatomy.spacing.row_mm, 2 * anatomy.spacing.col_mm)
    study = replace(study, scans=scans, spacing=spacing, acquired="2026-01-02T03:04:05")
    assert segment(study, load_model()).lesions, "the shipped model outlines nothing: choose another PATIENT"
    (path,) = write_nm(study, folder / "template.dcm", Header(HeaderStyle.STANDARD))
    return pydicom.dcmread(path)


def numbered(scan: pydicom.Dataset, number: int) -> pydicom.Dataset:
    """The object of a number: a scan, or a static image that no result comes from."""
    one = pydicom.Dataset()
    one.update(scan)
    one.file_meta = pydicom.dataset.FileMetaDataset()
    one.file_meta.TransferSyntaxUID = scan.file_meta.TransferSyntaxUID
    one.SOPInstanceUID, one.StudyInstanceUID = UID(instance_uid(number)), UID(study_uid(number))
    one.SeriesInstanceUID = UID(f"{study_uid(number)}.999.{number % STUDY_SIZE}")
    one.InstanceNumber = number
    if not is_scan(number):
        one.ImageType = ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]
    return one


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def peer(port: int, traffic: Traffic) -> Any:
    """A peer that takes what it is sent, and remembers it."""

    def store(event: evt.Event) -> int:
        received = event.dataset
        with traffic.lock:
            key = str(received.StudyInstanceUID), str(received.SOPClassUID)
            traffic.received[key].add(str(received.SOPInstanceUID))
            traffic.deliveries += 1
        return 0

    entity = AE(ae_title="ARCHIVE")
    for uid in OBJECT_CLASSES:
        entity.add_supported_context(uid)
    return entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])


def send(numbers: Sequence[int], scan: pydicom.Dataset, port: int, traffic: Traffic) -> None:
    """Send objects until each was acknowledged."""
    entity = AE(ae_title="SENDER")
    entity.add_requested_context(NM)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = 20
    waiting = list(numbers)
    while waiting:
        association = entity.associate("127.0.0.1", port, ae_title="BONESCAN")
        if not association.is_established:
            time.sleep(0.2)
            continue
        while waiting and association.is_established:
            try:
                answer = association.send_c_store(numbered(scan, waiting[0]))
            except RuntimeError:
                break
            if not answer or answer.get("Status") != 0:
                break
            with traffic.lock:
                traffic.acknowledged.add(waiting.pop(0))
        if waiting:
            traffic.broken_associations += 1
            association.abort()
        else:
            association.release()


def start_node(config: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the node, and wait until it listens."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "bonescan", "node", "run", str(config)], stdout=said, stderr=said
        )
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.05)
    raise RuntimeError(f"the node did not start: {log.read_text()[-2000:]}")


def write_config(folder: Path, port: int, peer_port: int) -> Path:
    """Write the node's configuration; returns its path."""
    path = folder / "node.toml"
    path.write_text(
        f'storage = "{folder / "storage"}"\nport = {port}\nquiet_seconds = 0.5\nformats = ["json", "sr", "seg"]\n'
        'free_megabytes = 10\n[retry]\nfirst_seconds = 0.5\nmost_seconds = 2.0\n[[dicom]]\nname = "archive"\n'
        f'host = "127.0.0.1"\nport = {peer_port}\nae_title = "ARCHIVE"\n',
        encoding="utf-8",
    )
    return path


def lost(config: NodeConfig, scan: pydicom.Dataset, traffic: Traffic) -> list[int]:
    """The acknowledged objects that are not there as they were sent."""
    storage = Storage(Path(config.storage))
    storage.open()
    try:
        on_disk = {path.name: path for path in storage.studies.glob("*/*.dcm")}
        missing = []
        for number in sorted(traffic.acknowledged):
            path = on_disk.get(storage.instance_name(instance_uid(number)) or "")
            kept = pydicom.dcmread(path) if path else None
            if kept is None or kept.SOPInstanceUID != instance_uid(number) or kept.PixelData != scan.PixelData:
                missing.append(number)
        return missing
    finally:
        storage.close()


def run(objects: int, kills: int, associations: int = 5, seed: int = 1) -> dict[str, Any]:
    """Do all of it; returns the figures."""
    quiet_pynetdicom()
    random_moment = random.Random(seed)
    traffic = Traffic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = template(folder)
        port, peer_port = free_port(), free_port()
        config_path = write_config(folder, port, peer_port)
        config = read_node_config(config_path)
        server = peer(peer_port, traffic)
        begun = time.perf_counter()
        node = start_node(config_path, port, folder / "log")
        senders = [
            threading.Thread(target=send, args=(range(one, objects, associations), scan, port, traffic))
            for one in range(associations)
        ]
        for sender in senders:
            sender.start()
        while_receiving = 0
        for _ in range(kills):
            time.sleep(random_moment.uniform(0.1, 3.0))
            while_receiving += any(sender.is_alive() for sender in senders)
            node.send_signal(signal.SIGKILL)
            node.wait()
            node = start_node(config_path, port, folder / "log")
        for sender in senders:
            sender.join()
        received_s = time.perf_counter() - begun
        status = until_done(config, objects)
        node.terminate()
        code = node.wait(timeout=60)
        server.shutdown()
        missing = lost(config, scan, traffic)
        scans = {study_uid(number) for number in range(objects) if is_scan(number)}
        results = {key: uids for key, uids in traffic.received.items() if key[0] in scans}
        return {
            "objects": objects,
            "associations": associations,
            "kills": kills,
            "kills_while_receiving": while_receiving,
            "seed": seed,
            "acknowledged": len(traffic.acknowledged),
            "broken_associations": traffic.broken_associations,
            "lost": len(missing),
            "scans": len(scans),
            "deliveries": traffic.deliveries,
            "results_received": len(results),
            "twice": sum(len(uids) > 1 for uids in results.values()),
            "undelivered": sum((study, kind) not in results for study in scans for kind in OBJECT_CLASSES),
            "failed_deliveries": status["deliveries"]["failed"],
            "ended_with": code,
            "seconds_receiving": round(received_s, 1),
            "seconds": round(time.perf_counter() - begun, 1),
        }


def until_done(config: NodeConfig, objects: int) -> dict[str, Any]:
    """Wait until everything is sorted and no job waits or runs; returns the last status."""
    end = time.monotonic() + MOST_SECONDS_AT_THE_END
    status: dict[str, Any] = {}
    calm = 0
    while time.monotonic() < end and calm < 3:
        time.sleep(1.0)
        status = node_status(config)
        busy = sum(status[kind][state] for kind in ("segmentations", "deliveries") for state in ("waiting", "running"))
        done = status["objects"] == objects and not status["objects_to_sort"] and not busy
        ended = sum(status["segmentations"][state] for state in ("done", "refused", "failed"))
        started = ended >= status["studies"]
        calm = calm + 1 if done and started else 0
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Kill a node while it receives, and count what is lost.")
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    report = {**report_head(parser, chosen, [load_model().name]), **run(chosen.objects, chosen.kills, seed=chosen.seed)}
    print(json.dumps(report, indent=2))
    write_report(chosen.json, report)
    return 1 if report["lost"] or report["twice"] or report["undelivered"] else 0


if __name__ == "__main__":
    sys.exit(main())
