"""DICOMweb (PS3.18): find and fetch by QIDO-RS and WADO-RS, send by STOW-RS.

An archive's answers are not trusted: their size is limited, objects are written as bytes, and only the limited child
process parses them. Redirects and proxies of the environment are not used, and no message contains text of an answer or
a query.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from bonescan.dicom.objects.common import sop_instance_of
from bonescan.errors import InputError, OptionError
from bonescan.node.destinations import DeliveryError, WebPeer
from bonescan.report.words import counted
from bonescan.system.files import reason_of

MAX_ANSWER_BYTES = 16 * 2**20
MAX_OBJECT_BYTES = 64 * 2**20
_CHUNK = 2**18
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_THERE_ALREADY = (0x0111, 0xB00E)
"""Failure reasons (0008,1197): duplicate SOP instance (PS3.7 C.5.2), and the code that Azure's service uses for it."""
_MOST_SECONDS = 600.0
"""The longest time until an answer is complete."""
_LATER = (408, 425, 429, 500, 502, 503, 504)
_PAGE = 100


class WebArchive:
    """A session with one archive; use it in a `with`."""

    def __init__(self, peer: WebPeer) -> None:
        self._peer = peer
        self._called = _called(peer)
        for key in ("ca_file", "client_certificate", "client_key"):
            _require_readable(getattr(peer, key), key, self._called)
        self._session = requests.Session()
        self._session.trust_env = False
        # No compressed answers: a small one could unpack to a huge size.
        self._session.headers["Accept-Encoding"] = "identity"
        if peer.ca_file:
            self._session.verify = peer.ca_file
        if peer.client_certificate:
            self._session.cert = (
                (peer.client_certificate, peer.client_key) if peer.client_key else peer.client_certificate
            )
        self._session.headers.update(_authorisation(self._session, peer))

    def __enter__(self) -> WebArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def store(self, paths: Sequence[Path]) -> None:
        """Send files of bonescan by STOW-RS; an object that is already there is no failure. Raises DeliveryError."""
        boundary = f"bonescan-{secrets.token_hex(16)}"
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join(head + path.read_bytes() + b"\r\n" for path in paths) + f"--{boundary}--\r\n".encode()
        answer = self._ask(
            "POST",
            "/studies",
            {
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                "Accept": "application/dicom+json",
            },
            body,
        )
        content = _bounded(answer, MAX_ANSWER_BYTES)
        if answer.status_code in (200, 202, 409):
            _judge_store(content, [sop_instance_of(path) for path in paths], self._called)
            return
        raise self._failure(answer.status_code)

    def find(self, path: str, query: Mapping[str, str], most: int) -> Iterator[dict[str, Any]]:
        """Yield what QIDO-RS finds, page by page, up to `most`. Raises DeliveryError."""
        found = 0
        last: list[dict[str, Any]] = []
        while found < most:
            page = {**query, "limit": str(min(_PAGE, most - found)), "offset": str(found)}
            answer = self._ask("GET", path, {"Accept": "application/dicom+json"}, params=page)
            content = _bounded(answer, MAX_ANSWER_BYTES)
            if answer.status_code == 204:
                return
            if answer.status_code != 200:
                raise self._failure(answer.status_code)
            entries = _entries(content, self._called)
            # A short page need not be the last, as archives have their own limits. The same page twice is the end, too.
            if not entries or entries == last:
                return
            yield from entries[: most - found]
            found += len(entries)
            last = entries

    def check(self) -> None:
        """Ask for one study, to see that the archive answers. Raises DeliveryError."""
        for _ in self.find("/studies", {}, 1):
            pass

    def fetch(self, study: str, series: str, instance: str) -> bytes:
        """Return the bytes of one object by WADO-RS. Raises DeliveryError."""
        path = f"/studies/{checked_uid(study)}/series/{checked_uid(series)}/instances/{checked_uid(instance)}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        answer = self._ask("GET", path, {"Accept": accept})
        if answer.status_code != 200:
            answer.close()
            raise self._failure(answer.status_code)
        content = _bounded(answer, MAX_OBJECT_BYTES)
        return _only_part(content, answer.headers.get("Content-Type", ""), self._called)

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                self._peer.url.rstrip("/") + path,
                headers=dict(headers),
                data=body,
                params=dict(params or {}),
                timeout=self._peer.timeout_seconds,
                allow_redirects=False,
                stream=True,
            )
        except requests.exceptions.SSLError:
            raise DeliveryError(
                f"the certificate of {self._called} at {self._peer.url} is not trusted: set ca_file", retryable=False
            ) from None
        except (requests.RequestException, OSError) as error:
            raise DeliveryError(
                f"{self._called} at {self._peer.url} cannot be reached ({_cause(error)})", retryable=True
            ) from None

    def _failure(self, status: int) -> DeliveryError:
        if status in (401, 403):
            return DeliveryError(f"{self._called} does not let us in (HTTP {status})", retryable=False)
        if 300 <= status < 400:
            return DeliveryError(
                f"{self._called} redirects elsewhere (HTTP {status}): give its own URL", retryable=False
            )
        return DeliveryError(f"{self._called} refuses (HTTP {status})", retryable=status in _LATER)


