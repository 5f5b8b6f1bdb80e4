"""DICOMweb against Orthanc: scans and results go there, and scans come back as they went."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pydicom
import pytest
from tests.drawn import needs
from tests.integration.test_node import Place, free_port, scan, until

from bonescan.node.destinations import WebPeer
from bonescan.node.dicomweb import WebArchive

pytestmark = pytest.mark.slow
PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc")


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """An archive of its own, on ports of its own; its DICOMweb service."""
    program = needs("Orthanc")
    plugin = next((path for folder in PLUGINS for path in Path(folder).rglob("*OrthancDicomWeb*.so*")), None)
    if plugin is None:
        needs("the DICOMweb plugin of Orthanc")
    folder = tmp_path_factory.mktemp("orthanc")
    port = free_port()
    (folder / "config.json").write_text(
        json.dumps(
            {
                "HttpPort": port,
                "DicomPort": free_port(),
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "storage"),
                "Plugins": [str(plugin)],
                "AuthenticationEnabled": True,
                "RegisteredUsers": {"bone": "scan"},
                "RemoteAccessAllowed": False,
                "HttpsVerifyPeers": False,
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            }
        )
    )
    process = subprocess.Popen(
        [program, str(folder / "config.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
    )

    def answers():
        request = urllib.request.Request(f"http://127.0.0.1:{port}/system")
        request.add_header("Authorization", "Basic Ym9uZTpzY2Fu")
        try:
            with urllib.request.urlopen(request, timeout=2):
                return True
        except OSError:
            return False

    try:
        until(answers)
        yield f"http://127.0.0.1:{port}/dicom-web"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv("ARCHIVE_SECRET", "bone:scan")


def peer_of(url, **more):
    return WebPeer("archive", url, "basic", "ARCHIVE_SECRET", timeout_seconds=5.0, **more)


def test_scans_and_results_go_to_orthanc_and_scans_come_back_as_they_went(orthanc, secret, forked, tmp_path):
    source = scan(tmp_path, PatientID="P1")
    run = forked("segment", source, "-o", tmp_path / "out", "--format", "sr,seg,capture,pdf,gsps")
    assert run.returncode == 0, run.stderr
    written = sorted((tmp_path / "out").rglob("*.dcm"))
    with WebArchive(peer_of(orthanc)) as archive:
        archive.store([source])
        archive.store(written)
        archive.store(written)  # again: what is there is no failure
    options = ["--auth", "basic", "--secret-env", "ARCHIVE_SECRET"]
    first = forked("fetch", orthanc, "-o", tmp_path / "scans", *options)
    assert first.returncode == 0, first.stderr
    assert "1 file fetched, 0 already there" in first.stdout
    (fetched,) = (tmp_path / "scans").rglob("*.dcm")
    one, other = pydicom.dcmread(source), pydicom.dcmread(fetched)
    assert one.PixelData == other.PixelData
    assert one.SOPInstanceUID == other.SOPInstanceUID
    assert one.SOPInstanceUID not in str(fetched)
    again = forked("fetch", orthanc, "-o", tmp_path / "scans", *options, "--study", one.StudyInstanceUID)
    assert "0 files fetched, 1 already there" in again.stdout
    (tmp_path / "ids").write_text("P1\n")
    assert (
        forked("fetch", orthanc, "-o", tmp_path / "more", *options, "--patient-ids", tmp_path / "ids").returncode == 0
    )
    assert len(list((tmp_path / "more").rglob("*.dcm"))) == 1
    none = forked("fetch", orthanc, "-o", tmp_path / "none", *options, "--date", "19000101-19000102")
    assert (none.returncode, list(tmp_path.glob("none"))) == (0, [])
    assert forked("segment", tmp_path / "scans", "-o", tmp_path / "result").returncode == 0


def test_a_node_sends_to_orthanc(orthanc, secret, tmp_path):
    place = Place(tmp_path)
    try:
        text = place.config.read_text()
        place.config.write_text(
            re.sub(r"formats = .*|(?s:\[\[dicom\]\].*)", "", text)  # all formats that a node has of itself
            + f'[[web]]\nname = "orthanc"\nurl = "{orthanc}"\nauth = "basic"\nsecret_env = "ARCHIVE_SECRET"\n'
        )
        place.start()
        source = scan(tmp_path, StudyInstanceUID="1.2.3.77")
        send = [needs("storescu"), "-aec", "BONESCAN", "127.0.0.1", str(place.port), str(source)]
        assert subprocess.run(send, check=False).returncode == 0
        until(lambda: place.status()["deliveries"]["done"] == 1)
        with WebArchive(peer_of(orthanc)) as archive:
            kinds = {str(one["00080060"]["Value"][0]) for one in archive.find("/studies/1.2.3.77/series", {}, 50)}
        assert kinds >= {"SR", "OT", "DOC"}
    finally:
        place.end()


def test_a_wrong_password_and_no_password_are_one_sentence(orthanc, secret, monkeypatch, forked, tmp_path):
    monkeypatch.setenv("ARCHIVE_SECRET", "bone:wrong")
    run = forked("fetch", orthanc, "-o", tmp_path, "--auth", "basic", "--secret-env", "ARCHIVE_SECRET")
    assert run.returncode == 2
    assert "does not let us in (HTTP 401)" in run.stderr
    assert "wrong" not in run.stderr
    monkeypatch.delenv("ARCHIVE_SECRET")
    run = forked("fetch", orthanc, "-o", tmp_path, "--auth", "basic", "--secret-env", "ARCHIVE_SECRET")
    assert run.returncode == 2
    assert "is not set" in run.stderr
