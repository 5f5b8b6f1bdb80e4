"""DICOMweb against Orthanc, and against servers that answer as no archive should; TLS between two nodes."""

from __future__ import annotations

import gzip
import http.server
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pydicom
import pytest
from tests.drawn import needs
from tests.integration.test_node import Place, free_port, scan, until

from bonescan.dicom.objects.common import sop_instance_of
from bonescan.errors import InputError, OptionError
from bonescan.node.destinations import DeliveryError, WebPeer
from bonescan.node.dicomweb import WebArchive, value_of
from bonescan.node.fetch import fetch_study

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


def test_scans_and_results_go_to_orthanc_and_scans_come_back_as_they_went(orthanc, secret, cli, tmp_path):
    source = scan(tmp_path, PatientID="P1")
    run = cli("segment", source, "-o", tmp_path / "out", "--format", "sr,seg,capture,pdf,gsps")
    assert run.returncode == 0, run.stderr
    written = sorted((tmp_path / "out").rglob("*.dcm"))
    with WebArchive(peer_of(orthanc)) as archive:
        archive.store([source])
        archive.store(written)
        archive.store(written)  # again: what is there is no failure
    options = ["--auth", "basic", "--secret-env", "ARCHIVE_SECRET"]
    first = cli("fetch", orthanc, "-o", tmp_path / "scans", *options)
    assert first.returncode == 0, first.stderr
    assert "1 file(s) fetched, 0 already there" in first.stdout
    (fetched,) = (tmp_path / "scans").rglob("*.dcm")
    one, other = pydicom.dcmread(source), pydicom.dcmread(fetched)
    assert one.PixelData == other.PixelData
    assert one.SOPInstanceUID == other.SOPInstanceUID
    assert one.SOPInstanceUID not in str(fetched)
    again = cli("fetch", orthanc, "-o", tmp_path / "scans", *options, "--study", one.StudyInstanceUID)
    assert "0 file(s) fetched, 1 already there" in again.stdout
    (tmp_path / "ids").write_text("P1\n")
    assert cli("fetch", orthanc, "-o", tmp_path / "more", *options, "--patient-ids", tmp_path / "ids").returncode == 0
    assert len(list((tmp_path / "more").rglob("*.dcm"))) == 1
    none = cli("fetch", orthanc, "-o", tmp_path / "none", *options, "--date", "19000101-19000102")
    assert (none.returncode, list(tmp_path.glob("none"))) == (0, [])
    assert cli("segment", tmp_path / "scans", "-o", tmp_path / "result").returncode == 0


def test_a_node_sends_to_orthanc(orthanc, secret, tmp_path):
    place = Place(tmp_path)
    try:
        text = place.config.read_text()
        place.config.write_text(
            re.sub(r"\[\[dicom\]\].*", "", text, flags=re.DOTALL)
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


def test_a_wrong_password_and_no_password_are_one_sentence(orthanc, secret, monkeypatch, cli, tmp_path):
    monkeypatch.setenv("ARCHIVE_SECRET", "bone:wrong")
    run = cli("fetch", orthanc, "-o", tmp_path, "--auth", "basic", "--secret-env", "ARCHIVE_SECRET")
    assert run.returncode == 2
    assert "does not let us in (HTTP 401)" in run.stderr
    assert "wrong" not in run.stderr
    monkeypatch.delenv("ARCHIVE_SECRET")
    run = cli("fetch", orthanc, "-o", tmp_path, "--auth", "basic", "--secret-env", "ARCHIVE_SECRET")
    assert run.returncode == 2
    assert "is not set" in run.stderr


class Bad(http.server.BaseHTTPRequestHandler):
    """Answers every request as its server was told."""

    def do_GET(self):
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for part in body:
                self.wfile.write(part)
        except OSError:
            pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def bad():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bad)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def at(server):
    return WebPeer("archive", f"http://127.0.0.1:{server.server_port}/x", timeout_seconds=2.0)


MULTIPART = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}


@pytest.mark.parametrize(
    ("answer", "why", "retryable"),
    [
        ((503, {}, []), "refuses \\(HTTP 503\\)", True),
        ((404, {}, []), "refuses \\(HTTP 404\\)", False),
        ((302, {"Location": "http://192.0.2.1/"}, []), "redirects elsewhere", False),
        ((200, {}, [b"<html>DOE JOHN</html>"]), "does not answer as DICOMweb", False),
        ((200, {}, [b"[" * 100_000]), "does not answer as DICOMweb", False),
        ((200, {"Content-Length": "1000"}, [b"[]"]), "broke off", True),
        ((200, {}, (b"[" + b" " * 2**20 for _ in range(64))), "more than 16 MB", False),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_server_that_is_no_archive_is_one_sentence(bad, answer, why, retryable):
    bad.answer = answer
    with WebArchive(at(bad)) as archive, pytest.raises(DeliveryError, match=why) as failure:
        list(archive.find("/studies", {"PatientID": "SECRET"}, 10))
    assert failure.value.retryable is retryable
    assert not re.search("DOE|SECRET", str(failure.value))


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, [b"x"]),
        (200, MULTIPART, [b"--B\r\n\r\nno end"]),
        (200, MULTIPART, [b"--B\r\nContent-Type: x\r\n\r\na\r\n--B\r\n\r\nb\r\n--B--"]),
        (200, MULTIPART, [b""]),
    ],
)
def test_an_object_that_comes_broken_is_refused(bad, answer):
    bad.answer = answer
    with WebArchive(at(bad)) as archive, pytest.raises(DeliveryError, match="WADO-RS"):
        archive.fetch("1.2", "1.3", "1.4")