def _cause(error: BaseException) -> str:
    """The system's reason for a failed connection, which the library wraps in several exceptions."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return "no answer in time" if isinstance(error, requests.exceptions.Timeout) else type(error).__name__


def checked_uid(uid: str) -> str:
    """Return an archive's UID after checking its form, as it becomes part of a URL; InputError for any other text."""
    if not is_uid(uid):
        raise InputError("what the archive sent as a UID is none: check that the URL is that of its DICOMweb service")
    return uid


def is_uid(said: str) -> bool:
    """Whether a text has the form of a UID (PS3.5 9.1)."""
    return len(said) <= 64 and bool(_UID.fullmatch(said))


def _require_readable(file: str, key: str, called: str) -> None:
    """Raise OptionError for a stated PEM file that cannot be read."""
    try:
        if file:
            Path(file).read_bytes()
    except OSError as error:
        raise OptionError(
            f"the {key} of {called}, {file}, cannot be read ({reason_of(error)}): give a PEM file"
        ) from None


def _called(peer: WebPeer) -> str:
    """What messages call an archive; `bonescan fetch` has no name for its own but "archive"."""
    return "the archive" if peer.name == "archive" else f"the archive {peer.name}"


def _authorisation(session: requests.Session, peer: WebPeer) -> dict[str, str]:
    """Return the header for a token, or set name and password. The secret comes only from the environment."""
    if peer.auth == "none":
        return {}
    secret = os.environ.get(peer.secret_env, "")
    if not secret:
        raise OptionError(
            f"the environment variable {peer.secret_env} is not set, so {_called(peer)} would not let us in"
        )
    if peer.auth == "bearer":
        return {"Authorization": f"Bearer {secret}"}
    name, _, password = secret.partition(":")
    session.auth = (name, password)
    return {}


def _bounded(answer: requests.Response, most: int) -> bytes:
    """Return an answer's body. Raises DeliveryError where it is larger than `most`, too slow or breaks off."""
    parts: list[bytes] = []
    size = 0
    end = time.monotonic() + _MOST_SECONDS
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        answer.close()
        raise DeliveryError("the archive compresses its answer, which was not asked for", retryable=False)
    try:
        for part in answer.iter_content(_CHUNK):
            size += len(part)
            if size > most:
                raise DeliveryError(f"the archive answered with more than {most >> 20} MB", retryable=False)
            parts.append(part)
            if time.monotonic() > end:
                raise DeliveryError("the archive's answer takes too long", retryable=True)
    except (requests.RequestException, OSError):
        raise DeliveryError("the archive's answer broke off", retryable=True) from None
    finally:
        answer.close()
    stated = answer.headers.get("Content-Length")
    if stated is not None and stated.isdecimal() and int(stated) != size:
        raise DeliveryError("the archive's answer broke off", retryable=True)
    return b"".join(parts)


def _entries(content: bytes, name: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise DeliveryError(f"{name} does not answer as DICOMweb does: check its URL", retryable=False)
    return found


def value_of(entry: Mapping[str, Any], tag: str) -> str:
    """Return the first value of an element of DICOM JSON as text; "" where there is none."""
    element = entry.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values and isinstance(values[0], str | int) else ""


def _judge_store(content: bytes, sent: Sequence[str], name: str) -> None:
    """Raise DeliveryError unless the answer says that the archive has every instance (PS3.18 10.5.3).

    The status is not enough: a proxy in between may answer 200 with a page of its own.
    """
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        said = None
    said = said[0] if isinstance(said, list) and said else said
    if not isinstance(said, dict):
        raise DeliveryError(f"{name} does not answer as STOW-RS does: check its URL", retryable=False)
    there = {value_of(one, "00081155") for one in _items(said, "00081199")}
    reasons = {value_of(one, "00081155"): value_of(one, "00081197") for one in _items(said, "00081198")}
    bad = [
        int(reason) if reason.isdecimal() else 0
        for uid, reason in ((uid, reasons.get(uid, "")) for uid in sent if uid not in there)
        if not (reason.isdecimal() and int(reason) in _THERE_ALREADY)
    ]
    if bad:
        busy = all(reason >> 8 == 0xA7 for reason in bad)
        raise DeliveryError(f"{name} did not take {counted(len(bad), 'object')}", retryable=busy)


def _items(said: Mapping[str, Any], tag: str) -> list[dict[str, Any]]:
    """Return the items of a sequence of DICOM JSON; [] where there is none."""
    element = said.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return [item for item in values if isinstance(item, dict)] if isinstance(values, list) else []


def _only_part(content: bytes, kind: str, name: str) -> bytes:
    """Return the one part of a multipart/related answer (RFC 2387)."""
    found = re.search(r'boundary="?([^";,]{1,70})"?', kind)
    broken = DeliveryError(f"{name} does not answer as WADO-RS does", retryable=False)
    if "multipart/related" not in kind or found is None:
        raise broken
    mark = b"--" + found.group(1).encode("latin-1", "replace")
    parts = content.split(mark)
    if len(parts) != 3 or not parts[2].startswith(b"--"):
        raise broken
    _, blank, body = parts[1].partition(b"\r\n\r\n")
    if not blank or not body.endswith(b"\r\n"):
        raise broken
    return body[:-2]
