"""The configuration of a node: frozen dataclasses, read from TOML, and TLS contexts made from it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bonescan.configuration import config_from_dict, read_toml
from bonescan.dicom.values import ReadOptions
from bonescan.errors import OptionError
from bonescan.node.destinations import Destination, DicomPeer, WebPeer, check_ae_title, check_port
from bonescan.study import View

DEFAULT_FORMATS = ("json", "labels", "png", "sr", "seg", "capture", "pdf")


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """How a delivery that failed is tried again."""

    first_seconds: float = 30.0
    """The wait after the first failure; each further one is twice as long."""

    most_seconds: float = 3600.0
    """The longest wait."""

    attempts: int = 200
    """So many tries, then the delivery has failed until `bonescan node retry`."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Our certificate and whom we trust, for associations over TLS (PS3.15 B.9)."""

    listen: bool = False
    """Take associations over TLS alone."""

    certificate: str = ""
    """PEM file of our certificate, and of those between it and its authority."""

    key: str = ""
    """PEM file of its key, without a passphrase."""

    ca_file: str = ""
    """PEM file of the authorities that we trust; empty = the system's, and senders need no certificate."""


@dataclass(frozen=True, slots=True)
class StationConfig:
    """A scanner whose headers do not say which frame is which view, or say it wrongly."""

    name: str
    """Station Name (0008,1010) in its headers; "" = files without one."""

    views: tuple[str, ...]
    """The view of each frame, in order, such as ["anterior", "posterior"]; overrules the header."""

    def options(self) -> ReadOptions:
        """What is stated of its scans; OptionError for views that are none."""
        unknown = [view for view in self.views if view not in list(View)]
        if unknown:
            raise OptionError(f"there is no view {unknown[0]!r}: give {' or '.join(View)} (stations.views)")
        return ReadOptions(views=tuple(View(view) for view in self.views))


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node. An unknown key is an error."""

    storage: str
    """The folder that holds everything the node keeps; used by nothing else."""

    ae_title: str = "BONESCAN"
    """Our AE title; a call for another one is refused."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 = all of this machine's."""

    port: int = 11112
    """The port to listen on."""

    health_port: int = 0
    """A port of this machine alone, on which `GET /health` tells a monitor how the node is; 0 = none."""

    calling_ae_titles: tuple[str, ...] = ()
    """Who may send; empty = anybody who can reach the port."""

    associations: int = 10
    """The most associations at once; a further one is refused for now."""

    quiet_seconds: float = 60.0
    """A study to which nothing was added for so long is complete."""

    model: str = "phantom-unet"
    """A model that ships, or a bundle's folder."""

    operating_point: str = "balanced"
    """How sure the model must be of a lesion: sensitive, balanced or specific; its bundle must have this one."""

    formats: tuple[str, ...] = DEFAULT_FORMATS
    """What is written of each result, at least one; the objects in DICOM among them are sent. With destinations, one of
    sr, seg, capture, pdf and gsps is needed."""

    identify: bool = False
    """Draw the patient's name into pictures and pages."""

    object_megabytes: int = 48
    """The largest object that is taken."""

    free_megabytes: int = 1024
    """With less free on the disk, objects are refused as out of resources, and health and status say so."""

    keep_days: int = 0
    """A study to which nothing was added for so long is deleted with its results and jobs, once all are delivered; 0 =
    nothing is ever deleted."""

    database: str = ""
    """URL of a PostgreSQL database for the queue, where several machines share it; empty = SQLite in the storage."""

    retry: RetryConfig = field(default_factory=RetryConfig)
    """How deliveries are tried again."""

    tls: TlsConfig = field(default_factory=TlsConfig)
    """Certificates for TLS."""

    stations: tuple[StationConfig, ...] = ()
    """Scanners of which the views are stated here."""

    dicom: tuple[DicomPeer, ...] = ()
    """Destinations that take C-STORE."""

    web: tuple[WebPeer, ...] = ()
    """Destinations that take STOW-RS."""

    def __post_init__(self) -> None:
        check_ae_title(self.ae_title, "ae_title")
        check_port(self.port, "port")
        if self.health_port:
            check_port(self.health_port, "health_port")
        for title in self.calling_ae_titles:
            check_ae_title(title, "calling_ae_titles")
        names = [peer.name for peer in self.destinations]
        if len(set(names)) != len(names):
            raise OptionError(f"two destinations have one name ({', '.join(sorted(names))}): name them differently")
        for station in self.stations:
            station.options()
        stations = [station.name for station in self.stations]
        if len(set(stations)) != len(stations):
            raise OptionError(f"two stations have one name ({', '.join(sorted(stations))}): keep one of them")
        if not self.storage:
            raise OptionError("storage is empty: give the folder that the node keeps everything in")
        for key in ("quiet_seconds", "associations", "object_megabytes"):
            if not getattr(self, key) > 0:
                raise OptionError(f"{key} is {getattr(self, key)}: give a number above 0")
        if self.keep_days < 0:
            raise OptionError(f"keep_days is {self.keep_days}: give a number of days, or 0 to keep everything")
        if self.tls.listen and not (self.tls.certificate and self.tls.key):
            raise OptionError("tls.listen needs tls.certificate and tls.key: give both")
        retry = self.retry
        if not (0 < retry.first_seconds <= retry.most_seconds and retry.attempts >= 1):
            raise OptionError("retry needs 0 < first_seconds <= most_seconds and at least one of attempts")

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """All destinations."""
        return (*self.dicom, *self.web)

    def options_of(self, station: str) -> ReadOptions | None:
        """What is stated of the scans of a station; None where nothing is."""
        return next((one.options() for one in self.stations if one.name == station), None)

    @property
    def database_url(self) -> str:
        """Where the queue lies."""
        return self.database or f"sqlite:///{(Path(self.storage) / 'queue.sqlite').absolute()}"