def test_an_object_comes_out_of_its_envelope(bad):
    bad.answer = (200, MULTIPART, [b"--B\r\nContent-Type: application/dicom\r\n\r\nab\r\ncd\r\n--B--\r\n"])
    with WebArchive(at(bad)) as archive:
        assert archive.fetch("1.2", "1.3", "1.4") == b"ab\r\ncd"
        with pytest.raises(InputError, match="is none"):
            archive.fetch("../1.2", "1.3", "1.4")


@pytest.mark.parametrize(
    ("status", "reasons", "fails", "retryable"),
    [
        (200, [0], False, None),
        (202, [0x0111], False, None),
        (409, [0x0111], False, None),
        (409, [0xB00E], False, None),
        (409, [0xA700], True, True),
        (409, [0xA900, 0x0111], True, False),
        (202, [0, 0xA700], True, True),
        (200, [0, None], True, False),
        (409, [None], True, False),
    ],
)
def test_an_answer_to_a_store_is_understood(bad, tmp_path, status, reasons, fails, retryable):
    """reasons: of each object that is sent: 0 = it is there, None = nothing is said of it."""
    paths = []
    said = {tag: {"vr": "SQ", "Value": []} for tag in ("00081198", "00081199")}
    for number, reason in enumerate(reasons):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths.append(scan(folder, SOPInstanceUID=f"1.2.3.{number}"))
        item = {"00081155": {"vr": "UI", "Value": [sop_instance_of(paths[-1])]}}
        if reason:
            said["00081198"]["Value"].append({**item, "00081197": {"vr": "US", "Value": [reason]}})
        elif reason == 0:
            said["00081199"]["Value"].append(item)
    bad.answer = (status, {}, [json.dumps(said).encode()])
    with WebArchive(at(bad)) as archive:
        if not fails:
            archive.store(paths)
            return
        with pytest.raises(DeliveryError) as failure:
            archive.store(paths)
        assert failure.value.retryable is retryable


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Please sign in</html>", b"[]", b"3", b'{"00081199": []}', b'{"00081199": {"Value": null}}',
     b'{"00081199": {"Value": [3]}, "00081198": {"Value": {"a": 1}}}', b"[" * 100_000],
    ids=lambda value: value[:20].decode(),
)  # fmt: skip
def test_success_without_a_word_on_the_objects_is_none(bad, tmp_path, body):
    bad.answer = (200, {}, [body])
    with WebArchive(at(bad)) as archive, pytest.raises(DeliveryError) as failure:
        archive.store([scan(tmp_path)])
    assert not failure.value.retryable


def test_a_compressed_answer_is_not_unpacked(bad):
    bad.answer = (200, {"Content-Encoding": "gzip"}, [gzip.compress(bytes(2**28))])
    with WebArchive(at(bad)) as archive, pytest.raises(DeliveryError, match="compresses"):
        list(archive.find("/studies", {}, 10))


def test_an_answer_that_trickles_is_given_up(bad, monkeypatch):
    def trickle():
        while True:
            time.sleep(0.1)
            yield b" "

    monkeypatch.setattr("bonescan.node.dicomweb._MOST_SECONDS", 0.5)
    monkeypatch.setattr("bonescan.node.dicomweb._CHUNK", 1)
    bad.answer = (200, {}, trickle())
    with WebArchive(at(bad)) as archive, pytest.raises(DeliveryError, match="too long"):
        list(archive.find("/studies", {}, 10))


class Paged(Bad):
    """Finds 250 studies; gives 30 of them at most a page, or all whatever the page."""

    def do_GET(self):
        asked = {name: int(value) for name, value in urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query)}
        studies = [{"0020000D": {"Value": [f"1.2.{number}"]}} for number in range(250)]
        if self.server.pages:
            studies = studies[asked["offset"] :][: min(30, asked["limit"])]
        self.server.answer = (200, {}, [json.dumps(studies).encode()])
        super().do_GET()


@pytest.mark.parametrize("pages", [True, False])
def test_an_archive_with_pages_of_its_own_is_read_to_the_end(bad, pages):
    bad.RequestHandlerClass, bad.pages = Paged, pages
    with WebArchive(at(bad)) as archive:
        found = [value_of(one, "0020000D") for one in archive.find("/studies", {}, 1000)]
    assert found == [f"1.2.{number}" for number in range(250)]


