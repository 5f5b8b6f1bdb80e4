"""DICOMweb against servers that answer as no archive should."""

from __future__ import annotations

import gzip
import http.server
import json
import re
import threading
import time
import urllib.parse
import urllib.request

import pytest
from tests.integration.test_node import free_port, scan

from bonescan.dicom.objects.common import sop_instance_of
from bonescan.errors import InputError, OptionError
from bonescan.node.destinations import DeliveryError, WebPeer
from bonescan.node.dicomweb import WebArchive, value_of
from bonescan.node.fetch import fetch_study


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


def test_an_image_that_is_refused_does_not_stop_the_others(bad, in_process, tmp_path):
    content = scan(tmp_path, StudyInstanceUID="1.2.3").read_bytes()

    class Archive(Bad):
        def do_GET(self):
            path = urllib.parse.urlsplit(self.path).path
            uids = ["1.2.3"] if path.endswith("studies") else ["1.2.4", "1.2.5", "1.2.6"][: 1 + 2 * ("1.2.4" in path)]
            entries = [{tag: {"Value": [uid]} for tag in ("0020000D", "0020000E", "00080018")} for uid in uids]
            self.server.answer = (200, {}, [json.dumps(entries if "offset=0" in self.path else []).encode()])
            if "?" not in self.path:
                whole = (200, MULTIPART, [b"--B\r\n\r\n" + content + b"\r\n--B--"])
                self.server.answer = (404, {}, []) if path.endswith("1.2.5") else whole
            super().do_GET()

    bad.RequestHandlerClass = Archive
    url = f"http://127.0.0.1:{bad.server_port}/x"
    run = in_process("fetch", url, "-o", tmp_path / "out", "--study", "1.2.3", "--json")
    assert run.returncode == 1, run.stderr
    told = json.loads(run.stdout)
    assert len(told["files"]) == 2
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 2
    (failure,) = told["failures"]
    assert failure["error"] == "1 image could not be fetched: the archive refuses (HTTP 404)"


def test_a_certificate_file_that_cannot_be_read_is_named(in_process, tmp_path):
    missing = tmp_path / "ca.pem"
    run = in_process("fetch", "https://127.0.0.1/x", "-o", tmp_path / "o", "--study", "1.2.3", "--ca-file", missing)
    assert run.returncode == 2
    assert f"the ca_file of the archive, {missing}, cannot be read (No such file or directory)" in run.stderr


def test_node_check_asks_archives_as_well(bad, forked, tmp_path):
    (tmp_path / "node.toml").write_text(
        f'storage = "{tmp_path / "s"}"\n[[web]]\nname = "web"\nurl = "http://127.0.0.1:{bad.server_port}/x"\n'
    )
    bad.answer = (200, {}, [b"[]"])
    run = forked("node", "check", tmp_path / "node.toml")
    assert (run.returncode, "destination web: answers" in run.stdout) == (0, True), run.stderr
    bad.answer = (200, {}, [b"<html>"])
    run = forked("node", "check", tmp_path / "node.toml")
    assert run.returncode == 1
    assert "does not answer as DICOMweb does" in run.stderr


def test_an_unreachable_archive_is_tried_again_later():
    with (
        WebArchive(WebPeer("archive", f"http://127.0.0.1:{free_port()}")) as archive,
        pytest.raises(DeliveryError) as failure,
    ):
        list(archive.find("/studies", {}, 1))
    assert failure.value.retryable


def test_a_password_in_a_url_is_refused():
    with pytest.raises(OptionError, match="holds a password"):
        WebPeer("archive", "https://a:b@archive/")


def test_the_archive_of_fetch_is_not_named_twice(bad):
    bad.answer = (503, {}, [])
    unreachable = f"http://127.0.0.1:{free_port()}"
    for peer, words in (
        (WebPeer("archive", unreachable), "the archive at"),
        (WebPeer("pacs", unreachable), "the archive pacs at"),
    ):
        with (
            WebArchive(peer) as archive,
            pytest.raises(DeliveryError, match=f"^{words} {unreachable} cannot be reached"),
        ):
            archive.check()
    with WebArchive(at(bad)) as archive, pytest.raises(DeliveryError, match=r"^the archive refuses \(HTTP 503\)"):
        archive.check()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--study", "abc"), "the study 'abc' is no UID: give its Study Instance UID"),
        (("--date", "20250101-20240101"), "'20250101-20240101' ends before it begins: write it as 20240101-20250101"),
    ],
)
def test_fetch_names_what_it_cannot_use(in_process, tmp_path, arguments, sentence):
    run = in_process("fetch", f"http://127.0.0.1:{free_port()}/x", "-o", tmp_path / "o", *arguments)
    assert run.returncode == 2
    assert sentence in run.stderr


@pytest.mark.parametrize(("auth", "secret"), [("none", None), ("basic", "password"), ("bearer", "token")])
def test_fetch_warns_of_a_secret_over_plain_http(bad, in_process, tmp_path, monkeypatch, auth, secret):
    monkeypatch.setenv("ARCHIVE_SECRET", "ada:secret")
    bad.answer = (204, {}, [])
    login = () if secret is None else ("--auth", auth, "--secret-env", "ARCHIVE_SECRET")
    run = in_process("fetch", at(bad).url, "-o", tmp_path / "o", *login)
    assert run.returncode == 0, run.stderr
    assert ("is sent unencrypted" in run.stderr) is (secret is not None)
    assert secret is None or f"warning: the {secret} is sent unencrypted" in run.stderr