def read_node_config(path: Path) -> NodeConfig:
    """Read a node's TOML file. Raises OptionError where it cannot be read or states what cannot be."""
    config: NodeConfig = config_from_dict(NodeConfig, read_toml(path))
    _check_outcome(config)
    return config


def _check_outcome(config: NodeConfig) -> None:
    """Raise OptionError where studies could not be segmented, or results not be written or sent, as is configured."""
    # Imported on use: NodeConfig alone needs neither.
    from bonescan.lesions.delineate import OPERATING_POINTS
    from bonescan.results.folder import FORMATS

    if config.operating_point not in OPERATING_POINTS:
        points = ", ".join(OPERATING_POINTS)
        raise OptionError(f"there is no operating point {config.operating_point!r}: give one of {points}")
    unknown = [name for name in config.formats if name not in FORMATS]
    if unknown:
        raise OptionError(f"there is no output format {unknown[0]!r}: known are {', '.join(FORMATS)}")
    if not config.formats:
        raise OptionError(f"formats is empty: give at least one of {', '.join(FORMATS)}")
    sent = [name for name, one in FORMATS.items() if any(file.endswith(".dcm") for file in one.files)]
    if config.destinations and not set(sent) & set(config.formats):
        raise OptionError(
            f"formats has no DICOM object to send to {config.destinations[0].name}: add one of {', '.join(sent)}, or "
            "remove the destinations"
        )


class _ServerContext(ssl.SSLContext):
    """Delays the handshake until the first read: a caller that never begins it must not block the listener."""

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        """Wrap a socket that was accepted; no byte is exchanged yet."""
        return super().wrap_socket(sock, *args, **{**options, "do_handshake_on_connect": False})


def server_context(tls: TlsConfig) -> ssl.SSLContext | None:
    """Return the TLS context of the receiver; None without TLS. Raises OptionError where a file cannot be used."""
    if not tls.listen:
        return None
    context = _ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, tls)
    if tls.ca_file:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: TlsConfig) -> ssl.SSLContext:
    """Return the TLS context for calling a peer; the peer's certificate and name are checked. Raises OptionError."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, tls)
    return context


def _load(context: ssl.SSLContext, tls: TlsConfig) -> None:
    for name in ("certificate", "key", "ca_file"):
        path = getattr(tls, name)
        try:
            if path:
                Path(path).read_bytes()
        except OSError as error:
            raise OptionError(f"tls.{name} {path} cannot be read ({error.strerror}): correct it") from None
    try:
        used = f"tls.certificate {tls.certificate} with tls.key {tls.key}"
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key or None)
        used = f"tls.ca_file {tls.ca_file}"
        if tls.ca_file:
            context.load_verify_locations(tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise OptionError(f"{used} cannot be used ({getattr(error, 'reason', None) or error}): correct it") from None
