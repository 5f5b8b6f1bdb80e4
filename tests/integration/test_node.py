"""A node as a process of its own: studies in, results out, killed and started again, against others' peers."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pynetdicom import AE
from tests.drawn import needs
from tests.warm import Forked

from bonescan.dicom.write_nm import Header, HeaderStyle, write_nm
from bonescan.node.config import read_node_config
from bonescan.node.receiver import STORAGE_CLASSES, quiet_pynetdicom
from bonescan.node.status import node_status
from bonescan.study import Scan, Spacing, Study, View

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "receiver_kills.py"
MARK = "QXZW"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(true, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return
        time.sleep(0.1)
    pytest.fail("it did not come to pass")


def new_process(arguments, log):
    """As a shell starts it: with all imports."""
    with log.open("ab") as said:
        command = [sys.executable, "-W", "error", "-m", "bonescan", *map(str, arguments)]
        return subprocess.Popen(command, stdout=said, stderr=said)


class Place:
    """A node and the peer that it sends to, in a folder."""

    def __init__(self, folder):
        self.folder, self.port, self.peer_port = folder, free_port(), free_port()
        self.config = folder / "node.toml"
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.running = []
        self.configure()

    def configure(self, formats=("json", "sr"), **more):
        lines = [f"{key} = {json.dumps(value)}" for key, value in {"formats": formats, **more}.items()]
        self.config.write_text(
            f'storage = "{self.folder / "storage"}"\nport = {self.port}\nquiet_seconds = 0.5\nfree_megabytes = 10\n'
            + "\n".join(lines)
            + f'\n[retry]\nfirst_seconds = 0.3\nmost_seconds = 1.0\n[[dicom]]\nname = "archive"\nhost = "127.0.0.1"\n'
            f'port = {self.peer_port}\nae_title = "ARCHIVE"\n'
        )

    def start(self, start=Forked):
        node = start(["node", "run", self.config], self.folder / "log")
        self.running.append(node)
        until(lambda: answers(self.port) or node.poll() is not None)
        assert node.poll() is None, (self.folder / "log").read_text()
        return node

    def start_storescp(self):
        command = [needs("storescp"), "-aet", "ARCHIVE", "-od", str(self.inbox), str(self.peer_port)]
        peer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.running.append(peer)
        return peer

    def status(self):
        return node_status(read_node_config(self.config))

    def end(self):
        for process in self.running:
            process.kill()
            process.wait()


@pytest.fixture
def place(tmp_path):
    one = Place(tmp_path)
    yield one
    one.end()


def scan(folder, style=HeaderStyle.STANDARD, **elements):
    rng = np.random.default_rng(3)
    rows, cols = np.ogrid[:256, :64]
    body = 20.0 * np.exp(-(((rows - 128) / 90) ** 2 + ((cols - 32) / 14) ** 2))
    hot = 120.0 * np.exp(-(((rows - 100) / 3) ** 2 + ((cols - 32) / 3) ** 2))
    study = Study("one", {view: Scan(view, rng.poisson(body + hot)) for view in View}, Spacing(4.0, 4.0))
    (path,) = write_nm(study, folder / "one.dcm", Header(style))
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path)
    return path


def store(dataset, port, title="BONESCAN", own="SENDER"):
    quiet_pynetdicom()
    entity = AE(ae_title=own)
    entity.add_requested_context(STORAGE_CLASSES[0])
    association = entity.associate("127.0.0.1", port, ae_title=title)
    if not association.is_established:
        return None
    try:
        answer = association.send_c_store(dataset)
        return answer.get("Status") if answer else None
    finally:
        association.release()


def test_a_study_comes_in_by_dcmtk_and_its_results_go_out_to_dcmtk(place, tmp_path):
    place.configure(formats=["json", "png", "sr", "seg", "capture", "pdf", "gsps"])
    place.start_storescp()
    node = place.start(new_process)
    source = scan(tmp_path, PatientName=f"{MARK}^NAME", PatientID=f"{MARK}7")
    send = [needs("storescu"), "-aec", "BONESCAN", "127.0.0.1", str(place.port), str(source)]
    assert (
        subprocess.run([needs("echoscu"), "-aec", "BONESCAN", "127.0.0.1", str(place.port)], check=False).returncode
        == 0
    )
    assert subprocess.run(send, check=False).returncode == 0
    until(lambda: place.status()["deliveries"]["done"] == 1)
    received = [pydicom.dcmread(path) for path in place.inbox.iterdir()]
    assert {one.Modality for one in received} >= {"SR", "OT", "DOC", "PR"}
    original = pydicom.dcmread(source)
    assert {one.StudyInstanceUID for one in received} == {original.StudyInstanceUID}
    assert {str(one.PatientName) for one in received} == {f"{MARK}^NAME"}
    # The same object again: acknowledged, and nothing is done or sent anew.
    assert subprocess.run(send, check=False).returncode == 0
    until(lambda: "and kept the first" in (tmp_path / "log").read_text())
    # By the time that a study that came later is done, the first would have been done again.
    later = pydicom.dcmread(source)
    later.StudyInstanceUID = later.SeriesInstanceUID = "1.2.840.99.1"
    later.SOPInstanceUID = later.file_meta.MediaStorageSOPInstanceUID = "1.2.840.99.7"
    assert store(later, place.port) == 0
    until(lambda: place.status()["deliveries"]["done"] == 2)
    status = place.status()
    assert (status["objects"], status["results"], status["deliveries"]["done"]) == (2, 2, 2)
    node.send_signal(signal.SIGTERM)
    assert node.wait(timeout=30) == 0
    # Nothing that names the patient, but in the objects as they came and as they went.
    for path in (tmp_path / "storage").rglob("*"):
        assert MARK not in str(path)
        if path.is_file() and path.suffix != ".dcm":
            assert MARK.encode() not in path.read_bytes(), path
    assert MARK not in (tmp_path / "log").read_text()
    assert not re.search(r"\d+\.\d+\.\d+\.\d+\.\d+", (tmp_path / "log").read_text().replace("127.0.0.1", ""))


def test_the_views_of_a_station_are_those_that_the_configuration_states(place, tmp_path):
    place.config.write_text(
        place.config.read_text() + '[[stations]]\nname = "NM-OLD"\nviews = ["posterior", "anterior"]\n'
    )
    place.start()
    for number, station in enumerate(("NM-OLD", "NM-NEW")):
        silent = pydicom.dcmread(scan(tmp_path, HeaderStyle.NO_VIEWS, StationName=station))
        silent.StudyInstanceUID = silent.SeriesInstanceUID = f"1.2.840.99.{number}"
        silent.SOPInstanceUID = silent.file_meta.MediaStorageSOPInstanceUID = f"1.2.840.99.7.{number}"
        assert store(silent, place.port) == 0
    until(lambda: place.status()["results"] and place.status()["failures"])
    (failure,) = place.status()["failures"]
    assert "view" in failure["error"]
    (result,) = (tmp_path / "storage" / "results").glob("*/lesions.json")
    views = json.loads(result.read_text())["views"]
    assert views["posterior"]["source"]["frame"] == 1
    assert views["anterior"]["source"]["frame"] == 2


def test_a_peer_that_is_down_gets_its_results_when_it_comes(place, tmp_path):
    place.start()
    assert store(pydicom.dcmread(scan(tmp_path)), place.port) == 0
    until(lambda: place.status()["tried_again"])
    assert "cannot be reached" in place.status()["tried_again"][0]["error"]
    place.start_storescp()
    until(lambda: place.status()["deliveries"]["done"] == 1)
    assert list(place.inbox.iterdir())


def test_a_node_that_waits_to_try_again_stops_when_it_is_told(place, in_process, tmp_path):
    text = place.config.read_text()
    place.config.write_text(re.sub(r"(first|most)_seconds = .*", r"\1_seconds = 600.0", text))
    node = place.start()
    assert store(pydicom.dcmread(scan(tmp_path)), place.port) == 0
    until(lambda: place.status()["tried_again"])
    node.send_signal(signal.SIGTERM)
    assert node.wait(timeout=30) == 0
    # Nobody has to wait either: somebody who knows that the archive is there again says so.
    place.start()
    place.start_storescp()
    assert place.status()["deliveries"]["waiting"] == 1
    assert in_process("node", "retry", place.config).stdout.startswith("1 job")
    until(lambda: place.status()["deliveries"] == {"waiting": 0, "running": 0, "done": 1, "failed": 0})


def test_what_is_old_is_deleted_and_sent_again_is_new(place, tmp_path):
    place.start_storescp()
    node = place.start()
    source = pydicom.dcmread(scan(tmp_path))
    assert store(source, place.port) == 0
    until(lambda: place.status()["deliveries"]["done"] == 1)
    node.send_signal(signal.SIGTERM)
    assert node.wait(timeout=30) == 0
    (study,) = (tmp_path / "storage" / "studies").iterdir()
    os.utime(study, (time.time() - 3 * 86_400,) * 2)
    place.configure(keep_days=2)
    place.start()
    # The study goes first, then its results and jobs.
    until(lambda: "deleted after 2 days" in (tmp_path / "log").read_text())
    status = place.status()
    assert (status["studies"], status["objects"], status["results"], status["deliveries"]["done"]) == (0, 0, 0, 0)
    assert store(source, place.port) == 0
    until(lambda: place.status()["deliveries"]["done"] == 1)


def test_a_delivery_is_given_up_after_so_many_tries_and_taken_up_again(place, in_process, tmp_path):
    place.config.write_text(place.config.read_text().replace("[retry]", "[retry]\nattempts = 2"))
    place.start()
    assert store(pydicom.dcmread(scan(tmp_path)), place.port) == 0
    until(lambda: place.status()["deliveries"]["failed"] == 1)
    place.start_storescp()
    assert in_process("node", "retry", place.config).stdout.startswith("1 job")
    until(lambda: place.status()["deliveries"] == {"waiting": 0, "running": 0, "done": 1, "failed": 0})


def test_what_cannot_be_read_fails_with_a_sentence_that_the_status_shows(place, in_process, tmp_path):
    node = place.start()
    source = pydicom.dcmread(scan(tmp_path, HeaderStyle.NO_VIEWS, StationName="NM-OLD"))
    assert store(source, place.port) == 0
    until(lambda: place.status()["failures"])
    run = in_process("node", "status", place.config)
    assert run.returncode == 1
    assert "set the views of its station 'NM-OLD' under [[stations]]" in run.stdout
    assert "--views" not in run.stdout
    assert in_process("node", "retry", place.config).stdout.startswith("1 job")
    until(lambda: any("-again-1" in failure["job"] for failure in place.status()["failures"]))
    assert "-again-1" in in_process("node", "status", place.config).stdout
    node.send_signal(signal.SIGTERM)
    assert node.wait(timeout=30) == 0
    assert in_process("node", "status", place.config).returncode == 1


def test_a_failure_that_was_seen_is_dismissed_and_a_monitor_hears_of_it(place, in_process, tmp_path):
    health_port = free_port()
    place.configure(health_port=health_port)
    place.start()

    def health():
        connection = http.client.HTTPConnection("127.0.0.1", health_port, timeout=10)
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    assert health()[0] == 200
    source = pydicom.dcmread(scan(tmp_path, HeaderStyle.NO_VIEWS))
    assert store(source, place.port) == 0
    until(lambda: place.status()["failures"])
    (failure,) = place.status()["failures"]
    code, answer = health()
    assert (code, answer["status"], answer["failed"], answer["segmentations"]["failed"]) == (503, "failing", 1, 1)
    assert failure["error"] not in json.dumps(answer)
    unknown = in_process("node", "dismiss", place.config, "study-none")
    assert (unknown.returncode, "there is no failed job study-none" in unknown.stderr) == (2, True)
    assert in_process("node", "dismiss", place.config).returncode == 2
    assert in_process("node", "dismiss", place.config, failure["job"]).stdout.startswith("1 failure")
    run = in_process("node", "status", place.config)
    assert (run.returncode, "dismissed failures: 1" in run.stdout) == (0, True)
    assert health()[1]["dismissed"] == 1
    assert in_process("node", "retry", place.config).stdout.startswith("0 jobs")
    assert in_process("node", "dismiss", place.config, "--all").stdout.startswith("0 failures")


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_hostile_and_foreign_objects_are_refused(place, tmp_path):
    place.configure(object_megabytes=1, calling_ae_titles=["SENDER"])
    place.start()
    dataset = pydicom.dcmread(scan(tmp_path))
    assert store(dataset, place.port, title="OTHER") is None
    assert store(dataset, place.port, own="STRANGER") is None
    huge = pydicom.dcmread(scan(tmp_path))
    huge.add_new(0x00091001, "OB", bytes(2 * 2**20))
    assert store(huge, place.port) == 0xC000
    evil = pydicom.dcmread(scan(tmp_path))
    evil["SOPInstanceUID"] = pydicom.DataElement("SOPInstanceUID", "UI", "../../evil", validation_mode=0)
    assert store(evil, place.port) in (0xC000, None)
    assert list((tmp_path / "storage" / "spool").iterdir()) == []
    assert not list(tmp_path.rglob("*evil*"))
    assert store(dataset, place.port) == 0


def test_a_second_node_in_one_storage_and_an_occupied_port_are_refused(place, forked, tmp_path):
    place.start()
    run = forked("node", "run", place.config)
    assert run.returncode == 2
    assert "another node runs" in run.stderr
    place.configure()
    other = place.config.read_text().replace(str(tmp_path / "storage"), str(tmp_path / "other"))
    (tmp_path / "other.toml").write_text(other)
    run = forked("node", "run", tmp_path / "other.toml")
    assert run.returncode == 2
    assert "cannot be listened on" in run.stderr


def test_check_says_who_answers(place, cli, forked):
    run = forked("node", "check", place.config)
    assert run.returncode == 1
    assert f"archive at 127.0.0.1:{place.peer_port} cannot be reached (Connection refused)" in run.stderr
    place.start_storescp()
    until(lambda: answers(place.peer_port))
    assert cli("node", "check", place.config).returncode == 0


def test_nothing_is_lost_when_the_node_is_killed(tmp_path):
    """Three kills; results/receiver_kills.json has the figures of 50 while 10,000 objects come in."""
    # In a process of its own: pynetdicom leaves sockets of refused connections to the garbage collector.
    figures = tmp_path / "figures.json"
    command = [sys.executable, SCRIPT, "--objects", "100", "--kills", "3", "--seed", "4", "--json", figures]
    run = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads(figures.read_text())
    assert (report["acknowledged"], report["scans"], report["ended_with"]) == (100, 1, 0)
    assert (report["lost"], report["twice"], report["undelivered"]) == (0, 0, 0)
    # The report and the segmentation of the one scan.
    assert report["results_received"] == 2


def test_the_status_of_a_node_that_was_killed_says_so(place, forked, in_process):
    node = place.start()
    run = in_process("node", "status", place.config)
    assert (run.returncode, run.stdout.splitlines()[0]) == (0, "the node runs")
    node.kill()
    node.wait()
    run = forked("node", "status", place.config)
    assert (run.returncode, run.stdout.splitlines()[0]) == (1, "no node runs in this storage: it was stopped or killed")
    assert json.loads(in_process("node", "status", place.config, "--json").stdout)["running"] is False


def test_the_system_tells_the_node_to_stop_and_it_stops(place):
    node = place.start()
    os.kill(node.pid, signal.SIGINT)
    assert node.wait(timeout=30) == 0
