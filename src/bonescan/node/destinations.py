"""Where results go: peers that take C-STORE, and archives that take STOW-RS. Values alone, no network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from bonescan.errors import BonescanError, OptionError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_MOST_PORT = 65535
_MOST_AE_LETTERS = 16


@dataclass(frozen=True, slots=True)
class DicomPeer:
    """A peer that takes objects by C-STORE."""

    name: str
    """Its name in the log, the status and the names of jobs: letters, digits, - and _; it must not change later."""

    host: str
    """Its host name or address."""

    port: int = 104
    """Its TCP port."""

    ae_title: str = "ANY-SCP"
    """Its AE title, which is what we call."""

    calling_ae_title: str = ""
    """The AE title that we call with; empty = the node's own."""

    tls: bool = False
    """Talk TLS, with the certificate, key and CA of the node's table `tls`."""

    timeout_seconds: float = 60.0
    """The longest wait for a connection, an association, or an answer."""

    def __post_init__(self) -> None:
        check_name(self.name)
        check_ae_title(self.ae_title, f"dicom.{self.name}.ae_title")
        if self.calling_ae_title:
            check_ae_title(self.calling_ae_title, f"dicom.{self.name}.calling_ae_title")
        if not self.host:
            raise OptionError(f"the destination {self.name} states no host: set host")
        check_port(self.port, f"dicom.{self.name}.port")
        if not self.timeout_seconds > 0:
            raise OptionError(f"dicom.{self.name}.timeout_seconds is {self.timeout_seconds}: give a number above 0")


@dataclass(frozen=True, slots=True)
class WebPeer:
    """An archive that speaks DICOMweb: STOW-RS to send, QIDO-RS and WADO-RS to fetch. No secret lies in here."""

    name: str
    """Its name in the log, the status and the names of jobs: letters, digits, - and _; it must not change later."""

    url: str
    """The base URL of the service, as https://archive/dicom-web."""

    auth: Literal["none", "basic", "bearer"] = "none"
    """How it wants to know who we are."""

    secret_env: str = ""
    """The environment variable that holds "user:password" (basic) or the token (bearer)."""

    ca_file: str = ""
    """A PEM file of the certificate authorities to trust; empty = those of the system."""

    client_certificate: str = ""
    """A PEM file of our certificate, where the archive asks for one."""

    client_key: str = ""
    """The PEM file of its key."""

    timeout_seconds: float = 60.0
    """The longest wait for a connection or for an answer's next bytes."""

    def __post_init__(self) -> None:
        check_name(self.name)
        try:
            parts = urlsplit(self.url)
            wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
            named = parts.username is not None or parts.password is not None
        except ValueError:
            wrong, named = True, False
        if wrong:
            raise OptionError(f"the url of the destination {self.name} is none: give one as https://archive/dicom-web")
        if named:
            raise OptionError(f"the url of the destination {self.name} holds a password: set auth and secret_env")
        if (self.auth == "none") == bool(self.secret_env):
            raise OptionError(f"the destination {self.name} needs both auth and secret_env, or neither: set the other")
        if self.client_key and not self.client_certificate:
            raise OptionError(f"the destination {self.name} has a client_key alone: set client_certificate, too")
        if not self.timeout_seconds > 0:
            raise OptionError(f"web.{self.name}.timeout_seconds is {self.timeout_seconds}: give a number above 0")


Destination = DicomPeer | WebPeer


def check_name(name: str) -> None:
    """Raise OptionError unless `name` can name a destination."""
    if not _NAME.fullmatch(name):
        raise OptionError(f"a destination's name is {name!r}: use up to 32 letters, digits, - and _")


def check_ae_title(title: str, key: str) -> None:
    """Raise OptionError unless `title` is an AE title (PS3.5 6.2): up to 16 letters of ASCII, not blank."""
    plain = title.isascii() and title.isprintable() and "\\" not in title
    if not (plain and title.strip() and len(title) <= _MOST_AE_LETTERS and title == title.strip()):
        raise OptionError(f"{key} is {title!r}: give an AE title of up to {_MOST_AE_LETTERS} letters of ASCII")


def check_port(port: int, key: str) -> None:
    """Raise OptionError unless `port` is a TCP port."""
    if not 1 <= port <= _MOST_PORT:
        raise OptionError(f"{key} is {port}: give a port from 1 to {_MOST_PORT}")


class DeliveryError(BonescanError):
    """Results could not be handed to a destination; one sentence, without the name of a patient or a UID.

    retryable: it may succeed later without anybody's doing (unreachable, busy, full). Otherwise somebody has to
    change something first (refused, not authorised, not understood).
    """

    def __init__(self, sentence: str, *, retryable: bool) -> None:
        super().__init__(sentence)
        self.retryable = retryable