def test_an_image_of_another_study_is_not_kept(bad, tmp_path):
    content = scan(tmp_path, StudyInstanceUID="1.2.3.99").read_bytes()
    envelope = [b"--B\r\n\r\n" + content + b"\r\n--B--"]

    class Archive(Bad):
        def do_GET(self):
            entry = {tag: {"Value": ["1.2.4"]} for tag in ("0020000E", "00080018")}
            found = (200, {}, [json.dumps([entry] if "offset=0" in self.path else []).encode()])
            self.server.answer = found if "?" in self.path else (200, MULTIPART, envelope)
            super().do_GET()

    bad.RequestHandlerClass = Archive
    with WebArchive(at(bad)) as archive:
        with pytest.raises(InputError, match="another study"):
            list(fetch_study(archive, "1.2.3.4", tmp_path / "out"))
        assert not list((tmp_path / "out").rglob("*.*"))
        assert len(list(fetch_study(archive, "1.2.3.99", tmp_path / "out"))) == 1


def test_node_check_asks_archives_as_well(bad, cli, tmp_path):
    (tmp_path / "node.toml").write_text(
        f'storage = "{tmp_path / "s"}"\n[[web]]\nname = "web"\nurl = "http://127.0.0.1:{bad.server_port}/x"\n'
    )
    bad.answer = (200, {}, [b"[]"])
    run = cli("node", "check", tmp_path / "node.toml")
    assert (run.returncode, "destination web: answers" in run.stdout) == (0, True), run.stderr
    bad.answer = (200, {}, [b"<html>"])
    run = cli("node", "check", tmp_path / "node.toml")
    assert run.returncode == 1
    assert "does not answer as DICOMweb does" in run.stderr


def make_certificate(folder, name):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
    extension = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *files, *extension], check=True, capture_output=True)


def test_nobody_there_is_tried_again_later():
    with (
        WebArchive(WebPeer("archive", f"http://127.0.0.1:{free_port()}")) as archive,
        pytest.raises(DeliveryError) as failure,
    ):
        list(archive.find("/studies", {}, 1))
    assert failure.value.retryable


def test_a_password_in_a_url_is_refused():
    with pytest.raises(OptionError, match="holds a password"):
        WebPeer("archive", "https://a:b@archive/")


def test_associations_over_tls_need_the_right_certificates(cli, tmp_path):
    """A node that listens over TLS, asked by `node check` of others with and without a certificate."""
    for name in ("ours", "stranger"):
        make_certificate(tmp_path, name)
    port = free_port()
    (tmp_path / "node.toml").write_text(
        f'storage = "{tmp_path / "storage"}"\nport = {port}\n[tls]\nlisten = true\n'
        f'certificate = "{tmp_path}/ours.pem"\n'
        f'key = "{tmp_path}/ours.key"\nca_file = "{tmp_path}/ours.pem"\n'
    )
    log = (tmp_path / "log").open("wb")
    node = subprocess.Popen([sys.executable, "-m", "bonescan", "node", "run", tmp_path / "node.toml"], stderr=log)
    log.close()
    try:
        until(lambda: b"listening" in (tmp_path / "log").read_bytes())
        codes = {}
        for name, certificate in (("ours", "ours"), ("stranger", "stranger"), ("plain", None)):
            text = f'storage = "{tmp_path / name}"\n[[dicom]]\nname = "a"\nhost = "127.0.0.1"\nport = {port}\n'
            text += 'ae_title = "BONESCAN"\ntimeout_seconds = 5.0\n'
            if certificate:
                text += f'tls = true\n[tls]\ncertificate = "{tmp_path}/{certificate}.pem"\n'
                text += f'key = "{tmp_path}/{certificate}.key"\nca_file = "{tmp_path}/ours.pem"\n'
            (tmp_path / f"{name}.toml").write_text(text)
            codes[name] = cli("node", "check", tmp_path / f"{name}.toml").returncode
        assert codes == {"ours": 0, "stranger": 1, "plain": 1}
    finally:
        node.terminate()
        node.wait(timeout=30)
        time.sleep(0)


def test_a_caller_that_never_begins_tls_keeps_no_other_waiting(cli, tmp_path):
    make_certificate(tmp_path, "ours")
    port = free_port()
    table = (
        f'[tls]\ncertificate = "{tmp_path}/ours.pem"\nkey = "{tmp_path}/ours.key"\nca_file = "{tmp_path}/ours.pem"\n'
    )
    (tmp_path / "node.toml").write_text(f'storage = "{tmp_path / "storage"}"\nport = {port}\n{table}listen = true\n')
    (tmp_path / "caller.toml").write_text(
        f'storage = "{tmp_path / "s"}"\n{table}[[dicom]]\nname = "a"\nhost = "127.0.0.1"\nport = {port}\n'
        'ae_title = "BONESCAN"\ntls = true\ntimeout_seconds = 10.0\n'
    )
    log = (tmp_path / "log").open("wb")
    node = subprocess.Popen([sys.executable, "-m", "bonescan", "node", "run", tmp_path / "node.toml"], stderr=log)
    log.close()
    try:
        until(lambda: b"listening" in (tmp_path / "log").read_bytes())
        with socket.create_connection(("127.0.0.1", port)):
            assert cli("node", "check", tmp_path / "caller.toml").returncode == 0
    finally:
        node.terminate()
        node.wait(timeout=30)
